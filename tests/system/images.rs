//! Pictures of streams: what was sent is what is shown, whatever becomes of the worker that draws it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use nx_media::VideoCodec;
use nx_worker_protocol::{Grid, Reply as Said, Request};

use crate::api::{SOON, multivariant, playlist};
use crate::encoder::{Process, SMALL, eventually, ffmpeg, ffmpeg_new, fresh, run, scratch};
use crate::store::{over, send};
use crate::support::Server;
use crate::support::ffmpeg::{Kind, clip};
use crate::support::http::{self, Reply};
use crate::support::worker::{Worker, real_worker};

/// What a worker says when it is ready.
pub(crate) const HELLO: &str = r"printf '\000\000\000\003\200\000\003'";

/// A worker of our own, in shell.
pub(crate) fn script(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("worker.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    path
}

fn with_worker(worker: &Path, patience_ms: u32) -> Server {
    let worker = worker.display();
    Server::configured(&format!(
        "[origin.images]\nworker = \"{worker}\"\npatience_ms = {patience_ms}\n[origin.stream]\nwindow_segments = 3\n"
    ))
}

fn get(server: &Server, path: &str) -> Reply {
    http::get(server.edge(), path).unwrap_or_else(|e| panic!("{path}: {e}: {}", server.log()))
}

fn jpeg(server: &Server, path: &str) -> Vec<u8> {
    let reply = get(server, path);
    let told = String::from_utf8_lossy(&reply.body[..reply.body.len().min(400)]).into_owned();
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("image/jpeg")), "{path}: {told}");
    assert!(reply.body.starts_with(&[0xff, 0xd8]) && reply.body.ends_with(&[0xff, 0xd9]), "{path}");
    reply.body
}

/// The first picture of a file as ffmpeg sees it: red, green and blue.
fn pixels(file: &Path, filter: &str) -> Vec<u8> {
    let raw = file.with_extension("rgb");
    let (from, to) = (file.to_str().expect("a path"), raw.to_str().expect("a path"));
    let args = [
        "-v",
        "error",
        "-y",
        "-threads",
        "1",
        "-i",
        from,
        "-frames:v",
        "1",
        "-vf",
        filter,
        "-f",
        "rawvideo",
        to,
    ];
    let (ok, _, err) = run("ffmpeg", &args, SOON);
    assert!(ok, "{from} {filter}: {err}");
    std::fs::read(raw).expect("pixels")
}

/// How alike two pictures are, dB.
fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert!(a.len() == b.len() && !a.is_empty(), "{} and {} bytes", a.len(), b.len());
    let square = |(a, b): (&u8, &u8)| f64::from(a.abs_diff(*b)).powi(2);
    let mean = a.iter().zip(b).map(square).sum::<f64>() / a.len() as f64;
    10.0 * (255.0 * 255.0 / mean.max(1e-6)).log10()
}

const SMALL_RGB: &str = "scale=320:180:flags=bicubic,format=rgb24";

/// The thumbnail of the first listed segment and that segment's first picture, in dB.
fn likeness(server: &Server, key: &str) -> f64 {
    let folder = scratch(&format!("images-{}", key.replace('/', "-")));
    let text = eventually(SOON, || {
        playlist(server, &format!("/{key}/v1/index.m3u8")).filter(|t| t.matches("#EXTINF").count() > 1)
    });
    let text = text.unwrap_or_else(|| panic!("{key} is not live: {}", server.log()));
    let line = |start: &str| text.lines().find_map(|l| l.strip_prefix(start)).expect("a tag").to_owned();
    let map = line("#EXT-X-MAP:URI=\"");
    let (map, date) = (map.trim_end_matches('"'), line("#EXT-X-PROGRAM-DATE-TIME:"));
    let segment = text.lines().find(|l| l.ends_with(".m4s") && !l.starts_with('#')).expect("a segment");
    let media = [map, segment].map(|name| get(server, &format!("/{key}/v1/{name}")).body).concat();
    let (film, thumb) = (folder.join("sent.mp4"), folder.join("thumb.jpg"));
    std::fs::write(&film, media).expect("a file");
    std::fs::write(&thumb, jpeg(server, &format!("/{key}/thumbnail.jpg?width=320&time={date}")))
        .expect("a file");
    psnr(&pixels(&film, SMALL_RGB), &pixels(&thumb, SMALL_RGB))
}

