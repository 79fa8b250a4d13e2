//! The stage of stories: the whole system in one process, or as processes of their own on PostgreSQL, RabbitMQ and Redis,
//! with a clock that is moved and services that can be killed.
#![expect(clippy::panic, reason = "a story without its stage is over")]
#![expect(clippy::disallowed_methods, reason = "a story waits on the real clock")]

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nx_peers::{Postgres, Rabbit, Redis};
use serde_json::Value;

use super::ffmpeg::{self, Kind};
use super::http::{self, Client, Reply};
use super::server::Server;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a gateway answered.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) retry_after_s: Option<u32>,
}

/// Servers that separate processes stand on.
pub(crate) struct Peers {
    postgres: Postgres,
    rabbit: Rabbit,
    redis: Redis,
}

impl Peers {
    pub(crate) fn start() -> Self {
        Self { postgres: Postgres::start(), rabbit: Rabbit::start(), redis: Redis::start() }
    }
}

/// A system that a story happens to. Dropped, all of it is stopped and its folder removed.
pub(crate) struct Town {
    gateway: SocketAddr,
    settings: String,
    data: PathBuf,
    passed: Duration,
    apart: bool,
    processes: BTreeMap<&'static str, Server>,
    encoder: Option<Child>,
    /// What somebody bears who is signed in.
    pub(crate) bearer: Option<String>,
}

