//! What a ladder costs beside the one ffmpeg command that does the same work with the same settings of the encoders.
//!
//! 1080p30 to 720, 480 and 360 lines of H.264 (`veryfast`) and AAC: CPU seconds, frames, key frames, and how much each
//! rung looks like its source. `--quick` takes 10 s instead of 60; `--seconds N` as many.
#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "a benchmark reads the real clock and fails by panic"
)]

mod measure;
#[path = "../tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use measure::{Options, say, say_machine};
use nx_media::{AudioCodec, VIDEO_TIMESCALE, VideoCodec};
use nx_worker_protocol::{Device, Filters, Output, Rung, Sound};
use support::worker::{Source, Worker};

/// Width, height and bit rate.
const RUNGS: [(u16, u16, u32); 3] = [(1280, 720, 2_800_000), (854, 480, 1_200_000), (640, 360, 700_000)];
/// More than this for what ffmpeg does for 1 is too much.
const CPU_RATIO_MAX: f64 = 1.03;
const AUDIO_BPS: u32 = 128_000;

fn main() {
    let options = Options::from_args();
    say_machine();
    let seconds = options.number("--seconds").unwrap_or(if options.quick() { 10 } else { 60 });
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-ladder");
    std::fs::create_dir_all(&folder).expect("a folder");
    let clip = source(&folder, seconds);
    // The quieter of two of each: others use the machine as well.
    let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
    let mut made = None;
    for _ in 0..2 {
        theirs = theirs.min(ffmpeg(&clip));
        let (cpu_s, files) = worker(&clip);
        (ours, made) = (ours.min(cpu_s), Some(files));
    }
    let ratio = ours / theirs;
    let verdict = if ratio <= CPU_RATIO_MAX { "holds" } else { "does not hold" };
    say(&format!(
        "CPU of {seconds} s: worker {ours:.2} s, ffmpeg {theirs:.2} s: {ratio:.3} of it ({CPU_RATIO_MAX} {verdict})"
    ));
    for (index, file) in made.iter().flatten().enumerate() {
        compare(&clip, RUNGS[index], file, &theirs_at(&clip, index));
    }
}

/// 1080p30 with B-frames and a key frame each 2 s.
fn source(folder: &Path, seconds: usize) -> PathBuf {
    let path = folder.join(format!("source-{seconds}.mp4"));
    if !path.exists() {
        let video = format!("testsrc2=s=1920x1080:r=30:d={seconds},noise=alls=6:allf=t");
        let audio =
            format!("anoisesrc=r=48000:a=0.2:c=pink:seed=1:d={seconds},aformat=channel_layouts=stereo");
        let inputs = ["-f", "lavfi", "-i", &video, "-f", "lavfi", "-i", &audio];
        let coded = "-c:v libx264 -preset veryfast -g 60 -sc_threshold 0 -bf 2 -b:v 8M -pix_fmt yuv420p -c:a aac -b:a 128k";
        run(Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y"])
            .args(inputs)
            .args(coded.split(' '))
            .arg(&path));
    }
    path
}

fn theirs_at(clip: &Path, index: usize) -> PathBuf {
    clip.with_file_name(format!("theirs-{index}.mp4"))
}

/// CPU seconds of ffmpeg.
fn ffmpeg(clip: &Path) -> f64 {
    let scaled: String =
        (0..).zip(RUNGS).map(|(n, (w, h, _))| format!(";[{n}]scale={w}:{h}:flags=bicubic[v{n}]")).collect();
    let ways: String = (0..RUNGS.len()).map(|n| format!("[{n}]")).collect();
    let graph = format!("[0:v]split={}{ways}{scaled}", RUNGS.len());
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "info", "-benchmark", "-nostdin", "-y", "-threads", "1", "-i"]).arg(clip);
    command.args(["-filter_complex_threads", "1", "-filter_complex", &graph]);
    for (n, (_, _, bps)) in RUNGS.into_iter().enumerate() {
        let (peak, buffer, bps) = (peak(bps).to_string(), peak(bps).to_string(), bps.to_string());
        command.args([
            "-map",
            &format!("[v{n}]"),
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-tune",
            "zerolatency",
        ]);
        command.args(["-b:v", &bps, "-maxrate", &peak, "-bufsize", &buffer, "-threads", "1"]);
        command.args(["-x264-params", "keyint=infinite:scenecut=0", "-bf", "0", "-forced-idr", "1"]);
        command.args(["-force_key_frames", "source", "-fps_mode", "passthrough"]);
        if n == 0 {
            command.args(["-map", "0:a", "-c:a", "aac", "-b:a", &AUDIO_BPS.to_string()]);
        }
        command.arg(theirs_at(clip, n));
    }
    let told = run(&mut command);
    let number = |name: &str| {
        let rest = told.rsplit(&format!("{name}=")).next().and_then(|rest| rest.split('s').next());
        rest.and_then(|n| n.parse::<f64>().ok()).unwrap_or_else(|| panic!("ffmpeg tells no {name}: {told}"))
    };
    number("utime") + number("stime")
}

fn peak(bps: u32) -> u32 {
    bps / 2 * 3
}

