//! Delta updates: what a player puts together from an older playlist and a delta is the newest playlist.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::sources::{self, Source, send};
use super::validator::{Validator, attribute};
use super::{Rig, WALL, audio, specs, video};
use crate::{Ask, DateRange, Skip, Window};

/// A playlist as a player holds it: each segment with all that it needs.
#[derive(Debug, Clone, PartialEq, Default)]
struct Held {
    head: Vec<String>,
    dates: BTreeMap<String, Vec<String>>,
    segments: BTreeMap<u64, Vec<String>>,
    /// Segments that a delta left out, ids of date ranges that it says are gone.
    skipped: u64,
    removed: Option<Vec<String>>,
    /// The open segment, hint and reports.
    tail: Vec<String>,
}

fn is_of_segment(line: &str) -> bool {
    let tags = [
        "DISCONTINUITY",
        "PROGRAM-DATE-TIME",
        "CUE-OUT",
        "CUE-OUT-CONT",
        "CUE-IN",
        "PART",
        "GAP",
        "PRELOAD-HINT",
        "RENDITION-REPORT",
        "ENDLIST",
    ];
    line.starts_with("#EXTINF")
        || tags.iter().any(|tag| {
            line.strip_prefix("#EXT-X-").is_some_and(|l| l == *tag || l.starts_with(&format!("{tag}:")))
        })
}

/// Takes a playlist apart.
fn hold(text: &str) -> Held {
    let mut held = Held::default();
    let (mut msn, mut map, mut open) = (0, String::new(), Vec::new());
    for line in text.lines() {
        if line.starts_with("#EXT-X-VERSION") {
            continue;
        }
        if let Some(first) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
            msn = first.parse().expect("a number");
        }
        if line.starts_with("#EXT-X-SKIP") {
            held.skipped = attribute(line, "SKIPPED-SEGMENTS").expect("a count").parse().expect("a number");
            let ids = attribute(line, "RECENTLY-REMOVED-DATERANGES");
            held.removed = ids.map(|ids| ids.split('\t').map(str::to_owned).collect());
            msn += held.skipped;
        } else if line.starts_with("#EXT-X-DATERANGE") {
            let id = attribute(line, "ID").expect("an id").to_owned();
            held.dates.entry(id).or_default().push(line.to_owned());
        } else if let Some(uri) = line.strip_prefix("#EXT-X-MAP:") {
            uri.clone_into(&mut map);
        } else if !line.starts_with('#') {
            assert!(!map.is_empty(), "an init segment before {line}\n{text}");
            open.extend([map.clone(), line.to_owned()]);
            held.segments.insert(msn, std::mem::take(&mut open));
            msn += 1;
        } else if is_of_segment(line) {
            open.push(line.to_owned());
        } else {
            held.head.push(line.to_owned());
        }
    }
    open.push(map);
    Held { tail: open, ..held }
}

