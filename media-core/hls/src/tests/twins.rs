//! Two nodes that see the same make the same, in bounded memory.

use std::hash::{DefaultHasher, Hash, Hasher};

use nx_media::Params;
use proptest::prelude::*;

use super::sources::{self, Source, send};
use super::tracks::small;
use super::validator::Validator;
use super::{Rig, audio, specs, video};
use crate::{Ask, Config, Event, Lookup, Packager, Part, Skip, Start, Window};

/// Everything that a window can be asked for.
fn all(window: &Window) -> Vec<String> {
    let count = window.tracks().chain(window.vanished()).count();
    let asks = (0..count).flat_map(|t| [Ask::Track(t), Ask::IFrames(t)]).chain([Ask::Ts]);
    let each = asks.flat_map(|ask| {
        [Skip::None, Skip::Segments, Skip::DateRanges].map(|skip| window.media_playlist(ask, skip))
    });
    each.chain([window.multivariant()]).flatten().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// The same samples give the same bytes and playlists; a segment is its parts; a window stays within its budget
    /// and what it has to list.
    #[test]
    fn the_same_samples_give_the_same_stream(
        gop in 20u32..150, b in 0u32..3, late in -200i64..200, breaks in prop::collection::vec(0u8..3, 0..3),
        listed in 3usize..10, budget in 0usize..200_000,
    ) {
        let sources = [Source { gop, b, ..Source::new(video()) }, Source { late_ms: late, ..Source::new(small()) }, Source::new(audio())];
        let packaged = || -> Rig {
            let mut rig = sources::rig(&sources);
            rig.window = Window::new(listed, 2, budget);
            send(&mut rig, &sources, 17_000, &mut Validator::default());
            for how in &breaks {
                let params: Vec<Params> = sources.iter().map(|s| s.params.clone()).collect();
                rig.packager.set_tracks(&specs(&params[..3 - usize::from(*how)]));
                rig.settle();
                send(&mut rig, &sources[..3 - usize::from(*how)], 17_000, &mut Validator::default());
            }
            rig.packager.finish();
            rig.settle();
            rig
        };
        let (mut one, other) = (packaged(), packaged());
        prop_assert!(one.events == other.events);
        prop_assert_eq!(all(&one.window), all(&other.window));
        for track in 0..one.window.tracks.len() {
            for msn in 100..one.packager.next_msn() {
                let Lookup::Found(segment) = one.window.segment(track, msn) else { continue };
                let parts = (0..).map_while(|n| match one.window.part(track, msn, n) {
                    Lookup::Found(bytes) => Some(bytes),
                    _ => None,
                });
                let joined: Vec<u8> = parts.flatten().collect();
                prop_assert_eq!(joined.len(), segment.bytes());
                let samples = nx_container::fmp4::samples(&joined.into()).unwrap();
                let ticks: u64 = samples.iter().map(|s| u64::from(s.duration.unwrap())).sum();
                prop_assert_eq!(Some(ticks), segment.duration);
            }
        }
        // Listed segments and one more of each track, or the budget.
        let must: usize = one.window.tracks.iter().map(|t| {
            let n = t.segments.len();
            t.segments.iter().skip(n.saturating_sub(listed + 1)).map(crate::Segment::bytes).sum::<usize>()
        }).sum();
        prop_assert!(one.window.bytes() <= budget.max(must) + 60_000, "{} of {budget}, {must}", one.window.bytes());
        // A window that hears it all at once says the same.
        let mut late_node = Window::new(listed, 2, budget);
        for event in one.events.drain(..) {
            late_node.apply(event);
        }
        prop_assert_eq!(all(&late_node), all(&one.window));
    }
}

/// A part, or the end of a segment: number, place, time, length, and the bytes in short.
type Said = (u64, Option<u32>, i64, u64, u64);

