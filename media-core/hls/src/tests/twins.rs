//! Two nodes that see the same make the same, in bounded memory.

use nx_media::Params;
use proptest::prelude::*;

use super::sources::{self, Source, send};
use super::tracks::small;
use super::validator::Validator;
use super::{Rig, audio, specs, video};
use crate::{Ask, Lookup, Skip, Window};

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
