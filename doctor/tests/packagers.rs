//! Streams of other packagers: the doctor must not call healthy ones ill.
#![expect(clippy::panic, reason = "a test fails by panic")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nx_doctor::dash::DashJudge;
use nx_doctor::evidence::Role;
use nx_doctor::media::{self, MediaJudge, SegmentSeen};
use nx_doctor::probe;
use nx_doctor::report::{Profile, Report, Severity};
use support::{Folder, SOURCE, fetch, playlist, run};

/// Whether a program can be started; says why not.
fn has(program: &str, version: &str) -> bool {
    let found = Command::new(program).arg(version).stdin(Stdio::null()).output().is_ok();
    if !found {
        eprintln!("skipped: {program} is not installed (`make test` installs it)");
    }
    found
}

/// Prints the warnings; fails on errors.
#[track_caller]
fn healthy(name: &str, report: &Report) {
    for breach in report.breaches() {
        let text = format!("{name}: {} {}: {:?}", breach.severity.name(), breach.rule.id, breach.examples);
        assert_ne!(breach.severity, Severity::Error, "{text}");
        eprintln!("{text}");
    }
}

/// Judges what a media playlist on disk lists.
fn hls(folder: &Folder, name: &str) -> Report {
    let mut report = Report::new(Profile::Hls, vec![]);
    let list = playlist(&folder.text(name));
    assert!(list.segments.len() >= 3, "{name} lists {} segments", list.segments.len());
    let init = list.map.as_deref().map(|m| probe::init(&folder.read(m)).expect("an initialization segment"));
    if let Some(init) = &init {
        media::initialization(name, init, 0, &mut report);
    }
    let mut judge = MediaJudge::default();
    for (msn, (extinf_s, discontinuity_before, url)) in (list.first_msn..).zip(&list.segments) {
        let seen = SegmentSeen {
            url,
            at_us: 0,
            msn,
            extinf_s: *extinf_s,
            target_s: list.target_s,
            part_target_s: None,
            discontinuity_before: *discontinuity_before,
            independent_segments: list.independent,
            init: init.as_ref(),
            bytes: &folder.read(url),
            parts: &[],
        };
        judge.segment(&seen, &mut report);
    }
    report
}

/// Judges what a manifest on disk lists. The presentation is read when its last segment is complete.
fn dash(folder: &Folder, name: &str) -> Report {
    let mut report = Report::new(Profile::Dash, vec![]);
    let headers = |mime: &str| {
        let all =
            [("content-type", mime), ("access-control-allow-origin", "*"), ("cache-control", "max-age=1")];
        all.map(|(n, v)| (n, v.to_owned()))
    };
    let base = "http://host/";
    let url = format!("{base}{name}");
    let start_s =
        nx_doctor::mpd::Mpd::read(&url, &folder.read(name)).expect("a manifest").start_s.unwrap_or(0.0);
    let mut judge = DashJudge::new(start_s);
    let at_s = 8.2;
    let answer =
        fetch(&url, Role::Manifest, (200, &folder.read(name)), &headers("application/dash+xml"), at_s);
    judge.take_manifest(&answer, &mut report);
    let mpd = judge.manifest().expect("a manifest that reads").clone();
    let mut segments = 0;
    for (period, _, representation) in mpd.representations() {
        let mime = representation.mime.clone().expect("a media type");
        let get = |url: &str, role| {
            let body = folder.read(url.strip_prefix(base).expect("an address of ours"));
            fetch(url, role, (200, &body), &headers(&mime), at_s)
        };
        let key = (period.id.clone().expect("an id"), representation.id.clone());
        judge.take_init(
            &key,
            &get(&mpd.initialization(representation).expect("one"), Role::Init),
            &mut report,
        );
        for segment in mpd.segments(period, representation, start_s + at_s) {
            let role = Role::Segment { msn: segment.number };
            judge.take_segment(&segment, &get(&segment.url, role), 0, &mut report);
            segments += 1;
        }
    }
    assert!(segments >= 6, "{name} lists {segments} segments");
    judge.finish(&mut report);
    report
}

#[test]
fn hls_of_ffmpeg() {
    let folder = Folder::new("ffmpeg-hls");
    let bframes = SOURCE.replace("-preset ultrafast -g 30 -bf 0", "-preset fast -g 30 -bf 2");
    for (name, options) in [
        ("fmp4", "-hls_segment_type fmp4 -hls_fmp4_init_filename i.mp4 -hls_segment_filename f%d.m4s"),
        ("ts", "-hls_flags independent_segments -hls_segment_filename t%d.ts"),
    ] {
        run(
            &folder.0,
            "ffmpeg",
            &format!("{bframes} -f hls -hls_time 1 -hls_list_size 0 {options} {name}.m3u8"),
        );
        healthy(name, &hls(&folder, &format!("{name}.m3u8")));
    }
}

