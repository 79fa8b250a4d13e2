//! What an answer of the stored plane costs: objects that are kept, and objects that are fetched, beside tuned nginx with
//! `proxy_cache` on tmpfs and Varnish in memory, in front of the same origin.
//!
//! Server and generator share one core, the origin (`measure/canned.rs`) has the other; where that is allowed, in a
//! network namespace of their own with TCP reno. Guarded answers are of a node with a network: its access rules, limits
//! per viewer and tokens in front of each path; the peers ask nobody for anything. `--quick` takes one round instead of
//! three; a word picks measurements by the start of their names.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

mod measure;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use measure::canned::{self, Canned};
use measure::load::Load;
use measure::nginx::Nginx;
use measure::varnish::Varnish;
use measure::{Options, say, say_machine, stage, tls};
use serde_json::{Value, json};
use support::process::{Rates, Usage};
use support::{Server, nexus_bin};

const SETTLE: Duration = Duration::from_millis(400);
const MEASURED: Duration = Duration::from_secs(2);
/// The same for h2load.
const LOAD_S: &str = "2";
/// Objects that are asked for in turn when they are kept.
const KEPT: usize = 8;
/// Most that is fetched in one measurement.
const FETCHED_BYTES_MAX: usize = 1 << 30;
/// What stands in front of everything, with names of files to be put in.
const NETWORK: &str = r#"
[[region]]
name = "home"
[[origin]]
name = "theirs"
http = "http://ORIGIN"
[[edge]]
name = "e1"
region = "home"
url = "https://tv.example.com"
[[route]]
path = "/*"
origins = ["theirs"]
cache = "all"
access = "near"
limit = "viewer"
token = "shop"
[[cache]]
name = "all"
query = ["n"]
[[access]]
name = "near"
deny = ["192.0.2.0/24", "2001:db8::/32"]
allow = ["127.0.0.0/8"]
[[limit]]
name = "viewer"
requests_per_s = 1000000
bandwidth_bps = 1000000000000
[[token]]
name = "shop"
keys = "KEYS"
"#;

struct Size {
    name: &'static str,
    bytes: usize,
    connections: usize,
}

const SIZES: [Size; 3] = [
    Size { name: "playlist", bytes: 2_000, connections: 64 },
    Size { name: "part", bytes: 50_000, connections: 64 },
    Size { name: "segment", bytes: 1_000_000, connections: 32 },
];

/// How it is asked for.
#[derive(Clone, Copy, PartialEq)]
enum By {
    /// What is kept.
    Hit,
    /// What nobody asked for before.
    Miss,
    /// What is kept, over TLS and HTTP/2.
    H2,
}

/// Name, how, whether ours is guarded, and what each size may cost for each microsecond of nginx's.
type Row = (&'static str, By, bool, [f64; 3]);

const ROWS: [Row; 5] = [
    ("hit", By::Hit, false, [0.6, 0.6, 0.75]),
    ("hit guarded", By::Hit, true, [0.6, 0.6, 0.75]),
    ("h2 guarded", By::H2, true, [0.85, 0.85, 0.75]),
    ("miss", By::Miss, false, [1.0; 3]),
    ("miss guarded", By::Miss, true, [1.0; 3]),
];

/// A server that is asked: its process, its address, and what comes in front of paths.
#[derive(Clone, Copy)]
struct Asked<'a>(u32, SocketAddr, &'a str);

impl Asked<'_> {
    /// CPU per answer, microseconds. A path says how many bytes its answer has; what follows makes a name of it.
    fn cost(self, size: &Size, by: By) -> Result<f64> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let count = if by == By::Miss { (FETCHED_BYTES_MAX / size.bytes).min(100_000) } else { KEPT };
        let first = NEXT.fetch_add(count, Ordering::Relaxed);
        let path = |n| format!("{}/vod/film/{}?n={n}", self.2, size.bytes);
        let paths: Vec<String> = (first..first + count).map(path).collect();
        match by {
            By::Hit => self.kept(&paths, size),
            By::Miss => self.fetched(&paths, size),
            By::H2 => {
                let connections = size.connections.to_string();
                let before = Usage::of(self.0);
                let options = ["-D", LOAD_S, "-c", &connections, "--npn-list=h2"];
                let loaded = tls::load(self.1, &paths, &options)?;
                let used = Usage::of(self.0).since(&before);
                Ok(used.cpu_ms * used.seconds * 1000.0 / loaded.answers)
            }
        }
    }

    fn kept(self, paths: &[String], size: &Size) -> Result<f64> {
        let mut load = Load::start(self.1, paths, size.connections)?;
        load.run(SETTLE)?;
        let (answers, before) = (load.answers, Usage::of(self.0));
        load.run(MEASURED)?;
        Ok(per_answer(&Usage::of(self.0).since(&before), load.answers - answers))
    }

    /// None is asked for twice.
    fn fetched(self, paths: &[String], size: &Size) -> Result<f64> {
        let before = Usage::of(self.0);
        let mut load = Load::once(self.1, paths, size.connections)?;
        // As long as there is something new.
        let count = paths.len() as u64;
        let enough = |answers: u64, seconds: f64| answers > count / 2 || seconds > MEASURED.as_secs_f64();
        while !enough(load.answers, Usage::of(self.0).since(&before).seconds) {
            load.run(Duration::from_millis(20))?;
        }
        if load.answers > count {
            return Err(Error::other("all was asked for, and some of it twice: it was no miss"));
        }
        Ok(per_answer(&Usage::of(self.0).since(&before), load.answers))
    }
}

