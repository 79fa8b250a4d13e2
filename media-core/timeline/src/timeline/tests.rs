//! Broken clocks, and what becomes of them.

use bytes::Bytes;
use nx_media::{AudioCodec, AudioParams, FrameRate, Kind, Params, VideoCodec, VideoParams};
use proptest::prelude::*;

use super::*;

mod join;
mod long;
mod returns;

fn video(rate: Option<FrameRate>) -> Params {
    Params::Video(VideoParams {
        codec: VideoCodec::Avc,
        config: Bytes::new(),
        width: 2,
        height: 2,
        frame_rate: rate,
        range: nx_media::VideoRange::Sdr,
        rfc6381: String::new(),
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

const FPS30: Option<FrameRate> = Some(FrameRate { num: 30, den: 1 });

struct Rig {
    timeline: Timeline,
    now_ms: i64,
    out: Vec<(Kind, Sample)>,
    breaks: usize,
}

impl Rig {
    fn new(rate: Option<FrameRate>) -> Self {
        let mut timeline = Timeline::new(Config::default());
        timeline.start_session(WireClock::RTMP);
        timeline.set_params(TrackId::VIDEO, &video(rate));
        timeline.set_params(TrackId::AUDIO, &audio());
        Self { timeline, now_ms: 5_000, out: Vec::new(), breaks: 0 }
    }

    fn push(&mut self, kind: Kind, stamp: u32) {
        self.push_cts(kind, stamp, 0);
    }

    fn push_cts(&mut self, kind: Kind, stamp: u32, cts_ms: i32) {
        let arrival = Arrival {
            track: TrackId { kind, nth: 0 },
            stamp: stamp.into(),
            fine: 0,
            cts: i64::from(cts_ms) * 90,
            key: true,
            samples: None,
            payload: Bytes::from_static(&[1]),
        };
        self.timeline.push(self.now_ms, arrival);
        while let Some(output) = self.timeline.poll() {
            match output {
                Output::Sample(id, sample) => self.out.push((id.kind, sample)),
                Output::Break => self.breaks += 1,
            }
        }
    }

    /// Seconds of 30 fps video with sound, stamped from `from` on, as a publisher sends them.
    fn play(&mut self, from: u32, seconds: u32) {
        let (mut v, mut a) = (0u64, 0u64);
        while v < u64::from(seconds) * 30 {
            let (vt, at) = (v * 1000 / 30, a * 1024 * 1000 / 48_000);
            let (kind, t) = if vt <= at { (Kind::Video, vt) } else { (Kind::Audio, at) };
            match kind {
                Kind::Video => v += 1,
                Kind::Audio => a += 1,
            }
            self.now_ms += i64::from(u32::try_from(t).unwrap()) - self.played(t);
            self.push(kind, from.wrapping_add(u32::try_from(t).unwrap()));
        }
        self.now_ms += 33;
    }

    fn played(&self, t: u64) -> i64 {
        // The clock moves with the stamps, never back.
        i64::try_from(t).unwrap().min(i64::try_from(t).unwrap() - 16).max(0)
    }

    fn of(&self, kind: Kind) -> Vec<&Sample> {
        self.out.iter().filter(|(k, _)| *k == kind).map(|(_, s)| s).collect()
    }

    fn count(&self, kind: RepairKind) -> u64 {
        self.timeline.repairs().counts().find(|(k, _)| *k == kind).map_or(0, |(_, n)| n)
    }

    /// The promise of the timeline.
    #[track_caller]
    fn check(&self) {
        for kind in [Kind::Video, Kind::Audio] {
            for pair in self.of(kind).windows(2) {
                assert!(pair[1].dts > pair[0].dts, "{kind:?} goes on: {} then {}", pair[0].dts, pair[1].dts);
                if let Some(duration) = pair[0].duration
                    && self.breaks == 0
                {
                    assert_eq!(pair[1].dts, pair[0].dts + i64::from(duration), "{kind:?} has no hole");
                }
            }
        }
        let end = |kind, scale: f64| self.of(kind).last().map(|s| s.dts as f64 / scale);
        if let (Some(v), Some(a)) = (end(Kind::Video, 90_000.0), end(Kind::Audio, 48_000.0)) {
            assert!((v - a).abs() < 0.2, "sound and picture are together: {v} {a}");
        }
    }
}

#[test]
fn steady_streams_come_out_on_the_grid_and_unrepaired() {
    for (name, start, rate) in
        [("from 0", 0, FPS30), ("from 2^24", 1 << 24, FPS30), ("rate unknown", 77, None)]
    {
        let mut rig = Rig::new(rate);
        rig.play(start, 10);
        rig.check();
        assert_eq!(rig.timeline.repairs().total(), 0, "{name}: {:?}", rig.timeline.repairs());
        let tail = rig.of(Kind::Video).split_off(150);
        assert!(tail.iter().all(|s| s.duration == Some(3000)), "{name}");
        assert!(rig.of(Kind::Audio).iter().all(|s| s.duration == Some(1024)), "{name}");
    }
}

#[test]
fn the_counter_goes_round_unnoticed_by_viewers() {
    let mut rig = Rig::new(FPS30);
    rig.play(u32::MAX - 3_000, 6);
    rig.check();
    assert_eq!((rig.count(RepairKind::Wrap), rig.timeline.repairs().total(), rig.breaks), (1, 1, 0));
}

#[test]
fn leaps_of_the_clock_are_taken_out_for_both_tracks_alike() {
    for (name, to) in [("forward", 9_800_000), ("a little forward", 8_000), ("back", 1_000), ("to zero", 0)] {
        let mut rig = Rig::new(FPS30);
        rig.play(3_000, 4);
        rig.play(to, 4);
        rig.check();
        assert_eq!((rig.count(RepairKind::Jump), rig.breaks), (1, 0), "{name}: {:?}", rig.timeline.repairs());
        assert_eq!(rig.of(Kind::Video).len(), 240, "{name}");
    }
}

#[test]
fn a_late_track_finds_the_clock_it_still_has() {
    let mut rig = Rig::new(FPS30);
    rig.play(0, 2);
    rig.push(Kind::Video, 100_000);
    // Sound of before the leap arrives after it.
    rig.push(Kind::Audio, 2_005);
    rig.push(Kind::Video, 100_033);
    rig.push(Kind::Audio, 100_027);
    rig.check();
    assert_eq!(rig.count(RepairKind::Jump), 1, "{:?}", rig.timeline.repairs());
}

#[test]
fn silence_of_the_publisher_is_a_break_and_true_time() {
    let mut rig = Rig::new(FPS30);
    rig.play(0, 2);
    rig.now_ms += 5_000;
    rig.play(7_000, 2);
    rig.check();
    assert_eq!((rig.count(RepairKind::Stall), rig.breaks), (1, 1), "{:?}", rig.timeline.repairs());
}

#[test]
fn a_new_publisher_goes_on_after_the_time_that_went_by() {
    let mut rig = Rig::new(FPS30);
    rig.play(50_000, 2);
    let before = rig.of(Kind::Video).last().unwrap().dts;
    rig.now_ms += 3_000;
    rig.timeline.start_session(WireClock::RTMP);
    rig.timeline.set_params(TrackId::VIDEO, &video(FPS30));
    rig.timeline.set_params(TrackId::AUDIO, &audio());
    rig.play(0, 2);
    rig.check();
    assert_eq!(rig.breaks, 1);
    let first = rig.of(Kind::Video)[60].dts;
    assert!((first - before - 270_000).abs() < 9_000, "{before} {first}");
}

#[test]
fn missing_sound_becomes_silence_and_returns_in_place() {
    let mut rig = Rig::new(FPS30);
    rig.play(0, 2);
    for n in 0..120u32 {
        rig.now_ms += 33;
        rig.push(Kind::Video, 2_000 + n * 100 / 3);
    }
    let silent = rig.of(Kind::Audio).len();
    assert!(silent > 94 + 100, "silence was put in: {silent}");
    rig.play(6_000, 2);
    rig.check();
    assert!(rig.count(RepairKind::Gap) >= 1);
}

#[test]
fn lost_frames_stretch_their_neighbour_and_the_grid_is_found_again() {
    let mut rig = Rig::new(FPS30);
    for n in (0..30u32).chain(33..90) {
        rig.now_ms += 33;
        rig.push(Kind::Video, (n * 1000 + 15) / 30);
    }
    let samples = rig.of(Kind::Video);
    assert_eq!(samples.iter().filter(|s| s.duration != Some(3000)).count(), 1);
    assert_eq!(samples.last().unwrap().dts - samples[0].dts, 89 * 3000);
    assert_eq!(rig.count(RepairKind::Gap), 1);
}

#[test]
fn stamps_that_repeat_or_go_back_are_moved_up() {
    let mut rig = Rig::new(FPS30);
    for stamp in [0, 33, 33, 20, 67, 100, 133, 167, 200] {
        rig.now_ms += 33;
        rig.push(Kind::Video, stamp);
    }
    rig.check();
    assert_eq!(rig.count(RepairKind::Backward), 2, "{:?}", rig.timeline.repairs());
}

#[test]
fn presentation_times_stay_on_the_grid_and_nonsense_is_dropped() {
    let mut rig = Rig::new(FPS30);
    for (n, cts) in [67, 133, 67, 0, 33, 9_000_000].into_iter().enumerate() {
        rig.push_cts(Kind::Video, u32::try_from(n).unwrap() * 100 / 3, cts);
    }
    let offsets: Vec<i64> = rig.of(Kind::Video).iter().map(|s| s.pts - s.dts).collect();
    assert_eq!(offsets, [6_000, 12_000, 6_000, 0, 3_000, 0]);
    assert_eq!(rig.count(RepairKind::Composition), 1);
}

#[test]
fn clocks_that_drift_apart_are_held_together() {
    let mut rig = Rig::new(FPS30);
    let mut worst = 0.0f64;
    // Two hours in which the sound card runs 100 ppm fast: 0.72 s if nobody minded.
    for n in 0..7_200 * 47u64 {
        let stamp = n * 1024 * 1_000_100 / 48_000 / 1_000;
        rig.now_ms = 5_000 + i64::try_from(stamp).unwrap();
        rig.push(Kind::Audio, u32::try_from(stamp).unwrap());
        let place = rig.out.last().unwrap().1.dts as f64 / 48.0 - 1_000.0;
        worst = worst.max((place - stamp as f64).abs());
        rig.out.clear();
    }
    assert!(worst < 20.0, "{worst} ms");
    assert!(rig.count(RepairKind::Drift) > 0);
}

proptest! {
    /// Whatever comes, time goes forward.
    #[test]
    fn never_goes_back_and_never_dies(input in prop::collection::vec((any::<bool>(), any::<u32>(), 0i64..3_000, any::<i32>()), 1..300)) {
        let mut rig = Rig::new(FPS30);
        for (is_video, stamp, wait, cts) in input {
            rig.now_ms += wait;
            rig.push_cts(if is_video { Kind::Video } else { Kind::Audio }, stamp, cts);
        }
        for kind in [Kind::Video, Kind::Audio] {
            for pair in rig.of(kind).windows(2) {
                prop_assert!(pair[1].dts > pair[0].dts);
            }
        }
    }
}
