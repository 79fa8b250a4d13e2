//! Each rule in a row: what a client says, and what comes of it.

use std::collections::VecDeque;

use http::{HeaderMap, HeaderValue, StatusCode};
use proptest::prelude::*;

use super::*;
use crate::frame::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HAS_PRIORITY, HEADERS, Head, PADDED, PING,
    PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};

mod flow;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const LIMITS: Limits = Limits { streams_max: 3, fields_bytes_max: 1000, drain_min: 100, drain_timeout_s: 20 };
const WHOLE: u8 = END_STREAM | END_HEADERS;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write(&mut out, kind, flags, stream, payload);
    out
}

/// A head from the static table and literals (RFC 7541 §6): `GET /path` of `a`.
fn get(path: &str) -> Vec<u8> {
    [&[0x82, 0x87, 0x01, 1, b'a', 0x04, path.len() as u8], path.as_bytes()].concat()
}

/// The same with `POST`, and a field.
fn post(name: &str, value: &str) -> Vec<u8> {
    let mut head = vec![0x83, 0x87, 0x84, 0x01, 1, b'a', 0, name.len() as u8];
    head.extend(name.as_bytes());
    head.push(value.len() as u8);
    head.extend(value.as_bytes());
    head
}

fn settings(all: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> =
        all.iter().flat_map(|(k, v)| [&k.to_be_bytes()[..], &v.to_be_bytes()].concat()).collect();
    frame(SETTINGS, 0, 0, &payload)
}

fn hello() -> Vec<u8> {
    [PREFACE, &settings(&[])].concat()
}

/// A client that has said hello, and what it hears.
struct Talk {
    server: Server,
    out: Out,
    ended: Option<Fault>,
}

impl Talk {
    fn new() -> Self {
        let mut out = Out::default();
        let server = Server::new(LIMITS, &mut out);
        let mut talk = Self { server, out, ended: None };
        assert_eq!(talk.says(&hello()), ["SETTINGS 0", "SETTINGS+ 0"]);
        talk
    }

    /// Events, and the frames that the server has to send.
    fn says(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut input = bytes;
        let mut happened = Vec::new();
        while self.ended.is_none() {
            match self.server.next(&mut input, &mut self.out) {
                Ok(Some(event)) => happened.push(named(event)),
                Ok(None) => break,
                Err(fault) => self.ended = Some(fault),
            }
        }
        happened.extend(self.hears());
        happened
    }

