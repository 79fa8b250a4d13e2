//! Ladders: what is made of a stream is in step with it, and whatever becomes of the worker, the stream is not touched.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::api::{SOON, multivariant, numbers, playlist, stream, tracks, until};
use crate::encoder::{Process, Source, decode, eventually, ffmpeg, ffmpeg_to, run, scratch};
use crate::images::{HELLO, children, script};
use crate::strict::right;
use crate::support::server::nexus_bin;
use crate::support::worker::real_worker;
use crate::support::{Server, http};

mod long;

const HD: Source = Source { video: Some("1280x720"), audio: true, extra: &[] };
const TWO: &str = "[[origin.ladder]]\nstreams = \"live/*\"\nrungs = [{ lines = 480, preset = \"ultrafast\" }, { lines = 360, preset = \"ultrafast\" }]\n";
/// What takes little, where it does not matter how much is made: other tests want the machine too.
const LITTLE: Source = Source { video: Some("480x270"), audio: true, extra: &[] };
const LITTLE_TWO: &str = "[[origin.ladder]]\nstreams = \"live/*\"\nrungs = [{ lines = 180, preset = \"ultrafast\" }, { lines = 90, preset = \"ultrafast\" }]\n";

/// Time for what a worker does on a busy machine.
const LONG: Duration = Duration::from_secs(30);

/// Ladders of `live/*` with the real worker, of which nothing is given up because the machine is busy.
fn server(ladder: &str, limits: &str, more: &str) -> Server {
    Server::configured(&format!(
        "[origin.images]\nworker = {:?}\n{ladder}[origin.transcoder]\nlag_max_ms = 30000\n{limits}\n{more}",
        real_worker()
    ))
}

fn running(server: &Server, key: &str) -> Value {
    let on = |s: &Value| s["ladder"]["state"] == "running" && s["ladder"]["worker"].is_u64();
    until(server, key, "running", on)["ladder"].clone()
}

/// The multivariant playlist, once it has so many pictures.
fn variants(server: &Server, key: &str, count: usize) -> String {
    let found = eventually(LONG, || {
        playlist(server, &format!("/{key}/index.m3u8"))
            .filter(|text| text.matches("#EXT-X-STREAM-INF").count() == count)
    });
    found.unwrap_or_else(|| {
        panic!("{key} has no {count} variants: {:?}\n{}", stream(server, key), server.log())
    })
}

/// Presentation times and key frames of segments, by number.
type Segments = BTreeMap<u64, Vec<(i64, bool)>>;

/// The listed segments of a track; those of the newest are missing.
fn segments(server: &Server, key: &str, track: &str) -> Segments {
    let mut all = Segments::new();
    gather(server, key, track, &mut all);
    all
}

/// Adds those that are not there.
fn gather(server: &Server, key: &str, track: &str, all: &mut Segments) {
    let text = playlist(server, &format!("/{key}/{track}/index.m3u8")).expect("a playlist");
    let map = text.split("#EXT-X-MAP:URI=\"").nth(1).and_then(|m| m.split('"').next()).expect("a header");
    let fetch = |name: &str| http::get(server.edge(), &format!("/{key}/{track}/{name}")).expect("it").body;
    let file = scratch("ladder").join(format!("{track}-{}.mp4", std::process::id()));
    let names = text.lines().filter(|l| l.ends_with(".m4s") && !l.starts_with('#'));
    for name in names {
        let msn = name.split('.').next().and_then(|n| n.parse().ok()).expect("a number");
        if all.contains_key(&msn) {
            continue;
        }
        std::fs::write(&file, [fetch(map), fetch(name)].concat()).expect("a file");
        let args = ["-v", "error", "-show_entries", "packet=pts,flags", "-of", "csv=p=0"];
        let (ok, out, err) = run("ffprobe", &[&args[..], &[file.to_str().expect("a path")]].concat(), SOON);
        assert!(ok && err.is_empty(), "{track} {name}: {err}");
        let line = |l: &str| {
            let (pts, flags) = l.split_once(',').expect("two fields");
            (pts.parse().expect("a number"), flags.starts_with('K'))
        };
        all.insert(msn, out.lines().map(line).collect());
    }
}

