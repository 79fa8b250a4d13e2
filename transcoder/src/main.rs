//! `nexus-transcoder`: started by the server, fed over its standard input, answers over its standard output.
//!
//! It decodes what strangers sent, with a library in C. So it is a process of its own that has nothing to lose: it can
//! open no file and no socket, has bounded memory and bounded time, and the server starts another when it dies.
//!
//! With `--origin URL` it starts such workers itself, for a server elsewhere.

mod agent;
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

/// What encodes in hardware opens devices, and libraries that drive them: the worker may open files then.
const HARDWARE: &str = "--hardware";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let hardware = match words[..] {
        [] => false,
        [HARDWARE] => true,
        ["--origin", url] => return agent::run(url, None),
        ["--origin", url, "--token-file", path] => return agent::run(url, Some(path.as_ref())),
        _ => return usage(),
    };
    match work(hardware) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[expect(clippy::print_stderr, reason = "the command's own output")]
fn usage() -> ExitCode {
    eprintln!(
        "nexus-transcoder is started by nexus, with {HARDWARE} or nothing; see \"Pictures\" in README.md\n\
         to make renditions of titles for a server elsewhere: --origin URL [--token-file PATH]"
    );
    ExitCode::from(2)
}

/// Answers requests until the input ends.
fn work(hardware: bool) -> io::Result<()> {
    ffmpeg_next::init().map_err(io::Error::other)?;
    ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Quiet);
    let out = Out::new()?;
    limits::confine(hardware)?;
    let mut input = io::stdin().lock();
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
            Request::Sheet(grid) => {
                limits::step_back()?;
                self.sheet = Some(Sheet::new(grid));
            }
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
                // The one before says its last words first.
                self.ladder = None;
                self.ladder = Some(Engine::new(*ladder, out)?);
            }
            Request::Slate(slate) => {
                limits::make_room()?;
                self.ladder = None;
                ladder::slate::make(&slate, out)?;
            }
            Request::Sample(kind, sample) => self.step(|ladder| ladder.take(kind, &sample))?,
            Request::Wanted { output, on } => self.step(|ladder| ladder.want(output, on))?,
            Request::Flush => {
                self.step(Engine::flush)?;
                out.say(&Reply::Flushed)?;
            }
        }
        Ok(())
    }

    /// Without a ladder there is nothing to do.
    fn step(&mut self, step: impl FnOnce(&mut Engine) -> io::Result<()>) -> io::Result<()> {
        self.ladder.as_mut().map_or(Ok(()), step)
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
