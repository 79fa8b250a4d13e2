//! Programmes: what is put together is what is seen, whatever becomes of the streams in it.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::api::{SOON, playlist, until};
use crate::encoder::{Process, eventually, run};
use crate::live::playable;
use crate::support::{Server, http, nexus_bin};

const PATIENCE: Duration = Duration::from_secs(40);
/// Pixels of the programmes.
const WIDE: usize = 320;
const HIGH: usize = 180;
/// What a decoded colour may differ from the one that was sent.
const NEAR: u8 = 40;

const RED: [u8; 3] = [255, 0, 0];
const BLUE: [u8; 3] = [0, 0, 255];
const BLACK: [u8; 3] = [0, 0, 0];

/// A picture of one colour, with sound.
fn colour(server: &Server, key: &str, colour: &str) -> Process {
    let mut command = Command::new("ffmpeg");
    command.args([
        "-v",
        "error",
        "-re",
        "-f",
        "lavfi",
        "-i",
        &format!("color=c={colour}:size=320x180:rate=25"),
    ]);
    command.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-c:a", "aac"]);
    command.args([
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-tune",
        "zerolatency",
        "-g",
        "25",
        "-pix_fmt",
        "yuv420p",
    ]);
    Process::start(command.args(["-f", "flv", &format!("rtmp://{}/{key}", server.rtmp())]))
}

/// Asks for a scene on a small canvas, with the second stream half as loud.
fn put(server: &Server, rest: &str) -> Value {
    put_with(server, 1.0, rest)
}

/// The same with a gain for the first stream.
fn put_with(server: &Server, gain: f64, rest: &str) -> Value {
    let scene = format!(
        r#"{{"canvas": {{"width": {WIDE}, "height": {HIGH}, "fps": 25, "bitrate_bps": 500000}},
            "inputs": [{{"stream": "live/red", "gain": {gain}}}, {{"stream": "live/blue", "gain": 0.5}}], {rest}}}"#
    );
    let reply =
        http::send(server.gateway(), "PUT", "/api/streamcore/v1/mixes/live/show", &scene).expect("an answer");
    let told = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(matches!(reply.status, 200 | 201), "{}: {told}", reply.status);
    serde_json::from_str(&told).expect("JSON")
}

fn mix(server: &Server) -> Value {
    let reply = http::get(server.gateway(), "/api/streamcore/v1/mixes/live/show").expect("an answer");
    serde_json::from_slice(&reply.body).expect("JSON")
}

/// A picture of the programme as an RTMP player sees it.
fn frame(server: &Server) -> Option<Vec<u8>> {
    let file = crate::encoder::scratch("mixer").join(format!("{}.rgb", std::process::id()));
    let url = format!("rtmp://{}/live/show", server.rtmp());
    let args = ["-v", "error", "-y", "-i", &url, "-frames:v", "1", "-pix_fmt", "rgb24", "-f", "rawvideo"];
    run("ffmpeg", &[&args[..], &[file.to_str().expect("a path")]].concat(), SOON);
    std::fs::read(file).ok().filter(|pixels| pixels.len() == WIDE * HIGH * 3)
}

fn pixel(frame: &[u8], x: usize, y: usize) -> [u8; 3] {
    let at = (y * WIDE + x) * 3;
    [frame[at], frame[at + 1], frame[at + 2]]
}

fn is(pixel: [u8; 3], colour: [u8; 3]) -> bool {
    pixel.iter().zip(colour).all(|(a, b)| a.abs_diff(b) <= NEAR)
}

/// How loud two seconds of the programme are, decibels below full scale.
fn loudness(server: &Server) -> Option<f64> {
    let url = format!("rtmp://{}/live/show", server.rtmp());
    let args = ["-v", "info", "-t", "2", "-i", &url, "-vn", "-af", "volumedetect", "-f", "null", "-"];
    let (_, _, said) = run("ffmpeg", &args, SOON);
    said.split("mean_volume: ").nth(1)?.split(' ').next()?.parse().ok()
}

/// Waits until the places have these colours.
fn shows(server: &Server, what: &str, places: &[(usize, usize, [u8; 3])]) -> Vec<u8> {
    let mut last = Vec::new();
    let found = eventually(PATIENCE, || {
        let frame = frame(server)?;
        last = places.iter().map(|&(x, y, _)| pixel(&frame, x, y)).collect();
        places.iter().all(|&(x, y, colour)| is(pixel(&frame, x, y), colour)).then_some(frame)
    });
    found.unwrap_or_else(|| panic!("{what}: {last:?}: {:#}\n{}", mix(server), server.log()))
}