/// Errors that the doctor finds in a list.
fn doctor(url: &str) -> String {
    let nexus = nexus_bin();
    let args = ["doctor", url, "--seconds", "10", "--format", "json"];
    let (_, out, err) = run(nexus.to_str().expect("a path"), &args, LONG * 2);
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
    report.to_string()
}

#[test]
fn every_rung_has_the_frames_and_key_frames_of_the_source() {
    let server = server(TWO, "", "");
    let key = "live/steps";
    let _encoder = ffmpeg(server.rtmp(), key, HD);
    let text = variants(&server, key, 3);
    for want in [
        "RESOLUTION=1280x720",
        "RESOLUTION=854x480,FRAME-RATE=30.000",
        "RESOLUTION=640x360,FRAME-RATE=30.000",
    ] {
        assert!(text.contains(want), "{text}");
    }
    multivariant(&server, key);
    // A machine that is too busy leaves pictures out, but none is elsewhere.
    let whole = || {
        let [one, two, three] = ["v1", "v2", "v3"].map(|track| segments(&server, key, track));
        let whole = |rung: &Segments| {
            let both = rung.iter().filter_map(|(msn, frames)| Some((one.get(msn)?, frames)));
            let same = both.filter(|(source, made)| {
                assert!(source.len() == 60 && source[0].1, "{source:?}");
                assert!(source.starts_with(made), "times and key frames: {source:?} {made:?}");
                source == made
            });
            same.count()
        };
        (whole(&two) > 2 && whole(&three) > 2).then_some(())
    };
    eventually(LONG * 2, whole)
        .unwrap_or_else(|| panic!("not whole: {:#}", stream(&server, key).expect("on")));
    for track in ["v2", "v3"] {
        let decoded = decode(&format!("http://{}/{key}/{track}/index.m3u8", server.edge()), 4);
        assert!(decoded.ok && decoded.complaints.is_empty() && decoded.video >= 90, "{track}: {decoded:?}");
    }
    right(&server, key);
    for path in ["index.m3u8", "manifest.mpd"] {
        let report = doctor(&format!("http://{}/{key}/{path}", server.edge()));
        assert!(!report.contains("\"error\""), "{path}: {report}");
    }
    let manifest = playlist(&server, &format!("/{key}/manifest.mpd")).expect("a manifest");
    assert_eq!(manifest.matches("<Representation ").count(), 4, "{manifest}");
    // Who plays otherwise gets what was sent.
    let rtmp = format!("rtmp://{}/{key}", server.rtmp());
    let srt = format!("srt://{}?streamid=read:{key}", server.srt());
    for url in [&rtmp, &srt] {
        let args = ["-v", "error", "-show_entries", "stream=codec_type,width", "-of", "csv=p=0", url];
        let (ok, out, err) = run("ffprobe", &args, LONG);
        let mut streams: Vec<&str> = out.lines().filter(|l| !l.is_empty() && *l != "data").collect();
        streams.sort_unstable();
        streams.dedup();
        assert!(ok && streams == ["audio", "video,1280"], "{url}: {out}{err}");
    }
    let told = running(&server, key);
    assert_eq!((told["crashes"].as_u64(), told["rungs"][0]["encoder"].as_str()), (Some(0), Some("libx264")));
    let all = stream(&server, key).expect("it is on");
    assert_eq!(all["tracks"].as_array().map(Vec::len), Some(4));
    assert_eq!(all["discontinuities"], 0);
    let metrics = http::get(server.origin(), "/metrics").expect("an answer").body;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    assert!(metrics.contains(&format!("nexus_transcoder_up{{stream=\"{key}\"}} 1\n")), "{metrics}");
}

/// What the process has open.
fn open_files(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).map_or(0, Iterator::count)
}

/// Children that have ended and nobody has buried.
fn zombies(server: &Server) -> usize {
    let state = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    children(server).iter().filter(|pid| state(pid).contains(") Z ")).count()
}

