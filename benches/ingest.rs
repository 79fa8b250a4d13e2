//! What ingest costs: N publishers of 3 Mbit/s into nexus and into nginx-rtmp, in the same run.
//!
//! `--quick` takes 20 streams only, `--streams N` another number. `--watched` adds readers to every stream: a
//! low-latency one per track and one of TS segments for nexus, one of TS segments for nginx (it has no other).
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

mod measure;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use measure::nginx::Nginx;
use measure::{Options, broadcast, pass, say, say_machine};
use serde_json::{Value, json};
use support::hls::{LowLatency, Segments};
use support::process::{Usage, pss_kib};
use support::publish::{Clip, Fleet};
use support::server::rss_kib;
use support::{Server, http};

const IDLE: Duration = Duration::from_secs(5);
/// Longer than a window takes to fill and to lose its first segments: what is measured is a stream that goes on, not
/// pages that are touched for the first time.
const WARM_UP: Duration = Duration::from_secs(32);
const MEASURED: Duration = Duration::from_secs(12);
/// How often a reader of segments looks at its playlist: half a target duration.
const POLL: Duration = Duration::from_secs(1);
/// CPU of nexus over that of nginx by streams, when nexus carried RTMP alone; absolute figures differ by machine.
const BEFORE: &[(usize, f64)] = &[(1, 0.37), (20, 0.35), (100, 0.27)];

/// Which server, and where.
enum Subject {
    Nexus(Server),
    Nginx(Nginx),
}

impl Subject {
    fn start(name: &str) -> Self {
        if name == "nexus" { Self::Nexus(Server::start(&[])) } else { Self::Nginx(Nginx::start()) }
    }

    fn rtmp(&self) -> SocketAddr {
        match self {
            Self::Nexus(s) => s.rtmp(),
            Self::Nginx(n) => n.rtmp,
        }
    }

    fn http(&self) -> SocketAddr {
        match self {
            Self::Nexus(s) => s.edge(),
            Self::Nginx(n) => n.http,
        }
    }

    fn pid(&self) -> u32 {
        match self {
            Self::Nexus(s) => s.pid(),
            Self::Nginx(n) => n.pid(),
        }
    }

    fn ts_playlist(&self, stream: &str) -> String {
        match self {
            Self::Nexus(_) => format!("/live/{stream}/ts/index.m3u8"),
            Self::Nginx(_) => format!("/live/{stream}.m3u8"),
        }
    }

    /// Memory for segments that the process does not hold itself.
    fn outside_kib(&self) -> u64 {
        match self {
            Self::Nexus(_) => 0,
            Self::Nginx(n) => n.segment_bytes() >> 10,
        }
    }

    /// Reads one stream in every form that the server has; says what was got.
    fn check(&self, stream: &str) -> Result<String> {
        let segments = Segments::new(self.http(), &self.ts_playlist(stream))?.step()?;
        let segment = segments.last().filter(|s| s.first() == Some(&0x47) && s.len() % 188 == 0);
        let mut seen =
            format!("TS segment {} B", segment.ok_or_else(|| Error::other("no TS segment"))?.len());
        if let Self::Nexus(server) = self {
            let multivariant = http::get(server.edge(), &format!("/live/{stream}/index.m3u8"))?;
            if !String::from_utf8_lossy(&multivariant.body).contains("v1/index.m3u8") {
                return Err(Error::other("no multivariant playlist"));
            }
            for track in ["v1", "a1"] {
                let parts = LowLatency::join(server.edge(), &format!("/live/{stream}/{track}/"))?.step()?;
                let part = parts.first().filter(|p| matches!(p.bytes.get(4..8), Some(b"prft" | b"moof")));
                let part = part.ok_or_else(|| Error::other("no part"))?;
                seen += &format!(", {track} part {} B", part.bytes.len());
            }
        }
        Ok(seen)
    }
}

