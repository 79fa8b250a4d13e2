//! What waiting costs: reloads of one playlist that are parked on a part to come, and how they are let go.
//!
//! Counts how often the playlist was written for them, how long after the first the others had their answer, and
//! what a parked connection takes of the server's memory. `--quick` takes two rounds instead of five,
//! `--players N` another number than 3000.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

mod measure;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use measure::{Options, broadcast, pass, say, say_machine};
use mio::{Events, Interest, Poll, Token};
use serde_json::json;
use support::publish::Publisher;
use support::{Server, http};

/// Longer than the window: what the stream itself takes has stopped growing.
const WARM_UP: Duration = Duration::from_secs(20);
/// After the last request of a round is written, until memory is looked at.
const SETTLE: Duration = Duration::from_millis(300);
/// A hold ends after six seconds.
const PATIENCE: Duration = Duration::from_secs(10);
const PLAYLIST: &str = "/live/park/v1/index.m3u8";

/// A player that waits.
struct Player {
    socket: mio::net::TcpStream,
    got: Vec<u8>,
    done: Option<Instant>,
}

impl Player {
    /// Reads what is there; whether the answer is whole.
    fn read(&mut self) -> Result<bool> {
        let mut buffer = [0; 16 << 10];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(len) => self.got.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(whole(&self.got)),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether these bytes are an answer from its first line to the end of its body.
fn whole(got: &[u8]) -> bool {
    let Some(head) = got.windows(4).position(|w| w == b"\r\n\r\n") else { return false };
    let text = String::from_utf8_lossy(&got[..head]).to_ascii_lowercase();
    let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    length.is_some_and(|length: usize| got.len() >= head + 4 + length)
}

struct Crowd {
    poll: Poll,
    players: Vec<Player>,
}

impl Crowd {
    fn join(address: SocketAddr, count: usize) -> Result<Self> {
        let (poll, mut players) = (Poll::new()?, Vec::with_capacity(count));
        for nth in 0..count {
            let socket = std::net::TcpStream::connect(address)?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            let mut socket = mio::net::TcpStream::from_std(socket);
            poll.registry().register(&mut socket, Token(nth), Interest::READABLE)?;
            players.push(Player { socket, got: Vec::new(), done: None });
        }
        Ok(Self { poll, players })
    }

    fn ask(&mut self, path: &str) -> Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: parked\r\naccept-encoding: gzip, br\r\n\r\n");
        for player in &mut self.players {
            player.got.clear();
            player.done = None;
            player.socket.write_all(request.as_bytes())?;
        }
        Ok(())
    }

    /// How long after the first each of the others was answered, in milliseconds, sorted.
    fn answers(&mut self) -> Result<Vec<f64>> {
        let mut events = Events::with_capacity(1024);
        let (deadline, mut left) = (Instant::now() + PATIENCE, self.players.len());
        while left > 0 {
            if Instant::now() > deadline {
                return Err(Error::other(format!("{left} players were not answered")));
            }
            self.poll.poll(&mut events, Some(Duration::from_millis(100)))?;
            for event in &events {
                let Some(player) = self.players.get_mut(event.token().0) else { continue };
                if player.read()? && player.done.is_none() {
                    player.done = Some(Instant::now());
                    left -= 1;
                }
            }
        }
        let bad = self.players.iter().find(|p| !p.got.starts_with(b"HTTP/1.1 200"));
        if let Some(bad) = bad {
            return Err(Error::other(String::from_utf8_lossy(&bad.got).into_owned()));
        }
        let done: Vec<Instant> = self.players.iter().filter_map(|p| p.done).collect();
        let first = done.iter().min().copied().unwrap_or_else(Instant::now);
        let mut late: Vec<f64> = done.iter().map(|at| (*at - first).as_secs_f64() * 1e3).collect();
        late.sort_by(f64::total_cmp);
        Ok(late)
    }
}

/// Memory of the process that is its own, KiB.
fn anonymous_kib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
    line.and_then(|l| l.trim().split(' ').next()?.parse().ok()).unwrap_or(f64::NAN)
}

/// Playlists written so far.
fn rendered(server: &Server) -> Result<u64> {
    let page = http::get(server.origin(), "/metrics")?;
    let text = String::from_utf8_lossy(&page.body).into_owned();
    let name = "nexus_stream_playlists_rendered_total{stream=\"live/park\"} ";
    let value = text.lines().find_map(|l| l.strip_prefix(name)?.parse().ok());
    value.ok_or_else(|| Error::other("no such figure in /metrics"))
}

/// The fourth part of the segment after the one that is being made: at least four parts away.
fn ahead(server: &Server) -> Result<String> {
    let reply = http::get(server.edge(), PLAYLIST)?;
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    let msn = text.split("TYPE=PART,URI=\"").nth(1).and_then(|rest| rest.split('.').next()?.parse().ok());
    let msn: u64 = msn.ok_or_else(|| Error::other(format!("no hint: {} {text}", reply.status)))?;
    Ok(format!("{PLAYLIST}?_HLS_msn={}&_HLS_part=3", msn + 1))
}

fn main() -> Result<()> {
    let options = Options::from_args();
    let count = options.number("--players").unwrap_or(3000).max(2);
    let rounds = if options.quick() { 2 } else { 5 };
    say(&format!("parked: {count} reloads of one playlist wait for the same part"));
    say_machine();
    let server = Server::start(&[]);
    let (clip, over) = (broadcast(), Arc::new(AtomicBool::new(false)));
    let mut publisher = Publisher::connect(server.rtmp(), "live", "park", &clip)?;
    let done = over.clone();
    let publishing = std::thread::spawn(move || {
        measure::publish_noting(&mut publisher, &measure::sent::Sent::default(), || {
            done.load(Ordering::Relaxed)
        })
    });
    pass(WARM_UP);
    let alone = anonymous_kib(server.pid());
    let mut crowd = Crowd::join(server.edge(), count)?;
    pass(SETTLE);
    let each = |kib: f64| (kib - alone) / count as f64;
    let idle = each(anonymous_kib(server.pid()));
    say(&format!("an idle connection takes {idle:.1} KiB"));
    say("round   renders   skew p50   p99    max ms   KiB per parked connection");
    let mut rows = Vec::new();
    for round in 1..=rounds {
        let path = ahead(&server)?;
        let before = rendered(&server)?;
        crowd.ask(&path)?;
        pass(SETTLE);
        let parked = each(anonymous_kib(server.pid()));
        let late = crowd.answers()?;
        let renders = rendered(&server)? - before;
        let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize];
        let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
        say(&format!("{round:>5} {renders:>9} {p50:>10.1} {p99:>5.1} {max:>9.1} {parked:>10.1}"));
        rows.push(json!({"renders": renders, "skew_p50_ms": p50, "skew_p99_ms": p99, "parked_kib": parked}));
    }
    over.store(true, Ordering::Relaxed);
    let _ = publishing.join();
    say(&json!({"bench": "parked", "players": count, "idle_kib": idle, "rounds": rows}).to_string());
    Ok(())
}