#[test]
fn a_worker_that_is_killed_again_and_again_costs_its_rungs_a_gap_and_the_source_nothing() {
    let server = server(LITTLE_TWO, "crashes_max = 20", "");
    let key = "live/killed";
    let _encoder = ffmpeg(server.rtmp(), key, LITTLE);
    variants(&server, key, 3);
    let mut worker = running(&server, key)["worker"].as_u64().expect("a process");
    let (before, files) = (playlist(&server, &format!("/{key}/v1/index.m3u8")), open_files(&server));
    let (first, _) = numbers(&before.expect("a playlist"));
    for nth in 1..=5_u64 {
        assert!(
            Command::new("kill").args(["-9", &worker.to_string()]).status().expect("kill runs").success()
        );
        let another = |s: &Value| {
            s["ladder"]["state"] == "running" && s["ladder"]["worker"].as_u64().is_some_and(|w| w != worker)
        };
        let told = until(&server, key, "with another worker", another);
        assert_eq!(told["ladder"]["crashes"].as_u64(), Some(nth), "{told:#}");
        worker = told["ladder"]["worker"].as_u64().expect("a process");
        // Until its pictures come.
        let parts = |n: u64| {
            let text = playlist(&server, &format!("/{key}/v2/index.m3u8"))?;
            let reached = text.rsplit("TYPE=PART,URI=\"").next()?.split('.').next()?.parse::<u64>().ok()?;
            (reached >= n).then_some(reached)
        };
        let now = parts(0).expect("a list");
        let on = || {
            parts(now + 2)
                .filter(|_| stream(&server, key).is_some_and(|s| s["ladder"]["lag_ms"].as_u64() < Some(1500)))
        };
        eventually(LONG, on).unwrap_or_else(|| panic!("the rung does not come back: {}", server.log()));
    }
    let source = playlist(&server, &format!("/{key}/v1/index.m3u8")).expect("a playlist");
    assert!(!source.contains("#EXT-X-GAP") && !source.contains("#EXT-X-DISCONTINUITY\n"), "{source}");
    assert!(numbers(&source).0 > first, "{source}");
    let held = segments(&server, key, "v1");
    assert!(held.values().all(|frames| frames.len() == 60), "{held:?}");
    right(&server, key);
    assert_eq!((zombies(&server), children(&server).len()), (0, 1));
    assert!(open_files(&server) <= files + 4, "{} of {files}", open_files(&server));
    let all = stream(&server, key).expect("it is on");
    assert_eq!((all["discontinuities"].as_u64(), all["state"].as_str()), (Some(0), Some("live")));
}

#[test]
fn a_ladder_whose_workers_die_too_often_is_given_up_and_says_why() {
    let server = server(LITTLE_TWO, "crashes_max = 2\ncrashes_s = 60", "");
    let key = "live/dying";
    let _encoder = ffmpeg(server.rtmp(), key, LITTLE);
    variants(&server, key, 3);
    for _ in 0..2 {
        let worker = running(&server, key)["worker"].clone();
        assert!(
            Command::new("kill").args(["-9", &worker.to_string()]).status().expect("kill runs").success()
        );
        let gone = |s: &Value| s["ladder"]["worker"] != worker;
        until(&server, key, "without it", gone);
    }
    let told = until(&server, key, "given up", |s| s["ladder"]["state"] == "dropped");
    let reason = told["ladder"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("died 2 times within 60 s") && reason.contains("SIGKILL"), "{reason}");
    assert_eq!(children(&server), Vec::<u32>::new());
    // Its rungs are gaps, and leave the list when nothing else is held.
    let text = eventually(LONG, || {
        playlist(&server, &format!("/{key}/v2/index.m3u8")).filter(|t| t.contains("#EXT-X-GAP"))
    });
    assert!(text.is_some(), "{}", server.log());
    variants(&server, key, 1);
    let source = playlist(&server, &format!("/{key}/v1/index.m3u8")).expect("a playlist");
    assert!(!source.contains("#EXT-X-GAP") && !source.contains("#EXT-X-DISCONTINUITY\n"), "{source}");
    right(&server, key);
}