#[test]
fn a_thumbnail_is_what_was_sent_and_goes_on_with_the_stream() {
    real_worker();
    let server = Server::start(&[]);
    let _encoder = ffmpeg(server.rtmp(), "live/thumb", SMALL);
    multivariant(&server, "live/thumb");
    let first = get(&server, "/live/thumb/thumbnail.jpg");
    assert_eq!(first.status, 200, "{}", String::from_utf8_lossy(&first.body));
    let tag = first.header("etag").expect("a tag").to_owned();
    let like = likeness(&server, "live/thumb");
    assert!(like > 30.0, "{like} dB");
    let small = scratch("images-width").join("small.jpg");
    std::fs::write(&small, jpeg(&server, "/live/thumb/thumbnail.jpg?width=160")).expect("a file");
    assert_eq!(pixels(&small, "format=rgb24").len(), 160 * 90 * 3);
    let other = || {
        let reply = get(&server, "/live/thumb/thumbnail.jpg");
        (reply.status == 200 && reply.header("etag") != Some(&tag)).then_some(reply.body)
    };
    let later = eventually(SOON, other).unwrap_or_else(|| panic!("it stands still: {}", server.log()));
    assert_ne!(later, first.body);
    let poster = get(&server, "/live/thumb/poster.jpg");
    assert_eq!((poster.status, poster.header("content-type")), (200, Some("image/jpeg")));
    // The first who asks pays for all.
    let made = || {
        let metrics = http::get(server.origin(), "/metrics").expect("an answer").body;
        let metrics = String::from_utf8_lossy(&metrics).into_owned();
        let line =
            metrics.lines().find_map(|l| l.strip_prefix("nexus_images_made_total ")?.parse::<u64>().ok());
        line.unwrap_or_else(|| panic!("{metrics}"))
    };
    let before = made();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| jpeg(&server, "/live/thumb/thumbnail.jpg?width=1280"));
        }
    });
    assert!((1..=3).contains(&(made() - before)), "{before} {}", made());
}

#[test]
fn every_codec_has_thumbnails() {
    real_worker();
    let server = Server::start(&[]);
    for (key, codec) in [
        ("live/h265", &["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error"][..]),
        ("live/av1", &["-c:v", "libsvtav1", "-preset", "12", "-pix_fmt", "yuv420p"]),
        (
            "live/vp9",
            &["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-lag-in-frames", "0"],
        ),
    ] {
        let mut command = Command::new(ffmpeg_new());
        command
            .args(["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30"])
            .args(codec);
        command.args(["-g", "60", "-b:v", "500k", "-f", "flv", &format!("rtmp://{}/{key}", server.rtmp())]);
        let _encoder = Process::start(command.stderr(Stdio::null()));
        let like = likeness(&server, key);
        assert!(like > 27.0, "{key}: {like} dB");
    }
}

#[test]
fn without_a_worker_it_says_how_to_get_one_and_pages_do_without() {
    let server = with_worker(Path::new("/nowhere/nexus-transcoder"), 5_000);
    let _encoder = ffmpeg(server.rtmp(), "live/none", SMALL);
    multivariant(&server, "live/none");
    let reply = get(&server, "/live/none/thumbnail.jpg");
    let told = String::from_utf8_lossy(&reply.body).into_owned();
    assert_eq!(reply.status, 501, "{told}");
    assert!(told.contains("/nowhere/nexus-transcoder") && told.contains("make transcoder"), "{told}");
    assert_eq!(get(&server, "/live/none/poster.jpg").status, 204);
    assert!(playlist(&server, "/live/none/v1/index.m3u8").is_some());
}

