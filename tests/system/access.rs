//! Who may watch: tokens at every door, taken back everywhere, and nobody asked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::browser::watch;
use crate::encoder::{CLOCKED, Process, SMALL, decode, eventually, ffmpeg, fresh, run, scratch};
use crate::support::plane::Plane;
use crate::support::{Server, http, nexus_bin};

const LIMIT: Duration = Duration::from_secs(30);
const HEADER: &str = "cta-common-access-token";

/// `nexus token` with these words; what it printed.
pub(crate) fn token(words: &str) -> String {
    let words: Vec<&str> = words.split_whitespace().collect();
    let program = nexus_bin();
    let (ok, out, err) = run(program.to_str().expect("a plain path"), &[&["token"], &*words].concat(), LIMIT);
    assert!(ok, "nexus token {words:?}: {err}");
    out.trim().to_owned()
}

/// A house with a key.
struct House {
    folder: PathBuf,
}

impl House {
    fn new(name: &str) -> Self {
        let folder = scratch(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        token(&format!(
            "keys --algorithm es256 --out {0}/shop.json --public {0}/edges.json",
            folder.display()
        ));
        Self { folder }
    }

    fn make(&self, words: &str) -> String {
        token(&format!("make --keys {}/shop.json {words}", self.folder.display()))
    }

    /// Section `playback` with the keys in this file.
    fn settings(&self, keys: &str, more: &str) -> String {
        format!(
            "[playback]\nprotect = [\"live/paid*\"]\nkeys_file = \"{}/{keys}\"\n{more}\n",
            self.folder.display()
        )
    }
}

fn status(node: SocketAddr, path: &str) -> u16 {
    http::get(node, path).unwrap_or_else(|e| panic!("{node}{path}: {e}")).status
}

fn until_200(node: SocketAddr, path: &str) -> http::Reply {
    let found = eventually(LIMIT, || http::get(node, path).ok().filter(|reply| reply.status == 200));
    found.unwrap_or_else(|| panic!("{node}{path} does not come"))
}

fn text(reply: http::Reply) -> String {
    String::from_utf8(reply.body).expect("text")
}

/// Another last but one letter.
fn altered(token: &str) -> String {
    let (front, back) = token.split_at(token.len() - 6);
    let other = if back.starts_with('A') { 'B' } else { 'A' };
    format!("{front}{other}{}", &back[1..])
}

/// What a stream has, and something that it has not.
const FILES: [&str; 14] = [
    "index.m3u8",
    "v1/index.m3u8",
    "a1/index.m3u8",
    "ts/index.m3u8",
    "manifest.mpd",
    "v1/init-0.mp4",
    "video.mp4",
    "poster.jpg",
    "thumbnail.jpg",
    "sprites.vtt",
    "keys/licence.json",
    "time",
    "index.m3u8?start=0",
    "nothing/of/the/kind",
];

/// A server with a stream that asks for a token and one that does not.
fn shop(house: &House) -> (Server, [Process; 2]) {
    let server = Server::configured(&house.settings("edges.json", "[origin.store]\nkeep_s = 600"));
    let encoders = ["live/paid", "live/free"].map(|key| ffmpeg(server.rtmp(), key, SMALL));
    let token = house.make("--stream live/paid");
    until_200(server.edge(), "/live/free/ts/index.m3u8");
    until_200(server.edge(), &format!("/token={token}/live/paid/ts/index.m3u8"));
    (server, encoders)
}

/// Address of a segment of the stream.
fn segment(server: &Server, token: &str) -> String {
    let list = text(until_200(server.edge(), &format!("/token={token}/live/paid/v1/index.m3u8")));
    format!("/live/paid/v1/{}", list.lines().find(|l| l.ends_with(".m4s")).expect("a segment"))
}

#[test]
fn without_the_right_token_nothing_of_a_stream_is_given_out() {
    let house = House::new("access-doors");
    let (server, _encoders) = shop(&house);
    let good = house.make("--stream live/paid");
    let wrong = [
        ("of another stream", house.make("--stream live/paid-2"), 403),
        ("altered", altered(&good), 403),
        ("for another place", house.make("--stream live/paid --network 192.0.2.0/24"), 403),
        ("of another key", House::new("access-other").make("--stream live/paid"), 403),
        ("that is none", "nonsense".into(), 403),
        ("that is nothing", String::new(), 401),
    ];
    for door in [server.edge(), server.origin()] {
        for file in FILES {
            let path = format!("/live/paid/{file}");
            assert_eq!(status(door, &path), 401, "{path} without a token at {door}");
            for (what, token, want) in &wrong {
                assert_eq!(
                    status(door, &format!("/token={token}{path}")),
                    *want,
                    "{path} with one {what} at {door}"
                );
            }
        }
        assert_eq!(status(door, "/live/free/index.m3u8"), 200, "what is open stays so");
        assert_eq!(status(door, &format!("/token={good}/live/free/index.m3u8")), 200);
        assert_eq!(status(door, "/live/paid-2/index.m3u8"), 401, "it tells nobody what there is");
    }
    for secret in [&good, &wrong[0].1] {
        assert!(!server.log().contains(secret.as_str()), "a token is in the log");
    }
}

#[test]
fn a_token_may_come_in_any_way_and_no_shared_cache_keeps_what_it_opens() {
    let house = House::new("access-ways");
    let (server, _encoders) = shop(&house);
    let (good, node) = (house.make("--stream live/paid"), house.make("--node"));
    let path = segment(&server, &good);
    let reply = until_200(server.edge(), &format!("/token={good}{path}"));
    assert_eq!(reply.header("cache-control"), Some("private, max-age=3600, immutable"));
    let ask = |door, name, value: &str| http::get_with(door, &path, &[(name, value)]).expect("an answer");
    assert_eq!(ask(server.edge(), HEADER, &good).status, 200, "in the header");
    // Who has no paths of his own gets a cookie with the list.
    let reply = until_200(server.edge(), &format!("/live/paid/index.m3u8?token={good}"));
    let cookie = reply.header("set-cookie").expect("a cookie").split(';').next().expect("a pair").to_owned();
    assert_eq!(ask(server.edge(), "cookie", &cookie).status, 200, "in a cookie");
    let reply = ask(server.origin(), HEADER, &node);
    assert_eq!(
        (reply.status, reply.header("cache-control")),
        (200, Some("public, max-age=3600, immutable")),
        "nodes share"
    );
    for version in ["--http1.1", "--http2"] {
        for (front, want) in [(String::new(), "401"), (format!("/token={good}"), "200")] {
            let url = format!("https://{}{front}{path}", server.https());
            let args = ["-sk", version, "-o", "/dev/null", "-w", "%{http_code}", &url];
            let (_, code, err) = run("curl", &args, LIMIT);
            assert_eq!(code, want, "{version} {url}: {err}");
        }
    }
    let script = format!("{}/tests/support/h3.py", env!("CARGO_MANIFEST_DIR"));
    let (host, port) = (server.https().ip().to_string(), server.https().port().to_string());
    let (ok, out, err) =
        run("h3-python", &[&script, &host, &port, &path, &format!("/token={good}{path}")], LIMIT);
    assert!(ok, "{err}");
    let answers: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&answers[0]["status"], &answers[1]["status"]), (&401.into(), &200.into()), "{out}");
}

