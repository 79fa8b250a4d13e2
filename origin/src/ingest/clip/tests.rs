//! Rounds that have no common measure.

use bytes::Bytes;

use super::*;

fn frame(track: TrackId, stamp: u64) -> Arrival {
    Arrival {
        track,
        stamp,
        fine: 0,
        cts: 0,
        key: stamp == 0,
        samples: None,
        payload: Bytes::from_static(b"x"),
    }
}

#[test]
fn picture_and_sound_go_round_each_for_itself_and_never_drift() {
    // Two seconds of 29.97 frames, and one frame of sound of 44.1 kHz.
    let picture = (0..60).map(|n| frame(TrackId::VIDEO, n * 3003)).collect();
    let rounds = vec![
        Round { frames: picture, length: 60 * 1001, hz: 30_000 },
        Round { frames: vec![frame(TrackId::AUDIO, 0)], length: 1024, hz: 44_100 },
    ];
    let clip = Arc::new(Clip::new(Vec::new(), rounds));
    let mut input = ClipInput::new(clip, 500);
    let mut seen = Vec::new();
    input.read(500 + 3_600_000, &mut |_| (), &mut |media| {
        if let Media::Frame(arrival) = media {
            seen.push((arrival.track, arrival.stamp, arrival.key));
        }
    });
    assert!(seen.is_sorted_by_key(|(_, stamp, _)| *stamp), "in the order of their time");
    let of = |track| seen.iter().filter(move |(id, ..)| *id == track).enumerate();
    for (nth, (_, stamp, key)) in of(TrackId::VIDEO) {
        assert_eq!((*stamp, *key), (nth as u64 * 3003, nth % 60 == 0));
    }
    for (nth, (_, stamp, _)) in of(TrackId::AUDIO) {
        assert_eq!(*stamp, nth as u64 * 1024 * 90_000 / 44_100);
    }
    // An hour, both ends counted.
    assert_eq!((of(TrackId::VIDEO).count(), of(TrackId::AUDIO).count()), (107_893, 155_040));
}