/// Processes that a server started.
pub(crate) fn children(server: &Server) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).into_iter().flatten().flatten();
    let of =
        |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
    tasks
        .map(of)
        .flat_map(|list| list.split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn media_sequence(server: &Server, key: &str) -> u64 {
    let text = playlist(server, &format!("/{key}/v1/index.m3u8")).expect("a playlist");
    assert!(!text.contains("#EXT-X-DISCONTINUITY\n") && !text.contains("#EXT-X-GAP"), "{text}");
    crate::api::numbers(&text).0
}

#[test]
fn a_worker_that_hangs_costs_the_picture_and_nothing_else() {
    let folder = scratch("images-hang");
    let worker = script(&folder, &format!("{HELLO}; exec sleep 1000"));
    let server = with_worker(&worker, 500);
    let _encoder = ffmpeg(server.rtmp(), "live/hang", SMALL);
    multivariant(&server, "live/hang");
    let before = media_sequence(&server, "live/hang");
    let reply = get(&server, "/live/hang/thumbnail.jpg");
    let told = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(reply.status == 503 && reply.header("retry-after").is_some(), "{} {told}", reply.status);
    assert!(told.contains("no-picture"), "{told}");
    assert_eq!(children(&server), Vec::<u32>::new(), "it was killed, and no zombie is left");
    let on = || (media_sequence(&server, "live/hang") > before).then_some(());
    assert!(eventually(SOON * 2, on).is_some(), "the stream goes on: {}", server.log());
}

#[test]
fn a_worker_that_is_killed_is_replaced_and_the_picture_comes() {
    let folder = scratch("images-kill");
    let marker = folder.join("second");
    let _ = std::fs::remove_file(&marker);
    let text = format!(
        "if [ -e {0} ]; then exec {1}; fi; : > {0}; {HELLO}; exec sleep 1000",
        marker.display(),
        real_worker().display()
    );
    let server = with_worker(&script(&folder, &text), 60_000);
    let _encoder = ffmpeg(server.rtmp(), "live/kill", SMALL);
    multivariant(&server, "live/kill");
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| jpeg(&server, "/live/kill/thumbnail.jpg"));
        let busy = || children(&server).first().copied().filter(|_| marker.exists());
        let pid = eventually(SOON, busy).expect("a worker").to_string();
        // Until it is `sleep`, it may not have said what it is.
        let sleeps =
            || std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c.trim() == "sleep");
        assert!(eventually(SOON, || sleeps().then_some(())).is_some());
        assert!(Command::new("kill").args(["-9", &pid]).status().expect("kill runs").success());
        asked.join().expect("a picture");
    });
    assert_eq!(children(&server).len(), 1, "{}", server.log());
}

#[test]
fn a_key_frame_that_kills_workers_is_refused() {
    let folder = scratch("images-deadly");
    // Dies when it is shown anything.
    let worker = script(&folder, &format!("{HELLO}; head -c 12 >/dev/null; exit 1"));
    let server = with_worker(&worker, 5_000);
    let _encoder = ffmpeg(server.rtmp(), "live/deadly", SMALL);
    multivariant(&server, "live/deadly");
    let reply = get(&server, "/live/deadly/thumbnail.jpg");
    let told = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(reply.status == 422 && told.contains("workers died over it"), "{} {told}", reply.status);
    let metrics = http::get(server.origin(), "/metrics").expect("an answer").body;
    assert!(String::from_utf8_lossy(&metrics).contains("\nnexus_images_crashes_total 3\n"));
    assert!(playlist(&server, "/live/deadly/v1/index.m3u8").is_some());
}

/// Cues of an index: sheet, and left, top, width and height.
fn cues(index: &str) -> Vec<(String, f64, [u32; 4])> {
    let mut cues = Vec::new();
    for block in index.split("\n\n").filter(|b| b.contains(" --> ")) {
        let (span, picture) = block.trim().split_once('\n').expect("two lines");
        let begins = span.split(" --> ").next().expect("a time");
        let seconds =
            begins.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().expect("a number"));
        let (sheet, place) = picture.split_once("#xywh=").expect("a place");
        let place: Vec<u32> = place.split(',').map(|n| n.parse().expect("a number")).collect();
        cues.push((sheet.to_owned(), seconds, place.try_into().expect("four")));
    }
    cues
}

