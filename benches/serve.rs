//! What an answer over plain HTTP costs: a playlist, a part and a segment of live streams, beside tuned nginx with
//! the same bytes on tmpfs; and what idle, waiting and stalled viewers hold.
//!
//! Server and generator share one core, publishers have the other; where that is allowed, in a network namespace of
//! their own with TCP reno, as pacing timers would cost more than the servers. The cost of taking the streams in is
//! measured before and taken off. The floor is a process that only receives and sends canned answers of the same
//! lengths (`measure/canned.rs`): nobody gets under it. `--quick` takes one round instead of three.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

mod measure;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Error, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use measure::canned::{self, Canned};
use measure::load::Load;
use measure::nginx::Nginx;
use measure::stage::{self, Stage, listed};
use measure::{Options, pass, say, say_machine};
use serde_json::{Value, json};
use support::process::{Usage, pss_kib};
use support::{Server, http};

const SETTLE: Duration = Duration::from_millis(400);
const MEASURED: Duration = Duration::from_secs(2);
const IDLE: usize = 5000;
const PARKED: usize = 3000;
const STALLED: usize = 300;

/// What is asked for, by how many.
struct Object {
    name: &'static str,
    connections: usize,
    bar: f64,
    paths: fn(SocketAddr) -> Result<Vec<String>>,
}

const OBJECTS: [Object; 3] = [
    Object {
        name: "playlist",
        connections: 64,
        bar: 0.55,
        paths: |_| Ok(vec!["/live/parts/v1/index.m3u8".into()]),
    },
    Object { name: "part", connections: 64, bar: 0.55, paths: |edge| listed(edge, "parts", true) },
    Object { name: "segment", connections: 32, bar: 0.7, paths: |edge| listed(edge, "segments", false) },
];

/// A measurement of one server.
struct Cost {
    us: f64,
    per_s: f64,
    bytes: f64,
}

fn measure_load(
    pid: u32,
    idle_ms: f64,
    address: SocketAddr,
    paths: &[String],
    connections: usize,
) -> Result<Cost> {
    let mut load = Load::start(address, paths, connections)?;
    load.run(SETTLE)?;
    let (answers, bytes, before) = (load.answers, load.bytes, Usage::of(pid));
    load.run(MEASURED)?;
    let used = Usage::of(pid).since(&before);
    let count = (load.answers - answers) as f64;
    let cpu_us = (used.cpu_ms - idle_ms) * used.seconds * 1000.0;
    Ok(Cost { us: cpu_us / count, per_s: count / used.seconds, bytes: (load.bytes - bytes) as f64 / count })
}

struct Bench {
    stage: Stage,
    nginx: Nginx,
    floor: Canned,
}

impl Bench {
    fn round(&self, nth: usize, object: &Object, idle_ms: f64) -> Result<Value> {
        let edge = self.stage.nexus.edge();
        let paths = (object.paths)(edge)?;
        let (mut theirs, mut canned) = (Vec::new(), Vec::new());
        for (place, path) in paths.iter().enumerate() {
            // nginx keeps the length of a file in mind: none is written twice.
            let name = format!("{}-{nth}-{place}", object.name);
            let body = http::get(edge, path)?.body;
            self.nginx.lay(&name, &body);
            canned.push(format!("/{}", body.len()));
            theirs.push(format!("/files/{name}"));
        }
        // Ours first: a piece leaves its stream after a while.
        let ours = measure_load(self.stage.nexus.pid(), idle_ms, edge, &paths, object.connections)?;
        let nginx = measure_load(self.nginx.pid(), 0.0, self.nginx.http, &theirs, object.connections)?;
        let floor = measure_load(self.floor.pid(), 0.0, self.floor.address, &canned, object.connections)?;
        let (ratio, least) = (ours.us / nginx.us, floor.us / nginx.us);
        say(&format!(
            "{:<9} {:>8.1} {:>9.2} {:>9.2} {:>9.2} {:>7.2} {:>7.2} {:>6.2}  {:>9.0} {:>9.0}",
            object.name,
            ours.bytes / 1000.0,
            ours.us,
            nginx.us,
            floor.us,
            ratio,
            least,
            object.bar,
            ours.per_s,
            nginx.per_s
        ));
        Ok(json!({
            "object": object.name, "bytes": ours.bytes, "nexus_us": ours.us, "nginx_us": nginx.us, "floor_us": floor.us,
            "ratio": ratio, "floor_ratio": least, "bar": object.bar, "nexus_per_s": ours.per_s, "nginx_per_s": nginx.per_s,
        }))
    }

