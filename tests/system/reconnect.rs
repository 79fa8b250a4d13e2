//! Publishers that leave, come back, or want a name that is taken.

use std::time::{Duration, Instant};

use crate::encoder::{SMALL, Source, eventually, ffmpeg};
use crate::live::playable;
use crate::support::{Server, http};

const SOON: Duration = Duration::from_secs(10);

fn playlist(server: &Server, key: &str) -> Option<String> {
    let reply = http::get(server.edge(), &format!("/{key}/v1/index.m3u8")).ok()?;
    (reply.status == 200).then(|| String::from_utf8_lossy(&reply.body).into_owned())
}

fn sequence(playlist: &str) -> u64 {
    let rest = playlist.split("MEDIA-SEQUENCE:").nth(1).expect("a sequence number");
    rest.lines().next().and_then(|n| n.parse().ok()).expect("a number")
}

fn state(server: &Server) -> Option<String> {
    let reply = http::get(server.gateway(), "/api/streamcore/v1/streams").ok()?;
    let list: serde_json::Value = serde_json::from_slice(&reply.body).ok()?;
    list["items"][0]["state"].as_str().map(str::to_owned)
}

#[test]
fn a_stream_that_is_taken_up_again_goes_on_under_its_numbers() {
    let server = Server::start(&[]);
    let first = ffmpeg(server.rtmp(), "live/again", SMALL);
    playable(&server, "live/again");
    let before = sequence(&playlist(&server, "live/again").expect("a playlist"));
    // Killed: no goodbye in RTMP, only the socket closes.
    first.signal("KILL");
    let gone = eventually(SOON, || state(&server).filter(|s| s == "reconnecting"));
    assert!(gone.is_some(), "{}", server.log());
    let text = playlist(&server, "live/again").expect("still served");
    assert!(!text.contains("ENDLIST"), "{text}");
    let other = Source { video: Some("640x360"), ..SMALL };
    let _second = ffmpeg(server.rtmp(), "live/again", other);
    let text =
        eventually(SOON, || playlist(&server, "live/again").filter(|t| t.contains("#EXT-X-DISCONTINUITY\n")));
    let text = text.expect("a discontinuity");
    assert!(sequence(&text) >= before, "{text}");
    assert_eq!(text.matches("#EXT-X-MAP").count(), 2, "another size needs another header: {text}");
}

#[test]
fn a_player_that_watches_goes_on_watching() {
    let server = Server::start(&[]);
    let first = ffmpeg(server.rtmp(), "live/keep", SMALL);
    playable(&server, "live/keep");
    let url = format!("http://{}/live/keep/ts/index.m3u8", server.edge());
    let player = std::thread::spawn(move || crate::encoder::decode(&url, 12));
    std::thread::sleep(Duration::from_secs(2));
    first.signal("KILL");
    drop(first);
    let _second = ffmpeg(server.rtmp(), "live/keep", SMALL);
    let decoded = player.join().expect("the player");
    assert!(decoded.ok && decoded.video > 200, "{decoded:?}");
}

#[test]
fn a_stream_that_nobody_takes_up_ends() {
    let server = Server::start(&[("NEXUS__ORIGIN__STREAM__RECONNECT_S", "1")]);
    let encoder = ffmpeg(server.rtmp(), "live/end", SMALL);
    playable(&server, "live/end");
    drop(encoder);
    let ended =
        eventually(SOON, || playlist(&server, "live/end").filter(|t| t.ends_with("#EXT-X-ENDLIST\n")));
    assert!(ended.is_some(), "{}", server.log());
}

#[test]
fn a_second_publisher_is_refused_and_told_why() {
    let server = Server::start(&[]);
    let _first = ffmpeg(server.rtmp(), "live/taken", SMALL);
    playable(&server, "live/taken");
    let mut second = ffmpeg(server.rtmp(), "live/taken", SMALL);
    assert_ne!(second.wait(SOON), Some(0));
    assert!(server.wait_for_log("being published by somebody else", SOON), "{}", server.log());
    assert_eq!(state(&server).as_deref(), Some("live"));
}

#[test]
fn a_publisher_that_fell_silent_is_replaced_within_two_seconds() {
    let server = Server::start(&[]);
    let first = ffmpeg(server.rtmp(), "live/dead", SMALL);
    playable(&server, "live/dead");
    // Stopped, not ended: the socket stays open and says nothing, as after a pulled cable.
    first.signal("STOP");
    let since = Instant::now();
    let _second = ffmpeg(server.rtmp(), "live/dead", SMALL);
    assert!(server.wait_for_log("silent publisher replaced", SOON), "{}", server.log());
    let took = since.elapsed();
    first.signal("CONT");
    assert!(took < Duration::from_millis(3_000), "with ffmpeg's own start: {took:?}");
    let back =
        eventually(SOON, || playlist(&server, "live/dead").filter(|t| t.contains("#EXT-X-DISCONTINUITY\n")));
    assert!(back.is_some(), "{}", server.log());
}
