//! The stored plane: an edge in front of origins that are slow, wrong, dying or gone.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::api::SOON;
use crate::encoder::{eventually, scratch};
use crate::support::http::{self, Client, Reply};
use crate::support::server::Server;
use crate::support::upstream::{Asked, Gate, Upstream, answer};

mod hostile;
mod real;

const FRESH: (&str, &str) = ("cache-control", "max-age=600");
const KEY: &str = "purge-key-of-the-test";

/// An edge in front of these origins, with settings besides.
fn edge(origins: &[&Upstream], more: &str) -> Server {
    Server::configured(&settings(origins, more))
}

fn settings(origins: &[&Upstream], more: &str) -> String {
    let origins: Vec<String> = origins.iter().map(|o| o.url()).collect();
    format!(
        "[edge.cache]\npurge_key = \"{KEY}\"\n{more}\n[[edge.upstream]]\npath = \"/o/\"\norigins = {origins:?}\ntimeout_ms = 5000\n"
    )
}

/// A figure of the cache.
fn figure(server: &Server, name: &str) -> u64 {
    let page = http::get(server.edge(), "/metrics").expect("an answer").body;
    let page = String::from_utf8_lossy(&page).into_owned();
    let value = |line: &str| line.strip_prefix(&format!("nexus_cache_{name} "))?.parse().ok();
    page.lines().find_map(value).unwrap_or_else(|| panic!("no {name}: {page}"))
}

fn get(server: &Server, path: &str) -> Reply {
    http::get(server.edge(), path).expect("an answer")
}

/// What the cache says that it did.
fn told(reply: &Reply) -> &str {
    reply.header("cache-status").unwrap_or_default()
}

/// Bytes that are no others.
fn body(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ seed) as u8).collect()
}

/// An origin that gives everything a body of this length, to be kept.
fn plain(len: usize) -> Upstream {
    Upstream::start(move |_, out| answer(out, "200 OK", &[FRESH, ("etag", "\"1\"")], &body(len, 0)))
}

#[test]
fn a_crowd_on_one_new_object_is_one_fetch() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Upstream::start(move |_, out| {
        held.pass();
        answer(out, "200 OK", &[FRESH], &body(300_000, 0))
    });
    let server = edge(&[&origin], "");
    let mut crowd: Vec<TcpStream> =
        (0..1_000).map(|_| TcpStream::connect(server.edge()).expect("a connection")).collect();
    for viewer in &mut crowd {
        viewer.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        viewer.write_all(b"GET /o/new.m4s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sends");
    }
    assert!(eventually(SOON, || (origin.count("/o/new.m4s") > 0).then_some(())).is_some());
    gate.open();
    let want = body(300_000, 0);
    for (nth, viewer) in crowd.iter_mut().enumerate() {
        let mut all = Vec::new();
        viewer.read_to_end(&mut all).expect("an answer");
        assert!(all.starts_with(b"HTTP/1.1 200") && all.ends_with(&want), "viewer {nth}");
    }
    assert_eq!(origin.count("/o/new.m4s"), 1, "one fetch for all");
    let result = |of: &str| figure(&server, &format!("requests_total{{result=\"{of}\"}}"));
    assert_eq!((result("miss"), result("hit") + result("coalesced")), (1, 999));
    assert_eq!(figure(&server, "fetches_total"), 1);
}

