//! Hostile and broken peers: each gets a clear end, costs little, and disturbs nobody.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nx_rtmp::amf0::{self, Value};

use crate::encoder::{SMALL, ffmpeg};
use crate::live::playable;
use crate::support::Server;

/// How a connection ended.
#[derive(Debug, PartialEq)]
enum End {
    Closed,
    StillOpen,
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    socket.set_write_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    socket
}

/// Reads until the peer closes, for at most `limit`; everything that it said.
fn until_closed(socket: &mut TcpStream, limit: Duration) -> (End, Vec<u8>) {
    let deadline = Instant::now() + limit;
    let mut said = Vec::new();
    let mut buffer = [0; 65_536];
    while Instant::now() < deadline {
        match socket.read(&mut buffer) {
            Ok(0) => return (End::Closed, said),
            Ok(n) => said.extend_from_slice(&buffer[..n]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return (End::Closed, said),
        }
    }
    (End::StillOpen, said)
}

/// A handshake as any client does it.
fn shaken(address: SocketAddr) -> TcpStream {
    let mut socket = connect(address);
    let mut hello = vec![3u8];
    hello.extend([0; 1536]);
    socket.write_all(&hello).expect("C0 C1");
    let mut answer = vec![0; 1 + 2 * 1536];
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    socket.read_exact(&mut answer).expect("S0 S1 S2");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    socket.write_all(&answer[1..1537]).expect("C2");
    socket
}

/// One message on chunk stream 3, in chunks of 128 bytes.
fn command(body: &[u8]) -> Vec<u8> {
    let mut out = vec![3, 0, 0, 0];
    out.extend(&u32::try_from(body.len()).expect("small").to_be_bytes()[1..]);
    out.extend([20, 0, 0, 0, 0]);
    for (nth, chunk) in body.chunks(128).enumerate() {
        if nth > 0 {
            out.push(0xc3);
        }
        out.extend(chunk);
    }
    out
}

fn call(values: &[Value]) -> Vec<u8> {
    command(&amf0::encode_all(values))
}

fn connect_command(app: &str) -> Vec<u8> {
    let object = Value::Object(vec![("app".into(), Value::String(app.into()))]);
    call(&[Value::String("connect".into()), Value::Number(1.0), object])
}

fn publish_commands(name: &str) -> Vec<u8> {
    let mut out = call(&[Value::String("createStream".into()), Value::Number(2.0), Value::Null]);
    let name = Value::String(name.into());
    let live = Value::String("live".into());
    out.extend(call(&[Value::String("publish".into()), Value::Number(3.0), Value::Null, name, live]));
    out
}

/// `connect` with an argument nested `depth` deep.
fn nested(depth: usize) -> Vec<u8> {
    let mut body = amf0::encode_all(&[Value::String("connect".into()), Value::Number(1.0)]);
    for _ in 0..depth {
        body.extend([3, 0, 1, b'a']);
    }
    command(&body)
}

#[test]
fn no_broken_peer_disturbs_a_stream() {
    let server = Server::start(&[]);
    let mut encoder = ffmpeg(server.rtmp(), "live/calm", SMALL);
    playable(&server, "live/calm");
    let rss = server.rss_kib();
    let garbage: Vec<u8> = (0..65_536u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 | 4).collect();
    let huge: Vec<u8> = (0..2000u32)
        .flat_map(|n| {
            let [.., high, low] = n.to_be_bytes();
            let mut chunk = vec![1, low, high, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0];
            chunk.extend([0; 128]);
            chunk
        })
        .collect();
    let mut array = amf0::encode_all(&[Value::String("connect".into()), Value::Number(1.0)]);
    array.extend([8, 0xff, 0xff, 0xff, 0xff]);
    let cases: Vec<(&str, bool, Vec<u8>)> = vec![
        ("random bytes", false, garbage.repeat(4)),
        ("HTTP", false, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()),
        ("TLS", false, vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
        ("another version", false, vec![6; 1537]),
        ("random after the handshake", true, garbage),
        ("AMF nested 60 000 deep", true, nested(60_000)),
        ("AMF nested 5 000 deep", true, nested(5_000)),
        ("an array of 2^32-1", true, command(&array)),
        ("2000 messages of 16 MB announced", true, huge),
        ("chunk size 0", true, vec![2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("a continuation of nothing", true, vec![0xc7; 64]),
        ("publish before connect", true, publish_commands("x")),
    ];
    for (name, shake, bytes) in cases {
        let mut socket = if shake { shaken(server.rtmp()) } else { connect(server.rtmp()) };
        // The server may close before everything is written.
        let _ = socket.write_all(&bytes);
        let (end, _) = until_closed(&mut socket, Duration::from_secs(12));
        assert_eq!(end, End::Closed, "{name}");
        assert_eq!(encoder.wait(Duration::ZERO), None, "{name}: the publisher is still there");
    }
    let grown = server.rss_kib().saturating_sub(rss);
    assert!(grown < 24 << 10, "{grown} KiB more");
    assert!(server.log().matches("\"refused\"").count() >= 10, "{}", server.log());
    assert!(!server.log().contains("panicked"), "{}", server.log());
    playable(&server, "live/calm");
}

#[test]
fn silence_is_closed_after_ten_seconds_and_a_stalled_message_too() {
    let server = Server::start(&[("NEXUS__ORIGIN__RTMP__SILENCE_S", "2")]);
    let mut silent = connect(server.rtmp());
    let mut slow = shaken(server.rtmp());
    // 16 MB announced, a little sent.
    slow.write_all(&[4, 0, 0, 0, 0x3f, 0xff, 0xff, 9, 1, 0, 0, 0, 1, 2, 3]).expect("sent");
    let since = Instant::now();
    assert_eq!(until_closed(&mut silent, Duration::from_secs(6)).0, End::Closed);
    assert_eq!(until_closed(&mut slow, Duration::from_secs(6)).0, End::Closed);
    assert!(since.elapsed() >= Duration::from_millis(1_500), "not at once either: {:?}", since.elapsed());
    assert!(server.wait_for_log("said nothing useful", Duration::from_secs(2)), "{}", server.log());
}

#[test]
fn names_that_would_leave_their_place_are_refused_in_words() {
    let server = Server::start(&[]);
    for (app, name) in [
        ("live", "../../etc/x"),
        ("live", "a/b"),
        ("live", "nul\0"),
        ("live", "tab\t"),
        ("live", ""),
        ("watch", "x"),
    ] {
        let mut socket = shaken(server.rtmp());
        socket.write_all(&connect_command(app)).expect("connect");
        socket.write_all(&publish_commands(name)).expect("publish");
        let (end, said) = until_closed(&mut socket, Duration::from_secs(5));
        assert_eq!(end, End::Closed, "{app}/{name:?}");
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.contains("NetStream.Publish.BadName"), "{app}/{name:?}: {said}");
    }
    let mut long = shaken(server.rtmp());
    long.write_all(&connect_command("live")).expect("connect");
    long.write_all(&publish_commands(&"x".repeat(4096))).expect("publish");
    assert_eq!(until_closed(&mut long, Duration::from_secs(5)).0, End::Closed);
}

#[test]
fn playing_what_nobody_publishes_is_refused_in_words() {
    let server = Server::start(&[]);
    let mut socket = shaken(server.rtmp());
    socket.write_all(&connect_command("live")).expect("connect");
    let mut play = call(&[Value::String("createStream".into()), Value::Number(2.0), Value::Null]);
    let name = Value::String("nothing".into());
    play.extend(call(&[Value::String("play".into()), Value::Number(3.0), Value::Null, name]));
    socket.write_all(&play).expect("play");
    let (_, said) = until_closed(&mut socket, Duration::from_secs(5));
    assert!(String::from_utf8_lossy(&said).contains("NetStream.Play.StreamNotFound"));
}

#[test]
fn a_thousand_silent_connections_cost_little_and_delay_nobody() {
    let server = Server::start(&[]);
    let rss = server.rss_kib();
    let silent: Vec<TcpStream> = (0..1000).filter_map(|_| TcpStream::connect(server.rtmp()).ok()).collect();
    assert!(silent.len() >= 900, "{}", silent.len());
    let since = Instant::now();
    let _encoder = ffmpeg(server.rtmp(), "live/among", SMALL);
    playable(&server, "live/among");
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
    let grown = server.rss_kib().saturating_sub(rss);
    assert!(grown < 24 << 10, "{grown} KiB for 1000 connections and a stream");
}
