//! What relaying costs: one stream of 3 Mbit/s to 100 RTMP players, from nexus and from nginx-rtmp in the same
//! run, and how much later than sent its frames arrive.
//!
//! The cost is that of the measured seconds less that of the same stream without players just before. Most players
//! read and count; three, the first to join, one in the middle and the last, look into what they get.
//! `--quick` takes one round instead of three, `--players N` another number.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

mod measure;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use measure::nginx::Nginx;
use measure::sent::Sent;
use measure::{Options, Spread, broadcast, pass, publish_noting, say, say_machine};
use mio::{Events, Interest, Poll, Token};
use nx_rtmp::client::{Event, Intent, Output, Session};
use serde_json::{Value, json};
use support::Server;
use support::process::Usage;
use support::publish::{Clip, Publisher, dial};
use support::server::rss_kib;

const WARM_UP: Duration = Duration::from_secs(5);
const ALONE: Duration = Duration::from_secs(8);
/// Longer than a GOP: every player has been let in.
const SETTLE: Duration = Duration::from_secs(4);
const MEASURED: Duration = Duration::from_secs(10);
const STREAM: &str = "relay";
/// How long a reader waits before it looks whether it is over.
const LOOK: Duration = Duration::from_millis(200);

/// What players found.
#[derive(Default)]
struct Found {
    stop: AtomicBool,
    measuring: AtomicBool,
    bytes: AtomicU64,
    fallen: AtomicUsize,
    late: Mutex<Vec<Duration>>,
}

struct Players {
    found: Arc<Found>,
    threads: Vec<JoinHandle<()>>,
}

impl Players {
    fn join(address: SocketAddr, count: usize, sent: &Arc<Sent>) -> Result<Self> {
        let found = Arc::new(Found::default());
        let samples = [0, count / 2, count - 1];
        let (mut counting, mut threads) = (Vec::new(), Vec::new());
        for nth in 0..count {
            let (socket, session) = dial(address, "live", STREAM, Intent::Play)?;
            if samples.contains(&nth) {
                let (found, sent) = (found.clone(), sent.clone());
                threads.push(std::thread::spawn(move || sample(socket, session, &sent, &found)));
            } else {
                counting.push(socket);
            }
        }
        let theirs = found.clone();
        let mut crowd = Crowd::new(counting)?;
        threads.push(std::thread::spawn(move || crowd.count(&theirs)));
        Ok(Self { found, threads })
    }

    fn leave(self) -> (Vec<Duration>, usize) {
        self.found.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|t| t.join().expect("a player does not panic"));
        let late = std::mem::take(&mut *self.found.late.lock().expect("nobody panics here"));
        (late, self.found.fallen.load(Ordering::Relaxed))
    }
}

/// A player that looks at every message. Each thread keeps its own list until the end.
fn sample(mut socket: TcpStream, mut session: Session, sent: &Sent, found: &Found) {
    let mut late = Vec::new();
    if follow(&mut socket, &mut session, sent, found, &mut late).is_err() {
        found.fallen.fetch_add(1, Ordering::Relaxed);
    }
    found.late.lock().expect("nobody panics here").append(&mut late);
}

fn follow(
    socket: &mut TcpStream,
    session: &mut Session,
    sent: &Sent,
    found: &Found,
    late: &mut Vec<Duration>,
) -> Result<()> {
    socket.set_read_timeout(Some(LOOK))?;
    let mut buffer = vec![0; 64 << 10];
    while !found.stop.load(Ordering::Relaxed) {
        let len = match socket.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        let arrived = Instant::now();
        found.bytes.fetch_add(len as u64, Ordering::Relaxed);
        let measuring = found.measuring.load(Ordering::Relaxed);
        session.handle(0, &buffer[..len]).map_err(Error::other)?;
        while let Some(output) = session.poll() {
            match output {
                Output::Send(bytes) => socket.write_all(&bytes)?,
                Output::Event(Event::Audio { body, .. } | Event::Video { body, .. }) if measuring => {
                    late.extend(sent.at_end_of(&body).map(|at| arrived - at));
                }
                Output::Event(_) => {}
            }
        }
    }
    Ok(())
}

/// Players that read and count, in one thread.
struct Crowd {
    poll: Poll,
    sockets: Vec<mio::net::TcpStream>,
}

impl Crowd {
    fn new(sockets: Vec<TcpStream>) -> Result<Self> {
        let poll = Poll::new()?;
        let mut registered = Vec::with_capacity(sockets.len());
        for (nth, socket) in sockets.into_iter().enumerate() {
            socket.set_nonblocking(true)?;
            let mut socket = mio::net::TcpStream::from_std(socket);
            poll.registry().register(&mut socket, Token(nth), Interest::READABLE)?;
            registered.push(socket);
        }
        Ok(Self { poll, sockets: registered })
    }

    fn count(&mut self, found: &Found) {
        let (mut events, mut buffer) = (Events::with_capacity(256), vec![0; 64 << 10]);
        while !found.stop.load(Ordering::Relaxed) {
            if self.poll.poll(&mut events, Some(LOOK)).is_err() {
                continue;
            }
            for event in &events {
                let Some(socket) = self.sockets.get_mut(event.token().0) else { continue };
                match read_all(socket, &mut buffer) {
                    Ok(len) => found.bytes.fetch_add(len, Ordering::Relaxed),
                    Err(_) => {
                        let _ = self.poll.registry().deregister(socket);
                        found.fallen.fetch_add(1, Ordering::Relaxed) as u64
                    }
                };
            }
        }
    }
}