#[test]
fn whoever_comes_late_to_an_unfinished_object_has_what_there_is_at_once() {
    for framing in ["content-length: 100000", "transfer-encoding: chunked"] {
        let gate = Gate::default();
        let held = gate.clone();
        let chunked = framing.ends_with("chunked");
        let part = move |bytes: &[u8]| match chunked {
            true => [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat(),
            false => bytes.to_vec(),
        };
        let origin = Upstream::start(move |_, out| {
            let whole = body(100_000, 0);
            out.write_all(
                format!("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\n{framing}\r\n\r\n").as_bytes(),
            )?;
            out.write_all(&part(&whole[..60_000]))?;
            held.pass();
            out.write_all(&part(&whole[60_000..]))?;
            out.write_all(if chunked { b"0\r\n\r\n" } else { b"" })?;
            Ok(true)
        });
        let server = edge(&[&origin], "");
        let whole = body(100_000, 0);
        let ask = || {
            let mut viewer = TcpStream::connect(server.edge()).expect("a connection");
            viewer.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
            viewer
                .write_all(b"GET /o/a.m4s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                .expect("sends");
            viewer
        };
        // What has arrived, without the lines of chunks: those of the body are found in it in their order.
        let until = |viewer: &mut TcpStream, all: &mut Vec<u8>, what: &[u8]| {
            let mut buffer = vec![0; 65_536];
            while !all.windows(what.len()).any(|w| w == what) {
                let n = viewer.read(&mut buffer).expect("more");
                assert!(n > 0, "{framing}: it ended early");
                all.extend_from_slice(&buffer[..n]);
            }
        };
        let mut viewers: Vec<(TcpStream, Vec<u8>)> = (0..3)
            .map(|_| {
                let (mut viewer, mut all) = (ask(), Vec::new());
                until(&mut viewer, &mut all, &whole[59_900..60_000]);
                (viewer, all)
            })
            .collect();
        // A range of what is there is answered whole, while the rest is not there.
        let range =
            http::get_with(server.edge(), "/o/a.m4s", &[("range", "bytes=1000-1999")]).expect("an answer");
        assert!(range.status == 206 && range.body == whole[1_000..2_000], "{framing}: {}", range.status);
        let total = if chunked { "*" } else { "100000" };
        assert_eq!(range.header("content-range"), Some(format!("bytes 1000-1999/{total}").as_str()));
        // One who leaves disturbs nobody.
        viewers.pop();
        gate.open();
        for (viewer, all) in &mut viewers {
            until(viewer, all, &whole[99_900..]);
        }
        assert_eq!(origin.count("/o/a.m4s"), 1, "{framing}");
        // The last bytes reach viewers before the fetch has ended.
        let kept = || {
            let again = get(&server, "/o/a.m4s");
            assert!(again.body == whole, "{framing}");
            told(&again).starts_with("nexus; hit; ttl=").then_some(())
        };
        assert!(eventually(SOON, kept).is_some());
        assert_eq!(origin.count("/o/a.m4s"), 1, "{framing}");
    }
}

#[test]
fn a_hit_answers_as_http_has_it() {
    let origin = Upstream::start(|_, out| {
        let fields = [
            FRESH,
            ("etag", "\"v1\""),
            ("age", "7"),
            ("content-type", "video/mp4"),
            ("vary", "Accept-Encoding, Origin"),
            ("date", "Sun, 06 Nov 2050 08:49:37 GMT"),
            ("connection", "x-hop"),
            ("x-hop", "of one connection"),
            ("access-control-allow-origin", "https://only.example"),
        ];
        answer(out, "200 OK", &fields, b"0123456789")
    });
    let server = edge(&[&origin], "");
    let mut client = Client::connect(server.edge()).expect("a connection");
    let first = client.get("/o/a.m4s", &[]).expect("an answer");
    assert_eq!((first.status, first.body.as_slice()), (200, b"0123456789".as_slice()));
    for (name, value) in [
        ("content-type", Some("video/mp4")),
        ("etag", Some("\"v1\"")),
        ("access-control-allow-origin", Some("*")),
        ("date", Some("Sun, 06 Nov 2050 08:49:37 GMT")),
        ("x-hop", None),
        ("via", Some("1.1 nexus")),
        ("accept-ranges", Some("bytes")),
    ] {
        assert_eq!(first.header(name), value, "{name}");
    }
    assert!(first.header("age").and_then(|a| a.parse().ok()).is_some_and(|age: u64| age >= 7));
    for (fields, status, want) in [
        (&[("if-none-match", "\"v1\"")][..], 304, &b""[..]),
        (&[("if-none-match", "W/\"v1\"")], 304, b""),
        (&[("if-none-match", "\"v2\"")], 200, b"0123456789"),
        (&[("range", "bytes=2-4")], 206, b"234"),
        (&[("range", "bytes=-2")], 206, b"89"),
        (&[("range", "bytes=20-")], 416, b""),
        (&[("range", "bytes=2-4"), ("if-range", "\"v2\"")], 200, b"0123456789"),
        (&[("range", "bytes=2-4"), ("if-range", "\"v1\"")], 206, b"234"),
    ] {
        // A 304 has no body and no length; a client that reads on would wait.
        let mut client = Client::connect(server.edge()).expect("a connection");
        let reply = client.get("/o/a.m4s", fields).expect("an answer");
        assert_eq!((reply.status, reply.body.as_slice()), (status, want), "{fields:?}");
        assert!(told(&reply).starts_with("nexus; hit; ttl="), "{}", told(&reply));
    }
    let head = client.ask("HEAD", "/o/a.m4s", &[], b"").expect("an answer");
    assert_eq!((head.status, head.header("content-length")), (200, Some("10")));
    assert_eq!(origin.count("/o/a.m4s"), 1);
    // What a HEAD asks for is there for a GET.
    let head = client.ask("HEAD", "/o/b.m4s", &[], b"").expect("an answer");
    assert_eq!((head.status, head.header("content-length")), (200, Some("10")));
    assert_eq!((get(&server, "/o/b.m4s").body.len(), origin.count("/o/b.m4s")), (10, 1));
}

#[test]
fn nothing_crosses_from_one_viewer_or_host_to_another() {
    let script = |name: &'static str| {
        move |asked: &Asked, out: &mut TcpStream| {
            let cookie = if asked.target.contains("login") { ("set-cookie", "id=1") } else { FRESH };
            answer(out, "200 OK", &[FRESH, cookie], name.as_bytes())
        }
    };
    let (a, b) = (Upstream::start(script("a")), Upstream::start(script("b")));
    let server = Server::configured(&format!(
        "[[edge.upstream]]\nname = \"a\"\nhosts = [\"a.example\"]\norigins = [{:?}]\nquery = [\"id\"]\n\
         [[edge.upstream]]\nname = \"b\"\nhosts = [\"b.example\"]\norigins = [{:?}]\n",
        a.url(),
        b.url()
    ));
    let from = |host: &str, path: &str, fields: &str| {
        let mut socket = TcpStream::connect(server.edge()).expect("a connection");
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{fields}\r\n");
        socket.write_all(request.as_bytes()).expect("sends");
        let mut all = String::new();
        socket.read_to_string(&mut all).expect("an answer");
        all
    };
    for _ in 0..2 {
        assert!(from("a.example", "/x.ts", "").ends_with("\r\n\r\na"));
        assert!(from("B.example:80", "/x.ts", "").ends_with("\r\n\r\nb"));
        assert!(from("c.example", "/x.ts", "").starts_with("HTTP/1.1 404"));
    }
    assert_eq!((a.count("/x.ts"), b.count("/x.ts")), (1, 1));
    // What is in no name reaches no origin.
    let secret = "cookie: me=1\r\nauthorization: Bearer 1\r\nx-forwarded-for: 1.2.3.4\r\norigin: https://site.example\r\n";
    from("a.example", "/y.ts?id=1&token=secret&CMCD=sid%3D%221%22", secret);
    from("a.example", "/y.ts?token=other&id=1", "");
    let asked = a.asked("/y.ts?id=1");
    assert_eq!(asked.len(), 1, "what does not count is not asked for twice");
    for word in ["cookie", "authorization", "1.2.3.4", "site.example", "secret", "cmcd"] {
        assert!(!asked[0].head.contains(word), "{word}: {}", asked[0].head);
    }
    // An answer with a cookie is for one, and the cookie for nobody.
    for _ in 0..3 {
        assert!(!from("a.example", "/login?id=1", "").contains("set-cookie"));
    }
    assert_eq!(a.count("/login?id=1"), 3);
}

/// An origin whose object has a version; it is checked by tag.
fn versioned(cache_control: &'static str) -> (Upstream, Arc<AtomicUsize>) {
    let version = Arc::new(AtomicUsize::new(1));
    let of = version.clone();
    let origin = Upstream::start(move |asked, out| {
        let v = of.load(Ordering::SeqCst);
        let etag = format!("\"v{v}\"");
        let fields = [("cache-control", cache_control), ("etag", etag.as_str())];
        if asked.header("if-none-match") == Some(etag.as_str()) {
            out.write_all(
                format!(
                    "HTTP/1.1 304 Not Modified\r\netag: {etag}\r\ncache-control: {cache_control}\r\n\r\n"
                )
                .as_bytes(),
            )?;
            return Ok(true);
        }
        answer(out, "200 OK", &fields, format!("version {v}").as_bytes())
    });
    (origin, version)
}

#[test]
fn what_is_stale_is_checked_and_what_has_changed_never_mixed() {
    let (origin, version) = versioned("max-age=0");
    let server = edge(&[&origin], "");
    assert_eq!(get(&server, "/o/a.ts").body, b"version 1");
    let checked = get(&server, "/o/a.ts");
    assert_eq!(
        (checked.body.as_slice(), told(&checked)),
        (&b"version 1"[..], "nexus; fwd=stale; fwd-status=304")
    );
    version.store(2, Ordering::SeqCst);
    let old = http::get_with(server.edge(), "/o/a.ts", &[("range", "bytes=0-3"), ("if-range", "\"v1\"")]);
    let old = old.expect("an answer");
    assert_eq!(
        (old.status, old.body.as_slice()),
        (200, &b"version 2"[..]),
        "a range of another version is the whole"
    );
    assert_eq!(get(&server, "/o/a.ts").header("etag"), Some("\"v2\""));
    let conditions: Vec<_> =
        origin.asked("/o/a.ts").iter().map(|a| a.header("if-none-match").map(str::to_owned)).collect();
    let tag = |v: &str| Some(format!("\"{v}\""));
    assert_eq!(conditions, [None, tag("v1"), tag("v1"), tag("v2")]);
}

#[test]
fn stale_is_served_at_once_while_it_is_fetched_behind_the_viewer() {
    let gate = Gate::default();
    let (held, calls) = (gate.clone(), AtomicUsize::new(0));
    let origin = Upstream::start(move |_, out| {
        let nth = calls.fetch_add(1, Ordering::SeqCst);
        if nth > 0 {
            held.pass();
        }
        answer(
            out,
            "200 OK",
            &[("cache-control", "max-age=0, stale-while-revalidate=600")],
            format!("{nth}").as_bytes(),
        )
    });
    let server = edge(&[&origin], "");
    assert_eq!(get(&server, "/o/list.m3u8").body, b"0");
    for _ in 0..20 {
        assert_eq!(get(&server, "/o/list.m3u8").body, b"0", "the origin does not answer yet");
    }
    assert!(
        eventually(SOON, || (origin.count("/o/list.m3u8") == 2).then_some(())).is_some(),
        "one fetch for all"
    );
    gate.open();
    assert!(eventually(SOON, || (get(&server, "/o/list.m3u8").body != b"0").then_some(())).is_some());
}

#[test]
fn when_origins_fail_others_are_asked_and_then_what_is_stale() {
    let broken = Arc::new(Mutex::new(false));
    let of = broken.clone();
    let script = move |asked: &Asked, out: &mut TcpStream| match (
        *of.lock().expect("no panic"),
        asked.target.as_str(),
    ) {
        (true, _) => answer(out, "503 Service Unavailable", &[], b"broken"),
        (_, "/o/strict.ts") => {
            answer(out, "200 OK", &[("cache-control", "max-age=0, must-revalidate")], b"strict")
        }
        _ => answer(out, "200 OK", &[("cache-control", "max-age=0, stale-if-error=600")], b"good"),
    };
    let (first, second) = (Upstream::start(script.clone()), Upstream::start(script));
    let server = edge(&[&first, &second], "");
    assert_eq!((get(&server, "/o/a.ts").body, second.count("/o/a.ts")), (b"good".to_vec(), 0));
    assert_eq!(get(&server, "/o/strict.ts").body, b"strict");
    drop(first);
    assert_eq!((get(&server, "/o/a.ts").body, second.count("/o/a.ts")), (b"good".to_vec(), 1));
    // It answers, with an error.
    *broken.lock().expect("no panic") = true;
    let stale = get(&server, "/o/a.ts");
    assert!(stale.body == b"good" && told(&stale).ends_with("detail=stale-if-error"), "{}", told(&stale));
    let strict = get(&server, "/o/strict.ts");
    assert_eq!((strict.status, strict.body.as_slice()), (503, &b"broken"[..]), "it may not be served stale");
    drop(second);
    assert_eq!(get(&server, "/o/a.ts").body, b"good");
    assert_eq!(get(&server, "/o/new.ts").status, 502);
    assert!(figure(&server, "stale_served_total") >= 2);
    assert!(server.log().contains("an origin fails"), "{}", server.log());
    assert!(
        eventually(SOON, || (figure(&server, "origins_up{upstream=\"origin\"}") < 2).then_some(())).is_some()
    );
}

#[test]
fn checks_of_health_take_an_origin_out_and_back_in() {
    let sick = Arc::new(Mutex::new(true));
    let of = sick.clone();
    let first = Upstream::start(move |asked, out| {
        let status =
            if asked.target == "/ok" && *of.lock().expect("no panic") { "503 Sick" } else { "200 OK" };
        answer(out, status, &[FRESH], b"first")
    });
    let second = Upstream::start(|_, out| answer(out, "200 OK", &[FRESH], b"second"));
    let settings = settings(&[&first, &second], "") + "health = \"/ok\"\n";
    let server = Server::configured(&settings);
    let up = |n: u64| {
        eventually(SOON, || (figure(&server, "origins_up{upstream=\"origin\"}") == n).then_some(())).is_some()
    };
    assert!(up(1));
    assert_eq!(get(&server, "/o/1.ts").body, b"second");
    *sick.lock().expect("no panic") = false;
    assert!(up(2));
    // A pause behind a failure ends by itself too: only the check says that it was asked again.
    let healthy =
        || first.count("/ok") >= 2 && get(&server, &format!("/o/{}.ts", first.count("/ok"))).body == b"first";
    assert!(eventually(SOON, || healthy().then_some(())).is_some());
}

#[test]
fn memory_is_bounded_whatever_is_asked_for() {
    let origin = plain(500_000);
    let server = edge(&[&origin], "ram_bytes_max = 8388608\nobject_bytes_max = 1048576\n");
    assert_eq!(get(&server, "/o/warm.ts").status, 200);
    let before = server.rss_kib();
    for n in 0..400 {
        assert_eq!(get(&server, &format!("/o/{n}.ts")).body.len(), 500_000);
    }
    assert!(figure(&server, "kept_bytes{tier=\"ram\"}") <= 8 << 20);
    assert!(figure(&server, "evictions_total{tier=\"ram\"}") > 380);
    let grown = server.rss_kib().saturating_sub(before);
    // What the allocator keeps for a while is more than what is kept.
    assert!(grown < 100 << 10, "{grown} KiB for 200 MB that passed through");
}

#[test]
fn errors_are_kept_shortly_and_asked_for_once() {
    let origin = Upstream::start(|asked, out| match asked.target.as_str() {
        "/o/none.ts" => answer(out, "404 Not Found", &[("cache-control", "max-age=600")], b"none"),
        _ => answer(out, "500 Internal Server Error", &[FRESH], b"broken"),
    });
    let server = edge(&[&origin], "");
    for _ in 0..5 {
        let none = get(&server, "/o/none.ts");
        assert_eq!((none.status, none.body.as_slice()), (404, &b"none"[..]));
        assert_eq!(get(&server, "/o/broken.ts").status, 500);
    }
    let left = told(&get(&server, "/o/none.ts")).split("ttl=").nth(1).and_then(|s| s.parse::<i64>().ok());
    assert!(left.is_some_and(|s| s <= 10), "bounded, whatever it says: {left:?}");
    assert_eq!((origin.count("/o/none.ts"), origin.count("/o/broken.ts")), (1, 5));
}

#[test]
fn purges_are_in_force_at_once_and_for_the_bearer_of_the_key_alone() {
    let origin = Upstream::start(|asked, out| {
        let tag = if asked.target.contains("film") { "film-1, all" } else { "all" };
        answer(out, "200 OK", &[FRESH, ("cache-tag", tag)], b"x")
    });
    let server = edge(&[&origin], "");
    let all = ["/o/film/1.ts", "/o/film/2.ts", "/o/film/2.ts?a=1", "/o/other.ts"];
    let fill = || all.iter().for_each(|path| assert_eq!(get(&server, path).status, 200));
    let purge = |key: &str, order: &str| {
        let mut client = Client::connect(server.edge()).expect("a connection");
        let fields = [("authorization", key), ("content-type", "application/json")];
        let reply = client.ask("POST", "/cache/purge", &fields, order.as_bytes()).expect("an answer");
        (reply.status, String::from_utf8_lossy(&reply.body).into_owned())
    };
    let bearer = format!("Bearer {KEY}");
    fill();
    for (key, order, status) in [
        ("", "{}", 401),
        ("Bearer wrong-key-of-the-test", "{\"prefixes\":[\"/\"]}", 401),
        (bearer.as_str(), "{\"everything\":true}", 400),
        (bearer.as_str(), "{}", 200),
    ] {
        assert_eq!(purge(key, order).0, status, "{order}");
    }
    fill();
    assert!(all.iter().all(|path| origin.count(path) == 1), "nothing has gone yet");
    for (order, gone) in [
        ("{\"urls\":[\"/o/film/2.ts\"]}", &all[1..2]),
        ("{\"urls\":[\"/o/film/2.ts?a=1\", \"/o/nothing\"]}", &all[2..3]),
        ("{\"prefixes\":[\"/o/film/2\"]}", &all[1..3]),
        ("{\"tags\":[\"film-1\"]}", &all[..3]),
        ("{\"tags\":[\"film\"]}", &all[..0]),
        ("{\"tags\":[\"all\"],\"upstream\":\"another\"}", &all[..0]),
        ("{\"tags\":[\"all\"],\"upstream\":\"origin\"}", &all[..]),
    ] {
        let before: Vec<usize> = all.iter().map(|path| origin.count(path)).collect();
        assert_eq!(purge(&bearer, order), (200, format!("{{\"purged\":{}}}", gone.len())), "{order}");
        fill();
        for (path, before) in all.iter().zip(before) {
            assert_eq!(origin.count(path) - before, usize::from(gone.contains(path)), "{order} {path}");
        }
    }
    assert!(!server.log().contains(KEY));
}

/// A folder that goes with the test.
fn folder(name: &str) -> std::path::PathBuf {
    let path = scratch(&format!("cache-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

fn objects(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    entries.filter(|p| p.extension().is_some_and(|e| e == "object")).collect()
}

#[test]
fn a_killed_edge_is_warm_again_and_what_is_damaged_is_fetched_anew() {
    let (origin, data) = (plain(200_000), folder("warm"));
    let disk = data.join("kept");
    let settings = settings(&[&origin], &format!("disk = {disk:?}\n"));
    let mut server = Server::configured_in(&data, &settings);
    for n in 0..4 {
        assert_eq!(get(&server, &format!("/o/{n}.ts")).status, 200);
    }
    assert!(eventually(SOON, || (objects(&disk).len() == 4).then_some(())).is_some(), "{}", server.log());
    server.terminate("KILL");
    drop(server);
    let mut files = objects(&disk);
    files.sort();
    let mut bytes = std::fs::read(&files[0]).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&files[0], bytes).expect("writes");
    let server = Server::configured_in(&data, &settings);
    assert!(server.wait_for_log("the disk cache is read", SOON), "{}", server.log());
    let fetched: usize = (0..4)
        .map(|n| {
            let path = format!("/o/{n}.ts");
            let reply = get(&server, &path);
            assert!(reply.status == 200 && reply.body == body(200_000, 0), "{n}");
            origin.count(&path) - 1
        })
        .sum();
    assert_eq!((fetched, figure(&server, "disk_corrupt_total")), (1, 1), "only the damaged one");
    assert_eq!(figure(&server, "disk_hits_total"), 3);
    drop(server);
    let _ = std::fs::remove_dir_all(&data);
}

#[test]
fn what_was_purged_is_gone_after_a_restart_too() {
    let (origin, data) = (plain(1_000), folder("purged"));
    let disk = data.join("kept");
    let settings = settings(&[&origin], &format!("disk = {disk:?}\n"));
    let mut server = Server::configured_in(&data, &settings);
    assert!(server.wait_for_log("the disk cache is read", SOON), "{}", server.log());
    for path in ["/o/a.ts", "/o/b.ts"] {
        assert_eq!(get(&server, path).status, 200);
    }
    assert!(eventually(SOON, || (objects(&disk).len() == 2).then_some(())).is_some());
    let (bearer, order) = (format!("Bearer {KEY}"), b"{\"urls\":[\"/o/a.ts\"]}");
    let mut client = Client::connect(server.edge()).expect("a connection");
    let purged = client.ask("POST", "/cache/purge", &[("authorization", &bearer)], order).expect("an answer");
    assert_eq!(purged.body, b"{\"purged\":2}", "in memory and on disk");
    server.terminate("KILL");
    drop(server);
    let server = Server::configured_in(&data, &settings);
    assert!(server.wait_for_log("the disk cache is read", SOON), "{}", server.log());
    for (path, fetched) in [("/o/a.ts", 2), ("/o/b.ts", 1)] {
        assert_eq!((get(&server, path).status, origin.count(path)), (200, fetched), "{path}");
    }
    drop(server);
    let _ = std::fs::remove_dir_all(&data);
}

#[test]
fn what_a_player_announces_is_there_before_it_asks() {
    let origin = plain(1_000);
    let server = edge(&[&origin], "");
    let nor = [("cmcd-request", "nor=\"..%2Fv2%2F2.ts\"")];
    http::get_with(server.edge(), "/o/v1/1.ts", &nor).expect("an answer");
    assert!(eventually(SOON, || (origin.count("/o/v2/2.ts") == 1).then_some(())).is_some());
    let hit = || told(&get(&server, "/o/v2/2.ts")).starts_with("nexus; hit").then_some(());
    assert!(eventually(SOON, hit).is_some());
    // Nothing outside of the route, and nothing elsewhere.
    for nor in ["nor=\"%2Fother%2F1.ts\"", "nor=\"..%2F..%2F..%2F1.ts\"", "nor=\"http:%2F%2Fx%2F1.ts\""] {
        http::get_with(server.edge(), "/o/v1/1.ts", &[("cmcd-request", nor)]).expect("an answer");
    }
    assert_eq!((figure(&server, "prefetches_total"), origin.count("/o/v2/2.ts")), (1, 1));
}
