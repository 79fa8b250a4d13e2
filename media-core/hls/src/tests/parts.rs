//! Parts are nearly all as long as they say: at most the target, at least 85 % of it (RFC 8216bis §4.4.3.7).

use nx_media::{AudioParams, FrameRate, Params, Sample, VideoParams};
use proptest::prelude::*;

use super::{Rig, audio, frame, video};
use crate::Event;

/// Lengths of the parts of a track in thousandths of the part target, the last of each segment left out.
fn permille(rig: &Rig, track: usize) -> Vec<u64> {
    let scale = u64::from(rig.window.tracks().nth(track).expect("a track").params.timescale());
    let target_us = u64::from(rig.window.part_target_us());
    let mut lengths = Vec::new();
    for event in &rig.events {
        match event {
            Event::Part { track: t, part } if *t == track => {
                lengths.push(part.duration * 1_000_000_000 / (scale * target_us));
            }
            Event::SegmentEnd { track: t, .. } if *t == track => drop(lengths.pop()),
            _ => {}
        }
    }
    lengths
}

/// Ten seconds of these tracks; `known` durations or such that only the next frame tells.
fn packaged(fps: FrameRate, sound: &Params, gop: u32, known: bool) -> Rig {
    let Params::Video(params) = video() else { unreachable!() };
    let picture = Params::Video(VideoParams { frame_rate: known.then_some(fps), ..params });
    let Params::Audio(AudioParams { sample_rate, frame_samples, .. }) = *sound else { unreachable!() };
    let mut rig = Rig::new(&[picture, sound.clone()]);
    let (rate, ticks) = (i64::from(sample_rate), fps.frame_ticks(90_000));
    let (mut at, mut heard) = (90_000, rate);
    for n in 0.. {
        if at > 11 * 90_000 {
            break;
        }
        let sample = frame(at, ticks, n % gop == 0);
        rig.push(0, Sample { duration: sample.duration.filter(|_| known), ..sample });
        at += i64::from(ticks);
        while heard * 90_000 < at * rate {
            rig.push(1, frame(heard, frame_samples, true));
            heard += i64::from(frame_samples);
        }
    }
    rig
}

fn sound(sample_rate: u32, frame_samples: u32) -> Params {
    let Params::Audio(aac) = audio() else { unreachable!() };
    Params::Audio(AudioParams { sample_rate, frame_samples, ..aac })
}

fn rates() -> impl Iterator<Item = FrameRate> {
    let whole = (5..=120).map(|num| FrameRate { num, den: 1 });
    whole.chain([24_000, 30_000, 60_000].map(|num| FrameRate { num, den: 1001 }))
}

#[test]
fn every_usual_frame_rate_makes_parts_of_the_target() {
    for fps in rates() {
        for (rate, samples) in [(48_000, 1024), (44_100, 1024), (44_100, 2048), (48_000, 960), (48_000, 1536)]
        {
            let gop = fps.num / fps.den * 2;
            let rig = packaged(fps, &sound(rate, samples), gop.max(1), true);
            for track in 0..2 {
                let lengths = permille(&rig, track);
                assert!(lengths.len() > 8, "{fps:?}");
                let bad = lengths.iter().find(|l| !(850..=1000).contains(*l));
                assert_eq!(bad, None, "{fps:?} with {samples} at {rate}, track {track}");
            }
        }
    }
}

#[test]
fn a_target_is_chosen_that_suits_long_frames_of_sound_too() {
    for (fps, rate, samples, target_ms) in
        [(25, 8_000, 1024, 280), (30, 8_000, 1024, 300), (25, 44_100, 4096, 320), (50, 48_000, 5760, 360)]
    {
        let rig = packaged(FrameRate { num: fps, den: 1 }, &sound(rate, samples), fps * 2, true);
        assert_eq!(rig.window.part_target_us(), target_ms * 1000, "{fps} {rate} {samples}");
        for track in 0..2 {
            assert!(permille(&rig, track).iter().all(|l| (850..=1000).contains(l)), "{fps} {rate} {samples}");
        }
    }
}

#[test]
fn frames_of_unknown_length_make_parts_of_the_wanted_length_where_they_can() {
    let mut short = Vec::new();
    for fps in rates() {
        let rig = packaged(fps, &audio(), fps.num / fps.den * 2, false);
        assert_eq!(rig.window.part_target_us(), 334_000);
        let lengths = permille(&rig, 0);
        assert!(lengths.iter().all(|l| *l <= 1000), "{fps:?}");
        if lengths.iter().any(|l| *l < 850) {
            short.push(fps.num);
        }
    }
    // Whole frames of these do not fill 85 % of a third of a second.
    assert_eq!(short, [5, 8, 11]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any regular frames, any sound: the picture's parts are right; the sound's when some target suits both.
    #[test]
    fn parts_fill_the_target(num in 5_000u32..120_000, gop in 1u32..300) {
        let fps = FrameRate { num, den: 1000 };
        let rig = packaged(fps, &audio(), gop, true);
        for track in 0..2 {
            for length in permille(&rig, track) {
                prop_assert!((850..=1000).contains(&length), "{} {length}", track);
            }
        }
    }

    /// Frames of any length: no part is longer than the target unless a single frame is.
    #[test]
    fn no_part_is_too_long(frames in prop::collection::vec((1u32..60_000, any::<bool>()), 20..200)) {
        let mut rig = Rig::new(&[video()]);
        let mut at = 90_000;
        for (n, (ticks, known)) in frames.iter().enumerate() {
            let sample = frame(at, *ticks, n == 0);
            rig.push(0, Sample { duration: sample.duration.filter(|_| *known), ..sample });
            at += i64::from(*ticks);
        }
        rig.packager.finish();
        rig.settle();
        let target = u64::from(rig.window.part_target_us()) * 90 / 1000;
        for event in &rig.events {
            let Event::Part { part, .. } = event else { continue };
            let samples = nx_container::fmp4::samples(&part.bytes).expect("readable").len();
            prop_assert!(part.duration <= target || samples == 1, "{} {samples}", part.duration);
        }
    }
}
