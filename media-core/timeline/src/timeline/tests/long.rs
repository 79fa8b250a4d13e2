//! Three days of clocks that drift apart, and a counter that goes round meanwhile.

use super::*;

/// Seconds of three days.
const THREE_DAYS: u64 = 72 * 3600;

/// Furthest that sound and picture come from the relation of their stamps, milliseconds: the sound card is `ppm`
/// fast, stamps are true. Frames are long, to be done soon: the arithmetic is the same.
fn worst_ms(ppm: i64) -> f64 {
    let Params::Audio(aac) = audio() else { unreachable!() };
    let params = Params::Audio(AudioParams { sample_rate: 8_000, ..aac });
    let mut timeline = Timeline::new(Config::default());
    timeline.start_session(WireClock::RTMP);
    timeline.set_params(TrackId::VIDEO, &video(Some(FrameRate { num: 5, den: 1 })));
    timeline.set_params(TrackId::AUDIO, &params);
    // Sixty hours before the counter goes round.
    let start = u64::from(u32::MAX) - 60 * 3_600_000;
    let (mut shift, mut worst) = ([None; 2], 0.0f64);
    let (mut v, mut a) = (0u64, 0u64);
    let sound_us = |n: u64| {
        n * 128_000 - n * 128_000 * ppm.unsigned_abs() / 1_000_000 * u64::from(ppm > 0)
            + n * 128_000 * ppm.unsigned_abs() / 1_000_000 * u64::from(ppm < 0)
    };
    while v < THREE_DAYS * 5 {
        let (vt, at) = (v * 200_000, sound_us(a));
        let (track, us) = if vt <= at { (TrackId::VIDEO, vt) } else { (TrackId::AUDIO, at) };
        *if vt <= at { &mut v } else { &mut a } += 1;
        let ms = (us + 500) / 1000;
        let payload = Bytes::from_static(b"sent");
        let stamp = (start + ms) & u64::from(u32::MAX);
        let now = i64::try_from(ms).unwrap();
        timeline.push(now, Arrival { track, stamp, fine: 0, cts: 0, key: true, samples: None, payload });
        while let Some(output) = timeline.poll() {
            let Output::Sample(id, sample) = output else { panic!("a break at {ms}") };
            let scale = if id.kind == Kind::Video { 90.0 } else { 8.0 };
            shift[id.kind as usize] = Some(sample.dts as f64 / scale - us as f64 / 1000.0);
        }
        if let [Some(video), Some(audio)] = shift {
            worst = worst.max((video - audio).abs());
        }
    }
    let kinds: Vec<RepairKind> = timeline.repairs().counts().map(|(kind, _)| kind).collect();
    assert!(kinds.iter().all(|k| matches!(k, RepairKind::Wrap | RepairKind::Drift)), "{kinds:?}");
    assert!(kinds.contains(&RepairKind::Wrap), "{kinds:?}");
    worst
}

#[test]
fn sound_and_picture_are_together_for_three_days() {
    for ppm in [50, -50] {
        let worst = worst_ms(ppm);
        assert!(worst < 20.0, "{ppm} ppm: {worst} ms");
    }
}
