//! Plans by table, and what holds for all of them.

use bytes::Bytes;
use nx_media::{AudioCodec, AudioParams, FrameRate, VideoCodec, VideoParams, VideoRange};
use nx_worker_protocol::{Corner, Crop, Filters, LENGTH, Ladder, Output, Request, Slate, Text};
use proptest::prelude::*;

use crate::{
    Codec, Profile, ProfileError, RUNGS_MAX, Source, Wish, picture_like, plan, rates, shape::Shape,
    sound_like,
};

fn video(codec: VideoCodec, width: u32, height: u32, fps: u32) -> VideoParams {
    let frame_rate = Some(FrameRate { num: fps, den: 1 });
    let (config, rfc6381) = (Bytes::new(), String::new());
    VideoParams { codec, config, width, height, frame_rate, range: VideoRange::Sdr, rfc6381 }
}

fn audio(codec: AudioCodec, channels: u8, sample_rate: u32) -> AudioParams {
    let (config, rfc6381) = (Bytes::new(), String::new());
    AudioParams { codec, config, sample_rate, channels, frame_samples: 1024, rfc6381, language: None }
}

fn profile(name: &str) -> Profile {
    name.parse().expect("a profile")
}

/// `1280x720 2800k /2` for each rung, `aac 2ch 48000` for sound.
fn told(ladder: Option<&Ladder>) -> Vec<String> {
    let outputs = ladder.map(|l| &l.outputs[..]).unwrap_or_default();
    let tell = |output: &Output| match output {
        Output::Rung(r) => {
            let halved = if r.halved { " /2" } else { "" };
            format!("{}x{} {}k{halved}", r.width, r.height, r.bitrate_bps / 1000)
        }
        Output::Sound(s) => format!("{:?} {}ch {}", s.codec, s.channels, s.sample_rate).to_lowercase(),
    };
    outputs.iter().map(tell).collect()
}

#[test]
fn sources_get_the_rungs_that_fit_them() {
    use VideoCodec::{Av1, Avc, Hevc, Vp9};
    for (name, source, passes, want) in [
        ("h264-720p3", (Avc, 1920, 1080, 30), true, &["1280x720 2800k", "854x480 1200k", "640x360 700k"][..]),
        ("h264-1080p4", (Avc, 1920, 1080, 30), true, &["1280x720 2800k", "854x480 1200k", "640x360 700k"]),
        ("h264-1080p2", (Hevc, 1920, 1080, 30), true, &["1920x1080 5000k", "1280x720 2800k"]),
        ("hevc-1080p2", (Hevc, 1920, 1080, 30), true, &["1280x720 1820k"]),
        ("av1-720p1", (Av1, 1920, 1080, 30), true, &["1280x720 1400k"]),
        ("hevc-720p1", (Avc, 1280, 720, 30), true, &[]),
        ("h264-720p2", (Vp9, 1280, 720, 30), false, &["1280x720 2800k", "854x480 1200k"]),
        ("h264-720p1", (Vp9, 320, 180, 30), false, &["320x180 200k"]),
        ("h264-720p3", (Avc, 640, 480, 30), true, &["480x360 550k"]),
        ("h264-480p3", (Avc, 1280, 720, 60), true, &["854x480 1800k", "640x360 700k /2", "426x240 350k /2"]),
        ("h264-720p2", (Avc, 1080, 1920, 30), true, &["720x1280 2800k", "480x854 1200k"]),
        ("h264-720p1", (Avc, 1921, 1081, 30), true, &["1280x720 2800k"]),
        ("h264-2160p1", (Avc, 160, 90, 30), true, &[]),
        ("h264-2160p1", (Vp9, 8192, 4320, 30), false, &["4096x2160 16840k"]),
        ("h264-240p1", (Avc, 8192, 256, 30), true, &["7680x240 4560k"]),
        ("h264-240p1", (Vp9, 1, 1, 30), false, &["2x2 50k"]),
        ("audio-only", (Avc, 1920, 1080, 30), false, &[]),
    ] {
        let video = video(source.0, source.1, source.2, source.3);
        let source = Source { video: Some(&video), ..Source::default() };
        let plan = plan(&profile(name), source, &Filters::default());
        let ladder = plan.ladder.as_ref();
        assert_eq!(
            (plan.video_passes, told(ladder)),
            (passes, want.iter().map(|w| (*w).to_owned()).collect()),
            "{name} of {video:?}"
        );
        assert_eq!(ladder.is_some_and(|l| l.video.is_some()), !want.is_empty(), "{name} of {video:?}");
    }
}

