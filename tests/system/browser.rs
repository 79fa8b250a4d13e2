//! The pages in a real browser.

use std::time::Duration;

use crate::encoder::{SMALL, ffmpeg, run, scratch};
use crate::live::playable;
use crate::support::Server;

fn script(name: &str) -> String {
    format!("{}/web/e2e/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_watch_page_plays_and_the_picture_moves() {
    let server = Server::start(&[]);
    watched(&server, "page", &format!("http://{}", server.edge()), "http/1.1");
}

#[test]
fn the_watch_page_plays_over_http2() {
    let server = Server::start(&[("NEXUS__EDGE__HTTPS__HTTP3", "false")]);
    watched(&server, "h2-page", &format!("https://{}", server.https()), "h2");
}

/// Watches a stream on the page of an edge, all of it over one protocol.
fn watched(server: &Server, name: &str, edge: &str, protocol: &str) {
    let _encoder = ffmpeg(server.rtmp(), &format!("live/{name}"), SMALL);
    playable(server, &format!("live/{name}"));
    let folder = scratch(&format!("watch-{name}"));
    let url = format!("{edge}/watch/live/{name}");
    let folder = folder.to_str().expect("a plain path");
    let args =
        [script("watch.mjs"), url, "--seconds".into(), "8".into(), "--screenshots".into(), folder.to_owned()];
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (ok, out, err) = run("node", &args, Duration::from_secs(60));
    assert!(ok, "{out}\n{err}");
    let report: serde_json::Value =
        serde_json::from_str(out.lines().last().unwrap_or_default()).expect("a report");
    let samples = report["samples"].as_array().expect("samples");
    let time = |n: usize| samples[n]["currentTime"].as_f64().unwrap_or(-1.0);
    assert!(time(samples.len() - 1) > time(0) + 3.0, "time goes on: {report}");
    assert_eq!(samples[0]["width"].as_u64(), Some(320), "{report}");
    assert_eq!(report["protocols"], serde_json::json!([protocol]), "{report}");
    assert_eq!(report["external_requests"].as_array().map(Vec::len), Some(0), "{report}");
    assert_eq!(report["console_errors"].as_array().map(Vec::len), Some(0), "{report}");
    let picture =
        |n: usize| std::fs::read(report["screenshots"][n].as_str().expect("a file")).expect("a screenshot");
    assert_ne!(picture(0), picture(1), "the picture moves");
}

#[test]
fn the_status_page_shows_the_stream() {
    let server = Server::start(&[]);
    let _encoder = ffmpeg(server.rtmp(), "live/status", SMALL);
    playable(&server, "live/status");
    let file = scratch("status-page").join("status.png");
    let url = format!("http://{}/", server.gateway());
    let args = [script("shot.mjs"), url, file.display().to_string(), "--expect".into(), "live/status".into()];
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (ok, out, err) = run("node", &args, Duration::from_secs(60));
    assert!(ok && file.exists(), "{out}\n{err}");
    let report: serde_json::Value =
        serde_json::from_str(out.lines().last().unwrap_or_default()).expect("a report");
    assert_eq!(report["expected"].as_bool(), Some(true), "{report}");
}

#[test]
fn the_page_of_recordings_cuts_a_clip_saves_it_and_brings_it_back() {
    let server = Server::start(&[("NEXUS__ORIGIN__STORE__KEEP_S", "3600")]);
    let _encoder = ffmpeg(server.rtmp(), "live/wind", SMALL);
    playable(&server, "live/wind");
    let folder = scratch("recordings-page");
    let folder = folder.to_str().expect("a plain path");
    let url = format!("http://{}", server.gateway());
    let args = [script("recordings.mjs"), url, "live/wind".into(), "--screenshots".into(), folder.into()];
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (ok, out, err) = run("node", &args, Duration::from_secs(90));
    assert!(ok, "{out}\n{err}\n{}", server.log());
    let report: serde_json::Value =
        serde_json::from_str(out.lines().last().unwrap_or_default()).expect("a report");
    let frame_s = report["frame_s"].as_f64().unwrap_or_default();
    assert!((frame_s - 1.0 / 30.0).abs() < 0.001, "a step is a frame: {report}");
    assert!(report["bytes"].as_u64() > Some(1_000) && report["sideways_scroll"] == false, "{report}");
    assert_eq!(report["console_errors"].as_array().map(Vec::len), Some(0), "{report}");
    let edge = format!("http://{}/", server.edge());
    let asked = report["external_requests"].as_array().expect("requests");
    assert!(asked.iter().all(|url| url.as_str().is_some_and(|url| url.starts_with(&edge))), "{report}");
}
