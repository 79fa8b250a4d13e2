//! Ladders, made by the real worker over its pipes of streams of the real ffmpeg: what comes out has the source's times,
//! and what strangers send ends in words.

use std::path::{Path, PathBuf};

use nx_media::{AudioCodec, FrameRate, Kind, Sample, VideoCodec};
use nx_worker_protocol::{
    Clock, Corner, Crop, Device, Filters, Logo, Output, Reply, Request, Rung, Slate, Sound, Text,
};

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
        profile: 0,
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
    assert!(made.flushed);
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
        for pair in track.samples.windows(2) {
            let end = pair[0].pts + i64::from(pair[0].duration.expect("it is known"));
            // That a key frame cuts the last of the halves short is known when it comes.
            assert!(end == pair[1].pts || (index == 3 && pair[1].key), "{told}: {end}, {}", pair[1].pts);
        }
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

/// A picture of 2 s at 25 frames a second, with a key frame each second, of this codec.
fn picture(name: &str, source: &str, more: &[&str]) -> PathBuf {
    clip(name, &[&["-f", "lavfi", "-i", source], &X264[..], more].concat())
}

#[test]
fn whatever_pictures_there_are_become_rungs() {
    let bars = "testsrc2=s=640x360:r=25:d=2";
    let vp9 = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"];
    let fields = ["-flags", "+ildct+ilme", "-x264-params", "interlaced=1"];
    // 2 s, of which the second has every third frame.
    let vfr = ["-vf", "select='lt(n,25)+not(mod(n,3))'", "-fps_mode", "vfr"];
    for (name, source, more, size, frames) in [
        ("odd.mp4", "testsrc2=s=321x181:r=25:d=2", &["-pix_fmt", "yuv444p"][..], (320, 180), 50),
        ("deep.mp4", bars, &["-pix_fmt", "yuv422p10le"], (320, 180), 50),
        ("full.mp4", bars, &["-pix_fmt", "yuvj420p"], (320, 180), 50),
        ("hevc.mp4", bars, &["-c:v", "libx265", "-x265-params", "log-level=none"], (320, 180), 50),
        ("av1.mkv", bars, &["-c:v", "libsvtav1", "-preset", "12"], (320, 180), 50),
        ("one.mkv", "color=s=4x4:r=25:d=2,format=yuv444p,crop=1:1:0:0:exact=1", &vp9, (2, 2), 50),
        ("vp9.mkv", bars, &vp9, (320, 180), 50),
        ("fields.mp4", bars, &fields, (320, 180), 50),
        ("anamorphic.mp4", "testsrc2=s=480x360:r=25:d=2", &["-vf", "setsar=4/3"], (320, 180), 50),
        ("upright.mp4", "testsrc2=s=360x640:r=25:d=2", &[], (320, 180), 50),
        ("vfr.mp4", bars, &vfr, (320, 180), 33),
    ] {
        let path = picture(name, source, more);
        let made = make(&path, &[avc(size.0, size.1)]);
        let (_, samples) = Source::load(&path).video.expect("a picture");
        let mut times: Vec<i64> = samples.iter().map(|s| s.pts).collect();
        times.sort_unstable();
        assert_eq!(times.len(), frames, "{name}");
        let track = &made.outputs[0];
        assert_eq!((&track.refused, track.times(false)), (&None, times), "{name}");
        let keys: Vec<i64> = samples.iter().filter(|s| s.key).map(|s| s.pts).collect();
        assert_eq!(track.times(true), keys, "{name}");
        if size.0 < 16 {
            continue;
        }
        let file = path.with_extension("made.mp4");
        track.save(&avc(size.0, size.1), &file);
        // As ffmpeg scales it, with black edges where the shape is another.
        let shape = "scale=iw*sar:ih,scale=320:180:force_original_aspect_ratio=decrease";
        let shape = format!("[0:v]{shape},pad=320:180:-1:-1,setsar=1,format=yuv420p");
        assert!(psnr(&path, &shape, &file) > 24.0, "{name}: {}", psnr(&path, &shape, &file));
    }
}