fn outputs() -> Vec<Output> {
    let rung = |(width, height, bitrate_bps)| {
        Output::Rung(Rung {
            codec: VideoCodec::Avc,
            width,
            height,
            bitrate_bps,
            peak_bps: peak(bitrate_bps),
            buffer_ms: 1000,
            halved: false,
            device: Device::Software,
            profile: 0,
            threads: 1,
            preset: "veryfast".into(),
        })
    };
    let sound = Sound {
        codec: AudioCodec::Aac,
        bitrate_bps: AUDIO_BPS,
        channels: 2,
        sample_rate: 48_000,
        evened: false,
    };
    RUNGS.into_iter().map(rung).chain([Output::Sound(sound)]).collect()
}

/// CPU seconds of the worker, and its rungs as files.
fn worker(clip: &Path) -> (f64, Vec<PathBuf>) {
    let requests = Source::load(clip).requests(Filters::default(), outputs());
    let mut worker = Worker::start();
    let begun = Instant::now();
    let made = worker.make(requests);
    let cpu_s = cpu_s(worker.id());
    assert!(made.flushed, "the worker died");
    let lag = made.loads.iter().map(|load| load.taken - load.coded).max().unwrap_or(0);
    say(&format!(
        "worker: {:.2} s by the clock, at most {} ms between what was taken and what was coded",
        begun.elapsed().as_secs_f64(),
        lag * 1000 / i64::from(VIDEO_TIMESCALE)
    ));
    let rungs = outputs().into_iter().zip(made.outputs).enumerate().take(RUNGS.len());
    let save = |(index, (output, track)): (usize, (Output, support::worker::Track))| {
        assert_eq!(track.refused, None);
        let file = clip.with_file_name(format!("ours-{index}.mp4"));
        track.save(&output, &file);
        file
    };
    (cpu_s, rungs.map(save).collect())
}

/// Of all threads, also of those that ended: user and system time in ticks of 10 ms.
fn cpu_s(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let behind = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// Frames, times of key frames, and likeness to the source, of both.
fn compare(clip: &Path, (width, height, _): (u16, u16, u32), ours: &Path, theirs: &Path) {
    let [a, b] = [ours, theirs].map(|file| (packets(file), psnr(clip, width, height, file), bits(file)));
    let same = if a.0 == b.0 { "the same" } else { "DIFFERENT" };
    let (frames, keys) = (a.0.len(), a.0.iter().filter(|(_, key)| *key).count());
    say(&format!(
        "{height} lines: {frames} frames, {keys} key frames, at {same} times as ffmpeg's {}; \
         PSNR {:.2} dB, ffmpeg {:.2} dB ({:+.2} %); {} kbit/s, ffmpeg {}",
        b.0.len(),
        a.1,
        b.1,
        (a.1 / b.1 - 1.0) * 100.0,
        a.2,
        b.2,
    ));
}

/// What ffprobe tells of the packets of the picture, a line each.
fn probe(file: &Path, entries: &str) -> String {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", "v", "-show_entries", entries, "-of", "csv=p=0"]);
    run(command.arg(file))
}

/// Times in milliseconds from the first, and which are key frames.
fn packets(file: &Path) -> Vec<(i64, bool)> {
    let told = probe(file, "packet=pts_time,flags");
    let packet = |line: &str| {
        let (time, flags) = line.split_once(',')?;
        Some(((time.parse::<f64>().ok()? * 1000.0).round() as i64, flags.starts_with('K')))
    };
    let packets: Vec<(i64, bool)> = told.lines().filter_map(packet).collect();
    let first = packets.first().map_or(0, |(at, _)| *at);
    packets.into_iter().map(|(at, key)| (at - first, key)).collect()
}

/// Kilobits per second of the picture, over all.
fn bits(file: &Path) -> u64 {
    let told = probe(file, "packet=size,duration_time");
    let packet = |line: &str| {
        let (time, size) = line.split_once(',')?;
        Some((time.parse::<f64>().ok()?, size.trim_end_matches(',').parse::<f64>().ok()?))
    };
    let (time, size) =
        told.lines().filter_map(packet).fold((0.0, 0.0), |(t, s), (time, size)| (t + time, s + size));
    (size * 8.0 / time / 1000.0).round() as u64
}

fn psnr(clip: &Path, width: u16, height: u16, made: &Path) -> f64 {
    let number = "settb=1/30,setpts=N";
    let graph = format!("[0:v]scale={width}:{height}:flags=bicubic,{number}[a];[1:v]{number}[b];[b][a]psnr");
    let mut command = Command::new("ffmpeg");
    command.arg("-nostdin").arg("-i").arg(clip).arg("-i").arg(made);
    let told = run(command.args(["-lavfi", &graph, "-f", "null", "-"]));
    let average = told.rsplit("average:").next().and_then(|rest| rest.split(' ').next());
    average.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("ffmpeg tells no PSNR: {told}"))
}

/// What a command says, on either way out.
fn run(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}; `make bench` installs it"));
    let text = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(done.status.success(), "{command:?}: {text}");
    text
}
