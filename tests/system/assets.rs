//! Recordings and clips: to the frame, at once, and still there when the server, the stream and its past are gone.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::api::{SOON, multivariant, playlist};
use crate::encoder::{Process, SMALL, eventually, ffmpeg, fresh, run};
use crate::support::{Server, http};

const API: &str = "/api/streamcore/v1";
const KEPT: &str = "[origin.store]\nkeep_s = 3600\n";
const FPS: f64 = 30.0;

fn send(server: &Server, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let reply = http::send(server.gateway(), method, &format!("{API}{path}"), &body).expect("an answer");
    (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
}

fn get(server: &Server, path: &str) -> Value {
    let reply = http::get(server.gateway(), &format!("{API}{path}")).expect("an answer");
    serde_json::from_slice(&reply.body).expect("JSON")
}

fn items(server: &Server, query: &str) -> Vec<Value> {
    get(server, &format!("/assets?{query}"))["items"].as_array().expect("items").clone()
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or_else(|| panic!("no {name}: {of}"))
}

pub(crate) fn now() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970").as_secs_f64()
}

/// Unix seconds at which a whole segment of the picture begins, the newest that is so old.
fn segment_begins(server: &Server, key: &str, old_s: f64) -> f64 {
    let look = || {
        let list = playlist(server, &format!("/{key}/v1/index.m3u8"))?;
        let dates = list.lines().filter_map(|l| l.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:"));
        let before = now() - old_s;
        dates.filter_map(seconds).rfind(|at| *at < before)
    };
    eventually(SOON, look).unwrap_or_else(|| panic!("{key} has no segment: {}", server.log()))
}

/// Unix seconds of a date of the server's, by the system's `date`.
fn seconds(date: &str) -> Option<f64> {
    let (ok, out, _) = run("date", &["-u", "-d", date, "+%s.%N"], Duration::from_secs(5));
    out.trim().parse().ok().filter(|_| ok)
}

/// Presentation times of the frames that a player shows, seconds.
fn shown(url: &str) -> Vec<f64> {
    let args =
        ["-v", "error", "-select_streams", "v:0", "-show_entries", "frame=pts_time", "-of", "csv=p=0", url];
    let (ok, out, err) = run("ffprobe", &args, Duration::from_secs(40));
    assert!(ok && err.is_empty(), "{url}: {err}");
    out.lines().filter_map(|l| l.trim_matches(',').parse().ok()).collect()
}

fn assert_frames(asset: &Value, count: usize) {
    let times = shown(text(asset, "mp4_url"));
    assert_eq!(times.len(), count, "{asset}");
    assert!(times[0].abs() < 0.001, "the first frame is shown first: {times:?}");
    let even = times.windows(2).all(|w| (w[1] - w[0] - 1.0 / FPS).abs() < 0.002);
    assert!(even, "{times:?}");
}

/// A stream that has been on for a while.
fn on(server: &Server, key: &str) -> Process {
    let encoder = ffmpeg(server.rtmp(), key, SMALL);
    multivariant(server, key);
    encoder
}

#[test]
fn a_clip_of_a_running_stream_is_ready_with_its_last_frame() {
    let server = Server::configured(KEPT);
    let _encoder = on(&server, "live/clip");
    let begins = segment_begins(&server, "live/clip", 2.5);
    // Within a second of what is on now: 37 frames, of segments that are not whole yet.
    let (from, to) = (begins + 20.0 / FPS, begins + 57.0 / FPS);
    let new = json!({"stream": "live/clip", "from": from, "to": to, "title": "Goal"});
    let (code, asset) = send(&server, "POST", "/cuts", &new);
    assert_eq!((code, &asset["kind"], &asset["title"]), (201, &json!("clip"), &json!("Goal")), "{asset}");
    let ready = |id: &str| Some(get(&server, &format!("/assets/{id}"))).filter(|a| a["state"] == "ready");
    let asset = eventually(SOON, || ready(text(&asset, "id"))).expect("ready");
    assert_frames(&asset, 37);
    assert!(
        asset["bytes"].as_u64() > Some(1_000)
            && asset["duration_ms"].as_u64().is_some_and(|d| d.abs_diff(1_233) < 40),
        "{asset}"
    );
    // The end is still to come.
    let to = segment_begins(&server, "live/clip", 0.0) + 4.0;
    let from = to - 45.0 / FPS;
    let new = json!({"stream": "live/clip", "from": from, "to": to});
    let (code, asset) = send(&server, "POST", "/cuts", &new);
    assert_eq!((code, &asset["state"]), (201, &json!("waiting")), "{asset}");
    let asset = eventually(SOON, || ready(text(&asset, "id"))).expect("ready");
    let late = now() - to;
    assert!((0.0..1.0).contains(&late), "ready {late} s behind its end");
    // Only parts of its last segment are there; what was ready stays ready.
    for _ in 0..2 {
        assert_frames(&asset, 45);
        std::thread::sleep(Duration::from_millis(2_500));
    }
    let path = text(&asset, "hls_path").replace("index.m3u8", "v1/index.m3u8");
    let list = playlist(&server, &path).expect("a list");
    let offset = list.lines().find_map(|l| l.strip_prefix("#EXT-X-START:TIME-OFFSET=")).expect("a start");
    let (offset, precise) = offset.split_once(',').expect("and how");
    assert_eq!(precise, "PRECISE=YES");
    assert!(
        (0.4..0.6).contains(&offset.parse::<f64>().expect("a number")),
        "half a second into its segment: {offset}"
    );
    for (new, code) in [
        (json!({"stream": "live/clip", "from": -5, "to": now() + 70.0}), 400),
        (json!({"stream": "live/clip", "from": -5, "to": -6}), 400),
        (json!({"stream": "live/clip", "from": "yesterday", "to": 0}), 400),
        (json!({"stream": "clip", "from": -5, "to": 0}), 400),
        (json!({"stream": "live/clip", "from": -5, "to": 0, "title": ""}), 400),
        (json!({"stream": "live/clip", "from": 1000, "to": 2000}), 404),
        (json!({"stream": "live/nobody", "from": -5, "to": 0}), 404),
    ] {
        let (got, problem) = send(&server, "POST", "/cuts", &new);
        assert_eq!(got, code, "{new}: {problem}");
    }
}

#[test]
fn an_acknowledged_clip_outlives_a_kill_and_can_be_deleted_and_restored() {
    let data = fresh(&format!("assets-kill-{}", std::process::id()));
    let env = [("NEXUS__ORIGIN__STORE__KEEP_S", "3600")];
    let mut server = Server::in_folder(&data, &env);
    let encoder = on(&server, "live/kill");
    let new = json!({"stream": "live/kill", "from": -1.5, "to": 0, "title": "Élan 50%"});
    let (code, asset) = send(&server, "POST", "/cuts", &new);
    server.terminate("KILL");
    assert_eq!(code, 201, "{asset}");
    drop((encoder, server));
    let server = Server::in_folder(&data, &env);
    let id = text(&asset, "id").to_owned();
    let one = || get(&server, &format!("/assets/{id}"));
    assert_eq!((one()["title"].as_str(), items(&server, "q=%C3%A9lan+50%25").len()), (Some("Élan 50%"), 1));
    assert!(eventually(SOON, || (one()["state"] != "waiting").then_some(())).is_some(), "{}", one());
    let (code, _) = send(&server, "DELETE", &format!("/assets/{id}"), &Value::Null);
    assert_eq!((code, one()["state"].as_str()), (204, Some("deleted")));
    assert_eq!((items(&server, "").len(), items(&server, "deleted=true").len()), (0, 1));
    let (code, restored) = send(&server, "POST", &format!("/assets/{id}/restore"), &Value::Null);
    assert_eq!((code, &restored["deleted_at"]), (200, &Value::Null));
    let (code, renamed) = send(&server, "PATCH", &format!("/assets/{id}"), &json!({"title": "Other"}));
    assert_eq!((code, text(&renamed, "title")), (200, "Other"));
    assert_eq!(
        (items(&server, "stream=live/kill&kind=clip").len(), items(&server, "kind=recording").len()),
        (1, 0)
    );
    std::fs::remove_dir_all(data).expect("removes");
}

/// Nothing of the stream is kept but its recordings, and they for a while only.
const RECORDED: &str = "[origin.stream]\nreconnect_s = 1\n[origin.store]\ntrash_s = 1\n\
    [[origin.store.rule]]\nstreams = \"live/*\"\nkeep_s = 1\nrecord = true\n\
    [[origin.store.rule]]\nstreams = \"live/short\"\nkeep_s = 1\nrecord = true\nrecord_keep_s = 25\n";

#[test]
fn a_stream_that_stops_becomes_a_recording_that_joins_its_reconnects() {
    let server = Server::configured(RECORDED);
    let short = on(&server, "live/short");
    let first = on(&server, "live/show");
    std::thread::sleep(Duration::from_secs(4));
    drop((first, short));
    // Back before it is over.
    std::thread::sleep(Duration::from_secs(1));
    let second = on(&server, "live/show");
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(items(&server, "stream=live/show").len(), 0, "it goes on");
    drop(second);
    let recorded = || items(&server, "stream=live/show").into_iter().next();
    let asset = eventually(Duration::from_secs(40), recorded).unwrap_or_else(|| panic!("{}", server.log()));
    assert_eq!(
        (text(&asset, "kind"), text(&asset, "state"), text(&asset, "title")),
        ("recording", "ready", "show")
    );
    assert_eq!(asset["keep_until"], Value::Null);
    let frames = shown(text(&asset, "mp4_url"));
    assert!(frames.len() > 8 * 30, "both times: {} frames, {asset}", frames.len());
    let played = asset["duration_ms"].as_f64().expect("a number") / 1000.0;
    assert!((played - frames.len() as f64 / FPS).abs() < 0.7, "{played} s, {} frames", frames.len());
    // The time that it is kept for is long over.
    let list = playlist(&server, text(&asset, "hls_path")).expect("the asset");
    assert!(list.contains("#EXTM3U"), "{list}");
    // Of the other the retention is over, and then there is nothing of it.
    let gone = || {
        let path = "/live/short/index.m3u8?start=-3600";
        let reply = http::get(server.edge(), path).unwrap_or_else(|e| panic!("{e}: {}", server.log()));
        (items(&server, "stream=live/short").is_empty() && reply.status == 404).then_some(())
    };
    assert!(eventually(Duration::from_secs(60), gone).is_some(), "{}", server.log());
    // Out of the trash after a second, and with it what it held.
    let (code, _) = send(&server, "DELETE", &format!("/assets/{}", text(&asset, "id")), &Value::Null);
    let began = Instant::now();
    let empty = || {
        let reply = http::get(server.edge(), text(&asset, "hls_path")).expect("an answer");
        (reply.status == 404).then_some(())
    };
    assert!(code == 204 && eventually(SOON, empty).is_some(), "{:?} {}", began.elapsed(), server.log());
    assert_eq!(
        (items(&server, "deleted=true").len(), items(&server, "").len()),
        (0, 0),
        "and it does not come back"
    );
}