/// How much a file looks like another that is filtered like this, in dB, frame by frame.
fn psnr(from: &Path, filter: &str, made: &Path) -> f64 {
    let (from, made) = (from.to_str().expect("a path"), made.to_str().expect("a path"));
    // By number, as the containers round times.
    let number = "settb=1/25,setpts=N";
    let graph = format!("{filter},{number}[a];[1:v]{number}[b];[b][a]psnr");
    let args = ["-nostdin", "-i", from, "-i", made, "-lavfi", &graph, "-f", "null", "-"];
    let (ok, _, err) = run("ffmpeg", &args, SOON * 3);
    assert!(ok, "{err}");
    let told = err.rsplit("average:").next().and_then(|rest| rest.split(' ').next());
    match told.expect("ffmpeg tells it") {
        "inf" => 100.0,
        number => number.parse().unwrap_or_else(|e| panic!("{number}: {e}: {err}")),
    }
}

#[test]
fn what_cannot_be_done_is_said_in_words() {
    let bomb = picture("bomb.mp4", "testsrc2=s=8448x64:r=25:d=0.2", &[]);
    let made = make(&bomb, &[avc(320, 180)]);
    let why = made.outputs[0].refused.as_deref().expect("it is too wide");
    assert!(made.flushed && why.contains("8448 x 64 pixels are too many"), "{why}");
    let sounds = clip("sound.mp4", &[&SINE[..], &["-c:a", "aac"]].concat());
    let made = make(&sounds, &[avc(320, 180), sound(AudioCodec::Aac, 48_000)]);
    assert_eq!(made.outputs[0].refused.as_deref(), Some("the source has no picture"));
    assert!(made.flushed && made.outputs[1].samples.len() > 90);
    let hdr = ["-color_trc", "smpte2084", "-color_primaries", "bt2020", "-colorspace", "bt2020nc"];
    let hdr = picture(
        "hdr.mp4",
        "testsrc2=s=640x360:r=25:d=0.4",
        &[&hdr[..], &["-pix_fmt", "yuv420p10le"]].concat(),
    );
    let made = make(&hdr, &[avc(320, 180), Output::Rung(rung(VideoCodec::Hevc, 320, 180))]);
    assert!(made.outputs[0].refused.as_ref().is_some_and(|why| why.contains("high dynamic range")));
    assert_eq!((made.outputs[1].samples.len(), &made.outputs[1].refused), (10, &None));
    // No such device here: the software does it, and says so.
    let plain = picture("plain.mkv", "testsrc2=s=640x360:r=25:d=0.4", &[]);
    let devices = [Device::Nvenc, Device::Qsv, Device::Auto].map(|device| {
        [VideoCodec::Avc, VideoCodec::Hevc]
            .map(|codec| Output::Rung(Rung { device, ..rung(codec, 320, 180) }))
    });
    for track in make(&plain, &devices.concat()).outputs {
        assert_eq!((track.refused, track.samples.len()), (None, 10));
        assert!(["libx264", "libx265"].contains(&track.opened[0].1.as_str()), "{}", track.opened[0].1);
    }
    let wrong = Output::Rung(Rung { preset: "nosuch".into(), ..rung(VideoCodec::Avc, 320, 180) });
    let made = make(&plain, &[wrong]);
    assert!(made.flushed && made.outputs[0].refused.is_some());
}

