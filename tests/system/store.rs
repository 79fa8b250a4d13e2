//! What is kept on disk: the same packets that came in, played by anybody, whatever happens to the server or the disk.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::api::{SOON, multivariant, numbers, playlist};
use crate::encoder::{Process, SMALL, decode, eventually, ffmpeg, fresh, run};
use crate::players::Players;
use crate::support::ffmpeg::{Kind, clip};
use crate::support::{Server, http};

const KEPT: &str = "[origin.store]\nkeep_s = 3600\n[origin.stream]\nreconnect_s = 1\n";
pub(crate) const KEEP: (&str, &str) = ("NEXUS__ORIGIN__STORE__KEEP_S", "3600");

/// Sends a clip in real time, as it is.
pub(crate) fn send(server: &Server, clip: &Path, key: &str) -> Process {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-re", "-i"]).arg(clip).args(["-c", "copy", "-f", "flv"]);
    Process::start(command.arg(format!("rtmp://{}/{key}", server.rtmp())))
}

pub(crate) fn recordings(server: &Server, key: &str) -> Vec<Value> {
    let path = format!("/api/streamcore/v1/recordings?stream={key}");
    let reply = http::get(server.gateway(), &path).expect("an answer");
    let page: Value = serde_json::from_slice(&reply.body).expect("JSON");
    page["items"].as_array().expect("items").clone()
}

/// The newest recording, once it is over.
pub(crate) fn over(server: &Server, key: &str) -> Value {
    let ended = || recordings(server, key).into_iter().next().filter(|r| r["ends_at"].is_string());
    eventually(Duration::from_secs(40), ended).unwrap_or_else(|| panic!("not over: {}", server.log()))
}

/// Hashes of the packets of pictures and of sound. One after the other: of both together, ffmpeg's reader of DASH leaves
/// the last packet out.
pub(crate) fn packets(url: &str) -> [Vec<String>; 2] {
    ["0:v:0", "0:a:0"].map(|stream| packets_of(url, stream))
}

/// Hashes of the packets of one stream, nothing decoded.
pub(crate) fn packets_of(url: &str, stream: &str) -> Vec<String> {
    let args = ["-v", "error", "-i", url, "-map", stream, "-c", "copy", "-f", "framehash", "-"];
    let (ok, out, err) = run("ffmpeg", &args, Duration::from_secs(40));
    assert!(ok, "{url}: {err}");
    let rows = out.lines().filter(|l| !l.starts_with('#'));
    rows.filter_map(|l| l.rsplit(',').next().map(|hash| hash.trim().to_owned())).collect()
}

/// The same packets, but for sound before the first picture, which no segment has. Told by place: the hashes are many.
pub(crate) fn assert_same(got: &[Vec<String>; 2], want: &[Vec<String>; 2], what: &str) {
    for (nth, (got, want)) in got.iter().zip(want).enumerate() {
        let early = want.len().checked_sub(got.len()).filter(|early| *early <= nth * 2);
        let differs = got.iter().rev().zip(want.iter().rev()).position(|(a, b)| a != b);
        assert!(
            early.is_some() && differs.is_none(),
            "{what}: {} of {}, {differs:?} from the end",
            got.len(),
            want.len()
        );
    }
}

fn number(query: &str, name: &str) -> f64 {
    query.split(&format!("{name}=")).nth(1).and_then(|v| v.split('&').next()?.parse().ok()).expect("a number")
}

/// The recording as one file, and two seconds and a half out of its middle.
fn film(server: &Server, recording: &Value, sent: &[Vec<String>; 2]) {
    let url = recording["mp4_url"].as_str().expect("a URL");
    assert_same(&packets(url), sent, "mp4_url");
    let path = recording["mp4_path"].as_str().expect("a path");
    let whole = http::get(server.edge(), path).expect("an answer");
    assert_eq!((whole.status, whole.header("content-type")), (200, Some("video/mp4")));
    for (query, want) in [("", "inline; "), ("&download", "attachment; ")] {
        let answer = http::get_with(server.edge(), &format!("{path}{query}"), &[("range", "bytes=0-9")]);
        let answer = answer.expect("an answer");
        let told = answer.header("content-disposition").unwrap_or_default();
        assert!(told.starts_with(want) && told.ends_with(".mp4\""), "{told}");
    }
    let moov = whole.body.windows(4).position(|w| w == b"moov").expect("a moov");
    assert!(moov < 64, "the tables come first: {moov}");
    let range = http::get_with(server.edge(), path, &[("range", "bytes=1000-70000")]).expect("an answer");
    assert!(range.status == 206 && range.body == whole.body[1_000..=70_000], "{}", range.status);
    let begins = number(path, "start");
    // Not on a key frame: what is before is decoded and not shown.
    let clip = format!(
        "http://{}/live/show/video.mp4?start={:.3}&end={:.3}",
        server.edge(),
        begins + 3.1,
        begins + 5.6
    );
    let decoded = decode(&clip, 40);
    assert!(decoded.ok && decoded.complaints.is_empty(), "{decoded:?}");
    assert!((75..=76).contains(&decoded.video) && (116..=119).contains(&decoded.audio), "{decoded:?}");
    let probe = ["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", &clip];
    let (_, out, err) = run("ffprobe", &probe, SOON);
    let seconds: f64 = out.trim().parse().unwrap_or_else(|_| panic!("{out} {err}"));
    assert!((seconds - 2.5).abs() < 0.01, "{seconds}");
    let open = format!("http://{}/live/show/video.mp4?start={begins:.3}", server.edge());
    let probe = ["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", &open];
    let (_, out, err) = run("ffprobe", &probe, SOON);
    let seconds: f64 = out.trim().parse().unwrap_or_else(|_| panic!("{out} {err}"));
    assert!((13.5..14.5).contains(&seconds), "it ends where the stream did: {seconds}");
    let (from, to) = (begins + 900.0, begins + 910.0);
    let none =
        http::get(server.edge(), &format!("/live/show/video.mp4?start={from}&end={to}")).expect("an answer");
    assert_eq!(none.status, 404);
}

