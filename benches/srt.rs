//! What SRT ingest costs: N publishers of 3 Mbit/s into nexus, from the datagram to HLS, and beside it in the same
//! run the floor: libsrt's own `srt-live-transmit`, which receives one stream per process and throws it away.
//!
//! `--quick` takes 20 streams only, `--streams N` another number.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

mod measure;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use measure::callers::{Callers, TsClip};
use measure::floor::Floor;
use measure::{Options, pass, say, say_machine, transport};
use serde_json::{Value, json};
use support::hls::Segments;
use support::process::Usage;
use support::server::rss_kib;
use support::{Server, http};

const IDLE: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_secs(12);
const MEASURED: Duration = Duration::from_secs(12);
/// The floor is not measured with more processes than that.
const FLOOR_MAX: usize = 20;
/// CPU that 20 streams may take, in milliseconds per second of stream.
const BAR: (usize, f64) = (20, 4.0);

/// Who receives.
enum Subject {
    Nexus(Server),
    Floor(Floor),
}

impl Subject {
    fn start(name: &str, streams: usize) -> Self {
        if name == "nexus" { Self::Nexus(Server::start(&[])) } else { Self::Floor(Floor::start(streams)) }
    }

    fn addresses(&self, streams: usize) -> Vec<SocketAddr> {
        match self {
            Self::Nexus(server) => vec![server.srt(); streams],
            Self::Floor(floor) => floor.addresses.clone(),
        }
    }

    fn pids(&self) -> Vec<u32> {
        match self {
            Self::Nexus(server) => vec![server.pid()],
            Self::Floor(floor) => floor.pids(),
        }
    }

    fn rss_kib(&self) -> u64 {
        self.pids().into_iter().map(rss_kib).sum()
    }

    /// What is wrong with it, and what it has lost.
    fn look(&mut self, streams: usize) -> Result<(Losses, Vec<String>)> {
        match self {
            Self::Nexus(server) => {
                let losses = Losses::of(server)?;
                let mut faults = Vec::new();
                if losses.live != streams as u64 {
                    faults.push(format!("{} of {streams} streams are live", losses.live));
                }
                let playlist = format!("/live/bench{:03}/ts/index.m3u8", streams - 1);
                let segments = Segments::new(server.edge(), &playlist)?.step()?;
                if !segments.last().is_some_and(|s| s.first() == Some(&0x47) && s.len() % 188 == 0) {
                    faults.push(format!("{playlist} has no TS segment"));
                }
                Ok((losses, faults))
            }
            Self::Floor(floor) => {
                let fallen = floor.fallen();
                let faults = (fallen > 0).then(|| format!("{fallen} processes have ended"));
                Ok((Losses::default(), faults.into_iter().collect()))
            }
        }
    }
}

/// What the status API says of all streams together.
#[derive(Debug, Default)]
struct Losses {
    live: u64,
    /// Packets that were missing at first, and those given up.
    lost: u64,
    dropped: u64,
    /// Packets of the transport streams that were missing in the end.
    transport: u64,
    repairs: u64,
}

impl Losses {
    fn of(server: &Server) -> Result<Self> {
        let reply = http::get(server.gateway(), "/api/streamcore/v1/streams?limit=100")?;
        let list: Value = serde_json::from_slice(&reply.body)?;
        let mut all = Self::default();
        for stream in list["items"].as_array().into_iter().flatten() {
            let input = &stream["inputs"][0];
            let number = |value: &Value| value.as_u64().unwrap_or(0);
            all.live += u64::from(stream["state"] == "live" && input["state"] == "on_air");
            all.lost += number(&input["link"]["lost"]);
            all.dropped += number(&input["link"]["dropped"]);
            all.transport += number(&input["transport"]["lost_packets"]);
            all.repairs += number(&stream["repairs"]["total"]);
        }
        Ok(all)
    }
}

/// One row of the table.
struct Row {
    server: &'static str,
    streams: usize,
    cpu_ms: f64,
    switches: f64,
    idle_rss_kib: u64,
    rss_kib: f64,
    rate: f64,
    resent: u64,
    given_up: u64,
    losses: Losses,
    faults: Vec<String>,
}

