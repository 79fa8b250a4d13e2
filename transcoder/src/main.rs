//! `nexus-transcoder`: started by the server, fed over its standard input, answers over its standard output.
//!
//! It decodes what strangers sent, with a library in C. So it is a process of its own that has nothing to lose: it can
//! open no file and no socket, has bounded memory and bounded time, and the server starts another when it dies.

mod decode;
mod limits;
mod sheet;
mod stream;

use std::io::{self, Read, Write};
use std::process::ExitCode;

use bytes::Bytes;
use nx_worker_protocol::{LENGTH, Reply, Request, VERSION, frame_len};

use crate::sheet::Sheet;

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
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut say = |reply: &Reply| -> io::Result<()> {
        output.write_all(&reply.write().map_err(io::Error::other)?)?;
        output.flush()
    };
    say(&Reply::Hello(VERSION))?;
    let mut sheet = None;
    while let Some(frame) = read(&mut input)? {
        limits::grant_time()?;
        match Request::read(frame).map_err(io::Error::other)? {
            Request::Sheet(grid) => sheet = Some(Sheet::new(grid)),
            Request::Draw { cell, codec, config, sample } => {
                let drawn = decode::key_frame(codec, &config, &sample)
                    .and_then(|frame| sheet.as_mut().ok_or("no sheet was begun")?.draw(cell, frame));
                say(&drawn.map_or_else(|why| Reply::Failed(why.to_string()), |()| Reply::Drawn))?;
            }
            Request::Finish => {
                let made = sheet.take().ok_or("no sheet was begun".into()).and_then(Sheet::jpeg);
                say(&made.map_or_else(|why: sheet::Why| Reply::Failed(why.to_string()), Reply::Jpeg))?;
            }
            Request::Ladder(_) => say(&Reply::Failed("this worker makes no ladders yet".into()))?,
            Request::Sample(..) | Request::Wanted { .. } => (),
            Request::Flush => say(&Reply::Flushed)?,
        }
    }
    Ok(())
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
