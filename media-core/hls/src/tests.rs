//! Packager and window together: samples in, playlists and bytes out.

mod clock;
mod delta;
mod i_frames;
mod keys;
mod lists;
mod parts;
mod past;
mod remains;
mod sources;
mod text;
mod tracks;
mod twins;
mod validator;
mod vanished;

use bytes::Bytes;
use nx_container::fmp4;
use nx_media::{
    AudioCodec, AudioParams, FrameRate, Params, Sample, TrackId, VideoCodec, VideoParams, VideoRange,
};
use proptest::prelude::*;

use crate::{Ask, Config, Event, Lookup, Packager, Position, Skip, Start, TrackSpec, Window};

const WALL: i64 = 1_795_000_000_000;

fn video() -> Params {
    Params::Video(VideoParams {
        codec: VideoCodec::Avc,
        config: Bytes::from_static(&[1, 100, 0, 31, 0xff, 0xe0, 0]),
        width: 1280,
        height: 720,
        frame_rate: Some(FrameRate { num: 30, den: 1 }),
        range: VideoRange::Sdr,
        rfc6381: "avc1.64001f".into(),
    })
}

fn audio() -> Params {
    Params::Audio(AudioParams {
        codec: AudioCodec::Aac,
        config: Bytes::from_static(&[0x11, 0x90]),
        sample_rate: 48_000,
        channels: 2,
        frame_samples: 1024,
        rfc6381: "mp4a.40.2".into(),
        language: None,
    })
}

fn frame(dts: i64, duration: u32, key: bool) -> Sample {
    let payload = Bytes::from(dts.to_be_bytes().repeat(if key { 40 } else { 4 }));
    Sample { dts, pts: dts, duration: Some(duration), key, payload }
}

/// Tracks numbered in the order given.
fn specs(tracks: &[Params]) -> Vec<TrackSpec> {
    let mut seen = [0u8; 2];
    let spec = |params: &Params| {
        let nth = &mut seen[params.kind() as usize];
        *nth += 1;
        TrackSpec { id: TrackId { kind: params.kind(), nth: *nth - 1 }, params: params.clone() }
    };
    tracks.iter().map(spec).collect()
}

/// A stream being packaged, with everything that it said.
struct Rig {
    packager: Packager,
    window: Window,
    events: Vec<Event>,
    now_90k: i64,
    audio_48k: i64,
    /// When what is sent at time 0 arrives.
    wall_ms: i64,
}

impl Rig {
    fn new(tracks: &[Params]) -> Self {
        let mut packager = Packager::new(Config::default(), Start { msn: 100, ..Start::default() });
        packager.set_tracks(&specs(tracks));
        let window = Window::new(6, 2, 6 << 20);
        Self { packager, window, events: Vec::new(), now_90k: 90_000, audio_48k: 48_000, wall_ms: WALL }
    }

    fn settle(&mut self) {
        while let Some(event) = self.packager.poll() {
            self.events.push(event.clone());
            self.window.apply(event);
        }
    }

    fn push(&mut self, track: usize, sample: Sample) {
        self.packager.push(track, sample, self.wall_ms);
        self.settle();
    }

    /// `frames` of 30 fps video with a key frame every `gop`, and the sound that goes with them.
    fn run(&mut self, frames: u32, gop: u32) {
        for n in 0..frames {
            self.push(0, frame(self.now_90k, 3000, n % gop == 0));
            self.now_90k += 3000;
            while self.audio_48k * 90_000 < self.now_90k * 48_000 {
                self.push(1, frame(self.audio_48k, 1024, true));
                self.audio_48k += 1024;
            }
        }
    }

    fn playlist(&self, track: usize) -> String {
        self.window.media_playlist(Ask::Track(track), Skip::None).expect("there is something")
    }
}

#[test]
fn the_first_part_is_out_with_its_last_frame() {
    let mut rig = Rig::new(&[video()]);
    for n in 0..9 {
        rig.push(0, frame(90_000 + n * 3000, 3000, n == 0));
        assert_eq!(rig.window.media_playlist(Ask::Track(0), Skip::None), None, "frame {n}");
    }
    rig.push(0, frame(90_000 + 9 * 3000, 3000, false));
    let expected = "\
#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:100
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.002,HOLD-BACK=6
#EXT-X-PART-INF:PART-TARGET=0.334
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI=\"init-0.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-11-18T11:06:40.000Z
#EXT-X-PART:DURATION=0.333333,URI=\"100.0.m4s\",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"100.1.m4s\"
";
    assert_eq!(rig.playlist(0), expected);
}

#[test]
fn the_multivariant_playlist_tells_what_the_bitstream_holds() {
    let mut rig = Rig::new(&[video(), audio()]);
    rig.run(70, 60);
    let text = rig.window.multivariant().expect("playable");
    assert!(
        text.contains("CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=30.000"),
        "{text}"
    );
    assert!(text.contains("TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"a1\""), "{text}");
    let number = |name: &str| -> u64 {
        let rest = text.split(name).nth(1).expect(name);
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().expect(name)
    };
    assert!(number(":BANDWIDTH=") >= number("AVERAGE-BANDWIDTH="), "{text}");
}

#[test]
fn tracks_are_cut_at_the_same_place_under_the_same_number() {
    let mut rig = Rig::new(&[video(), audio()]);
    rig.run(300, 60);
    let starts = |track: usize, scale: i64| -> Vec<(u64, i64)> {
        let first = |p: &crate::Part| (p.index == 0).then(|| (p.msn, p.pts * 1000 / scale));
        let parts = rig.events.iter().filter_map(|e| match e {
            Event::Part { track: t, part } if *t == track => first(part),
            _ => None,
        });
        parts.collect()
    };
    let (v, a) = (starts(0, 90_000), starts(1, 48_000));
    assert_eq!(v.iter().map(|s| s.0).collect::<Vec<_>>(), vec![100, 101, 102, 103, 104]);
    for (v, a) in v.iter().zip(&a) {
        assert!(v.0 == a.0 && (v.1 - a.1).abs() <= 22, "{v:?} {a:?}");
    }
}