#[test]
fn players_that_know_nothing_of_tokens_play_with_one() {
    let house = House::new("access-players");
    let (server, _encoders) = shop(&house);
    let good = house.make("--stream live/paid");
    let edge = server.edge();
    for file in ["index.m3u8", "ts/index.m3u8", "manifest.mpd"] {
        let played = decode(&format!("http://{edge}/token={good}/live/paid/{file}"), 2);
        assert!(played.ok && played.video > 20, "{file}: {}", played.complaints);
    }
    let by_cookie = decode(&format!("http://{edge}/live/paid/index.m3u8?token={good}"), 2);
    assert!(by_cookie.ok && by_cookie.video > 20, "{}", by_cookie.complaints);
    let rtmp = |query: &str| format!("rtmp://{}/live/paid{query}", server.rtmp());
    let srt = |more: &str| format!("srt://{}?streamid=#!::r=live/paid,m=request{more}", server.srt());
    let other = house.make("--stream live/paid-2");
    for (url, plays) in [
        (rtmp(""), false),
        (rtmp(&format!("?token={}", altered(&good))), false),
        (rtmp(&format!("?token={good}")), true),
        (srt(""), false),
        (srt(&format!(",token={other}")), false),
        (srt(&format!(",token={good}")), true),
    ] {
        let played = decode(&url, 2);
        assert_eq!(played.ok && played.video > 20, plays, "{url}: {}", played.complaints);
    }
}

