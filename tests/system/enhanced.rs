//! Enhanced RTMP, its multitrack form and RTMPS, from a publisher that we did not write.

use std::process::{Command, Stdio};

use crate::api::{SOON, codecs, multivariant, refusal, stream, until};
use crate::encoder::{Process, SMALL, decode, ffmpeg_new, ffmpeg_to, frames};
use crate::support::{Server, http};

const H264: &[&str] = &["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"];
const AAC: &[&str] = &["-c:a", "aac"];

/// A codec for pictures and one for sound, and what has to come of it.
struct Case {
    name: &'static str,
    video: &'static [&'static str],
    audio: &'static [&'static str],
    /// How CODECS begins for each.
    codecs: [&'static str; 2],
    /// Sound frames a second.
    sounds: f64,
    /// The kind that MPEG-TS does not carry.
    missing_in_ts: Option<&'static str>,
}

const PICTURES: [Case; 3] = [
    Case {
        name: "live/hevc",
        video: &["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:bframes=0"],
        audio: AAC,
        codecs: ["hvc1.1.", "mp4a.40.2"],
        sounds: 46.9,
        missing_in_ts: None,
    },
    Case {
        name: "live/av1",
        video: &["-c:v", "libsvtav1", "-preset", "12", "-pix_fmt", "yuv420p"],
        audio: AAC,
        codecs: ["av01.0.", "mp4a.40.2"],
        sounds: 46.9,
        missing_in_ts: Some("video"),
    },
    Case {
        name: "live/vp9",
        video: &["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-lag-in-frames", "0"],
        audio: &["-c:a", "libopus"],
        codecs: ["vp09.00.", "opus"],
        sounds: 50.0,
        missing_in_ts: Some("video"),
    },
];

const SOUNDS: [Case; 4] = [
    Case {
        name: "live/opus",
        video: H264,
        audio: &["-c:a", "libopus"],
        codecs: ["avc1.", "opus"],
        sounds: 50.0,
        missing_in_ts: None,
    },
    Case {
        name: "live/flac",
        video: H264,
        audio: &["-c:a", "flac"],
        codecs: ["avc1.", "fLaC"],
        sounds: 46.9,
        missing_in_ts: Some("audio"),
    },
    Case {
        name: "live/ac3",
        video: H264,
        audio: &["-c:a", "ac3"],
        codecs: ["avc1.", "ac-3"],
        sounds: 31.25,
        missing_in_ts: None,
    },
    Case {
        name: "live/eac3",
        video: H264,
        audio: &["-c:a", "eac3"],
        codecs: ["avc1.", "ec-3"],
        sounds: 31.25,
        missing_in_ts: None,
    },
];

fn encoder(server: &Server, case: &Case) -> Process {
    let mut command = Command::new(ffmpeg_new());
    command.args(["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30"]);
    command.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]).args(case.video);
    command.args(["-g", "60", "-b:v", "300k"]).args(case.audio).args(["-ac", "2", "-b:a", "96k"]);
    command.args(["-f", "flv", &format!("rtmp://{}/{}", server.rtmp(), case.name)]);
    Process::start(command.stderr(Stdio::null()))
}

fn check(server: &Server, case: &Case) {
    let name = case.name;
    let text = multivariant(server, name);
    let found = codecs(&text);
    assert_eq!(found.len(), 1, "{name}: {text}");
    for codec in case.codecs {
        assert!(found[0].split(',').any(|c| c.starts_with(codec)), "{name} {codec}: {text}");
    }
    let live = stream(server, name).expect("it is live");
    let told = |n: usize| live["tracks"][n]["codec"].as_str().unwrap_or_default();
    assert!((0..2).all(|n| told(n).starts_with(case.codecs[n])), "{name}: {live:#}");
    let decoded = decode(&format!("http://{}/{name}/index.m3u8", server.edge()), 3);
    let sounds = (case.sounds * 3.0) as u32;
    assert!(decoded.ok && decoded.complaints.is_empty(), "{name}: {decoded:?}");
    assert!(decoded.video.abs_diff(90) <= 2 && decoded.audio.abs_diff(sounds) <= 4, "{name}: {decoded:?}");
    transport_stream(server, case);
}