#[test]
fn damage_costs_pictures_and_nothing_else() {
    let both = [&["-f", "lavfi", "-i", "testsrc2=s=640x360:r=25:d=4"], &SINE[..], &X264, &["-c:a", "aac"]];
    let path = clip("damaged.mp4", &both.concat());
    let outputs = [avc(320, 180), sound(AudioCodec::Opus, 48_000)];
    let mut seed = 1u64;
    let mut chance = |of: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).expect("small") % of.max(1)
    };
    for kind in ["cut", "flipped", "empty", "lost"] {
        let requests = Source::load(&path).requests(Filters::default(), outputs.to_vec());
        let mut worker = Worker::start();
        let damage = |request: Request, at: usize, to: u8| match request {
            // A third, but not the first of all.
            Request::Sample(of, s) if at.is_multiple_of(3) && s.dts > 0 => {
                let mut payload = s.payload.to_vec();
                let len = payload.len();
                match kind {
                    "cut" => payload.truncate(at % len),
                    "flipped" => payload[at % len] ^= to | 1,
                    "empty" => payload.clear(),
                    _ => return None,
                }
                Some(Request::Sample(of, Sample { payload: payload.into(), ..s }))
            }
            other => Some(other),
        };
        let requests: Vec<_> = requests
            .into_iter()
            .filter_map(|request| {
                damage(request, chance(usize::MAX >> 32), u8::try_from(chance(256)).unwrap_or(7))
            })
            .collect();
        let made = worker.make(requests);
        assert!(made.flushed, "{kind}: the worker died");
        for track in &made.outputs {
            assert!(track.refused.is_none() && track.samples.len() > 30, "{kind}: {:?}", track.refused);
            assert!(track.times(false).windows(2).all(|pair| pair[0] < pair[1]), "{kind}");
        }
        let damaged = made.loads.last().map_or(0, |load| load.damaged);
        assert!(damaged > 0 || ["lost", "flipped"].contains(&kind), "{kind}: nothing was counted");
        // The next run is like any other.
        let made = worker.make(Source::load(&path).requests(Filters::default(), outputs.to_vec()));
        assert_eq!(made.outputs[0].samples.len(), 100, "{kind}");
    }
}

#[test]
fn an_output_that_nobody_wants_costs_nothing_and_comes_back_at_a_key_frame() {
    let path = picture("wanted.mp4", "testsrc2=s=640x360:r=25:d=4", &[]);
    let outputs = vec![avc(320, 180), avc(160, 90)];
    let mut requests = Source::load(&path).requests(Filters::default(), outputs);
    // Off from the first, on in the middle of the second second; off again in the fourth.
    requests.insert(1, Request::Wanted { output: 1, on: false });
    requests.insert(2 + 37, Request::Wanted { output: 1, on: true });
    requests.insert(3 + 80, Request::Wanted { output: 1, on: false });
    let made = Worker::start().make(requests);
    let [all, some] = &made.outputs[..] else { panic!("{made:?}") };
    assert_eq!(all.samples.len(), 100);
    let times = all.times(false);
    assert_eq!(some.times(false), times[50..80], "from the next key frame to when it was switched off");
    assert_eq!((all.opened.len(), some.opened.len()), (1, 1));
}

