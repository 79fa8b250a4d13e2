//! What passing a request on costs: the gateway in front of a service of another process, beside nginx and HAProxy as plain
//! reverse proxies to the same small upstream on connections that are kept; then with an access token that is checked and
//! limits that are counted, of which nobody is refused.
//!
//! Each proxy has one core to itself, generator and upstream have the other. First 18 000 connections that stay open; then CPU
//! time, in turns; then latency at 10 000 requests a second by the clock, where a request's time runs from when it was due.
//! `--quick` takes two short rounds instead of five, `--rate N` and `--connections N` other numbers.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

mod measure;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use measure::canned::{self, Canned};
use measure::haproxy::Haproxy;
use measure::load::Load;
use measure::nginx::Nginx;
use measure::{Options, Spread, pass, say, say_machine, stage};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use support::Server;
use support::http::Client;
use support::process::{Usage, pss_kib};

const TOKEN: &str = "0123456789abcdef";
const IDENTITY: &str = "service auth-service user-auth session-mgr token-mgr";
/// Anybody may ask there, and only who is somebody.
const OPEN: &str = "/api/glitch/v1/api/1000";
const SHUT: &str = "/api/streaming-service-v2/v1/1000";
/// The services that the upstream is registered as.
const POSED: [&str; 2] = ["glitch", "streaming-service-v2"];
/// Where generator and upstream run; servers have the other core.
const OTHERS: usize = 0;
const CONNECTIONS: usize = 64;
/// How many of many ask together.
const AT_ONCE: usize = 250;
const SETTLE: Duration = Duration::from_millis(400);
const BEAT: Duration = Duration::from_secs(2);
/// More than anybody here asks in a minute.
const PER_MINUTE: u32 = 10_000_000;

/// A gateway, who says who asks, and the upstream among its services.
struct Ours {
    gateway: Server,
    _identity: Server,
    secret: PathBuf,
    bearer: String,
    over: Arc<AtomicBool>,
    beats: Option<JoinHandle<()>>,
}

impl Ours {
    fn start(upstream: SocketAddr) -> Result<Self> {
        let secret = std::env::temp_dir().join(format!("nexus-bench-secret-{}", std::process::id()));
        std::fs::write(&secret, "the processes of a benchmark know each other")?;
        let limits = format!("{{ per_minute = {PER_MINUTE} }}");
        stage::pin(stage::SERVERS);
        let gateway = Server::role(
            "gateway",
            &format!(
                "[gateway]\ntoken = {TOKEN:?}\nconnections_max = 30000\n[gateway.limits]\nkey = {limits}\nuser = {limits}\n\
                 [gateway.ring]\nsecret_file = {secret:?}\n"
            ),
        );
        stage::pin(OTHERS);
        let at = gateway.gateway();
        // Nobody hears of facts here: a bus that is away is as good as one.
        let ring = format!(
            "[gateway.ring]\nsecret_file = {secret:?}\nregistry = \"{at}\"\nfree_ports = true\nbus = \"amqp://127.0.0.1:9\"\n"
        );
        let identity = Server::role(IDENTITY, &ring);
        // Once, and then as every instance does.
        POSED.iter().try_for_each(|service| beat(at, service, upstream))?;
        let over = Arc::new(AtomicBool::new(false));
        let done = over.clone();
        let beats = std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                pass(BEAT);
                // One that is lost is not missed.
                POSED.iter().for_each(|service| drop(beat(at, service, upstream)));
            }
        });
        let bearer = signed_up(at)?;
        Ok(Self { gateway, _identity: identity, secret, bearer, over, beats: Some(beats) })
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.beats.take().into_iter().for_each(|beats| drop(beats.join()));
        let _ = std::fs::remove_file(&self.secret);
    }
}

fn ask(gateway: SocketAddr, method: &str, path: &str, bearer: &str, body: &Value) -> Result<(u16, Value)> {
    let bearer = format!("Bearer {bearer}");
    let headers = [("content-type", "application/json"), ("authorization", &*bearer)];
    let text = body.to_string();
    let reply = Client::connect(gateway)?.ask(method, path, &headers, text.as_bytes())?;
    Ok((reply.status, serde_json::from_slice(&reply.body).unwrap_or_default()))
}