#[test]
fn sheets_show_in_each_cell_what_was_on_then() {
    real_worker();
    let data = fresh(&format!("images-sheets-{}", std::process::id()));
    let kept = [("NEXUS__ORIGIN__STORE__KEEP_S", "3600"), ("NEXUS__ORIGIN__STREAM__RECONNECT_S", "1")];
    let server = Server::in_folder(&data, &kept);
    let _sent = send(&server, &clip(8, Kind::Small), "live/sheet");
    let recording = over(&server, "live/sheet");
    let view = recording["hls_path"].as_str().and_then(|p| p.split_once('?')).expect("a view").1;
    let begins: f64 =
        view.split('&').next().and_then(|f| f.strip_prefix("start=")?.parse().ok()).expect("a time");
    let index = get(&server, &format!("/live/sheet/sprites.vtt?{view}"));
    assert_eq!(index.header("content-type"), Some("text/vtt"));
    let index = String::from_utf8(index.body).expect("text");
    let cues = cues(&index);
    assert!((3..=4).contains(&cues.len()), "{index}");
    let mut sheet_bytes = Vec::new();
    for (sheet, at_s, [x, y, width, height]) in &cues {
        assert_eq!((*width, *height), (160, 90), "{index}");
        let (sheet_file, thumb) = (data.join("sheet.jpg"), data.join("thumb.jpg"));
        sheet_bytes = jpeg(&server, &format!("/live/sheet/{sheet}"));
        std::fs::write(&sheet_file, &sheet_bytes).expect("a file");
        let at = begins + at_s + 0.001;
        let path = format!("/live/sheet/thumbnail.jpg?width=160&time={at:.3}");
        std::fs::write(&thumb, jpeg(&server, &path)).expect("a file");
        let tile = pixels(&sheet_file, &format!("format=rgb24,crop=160:90:{x}:{y}"));
        let like = psnr(&tile, &pixels(&thumb, "format=rgb24"));
        assert!(like > 32.0, "{like} dB at {at_s} s of {index}");
    }
    drop(server);
    // Made once: another process needs no worker for it.
    let idle = [kept[0], kept[1], ("NEXUS__ORIGIN__IMAGES__WORKER", "/nowhere")];
    let server = Server::in_folder(&data, &idle);
    let sheet = &cues.last().expect("a cue").0;
    assert_eq!(jpeg(&server, &format!("/live/sheet/{sheet}")), sheet_bytes);
    assert_eq!(get(&server, &format!("/live/sheet/thumbnail.jpg?time={begins}")).status, 501);
    std::fs::remove_dir_all(data).expect("removes");
}

/// A picture of 160 pixels; what went wrong; `None` when the worker died.
fn picture(
    worker: &mut Worker,
    codec: VideoCodec,
    config: &Bytes,
    sample: &[u8],
) -> Option<Result<Bytes, String>> {
    let sample = Bytes::copy_from_slice(sample);
    worker.say(&Request::Sheet(Grid { columns: 1, rows: 1, width: 160, height: 0 }));
    worker.say(&Request::Draw { cell: 0, codec, config: config.clone(), sample });
    worker.say(&Request::Finish);
    match (worker.hear()?, worker.hear()?) {
        (Said::Drawn, Said::Jpeg(jpeg)) => Some(Ok(jpeg)),
        (Said::Failed(why), Said::Failed(_)) => Some(Err(why)),
        other => panic!("{other:?}"),
    }
}

