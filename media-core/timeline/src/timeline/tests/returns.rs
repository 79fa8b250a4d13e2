//! Tracks that pause while others go on, and come back to where their stamps say.

use super::*;

/// What is heard of one pause.
struct Seen {
    breaks: usize,
    repairs: Vec<RepairKind>,
    /// Furthest that a frame after the pause was from its stamp, milliseconds.
    worst_ms: f64,
    /// Samples that came of one frame at most.
    burst: usize,
}

/// Two seconds of everything, a pause of the tracks in `away`, three seconds of everything; frames of 33 ms.
fn pause(tracks: &[(TrackId, Params)], away: &[TrackId], ms: u32) -> Seen {
    let mut timeline = Timeline::new(Config::default());
    timeline.start_session(WireClock::RTMP);
    tracks.iter().for_each(|(id, params)| timeline.set_params(*id, params));
    let mut seen = Seen { breaks: 0, repairs: Vec::new(), worst_ms: 0.0, burst: 0 };
    let mut next = vec![0u64; tracks.len()];
    let end = 5_000 + ms;
    for now in 0..end {
        for ((id, params), next) in tracks.iter().zip(&mut next) {
            let frame_us = match params {
                Params::Video(_) => 1_000_000 / 30,
                Params::Audio(a) => u64::from(a.frame_samples) * 1_000_000 / u64::from(a.sample_rate),
            };
            if u64::from(now) * 1000 < *next * frame_us {
                continue;
            }
            *next += 1;
            if away.contains(id) && (2_000..2_000 + ms).contains(&now) {
                continue;
            }
            let payload = Bytes::from_static(b"sent");
            let stamp = now.into();
            timeline.push(
                now.into(),
                Arrival { track: *id, stamp, fine: 0, cts: 0, key: true, samples: None, payload },
            );
            let mut count = 0;
            while let Some(output) = timeline.poll() {
                count += 1;
                match output {
                    Output::Break => seen.breaks += 1,
                    // The frame after a hole may be stretched back over it.
                    Output::Sample(_, s) if now > 2_200 + ms && s.payload.as_ref() == b"sent" => {
                        let at_ms = s.dts as f64 * 1000.0 / f64::from(params.timescale());
                        seen.worst_ms = seen.worst_ms.max((at_ms - 1_000.0 - f64::from(now)).abs());
                    }
                    Output::Sample(..) => {}
                }
            }
            seen.burst = seen.burst.max(count);
        }
    }
    // Silence comes in whole frames; what is left over is slewed.
    let kinds = timeline.repairs().counts().map(|(kind, _)| kind);
    seen.repairs = kinds.filter(|kind| *kind != RepairKind::Drift).collect();
    seen
}

fn unfillable() -> Params {
    let Params::Audio(aac) = audio() else { unreachable!() };
    Params::Audio(AudioParams { codec: AudioCodec::Ac3, frame_samples: 1536, ..aac })
}

#[test]
fn tracks_come_back_to_where_their_stamps_say() {
    use RepairKind::{Gap, Stall};
    const V: TrackId = TrackId::VIDEO;
    const A: TrackId = TrackId::AUDIO;
    let (v2, a2) = (TrackId::video(1), TrackId::audio(1));
    let usual = [(V, video(FPS30)), (A, audio())];
    let two = [(V, video(FPS30)), (v2, video(FPS30)), (A, audio())];
    let foreign = [(V, video(FPS30)), (A, unfillable())];
    let radio = [(A, audio()), (a2, audio())];
    type Case<'a> = (&'a str, &'a [(TrackId, Params)], &'a [TrackId], u32, usize, &'a [RepairKind]);
    let cases: [Case; 12] = [
        ("pictures, a little", &usual, &[V], 700, 0, &[Gap]),
        ("pictures, 1.2 s", &usual, &[V], 1_200, 1, &[Stall]),
        ("pictures, 10 s", &usual, &[V], 10_000, 1, &[Stall]),
        ("the other pictures", &two, &[v2], 10_000, 0, &[Stall]),
        ("sound, 1.2 s", &usual, &[A], 1_200, 0, &[Gap]),
        ("sound, 10 s", &usual, &[A], 10_000, 0, &[Gap]),
        ("sound without a known silence, 10 s", &foreign, &[A], 10_000, 0, &[Stall]),
        ("one sound of two, 2 s", &radio, &[A], 2_000, 0, &[Gap]),
        ("one sound of two, a minute", &radio, &[A], 60_000, 1, &[Stall]),
        ("the other sound of two, a minute", &radio, &[a2], 60_000, 0, &[Stall]),
        ("everything, 1.2 s", &usual, &[V, A], 1_200, 1, &[Stall]),
        ("everything, a minute", &usual, &[V, A], 60_000, 1, &[Stall]),
    ];
    for (name, tracks, away, ms, breaks, repairs) in cases {
        let seen = pause(tracks, away, ms);
        assert_eq!((seen.breaks, seen.repairs.as_slice()), (breaks, repairs), "{name}");
        assert!(seen.worst_ms < 45.0, "{name}: {} ms", seen.worst_ms);
        assert!(seen.burst < 250, "{name}: {} samples at once", seen.burst);
    }
}

#[test]
fn tracks_that_are_over_are_forgotten() {
    let mut rig = Rig::new(FPS30);
    rig.play(0, 2);
    rig.timeline.keep_tracks(&[TrackId::VIDEO]);
    let before = rig.of(Kind::Audio).len();
    for n in 0..120u32 {
        rig.now_ms += 33;
        rig.push(Kind::Video, 2_000 + n * 100 / 3);
        rig.push(Kind::Audio, 2_000 + n * 100 / 3);
    }
    assert_eq!(rig.of(Kind::Audio).len(), before, "neither sound nor silence");
    assert_eq!(rig.timeline.repairs().total(), 0, "{:?}", rig.timeline.repairs());
}
