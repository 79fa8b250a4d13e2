//! What the benchmarks share: options, the peer, figures.
#![allow(dead_code, reason = "each benchmark uses a part of it")]

pub(crate) mod callers;
pub(crate) mod canned;
pub(crate) mod floor;
pub(crate) mod h3;
pub(crate) mod haproxy;
pub(crate) mod load;
pub(crate) mod nginx;
pub(crate) mod sent;
pub(crate) mod stage;
pub(crate) mod tls;
pub(crate) mod varnish;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::callers::TsClip;
use crate::support::ffmpeg::{Kind, clip};
use crate::support::publish::{Clip, Publisher};

/// A whole number of seconds, of AAC frames and of GOPs, so that the clip repeats without a seam.
const CLIP_S: u32 = 32;

/// Options of a benchmark; what cargo adds of its own is passed over.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    words: Vec<String>,
}

impl Options {
    pub(crate) fn from_args() -> Self {
        Self { words: std::env::args().skip(1).collect() }
    }

    /// Less of everything.
    pub(crate) fn quick(&self) -> bool {
        self.has("--quick")
    }

    pub(crate) fn has(&self, flag: &str) -> bool {
        self.words.iter().any(|w| w == flag)
    }

    /// Whether a measurement of this name is wanted: there are no words but options, or one begins it.
    pub(crate) fn picks(&self, name: &str) -> bool {
        let mut words = self.words.iter().filter(|w| !w.starts_with("--")).peekable();
        words.peek().is_none() || words.any(|w| name.starts_with(w.as_str()))
    }

    /// The number behind an option.
    pub(crate) fn number(&self, option: &str) -> Option<usize> {
        let at = self.words.iter().position(|w| w == option)?;
        self.words.get(at + 1)?.parse().ok()
    }
}

/// The clip that peers are measured with: 720p30 at 3 Mbit/s.
pub(crate) fn broadcast() -> Arc<Clip> {
    Arc::new(Clip::load(&clip(CLIP_S, Kind::Broadcast), CLIP_S))
}

/// The same as a transport stream, to be sent once: it is longer than any measurement.
pub(crate) fn transport() -> Arc<TsClip> {
    Arc::new(TsClip::load(&clip(CLIP_S, Kind::Broadcast)))
}

/// A line for the reader; a reader who left is no mistake.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Says what machine this is: figures mean nothing without it.
pub(crate) fn say_machine() {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|l| l.strip_prefix("model name\t: ")).unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    say(&format!("{cores} x {model}, Linux {}, load {load} at the start, loopback", kernel.trim()));
}

/// Lets time pass while others are measured.
pub(crate) fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// Waits until a peer takes connections; whether it does within this time.
pub(crate) fn listens(address: SocketAddr, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while TcpStream::connect(address).is_err() {
        if Instant::now() > deadline {
            return false;
        }
        pass(Duration::from_millis(20));
    }
    true
}

/// Median, 95th and 99th of 100, and largest, of milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spread {
    pub(crate) count: usize,
    pub(crate) median: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        let at = |percent: usize| {
            let nth = (all.len() * percent / 100).min(all.len().saturating_sub(1));
            all.get(nth).map_or(0.0, |d| d.as_secs_f64() * 1000.0)
        };
        Self { count: all.len(), median: at(50), p95: at(95), p99: at(99), max: at(100) }
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let round = |ms: f64| (ms * 100.0).round() / 100.0;
        serde_json::json!({
            "count": self.count, "median_ms": round(self.median), "p95_ms": round(self.p95), "p99_ms": round(self.p99),
            "max_ms": round(self.max),
        })
    }
}

/// Sends one stream until `done` says so, noting when each frame goes out. False when it lost its connection.
pub(crate) fn publish_noting(publisher: &mut Publisher, sent: &sent::Sent, done: impl Fn() -> bool) -> bool {
    while !done() {
        let until = Instant::now() + Duration::from_millis(100);
        if publisher.send_until(until, |tag| sent.note(&tag.body)).is_err() {
            return false;
        }
    }
    true
}
