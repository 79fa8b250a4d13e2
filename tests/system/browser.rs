//! The pages in a real browser.

use std::time::Duration;

use serde_json::Value;

use crate::encoder::{CLOCKED, SMALL, ffmpeg, run, scratch};
use crate::live::playable;
use crate::support::Server;
use crate::support::plane::Plane;

fn script(name: &str) -> String {
    format!("{}/web/e2e/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_watch_page_plays_and_the_picture_moves() {
    let server = Server::start(&[]);
    watched(&server, "page", &format!("http://{}", server.edge()), "http/1.1");
}

#[test]
fn the_watch_page_plays_by_webtransport_from_the_window_of_an_edge() {
    let plane = Plane::new("moq");
    let origin = plane.origin();
    let edge = plane.edge_with(&[origin.plane()], "[edge.moq]\nlisten = \"127.0.0.1:0\"");
    let _encoder = ffmpeg(origin.rtmp(), "live/moq", CLOCKED);
    playable(&edge, "live/moq");
    let report =
        watch(&format!("http://{}/watch/live/moq?player=moq", edge.edge()), &["--clock", "--seconds", "6"]);
    eprintln!("behind capture: {}", report["clock_ms"]);
    let samples = report["samples"].as_array().expect("samples");
    let stats = |n: usize| &samples[n]["stats"];
    let last = samples.len() - 1;
    assert!((0..=last).all(|n| stats(n)["player"] == "moq"), "{report}");
    let time = |n: usize| stats(n)["current_time"].as_f64().unwrap_or(-1.0);
    assert!(time(last) > time(0) + 3.0, "time goes on: {report}");
    assert!(report["clock_ms"]["pictures"].as_u64() > Some(90), "{report}");
    // What the page says of itself is so.
    let (shown, told) = (report["clock_ms"]["median"].as_f64(), stats(last)["latency_s"].as_f64());
    let apart = shown.zip(told).map(|(shown, told)| shown / 1000.0 - told);
    assert!(apart.is_some_and(|s| s.abs() < 0.3), "{report}");
    assert_eq!(report["console_errors"].as_array().map(Vec::len), Some(0), "{report}");
}

#[test]
fn the_watch_page_plays_over_http2() {
    let server = Server::start(&[("NEXUS__EDGE__HTTPS__HTTP3", "false")]);
    // By WebTransport if it could: this server has none.
    watched(&server, "h2-page?player=moq", &format!("https://{}", server.https()), "h2");
}

/// What came of watching a page.
pub(crate) fn watch(url: &str, args: &[&str]) -> Value {
    let script = script("watch.mjs");
    let (ok, out, err) = run("node", &[&[&script, url], args].concat(), Duration::from_secs(60));
    assert!(ok, "{out}\n{err}");
    serde_json::from_str(out.lines().last().unwrap_or_default()).expect("a report")
}

/// Watches a stream on the page of an edge by HLS, all of it over one protocol.
fn watched(server: &Server, address: &str, edge: &str, protocol: &str) {
    let name = address.split('?').next().expect("a name");
    let _encoder = ffmpeg(server.rtmp(), &format!("live/{name}"), SMALL);
    playable(server, &format!("live/{name}"));
    let folder = scratch(&format!("watch-{name}"));
    let folder = folder.to_str().expect("a plain path");
    let report = watch(&format!("{edge}/watch/live/{address}"), &["--seconds", "8", "--screenshots", folder]);
    let samples = report["samples"].as_array().expect("samples");
    let time = |n: usize| samples[n]["currentTime"].as_f64().unwrap_or(-1.0);
    assert!(time(samples.len() - 1) > time(0) + 3.0, "time goes on: {report}");
    assert_eq!(samples[0]["width"].as_u64(), Some(320), "{report}");
    assert_eq!(samples[0]["stats"]["player"], "hls", "{report}");
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
    let report: Value = serde_json::from_str(out.lines().last().unwrap_or_default()).expect("a report");
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
    let report: Value = serde_json::from_str(out.lines().last().unwrap_or_default()).expect("a report");
    let frame_s = report["frame_s"].as_f64().unwrap_or_default();
    assert!((frame_s - 1.0 / 30.0).abs() < 0.001, "a step is a frame: {report}");
    assert!(report["bytes"].as_u64() > Some(1_000) && report["sideways_scroll"] == false, "{report}");
    assert_eq!(report["console_errors"].as_array().map(Vec::len), Some(0), "{report}");
    let edge = format!("http://{}/", server.edge());
    let asked = report["external_requests"].as_array().expect("requests");
    assert!(asked.iter().all(|url| url.as_str().is_some_and(|url| url.starts_with(&edge))), "{report}");
}

/// By the page alone: the navigation by keyboard, jobs that are run, paused and fail, a link of a mail that lies here, settings;
/// dark and narrow, then light and wide.
#[test]
fn the_page_of_the_server_shows_jobs_mail_and_settings_to_operators() {
    const TOKEN: &str = "s3cret-token-of-the-gateway";
    for (width, look) in [("360", &["--dark"][..]), ("1280", &[])] {
        let data = crate::encoder::fresh(&format!("server-data-{width}"));
        let server = Server::in_folder(&data, &[("NEXUS__GATEWAY__TOKEN", TOKEN)]);
        let link = server.said("administrator ").expect("a link");
        let pictures = scratch(&format!("server-pictures-{width}"));
        let into = pictures.to_str().expect("a plain path");
        let script = script("server.mjs");
        let args = [&[&*script, link, "--screenshots", into, "--width", width], look].concat();
        let (ok, out, err) = run("node", &args, Duration::from_secs(120));
        assert!(ok, "{err}\n{}", server.log());
        let seen: Value = serde_json::from_str(out.trim()).unwrap_or_else(|e| panic!("{e}: {out}"));
        for fault in ["sideways_scroll", "console_errors", "external_requests"] {
            assert_eq!(seen[fault], serde_json::json!([]), "{seen}");
        }
        assert!(
            seen["settings"].as_u64() > Some(100) && seen["set"].as_u64() < seen["settings"].as_u64(),
            "{seen}"
        );
        assert!(!server.log().contains("#confirm=") && !server.log().contains(TOKEN), "links are in no log");
        eprintln!("{seen}");
    }
}