#[test]
fn without_a_worker_the_stream_plays_and_says_what_is_missing() {
    let server = Server::configured(&format!("[origin.images]\nworker = \"/nowhere/worker\"\n{LITTLE_TWO}"));
    let key = "live/alone";
    let _encoder = ffmpeg(server.rtmp(), key, LITTLE);
    let text = multivariant(&server, key);
    assert_eq!(tracks(&text), ["a1", "v1"], "{text}");
    let told = until(&server, key, "given up", |s| s["ladder"]["state"] == "dropped");
    let reason = told["ladder"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("/nowhere/worker") && reason.contains("make transcoder"), "{reason}");
    assert_eq!(told["discontinuities"], 0);
}

#[test]
fn a_worker_that_hangs_is_killed() {
    let worker = script(&scratch("ladder-hang"), &format!("{HELLO}; exec sleep 1000"));
    let server = Server::configured(&format!(
        "[origin.images]\nworker = {worker:?}\n{LITTLE_TWO}[origin.transcoder]\ncrashes_max = 1\n"
    ));
    let key = "live/hangs";
    let _encoder = ffmpeg(server.rtmp(), key, LITTLE);
    let text = multivariant(&server, key);
    assert_eq!(tracks(&text), ["a1", "v1"], "it does not wait for it: {text}");
    let told = eventually(LONG, || stream(&server, key).filter(|s| s["ladder"]["state"] == "dropped"));
    let told = told.unwrap_or_else(|| panic!("it is not given up: {}", server.log()));
    let reason = told["ladder"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("said nothing for"), "{reason}");
    assert_eq!((children(&server), told["discontinuities"].as_u64()), (Vec::new(), Some(0)));
}

#[test]
fn one_worker_too_many_is_refused_with_a_reason() {
    let server = server(LITTLE_TWO, "workers_max = 1", "");
    let _first = ffmpeg(server.rtmp(), "live/first", LITTLE);
    running(&server, "live/first");
    let _second = ffmpeg(server.rtmp(), "live/second", LITTLE);
    multivariant(&server, "live/second");
    let told = until(&server, "live/second", "refused", |s| s["ladder"]["state"] == "refused");
    assert!(told["ladder"]["reason"].as_str().is_some_and(|r| r.contains("workers_max")), "{told:#}");
    // Other names have none, and say nothing of it.
    let _third = ffmpeg(server.rtmp(), "plain/third", LITTLE);
    multivariant(&server, "plain/third");
    assert!(stream(&server, "plain/third").is_some_and(|s| s.get("ladder").is_none()));
}

#[test]
fn rungs_of_an_encrypted_stream_are_encrypted() {
    let folder: PathBuf = scratch(&format!("ladder-keys-{}", std::process::id()));
    let file = folder.join("keys");
    let line = "00112233445566778899aabbccddeeff:0a1b2c3d4e5f60718293a4b5c6d7e8f9\n";
    std::fs::write(&file, line).expect("a file");
    let more = format!(
        "[origin.store]\nkeep_s = 600\n[[origin.encryption]]\nstreams = \"live/*\"\nkeys = \"static\"\nfile = {file:?}\n"
    );
    let server = server(LITTLE_TWO, "", &more);
    let key = "live/shut";
    let _encoder = ffmpeg(server.rtmp(), key, LITTLE);
    variants(&server, key, 3);
    multivariant(&server, key);
    for track in ["v1", "v2", "v3"] {
        let text = playlist(&server, &format!("/{key}/{track}/index.m3u8")).expect("a playlist");
        assert!(text.contains("#EXT-X-KEY:METHOD=SAMPLE-AES"), "{text}");
        let name = text.lines().find(|l| l.ends_with(".m4s") && !l.starts_with('#')).expect("a segment");
        let map = text.split("#EXT-X-MAP:URI=\"").nth(1).and_then(|m| m.split('"').next()).expect("a header");
        let get = |name: &str| http::get(server.edge(), &format!("/{key}/{track}/{name}")).expect("it").body;
        let film = folder.join(format!("{track}.mp4"));
        std::fs::write(&film, [get(map), get(name)].concat()).expect("a file");
        let film = film.to_str().expect("a path");
        let pictures = |open: &[&str]| {
            let args = [&["-v", "error"], open, &["-i", film, "-f", "framemd5", "-"]].concat();
            let (_, out, err) = run(crate::encoder::ffmpeg_new().to_str().expect("a path"), &args, SOON);
            (out.lines().filter(|l| !l.starts_with('#')).count(), err)
        };
        let (with, said) = pictures(&["-decryption_key", "0a1b2c3d4e5f60718293a4b5c6d7e8f9"]);
        assert!(with == 60 && said.is_empty(), "{track}: {with} {said}");
        assert!(!pictures(&[]).1.is_empty(), "{track} can be decoded without a key");
    }
    let ts = playlist(&server, &format!("/{key}/ts/index.m3u8")).expect("a playlist");
    assert!(ts.contains("#EXT-X-KEY:METHOD=SAMPLE-AES"), "{ts}");
    for path in ["video.mp4", "thumbnail.jpg"] {
        let status = http::get(server.edge(), &format!("/{key}/{path}")).expect("an answer").status;
        assert!(status >= 400, "{path}: {status}");
    }
    std::fs::remove_dir_all(folder).expect("removes");
}