impl Town {
    /// Everything in one process, on what that brings.
    pub(crate) fn in_one_process(name: &str, services: &[&'static str]) -> Self {
        Self::build(name, None, services, "")
    }

    /// A gateway, an origin and a process for each of these services.
    pub(crate) fn apart(name: &str, peers: &Peers, services: &[&'static str]) -> Self {
        Self::build(name, Some(peers), services, "")
    }

    /// Either, with further settings.
    pub(crate) fn build(name: &str, peers: Option<&Peers>, services: &[&'static str], more: &str) -> Self {
        let data = std::env::temp_dir().join(format!("nexus-town-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&data).expect("a folder");
        // The port must be the same after a kill, since the others know it.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
        // Without who says whether there is an administrator, somebody must bear something.
        let bearer =
            (peers.is_some() && !services.contains(&"user-auth")).then(|| "0123456789abcdef".to_owned());
        let token =
            bearer.as_ref().map(|bearer| format!("[gateway]\ntoken = {bearer:?}\n")).unwrap_or_default();
        let ring = peers.map_or_else(String::new, |peers| {
            let (database, bus, redis) = (peers.postgres.database(), peers.rabbit.url(), peers.redis.url());
            format!(
                "[gateway.ring]\ndatabase = {database:?}\nbus = {bus:?}\nregistry = \"{port}\"\nfree_ports = true\ncore = true\n\
                 [gateway.limits]\nredis = {redis:?}\nuser = {{ per_minute = 600000 }}\n"
            )
        });
        let mut town = Self {
            gateway: port,
            settings: token + &ring + more,
            data,
            passed: Duration::ZERO,
            apart: peers.is_some(),
            processes: BTreeMap::new(),
            encoder: None,
            bearer,
        };
        town.pass(Duration::ZERO);
        town.revive("gateway");
        for service in services.iter().filter(|_| peers.is_some()) {
            town.revive(service);
        }
        town.until("the services answer", |town| {
            services.iter().all(|service| town.get(&format!("/api/{service}/health/ready")).status == 200)
        });
        town
    }

    /// Whether a service can be killed without the others.
    pub(crate) fn is_apart(&self) -> bool {
        self.apart
    }

    /// Moves the clocks of all services on.
    pub(crate) fn pass(&mut self, span: Duration) {
        self.passed += span;
        let draft = self.data.join("clock.new");
        let text = format!("+{}", self.passed.as_secs());
        let moved =
            std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, self.data.join("clock")));
        moved.expect("a file");
        if span > Duration::ZERO {
            // They look at it once a second.
            std::thread::sleep(Duration::from_millis(1500));
        }
    }

    /// Kills a service: in one process, all of them.
    pub(crate) fn kill(&mut self, service: &'static str) {
        let place = if self.apart { service } else { "gateway" };
        let mut server = self.processes.remove(place).unwrap_or_else(|| panic!("{place} does not run"));
        let _ = server.terminate("KILL");
    }

    /// Starts it again with what it had.
    pub(crate) fn revive(&mut self, service: &'static str) {
        let (place, role) = match (self.apart, service) {
            (true, "gateway" | "origin") => (service, service.to_owned()),
            (true, service) => (service, format!("service {service}")),
            (false, _) => ("gateway", "up".to_owned()),
        };
        let server = self.launch(&role, &self.data, &self.settings);
        self.processes.insert(place, server);
    }

    /// Starts a process on the clock of the town.
    pub(crate) fn launch(&self, role: &str, data: &Path, settings: &str) -> Server {
        let library = format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
        // Where streams are, only the time of day passes: who publishes has not said nothing for as long.
        let streams = matches!(role, "origin" | "edge");
        let (clock, gateway) = (self.data.join("clock").display().to_string(), self.gateway.to_string());
        let env = [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", &clock),
            ("FAKETIME_CACHE_DURATION", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", if streams { "1" } else { "0" }),
            ("NEXUS__GATEWAY__LISTEN", &gateway),
        ];
        Server::role_in(role, data, settings, &env)
    }

    /// The process that takes publishers.
    pub(crate) fn origin(&self) -> &Server {
        &self.processes[if self.apart { "origin" } else { "gateway" }]
    }

    /// Where everybody asks.
    pub(crate) fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// The folder of what runs.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Has ffmpeg publish a stream; where it is watched.
    pub(crate) fn publish(&mut self, stream: &str) -> SocketAddr {
        if self.apart && !self.processes.contains_key("origin") {
            self.processes.insert("origin", Server::role("origin", ""));
        }
        let origin = self.origin();
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i"]);
        command.arg(ffmpeg::clip(10, Kind::Small)).args(["-c", "copy", "-f", "flv"]);
        command.arg(format!("rtmp://{}/{stream}", origin.rtmp())).stdin(Stdio::null());
        let watched = origin.origin();
        self.encoder = Some(command.spawn().expect("ffmpeg runs"));
        watched
    }

    pub(crate) fn get(&self, path: &str) -> Said {
        let bearer = self.bearer();
        let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        said(http::get_with(self.gateway, path, &headers))
    }

    /// A POST under an idempotency key, unless that is empty.
    pub(crate) fn post(&self, path: &str, key: &str, body: &Value) -> Said {
        let key = (!key.is_empty()).then_some(("idempotency-key", key));
        self.send("POST", path, key.as_slice(), body)
    }

    /// Any request with a body.
    pub(crate) fn send(&self, method: &str, path: &str, more: &[(&str, &str)], body: &Value) -> Said {
        let bearer = self.bearer();
        let mut headers = [&[("content-type", "application/json")], more].concat();
        headers.extend(bearer.iter().map(|bearer| ("authorization", bearer.as_str())));
        let text = body.to_string();
        said(Client::connect(self.gateway).and_then(|mut c| c.ask(method, path, &headers, text.as_bytes())))
    }

    /// Waits until the encoder ends by itself.
    pub(crate) fn encoder_ends(&mut self) {
        let mut encoder = self.encoder.take().expect("somebody publishes");
        let deadline = Instant::now() + PATIENCE;
        while encoder.try_wait().expect("it can be asked").is_none() {
            assert!(Instant::now() < deadline, "the encoder goes on\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn bearer(&self) -> Option<String> {
        self.bearer.as_ref().map(|bearer| format!("Bearer {bearer}"))
    }

    /// The items of a list.
    pub(crate) fn list(&self, path: &str) -> Vec<Value> {
        self.get(path).body["items"].as_array().cloned().unwrap_or_default()
    }

    /// The value of a figure that the gateway shows at `path`; `line` is its name with labels.
    pub(crate) fn figure(&self, path: &str, line: &str) -> Option<f64> {
        let bearer = self.bearer();
        let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        let text = http::get_with(self.gateway, path, &headers).ok()?.body;
        let text = String::from_utf8_lossy(&text).into_owned();
        text.lines().find_map(|l| l.strip_prefix(line)?.trim().parse().ok())
    }

    /// Waits until something is so.
    pub(crate) fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !so(self) {
            assert!(Instant::now() < deadline, "it never came: {what}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn logs(&self) -> String {
        let tail = |text: String| text.lines().rev().take(20).collect::<Vec<_>>().join("\n");
        self.processes.iter().map(|(name, s)| format!("{name}, newest first:\n{}\n", tail(s.log()))).collect()
    }
}

/// An answer, or 0 when there was none.
fn said(reply: std::io::Result<Reply>) -> Said {
    let Ok(reply) = reply else { return Said { status: 0, body: Value::Null, retry_after_s: None } };
    let retry_after_s = reply.header("retry-after").and_then(|v| v.parse().ok());
    Said {
        status: reply.status,
        body: serde_json::from_slice(&reply.body).unwrap_or_default(),
        retry_after_s,
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        if let Some(mut encoder) = self.encoder.take() {
            let _ = encoder.kill();
            let _ = encoder.wait();
        }
        self.processes.clear();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}
