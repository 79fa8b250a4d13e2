//! What signing in costs others, and what its time tells: viewers' requests while a hundred people sign in at once, and how
//! long a wrong password takes for who is there and for who is not.
//!
//! Rounds of rest and crowd take turns, so that what else the machine does falls on both. `--quick` makes two of them
//! instead of twelve. Nobody of the crowd may be refused: refusals are answered by the thousand, and would be what is measured.
//! Wrong passwords come last for that reason, since their network counts them.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

mod measure;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use measure::sent::Sent;
use measure::{Options, Spread, broadcast, pass, publish_noting, say, say_machine};
use serde_json::json;
use support::Server;
use support::http::Client;
use support::publish::Publisher;

/// People who sign in at once.
const CROWD: usize = 100;
/// Time of a round, and between two requests of a viewer.
const ROUND: Duration = Duration::from_secs(4);
const PACE: Duration = Duration::from_millis(4);
/// Wrong passwords of each kind: fewer than a network has free.
const WRONG: usize = 140;
const PASSWORD: &str = "correct horse battery";

fn post(server: &Server, path: &str, body: &serde_json::Value) -> Result<u16> {
    let headers = [("content-type", "application/json")];
    let path = format!("/api/auth-service/v1/{path}");
    Ok(Client::connect(server.gateway())?.ask("POST", &path, &headers, body.to_string().as_bytes())?.status)
}

fn account(nth: usize) -> serde_json::Value {
    json!({"handle": format!("person-{nth}"), "password": PASSWORD})
}

/// How long each request of one viewer takes, for a round.
fn watch(edge: SocketAddr) -> Result<Vec<Duration>> {
    let (mut client, end) = (Client::connect(edge)?, Instant::now() + ROUND);
    let mut took = Vec::new();
    while Instant::now() < end {
        let asked = Instant::now();
        let reply = client.get("/live/show/v1/index.m3u8", &[])?;
        took.push(asked.elapsed());
        if reply.status != 200 {
            return Err(Error::other(format!("the viewer got {}", reply.status)));
        }
        pass(PACE);
    }
    Ok(took)
}

/// A round of a viewer while a hundred people sign in again and again; log-ins that went well.
fn crowded(server: &Server) -> Result<(Vec<Duration>, u64)> {
    let (over, done, refused) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let took = std::thread::scope(|scope| {
        for nth in 0..CROWD {
            let (over, done, refused) = (&over, &done, &refused);
            scope.spawn(move || {
                // They are at other machines.
                let _ = rustix::process::nice(19);
                while !over.load(Ordering::Relaxed) {
                    let status = post(server, "login", &account(nth)).unwrap_or_default();
                    let counted = if status == 200 { done } else { refused };
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        pass(Duration::from_millis(500));
        let before = done.load(Ordering::Relaxed);
        let took = watch(server.edge());
        let log_ins = done.load(Ordering::Relaxed) - before;
        over.store(true, Ordering::Relaxed);
        Ok((took?, log_ins))
    });
    match refused.into_inner() {
        0 => took,
        some => Err(Error::other(format!("{some} log-ins of the crowd were refused"))),
    }
}

/// Medians of a wrong password, for who is there and for who is not, asked in turns.
fn wrong(server: &Server) -> Result<(Spread, Spread)> {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for nth in 0..WRONG {
        // Four tries are free for each of them.
        for (into, name) in [(&mut known, "person"), (&mut unknown, "nobody")] {
            let body = json!({"handle": format!("{name}-{}", nth / 4), "password": "a wrong password"});
            let asked = Instant::now();
            let status = post(server, "login", &body)?;
            into.push(asked.elapsed());
            if status != 401 {
                return Err(Error::other(format!("a wrong password got {status}")));
            }
        }
    }
    Ok((Spread::of(known), Spread::of(unknown)))
}

fn main() -> Result<()> {
    let options = Options::from_args();
    say_machine();
    let server = Server::start(&[]);
    for nth in 0..CROWD {
        let status = post(&server, "signup", &account(nth))?;
        if status != 200 {
            return Err(Error::other(format!("an account got {status}: {}", server.log())));
        }
    }
    let mut publisher = Publisher::connect(server.rtmp(), "live", "show", &broadcast())?;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| publish_noting(&mut publisher, &Sent::default(), || over.load(Ordering::Relaxed)));
        let measured = rounds(&server, if options.quick() { 2 } else { 12 });
        over.store(true, Ordering::Relaxed);
        measured
    })?;
    let (known, unknown) = wrong(&server)?;
    say(&json!({"bench": "login", "what": "a wrong password", "tries": WRONG, "known": known.json(),
                "unknown": unknown.json(), "ratio_median": ratio(known.median, unknown.median)})
    .to_string());
    Ok(())
}

fn rounds(server: &Server, count: usize) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while watch_once(server.edge()).is_err() {
        if Instant::now() > deadline {
            return Err(Error::other("the stream does not come"));
        }
        pass(Duration::from_millis(100));
    }
    let (mut rest, mut crowd, mut log_ins) = (Vec::new(), Vec::new(), 0);
    for _ in 0..count {
        rest.extend(watch(server.edge())?);
        let (took, done) = crowded(server)?;
        crowd.extend(took);
        log_ins += done;
    }
    let (rest, crowd) = (Spread::of(rest), Spread::of(crowd));
    let per_s = log_ins as f64 / (ROUND.as_secs_f64() * count as f64);
    say(&json!({"bench": "login", "what": "a viewer's playlist", "crowd": CROWD, "log_ins_per_s": per_s,
                "rest": rest.json(), "while_they_sign_in": crowd.json(),
                "ratio_median": ratio(crowd.median, rest.median), "ratio_p99": ratio(crowd.p99, rest.p99)})
    .to_string());
    Ok(())
}

fn watch_once(edge: SocketAddr) -> Result<()> {
    let status = Client::connect(edge)?.get("/live/show/v1/index.m3u8", &[])?.status;
    if status == 200 { Ok(()) } else { Err(Error::other("not yet")) }
}

fn ratio(one: f64, other: f64) -> f64 {
    (one / other * 1000.0).round() / 1000.0
}