    fn answers(&mut self, stream: u32, body: &[&'static [u8]], more: bool) {
        let body: VecDeque<Bytes> = body.iter().map(|b| Bytes::from_static(b)).collect();
        self.server.respond(stream, StatusCode::OK, &HeaderMap::new(), body, more, &mut self.out);
    }

    fn sends(&mut self, now_s: u32) -> Vec<String> {
        self.server.transmit(&mut self.out, 1 << 20, now_s);
        self.hears()
    }

    fn hears(&mut self) -> Vec<String> {
        let bytes = written(&self.out);
        self.out.clear();
        frames(&bytes)
    }
}

fn named(event: Event) -> String {
    match event {
        Event::Request { request, .. } if !request.body().is_empty() => {
            format!("{} {} with {} bytes", request.method(), request.uri(), request.body().len())
        }
        Event::Request { request, .. } => format!("{} {}", request.method(), request.uri()),
        Event::Reset { stream } => format!("gone {stream}"),
    }
}

fn written(out: &Out) -> Vec<u8> {
    out.slices().iter().flat_map(|slice| slice.to_vec()).collect()
}

/// Frames in words: kind, `+` for ACK or the end of the stream, stream; reason or length.
fn frames(mut bytes: &[u8]) -> Vec<String> {
    let mut words = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk() {
        let head = Head::read(*head);
        let (payload, rest) = rest.split_at(head.len);
        bytes = rest;
        let plus = if head.flags & 1 != 0 { "+" } else { "" };
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        words.push(match head.kind {
            DATA => format!("DATA{plus} {} {}", head.stream, head.len),
            HEADERS if payload[0] == 0x88 => format!("200{plus} {}", head.stream),
            HEADERS => format!("{}{plus} {}", String::from_utf8_lossy(&payload[2..5]), head.stream),
            RST_STREAM => format!("RST {} {}", head.stream, number(0)),
            SETTINGS => format!("SETTINGS{plus} {}", head.stream),
            PING => format!("PING{plus} {}", payload[0]),
            GOAWAY => format!("GOAWAY {} {}", number(0), number(4)),
            WINDOW_UPDATE => format!("WINDOW {} {}", head.stream, number(0)),
            kind => format!("{kind}"),
        });
    }
    words
}

#[track_caller]
fn check(rows: &[(&str, Vec<u8>, &[&str])]) {
    for (name, bytes, expected) in rows {
        let mut talk = Talk::new();
        let whole = talk.says(bytes);
        assert_eq!(whole, *expected, "{name}");
        let over = expected.iter().any(|e| e.starts_with("GOAWAY"));
        assert_eq!(talk.ended.is_some(), over, "{name}");
        // Byte by byte, events come between the frames: the same ones.
        let mut talk = Talk::new();
        let mut pieces: Vec<String> = bytes.chunks(1).flat_map(|b| talk.says(b)).collect();
        let mut whole = whole;
        pieces.sort();
        whole.sort();
        assert_eq!(pieces, whole, "{name}, byte by byte");
    }
}

fn several(frames: &[Vec<u8>]) -> Vec<u8> {
    frames.concat()
}

#[test]
fn requests_and_their_bodies() {
    let get = get("/a");
    let split = |at: usize| {
        let (front, back) = get.split_at(at);
        several(&[frame(HEADERS, END_STREAM, 1, front), frame(CONTINUATION, END_HEADERS, 1, back)])
    };
    let padded = [&[3][..], &[0, 0, 0, 9, 16], &get, &[0; 3]].concat();
    let upload = |flags, length: &str| frame(HEADERS, flags, 1, &post("content-length", length));
    let early = frame(HEADERS, END_HEADERS, 1, &post("x", "y"));
    let two = several(&[frame(HEADERS, WHOLE, 1, &get), frame(HEADERS, WHOLE, 5, &get)]);
    check(&[
        ("one", frame(HEADERS, WHOLE, 1, &get), &["GET /a"]),
        ("two", two, &["GET /a", "GET /a"]),
        ("in two frames", split(4), &["GET /a"]),
        ("padded, with a priority", frame(HEADERS, WHOLE | PADDED | HAS_PRIORITY, 1, &padded), &["GET /a"]),
        (
            "a body",
            several(&[upload(END_HEADERS, "3"), frame(DATA, END_STREAM, 1, b"abc")]),
            &["POST / with 3 bytes", "WINDOW 0 3"],
        ),
        (
            "a padded body",
            several(&[upload(END_HEADERS, "1"), frame(DATA, END_STREAM | PADDED, 1, &[2, 7, 0, 0])]),
            &["POST / with 1 bytes", "WINDOW 0 4"],
        ),
        ("no body after all", several(&[early.clone(), frame(DATA, END_STREAM, 1, b"")]), &["POST /"]),
        (
            "a trailer",
            several(&[early.clone(), frame(HEADERS, WHOLE, 1, &[0, 1, b'x', 1, b'y'])]),
            &["POST /"],
        ),
        (
            "a body that is too short",
            several(&[upload(END_HEADERS, "3"), frame(DATA, END_STREAM, 1, b"ab")]),
            &["gone 1", "RST 1 1", "WINDOW 0 2"],
        ),
        (
            "a body that is too long",
            several(&[upload(END_HEADERS, "1"), frame(DATA, 0, 1, b"ab")]),
            &["gone 1", "RST 1 1", "WINDOW 0 2"],
        ),
        ("no body where one was told", upload(WHOLE, "3"), &["RST 1 1"]),
        ("a body longer than a window", upload(END_HEADERS, "65536"), &["413+ 1", "RST 1 0"]),
        (
            "more fields than are taken",
            frame(HEADERS, WHOLE, 1, &[&get[..], &[0, 1, b'x', 0x7f, 0xe9, 6], &[b'y'; 1000]].concat()),
            &["431+ 1"],
        ),
    ]);
}

#[test]
fn frames_that_may_come_at_any_time() {
    let ping = |flags| frame(PING, flags, 0, &[7, 0, 0, 0, 0, 0, 0, 0]);
    check(&[
        ("a ping", ping(0), &["PING+ 7"]),
        ("the answer to one", ping(ACK), &[]),
        (
            "settings",
            settings(&[(1, 0), (2, 0), (3, 1), (4, 9), (5, 16_384), (6, 1), (99, 7)]),
            &["SETTINGS+ 0"],
        ),
        ("the answer to ours", frame(SETTINGS, ACK, 0, &[]), &[]),
        ("a priority", frame(PRIORITY, 0, 3, &[0; 5]), &[]),
        ("an update of one", frame(16, 0, 0, b"\0\0\0\x01u=1"), &[]),
        ("a kind that nobody knows", frame(200, 0xff, 77, &[1; 30]), &[]),
        ("a window", frame(WINDOW_UPDATE, 0, 0, &[0x80, 0, 0, 1]), &[]),
        ("its own leaving", frame(GOAWAY, 0, 0, &[0; 8]), &[]),
    ]);
}

#[track_caller]
fn check_ends<const N: usize>(rows: [(&str, Vec<u8>, &str); N]) {
    for (name, bytes, end) in rows {
        check(&[(name, bytes, &[end])]);
    }
}

#[test]
fn frames_of_the_connection_that_end_it() {
    let long = [&[0, 64, 1, DATA, 0, 0, 0, 0, 1][..], &[0; 16_385]].concat();
    check_ends([
        ("a frame that is too long", long, "GOAWAY 0 6"),
        ("a ping on a stream", frame(PING, 0, 1, &[0; 8]), "GOAWAY 0 1"),
        ("a short ping", frame(PING, 0, 0, &[0; 7]), "GOAWAY 0 6"),
        ("settings on a stream", frame(SETTINGS, 0, 1, &[]), "GOAWAY 0 1"),
        ("settings of odd length", frame(SETTINGS, 0, 0, &[0; 5]), "GOAWAY 0 6"),
        ("an ACK that says more", frame(SETTINGS, ACK, 0, &[0; 6]), "GOAWAY 0 6"),
        ("push neither on nor off", settings(&[(2, 2)]), "GOAWAY 0 1"),
        ("a window that cannot be", settings(&[(4, 0x8000_0000)]), "GOAWAY 0 3"),
        ("frames that are too short", settings(&[(5, 16_383)]), "GOAWAY 0 1"),
        ("frames that are too long", settings(&[(5, 16_777_216)]), "GOAWAY 0 1"),
        ("a window opened by nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), "GOAWAY 0 1"),
        ("a window opened too wide", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), "GOAWAY 0 3"),
        ("a short window", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), "GOAWAY 0 6"),
        ("a priority of no stream", frame(PRIORITY, 0, 0, &[0; 5]), "GOAWAY 0 1"),
        ("leaving on a stream", frame(GOAWAY, 0, 1, &[0; 8]), "GOAWAY 0 1"),
        ("leaving without a reason", frame(GOAWAY, 0, 0, &[0; 7]), "GOAWAY 0 6"),
    ]);
}