#[test]
fn sound_passes_when_players_can_play_it() {
    use AudioCodec::{Aac, Ac3, Eac3, Flac, Mpa, Opus};
    for (codec, channels, rate, evened, want) in [
        (Aac, 2, 48_000, false, None),
        (Opus, 2, 48_000, false, None),
        (Aac, 6, 44_100, false, None),
        (Aac, 2, 44_100, true, Some("aac 2ch 44100")),
        (Mpa, 1, 32_000, false, Some("aac 1ch 48000")),
        (Ac3, 6, 48_000, false, Some("aac 2ch 48000")),
        (Eac3, 6, 48_000, false, Some("aac 2ch 48000")),
        (Flac, 2, 96_000, false, Some("aac 2ch 48000")),
    ] {
        let audio = audio(codec, channels, rate);
        let source = Source { audio: Some(&audio), ..Source::default() };
        let profile = Profile { evened, ..profile("audio-only") };
        let plan = plan(&profile, source, &Filters::default());
        assert_eq!(plan.audio_passes, want.is_none(), "{codec:?}");
        assert_eq!(told(plan.ladder.as_ref()), want.into_iter().map(str::to_owned).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_drawn_into_the_picture_is_not_in_the_source() {
    let video = video(VideoCodec::Avc, 1920, 1080, 30);
    let source = Source { video: Some(&video), ..Source::default() };
    let text = Some(Text { corner: Corner::TopLeft, height_percent: 5, text: "hi".into() });
    let planned = plan(&profile("h264-1080p2"), source, &Filters { text, ..Filters::default() });
    assert!(!planned.video_passes);
    assert_eq!(told(planned.ladder.as_ref()), ["1920x1080 5000k", "1280x720 2800k"]);
    let crop = Some(Crop { left: 240, top: 0, width: 1440, height: 1080 });
    let planned = plan(&profile("h264-720p1"), source, &Filters { crop, ..Filters::default() });
    assert_eq!(told(planned.ladder.as_ref()), ["960x720 2080k"]);
    let turned = plan(&profile("h264-720p1"), Source { turned: true, ..source }, &Filters::default());
    assert_eq!(told(turned.ladder.as_ref()), ["720x1280 2800k"]);
}

/// `avcC` of x264 for 720 x 576 with pixels of 64:45, which is 16:9.
const ANAMORPHIC: &[u8] = &[
    0x01, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0x00, 0x1c, 0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0xd0, 0x49, 0xbf,
    0xf0, 0x04, 0x00, 0x02, 0xd1, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x32, 0x0f, 0x16,
    0x2e, 0xa0, 0x01, 0x00, 0x04, 0x68, 0xce, 0x0f, 0xc8,
];

#[test]
fn pixels_that_are_not_square_become_so() {
    let video = nx_codec::avc::parse_config(&Bytes::from_static(ANAMORPHIC)).expect("x264's");
    let source = Source { video: Some(&video), ..Source::default() };
    let planned = plan(&profile("h264-480p2"), source, &Filters::default());
    assert_eq!(told(planned.ladder.as_ref()), ["854x480 1200k", "640x360 700k"]);
}

#[test]
fn profiles_have_names() {
    let lines = |name: &str| profile(name).rungs.iter().map(|wish| wish.lines).collect::<Vec<_>>();
    assert_eq!(lines("h264-720p3"), [720, 480, 360]);
    assert_eq!(lines("hevc-2160p7"), [2160, 1440, 1080, 720, 480, 360, 240]);
    assert!(profile("audio-only").audio_only);
    for name in [
        "",
        "h264",
        "h264-720",
        "h264-720p0",
        "h264-720p6",
        "h264-721p1",
        "vp9-720p1",
        "h264-720p03",
        "H264-720p3",
    ] {
        assert_eq!(name.parse::<Profile>(), Err(ProfileError::Name(name.to_owned())));
    }
    let wish = |lines, bitrate_bps, preset: Option<&str>| Wish {
        codec: Codec::H264,
        lines,
        bitrate_bps,
        preset: preset.map(str::to_owned),
    };
    assert_eq!(Profile::custom(vec![]), Err(ProfileError::Count(0)));
    assert_eq!(Profile::custom(vec![wish(720, None, None); 9]), Err(ProfileError::Count(RUNGS_MAX + 1)));
    for bad in [
        wish(63, None, None),
        wish(4321, None, None),
        wish(720, Some(49_999), None),
        wish(720, None, Some("a;b")),
    ] {
        assert!(Profile::custom(vec![bad.clone()]).is_err(), "{bad:?}");
    }
    let sorted = Profile::custom(vec![wish(360, None, None), wish(720, Some(1_000_000), Some("fast"))]);
    assert_eq!(sorted.map(|p| p.rungs.iter().map(|w| w.lines).collect::<Vec<_>>()), Ok(vec![720, 360]));
}

#[test]
fn a_source_that_is_hidden_is_no_rendition() {
    for (name, lines, want) in [
        ("h264-1080p2", 1080, &["1920x1080 5000k", "1280x720 2800k"][..]),
        ("h264-720p2", 1080, &["1280x720 2800k", "854x480 1200k"]),
        // All are larger: one of its own size.
        ("h264-720p2", 360, &["640x360 700k"]),
    ] {
        let video = video(VideoCodec::Avc, lines * 16 / 9, lines, 30);
        let source = Source { video: Some(&video), ..Source::default() };
        let hidden = Profile { source_hidden: true, ..profile(name) };
        let plan = plan(&hidden, source, &Filters::default());
        assert_eq!(
            (plan.video_passes, told(plan.ladder.as_ref())),
            (false, want.iter().map(|w| (*w).to_owned()).collect())
        );
    }
}

#[test]
fn what_stands_in_for_a_track_can_be_played_where_that_can() {
    use VideoCodec::{Av1, Avc, Hevc, Vp9};
    let with = |codec, profile: u8, width, height| VideoParams {
        config: Bytes::copy_from_slice(&[1, profile]),
        ..video(codec, width, height, 60)
    };
    for (source, want) in [
        (with(Avc, 66, 1280, 720), (Avc, 66, 1280, 720)),
        (with(Avc, 77, 640, 360), (Avc, 77, 640, 360)),
        (with(Avc, 100, 720, 1280), (Avc, 100, 720, 1280)),
        (with(Avc, 110, 1920, 1080), (Avc, 100, 1920, 1080)),
        (with(Hevc, 66, 1921, 1081), (Hevc, 0, 1920, 1080)),
        (with(Av1, 0, 320, 180), (Av1, 0, 320, 180)),
        (with(Vp9, 66, 1280, 720), (Avc, 0, 1280, 720)),
        (with(Avc, 66, 1, 1), (Avc, 66, 2, 2)),
    ] {
        let rung = picture_like(&source);
        assert_eq!((rung.codec, rung.profile, rung.width, rung.height), want, "{source:?}");
        assert!(!rung.halved, "every frame of {source:?}");
    }
    for (source, want) in [
        (audio(AudioCodec::Aac, 6, 44_100), (AudioCodec::Aac, 6, 44_100)),
        (audio(AudioCodec::Aac, 8, 48_000), (AudioCodec::Aac, 2, 48_000)),
        (audio(AudioCodec::Opus, 1, 48_000), (AudioCodec::Opus, 1, 48_000)),
        (audio(AudioCodec::Ac3, 6, 48_000), (AudioCodec::Aac, 2, 48_000)),
    ] {
        let sound = sound_like(&source);
        assert_eq!((sound.codec, sound.channels, sound.sample_rate), want, "{source:?}");
    }
}

#[test]
fn the_table_has_the_rates_of_its_sizes() {
    for (width, height, want) in [
        (1920, 1080, 5_000_000),
        (1280, 720, 2_800_000),
        (3840, 2160, 16_000_000),
        (854, 480, 1_200_000),
        (640, 360, 700_000),
    ] {
        assert_eq!(rates::bitrate_bps(VideoCodec::Avc, width, height, false), want, "{width} x {height}");
    }
    assert_eq!(rates::bitrate_bps(VideoCodec::Avc, 1920, 1080, true), 7_500_000);
}

proptest! {
    #[test]
    fn every_plan_can_be_said_and_makes_nothing_larger(
        width in 1u32..=16_384,
        height in 1u32..=16_384,
        fps in 1u32..=240,
        turned: bool,
        vp9: bool,
        name in prop::sample::select(vec!["h264-2160p7", "hevc-1080p4", "av1-720p3", "h264-240p1"]),
    ) {
        let video = video(if vp9 { VideoCodec::Vp9 } else { VideoCodec::Avc }, width, height, fps);
        let source = Source { video: Some(&video), turned, audio: None };
        if let Some(mut ladder) = plan(&profile(name), source, &Filters::default()).ladder {
            // Sources that are too large are the worker's to refuse.
            ladder.video = None;
            for output in &ladder.outputs {
                let Output::Rung(rung) = output else { continue };
                let shape = Shape::of(&video, turned, None);
                prop_assert!(u32::from(rung.width) <= shape.width.max(2), "{rung:?} of {shape:?}");
                prop_assert!(u32::from(rung.height) <= shape.height.max(2), "{rung:?} of {shape:?}");
            }
            let (rung, image) = (picture_like(&video), Bytes::from_static(&[1]));
            let frame_rate = FrameRate { num: fps, den: 1 };
            let slate = Request::Slate(Slate { rung, frame_rate, frames: 1, image }.into());
            let frame = slate.write().expect("can be said");
            prop_assert_eq!(Request::read(Bytes::from(frame).slice(LENGTH..)), Ok(slate));
            let frame = Request::Ladder(ladder.clone().into()).write().expect("can be said");
            prop_assert_eq!(Request::read(Bytes::from(frame).slice(LENGTH..)), Ok(Request::Ladder(ladder.into())));
        }
    }
}
