//! Renditions of titles: made in pieces by several workers, whatever becomes of them, and shown beside the file.

use std::process::{Child, Stdio};
use std::time::Instant;

use serde_json::Value;

use super::*;
use crate::encoder::{eventually, fresh};
use crate::images::children;
use crate::support::worker::real_worker;

const TITLES: &str = "/api/streamcore/v1/titles";
const PATIENCE: Duration = Duration::from_secs(90);

/// Two rungs; workers of the server's own.
fn settings(workers: u32, rungs: &str) -> String {
    format!(
        "[origin.images]\nworker = {:?}\n[origin.vod]\nworkers = {workers}\n\
         [[origin.ladder]]\nstreams = \"vod/*\"\nrungs = [{rungs}]\n",
        real_worker()
    )
}

const LITTLE: &str = "{ lines = 180, preset = \"ultrafast\" }, { lines = 90, preset = \"ultrafast\" }";

fn staged(name: &str, settings: &str) -> Stage {
    let data = fresh(&format!("vod-{name}-{}", std::process::id()));
    std::fs::create_dir_all(data.join("vod")).expect("a folder of titles");
    let server = Some(Server::configured_in(&data, settings));
    Stage { data, server }
}

fn ask(stage: &Stage, method: &str, title: &str) -> (u16, Value) {
    let reply = http::send(stage.server().gateway(), method, &format!("{TITLES}/{title}/ladder"), "");
    let reply = reply.expect("an answer");
    (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
}

/// Waits until something is told of a title's ladder.
fn until(stage: &Stage, title: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let told = eventually(PATIENCE, || Some(ask(stage, "GET", title).1).filter(&fits));
    told.unwrap_or_else(|| {
        panic!("{title} is not {what}: {}\n{}", ask(stage, "GET", title).1, stage.server().log())
    })
}

/// 40 s of pictures with B-frames and sound, a key frame every two seconds.
fn clip(stage: &Stage, file: &str) {
    let how = "-c:v libx264 -preset ultrafast -bf 2 -g 60 -flags +cgop -c:a aac";
    ffmpeg(&format!("{} -s 640x360 {how}", source(40)), &stage.file(file));
}

/// A worker for a server elsewhere.
struct Remote(Child);

impl Remote {
    fn start(stage: &Stage) -> Self {
        let mut command = Command::new(real_worker());
        command.args(["--origin", &format!("http://{}", stage.server().gateway())]);
        Self(command.stdin(Stdio::null()).spawn().expect("it starts"))
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The rendition has all pictures of the title at their times, and segments that begin together.
fn complete(stage: &Stage, title: &str, tracks: &[&str]) {
    let times = |track: &str| {
        let url = stage.url(title, &format!("{track}/index.m3u8"));
        let args = [
            "-v",
            "error",
            "-select_streams",
            "v:0",
            "-show_entries",
            "packet=pts,flags",
            "-of",
            "csv=p=0",
            &url,
        ];
        let (ok, out, err) = run("ffprobe", &args, LONG);
        assert!(ok && err.is_empty(), "{track}: {err}");
        let mut rows: Vec<(i64, bool)> = out
            .lines()
            .filter_map(|l| {
                l.split_once(',').and_then(|(at, flags)| Some((at.parse().ok()?, flags.starts_with('K'))))
            })
            .collect();
        rows.sort_unstable();
        rows
    };
    let want = times("v1");
    assert_eq!(want.len(), 40 * 30);
    let lengths = |track: &str| {
        let list = playlist(stage.server(), &format!("/vod/{title}/{track}/index.m3u8")).expect("a playlist");
        segments(&list).iter().map(|s| format!("{:.3}", s.0)).collect::<Vec<_>>()
    };
    for track in tracks {
        let got = times(track);
        let differs = got.iter().zip(&want).position(|(a, b)| a != b);
        assert!(got.len() == want.len() && differs.is_none(), "{track}: {} {differs:?}", got.len());
        assert_eq!(lengths(track), lengths("v1"), "{track}");
    }
    let master = playlist(stage.server(), &format!("/vod/{title}/index.m3u8")).expect("a playlist");
    assert_eq!(master.matches("#EXT-X-STREAM-INF").count(), 1 + tracks.len(), "{master}");
    let decoded = crate::encoder::decode(&stage.url(title, &format!("{}/index.m3u8", tracks[0])), 60);
    assert!(decoded.ok && decoded.video == 1200 && decoded.complaints.is_empty(), "{decoded:?}");
}

#[test]
fn a_worker_that_is_killed_costs_a_piece_and_nothing_else() {
    let stage = staged("ladder", &settings(1, LITTLE));
    clip(&stage, "show.mp4");
    assert_eq!(ask(&stage, "GET", "show").0, 404);
    // A player that has begun goes on with the names that it was given.
    let old = playlist(stage.server(), "/vod/show/v1/index.m3u8").expect("a playlist");
    let _remote = Remote::start(&stage);
    let (status, told) = ask(&stage, "POST", "show");
    assert!(status == 202 && told["chunks"] == 3, "{status} {told}");
    until(&stage, "show", "half made", |t| t["percent"].as_f64() > Some(20.0));
    // The one may just be at its end: then the next.
    let killed = eventually(PATIENCE, || {
        let worker = children(stage.server()).pop()?.to_string();
        let killed = Command::new("kill").args(["-9", &worker]).status().expect("kill runs").success();
        killed.then(|| until(&stage, "show", "told why", |t| !t["reason"].is_null() || t["state"] == "ready"))
    });
    let told = killed.expect("a worker");
    assert!(told["reason"].as_str().is_some_and(|why| why.contains("its worker died: signal: 9")), "{told}");
    let done = until(&stage, "show", "made", |t| t["state"] == "ready" || t["state"] == "failed");
    assert_eq!(done["state"], "ready", "{done}");
    complete(&stage, "show", &["v2", "v3"]);
    for (_, name) in segments(&old) {
        assert_eq!(stage.get(&format!("/vod/show/v1/{name}")).status, 200, "{name}");
    }
    assert_eq!(ask(&stage, "DELETE", "show").0, 204);
    let master = playlist(stage.server(), "/vod/show/index.m3u8").expect("a playlist");
    assert_eq!(master.matches("#EXT-X-STREAM-INF").count(), 1, "{master}");
}

#[test]
fn a_server_that_is_killed_goes_on_where_it_was() {
    let mut stage = staged("ladder-again", &settings(1, LITTLE));
    clip(&stage, "show.mp4");
    assert_eq!(ask(&stage, "POST", "show").0, 202);
    let before = until(&stage, "show", "begun", |t| t["chunks_done"].as_u64() > Some(0));
    stage.server().signal("KILL");
    if let Some(mut server) = stage.server.take() {
        server.terminate("KILL");
    }
    stage.server = Some(Server::configured_in(&stage.data, &settings(1, LITTLE)));
    let after = until(&stage, "show", "there", |t| t["chunks"].is_u64());
    assert!(after["chunks_done"].as_u64() >= before["chunks_done"].as_u64(), "{before} {after}");
    until(&stage, "show", "made", |t| t["state"] == "ready");
    complete(&stage, "show", &["v2", "v3"]);
}

#[test]
fn what_cannot_be_played_is_made_into_something_that_can() {
    let stage = staged("ladder-old", &settings(1, "{ lines = 90, preset = \"ultrafast\" }"));
    ffmpeg(&format!("{} -c:v mpeg4 -bf 2 -g 30 -c:a aac", source(6)), &stage.file("old.mp4"));
    let first = stage.get("/vod/old/index.m3u8");
    let told = String::from_utf8_lossy(&first.body).into_owned();
    assert!(
        first.status == 503 && first.header("retry-after").is_some() && told.contains("% are done"),
        "{told}"
    );
    let ready = eventually(PATIENCE, || Some(stage.get("/vod/old/index.m3u8")).filter(|r| r.status == 200));
    let ready = ready.unwrap_or_else(|| panic!("{}\n{}", ask(&stage, "GET", "old").1, stage.server().log()));
    assert!(String::from_utf8_lossy(&ready.body).contains("avc1."), "{ready:?}");
    let decoded = crate::encoder::decode(&stage.url("old", "index.m3u8"), 60);
    assert!(decoded.ok && decoded.video == 180 && decoded.audio > 270, "{decoded:?}");
}

/// Ten minutes by two workers, then again with one of them killed half-way:
/// `NEXUS_TEST_LONG_VOD=1 cargo test --test system ladders:: -- --nocapture`.
#[test]
fn ten_minutes_with_a_killed_worker_are_made_all_the_same() {
    if std::env::var_os("NEXUS_TEST_LONG_VOD").is_none() {
        return;
    }
    let rungs = "{ lines = 360 }, { lines = 240 }";
    let stage = staged("ladder-long", &settings(2, rungs));
    let how = "-c:v libx264 -preset ultrafast -g 60 -c:a aac";
    ffmpeg(&format!("{} -s 854x480 {how}", source(600)), &stage.file("long.mp4"));
    let patience = Duration::from_secs(1_800);
    let is_lost = || {
        let page = http::get(stage.server().origin(), "/metrics").expect("an answer").body;
        !String::from_utf8_lossy(&page).contains("\nnexus_jobs_chunks_failed_total 0\n")
    };
    let make = |kill: bool| {
        let begun = Instant::now();
        assert_eq!(ask(&stage, "POST", "long").0, 202);
        if kill {
            eventually(patience, || ask(&stage, "GET", "long").1["percent"].as_f64().filter(|p| *p > 50.0));
            // The one may just be at its end: then the next.
            let lost = eventually(PATIENCE, || {
                let worker = children(stage.server()).pop()?.to_string();
                let killed =
                    Command::new("kill").args(["-9", &worker]).status().expect("kill runs").success();
                killed.then(|| eventually(Duration::from_secs(2), || is_lost().then_some(())))?
            });
            lost.expect("a piece is made again");
        }
        let ready = eventually(patience, || (ask(&stage, "GET", "long").1["state"] == "ready").then_some(()));
        ready.unwrap_or_else(|| panic!("{}", ask(&stage, "GET", "long").1));
        let took = begun.elapsed();
        assert_eq!(packets(&stage.url("long", "v2/index.m3u8"), "0:v:0").len(), 18_000);
        assert_eq!(ask(&stage, "DELETE", "long").0, 204);
        took
    };
    let (plain, killed) = (make(false), make(true));
    eprintln!(
        "600 s of 480p into 360p and 240p by 2 workers: {plain:?}, with one killed half-way {killed:?}, {:.2} times as long",
        killed.as_secs_f64() / plain.as_secs_f64()
    );
}