#[test]
fn frames_of_a_stream_that_end_the_connection() {
    let get = get("/a");
    let request = frame(HEADERS, WHOLE, 1, &get);
    let begun = frame(HEADERS, END_STREAM, 1, &get);
    let one = "GET /a";
    check_ends([
        ("a promise", frame(PUSH_PROMISE, END_HEADERS, 1, &[0; 4]), "GOAWAY 0 1"),
        ("a head on no stream", frame(HEADERS, WHOLE, 0, &get), "GOAWAY 0 1"),
        ("a head on a stream of ours", frame(HEADERS, WHOLE, 2, &get), "GOAWAY 0 1"),
        ("padding beyond the head", frame(HEADERS, WHOLE | PADDED, 1, &[9, 0x82]), "GOAWAY 0 1"),
        ("no room for a priority", frame(HEADERS, WHOLE | HAS_PRIORITY, 1, &[0; 4]), "GOAWAY 0 6"),
        ("a head that is garbled", frame(HEADERS, WHOLE, 1, &[0x80]), "GOAWAY 0 9"),
        ("going on with nothing", frame(CONTINUATION, END_HEADERS, 1, &get), "GOAWAY 0 1"),
        ("a ping within a head", several(&[begun.clone(), frame(PING, 0, 0, &[0; 8])]), "GOAWAY 0 1"),
        ("another head within one", several(&[begun.clone(), frame(HEADERS, WHOLE, 3, &get)]), "GOAWAY 0 1"),
        (
            "going on with another",
            several(&[begun.clone(), frame(CONTINUATION, END_HEADERS, 3, &[])]),
            "GOAWAY 0 1",
        ),
        ("data on no stream", frame(DATA, 0, 0, b"a"), "GOAWAY 0 1"),
        ("data before a head", frame(DATA, 0, 1, b"a"), "GOAWAY 0 1"),
        ("a reset before a head", frame(RST_STREAM, 0, 1, &[0; 4]), "GOAWAY 0 1"),
        ("a reset of no stream", frame(RST_STREAM, 0, 0, &[0; 4]), "GOAWAY 0 1"),
        ("a short reset", frame(RST_STREAM, 0, 1, &[0; 3]), "GOAWAY 0 6"),
        ("a window before a head", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), "GOAWAY 0 1"),
        (
            "padding beyond a body",
            several(&[frame(HEADERS, END_HEADERS, 1, &get), frame(DATA, PADDED, 1, &[1])]),
            "GOAWAY 1 1",
        ),
        (
            "padding without its length",
            several(&[frame(HEADERS, END_HEADERS, 1, &get), frame(DATA, PADDED, 1, &[])]),
            "GOAWAY 1 1",
        ),
    ]);
    let after = |bytes: Vec<u8>| several(&[request.clone(), frame(RST_STREAM, 0, 1, &[0; 4]), bytes]);
    check(&[
        ("a stream that is opened again", after(request.clone()), &[one, "gone 1", "GOAWAY 1 5"]),
        (
            "a stream before the newest",
            several(&[frame(HEADERS, WHOLE, 5, &get), request.clone()]),
            &[one, "GOAWAY 5 5"],
        ),
        (
            "the window of all streams too wide",
            several(&[
                request.clone(),
                frame(WINDOW_UPDATE, 0, 1, &0x7fff_0000u32.to_be_bytes()),
                settings(&[(4, 65_536)]),
            ]),
            &[one, "GOAWAY 1 3"],
        ),
    ]);
}