#[test]
fn dash_of_ffmpeg() {
    let folder = Folder::new("ffmpeg-dash");
    let bframes = SOURCE.replace("-preset ultrafast -g 30 -bf 0", "-preset fast -g 30 -bf 2");
    let options = "-f dash -seg_duration 1 -window_size 0";
    for (name, more) in [("timeline", "-use_timeline 1"), ("template", "-use_timeline 0")] {
        run(&folder.0, "ffmpeg", &format!("{bframes} {options} {more} {name}.mpd"));
        healthy(name, &dash(&folder, &format!("{name}.mpd")));
    }
}

#[test]
fn hls_of_gstreamer() {
    if !has("gst-launch-1.0", "--version") {
        return;
    }
    let folder = Folder::new("gstreamer");
    let video = "videotestsrc num-buffers=240 ! video/x-raw,width=128,height=72,framerate=30/1 ! x264enc \
        speed-preset=ultrafast tune=zerolatency key-int-max=30 ! h264parse ! queue ! hlssink2 name=sink target-duration=1 max-files=0 \
        playlist-length=0 location=g%d.ts playlist-location=g.m3u8";
    let sound = "audiotestsrc num-buffers=375 samplesperbuffer=1024 ! audio/x-raw,rate=48000 ! avenc_aac \
        ! aacparse ! queue ! sink.audio";
    run(&folder.0, "gst-launch-1.0", &format!("-q {video} {sound}"));
    healthy("hlssink2", &hls(&folder, "g.m3u8"));
}

#[test]
fn hls_and_dash_of_shaka_packager() {
    if !has("shaka-packager", "--version") {
        return;
    }
    let folder = Folder::new("shaka");
    run(&folder.0, "ffmpeg", &format!("{SOURCE} in.mp4"));
    let stream = |kind: &str| {
        format!("in=in.mp4,stream={kind},init_segment={kind}.mp4,segment_template={kind}-$Number$.m4s")
    };
    let options = "--segment_duration 1 --mpd_output m.mpd --hls_master_playlist_output m.m3u8";
    run(&folder.0, "shaka-packager", &format!("{} {} {options}", stream("video"), stream("audio")));
    for name in ["stream_0.m3u8", "stream_1.m3u8"] {
        healthy(name, &hls(&folder, name));
    }
    healthy("shaka", &dash(&folder, "m.mpd"));
}

/// Serves the files of a folder on a port of its own, for as long as the process lives.
fn serve(folder: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let folder = folder.to_path_buf();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let folder: PathBuf = folder.clone();
            std::thread::spawn(move || answer(&stream, &folder));
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: &TcpStream, folder: &Path) {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let head: Vec<String> = lines.take_while(|l| !l.is_empty()).collect();
    let name = head.first().and_then(|l| l.split([' ', '/']).nth(2)).unwrap_or_default();
    let (status, body) = match std::fs::read(folder.join(name)) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", vec![]),
    };
    let (mime, age) = if name.ends_with(".mpd") { ("application/dash+xml", 0) } else { ("video/mp4", 60) };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {mime}\r\nContent-Length: {}\r\nCache-Control: max-age={age}\r\n\
        Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a live presentation is judged by the clock")]
async fn live_dash_of_ffmpeg() {
    let folder = Folder::new("ffmpeg-live");
    let source = SOURCE.replace("-f lavfi", "-re -f lavfi").replace("-t 8", "-t 60");
    let options = "-f dash -seg_duration 1 -window_size 6 -extra_window_size 6 -use_timeline 1 \
        -utc_timing_url http://127.0.0.1/time live.mpd";
    let mut command = Command::new("ffmpeg");
    command.current_dir(&folder.0).args(format!("{source} {options}").split_whitespace());
    let mut packager = command.stdin(Stdio::null()).spawn().expect("ffmpeg runs; `make test` installs it");
    // The first manifest lists the first segment; it is renamed into place.
    while !folder.0.join("live.mpd").exists() {
        assert_eq!(packager.try_wait().expect("a process"), None, "ffmpeg ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let url = format!("{}/live.mpd", serve(&folder.0));
    let epoch_s = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs_f64();
    let mut report = Report::new(Profile::Dash, vec![]);
    let watched = nx_doctor::dash_watch(&url, epoch_s, Duration::from_secs(8), false, &mut report).await;
    packager.kill().expect("a process that can be stopped");
    packager.wait().expect("a process that ends");
    let judged = watched.expect("a client");
    assert!(judged >= 8, "only {judged} segments of two representations were judged in 8 s");
    healthy("live", &report);
}
