//! A timeline that goes on with what another has placed.

use super::*;

/// Twelve seconds of a publisher: pictures and sound in the order of their times, each frame with bytes of its own.
fn sent(fps: (u32, u32), rate: u32) -> Vec<(i64, Arrival)> {
    let frame = |track: TrackId, nth: u64, us: u64| {
        let ms = (us + 500) / 1000;
        let payload = Bytes::from(format!("{track} {nth}"));
        let key = track == TrackId::AUDIO || nth.is_multiple_of(30);
        (
            i64::try_from(ms).unwrap(),
            Arrival { track, stamp: ms, fine: 0, cts: 0, key, samples: None, payload },
        )
    };
    let (num, den, rate) = (u64::from(fps.0), u64::from(fps.1), u64::from(rate));
    let video = (0..12 * num / den).map(|n| frame(TrackId::VIDEO, n, n * 1_000_000 * den / num));
    let audio = (0..12 * rate / 1024).map(|n| frame(TrackId::AUDIO, n, n * 1_024_000_000 / rate));
    let mut all: Vec<(i64, Arrival)> = video.chain(audio).collect();
    all.sort_by_key(|(ms, a)| (*ms, a.track));
    all
}

fn timeline(fps: (u32, u32), rate: u32) -> Timeline {
    let mut timeline = Timeline::new(Config::default());
    timeline.start_session(WireClock::RTMP);
    timeline.set_params(TrackId::VIDEO, &video(Some(FrameRate { num: fps.0, den: fps.1 })));
    let Params::Audio(sound) = audio() else { unreachable!() };
    timeline.set_params(TrackId::AUDIO, &Params::Audio(AudioParams { sample_rate: rate, ..sound }));
    timeline
}

/// Pushes frames whose counter was begun elsewhere; gives what comes of them.
fn run(timeline: &mut Timeline, arrivals: &[(i64, Arrival)]) -> Vec<(TrackId, Sample)> {
    let mut out = Vec::new();
    for (ms, arrival) in arrivals {
        timeline.push(*ms, arrival.clone());
        while let Some(output) = timeline.poll() {
            match output {
                Output::Sample(id, sample) => out.push((id, sample)),
                Output::Break => panic!("a break"),
            }
        }
    }
    out
}

fn of(out: &[(TrackId, Sample)], id: TrackId) -> Vec<Sample> {
    out.iter().filter(|(of, _)| *of == id).map(|(_, s)| s.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever its stamps begin with, it places what follows as the one before would have; if it lacks some of the placed
    /// frames, within 20 ms and as many frames.
    #[test]
    fn who_joins_places_every_later_frame_as_the_one_before(
        fps in prop::sample::select(vec![(30, 1), (25, 1), (60, 1), (30_000, 1_001)]),
        rate in prop::sample::select(vec![44_100u32, 48_000]),
        at in 200usize..600, base in any::<u32>(), lost in prop::collection::vec(0usize..40, 0..4), late in 0i64..400,
    ) {
        let frames = sent(fps, rate);
        let mut one = timeline(fps, rate);
        let before = run(&mut one, &frames[..at]);
        let after = run(&mut one, &frames[at..]);
        // The other connection began later, with another stamp, and lacks some frames that were placed.
        let mut here: Vec<(i64, Arrival)> = frames[at.saturating_sub(160)..].to_vec();
        let mut lost = lost;
        lost.sort_unstable();
        lost.dedup();
        lost.iter().rev().for_each(|back| drop(here.remove(160.min(at) - 1 - back)));
        for (ms, arrival) in &mut here {
            *ms += late;
            arrival.stamp = (arrival.stamp + u64::from(base)) & u64::from(u32::MAX);
        }
        let mut other = timeline(fps, rate);
        let newest = |id| {
            let all = of(&before, id);
            (id, all[all.len().saturating_sub(60)..].to_vec())
        };
        let placed = [newest(TrackId::VIDEO), newest(TrackId::AUDIO)];
        prop_assert!(other.join(WireClock::RTMP, &placed, frames[at - 1].0 + late, &here));
        let joined = run(&mut other, &here);
        for id in [TrackId::VIDEO, TrackId::AUDIO] {
            let (joined, after) = (of(&joined, id), of(&after, id));
            if lost.is_empty() {
                prop_assert_eq!(&joined, &after, "{}", id);
            }
            // Without all of them drift is measured anew: never further off than what drift may be.
            prop_assert!(joined.len() + lost.len() >= after.len(), "{id}: {} of {}", joined.len(), after.len());
            let placed = |frame: &Sample| after.iter().find(|a| a.payload == frame.payload);
            for (joined, after) in joined.iter().filter_map(|frame| Some((frame, placed(frame)?))) {
                let off = (joined.pts - after.pts).unsigned_abs();
                let (fiftieth, frame) = if id == TrackId::VIDEO { (1_800, 3_600) } else { (u64::from(rate) / 50, 1_024) };
                let most = fiftieth + frame * u64::try_from(lost.len()).unwrap_or(0);
                prop_assert!(off <= most, "{id}: {off} off");
            }
        }
    }

    /// Frames of another picture have nothing in common: nothing is joined, and nothing is changed.
    #[test]
    fn strangers_are_not_joined(at in 100usize..300) {
        let frames = sent((30, 1), 48_000);
        let before = run(&mut timeline((30, 1), 48_000), &frames[..at]);
        let mut here = frames.clone();
        here.iter_mut().for_each(|(_, arrival)| arrival.payload = Bytes::from_static(b"other"));
        let mut other = timeline((30, 1), 48_000);
        prop_assert!(!other.join(WireClock::RTMP, &[(TrackId::VIDEO, of(&before, TrackId::VIDEO))], 0, &here));
        let mut fresh = timeline((30, 1), 48_000);
        prop_assert_eq!(run(&mut other, &here), run(&mut fresh, &here));
    }
}

#[test]
fn of_pictures_that_repeat_themselves_the_one_that_came_then_counts() {
    let mut frames = sent((30, 1), 48_000);
    for (nth, (_, arrival)) in frames.iter_mut().filter(|(_, a)| a.track == TrackId::VIDEO).enumerate() {
        arrival.payload = Bytes::from(format!("{}", nth % 16));
    }
    let mut one = timeline((30, 1), 48_000);
    let before = run(&mut one, &frames[..400]);
    let after = run(&mut one, &frames[400..]);
    let mut other = timeline((30, 1), 48_000);
    let placed = [TrackId::VIDEO, TrackId::AUDIO].map(|id| (id, of(&before, id)));
    assert!(other.join(WireClock::RTMP, &placed, frames[399].0 + 120, &frames));
    let joined = run(&mut other, &frames);
    assert_eq!(of(&joined, TrackId::VIDEO), of(&after, TrackId::VIDEO));
}
