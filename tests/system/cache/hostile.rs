//! Origins that lie, never end or break off: bounded, told, and never kept.

use super::*;
use crate::encoder::run;

/// Everything that comes until the end, and whether the connection was reset.
fn raw(server: &Server, path: &str) -> (Vec<u8>, bool) {
    let mut socket = TcpStream::connect(server.edge()).expect("a connection");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).expect("sends");
    let (mut all, mut buffer) = (Vec::new(), vec![0; 65_536]);
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return (all, false),
            Ok(n) => all.extend_from_slice(&buffer[..n]),
            Err(_) => return (all, true),
        }
    }
}

/// Whether a client takes it for a whole answer.
fn is_whole(all: &[u8], reset: bool) -> bool {
    let text = String::from_utf8_lossy(all);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length =
        head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    match length {
        Some(length) => body.len() >= length,
        None if head.to_ascii_lowercase().contains("transfer-encoding: chunked") => {
            body.ends_with("0\r\n\r\n")
        }
        None => !reset,
    }
}

#[test]
fn a_body_that_breaks_off_breaks_its_readers_and_is_not_kept() {
    const OK: &str = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\n";
    for (name, answer_begins) in [
        ("length", format!("{OK}content-length: 1000\r\n\r\nhalf of it")),
        ("chunks", format!("{OK}transfer-encoding: chunked\r\n\r\n5\r\nhalf.\r\n")),
        ("chunk", format!("{OK}transfer-encoding: chunked\r\n\r\n500\r\nhalf.\r\n")),
        ("no chunk", format!("{OK}transfer-encoding: chunked\r\n\r\nzz\r\nhalf.\r\n")),
    ] {
        let calls = AtomicUsize::new(0);
        let origin = Upstream::start(move |_, out| {
            if calls.fetch_add(1, Ordering::SeqCst) > 0 {
                return answer(out, "200 OK", &[FRESH], b"whole");
            }
            out.write_all(answer_begins.as_bytes())?;
            Ok(false)
        });
        let server = edge(&[&origin], "");
        let (all, reset) = raw(&server, "/o/a.ts");
        // As a cut-off answer or, when nothing has been sent yet, as an error.
        let good = all.starts_with(b"HTTP/1.1 200") && is_whole(&all, reset);
        assert!(!good, "{name}: {}", String::from_utf8_lossy(&all));
        assert_eq!(get(&server, "/o/a.ts").body, b"whole", "{name}");
        assert_eq!((origin.count("/o/a.ts"), figure(&server, "fetches_failed_total")), (2, 1), "{name}");
    }
}

