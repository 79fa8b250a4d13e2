//! From an encoder to players of all sorts.

use std::time::Duration;

use crate::encoder::{SMALL, Source, decode, eventually, ffmpeg, run};
use crate::support::{Server, http};

const START: Duration = Duration::from_secs(10);

/// Waits until the stream has a whole segment to show.
pub(crate) fn playable(server: &Server, key: &str) -> String {
    let path = format!("/{key}/ts/index.m3u8");
    let text = eventually(START, || {
        let reply = http::get(server.edge(), &path).ok().filter(|r| r.status == 200)?;
        Some(String::from_utf8_lossy(&reply.body).into_owned())
    });
    text.unwrap_or_else(|| panic!("{key} is not playable:\n{}", server.log()))
}

#[test]
fn every_reader_gets_every_frame() {
    let server = Server::start(&[]);
    let _encoder = ffmpeg(server.rtmp(), "live/cam1", SMALL);
    playable(&server, "live/cam1");
    for url in [
        format!("http://{}/live/cam1/index.m3u8", server.edge()),
        format!("http://{}/live/cam1/ts/index.m3u8", server.edge()),
        format!("http://{}/live/cam1/index.m3u8", server.origin()),
        format!("rtmp://{}/live/cam1", server.rtmp()),
    ] {
        let decoded = decode(&url, 4);
        assert!(decoded.ok && decoded.complaints.is_empty(), "{url}: {decoded:?}");
        assert!((118..=122).contains(&decoded.video) && decoded.audio >= 185, "{url}: {decoded:?}");
    }
}

#[test]
fn gstreamer_plays_it_too() {
    let server = Server::start(&[]);
    let _encoder = ffmpeg(server.rtmp(), "live/gst", SMALL);
    playable(&server, "live/gst");
    // playbin3 takes hlsdemux2.
    for view in ["index.m3u8", "ts/index.m3u8"] {
        let uri = format!("uri=http://{}/live/gst/{view}", server.edge());
        let sinks = ["video-sink=fakesink num-buffers=60", "audio-sink=fakesink num-buffers=60"];
        let args = ["-q", "playbin3", &uri, sinks[0], sinks[1]];
        let (ok, out, err) = run("gst-launch-1.0", &args, Duration::from_secs(30));
        assert!(ok, "{view}: {out} {err}");
    }
}

#[test]
fn gstreamer_publishes() {
    let server = Server::start(&[]);
    let location = format!("location=rtmp://{}/live/gstpub", server.rtmp());
    let mut command = std::process::Command::new("gst-launch-1.0");
    command.args([
        "-q",
        "videotestsrc",
        "is-live=true",
        "!",
        "video/x-raw,width=320,height=180,framerate=30/1",
        "!",
    ]);
    command.args(["x264enc", "tune=zerolatency", "key-int-max=60", "!", "h264parse", "!", "mux."]);
    command.args([
        "audiotestsrc",
        "is-live=true",
        "!",
        "audioconvert",
        "!",
        "avenc_aac",
        "!",
        "aacparse",
        "!",
        "mux.",
    ]);
    command.args(["flvmux", "name=mux", "streamable=true", "!", "rtmp2sink", &location]);
    let _encoder = crate::encoder::Process::start(&mut command);
    playable(&server, "live/gstpub");
    let decoded = decode(&format!("http://{}/live/gstpub/index.m3u8", server.edge()), 3);
    assert!(decoded.ok && decoded.video >= 85 && decoded.audio >= 100, "{decoded:?}");
}

#[test]
fn b_frames_single_tracks_and_rare_key_frames() {
    let server = Server::start(&[]);
    let bframes = Source { extra: &["-bf", "3", "-b_strategy", "0"], ..SMALL };
    let rare = Source { extra: &["-g", "250", "-sc_threshold", "0"], ..SMALL };
    let cases = [
        ("live/b", bframes, true, true),
        ("live/audio", Source { video: None, ..SMALL }, false, true),
        ("live/video", Source { audio: false, ..SMALL }, true, false),
        ("live/rare", rare, true, true),
    ];
    let encoders: Vec<_> = cases.iter().map(|c| ffmpeg(server.rtmp(), c.0, c.1)).collect();
    for (key, _, video, audio) in cases {
        playable(&server, key);
        let multivariant = http::get(server.edge(), &format!("/{key}/index.m3u8")).expect("a playlist");
        let text = String::from_utf8_lossy(&multivariant.body).into_owned();
        assert_eq!((text.contains("avc1"), text.contains("mp4a")), (video, audio), "{key}: {text}");
        for view in ["index.m3u8", "ts/index.m3u8"] {
            let decoded = decode(&format!("http://{}/{key}/{view}", server.edge()), 3);
            assert!(decoded.ok, "{key} {view}: {decoded:?}");
            assert_eq!(
                (decoded.video > 60, decoded.audio > 100),
                (video, audio),
                "{key} {view}: {decoded:?}"
            );
        }
    }
    drop(encoders);
}

#[test]
fn the_api_tells_what_is_live() {
    let server = Server::start(&[]);
    let _encoder = ffmpeg(server.rtmp(), "live/api", SMALL);
    playable(&server, "live/api");
    let list = || {
        let reply = http::get(server.gateway(), "/api/streamcore/v1/streams").ok()?;
        serde_json::from_slice::<serde_json::Value>(&reply.body).ok()
    };
    let stream = eventually(START, || {
        let stream = list()?["items"][0].clone();
        (stream["tracks"][0]["key_interval_ms"].as_u64()? > 0).then_some(stream)
    });
    let stream = stream.expect("a live stream with figures");
    assert_eq!((stream["key"].as_str(), stream["state"].as_str()), (Some("live/api"), Some("live")));
    assert_eq!(
        (stream["tracks"][0]["width"].as_u64(), stream["tracks"][0]["height"].as_u64()),
        (Some(320), Some(180))
    );
    assert_eq!(stream["repairs"]["total"].as_u64(), Some(0), "{stream}");
    let page = http::get(server.gateway(), "/api/streamcore/v1/streams?limit=0").expect("an answer");
    assert_eq!((page.status, page.header("content-type")), (400, Some("application/problem+json")));
}
