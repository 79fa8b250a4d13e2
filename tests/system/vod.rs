//! Files as titles: the packets that are in the file, played by anybody; files that lie; uploads that break off.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::api::{SOON, playlist};
use crate::encoder::{ffmpeg_new, fresh, run};
use crate::players::Players;
use crate::support::{Server, http};
use crate::views::decoded;

mod hostile;
mod ladders;
mod uploads;

const LONG: Duration = Duration::from_secs(120);
const PICTURES: &str = "testsrc2=size=320x180:rate=30";
const SOUND: &str = "sine=frequency=440:sample_rate=48000";

/// A server with a folder of titles.
struct Stage {
    data: PathBuf,
    server: Option<Server>,
}

impl Stage {
    fn new(name: &str) -> Self {
        let data = fresh(&format!("vod-{name}-{}", std::process::id()));
        std::fs::create_dir_all(data.join("vod")).expect("a folder of titles");
        let server = Some(Server::in_folder(&data, &[]));
        Self { data, server }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    /// Where a title's file is.
    fn file(&self, file: &str) -> PathBuf {
        self.data.join("vod").join(file)
    }

    fn url(&self, title: &str, name: &str) -> String {
        format!("http://{}/vod/{title}/{name}", self.server().edge())
    }

    fn get(&self, path: &str) -> http::Reply {
        http::get(self.server().edge(), path).expect("an answer")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.server = None;
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// Has a tool make a file; the last argument is where.
fn make(program: &std::ffi::OsStr, arguments: &str, file: &Path) {
    let mut command = Command::new(program);
    command.args(["-nostdin", "-v", "error", "-y"]).args(arguments.split_whitespace()).arg(file);
    let done = command.status().unwrap_or_else(|e| panic!("{program:?}: {e}; `make test` installs it"));
    assert!(done.success(), "{command:?}");
}

fn ffmpeg(arguments: &str, file: &Path) {
    make("ffmpeg".as_ref(), arguments, file);
}

/// Pictures and sound of so many seconds.
fn source(seconds: u32) -> String {
    format!("-f lavfi -i {PICTURES} -f lavfi -i {SOUND} -t {seconds} -pix_fmt yuv420p -ac 2")
}

/// Hashes of the packets of a stream of a URL or file, nothing decoded; none when there is no such stream.
fn packets(url: &str, stream: &str) -> Vec<String> {
    let args = ["-v", "error", "-i", url, "-map", stream, "-c", "copy", "-f", "framehash", "-"];
    let (_, out, _) = run("ffmpeg", &args, LONG);
    let rows = out.lines().filter(|l| !l.starts_with('#'));
    // Behind the sixth field is what its container says beside it.
    rows.filter_map(|l| l.split(',').nth(5).map(|hash| hash.trim().to_owned())).collect()
}

/// How long the first stream of pictures, or of sound, is; seconds.
fn seconds(file: &str, stream: &str) -> f64 {
    let args = ["-v", "error", "-select_streams", stream, "-show_entries", "packet=pts_time,duration_time"];
    let (_, out, err) = run("ffprobe", &[&args[..], &["-of", "csv=p=0", file]].concat(), LONG);
    let row = |l: &str| {
        let (at, length) = l.split_once(',')?;
        // Of some packets ffprobe does not tell how long they are; the last is none of them.
        Some((at.parse().ok()?, length.trim_end_matches(',').parse().unwrap_or(f64::NAN)))
    };
    let times: Vec<(f64, f64)> = out.lines().filter_map(row).collect();
    let first = times.iter().map(|t| t.0).fold(f64::INFINITY, f64::min);
    let last =
        times.iter().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_else(|| panic!("{file}: {out} {err}"));
    last.0 + last.1 - first
}

/// Lengths and names of the segments that a playlist lists.
fn segments(playlist: &str) -> Vec<(f64, String)> {
    let lines: Vec<&str> = playlist.lines().collect();
    let pair = |w: &[&str]| {
        let length = w[0].strip_prefix("#EXTINF:")?.trim_end_matches(',').parse().ok()?;
        Some((length, w[1].to_owned()))
    };
    lines.windows(2).filter_map(pair).collect()
}

/// The title has what its file has, in every view.
fn same(stage: &Stage, file: &str) {
    let title = file.rsplit_once('.').expect("an ending").0;
    let path = stage.file(file);
    let path = path.to_str().expect("a path");
    let mut any = false;
    for (stream, track, kind) in [("0:v:0", "v1", "v:0"), ("0:a:0", "a1", "a:0")] {
        let want = packets(path, stream);
        if want.is_empty() {
            continue;
        }
        any = true;
        for view in ["index.m3u8", "manifest.mpd", "video.mp4"] {
            let got = packets(&stage.url(title, view), stream);
            let differs = got.iter().zip(&want).position(|(a, b)| a != b);
            let reply = stage.get(&format!("/vod/{title}/{view}"));
            assert!(
                got.len() == want.len() && differs.is_none(),
                "{file} {stream} {view}: {} of {}, {differs:?}; {} {}",
                got.len(),
                want.len(),
                reply.status,
                String::from_utf8_lossy(&reply.body[..reply.body.len().min(600)]),
            );
        }
        let list = playlist(stage.server(), &format!("/vod/{title}/{track}/index.m3u8")).expect("a playlist");
        assert!(list.contains("#EXT-X-PLAYLIST-TYPE:VOD\n") && list.ends_with("#EXT-X-ENDLIST\n"), "{list}");
        let segments = segments(&list);
        let (total, want) = (segments.iter().map(|s| s.0).sum::<f64>(), seconds(path, kind));
        // Each of the lengths is rounded to a millionth. ffprobe takes the last packet of sound for a whole one, whatever
        // the file says.
        let last = if track == "a1" { 0.03 } else { 0.002 };
        assert!((total - want).abs() < last + 1e-6 * segments.len() as f64, "{file} {track}: {total} {want}");
        let target = list.lines().find_map(|l| l.strip_prefix("#EXT-X-TARGETDURATION:")?.parse::<f64>().ok());
        let longest = segments.iter().map(|s| s.0.round()).fold(0.0, f64::max);
        assert!(target.is_some_and(|t| t >= longest && t <= longest.max(1.0)), "{target:?} {longest}");
        let twice = |name: &str| stage.get(&format!("/vod/{title}/{track}/{name}")).body;
        let name = &segments.last().expect("a segment").1;
        assert!(twice(name) == twice(name) && !twice(name).is_empty(), "the same bytes every time");
    }
    assert!(any, "{file} has nothing");
}

#[test]
fn files_of_ffmpeg_are_played_packet_by_packet() {
    let stage = Stage::new("ffmpeg");
    let x264 = "-c:v libx264 -preset superfast -g 60 -bf 3 -c:a aac";
    let make = |file: &str, how: &str| ffmpeg(&format!("{} {how}", source(9)), &stage.file(file));
    make("bframes.mp4", x264);
    let copy = |file: &str, how: &str| {
        let from = stage.file("bframes.mp4");
        ffmpeg(&format!("-i {} -c copy {how}", from.display()), &stage.file(file));
    };
    copy("faststart.mp4", "-movflags +faststart");
    copy("fragmented.mp4", "-movflags +frag_keyframe+empty_moov");
    copy("cmaf.mp4", "-movflags +frag_keyframe+empty_moov+default_base_moof+negative_cts_offsets");
    copy("late.mp4", "-output_ts_offset 3.5");
    copy("quick.mov", "");
    copy("pictures.mp4", "-an");
    copy("sound.m4a", "-vn");
    make("clock.mp4", &format!("{x264} -r 24000/1001 -video_track_timescale 30001 -ar 44100"));
    make("rare.mp4", "-c:v libx264 -preset superfast -g 1000 -keyint_min 1000 -sc_threshold 0 -c:a aac");
    make(
        "hevc.mp4",
        "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=45 -tag:v hvc1 -c:a ac3",
    );
    make(
        "hev1.mp4",
        "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=45 -tag:v hev1 -c:a eac3",
    );
    make("av1.mp4", "-c:v libsvtav1 -preset 12 -g 60 -c:a libopus");
    make("vp9.mp4", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 60 -c:a flac -strict -2");
    make("mp3.mp4", "-c:v libx264 -preset superfast -g 60 -c:a libmp3lame");
    for file in [
        "bframes.mp4",
        "faststart.mp4",
        "fragmented.mp4",
        "cmaf.mp4",
        "late.mp4",
        "quick.mov",
        "pictures.mp4",
        "sound.m4a",
        "clock.mp4",
        "rare.mp4",
        "hevc.mp4",
        "hev1.mp4",
        "av1.mp4",
        "vp9.mp4",
        "mp3.mp4",
    ] {
        same(&stage, file);
    }
}

#[test]
fn files_of_other_makers_are_played_packet_by_packet() {
    let stage = Stage::new("makers");
    let how = "-c:v libx264 -preset superfast -g 50 -c:a aac";
    make(&ffmpeg_new(), &format!("{} {how}", source(8)), &stage.file("newer.mp4"));
    let how = format!("{how} -movflags +frag_keyframe+delay_moov+hybrid_fragmented");
    make(&ffmpeg_new(), &format!("{} {how}", source(8)), &stage.file("hybrid.mp4"));
    for (file, muxer) in [
        ("gst.mp4", "mp4mux"),
        ("gst-fast.mp4", "mp4mux faststart=true"),
        ("gst-fragments.mp4", "mp4mux fragment-duration=2000"),
        ("gst.mov", "qtmux"),
    ] {
        let line = format!(
            "videotestsrc num-buffers=240 ! video/x-raw,width=320,height=180,framerate=30/1 ! \
             x264enc key-int-max=60 bframes=2 speed-preset=superfast ! h264parse ! {muxer} name=m ! filesink \
             location={} audiotestsrc num-buffers=375 samplesperbuffer=1024 ! audio/x-raw,rate=48000 ! \
             avenc_aac ! aacparse ! m.",
            stage.file(file).display()
        );
        let args: Vec<&str> = ["-q"].into_iter().chain(line.split_whitespace()).collect();
        let (ok, out, err) = run("gst-launch-1.0", &args, LONG);
        assert!(ok, "{out} {err}");
    }
    // Two titles cannot have one name.
    std::fs::rename(stage.file("gst.mov"), stage.file("gst-quick.mov")).expect("renames");
    for file in ["newer.mp4", "hybrid.mp4", "gst.mp4", "gst-fast.mp4", "gst-fragments.mp4", "gst-quick.mov"] {
        same(&stage, file);
    }
}

#[test]
fn files_of_other_kinds_are_played_too() {
    let stage = Stage::new("kinds");
    let x264 = "-c:v libx264 -preset superfast -g 60 -bf 2 -c:a aac";
    for (file, how) in [
        ("matroska.mkv", x264),
        ("web.webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 60 -c:a libopus"),
        ("flash.flv", x264),
        ("transport.ts", x264),
    ] {
        ffmpeg(&format!("{} {how}", source(9)), &stage.file(file));
        if !file.ends_with(".ts") {
            same(&stage, file);
            continue;
        }
        // Other packets, the same pictures and sound.
        let path = stage.file(file);
        for stream in ["0:v:0", "0:a:0"] {
            let want = decoded(path.to_str().expect("a path"), stream);
            assert!(want.len() > 200, "{}", want.len());
            for view in ["index.m3u8", "manifest.mpd"] {
                let got = decoded(&stage.url("transport", view), stream);
                let differs = got.iter().zip(&want).position(|(a, b)| a != b);
                assert!(got.len() == want.len() && differs.is_none(), "{stream} {view}: {differs:?}");
            }
        }
        assert_eq!(stage.get("/vod/transport/video.mp4").status, 415);
    }
}

#[test]
fn two_hours_take_no_longer_than_their_tables() {
    let stage = Stage::new("long");
    let how = "-f lavfi -i color=size=64x64:rate=5 -f lavfi -i anullsrc=r=8000:cl=mono -t 7200 \
               -c:v libx264 -preset ultrafast -g 25 -c:a aac -b:a 8k";
    ffmpeg(how, &stage.file("long.mp4"));
    same(&stage, "long.mp4");
    let list = playlist(stage.server(), "/vod/long/v1/index.m3u8").expect("a playlist");
    assert_eq!(segments(&list).len(), 1440);
    // A stretch of it, to the frame: its clock begins at 0.
    let (_, out, err) = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-show_entries",
            "format=duration",
            "-of",
            "csv=p=0",
            &stage.url("long", "video.mp4?start=3601&end=3607"),
        ],
        SOON,
    );
    assert!(out.trim().parse::<f64>().is_ok_and(|s| (s - 6.0).abs() < 0.01), "{out} {err}");
    let part = playlist(stage.server(), "/vod/long/v1/index.m3u8?start=3601&end=3607").expect("a playlist");
    assert_eq!(segments(&part).len(), 2, "{part}");
    let whole = stage.get("/vod/long/video.mp4").body;
    let range = [("range", "bytes=100000-1200000")];
    let part = http::get_with(stage.server().edge(), "/vod/long/video.mp4", &range).expect("an answer");
    assert!(part.status == 206 && part.body == whole[100_000..=1_200_000], "{}", part.status);
}

#[test]
fn browsers_play_a_title_and_the_doctor_is_silent() {
    let stage = Stage::new("players");
    let how = "-c:v libx264 -preset superfast -profile:v high -g 60 -bf 3 -c:a aac";
    ffmpeg(&format!("{} {how}", source(60)), &stage.file("show.mp4"));
    let file = stage.file("show.mp4");
    let want = decoded(file.to_str().expect("a path"), "0:v:0");
    let got = decoded(&stage.url("show", "ts/index.m3u8"), "0:v:0");
    assert!(want.len() == 1800 && got == want, "{} of {}", got.len(), want.len());
    for view in ["index.m3u8", "manifest.mpd", "ts/index.m3u8", "ts/index.m3u8?start=11&end=25"] {
        let bin = crate::support::nexus_bin();
        let args = ["doctor", &stage.url("show", view), "--ignore", "HLS-25a"];
        let (ok, out, err) = run(bin.to_str().expect("a path"), &args, LONG);
        assert!(ok && out.contains("no findings"), "{out} {err}");
    }
    let players = Players::at(&format!("http://{}/vod/show", stage.server().edge()), 6);
    for (player, fared) in players.report() {
        eprintln!("{player} {fared}");
        let clean = fared["fatal"].as_array().is_some_and(Vec::is_empty);
        assert!(clean && fared["alive"] == true, "{player}: {fared}");
    }
}

#[test]
fn a_file_that_changes_has_other_names_and_one_that_goes_has_none() {
    let stage = Stage::new("change");
    let make = |seconds| {
        let how = "-c:v libx264 -preset ultrafast -g 60 -c:a aac";
        ffmpeg(&format!("{} {how}", source(seconds)), &stage.file("draft.mp4"));
        std::fs::rename(stage.file("draft.mp4"), stage.file("show.mp4")).expect("renames");
    };
    make(5);
    let list = || playlist(stage.server(), "/vod/show/v1/index.m3u8").expect("a playlist");
    let first = segments(&list());
    let path = |name: &str| format!("/vod/show/v1/{name}");
    let old = path(&first[0].1);
    let reply = stage.get(&old);
    let cache = reply.header("cache-control").unwrap_or_default();
    assert!(reply.status == 200 && cache.contains("immutable"), "{cache}");
    make(9);
    let second = segments(&list());
    assert!(second.iter().all(|(_, name)| first.iter().all(|(_, old)| old != name)), "{second:?}");
    assert_eq!(stage.get(&old).status, 404, "another file's bytes never have this name");
    assert_eq!(stage.get(&path("0.m4s")).status, 404, "nor has anything a name that does not tell");
    assert_eq!(stage.get(&path(&second[1].1)).status, 200);
    let deep = stage.file("series/one");
    std::fs::create_dir_all(&deep).expect("a folder");
    std::fs::rename(stage.file("show.mp4"), deep.join("pilot.MP4")).expect("renames");
    assert_eq!(stage.get("/vod/show/index.m3u8").status, 404);
    assert_eq!(stage.get(&path(&second[1].1)).status, 404);
    let moved = playlist(stage.server(), "/vod/series~one~pilot/v1/index.m3u8").expect("a playlist");
    assert_eq!(segments(&moved), second, "it is the same file under another name");
}