fn read_all(socket: &mut mio::net::TcpStream, buffer: &mut [u8]) -> Result<u64> {
    let mut total = 0;
    loop {
        match socket.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(len) => total += len as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(total),
            Err(error) => return Err(error),
        }
    }
}

enum Subject {
    Nexus(Server),
    Nginx(Nginx),
}

/// One row of the table.
struct Row {
    server: &'static str,
    cpu_ms_per_gbit: f64,
    gbit: f64,
    switches: f64,
    rss_kib: f64,
    late: Spread,
    faults: Vec<String>,
}

fn run(server: &'static str, count: usize, clip: &Arc<Clip>) -> Result<Row> {
    let subject = match server {
        "nexus" => Subject::Nexus(Server::start(&[])),
        _ => Subject::Nginx(Nginx::start()),
    };
    let (address, pid) = match &subject {
        Subject::Nexus(s) => (s.rtmp(), s.pid()),
        Subject::Nginx(n) => (n.rtmp, n.pid()),
    };
    let (sent, over) = (Arc::new(Sent::default()), Arc::new(AtomicBool::new(false)));
    let mut publisher = Publisher::connect(address, "live", STREAM, clip)?;
    let (notes, done) = (sent.clone(), over.clone());
    let publishing =
        std::thread::spawn(move || publish_noting(&mut publisher, &notes, || done.load(Ordering::Relaxed)));
    pass(WARM_UP);
    let before = Usage::of(pid);
    pass(ALONE);
    let alone = Usage::of(pid).since(&before);
    let rss_alone = rss_kib(pid);
    let players = Players::join(address, count, &sent)?;
    pass(SETTLE);
    players.found.measuring.store(true, Ordering::Relaxed);
    let (bytes, before) = (players.found.bytes.load(Ordering::Relaxed), Usage::of(pid));
    pass(MEASURED);
    let busy = Usage::of(pid).since(&before);
    let bytes = players.found.bytes.load(Ordering::Relaxed) - bytes;
    players.found.measuring.store(false, Ordering::Relaxed);
    let rss_kib = rss_kib(pid).saturating_sub(rss_alone) as f64 / count as f64;
    let (late, fallen) = players.leave();
    over.store(true, Ordering::Relaxed);
    let mut faults = Vec::new();
    if !publishing.join().expect("a publisher does not panic") {
        faults.push("the publisher fell off".to_owned());
    }
    if fallen > 0 {
        faults.push(format!("{fallen} players fell off"));
    }
    let gbit = bytes as f64 * 8e-9;
    let due = clip.bytes_per_s() * 8e-9 * busy.seconds * count as f64;
    if !(0.95..=1.05).contains(&(gbit / due)) {
        faults.push(format!("{:.1} % of the due rate arrived", gbit / due * 100.0));
    }
    Ok(Row {
        server,
        cpu_ms_per_gbit: (busy.cpu_ms - alone.cpu_ms) * busy.seconds / gbit,
        gbit,
        switches: busy.switches / count as f64,
        rss_kib,
        late: Spread::of(late),
        faults,
    })
}

impl Row {
    fn print(&self) {
        say(&format!(
            "{:<6} {:>9.1} {:>7.2} {:>10.1} {:>10.0} {:>9.2} {:>7.2} {:>7.1} {:>8}  {}",
            self.server,
            self.cpu_ms_per_gbit,
            self.gbit,
            self.switches,
            self.rss_kib,
            self.late.median,
            self.late.p95,
            self.late.max,
            self.late.count,
            if self.faults.is_empty() {
                String::new()
            } else {
                format!("INVALID: {}", self.faults.join(", "))
            },
        ));
    }

    fn json(&self) -> Value {
        json!({
            "server": self.server, "cpu_ms_per_gbit": self.cpu_ms_per_gbit, "gbit": self.gbit,
            "switches_per_player_s": self.switches, "rss_kib_per_player": self.rss_kib,
            "relay": self.late.json(), "valid": self.faults.is_empty(), "faults": self.faults,
        })
    }
}

fn main() -> Result<()> {
    let options = Options::from_args();
    let count = options.number("--players").unwrap_or(100).max(3);
    let rounds = if options.quick() { 1 } else { 3 };
    let clip = broadcast();
    say(&format!("play: one stream of {:.2} Mbit/s to {count} RTMP players", clip.bytes_per_s() * 8e-6));
    say_machine();
    say("       CPU ms/           switches/  RSS KiB/   relay latency ms");
    say("server Gbit       Gbit   player-s   player     median    p95     max   frames");
    let mut rows = Vec::new();
    for round in 0..rounds {
        let order = if round % 2 == 0 { ["nexus", "nginx"] } else { ["nginx", "nexus"] };
        for server in order {
            let row = run(server, count, &clip)?;
            row.print();
            rows.push(row);
        }
        let cpu =
            |name: &str| rows.iter().rfind(|r| r.server == name).map_or(f64::NAN, |r| r.cpu_ms_per_gbit);
        say(&format!("       nexus / nginx = {:.2}", cpu("nexus") / cpu("nginx")));
    }
    let json: Vec<Value> = rows.iter().map(Row::json).collect();
    say(&json!({"bench": "play", "players": count, "rows": json}).to_string());
    let invalid = rows.iter().any(|r| r.server == "nexus" && !r.faults.is_empty());
    if invalid { Err(Error::other("a run of nexus is not valid")) } else { Ok(()) }
}