fn run(server: &'static str, streams: usize, clip: &Arc<TsClip>) -> Result<Row> {
    let mut subject = Subject::start(server, streams);
    let (pids, count) = (subject.pids(), streams as f64);
    pass(IDLE);
    let idle_rss_kib = subject.rss_kib();
    let callers = Callers::start(&subject.addresses(streams), clip)?;
    pass(WARM_UP);
    let usage = || -> Vec<Usage> { pids.iter().map(|pid| Usage::of(*pid)).collect() };
    let (sent, before) = (callers.bytes(), usage());
    pass(MEASURED);
    let (sent, after) = (callers.bytes() - sent, usage());
    let rates: Vec<_> = after.iter().zip(&before).map(|(after, before)| after.since(before)).collect();
    let rss_kib = subject.rss_kib().saturating_sub(idle_rss_kib) as f64 / count;
    let (losses, mut faults) = subject.look(streams)?;
    let report = callers.stop();
    faults.extend(report.fallen.first().map(|why| format!("{} links fell: {why}", report.fallen.len())));
    let seconds = rates.first().map_or(f64::NAN, |r| r.seconds);
    let rate = sent as f64 / seconds / (clip.bytes_per_s() * count);
    if !(0.95..=1.05).contains(&rate) {
        faults.push(format!("{:.1} % of the due rate was sent", rate * 100.0));
    }
    Ok(Row {
        server,
        streams,
        cpu_ms: rates.iter().map(|r| r.cpu_ms).sum::<f64>() / count,
        switches: rates.iter().map(|r| r.switches).sum::<f64>() / count,
        idle_rss_kib,
        rss_kib,
        rate,
        resent: report.resent,
        given_up: report.dropped + losses.dropped,
        losses,
        faults,
    })
}

impl Row {
    fn print(&self) {
        say(&format!(
            "{:<7} {:>6} {:>9.3} {:>9.1} {:>9} {:>10.0} {:>6.1} {:>7} {:>7} {:>9} {:>9} {:>8}  {}",
            self.server,
            self.streams,
            self.cpu_ms,
            self.switches,
            self.idle_rss_kib,
            self.rss_kib,
            self.rate * 100.0,
            self.losses.lost,
            self.resent,
            self.given_up,
            self.losses.transport,
            self.losses.repairs,
            if self.faults.is_empty() { "" } else { "INVALID" },
        ));
        self.faults.iter().for_each(|fault| say(&format!("       {fault}")));
    }

    fn json(&self) -> Value {
        json!({
            "server": self.server, "streams": self.streams, "cpu_ms_per_stream_s": self.cpu_ms,
            "switches_per_stream_s": self.switches, "idle_rss_kib": self.idle_rss_kib,
            "rss_kib_per_stream": self.rss_kib, "sent_of_due": self.rate, "lost": self.losses.lost,
            "resent": self.resent, "given_up": self.given_up, "ts_packets_lost": self.losses.transport,
            "repairs": self.losses.repairs, "valid": self.faults.is_empty(), "faults": self.faults,
        })
    }
}

fn main() -> Result<()> {
    let options = Options::from_args();
    let counts = match options.number("--streams") {
        Some(count) => vec![count],
        None if options.quick() => vec![20],
        None => vec![1, 20, 50],
    };
    let clip = transport();
    assert!(clip.length() > WARM_UP + MEASURED + Duration::from_secs(4), "the clip is over too early");
    say(&format!("srt: transport streams of {:.2} Mbit/s, latency 120 ms", clip.bytes_per_s() * 8e-6));
    say_machine();
    say("            CPU ms/   switches/ idle RSS RSS KiB/   % of   packets                     TS pkts");
    say(
        "server  streams stream-s stream-s KiB     stream     due    lost    resent  given up  lost    repairs",
    );
    let mut rows = Vec::new();
    for count in counts {
        for server in ["floor", "nexus"] {
            if server == "nexus" || count <= FLOOR_MAX {
                let row = run(server, count, &clip)?;
                row.print();
                rows.push(row);
            }
        }
    }
    let at_bar = rows.iter().find(|r| r.server == "nexus" && r.streams == BAR.0).map(|r| r.cpu_ms);
    if let Some(cpu_ms) = at_bar {
        let word = if cpu_ms <= BAR.1 { "kept" } else { "BROKEN" };
        say(&format!("{} streams: {cpu_ms:.2} ms, at most {:.2} wanted: {word}", BAR.0, BAR.1));
    }
    say(
        "elsewhere, SRT to HLS: ZLMediaKit 8.3, SRS 18.7, MediaMTX 23.0 ms; reading the datagrams alone 0.7 ms",
    );
    let json: Vec<Value> = rows.iter().map(Row::json).collect();
    say(&json!({"bench": "srt", "rows": json}).to_string());
    let invalid = rows.iter().any(|r| r.server == "nexus" && !r.faults.is_empty());
    if invalid { Err(Error::other("a run of nexus is not valid")) } else { Ok(()) }
}
