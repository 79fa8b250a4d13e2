//! Several inputs for one stream, and the slate when there is none.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::api::{SOON, multivariant, numbers, playlist, until};
use crate::encoder::{SMALL, Source, eventually, ffmpeg, run, scratch};
use crate::support::Server;
use crate::support::worker::real_worker;

/// A key frame each second.
const QUICK: Source = Source { extra: &["-g", "30"], ..SMALL };

fn is(role: &str, state: &str) -> impl Fn(&Value) -> bool {
    move |stream| {
        let inputs = stream["inputs"].as_array().into_iter().flatten();
        inputs.clone().any(|i| i["role"] == role && i["state"] == state)
    }
}

/// Waits for `more` segments after the one that is the last now; none may be counted back.
fn goes_on(server: &Server, key: &str, more: u64) -> String {
    let path = format!("/{key}/v1/index.m3u8");
    let begin = numbers(&playlist(server, &path).expect("a playlist"));
    let mut seen = begin;
    let text = eventually(SOON, || {
        let text = playlist(server, &path)?;
        let now = numbers(&text);
        assert!(now.0 >= seen.0 && now.1 >= seen.1, "{seen:?}, then {now:?}: {text}");
        seen = now;
        (now.1 >= begin.1 + more).then_some(text)
    });
    text.unwrap_or_else(|| panic!("stands still after {seen:?}: {}", server.log()))
}

/// Decodes everything that is in the window, over all changes of input.
fn from_the_beginning(server: &Server, key: &str) {
    for view in ["v1/index.m3u8", "a1/index.m3u8", "ts/index.m3u8"] {
        let url = format!("http://{}/{key}/{view}", server.edge());
        let args = ["-v", "error", "-live_start_index", "0", "-t", "8", "-i", &url, "-f", "null", "-"];
        let (ok, _, err) = run("ffmpeg", &args, Duration::from_secs(30));
        assert!(ok && err.is_empty(), "{view}: {err}");
    }
}

#[test]
fn the_backup_takes_over_and_the_primary_comes_back() {
    let server = Server::start(&[("NEXUS__ORIGIN__STREAM__INPUT_WELL_MS", "2000")]);
    let primary = ffmpeg(server.rtmp(), "live/two", QUICK);
    multivariant(&server, "live/two");
    let _backup = ffmpeg(server.rtmp(), "live/two?input=backup", QUICK);
    until(&server, "live/two", "guarded", |s| is("primary", "on_air")(s) && is("backup", "standby")(s));
    primary.signal("KILL");
    let since = Instant::now();
    let live = until(&server, "live/two", "on the backup", is("backup", "on_air"));
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    assert_eq!(
        (&live["state"], &live["publisher"]["protocol"]),
        (&"live".into(), &"rtmp".into()),
        "{live:#}"
    );
    let text = goes_on(&server, "live/two", 2);
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{text}");
    drop(primary);
    let _again = ffmpeg(server.rtmp(), "live/two", QUICK);
    until(&server, "live/two", "well again", |s| is("primary", "standby")(s) && is("backup", "on_air")(s));
    let since = Instant::now();
    let live = until(&server, "live/two", "on the primary", |s| {
        is("primary", "on_air")(s) && is("backup", "standby")(s)
    });
    assert!(since.elapsed() > Duration::from_millis(1_500), "not at once: {:?}", since.elapsed());
    assert_eq!(live["switches"], 2, "{live:#}");
    goes_on(&server, "live/two", 2);
    from_the_beginning(&server, "live/two");
}

#[test]
fn a_primary_that_falls_silent_gives_way_too() {
    let server = Server::start(&[]);
    let primary = ffmpeg(server.rtmp(), "live/mute", QUICK);
    let _backup = ffmpeg(server.rtmp(), "live/mute?input=backup", QUICK);
    until(&server, "live/mute", "guarded", |s| is("primary", "on_air")(s) && is("backup", "standby")(s));
    multivariant(&server, "live/mute");
    // Stopped, not ended: as after a pulled cable.
    primary.signal("STOP");
    let since = Instant::now();
    until(&server, "live/mute", "on the backup", is("backup", "on_air"));
    let took = since.elapsed();
    primary.signal("CONT");
    // A second of silence and, at worst, a second until a key frame.
    assert!(took > Duration::from_millis(500) && took < Duration::from_millis(2_500), "{took:?}");
}

