//! What an answer of the stored plane costs: objects that are kept, and objects that are fetched, beside tuned nginx
//! with `proxy_cache` on tmpfs, in front of the same origin.
//!
//! Server and generator share one core, the origin (`measure/canned.rs`) has the other; where that is allowed, in a
//! network namespace of their own with TCP reno. `--quick` takes one round instead of three.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

mod measure;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use measure::canned::{self, Canned};
use measure::load::Load;
use measure::nginx::Nginx;
use measure::{Options, say, say_machine, stage};
use serde_json::{Value, json};
use support::Server;
use support::process::{Rates, Usage};

const SETTLE: Duration = Duration::from_millis(400);
const MEASURED: Duration = Duration::from_secs(2);
/// Objects that are asked for in turn when they are kept.
const KEPT: usize = 8;
/// Most that is fetched in one measurement.
const FETCHED_BYTES_MAX: usize = 1 << 30;

struct Size {
    name: &'static str,
    bytes: usize,
    connections: usize,
}

const SIZES: [Size; 3] = [
    Size { name: "playlist", bytes: 2_000, connections: 64 },
    Size { name: "part", bytes: 50_000, connections: 64 },
    Size { name: "segment", bytes: 1_000_000, connections: 32 },
];

/// CPU of a server per answer, microseconds. When they are `new`, none is asked for twice.
fn cost(pid: u32, address: SocketAddr, size: &Size, new: bool) -> Result<f64> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let count = if new { (FETCHED_BYTES_MAX / size.bytes).min(100_000) } else { KEPT };
    let first = NEXT.fetch_add(count, Ordering::Relaxed);
    // The origin answers with as many bytes as the path says; what follows makes a name of it.
    let paths: Vec<String> = (first..first + count).map(|n| format!("/{}?{n}", size.bytes)).collect();
    if !new {
        let mut load = Load::start(address, &paths, size.connections)?;
        load.run(SETTLE)?;
        let (answers, before) = (load.answers, Usage::of(pid));
        load.run(MEASURED)?;
        return Ok(per_answer(&Usage::of(pid).since(&before), load.answers - answers));
    }
    let before = Usage::of(pid);
    let mut load = Load::once(address, &paths, size.connections)?;
    // As long as there is something new.
    let enough = |answers: u64, seconds: f64| answers > count as u64 / 2 || seconds > MEASURED.as_secs_f64();
    while !enough(load.answers, Usage::of(pid).since(&before).seconds) {
        load.run(Duration::from_millis(20))?;
    }
    if load.answers > count as u64 {
        return Err(Error::other("all was asked for, and some of it twice: it was no miss"));
    }
    Ok(per_answer(&Usage::of(pid).since(&before), load.answers))
}

fn per_answer(used: &Rates, answers: u64) -> f64 {
    used.cpu_ms * used.seconds * 1000.0 / answers as f64
}

fn round(nexus: &Server, nginx: &Nginx, size: &Size, new: bool) -> Result<Value> {
    let ours = cost(nexus.pid(), nexus.edge(), size, new)?;
    let theirs = cost(nginx.pid(), nginx.http, size, new)?;
    let kind = if new { "miss" } else { "hit" };
    say(&format!("{:<9} {kind:<5} {ours:>9.2} {theirs:>9.2} {:>7.2}", size.name, ours / theirs));
    Ok(
        json!({"object": size.name, "kind": kind, "nexus_us": ours, "nginx_us": theirs, "ratio": ours / theirs}),
    )
}

fn main() -> Result<()> {
    canned::serve_if_asked()?;
    let options = Options::from_args();
    let congestion = stage::isolate();
    say("cache: answers from upstreams over plain HTTP/1.1, server and generator on one core");
    say_machine();
    let origin = Canned::start()?;
    stage::pin(stage::SERVERS);
    let nexus = Server::configured(&format!(
        "[edge.cache]\nram_bytes_max = 2147483648\n[[edge.upstream]]\npath = \"/\"\norigins = [\"http://{}\"]\n",
        origin.address
    ));
    let nginx = Nginx::cache(origin.address);
    say(&format!("TCP {congestion}"));
    say("                CPU µs per answer");
    say("object              nexus     nginx   ratio");
    let mut rows = Vec::new();
    for _ in 0..if options.quick() { 1 } else { 3 } {
        for size in &SIZES {
            for new in [false, true] {
                rows.push(round(&nexus, &nginx, size, new)?);
            }
        }
    }
    say(&json!({"bench": "cache", "rows": rows}).to_string());
    Ok(())
}
