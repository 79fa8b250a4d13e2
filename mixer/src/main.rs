//! `nexus-mixer`: started by the server, told over its standard input what to mix, tells over its standard output how
//! it goes.
//!
//! ```text
//! input.rs: RTMP player ─► decoders ─► pace.rs ─┐
//! input.rs: …                                   ├─► output.rs: mixer ─► overlay.rs ─► encoders ─► RTMP publisher
//! ```
//!
//! It decodes what strangers sent, with libraries in C, so it is a process of its own; the server starts another when
//! it dies. It has the key of one stream, and one that opens streams to players.

mod input;
mod output;
mod overlay;
mod pace;
mod programme;

use std::io::{self, BufRead, Read, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use nx_scene::{LINE_BYTES_MAX, LineError, News, Order, VERSION, line, read};
use rustix::process::{Resource, Rlimit, setpriority_process, setrlimit};

use crate::programme::Programme;

/// Between two looks at what streams do.
const TICK: Duration = Duration::from_millis(100);
/// Orders that wait; beyond, the server's next write does.
const ORDERS_MAX: usize = 4;
/// Address space: decoders and encoders have threads, each with a stack.
const MEMORY_BYTES: u64 = 12 << 30;
/// It keeps pace with its streams, but behind who takes them in.
const NICENESS: i32 = 4;

fn main() -> ExitCode {
    if std::env::args().len() > 1 {
        return usage();
    }
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = say(&News::Failed(why));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the command's own output")]
fn usage() -> ExitCode {
    eprintln!("nexus-mixer is started by nexus; see \"Programmes\" in README.md");
    ExitCode::from(2)
}

/// Mixes until the input ends. In words when it cannot go on.
fn work() -> Result<(), String> {
    confine().map_err(|e| e.to_string())?;
    gst::init().map_err(|e| e.to_string())?;
    say(&News::Hello(VERSION)).map_err(|e| e.to_string())?;
    let (into, orders) = sync_channel(ORDERS_MAX);
    std::thread::spawn(move || listen(&into));
    let Ok(first) = orders.recv() else { return Ok(()) };
    let Order::Begin(begin) = first.map_err(|e| e.to_string())? else {
        return Err("the first order does not begin a programme".into());
    };
    run(Programme::start(*begin)?, &orders)
}

fn run(mut programme: Programme, orders: &Receiver<Result<Order, LineError>>) -> Result<(), String> {
    loop {
        match orders.recv_timeout(TICK) {
            Ok(Ok(Order::Scene(scene))) => programme.show(*scene)?,
            Ok(Ok(Order::Begin(_))) => return Err("a programme is begun once".into()),
            Ok(Err(error)) => return Err(error.to_string()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                programme.end();
                return Ok(());
            }
        }
        if let Some(news) = programme.tick()? {
            say(&news).map_err(|e| e.to_string())?;
        }
    }
}

/// Bounded memory, no dumps of it, behind the server.
fn confine() -> io::Result<()> {
    let exactly = |n: u64| Rlimit { current: Some(n), maximum: Some(n) };
    setpriority_process(None, NICENESS)?;
    setrlimit(Resource::Core, exactly(0))?;
    setrlimit(Resource::As, exactly(MEMORY_BYTES))?;
    Ok(())
}

/// Reads orders until there are no more.
fn listen(into: &SyncSender<Result<Order, LineError>>) {
    let mut input = io::stdin().lock();
    loop {
        let mut text = Vec::new();
        let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
        match input.by_ref().take(limit).read_until(b'\n', &mut text) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let order = read(&text);
                let is_good = order.is_ok();
                if into.send(order).is_err() || !is_good {
                    return;
                }
            }
        }
    }
}

fn say(news: &News) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(&line(news))?;
    out.flush()
}