/// The upstream is there, as one instance of this service.
fn beat(gateway: SocketAddr, service: &str, upstream: SocketAddr) -> Result<()> {
    let id = format!("bench-{service}");
    let instance = json!({"id": id, "service": service, "address": upstream.to_string(), "ready": true});
    let path = format!("/api/backend-api/v1/instances/{id}");
    match ask(gateway, "PUT", &path, TOKEN, &instance)? {
        (200, _) => Ok(()),
        (status, said) => Err(Error::other(format!("{service} is not taken: {status} {said}"))),
    }
}

/// The access token of somebody.
fn signed_up(gateway: SocketAddr) -> Result<String> {
    let account = json!({"handle": "ada", "password": "correct horse battery"});
    // The services come one by one.
    for _ in 0..100 {
        let (status, said) = ask(gateway, "POST", "/api/auth-service/v1/signup", TOKEN, &account)?;
        match said["access_token"].as_str() {
            Some(token) => return Ok(token.to_owned()),
            None if status < 500 => return Err(Error::other(format!("no account: {status} {said}"))),
            None => pass(Duration::from_millis(200)),
        }
    }
    Err(Error::other("nobody can get an account"))
}

/// One of those who are measured.
struct Door<'a> {
    name: &'static str,
    pid: u32,
    address: SocketAddr,
    path: &'a str,
    headers: String,
}

impl Door<'_> {
    fn load(&self, connections: usize) -> Result<Load> {
        Load::still(self.address, &[self.path.to_owned()], &self.headers, connections)
    }

    /// CPU for each request, microseconds.
    fn cost(&self, time: Duration) -> Result<f64> {
        let mut load = self.load(CONNECTIONS)?;
        load.ask_all()?;
        load.run(SETTLE)?;
        let (answers, before) = (load.answers, Usage::of(self.pid));
        load.run(time)?;
        let used = Usage::of(self.pid).since(&before);
        Ok(used.cpu_ms * used.seconds * 1000.0 / (load.answers - answers) as f64)
    }

    /// How long after they were due requests are answered.
    fn latency(&self, per_s: u32, time: Duration) -> Result<Spread> {
        let mut load = self.load(CONNECTIONS)?;
        load.paced(per_s, SETTLE)?;
        Ok(Spread::of(load.paced(per_s, time)?))
    }

    /// Memory for each of so many connections that have asked once and stay, KiB; all are answered once more after that.
    fn held(&self, connections: usize) -> Result<f64> {
        self.load(CONNECTIONS)?.each()?;
        let before = pss_kib(self.pid);
        let mut loads = Vec::new();
        for first in (0..connections).step_by(AT_ONCE) {
            let mut load = self.load(AT_ONCE.min(connections - first))?;
            load.each()?;
            loads.push(load);
        }
        let each = pss_kib(self.pid).saturating_sub(before) as f64 / connections as f64;
        loads.iter_mut().try_for_each(Load::each)?;
        Ok(each)
    }
}

/// Median, least and most.
fn middle(all: &mut [f64]) -> (f64, f64, f64) {
    all.sort_by(f64::total_cmp);
    let at = |place: usize| all.get(place).copied().unwrap_or(f64::NAN);
    (at(all.len() / 2), at(0), at(all.len() - 1))
}