#[test]
fn what_was_live_is_played_from_disk_packet_by_packet() {
    let server = Server::configured(KEPT);
    let clip = clip(14, Kind::Bframes);
    let sent = send(&server, &clip, "live/show");
    multivariant(&server, "live/show");
    let going =
        eventually(SOON, || recordings(&server, "live/show").into_iter().next()).expect("a recording");
    assert!(going["ends_at"].is_null(), "{going}");
    let view = |name: &str| playlist(&server, &format!("/live/show/{name}?start=-3600"));
    let growing = eventually(SOON, || view("v1/index.m3u8")).expect("a view");
    assert!(!growing.contains("#EXT-X-ENDLIST") && !growing.contains("PLAYLIST-TYPE"), "{growing}");
    let recording = over(&server, "live/show");
    drop(sent);
    let [video, audio] = packets(clip.to_str().expect("a path"));
    assert!(video.len() == 420 && audio.len() > 600, "{} {}", video.len(), audio.len());
    for url in ["hls_url", "dash_url"] {
        assert_same(&packets(recording[url].as_str().expect("a URL")), &[video.clone(), audio.clone()], url);
    }
    let whole = view("v1/index.m3u8").expect("a playlist");
    assert!(whole.contains("#EXT-X-PLAYLIST-TYPE:VOD\n") && whole.ends_with("#EXT-X-ENDLIST\n"), "{whole}");
    let path = recording["hls_path"].as_str().expect("a path");
    let begins = number(path, "start");
    let middle =
        format!("http://{}/live/show/index.m3u8?start={}&end={}", server.edge(), begins + 5.0, begins + 7.0);
    let decoded = decode(&middle, 40);
    assert!(decoded.ok && (60..=180).contains(&decoded.video), "whole segments: {decoded:?}");
    for (query, status) in
        [("start=-3600&end=-3500", 404), ("start=soon", 400), ("end=5&start=9", 400), ("delay=0", 400)]
    {
        let reply = http::get(server.edge(), &format!("/live/show/index.m3u8?{query}")).expect("an answer");
        assert_eq!(reply.status, status, "{query}: {}", String::from_utf8_lossy(&reply.body));
    }
    film(&server, &recording, &packets(clip.to_str().expect("a path")));
    let players = Players::at(
        &format!("http://{}/live/show?{}", server.edge(), path.split_once('?').expect("a query").1),
        5,
    );
    for (player, fared) in players.report() {
        eprintln!("{player} {fared}");
        let clean = fared["fatal"].as_array().is_some_and(Vec::is_empty);
        assert!(clean && fared["alive"] == true, "{player}: {fared}");
    }
}