/// Configuration record and first key frame of what ffmpeg encodes.
fn key_frame(source: &str, name: &str, more: &[&str]) -> (Bytes, Bytes) {
    let file = scratch("images-poison").join(format!("{name}.mp4"));
    let to = file.to_str().expect("a path");
    let args = ["-v", "error", "-y", "-f", "lavfi", "-i", source, "-frames:v", "1", "-c:v", "libx264"];
    let fast = ["-preset", "ultrafast", "-threads", "1", "-movflags", "frag_keyframe+empty_moov", to];
    let (ok, _, err) = run("ffmpeg", &[&args[..], more, &fast].concat(), SOON * 3);
    assert!(ok, "{err}");
    let all = Bytes::from(std::fs::read(file).expect("a file"));
    let find = |name: &[u8]| all.windows(4).position(|w| w == name).expect("a box");
    let body = |at: usize| {
        let len = u32::from_be_bytes(all[at - 4..at].try_into().expect("four")) as usize;
        all.slice(at + 4..at - 4 + len)
    };
    (body(find(b"avcC")), body(find(b"mdat")))
}

#[test]
fn poisonous_bitstreams_have_a_stated_result() {
    let (config, sample) = key_frame("testsrc2=size=320x180", "good", &[]);
    let mut worker = Worker::start();
    let mut draw = |sample: &[u8]| picture(&mut worker, VideoCodec::Avc, &config, sample);
    assert!(draw(&sample).is_some_and(|r| r.is_ok()));
    let (mut seed, mut failed) = (1_u64, 0);
    for round in 0..300 {
        let mut bad = sample.to_vec();
        for _ in 0..=round % 9 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (seed >> 33) as usize % bad.len();
            bad[at] = (seed >> 25) as u8;
        }
        bad.truncate(if round % 3 == 0 { bad.len() * (round % 100) / 100 } else { bad.len() });
        failed += usize::from(draw(&bad).expect("it lives").is_err());
    }
    assert!((1..300).contains(&failed), "{failed} of 300");
    assert!(draw(&sample).is_some_and(|r| r.is_ok()), "it is as good as new");
    // Nothing that is called something else, nor nothing at all.
    for codec in [VideoCodec::Hevc, VideoCodec::Av1, VideoCodec::Vp9] {
        for sample in [&sample[..], &[]] {
            assert!(picture(&mut worker, codec, &config, sample).is_some_and(|r| r.is_err()), "{codec:?}");
        }
    }
    let (config, bomb) = key_frame("color=size=8192x8192", "bomb", &[]);
    let told = picture(&mut worker, VideoCodec::Avc, &config, &bomb).expect("it lives");
    assert!(told.is_err(), "more than 8K");
    let (config, odd) = key_frame("testsrc2=size=34x66,format=yuv444p10", "odd", &[]);
    assert!(
        picture(&mut worker, VideoCodec::Avc, &config, &odd).is_some_and(|r| r.is_ok()),
        "4:4:4 with 10 bits"
    );
}

#[test]
fn pictures_are_upright_and_in_shape() {
    let mut worker = Worker::start();
    let halves = "color=white:size=128x64,drawbox=x=64:w=64:h=64:color=black:t=fill";
    let mut drawn = |name: &str, source: &str, more: &[&str]| {
        let (config, sample) = key_frame(source, name, more);
        let jpeg =
            picture(&mut worker, VideoCodec::Avc, &config, &sample).expect("it lives").expect("a picture");
        let file = scratch("images-shape").join(format!("{name}.jpg"));
        std::fs::write(&file, jpeg).expect("a file");
        pixels(&file, "format=gray")
    };
    let plain = drawn("plain", halves, &[]);
    assert_eq!((plain.len(), plain[0] > 250, plain[127] < 5), (128 * 64, true, true), "as it is");
    // Turned to the left, the white is below; to the right, above.
    for (angle, white_above) in [("90", false), ("270", true)] {
        let turn = format!("h264_metadata=display_orientation=insert:rotate={angle}");
        let turned = drawn(&format!("turned-{angle}"), halves, &["-bsf:v", &turn]);
        assert_eq!(turned.len(), 64 * 128);
        assert_eq!(
            (turned[64 * 4 + 32] > 250, turned[64 * 124 + 32] > 250),
            (white_above, !white_above),
            "{angle}"
        );
    }
    // Pixels twice as wide as high.
    assert_eq!(drawn("wide", &format!("{halves},scale=64:64,setsar=2"), &[]).len(), 128 * 64);
}