/// Readers of all streams.
struct Audience {
    stop: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Audience {
    fn join(subject: &Subject, streams: usize) -> Result<Self> {
        let mut audience = Self { stop: Arc::default(), bytes: Arc::default(), threads: Vec::new() };
        for stream in Fleet::names(streams) {
            let mut segments = Segments::new(subject.http(), &subject.ts_playlist(&stream))?;
            audience.seat(move || {
                pass(POLL);
                Ok(segments.step()?.iter().map(Vec::len).sum())
            })?;
            if let Subject::Nexus(server) = subject {
                for track in ["v1", "a1"] {
                    let mut reader = LowLatency::join(server.edge(), &format!("/live/{stream}/{track}/"))?;
                    audience.seat(move || Ok(reader.step()?.iter().map(|p| p.bytes.len()).sum()))?;
                }
            }
        }
        Ok(audience)
    }

    fn seat(&mut self, mut step: impl FnMut() -> Result<usize> + Send + 'static) -> Result<()> {
        let (stop, bytes) = (self.stop.clone(), self.bytes.clone());
        let watch = move || {
            while !stop.load(Ordering::Relaxed) {
                bytes.fetch_add(step()? as u64, Ordering::Relaxed);
            }
            Ok(())
        };
        self.threads.push(std::thread::Builder::new().stack_size(256 << 10).spawn(watch)?);
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Ends all; those that had ended before, with their reason.
    fn leave(self) -> Vec<String> {
        let broken = self.threads.iter().filter(|t| t.is_finished()).count();
        self.stop.store(true, Ordering::Relaxed);
        let ends = self.threads.into_iter().map(|t| t.join().expect("a reader does not panic"));
        let reasons: Vec<String> = ends.filter_map(|end| end.err().map(|e| e.to_string())).collect();
        reasons.into_iter().take(broken).collect()
    }
}

/// One row of the table.
struct Row {
    server: &'static str,
    streams: usize,
    cpu_ms: f64,
    switches: f64,
    idle_cpu_ms: f64,
    idle_rss_kib: u64,
    rss_kib: f64,
    pss_kib: f64,
    outside_kib: f64,
    rate: f64,
    late_p95_ms: f64,
    watched_bps: f64,
    faults: Vec<String>,
    seen: String,
}

fn run(server: &'static str, streams: usize, watched: bool, clip: &Arc<Clip>) -> Result<Row> {
    let subject = Subject::start(server);
    let pid = subject.pid();
    let count = streams as f64;
    pass(Duration::from_secs(1));
    let before = Usage::of(pid);
    pass(IDLE);
    let idle = Usage::of(pid).since(&before);
    let (idle_rss_kib, idle_pss) = (rss_kib(pid), pss_kib(pid));
    let fleet = Fleet::start(subject.rtmp(), streams, clip)?;
    let audience = if watched {
        pass(WARM_UP / 2);
        let audience = Audience::join(&subject, streams)?;
        pass(WARM_UP / 2);
        Some(audience)
    } else {
        pass(WARM_UP);
        None
    };
    fleet.measure();
    let watched_bytes = || audience.as_ref().map_or(0, Audience::bytes);
    let (sent, read, before) = (fleet.bytes(), watched_bytes(), Usage::of(pid));
    pass(MEASURED);
    let after = Usage::of(pid).since(&before);
    let sent = (fleet.bytes() - sent) as f64 / after.seconds;
    let watched_bps = (watched_bytes() - read) as f64 * 8.0 / after.seconds;
    let per_stream = |now: u64, idle: u64| now.saturating_sub(idle) as f64 / count;
    let (rss_kib, pss_kib) = (per_stream(rss_kib(pid), idle_rss_kib), per_stream(pss_kib(pid), idle_pss));
    let outside_kib = subject.outside_kib() as f64 / count;
    let last = Fleet::names(streams).last().unwrap_or_default();
    let seen = subject.check(&last);
    let mut faults = audience.map(Audience::leave).unwrap_or_default();
    let report = fleet.stop();
    let rate = sent / (clip.bytes_per_s() * count);
    if report.fallen > 0 {
        faults.push(format!("{} publishers fell off", report.fallen));
    }
    if !(0.95..=1.05).contains(&rate) {
        faults.push(format!("{:.1} % of the due rate was sent", rate * 100.0));
    }
    let seen = seen.unwrap_or_else(|error| {
        faults.push(format!("{last} cannot be watched: {error}"));
        String::new()
    });
    Ok(Row {
        server,
        streams,
        cpu_ms: after.cpu_ms / count,
        switches: after.switches / count,
        idle_cpu_ms: idle.cpu_ms,
        idle_rss_kib,
        rss_kib,
        pss_kib,
        outside_kib,
        rate,
        late_p95_ms: report.late_p95_ms,
        watched_bps,
        faults,
        seen,
    })
}

impl Row {
    fn print(&self) {
        say(&format!(
            "{:<6} {:>4} {:>10.3} {:>9.1} {:>9.2} {:>9} {:>11.0} {:>11.0} {:>7.1} {:>9.2} {:>9.1}  {}",
            self.server,
            self.streams,
            self.cpu_ms,
            self.switches,
            self.idle_cpu_ms,
            self.idle_rss_kib,
            self.rss_kib,
            self.outside_kib,
            self.rate * 100.0,
            self.late_p95_ms,
            self.watched_bps / 1e6,
            if self.faults.is_empty() { &self.seen } else { "INVALID" },
        ));
        self.faults.iter().for_each(|fault| say(&format!("       {fault}")));
    }

    fn json(&self) -> Value {
        json!({
            "server": self.server, "streams": self.streams, "cpu_ms_per_stream_s": self.cpu_ms,
            "switches_per_stream_s": self.switches, "idle_cpu_ms_per_s": self.idle_cpu_ms,
            "idle_rss_kib": self.idle_rss_kib, "rss_kib_per_stream": self.rss_kib,
            "pss_kib_per_stream": self.pss_kib, "tmpfs_kib_per_stream": self.outside_kib,
            "sent_of_due": self.rate, "late_p95_ms": self.late_p95_ms, "watched_bps": self.watched_bps,
            "valid": self.faults.is_empty(), "faults": self.faults,
        })
    }
}

fn main() -> Result<()> {
    let options = Options::from_args();
    let watched = options.has("--watched");
    let counts = match options.number("--streams") {
        Some(count) => vec![count],
        None if options.quick() => vec![20],
        None => vec![1, 20, 100],
    };
    let clip = broadcast();
    say(&format!("ingest: streams of {:.2} Mbit/s", clip.bytes_per_s() * 8e-6));
    say_machine();
    say(if watched { "watched: readers on every stream" } else { "nobody watches during the measurement" });
    say(
        "                CPU ms/  switches/ idle CPU  idle RSS RSS KiB/    tmpfs KiB/  % of    late p95  watched",
    );
    say(
        "server streams  stream-s stream-s  ms/s      KiB      stream      stream      due     ms        Mbit/s",
    );
    let mut rows = Vec::new();
    for (nth, &count) in counts.iter().enumerate() {
        let order = if nth % 2 == 0 { ["nexus", "nginx"] } else { ["nginx", "nexus"] };
        for server in order {
            let row = run(server, count, watched, &clip)?;
            row.print();
            rows.push(row);
        }
        let cpu = |name: &str| rows.iter().rfind(|r| r.server == name).map_or(f64::NAN, |r| r.cpu_ms);
        let before = BEFORE.iter().find(|(streams, _)| *streams == count && !watched);
        let before = before.map_or(String::new(), |(_, ratio)| format!(", {ratio:.2} before"));
        say(&format!("       {count:>4} nexus / nginx = {:.2}{before}", cpu("nexus") / cpu("nginx")));
    }
    let json: Vec<Value> = rows.iter().map(Row::json).collect();
    say(&json!({"bench": "ingest", "watched": watched, "rows": json}).to_string());
    let invalid = rows.iter().any(|r| r.server == "nexus" && !r.faults.is_empty());
    if invalid { Err(Error::other("a run of nexus is not valid")) } else { Ok(()) }
}