#[test]
fn a_connection_begins_as_it_should_or_ends() {
    for (name, bytes, end) in [
        ("HTTP/1.1", b"GET / HTTP/1.1\r\n\r\n".to_vec(), "GOAWAY 0 1"),
        ("no settings", [PREFACE, &frame(PING, 0, 0, &[0; 8])].concat(), "GOAWAY 0 1"),
        ("the answer to ours first", [PREFACE, &frame(SETTINGS, ACK, 0, &[])].concat(), "GOAWAY 0 1"),
    ] {
        let mut out = Out::default();
        let mut server = Server::new(LIMITS, &mut out);
        server.next(&mut &bytes[..], &mut out).expect_err(name);
        assert_eq!(frames(&written(&out)), ["SETTINGS 0", end], "{name}");
    }
}

#[test]
fn what_ends_a_stream() {
    let get = get("/a");
    let request = frame(HEADERS, WHOLE, 1, &get);
    let malformed = |block: &[u8]| frame(HEADERS, WHOLE, 1, block);
    let and = |field: &[u8]| malformed(&[&get, field].concat());
    let literal = |name: &str, value: &str| {
        let parts = [&[0, name.len() as u8][..], name.as_bytes(), &[value.len() as u8], value.as_bytes()];
        and(&parts.concat())
    };
    for (name, bytes) in [
        ("no method", malformed(&get[1..])),
        ("no path", malformed(&get[..5])),
        ("no scheme", malformed(&[0x82, 0x84, 1, 1, b'a'])),
        ("no host", malformed(&[0x82, 0x84, 0x87])),
        ("an empty host", malformed(&[0x82, 0x84, 0x87, 0x01, 0])),
        ("two methods", and(&[0x82])),
        ("a status", and(&[0x88])),
        ("a path behind a field", malformed(&[&get[..5], &[0, 1, b'x', 1, b'y'], &get[5..]].concat())),
        ("a capital letter", literal("X", "y")),
        ("connection", literal("connection", "close")),
        ("transfer-encoding", literal("transfer-encoding", "chunked")),
        ("upgrade", literal("upgrade", "x")),
        ("keep-alive", literal("keep-alive", "x")),
        ("te", literal("te", "gzip")),
        ("another host", literal("host", "b")),
        ("a length that is no number", literal("content-length", "+0")),
        ("a star without OPTIONS", malformed(&[0x82, 0x87, 1, 1, b'a', 4, 1, b'*'])),
    ] {
        check(&[(name, bytes, &["RST 1 1"])]);
    }
    let many = (0..4).flat_map(|n| frame(HEADERS, WHOLE, n * 2 + 1, &get)).collect();
    let then = |bytes: Vec<u8>| several(&[request.clone(), bytes]);
    check(&[
        ("te: trailers is allowed", literal("te", "trailers"), &["GET /a"]),
        ("the same host", literal("host", "A"), &["GET /a"]),
        ("one too many", many, &["GET /a", "GET /a", "GET /a", "RST 7 7"]),
        (
            "data behind the end",
            then(frame(DATA, 0, 1, b"a")),
            &["GET /a", "gone 1", "WINDOW 0 1", "RST 1 5"],
        ),
        (
            "a trailer behind the end",
            then(frame(HEADERS, WHOLE, 1, &[0, 1, b'x', 0])),
            &["GET /a", "gone 1", "RST 1 5"],
        ),
        (
            "a trailer that is not the end",
            several(&[
                frame(HEADERS, END_HEADERS, 1, &get),
                frame(HEADERS, END_HEADERS, 1, &[0, 1, b'x', 0]),
            ]),
            &["gone 1", "RST 1 1"],
        ),
        (
            "its window opened by nothing",
            then(frame(WINDOW_UPDATE, 0, 1, &[0; 4])),
            &["GET /a", "gone 1", "RST 1 1"],
        ),
        (
            "its window opened too wide",
            then(frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])),
            &["GET /a", "gone 1", "RST 1 3"],
        ),
        (
            "a priority of another length",
            then(frame(PRIORITY, 0, 1, &[0; 4])),
            &["GET /a", "gone 1", "RST 1 6"],
        ),
        ("a reset", then(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])), &["GET /a", "gone 1"]),
    ]);
}

