//! Frames by hand, by table and by chance.

use bytes::Bytes;
use nx_media::{AudioCodec, FrameRate, Kind, Sample, VideoCodec};
use proptest::prelude::*;

use crate::{
    AudioSource, Clock, Corner, Crop, Device, FRAME_MAX, Filters, Grid, IMAGE_BYTES_MAX, LENGTH,
    LOGO_BYTES_MAX, Ladder, Load, Logo, OUTPUTS_MAX, Output, Reply, Request, Rung, SLATE_FRAMES_MAX, Slate,
    Sound, Text, VideoSource, WireError, frame_len, fuzz,
};

fn sheet(columns: u8, rows: u8, width: u16, height: u16) -> Request {
    Request::Sheet(Grid { columns, rows, width, height })
}

/// Written by hand from the description in the crate's head.
const GOLDEN: &[&[u8]] = &[
    &[1, 10, 10, 0, 160, 0, 90],
    &[1, 1, 1, 1, 64, 0, 0],
    &[2, 99, 1, 0, 0, 0, 2, 7, 8, 9, 9, 9],
    &[2, 0, 4, 0, 0, 0, 0],
    &[3],
    &[
        4, 1, 1, 7, 128, 4, 56, 0, 0, 117, 48, 0, 0, 3, 233, 0, 0, 0, 2, 7,
        8, // 1920 x 1080 at 30000/1001
        1, 1, 2, 0, 0, 187, 128, 0, 0, 0, 1, 9, // AAC, stereo, 48 kHz
        1, 0, 0, 0, 2, 3, 32, 2, 88, 1, 1, 10, 80, 0, 0, 0, 2, 137, 80, 1, 2, 5, 2, 104,
        105, // crop, logo, text
        1, 3, 6, 0, 0, 0, 0, 0, 0, 0, 7, // clock
        2, 1, 1, 5, 0, 2, 208, 0, 45, 198, 192, 0, 61, 9, 0, 3, 232, 1, 1, 4, 77, 2, 120,
        49, // 720p, 3 to 4 Mbit/s
        2, 1, 2, 1, 0, 1, 244, 0, 0, 0, 172, 68, // AAC, 128 kbit/s at 44.1 kHz
    ],
    &[4, 0, 0, 0, 0, 0, 0, 1, 2, 2, 1, 0, 0, 0, 250, 0, 0, 0, 187, 128], // Opus, mono, of nothing
    &[5, 0, 3, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 11, 187, 1, 2],
    &[5, 1, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    &[6, 15, 1],
    &[7],
    &[
        8, 0, 60, 0, 0, 117, 48, 0, 0, 3, 233, // 60 frames at 30000/1001
        1, 5, 0, 2, 208, 0, 45, 198, 192, 0, 61, 9, 0, 3, 232, 1, 1, 4, 77, 2, 120, 49, // 720p
        255, 216,
    ],
    &[128, 0, 3],
    &[129],
    b"\x82no picture in it",
    &[131, 0xff, 0xd8],
    b"\x84\x01\x07libx264\x01d",
    b"\x85\x02why",
    &[134, 3, 1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 9],
    &[
        135, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4,
        0, 0, 0, 0, 0, 0, 0, 5,
    ],
    &[136],
];

fn rung() -> Rung {
    let (bitrate_bps, peak_bps, buffer_ms, preset) = (3_000_000, 4_000_000, 1000, "x1".to_owned());
    let (codec, device) = (VideoCodec::Avc, Device::Nvenc);
    let (width, height, halved, threads, profile) = (1280, 720, true, 4, 77);
    Rung { codec, width, height, bitrate_bps, peak_bps, buffer_ms, halved, device, threads, profile, preset }
}

fn slate() -> Slate {
    let (frame_rate, image) = (FrameRate { num: 30_000, den: 1001 }, Bytes::from_static(&[255, 216]));
    Slate { rung: rung(), frame_rate, frames: 60, image }
}

fn sound(codec: AudioCodec, channels: u8, bitrate_bps: u32, sample_rate: u32) -> Sound {
    Sound { codec, bitrate_bps, channels, sample_rate, evened: false }
}

fn ladder() -> Ladder {
    let config = Bytes::from_static(&[7, 8]);
    let frame_rate = Some(FrameRate { num: 30_000, den: 1001 });
    Ladder {
        video: Some(VideoSource { codec: VideoCodec::Avc, config, width: 1920, height: 1080, frame_rate }),
        audio: Some(AudioSource {
            codec: AudioCodec::Aac,
            config: Bytes::from_static(&[9]),
            sample_rate: 48_000,
            channels: 2,
        }),
        filters: Filters {
            crop: Some(Crop { left: 0, top: 2, width: 800, height: 600 }),
            logo: Some(Logo {
                corner: Corner::TopRight,
                height_percent: 10,
                opacity_percent: 80,
                image: Bytes::from_static(&[137, 80]),
            }),
            text: Some(Text { corner: Corner::BottomLeft, height_percent: 5, text: "hi".into() }),
            clock: Some(Clock { corner: Corner::BottomRight, height_percent: 6, zero_us: 7 }),
        },
        outputs: vec![
            Output::Rung(rung()),
            Output::Sound(Sound { evened: true, ..sound(AudioCodec::Aac, 2, 128_000, 44_100) }),
        ],
    }
}

fn only(outputs: Vec<Output>) -> Ladder {
    Ladder { video: None, audio: None, filters: Filters::default(), outputs }
}

fn timed(dts: i64, pts: i64, duration: Option<u32>, key: bool, payload: &'static [u8]) -> Sample {
    Sample { dts, pts, duration, key, payload: Bytes::from_static(payload) }
}

#[test]
fn frames_are_what_the_description_says() {
    let (config, sample) = (Bytes::from_static(&[7, 8]), Bytes::from_static(&[9, 9, 9]));
    let draw = Request::Draw { cell: 99, codec: VideoCodec::Avc, config, sample };
    let last = Request::Draw { cell: 0, codec: VideoCodec::Vp9, config: Bytes::new(), sample: Bytes::new() };
    let opus = Output::Sound(sound(AudioCodec::Opus, 1, 64_000, 48_000));
    let requests = [
        sheet(10, 10, 160, 90),
        sheet(1, 1, 320, 0),
        draw,
        last,
        Request::Finish,
        Request::Ladder(ladder().into()),
        Request::Ladder(only(vec![opus]).into()),
        Request::Sample(Kind::Video, timed(5, 6, Some(3003), true, &[1, 2])),
        Request::Sample(Kind::Audio, timed(-1, 0, None, false, &[])),
        Request::Wanted { output: 15, on: true },
        Request::Flush,
        Request::Slate(slate().into()),
    ];
    let config = Bytes::from_static(&[1, 100]);
    let replies = [
        Reply::Hello(3),
        Reply::Drawn,
        Reply::Failed("no picture in it".into()),
        Reply::Jpeg(Bytes::from_static(&[0xff, 0xd8])),
        Reply::Opened { output: 1, config, encoder: "libx264".into() },
        Reply::Refused { output: 2, why: "why".into() },
        Reply::Coded { output: 3, sample: timed(5, 5, None, true, &[9]) },
        Reply::Load(Load { frames: 1, damaged: 2, cpu_us: 3, taken: 4, coded: 5 }),
        Reply::Flushed,
    ];
    assert_eq!(GOLDEN.len(), requests.len() + replies.len());
    let written = requests.iter().map(Request::write).chain(replies.iter().map(Reply::write));
    for (written, golden) in written.zip(GOLDEN) {
        let written = written.expect("fits");
        let (length, frame) = written.split_first_chunk::<LENGTH>().expect("a length");
        assert_eq!((frame_len(*length), frame), (Ok(golden.len()), *golden));
    }
    for (golden, request) in GOLDEN.iter().zip(&requests) {
        assert_eq!(Request::read(Bytes::from_static(golden)).as_ref(), Ok(request));
    }
    for (golden, reply) in GOLDEN.iter().skip(requests.len()).zip(&replies) {
        assert_eq!(Reply::read(Bytes::from_static(golden)).as_ref(), Ok(reply));
    }
}

#[test]
fn what_cannot_be_made_is_refused() {
    for (columns, rows, width, height, good) in [
        (1, 1, 2, 0, true),
        (16, 16, 512, 512, true),
        (0, 1, 160, 90, false),
        (17, 1, 160, 90, false),
        (1, 17, 160, 90, false),
        (1, 1, 0, 0, false),
        (1, 1, 161, 90, false),
        (1, 1, 160, 91, false),
        (2, 1, 160, 0, false),
        (1, 2, 160, 0, false),
        (16, 1, 514, 90, false),
        (1, 16, 160, 514, false),
    ] {
        let frame = sheet(columns, rows, width, height).write().expect("fits");
        let read = Request::read(Bytes::from(frame).slice(LENGTH..));
        assert_eq!(read.is_ok(), good, "{columns} x {rows} of {width} x {height}: {read:?}");
    }
    assert_eq!(frame_len([0; 4]), Err(WireError::Length(0)));
    assert_eq!(frame_len([0xff; 4]), Err(WireError::Length(u32::MAX as usize)));
    let max = u32::try_from(FRAME_MAX).expect("fits").to_be_bytes();
    assert_eq!(frame_len(max), Ok(FRAME_MAX));
    let much = Bytes::from(vec![0; FRAME_MAX]);
    assert_eq!(Reply::Jpeg(much).write(), Err(WireError::Length(FRAME_MAX + 1)));
    let told = Reply::Failed("ä".repeat(4_000)).write().expect("is cut");
    assert!(Reply::read(Bytes::from(told).slice(LENGTH..)).is_ok());
}

#[test]
fn a_ladder_that_cannot_be_is_refused() {
    type Change = fn(&mut Rung);
    let rungs: &[(bool, Change)] = &[
        (true, |_| ()),
        (true, |r| (r.width, r.height) = (8192, 4352)),
        (true, |r| (r.width, r.height) = (4352, 8192)),
        (false, |r| (r.width, r.height) = (8192, 4354)),
        (false, |r| r.width = 8194),
        (false, |r| r.width = 1281),
        (false, |r| r.height = 0),
        (false, |r| r.codec = VideoCodec::Vp9),
        (false, |r| r.bitrate_bps = 0),
        (false, |r| r.peak_bps = r.bitrate_bps - 1),
        (false, |r| r.buffer_ms = 0),
        (true, |r| r.profile = 0),
        (false, |r| r.profile = 88),
        (false, |r| r.preset = "a b".into()),
        (false, |r| r.preset = "seventeen-letters".into()),
    ];
    let read = |ladder: Ladder| {
        let frame = Request::Ladder(ladder.into()).write()?;
        Request::read(Bytes::from(frame).slice(LENGTH..))
    };
    for (row, (good, change)) in rungs.iter().enumerate() {
        let mut rung = rung();
        change(&mut rung);
        let read = read(only(vec![Output::Rung(rung)]));
        assert_eq!(read.is_ok(), *good, "rung {row}: {read:?}");
    }
    for (good, codec, channels, rate) in [
        (true, AudioCodec::Aac, 6, 48_000),
        (true, AudioCodec::Opus, 2, 48_000),
        (false, AudioCodec::Aac, 3, 48_000),
        (false, AudioCodec::Aac, 2, 44_000),
        (false, AudioCodec::Opus, 2, 44_100),
        (false, AudioCodec::Opus, 6, 48_000),
        (false, AudioCodec::Ac3, 2, 48_000),
    ] {
        let read = read(only(vec![Output::Sound(sound(codec, channels, 128_000, rate))]));
        assert_eq!(read.is_ok(), good, "{codec:?}, {channels} channels, {rate} Hz: {read:?}");
    }
    for (good, count) in [(false, 0), (true, OUTPUTS_MAX), (false, OUTPUTS_MAX + 1)] {
        assert_eq!(read(only(vec![Output::Rung(rung()); count])).is_ok(), good, "{count} outputs");
    }
    let mut long = ladder();
    long.filters.text = Some(Text { corner: Corner::TopLeft, height_percent: 5, text: "x".repeat(129) });
    assert!(read(long).is_err());
}

#[test]
fn a_slate_or_a_logo_that_cannot_be_is_refused() {
    let read = |request: Request| Request::read(Bytes::from(request.write()?).slice(LENGTH..));
    let zeros = |bytes: usize| Bytes::from(vec![0; bytes]);
    type Change = fn(&mut Slate);
    let slates: &[(bool, Change)] = &[
        (true, |_| ()),
        (true, |s| s.frames = SLATE_FRAMES_MAX),
        (false, |s| s.frames = SLATE_FRAMES_MAX + 1),
        (false, |s| s.frames = 0),
        (false, |s| s.frame_rate.num = 0),
        (false, |s| s.frame_rate.den = 0),
        (false, |s| s.rung.width = 0),
        (false, |s| s.image = Bytes::new()),
    ];
    for (row, (good, change)) in slates.iter().enumerate() {
        let mut slate = slate();
        change(&mut slate);
        assert_eq!(read(Request::Slate(slate.into())).is_ok(), *good, "slate {row}");
    }
    for (good, bytes) in [(true, IMAGE_BYTES_MAX), (false, IMAGE_BYTES_MAX + 1)] {
        let slate = Slate { image: zeros(bytes), ..slate() };
        assert_eq!(read(Request::Slate(slate.into())).is_ok(), good, "{bytes} bytes");
    }
    for (good, height_percent, opacity_percent, bytes) in [
        (true, 1, 100, LOGO_BYTES_MAX),
        (true, 100, 1, 1),
        (false, 0, 100, 1),
        (false, 101, 100, 1),
        (false, 1, 0, 1),
        (false, 1, 101, 1),
        (false, 1, 1, 0),
        (false, 1, 1, LOGO_BYTES_MAX + 1),
    ] {
        let logo = Logo { corner: Corner::TopLeft, height_percent, opacity_percent, image: zeros(bytes) };
        let filters = Filters { logo: Some(logo), ..Filters::default() };
        let ladder = Ladder { filters, ..only(vec![Output::Rung(rung())]) };
        let read = read(Request::Ladder(ladder.into()));
        assert_eq!(read.is_ok(), good, "{height_percent} % high, {opacity_percent} % opaque, {bytes} bytes");
    }
}

#[test]
fn every_truncation_is_read_or_refused() {
    for golden in GOLDEN {
        (0..=golden.len()).for_each(|end| fuzz::frame(&golden[..end]));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(data in proptest::collection::vec(any::<u8>(), 0..64)) {
        fuzz::frame(&data);
    }

    #[test]
    fn any_mutation_is_read_or_refused(nth in 0..GOLDEN.len(), at in any::<proptest::sample::Index>(), to in any::<u8>()) {
        let mut data = GOLDEN[nth].to_vec();
        let at = at.index(data.len());
        data[at] = to;
        fuzz::frame(&data);
    }
}
