//! What an answer over TLS and over HTTP/3 costs, a new connection, and what an idle one holds: beside tuned nginx with
//! the same bytes, certificate and cipher.
//!
//! Arranged as `serve`: server and generator on one core, publishers on the other. `--quick` takes one round instead of
//! three; a word picks measurements by the start of their names, as in `h3` or `h2 segment`.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

mod measure;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Result;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use measure::nginx::Nginx;
use measure::stage::{self, Stage, listed};
use measure::{Options, h3, pass, say, say_machine, tls};
use serde_json::{Value, json};
use support::process::{Usage, pss_kib};
use support::{Server, http};

const SETTLE: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(2);
/// Length of a run of h2load; shaking hands is a hundredth of it.
const LOAD_S: &str = "3";
const IDLE: usize = 2000;

/// How it is asked.
#[derive(Clone, Copy)]
enum By {
    H1,
    H2,
    /// HTTP/2, one answer per connection.
    New,
    H3,
}

/// What is asked for.
#[derive(Clone, Copy)]
enum Object {
    Playlist,
    Part,
    Segment,
}

impl Object {
    fn paths(self, edge: SocketAddr) -> Result<Vec<String>> {
        match self {
            Self::Playlist => Ok(vec!["/live/parts/v1/index.m3u8".into()]),
            Self::Part => listed(edge, "parts", true),
            Self::Segment => listed(edge, "segments", false),
        }
    }
}

