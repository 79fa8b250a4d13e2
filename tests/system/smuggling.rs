//! Requests that two programs could read in two ways: each is refused, or read in one way, and a refused connection
//! ends without a look at what comes behind.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::Server;

/// What the server does after its last answer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Closes,
    Stays,
}
use Fate::{Closes, Stays};

/// A page that is always there.
const PAGE: &str = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
/// Asked in the end to see whether the connection stayed; closes it in any case.
const LAST: &str = "GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: last\r\n\r\n";

/// Sends a request, then asks once more; the statuses of all answers and whether the last request was answered.
fn ask(address: SocketAddr, bytes: &[u8]) -> (Vec<u16>, Fate) {
    let mut socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    // The server may have closed before everything is written.
    let _ = socket.write_all(bytes).and_then(|()| socket.write_all(LAST.as_bytes()));
    let mut said = Vec::new();
    let _ = socket.read_to_end(&mut said);
    let said = String::from_utf8_lossy(&said);
    let mut statuses: Vec<u16> =
        said.split("HTTP/1.1 ").skip(1).filter_map(|s| s.get(..3)?.parse().ok()).collect();
    let stays = said.contains("x-request-id: last");
    if stays {
        statuses.pop();
    }
    (statuses, if stays { Stays } else { Closes })
}

/// Name, request, statuses, fate.
type Case = (&'static str, String, &'static [u16], Fate);

