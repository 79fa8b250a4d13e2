//! `nexus-transcoder`: started by the server, fed over its standard input, answers over its standard output.
//!
//! It decodes what strangers sent, with a library in C. So it is a process of its own that has nothing to lose: it can
//! open no file and no socket, has bounded memory and bounded time, and the server starts another when it dies.

mod decode;
mod graph;
mod ladder;
mod limits;
mod sheet;
mod stream;
mod turn;

use std::io::{self, Read};
use std::process::ExitCode;

use bytes::Bytes;
use nx_worker_protocol::{LENGTH, Reply, Request, VERSION, frame_len};

use crate::ladder::{Engine, Out};
use crate::sheet::{Sheet, Why};

fn main() -> ExitCode {
    if std::env::args().len() > 1 {
        return usage();
    }
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[expect(clippy::print_stderr, reason = "the command's own output")]
fn usage() -> ExitCode {
    eprintln!("nexus-transcoder is started by nexus and has no options; see \"Pictures\" in README.md");
    ExitCode::from(2)
}

/// Answers requests until the input ends.
fn work() -> io::Result<()> {
    ffmpeg_next::init().map_err(io::Error::other)?;
    ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Quiet);
    limits::confine()?;
    let mut input = io::stdin().lock();
    let out = Out::new();
    out.say(&Reply::Hello(VERSION))?;
    let mut desk = Desk::default();
    while let Some(frame) = read(&mut input)? {
        limits::grant_time()?;
        desk.answer(Request::read(frame).map_err(io::Error::other)?, &out)?;
    }
    Ok(())
}

/// What was begun and is not over.
#[derive(Default)]
struct Desk {
    sheet: Option<Sheet>,
    ladder: Option<Engine>,
}

impl Desk {
    fn answer(&mut self, request: Request, out: &Out) -> io::Result<()> {
        match request {
            Request::Sheet(grid) => self.sheet = Some(Sheet::new(grid)),
            Request::Draw { cell, codec, config, sample } => {
                let drawn = decode::key_frame(codec, &config, &sample)
                    .and_then(|frame| self.sheet.as_mut().ok_or("no sheet was begun")?.draw(cell, frame));
                out.say(&drawn.map_or_else(failed, |()| Reply::Drawn))?;
            }
            Request::Finish => {
                let made = self.sheet.take().ok_or("no sheet was begun".into()).and_then(Sheet::jpeg);
                out.say(&made.map_or_else(failed, Reply::Jpeg))?;
            }
            Request::Ladder(ladder) => {
                limits::make_room()?;
                self.ladder = None;
                match Engine::new(*ladder, out) {
                    Ok(engine) => self.ladder = Some(engine),
                    Err(why) => out.say(&failed(why))?,
                }
            }
            Request::Sample(kind, sample) => self.go_on(out, |engine| engine.take(kind, &sample))?,
            Request::Wanted { output, on } => self.go_on(out, |engine| engine.want(output, on))?,
            Request::Flush => {
                self.go_on(out, Engine::flush)?;
                out.say(&Reply::Flushed)?;
            }
        }
        Ok(())
    }

    /// What fails ends the ladder.
    fn go_on(&mut self, out: &Out, step: impl FnOnce(&mut Engine) -> Result<(), Why>) -> io::Result<()> {
        let done = self.ladder.as_mut().map_or(Ok(()), step);
        done.or_else(|why| {
            self.ladder = None;
            out.say(&failed(why))
        })
    }
}

fn failed(why: Why) -> Reply {
    Reply::Failed(why.to_string())
}

/// The next frame; `None` at the end of the input.
fn read(input: &mut impl Read) -> io::Result<Option<Bytes>> {
    let mut length = [0; LENGTH];
    match input.read_exact(&mut length) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut frame = vec![0; frame_len(length).map_err(io::Error::other)?];
    input.read_exact(&mut frame)?;
    Ok(Some(frame.into()))
}