#[test]
fn the_slate_is_shown_while_nobody_sends() {
    let slate = scratch("slate").join("slate.ts");
    let name = slate.display().to_string();
    let mut args = vec!["-v", "error", "-y", "-f", "lavfi", "-i", "color=blue:size=320x180:rate=30", "-f"];
    args.extend(["lavfi", "-i", "anullsrc=sample_rate=48000:channel_layout=mono", "-t", "4", "-c:v"]);
    args.extend(["libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "60", "-c:a", "aac", &name]);
    let (ok, _, err) = run("ffmpeg", &args, Duration::from_secs(20));
    assert!(ok, "{err}");
    let server = Server::configured(&format!(
        "[[origin.stream.policies]]\nname = \"live/*\"\nslate = \"{name}\"\nslate_after_ms = 500\nslate_s = 60\n"
    ));
    let first = ffmpeg(server.rtmp(), "live/show", SMALL);
    multivariant(&server, "live/show");
    drop(first);
    until(&server, "live/show", "on the slate", |s| s["state"] == "slate");
    goes_on(&server, "live/show", 2);
    from_the_beginning(&server, "live/show");
    let _second = ffmpeg(server.rtmp(), "live/show", SMALL);
    until(&server, "live/show", "live again", |s| s["state"] == "live" && is("primary", "on_air")(s));
    goes_on(&server, "live/show", 2);
    from_the_beginning(&server, "live/show");
}

#[test]
fn the_last_picture_stands_still_while_nobody_sends() {
    let server = Server::start(&[]);
    let first = ffmpeg(server.rtmp(), "live/still", SMALL);
    multivariant(&server, "live/still");
    drop(first);
    let stands = |s: &Value| s["repairs"]["kinds"].to_string().contains("\"still\"");
    let told = until(&server, "live/still", "standing", stands);
    assert_eq!((&told["state"], &told["inputs"]), (&"reconnecting".into(), &Value::Array(Vec::new())));
    goes_on(&server, "live/still", 3);
    from_the_beginning(&server, "live/still");
    let _second = ffmpeg(server.rtmp(), "live/still", SMALL);
    let told = until(&server, "live/still", "live again", |s| s["state"] == "live");
    assert_eq!(told["inputs"].as_array().map(Vec::len), Some(1), "{told:#}");
    assert!(stands(&told), "{told:#}");
    goes_on(&server, "live/still", 2);
    from_the_beginning(&server, "live/still");
}

/// The newest picture of a track: red, green and blue, 320 x 180.
fn newest(server: &Server, key: &str) -> Vec<u8> {
    let raw = scratch("slate-seen").join("picture.rgb");
    let (url, to) = (format!("http://{}/{key}/v1/index.m3u8", server.edge()), raw.display().to_string());
    let args =
        ["-v", "error", "-y", "-live_start_index", "-1", "-i", &url, "-frames:v", "1", "-f", "rawvideo"];
    let (ok, _, err) =
        run("ffmpeg", &[&args[..], &["-pix_fmt", "rgb24", &to]].concat(), Duration::from_secs(20));
    assert!(ok, "{err}");
    std::fs::read(raw).expect("a picture")
}

#[test]
fn pictures_and_clips_are_shown_in_the_streams_own_parameters() {
    let folder = scratch("slate-made");
    let make = |name: &str, args: &[&str]| {
        let path = folder.join(name).display().to_string();
        let (ok, _, err) = run(
            "ffmpeg",
            &[&["-v", "error", "-y", "-f", "lavfi", "-i"], args, &[&path]].concat(),
            Duration::from_secs(20),
        );
        assert!(ok, "{err}");
        path
    };
    let picture = make("slate.png", &["color=red:s=640x480", "-frames:v", "1"]);
    let clip = ["color=red:s=640x480:r=25", "-t", "2", "-c:v", "libx264", "-preset", "ultrafast", "-g", "50"];
    let clip = make("slate.ts", &clip);
    let policy = |name: &str, slate: &str| {
        format!(
            "[[origin.stream.policies]]\nname = \"live/{name}\"\nslate = {slate:?}\nslate_after_ms = 500\nslate_s = 60\n"
        )
    };
    let server = Server::configured(&format!(
        "[origin.images]\nworker = {:?}\n{}{}",
        real_worker(),
        policy("picture", &picture),
        policy("clip", &clip)
    ));
    let keys = ["live/picture", "live/clip"];
    let encoders = keys.map(|key| ffmpeg(server.rtmp(), key, SMALL));
    keys.iter().for_each(|key| _ = multivariant(&server, key));
    drop(encoders);
    for key in keys {
        let told = until(&server, key, "on the slate", |s| s["state"] == "slate");
        assert!(!told["hints"].to_string().contains("slate"), "{told:#}");
        let red = eventually(SOON, || {
            let seen = newest(&server, key);
            let at = |x: usize| seen.get((90 * 320 + x) * 3..).and_then(|p| p.first_chunk::<3>().copied());
            let (edge, middle) = (at(10)?, at(160)?);
            (edge.iter().all(|n| *n < 10) && middle[0] > 220 && middle[1] < 40).then_some(())
        });
        assert!(red.is_some(), "{key}: the picture with black edges: {}", server.log());
        goes_on(&server, key, 2);
        let text = multivariant(&server, key);
        assert!(text.contains("RESOLUTION=320x180") && !text.contains("640x480"), "{key}: {text}");
        from_the_beginning(&server, key);
        let told = until(&server, key, "on the slate", |s| s["state"] == "slate");
        assert!(!told["repairs"]["kinds"].to_string().contains("silence"), "{told:#}");
    }
    let _again = ffmpeg(server.rtmp(), "live/picture", SMALL);
    until(&server, "live/picture", "live again", |s| s["state"] == "live" && is("primary", "on_air")(s));
    goes_on(&server, "live/picture", 2);
    from_the_beginning(&server, "live/picture");
}