#[test]
fn what_is_taken_back_ends_at_once_for_those_who_watch() {
    let house = House::new("access-back");
    let data = fresh("access-back-data");
    let settings = house.settings("edges.json", "");
    let mut server = Server::configured_in(&data, &settings);
    let _paid = ffmpeg(server.rtmp(), "live/paid", SMALL);
    let [alice, bob] = ["alice", "bob"].map(|who| house.make(&format!("--stream live/paid --subject {who}")));
    let at = |token: &str| format!("/token={token}/live/paid/index.m3u8");
    until_200(server.edge(), &at(&alice));
    until_200(server.edge(), &at(&bob));
    let player = |url: &str| {
        Process::start(
            std::process::Command::new("ffmpeg").args(["-v", "quiet", "-i", url, "-f", "null", "-"]),
        )
    };
    let rtmp = |token: &str| player(&format!("rtmp://{}/live/paid?token={token}", server.rtmp()));
    let srt = player(&format!("srt://{}?streamid=#!::r=live/paid,m=request,token={alice}", server.srt()));
    let [mut by_rtmp, mut by_srt, mut bobs] = [rtmp(&alice), srt, rtmp(&bob)];
    let playing = || server.log().matches("\"playing").count() >= 3;
    assert!(eventually(LIMIT, || playing().then_some(())).is_some(), "{}", server.log());
    let revoke = |what: Value| {
        let path = "/api/streamcore/v1/revocations";
        http::send(server.gateway(), "POST", path, &what.to_string()).expect("an answer").status
    };
    assert_eq!(revoke(json!({"subject": "alice"})), 201);
    assert_eq!(status(server.edge(), &at(&alice)), 403, "at once");
    assert_eq!(status(server.edge(), &at(&bob)), 200);
    assert!(by_rtmp.wait(LIMIT).is_some() && by_srt.wait(LIMIT).is_some(), "{}", server.log());
    assert_eq!(bobs.wait(Duration::ZERO), None, "nobody else is sent away");
    for (what, status) in [(json!({"subject": ""}), 400), (json!({"stream": "x"}), 400), (json!({}), 400)] {
        assert_eq!(revoke(what.clone()), status, "{what}");
    }
    // Acknowledged is for good.
    server.signal("KILL");
    let _ = server.terminate("TERM");
    let server = Server::configured_in(&data, &settings);
    let _paid = ffmpeg(server.rtmp(), "live/paid", SMALL);
    until_200(server.edge(), &at(&bob));
    assert_eq!(status(server.edge(), &at(&alice)), 403, "after a crash");
    // Clocks may be apart by some seconds, so it is made anew until one is later for sure.
    let later = || {
        let made = house.make("--stream live/paid --subject alice");
        (status(server.edge(), &at(&made)) == 200).then_some(())
    };
    assert!(eventually(LIMIT, later).is_some(), "what is made later holds");
    drop((by_rtmp, by_srt, bobs));
}