/// The MPEG-TS output carries what it can and says what it cannot.
fn transport_stream(server: &Server, case: &Case) {
    let name = case.name;
    let path = format!("/{name}/ts/index.m3u8");
    let Some(missing) = case.missing_in_ts else {
        let decoded = decode(&format!("http://{}{path}", server.edge()), 3);
        assert!(decoded.ok && decoded.complaints.is_empty(), "{name} as TS: {decoded:?}");
        let sounds = (case.sounds * 3.0) as u32;
        assert!(
            decoded.video.abs_diff(90) <= 2 && decoded.audio.abs_diff(sounds) <= 4,
            "{name}: {decoded:?}"
        );
        return;
    };
    let reply = http::get(server.edge(), &path).expect("an answer");
    let body = String::from_utf8_lossy(&reply.body).into_owned();
    assert_eq!(reply.status, 404, "{name}, {missing}: {body}");
    assert!(body.contains("output-codec"), "{name}: {body}");
}

#[test]
fn pictures_in_newer_codecs_reach_players() {
    let server = Server::start(&[]);
    let _encoders = PICTURES.each_ref().map(|case| encoder(&server, case));
    PICTURES.iter().for_each(|case| check(&server, case));
}

#[test]
fn sound_in_other_codecs_reaches_players() {
    let server = Server::start(&[]);
    let _encoders = SOUNDS.each_ref().map(|case| encoder(&server, case));
    SOUNDS.iter().for_each(|case| check(&server, case));
}

#[test]
fn several_tracks_become_a_ladder_and_a_choice_of_sounds() {
    let server = Server::start(&[]);
    let mut command = Command::new(ffmpeg_new());
    command.args(["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30"]);
    command.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]);
    command.args(["-f", "lavfi", "-i", "sine=frequency=880:sample_rate=48000"]);
    command.args(["-filter_complex", "[0:v]split=2[large][s];[s]scale=320:180[small]"]);
    command.args(["-map", "[large]", "-map", "[small]", "-map", "1:a", "-map", "2:a"]).args(H264).args(AAC);
    command.args(["-g", "60", "-b:v:0", "800k", "-b:v:1", "200k", "-f", "flv"]);
    command.arg(format!("rtmp://{}/live/ladder", server.rtmp())).stderr(Stdio::null());
    let _encoder = Process::start(&mut command);
    until(&server, "live/ladder", "four tracks", |s| s["tracks"].as_array().is_some_and(|t| t.len() == 4));
    let text = multivariant(&server, "live/ladder");
    let counts = ["#EXT-X-STREAM-INF", "TYPE=AUDIO"].map(|tag| text.matches(tag).count());
    assert_eq!(counts, [2, 2], "{text}");
    assert!(text.contains("RESOLUTION=640x360") && text.contains("RESOLUTION=320x180"), "{text}");
    for (track, least) in [("v1", 88), ("v2", 88), ("a1", 138), ("a2", 138)] {
        let url = format!("http://{}/live/ladder/{track}/index.m3u8", server.edge());
        let decoded = decode(&url, 3);
        assert!(decoded.ok && decoded.complaints.is_empty(), "{track}: {decoded:?}");
        assert!(decoded.video + decoded.audio >= least, "{track}: {decoded:?}");
    }
    let url = format!("http://{}/live/ladder/index.m3u8", server.edge());
    let (ok, all, complaints) = frames(&url, 3, &["-map", "0"]);
    assert!(ok && complaints.is_empty(), "{complaints}");
    assert!(all.iter().filter(|s| s.0 == "video").count() == 2, "{all:?}");
    assert!(all.iter().filter(|s| s.0 == "audio").count() >= 2 && all.iter().all(|s| s.1 > 80), "{all:?}");
}

#[test]
fn publishing_over_tls() {
    let server = Server::start(&[]);
    let url = format!("rtmps://{}/live/tls", server.rtmps());
    let _encoder = ffmpeg_to(&["-f", "flv", &url], SMALL);
    multivariant(&server, "live/tls");
    let live = until(&server, "live/tls", "on air", |s| s["inputs"][0]["state"] == "on_air");
    assert_eq!(live["inputs"][0]["protocol"], "rtmps", "{live}");
    let decoded = decode(&format!("http://{}/live/tls/index.m3u8", server.edge()), 3);
    assert!(decoded.ok && decoded.video >= 88 && decoded.complaints.is_empty(), "{decoded:?}");
    let played = decode(&url, 3);
    assert!(played.ok && played.video >= 80, "played over RTMPS: {played:?}");
}

#[test]
fn plain_rtmp_on_the_tls_port_is_refused_in_words() {
    let server = Server::start(&[]);
    let wrong = format!("rtmp://{}/live/plain", server.rtmps());
    let mut encoder = ffmpeg_to(&["-f", "flv", &wrong], SMALL);
    assert_ne!(encoder.wait(SOON), Some(0));
    let refusal = refusal(&server, "no TLS on the RTMPS port");
    assert!(refusal["peer"].as_str().is_some_and(|p| p.starts_with("127.0.0.1:")), "{refusal}");
}
