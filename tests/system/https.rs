//! Viewers over TLS: HTTP/1.1, HTTP/2 and HTTP/3, certificates that change, handshakes that stall.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::encoder::{Process, SMALL, eventually, ffmpeg, run, scratch};
use crate::live::playable;
use crate::support::{Server, http, nexus_bin};

const LIMIT: Duration = Duration::from_secs(30);

fn curl(args: &[&str]) -> String {
    let (ok, out, err) = run("curl", &[&["-sSk", "--max-time", "20"], args].concat(), LIMIT);
    assert!(ok, "curl {args:?}: {err}");
    out
}

/// Answers to requests one after the other over HTTP/3, by aioquic.
fn http3(server: &Server, paths: &[&str]) -> Vec<serde_json::Value> {
    let script = format!("{}/tests/support/h3.py", env!("CARGO_MANIFEST_DIR"));
    let (host, port) = (server.https().ip().to_string(), server.https().port().to_string());
    let (ok, out, err) = run("h3-python", &[&[&*script, &*host, &*port], paths].concat(), LIMIT);
    assert!(ok, "{err}\n{}", server.log());
    out.lines().map(|line| serde_json::from_str(line).expect("an answer")).collect()
}

/// The first line that names a file, and the number after the last segment.
fn listed(playlist: &str) -> (String, u64) {
    let file = playlist.lines().find(|l| l.ends_with(".m4s")).expect("a segment").to_owned();
    let hint = playlist.split("TYPE=PART,URI=\"").nth(1).and_then(|t| t.split('.').next()).expect("a hint");
    (file, hint.parse().expect("a number"))
}

#[test]
fn every_version_of_http_brings_the_same_bytes() {
    let server = Server::start(&[]);
    let _encoder = ffmpeg(server.rtmp(), "live/tls", SMALL);
    playable(&server, "live/tls");
    let folder = scratch("https");
    let base = format!("https://{}/live/tls/v1", server.https());
    let head = curl(&["-D-", "--http2", "--tlsv1.3", &format!("{base}/index.m3u8")]);
    assert!(head.starts_with("HTTP/2 200"), "{head}");
    assert!(head.contains(&format!("alt-svc: h3=\":{}\"; ma=86400", server.https().port())), "{head}");
    let (segment, msn) = listed(&head);
    let mut sums = Vec::new();
    for version in [&["--http1.1", "--tlsv1.2", "--tls-max", "1.2"][..], &["--http2", "--tlsv1.3"]] {
        let file = folder.join(format!("{}.m4s", sums.len())).display().to_string();
        curl(&[version, &["-o", &file, &format!("{base}/{segment}")]].concat());
        let (_, sum, _) = run("sha256sum", &[&file], LIMIT);
        sums.push(sum.split(' ').next().unwrap_or_default().to_owned());
    }
    let reload = format!("/live/tls/v1/index.m3u8?_HLS_msn={msn}&_HLS_part=0");
    let path = format!("/live/tls/v1/{segment}");
    let answers =
        http3(&server, &["/live/tls/v1/index.m3u8", &reload, &path, "/nothing", "/health", "POST /x"]);
    let status: Vec<_> = answers.iter().map(|a| a["status"].as_u64()).collect();
    assert_eq!(status, [200, 200, 200, 404, 200, 405].map(Some), "{answers:#?}");
    let text = answers[1]["text"].as_str().expect("a playlist");
    assert!(text.contains(&format!("\"{msn}.0.m4s\"")), "the reload waited for part {msn}.0:\n{text}");
    sums.push(answers[2]["sha256"].as_str().expect("a sum").to_owned());
    assert!(sums.iter().all(|s| s.len() == 64 && *s == sums[0]), "{sums:?}");
    assert_eq!(answers[3]["headers"]["content-type"], "application/problem+json");
    assert!(answers[4]["headers"]["x-request-id"].is_string());
    assert!(http::get(server.edge(), "/health").expect("an answer").header("alt-svc").is_none());
    let old = run("curl", &["-sSk", "--tls-max", "1.1", &format!("{base}/index.m3u8")], LIMIT);
    assert!(!old.0, "TLS 1.1 is refused");
}

fn make(folder: &Path, name: &str) {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let subject = format!("/CN={name}");
    let args =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "5"];
    let (ok, _, err) =
        run("openssl", &[&args[..], &["-subj", &subject, "-keyout", &key, "-out", &cert]].concat(), LIMIT);
    assert!(ok, "{err}");
}

/// The name in the certificate that a new connection gets.
fn shown(server: &Server) -> String {
    curl(&["-v", "--stderr", "-", &format!("https://{}/health", server.https())])
        .lines()
        .find_map(|l| l.split("subject: CN=").nth(1).map(str::to_owned))
        .unwrap_or_default()
}