#[test]
fn pictures_that_are_garbage_leave_the_stream_alone() {
    let server = server(LITTLE_TWO, "", "");
    let key = "live/garbage";
    let url = format!("rtmp://{}/{key}", server.rtmp());
    // One byte in 50 is another, of every frame.
    let noise = ["-bsf:v", "noise=amount=50", "-f", "flv", &url];
    let _encoder = ffmpeg_to(&noise, LITTLE);
    let source =
        || playlist(&server, &format!("/{key}/v1/index.m3u8")).filter(|t| numbers(t).1 > numbers(t).0 + 4);
    let text = eventually(LONG, source).unwrap_or_else(|| panic!("it is not on: {}", server.log()));
    assert!(!text.contains("#EXT-X-GAP") && !text.contains("#EXT-X-DISCONTINUITY\n"), "{text}");
    let told = stream(&server, key).expect("it is on");
    let stated = matches!(told["ladder"]["state"].as_str(), Some("running" | "dropped"));
    let damaged = told["ladder"]["damaged"].as_u64() > Some(0) || told["ladder"]["reason"].is_string();
    assert!(stated && damaged, "{told:#}");
    assert_eq!((told["state"].as_str(), zombies(&server)), (Some("live"), 0));
}

#[test]
fn a_source_that_changes_its_size_gets_the_rungs_that_fit_it() {
    let server = server(TWO, "", "[origin.stream]\nreconnect_s = 20\n");
    let key = "live/sizes";
    let encoder = ffmpeg(server.rtmp(), key, HD);
    variants(&server, key, 3);
    drop(encoder);
    let small = Source { video: Some("640x360"), ..HD };
    let _encoder: Process = ffmpeg(server.rtmp(), key, small);
    let one =
        |s: &Value| s["ladder"]["state"] == "none" && s["tracks"].as_array().is_some_and(|t| t.len() == 2);
    until(&server, key, "without rungs", one);
    let none = || children(&server).is_empty().then_some(());
    assert!(eventually(SOON, none).is_some(), "the worker is gone: {:?}", children(&server));
}