#[test]
fn filters_are_seen_and_heard() {
    let path = picture("filters.mp4", "color=gray:s=640x360:r=25:d=1", &[]);
    let clock = Some(Clock { corner: Corner::TopLeft, height_percent: 10, zero_us: 0 });
    let text = Some(Text { corner: Corner::BottomLeft, height_percent: 10, text: "Nexus".into() });
    // As high as a tenth of the picture, half as opaque as it is, and transparent on its left.
    let half = "color=red:s=64x64,format=rgba[a];color=red@0:s=64x64,format=rgba[b];[b][a]hstack";
    let png = clip("logo.png", &["-f", "lavfi", "-i", half, "-frames:v", "1"]);
    let logo = Some(Logo {
        corner: Corner::BottomRight,
        height_percent: 10,
        opacity_percent: 50,
        image: std::fs::read(png).expect("a file").into(),
    });
    let filters = Filters { crop: None, clock, text, logo };
    let output = avc(640, 360);
    let made = Worker::start().make(Source::load(&path).requests(filters, vec![output.clone()]));
    let file = path.with_extension("made.mp4");
    made.outputs[0].save(&output, &file);
    let seen = |x: u16, y: u16, w: u16, h: u16| pixels(&file, &format!("crop={w}:{h}:{x}:{y}"));
    for (what, place) in [("the clock", seen(18, 18, 300, 30)), ("the text", seen(18, 312, 140, 30))] {
        let part = |good: fn(&u8) -> bool| place.iter().filter(|n| good(n)).count() * 100 / place.len();
        let (black, white) = (part(|n| *n < 50), part(|n| *n > 200));
        assert!(
            black > 20 && white > 20 && black + white > 80,
            "{what}: {black} % are black, {white} % white"
        );
    }
    // 72 x 36 pixels from (558, 314) on.
    let logo = average(&seen(600, 320, 24, 24));
    assert!(logo[0].abs_diff(188) < 20 && logo[1].abs_diff(60) < 20, "half red, half grey: {logo:?}");
    let clear = average(&seen(564, 320, 24, 24));
    assert!(clear.iter().all(|n| n.abs_diff(128) < 6), "{clear:?}");
    assert!(seen(200, 100, 300, 100).iter().all(|n| n.abs_diff(128) < 5), "the rest is as it was");
    // Nothing but the right half.
    let halves = "color=red:s=320x360:r=25:d=1[a];color=blue:s=320x360:r=25:d=1[b];[a][b]hstack";
    let path = picture("halves.mp4", halves, &[]);
    let crop = Some(Crop { left: 320, top: 0, width: 320, height: 360 });
    let (filters, output) = (Filters { crop, ..Filters::default() }, avc(160, 180));
    let made = Worker::start().make(Source::load(&path).requests(filters.clone(), vec![output.clone()]));
    let file = path.with_extension("made.mp4");
    made.outputs[0].save(&output, &file);
    let blue = average(&pixels(&file, "null"));
    assert!(blue[2] > 220 && blue[0] < 30, "{blue:?}");
    let made = Worker::start().make(
        Source::load(&picture("small.mp4", "color=s=320x180:r=25:d=0.2", &[]))
            .requests(filters, vec![output]),
    );
    let why = made.outputs[0].refused.as_deref().expect("it is too small");
    assert!(why.contains("too few to be cropped"), "{why}");
}

/// The first picture of a file: red, green and blue.
fn pixels(path: &Path, filter: &str) -> Vec<u8> {
    let raw = path.with_extension("rgb");
    let (from, to) = (path.to_str().expect("a path"), raw.to_str().expect("a path"));
    let only = ["-frames:v", "1", "-vf", filter, "-pix_fmt", "rgb24", "-f", "rawvideo", to];
    let (ok, _, err) =
        run("ffmpeg", &[&["-v", "error", "-nostdin", "-y", "-i", from], &only[..]].concat(), SOON * 3);
    assert!(ok, "{err}");
    std::fs::read(raw).expect("a file")
}

/// Red, green and blue on average.
fn average(pixels: &[u8]) -> [usize; 3] {
    let of = |colour: usize| pixels.iter().skip(colour).step_by(3).map(|n| usize::from(*n)).sum::<usize>();
    [0, 1, 2].map(|colour| of(colour) * 3 / pixels.len())
}