/// CPU time in turns: medians, in the order of the doors.
fn costs(doors: &[Door<'_>], rounds: usize, time: Duration) -> Result<Vec<f64>> {
    let mut all = vec![Vec::new(); doors.len()];
    for _ in 0..rounds {
        for (door, costs) in doors.iter().zip(&mut all) {
            costs.push(door.cost(time).map_err(|e| Error::other(format!("{}: {e}", door.name)))?);
        }
    }
    say("                   CPU µs per request      requests");
    say("                  median   least    most    per CPU s");
    let mut medians = Vec::new();
    for (door, costs) in doors.iter().zip(&mut all) {
        let (median, least, most) = middle(costs);
        let per_s = 1e6 / median;
        say(&format!("{:<16} {median:>7.1} {least:>7.1} {most:>7.1} {per_s:>12.0}", door.name));
        say(&json!({"bench": "gateway", "what": "cpu", "who": door.name, "us": median, "least_us": least,
                    "most_us": most, "per_cpu_s": per_s})
        .to_string());
        medians.push(median);
    }
    Ok(medians)
}

fn main() -> Result<()> {
    canned::serve_if_asked()?;
    let options = Options::from_args();
    let congestion = stage::isolate();
    let connections = options.number("--connections").unwrap_or(18_000);
    let rate = options.number("--rate").and_then(|n| u32::try_from(n).ok()).unwrap_or(10_000).max(1);
    descriptors(connections as u64 + 1024)?;
    say(
        "gateway: requests that are passed on to a service of another process, answers of 1 000 bytes, HTTP/1.1",
    );
    say_machine();
    say(&format!("TCP {congestion}, {CONNECTIONS} connections"));
    stage::pin(OTHERS);
    let upstream = Canned::start()?;
    let ours = Ours::start(upstream.address)?;
    stage::pin(stage::SERVERS);
    let (nginx, haproxy) = (Nginx::proxy(upstream.address), Haproxy::proxy(upstream.address));
    stage::pin(OTHERS);
    let authorization = format!("Authorization: Bearer {}\r\n", ours.bearer);
    let plain = |name, pid, address| Door { name, pid, address, path: OPEN, headers: String::new() };
    let (pid, address) = (ours.gateway.pid(), ours.gateway.gateway());
    let doors = [
        plain("nginx", nginx.pid(), nginx.http),
        plain("HAProxy", haproxy.pid(), haproxy.http),
        plain("nexus", pid, address),
        Door { name: "nexus, token", pid, address, path: SHUT, headers: authorization },
    ];
    let (rounds, seconds) = if options.quick() { (2, 1) } else { (5, 3) };
    let time = Duration::from_secs(seconds);
    // First, while none has room left of something else.
    memory(&doors[..3], connections);
    let medians = costs(&doors, rounds, time)?;
    if let [nginx, _, plain, token] = medians[..] {
        say(&format!(
            "nexus / nginx: {:.2} (bar 1.1), with token and limits {:.2} (bar 1.3)",
            plain / nginx,
            token / nginx
        ));
    }
    latencies(&doors, rate, time * 3);
    Ok(())
}

/// One that cannot keep the pace is told of, and the others are measured.
fn latencies(doors: &[Door<'_>], rate: u32, time: Duration) {
    say(&format!(
        "{rate} requests a second by the clock, ms   median     p95     p99     max   (bar: p95 < 5)"
    ));
    for door in doors {
        match door.latency(rate, time) {
            Ok(spread) => {
                let Spread { median, p95, p99, max, .. } = spread;
                say(&format!("{:<36} {median:>8.2} {p95:>7.2} {p99:>7.2} {max:>7.2}", door.name));
                let mut row = spread.json();
                row["bench"] = json!("gateway");
                row["what"] = json!("latency");
                row["who"] = json!(door.name);
                row["per_s"] = json!(rate);
                say(&row.to_string());
            }
            Err(error) => say(&format!("{:<36} {error}", door.name)),
        }
    }
}

fn memory(doors: &[Door<'_>], connections: usize) {
    say(&format!("{connections} open connections, KiB each"));
    for door in doors {
        match door.held(connections) {
            Ok(kib) => {
                say(&format!("{:<16} {kib:>7.1}", door.name));
                let count = connections;
                say(&json!({"bench": "gateway", "what": "memory", "who": door.name, "count": count, "kib": kib})
                    .to_string());
            }
            Err(error) => say(&format!("{:<16} {error}", door.name)),
        }
    }
}

/// Lets this process, and those that it starts, open so many files.
fn descriptors(count: u64) -> Result<()> {
    let may = getrlimit(Resource::Nofile);
    if may.current.is_none_or(|now| now >= count) {
        return Ok(());
    }
    let most = may.maximum.map(|most| most.max(count));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(count), maximum: most });
    raised.map_err(|e| Error::other(format!("{count} open files are not allowed (ulimit -n): {e}")))
}
