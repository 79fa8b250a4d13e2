//! DASH on the wire: a manifest that players of others can read, and segments that come while they are made.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::encoder::{SMALL, decode, ffmpeg};
use crate::live::playable;
use crate::support::{Server, http};

fn manifest(server: &Server, key: &str) -> String {
    let reply = http::get(server.edge(), &format!("/{key}/manifest.mpd")).expect("an answer");
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    assert_eq!(reply.header("content-type"), Some("application/dash+xml"));
    assert_eq!(reply.header("cache-control"), Some("public, max-age=1"));
    String::from_utf8(reply.body).expect("a manifest is text")
}

fn number(text: &str, attribute: &str) -> u64 {
    let value = text.split(&format!(" {attribute}=\"")).nth(1).expect("the attribute");
    value.split('"').next().and_then(|n| n.parse().ok()).expect("a number")
}

/// The open segment of the first track.
fn open_segment(server: &Server, key: &str) -> u64 {
    let playlist = http::get(server.edge(), &format!("/{key}/v1/index.m3u8")).expect("an answer").body;
    let playlist = String::from_utf8(playlist).expect("a playlist is text");
    let hint = playlist.split("PRELOAD-HINT:TYPE=PART,URI=\"").nth(1).expect("a hint");
    hint.split('.').next().and_then(|n| n.parse().ok()).expect("a number")
}

#[test]
fn the_manifest_lists_what_can_be_had() {
    let server = Server::start(&[]);
    let _encoder = ffmpeg(server.rtmp(), "live/mpd", SMALL);
    playable(&server, "live/mpd");
    let text = manifest(&server, "live/mpd");
    for wanted in ["type=\"dynamic\"", "availabilityStartTime=\"1970-01-01T00:00:00Z\"", "<UTCTiming "] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let first = number(&text, "startNumber");
    for path in [format!("v1/{first}.m4s"), format!("a1/{first}.m4s"), "v1/init-0.mp4".into(), "time".into()]
    {
        let reply = http::get(server.edge(), &format!("/live/mpd/{path}")).expect("an answer");
        assert_eq!(reply.status, 200, "{path}");
    }
}

#[test]
fn ffmpeg_plays_the_manifest() {
    let server = Server::start(&[]);
    let _encoder = ffmpeg(server.rtmp(), "live/reader", SMALL);
    playable(&server, "live/reader");
    let decoded = decode(&format!("http://{}/live/reader/manifest.mpd", server.edge()), 10);
    assert!(decoded.ok && decoded.video >= 290 && decoded.audio >= 400, "{decoded:?}");
}

#[test]
fn a_segment_comes_part_by_part_while_it_is_made_and_is_whole() {
    let server = Server::start(&[]);
    let _encoder = ffmpeg(server.rtmp(), "live/grow", SMALL);
    playable(&server, "live/grow");
    let msn = open_segment(&server, "live/grow") + 1;
    let path = format!("/live/grow/v1/{msn}.m4s");
    let mut stream = BufReader::new(TcpStream::connect(server.edge()).expect("a connection"));
    let ask = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.get_mut().write_all(ask.as_bytes()).expect("room for a request");
    let mut line = String::new();
    let mut head = String::new();
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).expect("a head");
        head.push_str(&line);
    }
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("transfer-encoding: chunked"), "{head}");
    assert!(head.contains("max-age=3600, immutable"), "{head}");
    // The head is there, the segment is not.
    assert_eq!(open_segment(&server, "live/grow"), msn, "the answer begins while the segment is made");
    let mut pieces = Vec::new();
    loop {
        line.clear();
        stream.read_line(&mut line).expect("the size of a chunk");
        let size = usize::from_str_radix(line.trim_end(), 16).expect("a size");
        let mut piece = vec![0; size + 2];
        stream.read_exact(&mut piece).expect("a chunk");
        piece.truncate(size);
        if size == 0 {
            break;
        }
        pieces.push(piece);
    }
    assert!(pieces.len() >= 4, "{} pieces", pieces.len());
    assert!(pieces.iter().all(|p| p.get(4..8) == Some(b"prft")), "every piece is a part");
    let whole = http::get(server.edge(), &path).expect("an answer");
    assert_eq!(whole.header("content-length"), Some(whole.body.len().to_string().as_str()));
    assert!(whole.body == pieces.concat(), "the same bytes as the whole segment");
}