#[test]
fn a_picture_becomes_a_clip_with_black_edges_or_is_refused() {
    // Red, and transparent where it is blue.
    let half = "color=red:s=64x96,format=rgba[a];color=blue@0:s=64x96,format=rgba[b];[b][a]hstack";
    let png = clip("slate.png", &["-f", "lavfi", "-i", half, "-frames:v", "1"]);
    let jpeg = clip("slate.jpg", &["-f", "lavfi", "-i", "color=red:s=96x128", "-frames:v", "1"]);
    let mut worker = Worker::start();
    let mut slate = |rung: Rung, image: Vec<u8>| {
        let frame_rate = FrameRate { num: 30_000, den: 1001 };
        let slate = Slate { rung, frame_rate, frames: 60, image: image.into() };
        worker.make(vec![Request::Slate(slate.into())])
    };
    for (codec, profile, file, told, frames) in [
        (VideoCodec::Avc, 66, &png, "h264,320,180", 60),
        (VideoCodec::Avc, 100, &jpeg, "h264,320,180", 60),
        (VideoCodec::Hevc, 0, &png, "hevc,320,180", 60),
        (VideoCodec::Av1, 0, &jpeg, "av1,320,180", 60),
    ] {
        let rung = Rung { profile, ..rung(codec, 320, 180) };
        let made = slate(rung.clone(), std::fs::read(file).expect("a file"));
        let track = &made.outputs[0];
        assert!(made.flushed && track.refused.is_none(), "{told}: {:?}", track.refused);
        assert_eq!((track.times(true), track.samples.len()), (vec![0], frames), "{told}");
        assert!(track.times(false).iter().zip(0..).all(|(pts, nth)| *pts == nth * 3003), "{told}");
        if profile > 0 {
            // What decoders of that profile have, or less.
            assert!(track.opened[0].0[1] <= profile, "{told}");
        }
        let made = png.with_file_name(format!("slate-{codec:?}-{profile}.mp4"));
        track.save(&Output::Rung(rung), &made);
        assert_eq!(probed(&made), format!("{told},{frames}"));
        let seen = |x: u16| average(&pixels(&made, &format!("crop=24:100:{x}:40")));
        let (edge, left, right) = (seen(8), seen(if file == &png { 60 } else { 110 }), seen(190));
        assert!(edge.iter().all(|n| *n < 8), "{told}: {edge:?}");
        assert!(right[0] > 220 && right[1] < 40 && right[2] < 40, "{told}: {right:?}");
        let red = left[0] > 220 && left[1] < 40;
        let black = left.iter().all(|n| *n < 8);
        assert!(if file == &png { black } else { red }, "{told}: {left:?}");
    }
    let whole = std::fs::read(&png).expect("a file");
    let mut broken = whole.clone();
    broken[whole.len() / 2] ^= 0xff;
    for (image, want) in [
        (b"GIF89a".to_vec(), "neither PNG nor JPEG"),
        (whole[..whole.len() / 2].to_vec(), "broken"),
        (broken, "broken"),
    ] {
        let made = slate(rung(VideoCodec::Avc, 320, 180), image);
        let why = made.outputs[0].refused.as_deref().expect("it is refused");
        assert!(made.flushed && why.contains(want), "{why}");
    }
}

#[test]
fn quiet_sound_is_made_louder_when_that_is_wanted() {
    let quiet =
        ["-f", "lavfi", "-i", "sine=sample_rate=48000:duration=4", "-af", "volume=-20dB", "-c:a", "aac"];
    let path = clip("quiet.mp4", &quiet);
    let plain = Sound {
        codec: AudioCodec::Aac,
        bitrate_bps: 64_000,
        channels: 2,
        sample_rate: 48_000,
        evened: false,
    };
    let outputs = [Output::Sound(plain.clone()), Output::Sound(Sound { evened: true, ..plain })];
    let made = make(&path, &outputs);
    let loudness = |index: usize| {
        let file = path.with_file_name(format!("quiet-{index}.mp4"));
        made.outputs[index].save(&outputs[index], &file);
        let args =
            ["-nostdin", "-i", file.to_str().expect("a path"), "-af", "volumedetect", "-f", "null", "-"];
        let (_, _, err) = run("ffmpeg", &args, SOON * 3);
        let told = err.rsplit("mean_volume: ").next().and_then(|rest| rest.split(' ').next());
        told.and_then(|n| n.parse::<f64>().ok()).unwrap_or_else(|| panic!("{err}"))
    };
    let (plain, evened) = (loudness(0), loudness(1));
    assert!((plain + 44.1).abs() < 1.0 && evened > plain + 10.0, "{plain} dB, {evened} dB");
    let (plain, evened) = (made.outputs[0].times(false), made.outputs[1].times(false));
    assert_eq!((plain.first(), plain.len()), (evened.first(), evened.len()));
}