/// What a packager said of a track.
fn said(events: &[Event], track: usize) -> Vec<Said> {
    let hash = |part: &Part| {
        let mut hasher = DefaultHasher::new();
        part.bytes.hash(&mut hasher);
        hasher.finish()
    };
    let of = |event: &Event| match event {
        Event::Part { track: t, part } if *t == track => {
            Some((part.msn, Some(part.index), part.dts, part.duration, hash(part)))
        }
        Event::SegmentEnd { track: t, msn, duration } if *t == track => Some((*msn, None, 0, *duration, 0)),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

/// The list of a track, without what it reports of others.
fn lines(window: &Window, track: usize) -> Vec<String> {
    let text = window.media_playlist(Ask::Track(track), Skip::None).unwrap_or_default();
    text.lines().filter(|line| !line.contains("RENDITION-REPORT")).map(str::to_owned).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A packager that takes over from a window at any moment makes what the one before would have made.
    #[test]
    fn who_takes_over_goes_on_byte_for_byte(
        gop in 10u32..150, b in 0u32..3, late in -200i64..200, untold in any::<bool>(), at in any::<prop::sample::Index>(),
    ) {
        let sources = [Source { gop, b, ..Source::new(video()) }, Source { late_ms: late, ..Source::new(audio()) }];
        let mut frames = sources::arrivals(&sources, 12_000);
        if untold {
            frames.iter_mut().filter(|(track, _)| *track == 0).for_each(|(_, s)| s.duration = None);
        }
        let mut one = sources::rig(&sources);
        let mut windows = Vec::new();
        for (track, sample) in &frames {
            one.packager.push(*track, sample.clone(), super::WALL);
            while let Some(event) = one.packager.poll() {
                one.events.push(event.clone());
                one.window.apply(event);
                windows.push(one.window.clone());
            }
        }
        let nth = at.index(windows.len());
        let mut seen = windows.swap_remove(nth.min(windows.len() - 1));
        let rest = one.events.split_off(nth.min(one.events.len() - 1) + 1);
        let mut other = Packager::new(Config::default(), Start::default());
        let led = seen.run().map_or(0, |run| run.leader());
        prop_assert_eq!(other.adopt(&seen, true), seen.parts_from(led, 0).next().is_some());
        if other.run_tracks().is_empty() {
            return Ok(());
        }
        let ends: Vec<i64> = (0..2).map(|track| {
            let last = seen.parts_from(track, 0).last().map(|p| nx_container::fmp4::samples(&p.bytes).unwrap());
            last.and_then(|samples| samples.last().map(|s| s.dts)).unwrap_or(i64::MIN)
        }).collect();
        let open = seen.next(1).unwrap();
        let (mut events, mut rest) = (Vec::new(), rest);
        for (track, sample) in frames.into_iter().filter(|(track, s)| s.dts > ends[*track]) {
            other.push(track, sample, super::WALL + 77);
            while let Some(event) = other.poll() {
                events.push(event.clone());
                seen.apply(event);
            }
        }
        prop_assert_eq!((other.next_msn(), other.runs()), (one.packager.next_msn(), one.packager.runs()));
        prop_assert_eq!(lines(&seen, 0), lines(&one.window, 0));
        Validator::default().check(&seen);
        for (packager, events) in [(&mut one.packager, &mut rest), (&mut other, &mut events)] {
            packager.finish();
            events.extend(std::iter::from_fn(|| packager.poll()));
        }
        prop_assert!(!events.iter().any(|event| matches!(event, Event::Run(_))));
        prop_assert_eq!(said(&events, 0), said(&rest, 0));
        // A frame of sound that the one before had when it did not know of a cut may fall behind it now.
        let later = |events: &[Event]| -> Vec<Said> {
            said(events, 1).into_iter().filter(|(msn, ..)| *msn > open.msn + 1).collect()
        };
        prop_assert_eq!(later(&events), later(&rest));
        let ticks = |events: &[Event]| -> u64 {
            said(events, 1).iter().filter(|(_, part, ..)| part.is_some()).map(|(.., ticks, _)| ticks).sum()
        };
        prop_assert_eq!(ticks(&events), ticks(&rest));
    }

    /// A run that is taken over to be ended ends where it stood, and the next has the next numbers.
    #[test]
    fn who_takes_over_with_other_tracks_ends_the_run(gop in 10u32..150, at in any::<prop::sample::Index>()) {
        let sources = [Source { gop, ..Source::new(video()) }, Source::new(audio())];
        let mut one = sources::rig(&sources);
        let mut windows = Vec::new();
        for (track, sample) in sources::arrivals(&sources, 8_000) {
            one.packager.push(track, sample, super::WALL);
            while let Some(event) = one.packager.poll() {
                one.window.apply(event);
                windows.push(one.window.clone());
            }
        }
        let mut seen = windows.swap_remove(at.index(windows.len()));
        let mut other = Packager::new(Config::default(), Start::default());
        other.adopt(&seen, false);
        other.set_tracks(&specs(&[video()]));
        for n in 0..90 {
            other.push(0, super::frame(9_000_000 + n * 3000, 3000, n == 0), super::WALL + 100_000);
        }
        let before = seen.next(0).unwrap();
        while let Some(event) = other.poll() {
            seen.apply(event);
        }
        let first = seen.run().unwrap().first_msn;
        prop_assert_eq!(seen.run().unwrap().number, 1);
        prop_assert!((before.msn..=before.msn + 1).contains(&first), "{} after {:?}", first, before);
        Validator::default().check(&seen);
        let text = seen.media_playlist(Ask::Track(0), Skip::None).unwrap();
        prop_assert!(!text.contains("EXTINF:0.000000"), "{}", text);
    }
}