#[test]
fn over_http_1_and_2_with_tls_a_part_is_an_error_and_the_whole_is_whole() {
    for version in ["--http1.1", "--http2"] {
        let gate = Gate::default();
        let held = gate.clone();
        let origin = Upstream::start(move |asked, out| {
            if asked.target == "/o/whole.ts" {
                return answer(out, "200 OK", &[FRESH], &body(100_000, 0));
            }
            out.write_all(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 100000\r\n\r\n")?;
            out.write_all(&body(60_000, 0))?;
            held.pass();
            Ok(false)
        });
        let server = edge(&[&origin], "");
        let out = folder(&format!("versions{version}"));
        let fetch = |name: &str| {
            let url = format!("https://{}/o/{name}.ts", server.https());
            let file = out.to_str().expect("a path").to_owned();
            let args = ["-sSk", "--max-time", "20", version, "-o", &file, &url].map(str::to_owned);
            move || run("curl", &args.each_ref().map(String::as_str), Duration::from_secs(30))
        };
        let broken = std::thread::spawn(fetch("broken"));
        assert!(eventually(SOON, || (figure(&server, "bytes_total") >= 60_000).then_some(())).is_some());
        gate.open();
        let (ok, _, says) = broken.join().expect("curl ends");
        assert!(!ok, "{version}: it took a part for the whole: {says}");
        let (ok, _, says) = fetch("whole")();
        let got = std::fs::read(&out).expect("a file");
        assert!(ok && got == body(100_000, 0), "{version}: {says}");
        let _ = std::fs::remove_file(&out);
    }
}

#[test]
fn a_part_is_not_taken_for_the_whole_by_an_edge_behind_an_edge() {
    let calls = AtomicUsize::new(0);
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Upstream::start(move |_, out| {
        if calls.fetch_add(1, Ordering::SeqCst) > 0 {
            return answer(out, "200 OK", &[FRESH], b"whole");
        }
        out.write_all(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n")?;
        out.write_all(b"4\r\npart\r\n")?;
        held.pass();
        Ok(false)
    });
    let parent = edge(&[&origin], "");
    let child = Server::configured(&format!("[[edge.upstream]]\norigins = [\"http://{}\"]\n", parent.edge()));
    let mut viewer = TcpStream::connect(child.edge()).expect("a connection");
    viewer.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    viewer.write_all(b"GET /o/a.ts HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sends");
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    while !all.windows(4).any(|w| w == b"part") {
        let n = viewer.read(&mut buffer).expect("it flows through both");
        all.extend_from_slice(&buffer[..n]);
    }
    gate.open();
    let reset = viewer.read_to_end(&mut all).is_err();
    assert!(!is_whole(&all, reset), "{}", String::from_utf8_lossy(&all));
    for server in [&child, &parent] {
        assert_eq!(figure(server, "objects{tier=\"ram\"}"), 0);
        assert_eq!(figure(server, "fetches_failed_total"), 1);
    }
    assert_eq!(get(&child, "/o/a.ts").body, b"whole");
}

#[test]
fn beyond_the_bound_of_fetches_others_wait_and_what_is_there_is_served() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Upstream::start(move |asked, out| {
        if asked.target == "/o/slow.ts" {
            held.pass();
        }
        answer(out, "200 OK", &[FRESH], b"x")
    });
    let server = edge(&[&origin], "fetches_max = 1\n");
    assert_eq!(get(&server, "/o/there.ts").status, 200);
    let mut waiting = TcpStream::connect(server.edge()).expect("a connection");
    waiting.write_all(b"GET /o/slow.ts HTTP/1.1\r\nhost: x\r\n\r\n").expect("sends");
    assert!(eventually(SOON, || (origin.count("/o/slow.ts") == 1).then_some(())).is_some());
    let busy = get(&server, "/o/other.ts");
    assert_eq!((busy.status, busy.header("retry-after")), (503, Some("1")));
    assert_eq!(get(&server, "/o/there.ts").status, 200);
    gate.open();
    let free = || (get(&server, "/o/other.ts").status == 200).then_some(());
    assert!(eventually(SOON, free).is_some());
}

#[test]
fn heads_that_two_would_read_in_two_ways_and_bombs_are_refused() {
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\nx: {}\r\n\r\na", "y".repeat(40_000));
    let many = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n{}\r\na", "x: y\r\n".repeat(2_000));
    let endless = format!("HTTP/1.1 200 OK\r\n{}", "x: y\r\n".repeat(200_000));
    for (name, says) in [
        ("two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"),
        ("the same twice", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na"),
        (
            "length and chunks",
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("another coding", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
        ("no number", "HTTP/1.1 200 OK\r\ncontent-length: 1x\r\n\r\na"),
        ("negative", "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\na"),
        ("304 to who has nothing", "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n"),
        ("no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        ("nothing", ""),
        ("a long field", &long),
        ("many fields", &many),
        ("endless fields", &endless),
    ] {
        let says = says.to_owned();
        let origin = Upstream::start(move |_, out| {
            out.write_all(says.as_bytes())?;
            Ok(false)
        });
        let server = edge(&[&origin], "");
        let reply = get(&server, "/o/a.ts");
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (502, Some("application/problem+json")),
            "{name}"
        );
        let told = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(!told.contains("127.0.0.1"), "an origin is nobody's business: {told}");
    }
}

#[test]
fn what_ends_with_its_connection_is_passed_on_and_not_kept() {
    let origin = Upstream::start(|_, out| {
        out.write_all(b"HTTP/1.0 200 OK\r\ncache-control: max-age=60\r\n\r\nperhaps whole")?;
        Ok(false)
    });
    let server = edge(&[&origin], "");
    for n in 1..4 {
        assert_eq!(get(&server, "/o/a.ts").body, b"perhaps whole");
        assert_eq!(origin.count("/o/a.ts"), n);
    }
}

#[test]
fn an_endless_body_is_passed_on_in_bounded_memory() {
    const SENT: usize = 200 << 20;
    let origin = Upstream::start(|_, out| {
        out.write_all(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n")?;
        let chunk = [b"10000\r\n".as_slice(), &[7; 65_536], b"\r\n"].concat();
        for _ in 0..SENT >> 16 {
            out.write_all(&chunk)?;
        }
        out.write_all(b"0\r\n\r\n")?;
        Ok(true)
    });
    let server = edge(&[&origin], "object_bytes_max = 1048576\n");
    let before = server.rss_kib();
    let reply = get(&server, "/o/endless.ts");
    assert_eq!((reply.status, reply.body.len()), (200, SENT));
    let grown = server.rss_kib().saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB");
    assert_eq!((figure(&server, "objects{tier=\"ram\"}"), figure(&server, "filling_bytes")), (0, 0));
    // A viewer who leaves ends what nobody keeps.
    let mut socket = TcpStream::connect(server.edge()).expect("a connection");
    socket.write_all(b"GET /o/left.ts HTTP/1.1\r\nhost: x\r\n\r\n").expect("sends");
    assert!(socket.read(&mut [0; 1_000]).expect("it begins") > 0);
    drop(socket);
    let fetched = || figure(&server, "fetched_bytes_total");
    let after = fetched();
    assert!(eventually(SOON, || (figure(&server, "fetches_total") == 2).then_some(())).is_some());
    assert!(after < (SENT + SENT / 2) as u64, "it went on: {after}");
}

#[test]
fn large_files_are_had_in_ranges_from_the_origin() {
    let whole = Arc::new(body(3 << 20, 0));
    let of = whole.clone();
    let origin = Upstream::start(move |asked, out| {
        let range = asked.header("range").and_then(|r| r.strip_prefix("bytes=")?.split_once('-'));
        let bounds = range.map(|(a, b)| (a.parse::<usize>().unwrap_or(0), b.parse::<usize>().unwrap_or(0)));
        match bounds {
            Some((a, b)) => {
                let said = format!("bytes {a}-{b}/{}", of.len());
                answer(out, "206 Partial Content", &[FRESH, ("content-range", &said)], &of[a..=b])
            }
            None => answer(out, "200 OK", &[FRESH], &of),
        }
    });
    let server = edge(&[&origin], "object_bytes_max = 1048576\n");
    for (a, b) in [(2_000_000, 2_000_999), (0, 9), (5, 3_000_000)] {
        let range = format!("bytes={a}-{b}");
        let reply = http::get_with(server.edge(), "/o/film.mp4", &[("range", &range)]).expect("an answer");
        assert!(reply.status == 206 && reply.body == whole[a..=b], "{range}: {}", reply.status);
        assert_eq!(reply.header("content-range"), Some(format!("bytes {a}-{b}/{}", whole.len()).as_str()));
    }
    let asked = origin.asked("/o/film.mp4");
    let ranges: Vec<_> = asked.iter().map(|a| a.header("range")).collect();
    // What it is shows at the first question; from then on ranges are asked for.
    assert_eq!(ranges[..2], [None, Some("bytes=2000000-2000999")]);
    assert_eq!(ranges.len(), 4);
    assert_eq!(get(&server, "/o/film.mp4").body, *whole);
    assert_eq!(figure(&server, "objects{tier=\"ram\"}"), 0);
}

#[test]
fn a_silent_origin_costs_its_viewers_a_bounded_time() {
    let origin = Upstream::start(|asked, out| {
        if asked.target.contains("body") {
            out.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")?;
        }
        // Until the other end has had enough.
        let mut rest = [0; 1];
        let _ = out.read(&mut rest);
        Ok(false)
    });
    let settings = settings(&[&origin], "").replace("timeout_ms = 5000", "timeout_ms = 300");
    let server = Server::configured(&settings);
    assert_eq!(get(&server, "/o/head.ts").status, 504);
    let (all, reset) = raw(&server, "/o/body.ts");
    assert!(!is_whole(&all, reset), "{}", String::from_utf8_lossy(&all));
}

#[test]
fn an_upstream_that_leads_back_to_the_edge_ends_the_circle() {
    let back = Arc::new(Mutex::new(None));
    let of = back.clone();
    let origin = Upstream::start(move |asked, out| {
        let address = of.lock().expect("no panic").expect("it is known");
        let nodes = asked.header("cdn-loop").unwrap_or_default();
        let reply = http::get_with(address, "/o/a.ts", &[("cdn-loop", nodes)])?;
        answer(out, "200 OK", &[], reply.status.to_string().as_bytes())
    });
    let server = edge(&[&origin], "");
    *back.lock().expect("no panic") = Some(server.edge());
    assert_eq!(get(&server, "/o/a.ts").body, b"508");
}
