//! A network of edges that follow one description: what is changed while it is in use, and what becomes of viewers when
//! one of its edges goes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::access::token;
use crate::encoder::{SMALL, eventually, ffmpeg, scratch};
use crate::players::Players;
use crate::support::Server;
use crate::support::hls::LowLatency;
use crate::support::http::{self, Client};
use crate::support::plane::Plane;
use crate::support::upstream::{Upstream, answer};

const SOON: Duration = Duration::from_secs(30);
const KEY: &str = "the-key-of-the-network";
const CAM: &str = "live/cam1";
const EDGES: [&str; 2] = ["e1", "e2"];

/// Addresses of two edges: of one port, since steering changes the host alone.
fn addresses() -> [SocketAddr; 2] {
    let at = |nth, port| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, nth)), port);
    let found = eventually(SOON, || {
        let first = TcpListener::bind(at(1, 0)).expect("loopback can be bound");
        let port = first.local_addr().expect("a bound socket has an address").port();
        TcpListener::bind(at(2, port)).ok().map(|_| [at(1, port), at(2, port)])
    });
    found.expect("a port that is free on both")
}

/// A network of two edges in a folder of its own.
struct Net {
    folder: PathBuf,
    addresses: [SocketAddr; 2],
    /// Of the nodes, when there is a live plane.
    plane: Option<Plane>,
    /// `[[origin]]` and what else is the same in all versions.
    common: String,
}

impl Net {
    fn new(name: &str, plane: Option<Plane>, common: &str) -> Self {
        let folder = scratch(&format!("network-{name}-{}", std::process::id()));
        let net = Self { folder, addresses: addresses(), plane, common: common.to_owned() };
        std::fs::write(net.file(), net.described("")).expect("written");
        net
    }

    fn file(&self) -> PathBuf {
        self.folder.join("network.toml")
    }

    /// The description, with something more.
    fn described(&self, more: &str) -> String {
        let edge = |(name, at): (&str, SocketAddr)| {
            format!("[[edge]]\nname = \"{name}\"\nregion = \"home\"\nurl = \"http://{at}\"\n")
        };
        let edges: String = EDGES.into_iter().zip(self.addresses).map(edge).collect();
        let rest = "[[route]]\npath = \"/*\"\norigins = [\"o1\"]\n[steering]\nttl_s = 5\n";
        format!("[[region]]\nname = \"home\"\n{edges}{}\n{rest}{more}", self.common)
    }

