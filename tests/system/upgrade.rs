//! An edge is replaced by another process while it serves: no request fails.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::encoder::{eventually, scratch};
use crate::support::http::{self, Client};
use crate::support::plane::Plane;
use crate::support::server::Server;
use crate::support::upstream::{Upstream, answer};

const LIMIT: Duration = Duration::from_secs(30);

/// Ends processes that are nobody's children any more.
#[derive(Default)]
struct Orphans(Vec<u32>);

impl Drop for Orphans {
    fn drop(&mut self) {
        self.0.iter().for_each(|pid| signal(*pid, "KILL"));
    }
}

fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).output();
}

fn is_gone(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie is gone: the test does not look after the first of them.
    stat.is_empty() || stat.contains(") Z ")
}

/// Processes that have taken over so far, in order.
fn successors(edge: &Server) -> Vec<u32> {
    let log = edge.log();
    let lines = log.lines().filter(|line| line.contains("another process has taken over\""));
    lines.filter_map(|l| l.split("\"pid\":").nth(1)?.split([',', '}']).next()?.parse().ok()).collect()
}

/// Asks again and again, on new connections or on one that is kept as long as the server says; counts.
fn ask(edge: SocketAddr, keeps: bool, stop: &AtomicBool, asked: &AtomicUsize) -> Result<(), String> {
    let mut kept: Option<Client> = None;
    while !stop.load(Ordering::Relaxed) {
        let told =
            |e: std::io::Error| format!("kept {keeps}, request {}: {e}", asked.load(Ordering::Relaxed));
        let mut client = match kept.take() {
            Some(client) => client,
            None => Client::connect(edge).map_err(told)?,
        };
        let reply = client.get("/o/a.m4s", &[]).map_err(told)?;
        if reply.status != 200 || reply.body.len() != 20_000 {
            return Err(format!("status {}, {} bytes", reply.status, reply.body.len()));
        }
        asked.fetch_add(1, Ordering::Relaxed);
        kept = (keeps && reply.header("connection") != Some("close")).then_some(client);
    }
    Ok(())
}

#[test]
fn no_request_fails_while_an_edge_is_replaced_twice() {
    let plane = Plane::new("upgrade-plane");
    let origin =
        Upstream::start(|_, out| answer(out, "200 OK", &[("cache-control", "max-age=600")], &[7; 20_000]));
    let disk = scratch("upgrade-disk");
    let cache = format!(
        "[edge.cache]\ndisk = {disk:?}\n[[edge.upstream]]\nname = \"film\"\npath = \"/o/\"\norigins = [{:?}]\n",
        origin.url()
    );
    let nowhere: SocketAddr = ([127, 0, 0, 1], 9).into();
    let edge = plane.edge_with(&[nowhere], &cache);
    let wanted: usize =
        std::env::var("NEXUS_UPGRADE_REQUESTS").ok().and_then(|n| n.parse().ok()).unwrap_or(3_000);
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let address = edge.edge();
    let askers: Vec<_> = [true, false, true, false]
        .map(|keeps| {
            let (stop, asked) = (stop.clone(), asked.clone());
            std::thread::spawn(move || ask(address, keeps, &stop, &asked))
        })
        .into();
    let reached = |n: usize| eventually(LIMIT * 10, || (asked.load(Ordering::Relaxed) >= n).then_some(()));
    let mut orphans = Orphans::default();
    let mut pid = edge.pid();
    for nth in 1..=2 {
        assert!(reached(wanted * nth / 3).is_some(), "{}", edge.log());
        signal(pid, "USR2");
        let next = eventually(LIMIT, || successors(&edge).get(nth - 1).copied());
        let next = next.unwrap_or_else(|| panic!("nobody took over:\n{}", edge.log()));
        orphans.0.push(next);
        assert!(
            eventually(LIMIT, || is_gone(pid).then_some(())).is_some(),
            "{pid} did not stop:\n{}",
            edge.log()
        );
        pid = next;
    }
    let since = asked.load(Ordering::Relaxed);
    assert!(reached(wanted.max(since + 100)).is_some(), "{}", edge.log());
    stop.store(true, Ordering::Relaxed);
    for asker in askers {
        assert_eq!(asker.join().expect("it asks"), Ok(()));
    }
    // TLS has moved along, and the cache's folder is the last one's alone.
    assert!(std::net::TcpStream::connect(edge.https()).is_ok());
    assert_eq!(edge.log().matches("the disk cache is read").count(), 3, "{}", edge.log());
    let metrics = http::get(address, "/metrics").expect("an answer").body;
    assert!(String::from_utf8_lossy(&metrics).contains("nexus_"), "it is measured");
    signal(pid, "TERM");
    assert!(eventually(LIMIT, || is_gone(pid).then_some(())).is_some(), "{}", edge.log());
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn what_cannot_be_replaced_goes_on() {
    let origin = Server::start(&[]);
    origin.signal("USR2");
    assert!(origin.wait_for_log("the publishers of an origin cannot move", LIMIT), "{}", origin.log());
    assert_eq!(http::get(origin.edge(), "/health/ready").expect("an answer").status, 200);
}