/// Where a body ends.
fn bodies() -> Vec<Case> {
    let post = |rest: &str| format!("POST /health/live HTTP/1.1\r\nHost: x\r\n{rest}");
    vec![
        ("CL.TE", post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG"), &[400], Closes),
        (
            "TE.CL",
            post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGPOST / HTTP/1.1\r\n"),
            &[400],
            Closes,
        ),
        (
            "TE.TE, second unknown",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n"),
            &[400],
            Closes,
        ),
        ("TE list", post("Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n"), &[400], Closes),
        ("TE unknown", post("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), &[400], Closes),
        ("TE with a vertical tab", post("Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"), &[400], Closes),
        ("TE, space before the colon", post("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"), &[400], Closes),
        ("TE on a folded line", post("A: b\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), &[400], Closes),
        (
            "TE in HTTP/1.0",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            &[400],
            Closes,
        ),
        ("two lengths", post("Content-Length: 0\r\nContent-Length: 4\r\n\r\n"), &[400], Closes),
        ("a list of lengths", post("Content-Length: 0, 0\r\n\r\n"), &[400], Closes),
        ("a signed length", post("Content-Length: +0\r\n\r\n"), &[400], Closes),
        ("a length too long", post("Content-Length: 99999999999999999999\r\n\r\n"), &[400], Closes),
    ]
}

/// Where a head ends, and whom it means.
fn heads() -> Vec<Case> {
    let giant = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "b".repeat(10_000));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(200));
    let path = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(9000));
    let megabyte = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "b".repeat(200_000));
    let twice = PAGE.repeat(2);
    let hundred = PAGE.repeat(100);
    let h1 = |rest: &str| format!("GET /health/live HTTP/1.1\r\n{rest}\r\n");
    vec![
        ("one", PAGE.into(), &[200], Stays),
        ("two in one write", twice, &[200; 2], Stays),
        ("a hundred in one write", hundred, &[200; 100], Stays),
        ("GET with a body", format!("{}abc", h1("Host: x\r\nContent-Length: 3\r\n")), &[200], Closes),
        (
            "GET with a chunked body",
            format!("{}3;a=b\r\nabc\r\n0\r\n\r\n", h1("Host: x\r\nTransfer-Encoding: chunked\r\n")),
            &[200],
            Closes,
        ),
        ("GET, length 0", h1("Host: x\r\nContent-Length: 0\r\n"), &[200], Stays),
        ("folded", h1("Host: x\r\nA: b\r\n c\r\n"), &[400], Closes),
        ("bare LF", "GET /health/live HTTP/1.1\nHost: x\n\n".into(), &[400], Closes),
        ("bare LF at the end", "GET /health/live HTTP/1.1\r\nHost: x\r\n\n".into(), &[400], Closes),
        ("bare CR", h1("Host: x\r\nA: b\rc\r\n"), &[400], Closes),
        ("NUL in a value", h1("Host: x\r\nA: b\0c\r\n"), &[400], Closes),
        ("a name with a space", h1("Host: x\r\nA b: c\r\n"), &[400], Closes),
        ("no Host", h1(""), &[400], Closes),
        ("two Hosts", h1("Host: x\r\nHost: y\r\n"), &[400], Closes),
        ("Host with a path", h1("Host: x/y\r\n"), &[400], Closes),
        ("absolute form", "GET http://x/health/live HTTP/1.1\r\nHost: x\r\n\r\n".into(), &[200], Stays),
        (
            "absolute form of another",
            "GET http://y/health/live HTTP/1.1\r\nHost: x\r\n\r\n".into(),
            &[400],
            Closes,
        ),
        ("10 000 bytes of head", giant, &[431], Closes),
        ("200 000 bytes of head", megabyte, &[431], Closes),
        ("200 fields", many, &[431], Closes),
        ("a long path", path, &[431], Closes),
        ("HTTP/1.0", "GET /health/live HTTP/1.0\r\n\r\n".into(), &[200], Closes),
        (
            "HTTP/1.0 kept",
            "GET /health/live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".into(),
            &[200],
            Stays,
        ),
        ("HTTP/3.0", "GET /health/live HTTP/3.0\r\nHost: x\r\n\r\n".into(), &[505], Closes),
        ("close", h1("Host: x\r\nConnection: close\r\n"), &[200], Closes),
        ("Expect", h1("Host: x\r\nExpect: 100-continue\r\n"), &[417], Closes),
        (
            "h2c",
            h1(
                "Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
            ),
            &[200],
            Closes,
        ),
        ("another method", "DELETE /live/a/index.m3u8 HTTP/1.1\r\nHost: x\r\n\r\n".into(), &[405], Closes),
        ("nothing of HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03\r\n\r\n".into(), &[400], Closes),
        ("nothing behind an error", format!("GET / HTTP/1.1\r\n\r\n{PAGE}"), &[400], Closes),
    ]
}

#[test]
fn a_request_is_read_in_one_way_or_refused() {
    let server = Server::start(&[]);
    for (name, request, statuses, fate) in bodies().into_iter().chain(heads()) {
        let (got, ended) = ask(server.edge(), request.as_bytes());
        assert_eq!((got.as_slice(), ended), (statuses, fate), "{name}");
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn an_answer_to_head_is_as_long_as_it_says_and_no_longer() {
    let server = Server::start(&[]);
    let head = PAGE.replace("GET", "HEAD");
    let mut socket = TcpStream::connect(server.edge()).expect("a connection");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    socket.write_all(format!("{head}{head}{LAST}").as_bytes()).expect("sent");
    let mut said = String::new();
    socket.read_to_string(&mut said).expect("answers");
    let answers: Vec<&str> = said.split("HTTP/1.1 200 OK\r\n").skip(1).collect();
    let bodies: Vec<&str> = answers.iter().filter_map(|a| a.split("\r\n\r\n").nth(1)).collect();
    assert_eq!(bodies, ["", "", "{\"status\":\"ok\"}"]);
    assert!(answers.iter().all(|a| a.contains("content-length: 15\r\n")), "{said}");
}

#[test]
fn a_client_that_has_said_everything_still_gets_its_answer() {
    let server = Server::start(&[]);
    let mut socket = TcpStream::connect(server.edge()).expect("a connection");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    socket.write_all(PAGE.as_bytes()).expect("sent");
    socket.shutdown(Shutdown::Write).expect("half closed");
    let mut said = String::new();
    socket.read_to_string(&mut said).expect("an answer and the end");
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.ends_with("{\"status\":\"ok\"}"), "{said}");
}

#[test]
fn http_2_is_spoken_with_who_begins_with_it() {
    let server = Server::start(&[]);
    let mut socket = TcpStream::connect(server.edge()).expect("a connection");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    // The preface in two pieces, and empty SETTINGS.
    socket.write_all(b"PRI * HT").expect("sent");
    socket.write_all(b"TP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").expect("sent");
    let mut frame = [0; 9];
    socket.read_exact(&mut frame).expect("a frame");
    assert_eq!(frame[3], 4, "SETTINGS");
}