fn per_answer(used: &Rates, answers: u64) -> f64 {
    used.cpu_ms * used.seconds * 1000.0 / answers as f64
}

struct Bench {
    open: Server,
    guarded: Server,
    /// `/token=…`.
    token: String,
    nginx: Nginx,
    nginx_h2: Nginx,
    varnish: Varnish,
    _origin: Canned,
    folder: PathBuf,
}

impl Bench {
    fn start() -> Result<Self> {
        let origin = Canned::start()?;
        stage::pin(stage::SERVERS);
        let folder = std::env::temp_dir().join(format!("nexus-bench-cache-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let (keys, network) = (folder.join("shop.json"), folder.join("network.toml"));
        let file = keys.display().to_string();
        said(&["token", "keys", "--algorithm", "es256", "--out", &file])?;
        let token = said(&["token", "make", "--keys", &file, "--stream", "vod/film"])?;
        let text = NETWORK.replace("ORIGIN", &origin.address.to_string()).replace("KEYS", &file);
        std::fs::write(&network, text)?;
        let edge = |name: &str, settings: &str| {
            let cache = "[edge.cache]\nram_bytes_max = 2147483648\n";
            let upstream = format!("{cache}{settings}\n");
            Server::role_in("edge", &folder.join(name), &upstream, &[])
        };
        let open = format!("[[edge.upstream]]\npath = \"/\"\norigins = [\"http://{}\"]", origin.address);
        let guarded =
            format!("[edge.network]\nfile = {network:?}\nnode = \"e1\"\nkey = \"of-this-measurement-alone\"");
        let (open, guarded) = (edge("open", &open), edge("guarded", &guarded));
        let tls = |name: &str| folder.join("guarded").join("tls").join(name);
        let nginx_h2 = Nginx::secure_cache(origin.address, &tls("self-signed.pem"), &tls("self-signed.key"));
        let (nginx, varnish) = (Nginx::cache(origin.address), Varnish::cache(origin.address));
        let token = format!("/token={}", token.trim());
        Ok(Self { open, guarded, token, nginx, nginx_h2, varnish, _origin: origin, folder })
    }

    fn round(&self, (name, by, guarded, bars): &Row, nth: usize) -> Result<Value> {
        let (size, bar) = (&SIZES[nth], bars[nth]);
        let ours = if *guarded { &self.guarded } else { &self.open };
        let address = if *by == By::H2 { ours.https() } else { ours.edge() };
        let nginx = if *by == By::H2 { &self.nginx_h2 } else { &self.nginx };
        let front = if *guarded { &*self.token } else { "" };
        let nexus = Asked(ours.pid(), address, front).cost(size, *by)?;
        let nginx = Asked(nginx.pid(), nginx.http, "").cost(size, *by)?;
        let varnish = match by {
            By::H2 => None,
            _ => Some(Asked(self.varnish.pid(), self.varnish.http, "").cost(size, *by)?),
        };
        let shown = varnish.map_or_else(|| "-".to_owned(), |us| format!("{us:.1}"));
        let ratio = nexus / nginx;
        say(&format!(
            "{name:<13} {:<9} {nexus:>9.1} {nginx:>9.1} {shown:>9} {ratio:>7.2} {bar:>6.2}",
            size.name
        ));
        Ok(
            json!({"what": name, "object": size.name, "nexus_us": nexus, "nginx_us": nginx, "varnish_us": varnish,
                  "ratio": ratio, "bar": bar}),
        )
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(Path::new(&self.folder));
    }
}

/// What `nexus` with these words prints.
fn said(words: &[&str]) -> Result<String> {
    let out = Command::new(nexus_bin()).args(words).output()?;
    match out.status.success() {
        true => String::from_utf8(out.stdout).map_err(Error::other),
        false => Err(Error::other(String::from_utf8_lossy(&out.stderr).into_owned())),
    }
}

fn main() -> Result<()> {
    canned::serve_if_asked()?;
    let options = Options::from_args();
    let congestion = stage::isolate();
    say("cache: answers from an upstream, server and generator on one core");
    say_machine();
    let bench = Bench::start()?;
    say(&format!("TCP {congestion}"));
    say("                        CPU µs per answer              to nginx");
    say("what          object        nexus     nginx   varnish   ratio    bar");
    let mut rows = Vec::new();
    for _ in 0..if options.quick() { 1 } else { 3 } {
        for row in ROWS.iter().filter(|row| options.picks(row.0)) {
            for nth in 0..SIZES.len() {
                rows.push(bench.round(row, nth)?);
            }
        }
    }
    say(&json!({"bench": "cache", "rows": rows}).to_string());
    Ok(())
}
