//! Clips made by the real ffmpeg, once per build folder.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Changes when the recipes below do, so that old clips are not taken for new ones.
const RECIPE: u32 = 1;
const NOISE: &str = "anoisesrc=sample_rate=48000:amplitude=0.2:color=pink:seed=1";
const SINE: &str = "sine=frequency=440:sample_rate=48000";

/// What a clip holds. All have key frames every 2 s, closed GOPs, and AAC-LC at 48 kHz in stereo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 1280x720 at 30 fps, 3 Mbit/s constant, no B-frames, AAC at 128 kbit/s: what peers are measured with.
    Broadcast,
    /// The same at 1.1 Mbit/s: a part of a third of a second has 50 KB.
    Parts,
    /// The same at 4 Mbit/s: a segment of two seconds has 1 MB.
    Segments,
    /// 320x180 at 30 fps, no B-frames.
    Small,
    /// The same with three B-frames in a row.
    Bframes,
    /// Sound alone.
    AudioOnly,
    /// Pictures alone.
    VideoOnly,
}

/// Path of an FLV file of that kind and length; made when it is not there yet.
pub(crate) fn clip(seconds: u32, kind: Kind) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&folder).expect("the folder of the build can be written");
    let path = folder.join(format!("clip-{RECIPE}-{kind:?}-{seconds}.flv").to_lowercase());
    if path.exists() {
        return path;
    }
    // Made under another name first: who looks meanwhile must not find half a clip.
    let draft = path.with_extension(format!("{}.part", std::process::id()));
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-y"]).args(arguments(kind));
    command.args(["-t", &seconds.to_string(), "-f", "flv"]).arg(&draft).stdin(Stdio::null());
    let done = command.status().expect("ffmpeg runs; `make test` installs it");
    assert!(done.success(), "ffmpeg made no clip: {command:?}");
    std::fs::rename(&draft, &path).expect("a clip is renamed");
    path
}

fn arguments(kind: Kind) -> Vec<&'static str> {
    let (pictures, sound) = (kind != Kind::AudioOnly, kind != Kind::VideoOnly);
    let mut all = Vec::new();
    if pictures {
        all.extend(["-f", "lavfi", "-i", source(kind)]);
    }
    if sound {
        all.extend(["-f", "lavfi", "-i", SINE, "-f", "lavfi", "-i", NOISE]);
        // Noise on one side: a sine alone needs far less than the bit rate.
        let merge = if pictures { "[1:a][2:a]amerge=inputs=2[a]" } else { "[0:a][1:a]amerge=inputs=2[a]" };
        all.extend(["-filter_complex", merge, "-map", "[a]", "-c:a", "aac", "-ar", "48000", "-ac", "2"]);
        all.extend(["-b:a", if kind == Kind::Broadcast { "128k" } else { "64k" }]);
    }
    if pictures {
        all.extend(["-map", "0:v", "-c:v", "libx264", "-preset", "superfast", "-profile:v", "high"]);
        all.extend(["-pix_fmt", "yuv420p", "-g", "60", "-keyint_min", "60", "-sc_threshold", "0"]);
        all.extend(["-flags", "+cgop", "-bf", if kind == Kind::Bframes { "3" } else { "0" }]);
        all.extend(["-b_strategy", "0"]);
        all.extend(match kind {
            Kind::Broadcast => ["-b:v", "3M", "-minrate", "3M", "-maxrate", "3M", "-bufsize", "1500k"],
            Kind::Parts => ["-b:v", "1150k", "-minrate", "1150k", "-maxrate", "1150k", "-bufsize", "400k"],
            Kind::Segments => ["-b:v", "4M", "-minrate", "4M", "-maxrate", "4M", "-bufsize", "2M"],
            _ => ["-b:v", "300k", "-minrate", "0", "-maxrate", "400k", "-bufsize", "400k"],
        });
    }
    all
}

/// Noise makes the picture worth its bits: without it the encoder stays below the rate.
fn source(kind: Kind) -> &'static str {
    match kind {
        Kind::Broadcast | Kind::Parts | Kind::Segments => {
            "testsrc2=size=1280x720:rate=30,noise=alls=14:allf=t"
        }
        _ => "testsrc2=size=320x180:rate=30",
    }
}
