//! Low-latency HLS on the wire: blocking, hints, refusals, and parts that make up their segments.

use std::time::{Duration, Instant};

use crate::encoder::{SMALL, ffmpeg};
use crate::live::playable;
use crate::support::{Server, http};

fn text(server: &Server, path: &str) -> String {
    let reply = http::get(server.edge(), path).unwrap_or_else(|e| panic!("{path}: {e}"));
    assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
    String::from_utf8(reply.body).expect("a playlist is text")
}

/// Number and part that the playlist hints at.
fn hint(playlist: &str) -> (u64, u64) {
    let uri = playlist.split("PRELOAD-HINT:TYPE=PART,URI=\"").nth(1).expect("a hint");
    let mut numbers = uri.split('.').map(|n| n.parse().unwrap_or_default());
    (numbers.next().expect("a number"), numbers.next().expect("a part"))
}

#[test]
fn a_reload_blocks_until_its_part_is_there_and_no_longer() {
    let server = Server::start(&[]);
    let _encoder = ffmpeg(server.rtmp(), "live/ll", SMALL);
    playable(&server, "live/ll");
    for track in ["v1", "a1"] {
        for _ in 0..8 {
            let (msn, part) = hint(&text(&server, &format!("/live/ll/{track}/index.m3u8")));
            let before = Instant::now();
            let path = format!("/live/ll/{track}/index.m3u8?_HLS_part={part}&_HLS_msn={msn}");
            let playlist = text(&server, &path);
            let (next_msn, next_part) = hint(&playlist);
            assert!((next_msn, next_part) > (msn, part), "{track} {playlist}");
            // A part of a finished segment that never came means the next segment's first.
            let listed = playlist.contains(&format!("URI=\"{msn}.{part}.m4s\""));
            assert!(listed || next_msn > msn, "{track} {msn}.{part} {playlist}");
            assert!(before.elapsed() < Duration::from_secs(2));
        }
    }
}

#[test]
fn a_hinted_part_is_sent_when_it_is_made() {
    let server = Server::start(&[]);
    let _encoder = ffmpeg(server.rtmp(), "live/hint", SMALL);
    playable(&server, "live/hint");
    let (msn, part) = hint(&text(&server, "/live/hint/v1/index.m3u8"));
    let reply = http::get(server.edge(), &format!("/live/hint/v1/{msn}.{part}.m4s")).expect("an answer");
    assert!(reply.status == 200 && reply.body[4..8] == *b"prft", "{}", reply.status);
    assert_eq!(reply.header("cache-control"), Some("public, max-age=3600, immutable"));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
}

#[test]
fn parts_make_up_their_segment_byte_by_byte() {
    let server = Server::start(&[]);
    let _encoder = ffmpeg(server.rtmp(), "live/sum", SMALL);
    playable(&server, "live/sum");
    let playlist = text(&server, "/live/sum/v1/index.m3u8");
    let segment = playlist.lines().find(|l| l.ends_with(".m4s") && !l.starts_with('#')).expect("a segment");
    let msn = segment.trim_end_matches(".m4s");
    let whole = http::get(server.edge(), &format!("/live/sum/v1/{segment}")).expect("a segment").body;
    let mut sum = Vec::new();
    for uri in playlist.split("URI=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        if uri.starts_with(&format!("{msn}.")) && !playlist.contains(&format!("TYPE=PART,URI=\"{uri}\"")) {
            sum.extend(http::get(server.edge(), &format!("/live/sum/v1/{uri}")).expect("a part").body);
        }
    }
    assert!(!whole.is_empty() && whole == sum, "{} {}", whole.len(), sum.len());
    let ranged =
        http::get_with(server.edge(), &format!("/live/sum/v1/{segment}"), &[("range", "bytes=10-19")]);
    let ranged = ranged.expect("a range");
    assert_eq!((ranged.status, ranged.body.as_slice()), (206, &whole[10..20]));
}

#[test]
fn a_playlist_is_sent_small_once_and_to_be_kept() {
    let server = Server::start(&[]);
    let _encoder = ffmpeg(server.rtmp(), "live/small", SMALL);
    playable(&server, "live/small");
    let (msn, _) = hint(&text(&server, "/live/small/v1/index.m3u8"));
    let path = format!("/live/small/v1/index.m3u8?_HLS_skip=YES&_HLS_msn={msn}&CMCD=sid%3D%22one%22%2Cbs");
    let get = |headers: &[(&str, &str)]| http::get_with(server.edge(), &path, headers).expect("an answer");
    let plain = get(&[]);
    let coded = get(&[("accept-encoding", "gzip")]);
    assert_eq!((plain.status, coded.header("content-encoding")), (200, Some("gzip")));
    assert!(coded.body.starts_with(&[0x1f, 0x8b]) && coded.body.len() < plain.body.len());
    // Six target durations of two seconds.
    assert_eq!(plain.header("cache-control"), Some("public, max-age=12"));
    assert_eq!(coded.header("vary"), Some("Accept-Encoding"));
    assert_eq!(coded.header("timing-allow-origin"), Some("*"));
    let held = plain.header("cmsd-static").expect("CMSD");
    assert!(held.ends_with("ot=m,sf=h,st=l"), "{held}");
    let media = format!("/live/small/v1/{msn}.0.m4s");
    let tag = http::get(server.edge(), &media).expect("a part");
    let tag = tag.header("etag").expect("a tag");
    let again = http::get_with(server.edge(), &media, &[("if-none-match", tag)]).expect("an answer");
    assert_eq!((again.status, again.body.len()), (304, 0));
    let metrics = http::get(server.origin(), "/metrics").expect("metrics").body;
    let metrics = String::from_utf8(metrics).expect("text");
    assert!(metrics.contains("nexus_stream_player_sessions{stream=\"live/small\"} 1"), "{metrics}");
    assert!(metrics.contains("nexus_stream_player_starved_total{stream=\"live/small\"} 2"), "{metrics}");
}

#[test]
fn impossible_wishes_are_refused_with_a_reason() {
    let server = Server::start(&[]);
    let _encoder = ffmpeg(server.rtmp(), "live/no", SMALL);
    playable(&server, "live/no");
    let (msn, _) = hint(&text(&server, "/live/no/v1/index.m3u8"));
    for (path, status) in [
        ("/live/no/v1/index.m3u8?_HLS_part=1".to_owned(), 400),
        ("/live/no/v1/index.m3u8?_HLS_msn=abc".to_owned(), 400),
        (format!("/live/no/v1/index.m3u8?_HLS_msn={}", msn + 5), 400),
        (format!("/live/no/v1/index.m3u8?_HLS_msn={msn}&_HLS_part=900"), 400),
        (format!("/live/no/v1/index.m3u8?_HLS_msn={msn}&_HLS_msn={msn}"), 400),
        ("/live/no/v1/index.m3u8?_HLS_skip=maybe".to_owned(), 400),
        (format!("/live/no/v1/index.m3u8?{}", "x".repeat(5000)), 414),
        (format!("/live/no/v1/{}.m4s", msn + 5), 404),
        ("/live/no/v9/index.m3u8".to_owned(), 404),
        ("/live/unknown/index.m3u8".to_owned(), 404),
        ("/live/../../etc/passwd".to_owned(), 404),
        ("/live/no/thumbnail.jpg?width=321".to_owned(), 400),
    ] {
        let reply = http::get(server.edge(), &path).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_eq!(reply.status, status, "{path}");
        assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{path}");
        let problem: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
        assert!(problem["detail"].as_str().is_some_and(|d| d.len() > 10), "{path}: {problem}");
        assert!(reply.header("x-request-id").is_some(), "{path}");
    }
}