#[test]
fn a_long_gop_never_lengthens_the_target_duration() {
    for (gop, independent) in [(60, true), (30, true), (57, true), (36, true), (250, false)] {
        let mut rig = Rig::new(&[video(), audio()]);
        rig.run(900, gop);
        let longest = rig.events.iter().filter_map(|e| match e {
            Event::SegmentEnd { track: 0, duration, .. } => Some(*duration),
            _ => None,
        });
        let longest = longest.max().expect("segments");
        assert!(longest < 225_000, "gop {gop}: {longest}");
        assert_eq!(rig.playlist(0).contains("INDEPENDENT-SEGMENTS"), independent, "gop {gop}");
    }
}

#[test]
fn a_break_goes_on_with_the_numbers_and_marks_the_seam() {
    let mut rig = Rig::new(&[video(), audio()]);
    rig.run(150, 60);
    rig.packager.break_run();
    rig.settle();
    let before = rig.window.next(0).expect("a track");
    rig.run(20, 60);
    assert_eq!(rig.window.next(0), Some(Position { msn: before.msn, part: 2 }));
    let text = rig.playlist(0);
    assert!(text.contains("#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init-1.mp4\""), "{text}");
    assert!(rig.playlist(1).contains("#EXT-X-DISCONTINUITY\n"));
    rig.run(900, 60);
    for track in 0..2 {
        assert!(rig.playlist(track).contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n"), "{}", rig.playlist(track));
    }
}

#[test]
fn sound_that_joins_late_and_leaves_early_changes_the_tracks() {
    let mut rig = Rig::new(&[video()]);
    rig.push(0, frame(90_000, 3000, true));
    rig.packager.set_tracks(&specs(&[video(), audio()]));
    (rig.now_90k, rig.audio_48k) = (93_000, 49_600);
    rig.run(130, 60);
    assert!(rig.playlist(1).contains("MEDIA-SEQUENCE:101"), "{}", rig.playlist(1));
    assert!(rig.playlist(1).contains("DISCONTINUITY-SEQUENCE:1"), "{}", rig.playlist(1));
    rig.packager.set_tracks(&specs(&[audio()]));
    rig.settle();
    assert_eq!(rig.packager.run_tracks().len(), 1);
}

#[test]
fn the_end_is_marked_and_nothing_is_hinted_after_it() {
    let mut rig = Rig::new(&[video(), audio()]);
    rig.run(100, 60);
    rig.packager.finish();
    rig.settle();
    let text = rig.playlist(0);
    assert!(text.ends_with("#EXT-X-ENDLIST\n") && !text.contains("PRELOAD-HINT"), "{text}");
    assert!(rig.window.media_playlist(Ask::Ts, Skip::None).expect("ts").ends_with("#EXT-X-ENDLIST\n"));
}

#[test]
fn the_window_lists_six_keeps_a_little_more_and_promises_the_next_part() {
    let mut rig = Rig::new(&[video(), audio()]);
    rig.run(60 * 20 + 25, 60);
    let text = rig.playlist(0);
    assert_eq!(text.matches("#EXTINF").count(), 6, "{text}");
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:114"), "{text}");
    let found = |msn| matches!(rig.window.segment(0, msn), Lookup::Found(_));
    assert!(found(113) && found(108), "what left the list is kept for the list's length");
    assert!(!found(100), "and not for ever");
    let next = rig.window.next(0).expect("a track");
    assert_eq!(rig.window.part(0, next.msn, next.part), Lookup::Soon);
    assert_eq!(rig.window.part(0, next.msn, next.part + 1), Lookup::Missing);
    assert_eq!(rig.window.part(0, 5, 0), Lookup::Missing);
}

#[test]
fn a_tight_budget_drops_what_is_no_longer_listed() {
    let mut rig = Rig::new(&[video(), audio()]);
    rig.window = Window::new(6, 2, 1);
    rig.run(60 * 20, 60);
    assert!(matches!(rig.window.segment(0, 111), Lookup::Missing));
    assert_eq!(rig.playlist(0).matches("#EXTINF").count(), 6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any durations and key frames: numbers go up by one, parts make up their segment, time has no holes.
    #[test]
    fn parts_make_up_their_segments(frames in prop::collection::vec((1u32..20_000, prop::bool::weighted(0.05)), 50..400)) {
        let mut rig = Rig::new(&[video()]);
        let mut dts = 90_000;
        for (n, (duration, key)) in frames.iter().enumerate() {
            rig.push(0, frame(dts, *duration, *key || n == 0));
            dts += i64::from(*duration);
        }
        rig.packager.finish();
        rig.settle();
        let (mut at, mut msn, mut index, mut sum, mut samples) = (90_000u64, 100, 0, 0, 0);
        for event in &rig.events {
            match event {
                Event::Part { part, .. } => {
                    prop_assert_eq!((part.msn, part.index, part.dts), (msn, index, i64::try_from(at).unwrap()));
                    samples += fmp4::samples(&part.bytes).unwrap().len();
                    (index, sum, at) = (index + 1, sum + part.duration, at + part.duration);
                }
                Event::SegmentEnd { msn: of, duration, .. } => {
                    prop_assert_eq!((*of, *duration), (msn, sum));
                    prop_assert!(*duration <= 180_000 + 45 * 900);
                    (msn, index, sum) = (msn + 1, 0, 0);
                }
                _ => {}
            }
        }
        prop_assert_eq!(samples, frames.len());
    }
}