/// Name, how, what, connections, and what it may cost for each microsecond of nginx's.
type Row = (&'static str, By, Object, usize, f64);

const ROWS: [Row; 10] = [
    ("h2 playlist", By::H2, Object::Playlist, 32, 0.8),
    ("h2 part", By::H2, Object::Part, 32, 0.8),
    ("h2 segment", By::H2, Object::Segment, 32, 0.7),
    ("h1 playlist", By::H1, Object::Playlist, 32, 0.8),
    ("h1 part", By::H1, Object::Part, 32, 0.8),
    ("h1 segment", By::H1, Object::Segment, 32, 0.7),
    ("new connection", By::New, Object::Playlist, 1, 0.7),
    ("h3 playlist", By::H3, Object::Playlist, 32, 1.2),
    ("h3 part", By::H3, Object::Part, 32, 1.2),
    ("h3 segment", By::H3, Object::Segment, 16, 1.2),
];

/// A measurement of one server.
struct Cost {
    us: f64,
    bytes: f64,
}

struct Bench {
    stage: Stage,
    nginx: Nginx,
    cert: PathBuf,
    idle_ms: f64,
}

impl Bench {
    fn start() -> Result<Self> {
        let data = std::env::temp_dir().join(format!("nexus-bench-secure-{}", std::process::id()));
        let stage = Stage::start(|| Server::in_folder(&data, &[]))?;
        let file = |name: &str| data.join("tls").join(name);
        let (cert, key) = (file("self-signed.pem"), file("self-signed.key"));
        let nginx = Nginx::secure(&cert, &key);
        let idle_ms = stage.idle_ms();
        Ok(Self { stage, nginx, cert, idle_ms })
    }

    /// CPU of a server per answer; `idle_ms` per second are for other work.
    fn cost(&self, pid: u32, idle_ms: f64, address: SocketAddr, paths: &[String], row: &Row) -> Result<Cost> {
        let connections = row.3.to_string();
        let many = ["-D", LOAD_S, "-c", &connections];
        let cost = |before: &Usage, answers: f64, bytes: f64| {
            let used = Usage::of(pid).since(before);
            let us = (used.cpu_ms - idle_ms) * used.seconds * 1000.0;
            Cost { us: us / answers, bytes: bytes / answers }
        };
        if let By::H3 = row.1 {
            let mut load = h3::Load::start(address, tls::client(&self.cert, b"h3"), paths, row.3)?;
            load.run(SETTLE)?;
            let ((answers, bytes), before) = (load.done(), Usage::of(pid));
            load.run(MEASURED)?;
            let done = load.done();
            return Ok(cost(&before, (done.0 - answers) as f64, (done.1 - bytes) as f64));
        }
        let options: &[&str] = match row.1 {
            By::H1 => &[&many[..], &["--h1"]].concat(),
            By::New => &["-n", "1200", "-c", "1200", "-r", "400", "--npn-list=h2"],
            By::H2 | By::H3 => &[&many[..], &["--npn-list=h2"]].concat(),
        };
        let before = Usage::of(pid);
        let loaded = tls::load(address, paths, options)?;
        Ok(cost(&before, loaded.answers, loaded.bytes))
    }

    fn round(&self, nth: usize, row: &Row) -> Result<Value> {
        let (name, _, object, _, bar) = row;
        let nexus = &self.stage.nexus;
        let paths = object.paths(nexus.edge())?;
        let mut theirs = Vec::new();
        for (place, path) in paths.iter().enumerate() {
            // nginx keeps the length of a file in mind: none is written twice.
            let file = format!("{}-{nth}-{place}", name.replace(' ', "-"));
            self.nginx.lay(&file, &http::get(nexus.edge(), path)?.body);
            theirs.push(format!("/files/{file}"));
        }
        // Ours first: a piece leaves its stream after a while.
        let ours = self.cost(nexus.pid(), self.idle_ms, nexus.https(), &paths, row)?;
        let nginx = self.cost(self.nginx.pid(), 0.0, self.nginx.http, &theirs, row)?;
        let ratio = ours.us / nginx.us;
        say(&format!(
            "{name:<15} {:>8.1} {:>9.1} {:>9.1} {ratio:>7.2} {bar:>6.2}",
            ours.bytes / 1000.0,
            ours.us,
            nginx.us
        ));
        Ok(json!({
            "what": name, "bytes": ours.bytes, "nexus_us": ours.us, "nginx_us": nginx.us, "ratio": ratio, "bar": bar,
        }))
    }

    /// Memory of a server's own per idle connection, in KiB.
    fn held(&self, pid: u32, address: SocketAddr, path: &str, h2: bool) -> Result<f64> {
        let config = Arc::new(tls::client(&self.cert, if h2 { b"h2" } else { b"http/1.1" }));
        let before = pss_kib(pid);
        let kept: Result<Vec<_>> = (0..IDLE).map(|_| tls::keep(address, &config, path, h2)).collect();
        let kept = kept?;
        pass(Duration::from_secs(2));
        let held = (pss_kib(pid) as f64 - before as f64) / kept.len() as f64;
        drop(kept);
        pass(Duration::from_secs(1));
        Ok(held)
    }

    fn memory(&self) -> Result<Vec<Value>> {
        say("");
        say("KiB per idle connection        nexus     nginx    bar");
        let mut all = Vec::new();
        for (name, h2) in [("HTTP/1.1", false), ("HTTP/2", true)] {
            // Servers of their own: what others gave back would be used again.
            let (data, fresh) = (self.cert.with_file_name("fresh"), &self.cert);
            let tls = data.join("tls");
            std::fs::create_dir_all(&tls)?;
            for file in ["self-signed.pem", "self-signed.key"] {
                std::fs::copy(fresh.with_file_name(file), tls.join(file))?;
            }
            let nexus = Server::in_folder(&data, &[]);
            let ours = self.held(nexus.pid(), nexus.https(), "/health/live", h2)?;
            let nginx = Nginx::secure(&self.cert, &self.cert.with_extension("key"));
            nginx.lay("short", b"ok");
            let theirs = self.held(nginx.pid(), nginx.http, "/files/short", h2)?;
            say(&format!("{name:<20} {IDLE:>6} {ours:>9.2} {theirs:>9.2}     20"));
            all.push(json!({"what": name, "nexus_kib": ours, "nginx_kib": theirs, "bar": 20}));
        }
        Ok(all)
    }
}

fn main() -> Result<()> {
    let options = Options::from_args();
    let congestion = stage::isolate();
    say("secure: hits over TLS 1.3 and QUIC, server and generator on one core");
    say_machine();
    let bench = Bench::start()?;
    say(&format!("TCP {congestion}; taking two streams in costs {:.1} ms/s, taken off", bench.idle_ms));
    say("                      KB   CPU µs per answer");
    say("answer                      nexus     nginx   ratio    bar");
    let mut rows = Vec::new();
    for nth in 0..if options.quick() { 1 } else { 3 } {
        for row in ROWS.iter().filter(|row| options.picks(row.0)) {
            rows.push(bench.round(nth, row)?);
        }
    }
    let memory = if options.picks("idle") { bench.memory()? } else { Vec::new() };
    let data = bench.cert.parent().and_then(|tls| tls.parent()).map(PathBuf::from);
    bench.stage.end();
    data.map_or(Ok(()), std::fs::remove_dir_all)?;
    say(&json!({"bench": "secure", "rows": rows, "memory": memory}).to_string());
    Ok(())
}