/// What it is, how many at most, and each of them by its number.
type Flood<'a> = (&'a str, usize, &'a dyn Fn(u32) -> Vec<u8>);

#[test]
fn floods_end_in_calm() {
    let get = get("/a");
    let field = [0, 1, b'x', 1, b'y'].repeat(100);
    let begun = || frame(HEADERS, END_STREAM, 1, &get);
    let floods: [Flood<'_>; 8] = [
        ("resets", 40, &|n| {
            [frame(HEADERS, WHOLE, n * 2 + 1, &get), frame(RST_STREAM, 0, n * 2 + 1, &[0; 4])].concat()
        }),
        ("resets of ours", 40, &|n| frame(HEADERS, WHOLE, n * 2 + 1, &[0x82])),
        ("pings", 1100, &|_| frame(PING, 0, 0, &[0; 8])),
        ("settings", 300, &|_| settings(&[])),
        ("priorities", 1100, &|_| frame(PRIORITY, 0, 1, &[0; 5])),
        ("windows", 600, &|_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("empty continuations", 10, &|n| if n == 0 { begun() } else { frame(CONTINUATION, 0, 1, &[]) }),
        ("long continuations", 10, &|n| if n == 0 { begun() } else { frame(CONTINUATION, 0, 1, &field) }),
    ];
    for (name, most, flood) in floods {
        let mut talk = Talk::new();
        let said = (0..2000).find(|n| {
            talk.says(&flood(*n));
            talk.ended.is_some()
        });
        assert_eq!(talk.ended.map(|f| f.reason), Some(Reason::EnhanceYourCalm), "{name}");
        assert!(said.is_some_and(|n| (n as usize) < most), "{name}: after {said:?}");
    }
}

#[test]
fn who_takes_answers_may_ask_for_ever() {
    let mut talk = Talk::new();
    let ping = frame(PING, 0, 0, &[0; 8]);
    for n in 0..5000 {
        let stream = n * 2 + 1;
        talk.says(&frame(HEADERS, WHOLE, stream, &get("/a")));
        if n % 10 == 0 {
            // It may also change its mind.
            assert_eq!(talk.says(&frame(RST_STREAM, 0, stream, &[0; 4])), [format!("gone {stream}")]);
            continue;
        }
        talk.answers(stream, &[b"two ", b"words"], false);
        assert_eq!(talk.sends(0).last().unwrap(), &format!("DATA+ {stream} 9"));
        // A client that opens both windows for every frame, and pings.
        talk.says(&[frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 9]), ping.clone()].concat());
        assert!(talk.ended.is_none(), "{n}");
    }
}

proptest! {
    #[test]
    fn nothing_that_a_client_says_is_too_strange(
        said in prop::collection::vec((0u8..11, any::<u8>(), 0u32..8, prop::collection::vec(any::<u8>(), 0..40)), 0..40),
        noise in prop::collection::vec(any::<u8>(), 0..40),
        cut: u8,
    ) {
        let mut bytes = vec![cut];
        bytes.extend(hello());
        for (kind, flags, stream, payload) in said {
            bytes.extend(frame(kind, flags, stream, &payload));
            bytes.extend(frame(HEADERS, WHOLE, stream | 1, &get("/a")));
        }
        bytes.extend(noise);
        crate::fuzz::client(&bytes);
    }
}