#[test]
fn streams_are_mixed_and_what_becomes_of_them_does_not_end_the_programme() {
    let server = Server::start(&[]);
    assert!(nexus_bin().with_file_name("nexus-mixer").exists(), "`make mixer` builds nexus-mixer");
    let _red = colour(&server, "live/red", "red");
    let blue = colour(&server, "live/blue", "blue");
    put(&server, r#""layout": {"picture_in_picture": {"corner": "bottom_right", "share": 0.4}}"#);
    // Of 320x180: the inset is 128x72 at (182, 104).
    shows(&server, "blue in red", &[(80, 90, RED), (246, 140, BLUE), (20, 160, RED), (176, 140, RED)]);
    playable(&server, "live/show");
    let worker = mix(&server)["worker"].clone();
    assert!(worker.is_u64(), "{:#}", mix(&server));

    // Another layout, and text: 640 shares make columns of 160x180, in which 16:9 has 90 lines.
    put(
        &server,
        r#""layout": "side_by_side", "texts": [{"text": "HELLO", "left": 0.05, "top": 0.4, "height": 0.2}]"#,
    );
    let frame =
        shows(&server, "beside", &[(80, 115, RED), (240, 90, BLUE), (80, 20, BLACK), (240, 170, BLACK)]);
    let white = (16..140)
        .flat_map(|x| (72..108).map(move |y| (x, y)))
        .filter(|&(x, y)| is(pixel(&frame, x, y), [255; 3]));
    assert!(white.count() > 50, "the text is not there");

    // An input goes: black in its place, and the programme goes on.
    drop(blue);
    shows(&server, "without blue", &[(80, 115, RED), (200, 60, BLACK), (280, 120, BLACK)]);
    let told = mix(&server);
    let states: Vec<_> =
        (0..2).map(|nth| told["inputs"][nth]["state"].as_str().unwrap_or_default()).collect();
    assert_eq!(states, ["live", "absent"], "{told:#}");
    // It comes back.
    let _blue = colour(&server, "live/blue", "blue");
    shows(&server, "with blue again", &[(80, 115, RED), (240, 90, BLUE)]);

    let list = playlist(&server, "/live/show/v1/index.m3u8").expect("a playlist");
    assert!(!list.contains("#EXT-X-DISCONTINUITY\n") && !list.contains("#EXT-X-GAP"), "{list}");
    let told = mix(&server);
    assert_eq!((&told["worker"], told["crashes"].as_u64()), (&worker, Some(0)), "{told:#}\n{}", server.log());
    let show = until(&server, "live/show", "live", |s| s["state"] == "live");
    assert_eq!(show["discontinuities"].as_u64(), Some(0), "{show:#}");
}

#[test]
fn a_mixer_that_is_killed_is_replaced_and_goes_with_its_programme() {
    let server = Server::start(&[]);
    let _red = colour(&server, "live/red", "red");
    put(&server, r#""layout": "side_by_side""#);
    // The other input was never there.
    shows(&server, "red", &[(80, 90, RED), (200, 60, BLACK)]);
    // A tone of -21 dB as it was sent, then a tenth of it.
    let near = |want: f64| eventually(PATIENCE, || loudness(&server).filter(|db| (db - want).abs() < 3.0));
    assert!(near(-21.0).is_some(), "{:?}", loudness(&server));
    put_with(&server, 0.1, r#""layout": "side_by_side""#);
    assert!(near(-41.0).is_some(), "{:?}", loudness(&server));
    let told = mix(&server);
    assert_eq!(told["crashes"].as_u64(), Some(0), "it died by itself: {told:#}\n{}", server.log());
    let worker = told["worker"].clone();
    assert!(Command::new("kill").args(["-9", &worker.to_string()]).status().expect("kill runs").success());
    let another = || Some(mix(&server)).filter(|m| m["worker"].is_u64() && m["worker"] != worker);
    let told =
        eventually(PATIENCE, another).unwrap_or_else(|| panic!("{:#}\n{}", mix(&server), server.log()));
    assert_eq!(told["crashes"].as_u64(), Some(1), "{told:#}");
    shows(&server, "red again", &[(80, 90, RED)]);
    // Nobody else may publish under its name.
    let _thief = colour(&server, "live/show", "blue");
    crate::api::refusal(&server, "live/show asks for a key");
    let reply =
        http::send(server.gateway(), "DELETE", "/api/streamcore/v1/mixes/live/show", "").expect("an answer");
    assert_eq!(reply.status, 204);
    let gone = eventually(PATIENCE, || crate::images::children(&server).is_empty().then_some(()));
    assert!(gone.is_some(), "{}", server.log());
}