    /// One of the edges.
    fn start(&self, nth: usize) -> Server {
        let (name, at) = (EDGES[nth], self.addresses[nth].to_string());
        let data = self.folder.join(name);
        let settings = format!(
            "{}\n[edge.network]\nfile = {:?}\nnode = {name:?}\nkey = {KEY:?}\n[edge.cache]\ndisk = {:?}\n",
            self.plane.as_ref().map(|plane| plane.settings("edge", "")).unwrap_or_default(),
            self.file(),
            data.join("cache"),
        );
        Server::role_in("edge", &data, &settings, &[("NEXUS__EDGE__HTTP__LISTEN", &at)])
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What an edge says to whoever has the key.
fn ask(edge: SocketAddr, method: &str, path: &str, body: &str) -> (u16, Value) {
    let bearer = format!("Bearer {KEY}");
    let mut client = Client::connect(edge).expect("a connection");
    let reply = client.ask(method, path, &[("authorization", &bearer)], body.as_bytes()).expect("an answer");
    (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
}

/// A count of the environment, else a smaller one for every day.
fn count(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// An origin, its network, and an edge that plays its stream.
fn live(name: &str) -> (Net, Server) {
    let plane = Plane::new(&format!("network-{name}"));
    let origin = plane.origin();
    let common = format!(
        "[[origin]]\nname = \"o1\"\nhttp = \"http://{}\"\nplane = \"{}\"\n",
        origin.origin(),
        origin.plane()
    );
    (Net::new(name, Some(plane), &common), origin)
}

fn playable(edge: &Server) {
    let path = format!("/{CAM}/ts/index.m3u8");
    let found = eventually(SOON, || http::get(edge.edge(), &path).ok().filter(|reply| reply.status == 200));
    assert!(found.is_some(), "{}", edge.log());
}

/// Versions of a network that differ from each other in what viewers feel nothing of.
fn edit(net: &Net, nth: usize) -> String {
    let route = "[[route]]\npath = \"/other/*\"\norigins = [\"o1\"]\n";
    let limit = format!("[[limit]]\nname = \"l\"\nrequests_per_s = {}\n", 100_000 + nth);
    let text = net.described(&format!("{limit}{}", if nth.is_multiple_of(2) { route } else { "" }));
    let text =
        text.replace("origins = [\"o1\"]\n[steering]", "origins = [\"o1\"]\nlimit = \"l\"\n[steering]");
    if nth.is_multiple_of(3) { text.replace("[steering]\nttl_s = 5\n", "") } else { text }
}

/// Edits without number, by API and by file, while viewers watch and others ask as fast as they can. With
/// `NEXUS_VIEWERS=500 NEXUS_REQUESTS=100000` it is what the network is built for.
#[test]
fn fifty_edits_drop_no_viewer_and_fail_no_request() {
    let (net, origin) = live("edits");
    let _encoder = ffmpeg(origin.rtmp(), CAM, SMALL);
    let edge = net.start(0);
    playable(&edge);
    let (at, over, done) = (edge.edge(), AtomicBool::new(false), AtomicUsize::new(0));
    let (viewers, requests) = (count("NEXUS_VIEWERS", 40), count("NEXUS_REQUESTS", 4_000));
    let watch = || -> std::io::Result<usize> {
        let mut viewer = LowLatency::join(at, &format!("/{CAM}/v1/"))?;
        let mut parts = 0;
        while !over.load(Ordering::Relaxed) {
            parts += viewer.step()?.len();
        }
        Ok(parts)
    };
    let hammer = || {
        let mut client = Client::connect(at).expect("a connection");
        while done.fetch_add(1, Ordering::Relaxed) < requests {
            let reply = client.get(&format!("/{CAM}/v1/index.m3u8"), &[]).expect("no request fails");
            assert_eq!(reply.status, 200);
        }
    };
    std::thread::scope(|scope| {
        let watching: Vec<_> = (0..viewers).map(|_| scope.spawn(watch)).collect();
        let hammering: Vec<_> = (0..2).map(|_| scope.spawn(hammer)).collect();
        for nth in 0..50 {
            if nth % 10 == 9 {
                std::fs::write(net.file(), edit(&net, nth)).expect("written");
                edge.signal("HUP");
                let in_force =
                    || (ask(at, "GET", "/api/v1/network", "").1["version"] == nth + 2).then_some(());
                assert!(eventually(SOON, in_force).is_some(), "edit {nth}: {}", edge.log());
                continue;
            }
            let (status, told) = ask(at, "PUT", "/api/v1/network", &edit(&net, nth));
            assert_eq!((status, &told["version"]), (200, &json!(nth + 2)), "{told:#}");
        }
        hammering.into_iter().for_each(|thread| thread.join().expect("no request fails"));
        over.store(true, Ordering::Relaxed);
        for (nth, thread) in watching.into_iter().enumerate() {
            let parts = thread.join().expect("it does not panic");
            assert!(parts.as_ref().is_ok_and(|parts| *parts > 0), "viewer {nth}: {parts:?}");
        }
    });
    let (_, told) = ask(at, "GET", "/api/v1/network/versions", "");
    assert_eq!(told["versions"].as_array().map(Vec::len), Some(51));
    let (status, _) = ask(at, "PUT", "/api/v1/network", "[[edge]]\nname = 1\n");
    assert_eq!(status, 422);
    assert_eq!(ask(at, "GET", "/api/v1/network/versions", "").1["current"], 51);
}

/// A figure of the cache.
fn figure(edge: SocketAddr, name: &str) -> u64 {
    let page = String::from_utf8(http::get(edge, "/metrics").expect("an answer").body).expect("text");
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    line.unwrap_or_else(|| panic!("no {name} in {page}"))
}

#[test]
fn purges_reach_every_edge_and_one_that_was_away_learns_of_them() {
    let fields = [("cache-control", "max-age=600"), ("cache-tag", "film"), ("etag", "\"1\"")];
    let site = Upstream::start(move |_, out| answer(out, "200 OK", &fields, &[7; 5_000]));
    let net = Net::new("purge", None, &format!("[[origin]]\nname = \"o1\"\nhttp = \"{}\"\n", site.url()));
    let (first, second) = (net.start(0), net.start(1));
    let edges = net.addresses;
    let fetched = |target: &str| {
        edges.iter().for_each(|edge| {
            let reply = http::get(*edge, target).expect("an answer");
            assert_eq!((reply.status, reply.body.len()), (200, 5_000), "{target}");
        });
        site.count(target)
    };
    assert_eq!((fetched("/a/1.m4s"), fetched("/a/1.m4s"), fetched("/b/1.m4s")), (2, 2, 2), "once per edge");
    for (order, target) in [
        ("{\"prefixes\": [\"/a/\"]}", "/a/1.m4s"),
        ("{\"urls\": [\"/b/1.m4s\"]}", "/b/1.m4s"),
        ("{\"tags\": [\"film\"]}", "/a/1.m4s"),
    ] {
        let before = site.count(target);
        let (status, told) = ask(edges[0], "POST", "/cache/purge", order);
        assert_eq!(
            (status, &told["confirmed"], &told["missing"]),
            (200, &json!(EDGES), &json!([])),
            "{order}"
        );
        assert_eq!(fetched(target), before + 2, "{order}: it is in force everywhere");
    }
    // What is on disk outlives a restart, and so does what was purged meanwhile.
    let written = || (figure(edges[1], "nexus_cache_objects{tier=\"disk\"}") >= 1).then_some(());
    assert!(eventually(SOON, written).is_some(), "{}", second.log());
    let mut second = second;
    second.terminate("KILL");
    drop(second);
    let (_, told) = ask(edges[0], "POST", "/cache/purge", "{\"prefixes\": [\"/\"]}");
    assert_eq!((&told["confirmed"], &told["missing"]), (&json!(["e1"]), &json!(["e2"])));
    let second = net.start(1);
    let purged = || (figure(edges[1], "nexus_cache_purged_total") >= 1).then_some(());
    assert!(eventually(SOON, purged).is_some(), "{}", second.log());
    let before = site.count("/a/1.m4s");
    assert_eq!(fetched("/a/1.m4s"), before + 2);
    // One that is to be emptied says so, and serves who is there.
    assert_eq!(ask(edges[1], "PUT", "/api/v1/drain", "{\"draining\": true}").0, 200);
    let health = http::get(edges[1], "/health/ready").expect("an answer");
    assert!(
        health.status == 503 && String::from_utf8_lossy(&health.body).contains("\"status\":\"draining\"")
    );
    assert_eq!(http::get(edges[1], "/a/1.m4s").expect("an answer").status, 200);
    let avoided = || {
        let path = "/steering.json?base=e2&_HLS_pathway=.";
        let told: Value = serde_json::from_slice(&http::get(first.edge(), path).ok()?.body).ok()?;
        (told["PATHWAY-PRIORITY"] == json!(["e1", "."])).then_some(())
    };
    assert!(eventually(SOON, avoided).is_some(), "{}", first.log());
}

/// Whoever has a token watches on as many devices as it says, wherever in the region they come.
#[test]
fn a_token_has_its_devices_over_all_edges_of_a_region() {
    let site =
        Upstream::start(|_, out| answer(out, "200 OK", &[("cache-control", "max-age=600")], &[7; 500]));
    let net = Net::new("seats", None, &format!("[[origin]]\nname = \"o1\"\nhttp = \"{}\"\n", site.url()));
    let keys = net.folder.join("shop.json");
    token(&format!("keys --algorithm es256 --out {}", keys.display()));
    let policy = format!("[[token]]\nname = \"shop\"\nstreams_max = 2\nkeys = {keys:?}\n");
    let text =
        net.described(&policy).replace("origins = [\"o1\"]\n", "origins = [\"o1\"]\ntoken = \"shop\"\n");
    std::fs::write(net.file(), text).expect("written");
    let _edges = [net.start(0), net.start(1)];
    let make = || token(&format!("make --keys {} --stream vod/film", keys.display()));
    let (one, other) = (make(), make());
    let get = |edge: usize, token: &str, player: &str| {
        let mut client = Client::connect(net.addresses[edge]).expect("a connection");
        let path = format!("/token={token}/vod/film/1.m4s");
        client.get(&path, &[("user-agent", player)]).expect("an answer").status
    };
    assert_eq!((get(0, &one, "tv"), get(1, &one, "phone"), get(0, &other, "tv")), (200, 200, 200));
    // Each edge has told the other by then.
    let full = |edge| eventually(SOON, || (get(edge, &one, "tablet") == 403).then_some(()));
    let known = || {
        eventually(SOON, || (ask(net.addresses[0], "GET", "/api/v1/node", "").1["seats"] == 2).then_some(()))
    };
    assert!(known().is_some() && full(0).is_some() && full(1).is_some());
    assert_eq!((get(1, &one, "tv"), get(0, &one, "phone")), (200, 200), "they may move");
    assert_eq!(get(1, &other, "tablet"), 200, "another token has devices of its own");
}

/// hls.js plays from one edge, which is killed, and goes on at the other by steering. The doctor has nothing to say of
/// what steers.
#[test]
fn a_player_goes_on_at_another_edge_when_its_own_is_killed() {
    let (net, origin) = live("killed");
    let _encoder = ffmpeg(origin.rtmp(), CAM, SMALL);
    let (mut first, second) = (net.start(0), net.start(1));
    [&first, &second].into_iter().for_each(playable);
    let both = |path: &str| {
        let same = eventually(SOON, || {
            let [a, b] =
                net.addresses.map(|at| http::get(at, &format!("/{CAM}/{path}")).expect("an answer").body);
            (a == b).then_some(a)
        });
        String::from_utf8(same.unwrap_or_else(|| panic!("{path} is not the same"))).expect("text")
    };
    assert!(
        both("index.m3u8").contains("#EXT-X-CONTENT-STEERING:SERVER-URI=\"/steering.json\",PATHWAY-ID=\".\"")
    );
    assert!(both("manifest.mpd").contains("</ContentSteering>"));
    let watched = ["index.m3u8", "manifest.mpd"].map(|path| {
        let url = format!("http://{}/{CAM}/{path}", second.edge());
        std::thread::spawn(move || crate::views::errors(&url, 8))
    });
    let url = format!("http://{}/{CAM}", first.edge());
    let players = Players::with(&url, &["--seconds=10".to_owned(), "--players=hls".to_owned()]);
    first.terminate("KILL");
    let report = players.report();
    report.iter().for_each(|(player, fared)| eprintln!("{player} {fared}"));
    for (player, fared) in &report {
        let longest = fared["stalls"].as_array().into_iter().flatten().filter_map(Value::as_u64).max();
        assert!(fared["alive"] == true && fared["reopened"] == 0, "{player}: {fared}\n{}", second.log());
        // Segments have 2 s.
        assert!(longest.unwrap_or(0) <= 2_000, "{player}: {fared}");
    }
    assert_eq!(report.len(), 1);
    for errors in watched {
        assert_eq!(errors.join().expect("it does not panic"), Vec::<Value>::new());
    }
}