#[test]
fn a_new_certificate_is_taken_over_while_downloads_run() {
    let folder = scratch("certificates");
    make(&folder, "first.example");
    let path = |name: &str| folder.join(name).display().to_string();
    let settings = format!("[tls]\ncert = {:?}\nkey = {:?}\n", path("cert.pem"), path("key.pem"));
    let server = Server::configured(&settings);
    let _encoder = ffmpeg(server.rtmp(), "live/swap", SMALL);
    playable(&server, "live/swap");
    assert_eq!(shown(&server), "first.example");
    assert!(server.wait_for_log("the certificate runs out", Duration::from_secs(5)), "five days are few");
    let base = format!("https://{}/live/swap/v1", server.https());
    let (segment, _) = listed(&curl(&[&format!("{base}/index.m3u8")]));
    let whole = path("whole.m4s");
    curl(&["-o", &whole, &format!("{base}/{segment}")]);
    let size = std::fs::metadata(&whole).expect("a file").len();
    // Three seconds long; under way when the first byte is there.
    let (slow, rate) = (path("slow.m4s"), (size / 3).to_string());
    let mut command = Command::new("curl");
    command.args([
        "-sSk",
        "--max-time",
        "20",
        "--limit-rate",
        &rate,
        "-o",
        &slow,
        &format!("{base}/{segment}"),
    ]);
    let mut download = Process::start(&mut command);
    let begun = || std::fs::metadata(&slow).ok().filter(|m| m.len() > 0);
    eventually(LIMIT, begun).expect("a download");

    make(&folder, "second.example");
    server.signal("HUP");
    assert!(server.wait_for_log("in use for new connections", LIMIT), "{}", server.log());
    assert_eq!(shown(&server), "second.example");
    std::fs::write(folder.join("cert.pem"), "broken").expect("a file");
    server.signal("HUP");
    assert!(server.wait_for_log("certificates not taken over", LIMIT), "{}", server.log());
    assert_eq!(shown(&server), "second.example");
    assert_eq!(download.wait(LIMIT), Some(0), "the download ends well");
    assert_eq!(std::fs::read(&slow).expect("a file"), std::fs::read(&whole).expect("a file"));
}

#[test]
fn handshakes_that_stall_hold_up_nobody() {
    let server = Server::start(&[]);
    let rss = server.rss_kib();
    // The beginning of a ClientHello that never ends.
    let stalled: Vec<TcpStream> = (0..500)
        .map(|_| {
            let mut socket = TcpStream::connect(server.https()).expect("a connection");
            socket.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).expect("sent");
            socket
        })
        .collect();
    // And packets that are no QUIC.
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for nth in 0..500u32 {
        let _ = udp.send_to(&[&[0xc0 | nth as u8; 40][..], &nth.to_be_bytes()].concat(), server.https());
    }
    let out = curl(&[&format!("https://{}/health", server.https())]);
    assert!(out.contains("\"ok\""), "{out}");
    assert_eq!(http3(&server, &["/health"])[0]["status"], 200);
    let grown = server.rss_kib().saturating_sub(rss);
    assert!(grown < 16 << 10, "{grown} KiB for {} stalled handshakes", stalled.len());
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn a_stop_finishes_what_runs_over_http3() {
    let mut server = Server::start(&[]);
    let _encoder = ffmpeg(server.rtmp(), "live/h3stop", SMALL);
    playable(&server, "live/h3stop");
    // Two requests on one connection, then the process is told to go: the connection is closed, not forgotten.
    assert_eq!(http3(&server, &["/health", "/live/h3stop/v1/index.m3u8"])[1]["status"], 200);
    assert_eq!(server.terminate("TERM"), Some(0), "{}", server.log());
}

#[test]
fn a_udp_port_that_is_taken_is_named() {
    let holder = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = holder.local_addr().expect("an address").to_string();
    let mut command = Command::new(nexus_bin());
    command.args(["up", "--data"]).arg(scratch("udp-taken")).env("NEXUS__EDGE__HTTPS__LISTEN", &address);
    for key in ["ORIGIN__RTMP", "ORIGIN__RTMPS", "ORIGIN__SRT", "ORIGIN__HTTP", "EDGE__HTTP", "GATEWAY"] {
        command.env(format!("NEXUS__{key}__LISTEN"), "127.0.0.1:0");
    }
    let out = command.output().expect("nexus runs");
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        out.status.code() == Some(1) && err.contains("edge.https.listen") && err.contains("UDP"),
        "{err}"
    );
}
