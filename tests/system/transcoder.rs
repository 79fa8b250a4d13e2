//! Ladders, made by the real worker over its pipes of streams of the real ffmpeg: what comes out has the source's times,
//! and what strangers send ends in words.

use std::path::{Path, PathBuf};

use nx_media::{AudioCodec, VideoCodec};
use nx_worker_protocol::{Device, Filters, Output, Rung, Sound};

use crate::api::SOON;
use crate::encoder::{run, scratch};
use crate::support::worker::{Made, Source, Worker};

fn rung(codec: VideoCodec, width: u16, height: u16) -> Rung {
    let preset = if codec == VideoCodec::Av1 { "12" } else { "ultrafast" };
    Rung {
        codec,
        width,
        height,
        bitrate_bps: 300_000,
        peak_bps: 450_000,
        buffer_ms: 1000,
        halved: false,
        device: Device::Software,
        threads: 1,
        preset: preset.into(),
    }
}

fn avc(width: u16, height: u16) -> Output {
    Output::Rung(rung(VideoCodec::Avc, width, height))
}

fn sound(codec: AudioCodec, sample_rate: u32) -> Output {
    Output::Sound(Sound { codec, bitrate_bps: 64_000, channels: 2, sample_rate, evened: false })
}

/// What ffmpeg makes of these arguments; the name tells the kind of file.
fn clip(name: &str, args: &[&str]) -> PathBuf {
    let path = scratch("transcoder").join(name);
    let to = path.to_str().expect("a path");
    let (ok, _, err) = run("ffmpeg", &[&["-v", "error", "-nostdin", "-y"], args, &[to]].concat(), SOON * 3);
    assert!(ok, "{err}");
    path
}

fn make(path: &Path, outputs: &[Output]) -> Made {
    let source = Source::load(path);
    Worker::start().make(source.requests(Filters::default(), outputs.to_vec()))
}

const SINE: [&str; 4] = ["-f", "lavfi", "-i", "sine=sample_rate=44100:duration=2"];
const X264: [&str; 8] = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-threads", "1"];

/// What ffprobe reads of a file: codec, width, height and number of frames that decode.
fn probed(path: &Path) -> String {
    let entries = "stream=codec_name,width,height,nb_read_frames,sample_rate";
    let file = path.to_str().expect("a path");
    let args = ["-v", "error", "-count_frames", "-show_entries", entries, "-of", "csv=p=0", file];
    let (ok, out, err) = run("ffprobe", &args, SOON * 3);
    assert!(ok && err.is_empty(), "{err}");
    out.trim().to_owned()
}

#[test]
fn rungs_have_the_times_and_the_key_frames_of_their_source() {
    let lavfi = ["-f", "lavfi", "-i", "testsrc2=s=640x360:r=25:d=2"];
    let bframes = ["-bf", "2", "-c:a", "aac"];
    let path = clip("plain.mp4", &[&lavfi[..], &SINE, &X264, &bframes].concat());
    let outputs = [
        avc(320, 180),
        Output::Rung(rung(VideoCodec::Hevc, 320, 180)),
        Output::Rung(rung(VideoCodec::Av1, 320, 180)),
        Output::Rung(Rung { halved: true, ..rung(VideoCodec::Avc, 160, 90) }),
        sound(AudioCodec::Aac, 48_000),
        sound(AudioCodec::Opus, 48_000),
    ];
    let source = Source::load(&path);
    let made = make(&path, &outputs);
    assert!(made.flushed && made.failed.is_none(), "{:?}", made.failed);
    let (_, samples) = source.video.expect("a picture");
    let mut all: Vec<i64> = samples.iter().map(|s| s.pts).collect();
    all.sort_unstable();
    let keys: Vec<i64> = samples.iter().filter(|s| s.key).map(|s| s.pts).collect();
    let halves: Vec<i64> = all.chunks(25).flat_map(|gop| gop.iter().step_by(2).copied()).collect();
    let expected = [
        (&all, "libx264", "h264,320,180,50"),
        (&all, "libx265", "hevc,320,180,50"),
        (&all, "libsvtav1", "av1,320,180,50"),
        (&halves, "libx264", "h264,160,90,26"),
    ];
    for (index, (times, encoder, told)) in expected.into_iter().enumerate() {
        let track = &made.outputs[index];
        assert_eq!(track.refused, None, "{told}");
        assert_eq!((&track.times(false), track.times(true)), (times, keys.clone()), "{told}");
        assert!(track.samples.iter().all(|s| s.dts == s.pts), "{told}");
        let ends = track.samples.iter().map(|s| s.pts + i64::from(s.duration.expect("it is known")));
        assert!(ends.zip(&times[1..]).all(|(end, next)| end == *next), "{told}");
        assert_eq!(track.opened.len(), 1, "{told}");
        assert_eq!(track.opened[0].1, encoder);
        let file = path.with_file_name(format!("plain-{index}.mp4"));
        track.save(&outputs[index], &file);
        assert_eq!(probed(&file), told);
    }
    for (index, step, about) in [(4, 1024, 94), (5, 960, 101)] {
        let track = &made.outputs[index];
        assert_eq!(track.refused, None);
        let times = track.times(false);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == step), "{times:?}");
        assert!(times.len().abs_diff(about) < 3, "{} of {about}", times.len());
        let file = path.with_file_name(format!("plain-{index}.mp4"));
        track.save(&outputs[index], &file);
        assert!(probed(&file).contains("48000"), "{}", probed(&file));
    }
    let last = made.loads.last().expect("a second passed");
    assert!(last.frames > 20 && last.damaged == 0 && last.cpu_us > 0 && last.coded <= last.taken, "{last:?}");
}