    /// Memory of a server's own, and what its sockets hold back unsent, per connection that was sent `request`.
    fn held(
        &self,
        pid: u32,
        address: SocketAddr,
        count: usize,
        request: &str,
        read: bool,
    ) -> Result<(f64, f64)> {
        let before = pss_kib(pid);
        let mut sockets = Vec::with_capacity(count);
        let mut buffer = [0; 16 << 10];
        for _ in 0..count {
            let mut socket = TcpStream::connect(address)?;
            socket.write_all(request.as_bytes())?;
            if read {
                let _ = socket.read(&mut buffer)?;
            }
            sockets.push(socket);
        }
        pass(Duration::from_secs(1));
        let kib = pss_kib(pid) as f64 - before as f64;
        let held = kib / count as f64;
        let queued = queued_kib(address.port()) / count as f64;
        drop(sockets);
        pass(Duration::from_secs(1));
        Ok((held, queued))
    }

    fn memory(&self) -> Result<Value> {
        let (edge, nginx) = (self.stage.nexus.edge(), self.nginx.http);
        let page = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let newest = || Ok::<_, Error>(listed(edge, "segments", false)?.pop().unwrap_or_default());
        let segment = newest()?;
        self.nginx.lay("held", &http::get(edge, &segment)?.body);
        let stalled = self.held(self.stage.nexus.pid(), edge, STALLED, &page(&segment).repeat(8), false)?;
        let stalled_nginx =
            self.held(self.nginx.pid(), nginx, STALLED, &page("/files/held").repeat(8), false)?;
        // As far ahead as may be waited for.
        let segment = newest()?;
        let number = segment.rsplit('/').next().and_then(|f| f.split('.').next()?.parse::<u64>().ok());
        let next = format!("/live/segments/v1/index.m3u8?_HLS_msn={}", number.unwrap_or_default() + 2);
        let next = page(&next);
        let (parked, _) = self.held(self.stage.nexus.pid(), edge, PARKED, &next, false)?;
        // A server of its own: what others gave back would be used again.
        let fresh = Server::start(&[]);
        let (idle, _) = self.held(fresh.pid(), fresh.edge(), IDLE, &page("/health/live"), true)?;
        let (idle_nginx, _) = self.held(self.nginx.pid(), nginx, IDLE, &page("/files/playlist-0-0"), true)?;
        say("");
        say("KiB per connection             nexus     nginx   bar");
        say(&format!("idle, {IDLE}                 {idle:>9.2} {idle_nginx:>9.2}   2"));
        say(&format!("waiting for a part, {PARKED}   {parked:>9.2}         –   12"));
        say(&format!("stalled, {STALLED}: own memory   {:>9.2} {:>9.2}   16", stalled.0, stalled_nginx.0));
        say(&format!("stalled: queued in the kernel{:>9.0} {:>9.0}   256", stalled.1, stalled_nginx.1));
        Ok(json!({
            "idle_kib": idle, "idle_nginx_kib": idle_nginx, "parked_kib": parked, "stalled_kib": stalled.0,
            "stalled_nginx_kib": stalled_nginx.0, "stalled_queued_kib": stalled.1,
            "stalled_nginx_queued_kib": stalled_nginx.1,
        }))
    }
}

/// Bytes that wait in the send queues of a port, in KiB.
fn queued_kib(port: u16) -> f64 {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let from = format!(":{port:04X}");
    let queue = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next()?;
        let queue = words.nth(2)?.split(':').next()?;
        if local.ends_with(&from) { u64::from_str_radix(queue, 16).ok() } else { None }
    };
    table.lines().filter_map(queue).sum::<u64>() as f64 / 1024.0
}

fn main() -> Result<()> {
    canned::serve_if_asked()?;
    let options = Options::from_args();
    let congestion = stage::isolate();
    say("serve: plain HTTP/1.1 hits, server and generator on one core");
    say_machine();
    let stage = Stage::start(|| Server::start(&[("NEXUS__EDGE__HTTP__CONNECTIONS_MAX", "9000")]))?;
    let bench = Bench { nginx: Nginx::start(), floor: Canned::start()?, stage };
    let idle_ms = bench.stage.idle_ms();
    say(&format!("TCP {congestion}; taking two streams in costs {idle_ms:.1} ms/s, taken off"));
    say("              KB   CPU µs per answer              of nginx's                answers per second");
    say("object              nexus     nginx     floor   nexus   floor    bar      nexus     nginx");
    let mut rows = Vec::new();
    for nth in 0..if options.quick() { 1 } else { 3 } {
        for object in &OBJECTS {
            rows.push(bench.round(nth, object, idle_ms)?);
        }
    }
    let memory = bench.memory()?;
    bench.stage.end();
    say(&json!({"bench": "serve", "rows": rows, "memory": memory}).to_string());
    Ok(())
}