/// What a player makes of an older playlist and a delta; `None` when the older one is too old.
fn merge(old: &Held, delta: Held) -> Option<Held> {
    let first =
        delta.head.iter().find_map(|l| l.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"))?.parse::<u64>().ok()?;
    let mut whole = Held { skipped: 0, removed: None, ..delta.clone() };
    for msn in first..first + delta.skipped {
        // Parts that far from the edge are listed no more.
        let lines = old.segments.get(&msn)?.iter().filter(|l| !l.starts_with("#EXT-X-PART:"));
        whole.segments.insert(msn, lines.cloned().collect());
    }
    if let Some(removed) = delta.removed {
        let still = old.dates.iter().filter(|(id, _)| !removed.contains(id));
        whole.dates = still.map(|(id, lines)| (id.clone(), lines.clone())).chain(delta.dates).collect();
    }
    Some(whole)
}

/// Keeps every version of every playlist, and merges each with the newest delta.
#[derive(Debug, Default)]
struct Players {
    versions: BTreeMap<String, Vec<Held>>,
    merged: usize,
    too_old: usize,
}

impl Players {
    fn look(&mut self, window: &Window) {
        for (index, track) in window.tracks().chain(window.vanished()).enumerate() {
            let get = |skip| window.media_playlist(Ask::Track(index), skip);
            let Some(text) = get(Skip::None) else { continue };
            assert!(text.contains("CAN-SKIP-UNTIL=12,CAN-SKIP-DATERANGES=YES,"), "{text}");
            let full = hold(&text);
            let versions = self.versions.entry(track.name.clone()).or_default();
            for skip in [Skip::Segments, Skip::DateRanges] {
                let delta_text = get(skip).expect("a delta");
                let delta = hold(&delta_text);
                if delta.skipped == 0 {
                    assert_eq!(delta_text, text);
                    continue;
                }
                let version = if skip == Skip::DateRanges { 10 } else { 9 };
                assert!(delta_text.contains(&format!("#EXT-X-VERSION:{version}\n")), "{delta_text}");
                assert_eq!(delta.removed.is_some(), skip == Skip::DateRanges, "{delta_text}");
                let last = |held: &Held| held.segments.last_key_value().map_or(0, |(msn, _)| *msn);
                for old in versions.iter() {
                    match merge(old, delta.clone()) {
                        Some(whole) => {
                            assert_eq!(whole, full, "{delta_text}\n{text}");
                            self.merged += 1;
                        }
                        // Six seconds old it may be: three segments of two.
                        None => {
                            assert!(last(old) + 4 < last(&full), "{old:?}\n{delta_text}");
                            self.too_old += 1;
                        }
                    }
                }
            }
            versions.push(full);
        }
    }
}

fn long(sources: &[Source]) -> Rig {
    let mut rig = sources::rig(sources);
    rig.window = Window::new(12, 2, 6 << 20);
    rig
}

fn cue(id: &str, pts_us: i64, planned_ms: Option<u64>) -> DateRange {
    let section = Some(Bytes::from_static(&[0xfc]));
    let planned_duration_us = planned_ms.map(|ms| ms * 1000);
    DateRange { id: id.into(), pts_us, planned_duration_us, scte35_out: section, ..DateRange::default() }
}

/// Says more of a cue, or takes it back.
fn change_cue(rig: &mut Rig, change: u8, cue: DateRange) {
    let back = DateRange { pts_us: cue.pts_us + 2_000_000, ..cue.clone() };
    match change {
        0 => rig.packager.cue(DateRange { scte35_in: Some(Bytes::from_static(&[1])), ..back }),
        1 => rig.packager.add_cue(DateRange { ends: true, ..back }),
        2 => rig.packager.add_cue(DateRange { attributes: vec![("X-A".into(), "1".into())], ..cue }),
        3 => rig.packager.withdraw(&cue.id),
        // Until the next, or longer than was planned.
        _ => rig.packager.add_cue(DateRange { duration_us: Some(9_000_000), ..cue }),
    }
    rig.settle();
}

#[test]
fn a_delta_leaves_out_what_is_further_than_six_targets_and_begins_whole() {
    let sources = [Source::new(video()), Source::new(audio())];
    let mut rig = long(&sources);
    rig.packager.cue(cue("known", 1_500_000, None));
    send(&mut rig, &sources, 20_700, &mut Validator::default());
    let delta = rig.window.media_playlist(Ask::Track(0), Skip::Segments).expect("a delta");
    // 110 is open since 20 s; 103 ends 12.7 s from the edge, 104 10.7 s.
    let head = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:100\n\
        #EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12,\
        CAN-SKIP-DATERANGES=YES,PART-HOLD-BACK=1.002,HOLD-BACK=6\n#EXT-X-PART-INF:PART-TARGET=0.334\n\
        #EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-DATERANGE:ID=\"known\",START-DATE=\"2026-11-18T11:06:40.500Z\",SCTE35-OUT=0xFC\n\
        #EXT-X-SKIP:SKIPPED-SEGMENTS=4\n#EXT-X-MAP:URI=\"init-0.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:2026-11-18T11:06:48.000Z\n\
        #EXT-X-CUE-OUT-CONT:6.000\n#EXTINF:2.000000,\n104.m4s\n";
    assert!(delta.starts_with(head), "{delta}");
    let second = rig.window.media_playlist(Ask::Track(0), Skip::DateRanges).expect("a delta");
    let line = "#EXT-X-SKIP:SKIPPED-SEGMENTS=4,RECENTLY-REMOVED-DATERANGES=\"\"\n";
    assert!(second.contains(line) && !second.contains("#EXT-X-DATERANGE"), "{second}");
    let short = sources::rig(&sources);
    assert!(!Window::new(6, 2, 0).media_playlist(Ask::Ts, Skip::None).is_some_and(|t| t.contains("SKIP")));
    assert_eq!(short.window.media_playlist(Ask::Track(0), Skip::Segments), None);
}

#[test]
fn a_window_no_longer_than_the_boundary_does_not_offer_deltas() {
    let mut rig = Rig::new(&[video(), audio()]);
    rig.run(900, 60);
    let text = rig.playlist(0);
    assert!(!text.contains("SKIP"), "{text}");
    for skip in [Skip::Segments, Skip::DateRanges] {
        assert_eq!(rig.window.media_playlist(Ask::Track(0), skip).as_ref(), Some(&text));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Breaks, tracks that come and go, cues that begin, end, grow, are taken back and pushed out, and that last until
    /// the next of their class: any version merges to the newest.
    #[test]
    fn any_older_playlist_and_a_delta_make_the_newest(
        gop in 20u32..120,
        runs in prop::collection::vec((4_000i64..24_000, 0u8..3, prop::collection::vec((0i64..20, 0u64..8, 0u8..6, 1i64..34), 0..14)), 1..4),
    ) {
        let tracks = [Source { gop, ..Source::new(video()) }, Source::new(audio())];
        let mut rig = long(&tracks);
        let (mut players, mut validator, mut nth) = (Players::default(), Validator::default(), 0);
        for (ms, next, cues) in runs {
            let alone = next == 1;
            let sources = if alone { &tracks[1..] } else { &tracks[..] };
            rig.packager.set_tracks(&specs(&sources.iter().map(|s| s.params.clone()).collect::<Vec<_>>()));
            rig.settle();
            let mut later = Vec::new();
            for (at_s, long_s, change, step) in cues {
                nth += 1;
                let planned = (long_s > 0).then_some(long_s * 1000);
                let (id, pts_us) = (format!("n{nth}"), (at_s + 1) * 1_000_000);
                let until_next = change == 4;
                let class = (change > 3).then(|| "c".to_owned());
                let first = DateRange { class, end_on_next: until_next, ..cue(&id, pts_us, planned) };
                rig.packager.add_cue(first);
                later.push((step, change, DateRange { id, pts_us, ..DateRange::default() }));
            }
            for step in 1..=ms / 700 {
                for (_, change, cue) in later.iter().filter(|(at, ..)| *at == step) {
                    change_cue(&mut rig, *change, cue.clone());
                }
                sources::resume(&mut rig, sources, (step - 1) * 700, step * 700, &mut validator);
                players.look(&rig.window);
            }
            rig.wall_ms += ms;
        }
        rig.packager.finish();
        rig.settle();
        players.look(&rig.window);
        let long = rig.wall_ms - WALL > 24_000;
        prop_assert!(!long || players.merged > 20, "{} {}", players.merged, players.too_old);
    }
}