#[test]
fn edges_elsewhere_decide_alone_and_learn_what_is_taken_back() {
    let (plane, house) = (Plane::new("access-plane"), House::new("access-edges"));
    let node = house.folder.join("node.token");
    std::fs::write(&node, house.make("--node")).expect("a file");
    let protect = house.settings("edges.json", "");
    let origin = Server::role(
        "origin",
        &format!(
            "{}{protect}[origin.store]\nkeep_s = 600\n",
            plane.settings("origin", "listen = \"127.0.0.1:0\"")
        ),
    );
    let edge = |more: &str| {
        let stored = format!("[[edge.upstream]]\nours = true\norigins = [\"http://{}\"]", origin.origin());
        let plane = plane.settings("edge", &format!("origins = [\"{}\"]\n{stored}", origin.plane()));
        Server::role("edge", &format!("{plane}{more}"))
    };
    let feeds = format!("revocations = [\"http://{}\"]\nnode_token_file = {node:?}", origin.origin());
    let mut edges =
        vec![edge(&house.settings("edges.json", &feeds)), edge(&house.settings("edges.json", &feeds))];
    let open = edge("");
    let _paid = ffmpeg(origin.rtmp(), "live/paid", SMALL);
    let token = house.make("--stream live/paid --subject alice");
    let at = |file: &str| format!("/token={token}/live/paid/{file}");
    for edge in &edges {
        until_200(edge.edge(), &at("ts/index.m3u8"));
        assert_eq!(status(edge.edge(), "/live/paid/index.m3u8"), 401);
        // What is stored comes with the token of the node.
        until_200(edge.edge(), &at("index.m3u8?start=0"));
    }
    // An edge that would give it to everybody gets nothing.
    for file in ["index.m3u8", "index.m3u8?start=0", "v1/index.m3u8"] {
        let found = status(open.edge(), &format!("/live/paid/{file}"));
        assert!([401, 404, 502, 503].contains(&found), "{file}: {found}");
    }
    // What an edge does not protect it asks for as anybody would, and who was sent away it tells nobody.
    let narrow = edge(&house.settings("edges.json", &feeds).replace("live/paid*", "live/paid-2"));
    for (edge, path) in
        [(&narrow, "/live/paid/index.m3u8?start=0"), (&edges[0], "/revocations"), (&open, "/revocations")]
    {
        assert_eq!(status(edge.edge(), path), 401, "{path}");
    }
    let path = format!("http://{}/revocations", origin.origin());
    let (_, code, _) = run("curl", &["-s", "-o", "/dev/null", "-w", "%{http_code}", &path], LIMIT);
    assert_eq!(code, "401", "who was sent away is nobody's business");
    let other = house.make("--stream live/paid --subject bob");
    let shown = std::fs::read_to_string(&node).expect("a token");
    let back = format!("CTA-Common-Access-Token: {}", shown.trim());
    let (ok, said, _) = run("curl", &["-sf", "-H", &back, "-d", "{\"subject\": \"alice\"}", &path], LIMIT);
    assert!(ok, "{said}");
    let asked = Instant::now();
    for edge in &edges {
        let refused = || (status(edge.edge(), &at("index.m3u8")) == 403).then_some(());
        assert!(eventually(LIMIT, refused).is_some(), "it is still let in");
    }
    eprintln!("taken back at every edge after {} ms", asked.elapsed().as_millis());
    for edge in &edges {
        assert_eq!(status(edge.edge(), &format!("/token={other}/live/paid/index.m3u8")), 200);
    }
    // The origin dies: the edge goes on deciding.
    drop(origin);
    let edge = edges.pop().expect("an edge");
    assert_eq!(status(edge.edge(), &at("index.m3u8")), 403);
    let past = status(edge.edge(), &format!("/token={other}/live/paid/index.m3u8?start=0"));
    assert_ne!(past, 403, "it may, whether it is there or not");
}