#[test]
fn a_rung_that_nobody_watches_is_not_made_until_somebody_does() {
    let rung = "rungs = [{ lines = 180 }, { lines = 90, mode = \"on_demand\" }]";
    let server = Server::configured(&format!(
        "[origin.images]\nworker = {:?}\n[origin.stream]\nwindow_segments = 3\n[origin.transcoder]\nlag_max_ms = 30000\n[[origin.ladder]]\nstreams = \"live/*\"\nlinger_s = 5\n{rung}\n",
        real_worker()
    ));
    let key = "live/wanted";
    let _encoder = ffmpeg(server.rtmp(), key, LITTLE);
    variants(&server, key, 3);
    let idle = |s: &Value| s["ladder"]["rungs"][1]["state"] == "idle";
    let told = until(&server, key, "idle", idle);
    assert_eq!(told["ladder"]["rungs"][0]["state"], "on");
    // Nobody has asked for long enough that it has nothing but gaps; it is offered all the same.
    let parts = |s: &Value| s["tracks"].as_array().and_then(|t| t.last()?["bitrate_bps"].as_u64());
    until(&server, key, "silent", |s| idle(s) && parts(s).is_some_and(|rate| rate < 1000));
    let (first, _) = numbers(&playlist(&server, &format!("/{key}/v1/index.m3u8")).expect("a playlist"));
    let later = || numbers(&playlist(&server, &format!("/{key}/v1/index.m3u8"))?).0.checked_sub(first + 4);
    eventually(LONG, later).expect("it goes on");
    let text = playlist(&server, &format!("/{key}/index.m3u8")).expect("a playlist");
    assert!(text.contains("RESOLUTION=160x90") && text.contains("v3/index.m3u8"), "{text}");
    // Who asks waits for its next key frame.
    let list = playlist(&server, &format!("/{key}/v3/index.m3u8")).expect("a playlist");
    assert!(list.contains("#EXT-X-GAP") && list.contains("#EXT-X-PART:"), "{list}");
    let on = |s: &Value| s["ladder"]["rungs"][1]["state"] == "on";
    until(&server, key, "on", on);
    let whole = || playlist(&server, &format!("/{key}/v3/index.m3u8")).filter(|t| !t.contains("#EXT-X-GAP"));
    eventually(LONG, whole).expect("it goes on while it is asked for");
    let decoded = decode(&format!("http://{}/{key}/v3/index.m3u8", server.edge()), 4);
    assert!(decoded.ok && decoded.video >= 60, "{decoded:?}");
    right(&server, key);
}

#[test]
fn a_hidden_source_is_announced_when_its_ladder_is_given_up() {
    let server =
        server(&format!("{LITTLE_TWO}hide_source = true\ndevice = \"auto\"\n"), "crashes_max = 1", "");
    let key = "live/hidden";
    let _encoder = ffmpeg(server.rtmp(), key, LITTLE);
    let hidden =
        |s: &Value| s["ladder"]["source"] == "hidden" && s["ladder"]["rungs"][1]["encoder"] == "libx264";
    let told = until(&server, key, "hidden", hidden);
    assert_eq!(told["ladder"]["rungs"][0]["device"], "auto", "{told:#}");
    let text = multivariant(&server, key);
    assert_eq!(tracks(&text), ["a1", "v2", "v3"], "{text}");
    assert!(!text.contains("v1/"), "{text}");
    let manifest = playlist(&server, &format!("/{key}/manifest.mpd")).expect("a manifest");
    assert!(!manifest.contains("id=\"v1\"") && manifest.contains("id=\"v2\""), "{manifest}");
    let decoded = decode(&format!("http://{}/{key}/index.m3u8", server.edge()), 4);
    assert!(decoded.ok && decoded.video >= 60, "{decoded:?}");
    right(&server, key);
    let worker = running(&server, key)["worker"].as_u64().expect("a process");
    assert!(Command::new("kill").args(["-9", &worker.to_string()]).status().expect("kill runs").success());
    let bare = |s: &Value| {
        let hint = s["hints"].to_string().contains("hide_source");
        s["ladder"]["state"] == "dropped" && s["ladder"]["source"] == "announced" && hint
    };
    until(&server, key, "announced", bare);
    let text = playlist(&server, &format!("/{key}/index.m3u8")).expect("a playlist");
    assert!(text.contains("v1/index.m3u8"), "{text}");
    let source = playlist(&server, &format!("/{key}/v1/index.m3u8")).expect("a playlist");
    assert!(!source.contains("#EXT-X-GAP") && !source.contains("#EXT-X-DISCONTINUITY\n"), "{source}");
}