#[test]
fn a_stream_that_is_not_on_shows_its_last_time_and_a_new_one_is_another() {
    let data = fresh(&format!("store-off-{}", std::process::id()));
    let quick = [KEEP, ("NEXUS__ORIGIN__STREAM__RECONNECT_S", "1")];
    let server = Server::in_folder(&data, &quick);
    let clip = clip(6, Kind::Small);
    let sent = send(&server, &clip, "live/off");
    over(&server, "live/off");
    drop((sent, server));
    // A process that never saw it live.
    let server = Server::in_folder(&data, &quick);
    let url = |name: &str| format!("http://{}/live/off/{name}", server.edge());
    let [video, audio] = packets(clip.to_str().expect("a path"));
    for name in ["index.m3u8", "manifest.mpd"] {
        assert_same(&packets(&url(name)), &[video.clone(), audio.clone()], name);
    }
    let reply = http::get(server.edge(), "/live/never/index.m3u8").expect("an answer");
    assert_eq!(reply.status, 404);
    // Long enough for it to be another recording.
    std::thread::sleep(Duration::from_secs(7));
    let _sent = send(&server, &clip, "live/off");
    let two = eventually(SOON, || Some(recordings(&server, "live/off")).filter(|r| r.len() == 2));
    let two = two.unwrap_or_else(|| panic!("{:?}", recordings(&server, "live/off")));
    assert!(two[0]["ends_at"].is_null() && two[1]["ends_at"].is_string(), "the newest first: {two:?}");
    let all = playlist(&server, "/live/off/v1/index.m3u8?start=-3600").expect("both");
    assert_eq!(all.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{all}");
    over(&server, "live/off");
    // Both in one file, the pause between them left out.
    let film = packets(&url("video.mp4?start=-3600"));
    assert!(
        film[0] == [video.clone(), video].concat() && film[1].len() + 4 >= 2 * audio.len(),
        "{}",
        film[0].len()
    );
    std::fs::remove_dir_all(data).expect("removes");
}

#[test]
fn a_picture_that_stood_still_is_not_kept() {
    let server = Server::start(&[KEEP, ("NEXUS__ORIGIN__STREAM__RECONNECT_S", "4")]);
    let clip = clip(6, Kind::Small);
    let sent = send(&server, &clip, "live/stood");
    let recording = over(&server, "live/stood");
    drop(sent);
    let lists = playlist(&server, "/live/stood/v1/index.m3u8").expect("what was live");
    let sent = packets(clip.to_str().expect("a path"));
    assert_same(&packets(recording["hls_url"].as_str().expect("a URL")), &sent, &lists);
    let film = packets(&format!("http://{}/live/stood/video.mp4?start=-3600", server.edge()));
    assert!(film[0] == sent[0], "{}", film[0].len());
}

#[test]
fn a_view_that_grows_keeps_its_numbers_over_a_picture_that_stood_still() {
    let server = Server::start(&[KEEP]);
    let live = || numbers(&playlist(&server, "/live/seam/v1/index.m3u8").unwrap_or_default()).1;
    // Every segment has the number that is in its name.
    let view = || {
        let text = playlist(&server, "/live/seam/v1/index.m3u8?start=0")?;
        for (number, name) in (numbers(&text).0..).zip(listed(&text)) {
            assert!(name.starts_with(&format!("{number}.")), "{name} is number {number}: {text}");
        }
        Some(text)
    };
    let first = ffmpeg(server.rtmp(), "live/seam", SMALL);
    multivariant(&server, "live/seam");
    assert!(eventually(SOON, view).is_some(), "{}", server.log());
    drop(first);
    let gone = live();
    let stood = eventually(SOON, || view().filter(|_| live() >= gone + 3));
    assert!(stood.is_some_and(|text| !text.contains("#EXT-X-GAP")), "{}", server.log());
    let _second = ffmpeg(server.rtmp(), "live/seam", SMALL);
    let joined = |text: &String| text.contains("#EXT-X-GAP\n") && text.contains("#EXT-X-PART:");
    let back = eventually(SOON, || view().filter(joined));
    assert!(back.is_some(), "{:?}: {}", view(), server.log());
    let reached = live();
    assert!(eventually(SOON, || view().filter(|_| live() >= reached + 3)).is_some(), "{}", server.log());
}

/// The segments that a playlist lists.
pub(crate) fn listed(playlist: &str) -> Vec<String> {
    playlist.lines().filter(|l| l.ends_with(".m4s") && !l.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn a_store_that_fails_harms_no_stream_and_heals() {
    let data = fresh(&format!("store-fails-{}", std::process::id()));
    let folder = data.join("store/live");
    std::fs::create_dir_all(&folder).expect("a folder");
    let server = Server::in_folder(&data, &[KEEP]);
    // In the place of the stream's folder there is something else.
    std::fs::write(folder.join("ill"), "").expect("a file");
    let _encoder = ffmpeg(server.rtmp(), "live/ill", SMALL);
    multivariant(&server, "live/ill");
    assert!(server.wait_for_log("live streams go on, their past has gaps", SOON), "{}", server.log());
    let live =
        || playlist(&server, "/live/ill/v1/index.m3u8").is_some_and(|t| t.matches("#EXTINF").count() > 2);
    assert!(eventually(SOON, || live().then_some(())).is_some(), "{}", server.log());
    let reply = http::get(server.edge(), "/live/ill/index.m3u8?start=-60").expect("an answer");
    assert_eq!(reply.status, 404);
    std::fs::remove_file(folder.join("ill")).expect("removes");
    let back = || playlist(&server, "/live/ill/v1/index.m3u8?start=-60").filter(|t| t.contains("#EXTINF"));
    assert!(eventually(SOON, back).is_some(), "{}", server.log());
    let metrics = http::get(server.origin(), "/metrics").expect("an answer").body;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    let lost = metrics.lines().find_map(|l| l.strip_prefix("nexus_store_lost_total ")?.parse::<u64>().ok());
    assert!(lost.is_some_and(|n| n > 0), "{metrics}");
    std::fs::remove_dir_all(data).expect("removes");
}