#[test]
fn sound_keeps_time_over_gaps_and_passes_through_every_decoder() {
    for (name, codec, more) in [
        ("mp3.mkv", "libmp3lame", &[][..]),
        ("ac3.mkv", "ac3", &["-ac", "6"]),
        ("eac3.mkv", "eac3", &["-ac", "6"]),
        ("flac.mkv", "flac", &[]),
        ("opus.mkv", "libopus", &["-ar", "48000"]),
        ("aac.mkv", "aac", &["-ac", "1"]),
    ] {
        let path = clip(name, &[&SINE[..], &["-c:a", codec], more].concat());
        let made = make(&path, &[sound(AudioCodec::Aac, 48_000)]);
        let track = &made.outputs[0];
        assert_eq!(track.refused, None, "{name}");
        assert!(track.samples.len().abs_diff(94) < 4, "{name}: {}", track.samples.len());
        let file = path.with_extension("made.mp4");
        track.save(&sound(AudioCodec::Aac, 48_000), &file);
        assert_eq!(probed(&file).split(',').take(2).collect::<Vec<_>>(), ["aac", "48000"], "{name}");
    }
    // Half a second is lost: what follows is where it was.
    let path = clip("gap.mp4", &[&SINE[..], &["-c:a", "aac", "-ar", "48000"]].concat());
    let mut requests = Source::load(&path).requests(Filters::default(), vec![sound(AudioCodec::Aac, 48_000)]);
    let first = requests.iter().find_map(|r| match r {
        Request::Sample(Kind::Audio, s) => Some(s.pts),
        _ => None,
    });
    requests.drain(30..54);
    let made = Worker::start().make(requests);
    let times = made.outputs[0].times(false);
    assert_eq!(times.first().copied(), first);
    let steps: Vec<i64> =
        times.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| *step != 1024).collect();
    assert!(matches!(steps[..], [step] if (step - 25 * 1024).abs() <= 1024), "{steps:?}");
    // Time jumps back by half a second: what was there before is not said again.
    let mut requests =
        Source::load(&path).requests(Filters::default(), vec![sound(AudioCodec::Opus, 48_000)]);
    for request in requests.iter_mut().skip(40) {
        let Request::Sample(_, sample) = request else { panic!("{request:?}") };
        (sample.dts, sample.pts) = (sample.dts - 24_000, sample.pts - 24_000);
    }
    let times = Worker::start().make(requests).outputs.remove(0).times(false);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 960), "{times:?}");
    assert!(times.last().is_some_and(|last| (62_000..76_000).contains(last)), "{times:?}");
}

#[test]
fn a_picture_is_coded_before_the_next_one_comes() {
    let path = picture("prompt.mp4", "testsrc2=s=640x360:r=25:d=2", &["-bf", "0"]);
    // SVT-AV1 holds a group of pictures back, in its low-delay mode as well.
    for (codec, later) in [(VideoCodec::Avc, 0), (VideoCodec::Hevc, 0), (VideoCodec::Av1, 8)] {
        let mut worker = Worker::start();
        let source =
            Source::load(&path).requests(Filters::default(), vec![Output::Rung(rung(codec, 320, 180))]);
        let (mut said, mut coded) = (0, 0);
        for request in source {
            worker.say(&request);
            said += usize::from(matches!(request, Request::Sample(..)));
            while coded + later < said {
                let reply = worker.hear().expect("it lives");
                coded += usize::from(matches!(reply, Reply::Coded { .. }));
            }
        }
        assert_eq!(said, 50, "{codec:?}");
    }
}