#[test]
fn another_library_understands_our_tokens_and_we_its() {
    let house = House::new("access-judge");
    token(&format!("keys --id shared --out {}/shared.json", house.folder.display()));
    let keys = house.folder.join("shared.json");
    let ours =
        token(&format!("make --keys {} --stream live/paid --issuer shop --subject alice", keys.display()));
    let script = format!("{}/tests/support/cat.cjs", env!("CARGO_MANIFEST_DIR"));
    let judge = |words: &[&str]| {
        let (ok, out, err) =
            run("cat-node", &[&[&*script, keys.to_str().expect("a path")], words].concat(), LIMIT);
        assert!(ok, "{err}");
        serde_json::from_str::<Value>(&out).unwrap_or_else(|e| panic!("{e}: {out}"))
    };
    let said = judge(&["read", &ours, "https://tv.example/live/paid/index.m3u8"]);
    assert_eq!((&said["error"], &said["claims"]["sub"]), (&Value::Null, &json!("alice")), "{said}");
    let said = judge(&["read", &ours, "https://tv.example/live/other/index.m3u8"]);
    assert!(said["error"].as_str().is_some_and(|e| e.contains("not allowed")), "{said}");
    let said = judge(&["read", &altered(&ours), "https://tv.example/live/paid/index.m3u8"]);
    assert!(said["error"].is_string(), "{said}");
    let settings =
        format!("[playback]\nprotect = [\"live/paid*\"]\nkeys_file = {keys:?}\nissuer = \"shop\"\n");
    let server = Server::configured(&settings);
    let _paid = ffmpeg(server.rtmp(), "live/paid", SMALL);
    until_200(server.edge(), &format!("/token={ours}/live/paid/index.m3u8"));
    let enter = |words: &[&str]| {
        let made = judge(&[&["make"], words].concat());
        status(
            server.edge(),
            &format!("/token={}/live/paid/index.m3u8", made["token"].as_str().expect("a token")),
        )
    };
    assert_eq!(enter(&["shop", "/live/paid/"]), 200);
    assert_eq!(enter(&["shop", "/live/other/"]), 403);
    assert_eq!(enter(&["another", "/live/paid/"]), 403);
}

#[test]
fn the_watch_page_plays_with_a_token_and_says_why_without() {
    let house = House::new("access-page");
    let more = "[edge.moq]\nlisten = \"127.0.0.1:0\"";
    let server = Server::configured(&house.settings("edges.json", more));
    let _paid = ffmpeg(server.rtmp(), "live/paid", CLOCKED);
    let token = house.make("--stream live/paid");
    until_200(server.edge(), &format!("/token={token}/live/paid/ts/index.m3u8"));
    let edge = server.edge();
    for (url, player) in [
        (format!("http://{edge}/watch/live/paid?token={token}"), "hls"),
        (format!("http://{edge}/token={token}/watch/live/paid"), "hls"),
        (format!("http://{edge}/watch/live/paid?token={token}&player=moq"), "moq"),
    ] {
        let report = watch(&url, &["--seconds", "4"]);
        let samples = report["samples"].as_array().expect("samples");
        let time = |n: usize| samples[n]["stats"]["current_time"].as_f64().unwrap_or(-1.0);
        assert!(time(samples.len() - 1) > time(0) + 1.5, "{player}: {report}");
        assert_eq!(samples[0]["stats"]["player"], player, "{report}");
    }
    let file = scratch("access-page-shot").join("shut.png");
    let script = format!("{}/web/e2e/shot.mjs", env!("CARGO_MANIFEST_DIR"));
    let url = format!("http://{edge}/watch/live/paid");
    let args = [&*script, &url, path(&file), "--expect", "not open to everybody"];
    let (ok, out, err) = run("node", &args, LIMIT);
    assert!(ok && out.contains("\"expected\":true"), "{out}\n{err}");
}

fn path(file: &Path) -> &str {
    file.to_str().expect("a plain path")
}
