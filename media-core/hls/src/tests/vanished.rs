//! Tracks that a new run lacks: their viewers go on with gaps, for as long as there is something to play.

use nx_media::Params;
use proptest::prelude::*;

use super::sources::{self, Source};
use super::validator::{self, Validator};
use super::{Rig, audio, frame, specs, video};
use crate::{Ask, Lookup, Position, Skip};

/// Sound alone for so many milliseconds, as the first track.
fn sound_only(rig: &mut Rig, ms: i64, validator: &mut Validator) {
    let until = rig.audio_48k + ms * 48;
    while rig.audio_48k < until {
        rig.push(0, frame(rig.audio_48k, 1024, true));
        rig.audio_48k += 1024;
        validator.check(&rig.window);
    }
    rig.now_90k = rig.audio_48k * 90 / 48;
}

fn named(rig: &Rig, name: &str) -> Option<String> {
    rig.window.media_playlist(Ask::Track(rig.window.track_index(name)?), Skip::None)
}

/// Five seconds of both, then the publisher returns with sound only.
fn lost(validator: &mut Validator) -> Rig {
    let mut rig = Rig::new(&[video(), audio()]);
    rig.run(150, 60);
    rig.packager.set_tracks(&specs(&[audio()]));
    rig.settle();
    validator.check(&rig.window);
    rig
}

#[test]
fn a_lost_picture_goes_on_with_gaps_like_the_leader_and_ends_after_a_window_of_them() {
    let mut validator = Validator::default();
    let mut rig = lost(&mut validator);
    sound_only(&mut rig, 1_000, &mut validator);
    let names =
        |rig: &Rig| rig.window.tracks().chain(rig.window.vanished()).map(|t| t.name.clone()).collect();
    let names: Vec<String> = names(&rig);
    assert_eq!(names, ["a1", "v1"]);
    let text = named(&rig, "v1").expect("it goes on");
    assert!(
        text.contains("102.m4s\n#EXT-X-RENDITION-REPORT:URI=\"../a1/index.m3u8\",LAST-MSN=103,LAST-PART="),
        "{text}"
    );
    assert_eq!(rig.window.next(1), Some(Position { msn: 103, part: 0 }));
    assert_eq!(rig.window.part(1, 103, 0), Lookup::Soon, "it may come back");
    assert!(!rig.window.multivariant().expect("playable").contains("v1"), "new viewers do without");

    sound_only(&mut rig, 4_000, &mut validator);
    let (text, sound) = (named(&rig, "v1").expect("it goes on"), named(&rig, "a1").expect("it goes on"));
    let (gone, there) = (validator::read(&text), validator::read(&sound));
    assert_eq!(gone.segments.len(), 5, "{text}");
    for (msn, listed) in &gone.segments {
        let (_, led) = there.segments.iter().find(|(m, _)| m == msn).expect("the same numbers");
        assert_eq!(listed.gap, *msn >= 103, "{text}");
        assert_eq!(listed.discontinuity, u64::from(*msn >= 103), "{text}");
        if listed.gap {
            assert_eq!(listed.date, led.date);
            assert!((listed.seconds - led.seconds).abs() < 1e-4 && listed.parts.is_empty(), "{text}");
        }
    }
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{text}");
    assert!(sound.contains("RENDITION-REPORT:URI=\"../v1/index.m3u8\",LAST-MSN=104\n"), "{sound}");
    assert_eq!(rig.window.part(1, 104, 0), Lookup::Missing, "a gap has no parts");
    assert!(
        matches!(rig.window.segment(1, 104), Lookup::Missing) && rig.window.init("v1", 0, None).is_some()
    );
    assert!(matches!(rig.window.segment(1, 102), Lookup::Found(_)));

    sound_only(&mut rig, 8_000, &mut validator);
    assert_eq!(named(&rig, "v1"), None, "six gaps");
    assert!(matches!(rig.window.segment(1, 102), Lookup::Found(_)), "for those who had the list just now");
    assert!(!named(&rig, "a1").expect("it goes on").contains("v1"));
    sound_only(&mut rig, 16_000, &mut validator);
    assert_eq!((rig.window.track_index("v1"), rig.window.vanished().count()), (None, 0));
    assert!(rig.window.init("v1", 0, None).is_none());
}

#[test]
fn a_track_that_comes_back_goes_on_with_its_list() {
    for away_ms in [500, 3_000, 9_000, 15_000] {
        let mut validator = Validator::default();
        let mut rig = lost(&mut validator);
        sound_only(&mut rig, away_ms, &mut validator);
        rig.packager.set_tracks(&specs(&[video(), audio()]));
        rig.settle();
        validator.check(&rig.window);
        for _ in 0..10 {
            rig.run(60, 60);
            validator.check(&rig.window);
        }
        assert_eq!(rig.window.tracks().count(), 2);
        for track in 0..2 {
            let text = rig.playlist(track);
            assert!(
                text.contains("DISCONTINUITY-SEQUENCE:2\n") && !text.contains("GAP"),
                "{away_ms}: {text}"
            );
            assert!(text.contains("init-2.mp4"), "{away_ms}: {text}");
        }
    }
}

#[test]
fn a_list_whose_numbers_do_not_go_on_begins_anew() {
    // What a node sees that missed the end of a run.
    let mut rig = Rig::new(&[video(), audio()]);
    rig.run(150, 60);
    let run = rig.events.iter().find_map(|e| match e {
        crate::Event::Run(run) => Some(crate::Run { number: 1, first_msn: 200, ..crate::Run::clone(run) }),
        _ => None,
    });
    rig.window.apply(crate::Event::Run(std::sync::Arc::new(run.expect("a run"))));
    assert_eq!(rig.window.media_playlist(Ask::Track(0), Skip::None), None);
    let part = rig.events.iter().find_map(|e| match e {
        crate::Event::Part { track: 0, part } => Some(crate::Part { msn: 200, ..part.clone() }),
        _ => None,
    });
    rig.window.apply(crate::Event::Part { track: 0, part: part.expect("a part") });
    let text = rig.playlist(0);
    assert!(text.contains("MEDIA-SEQUENCE:200\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n"), "{text}");
    assert!(!text.contains("#EXT-X-DISCONTINUITY\n"), "{text}");
}

/// The tracks that a publisher may have, in the order of their numbers.
fn some(mask: u8) -> Vec<(usize, Params)> {
    let all = [video(), super::tracks::small(), audio(), audio()];
    all.into_iter().enumerate().filter(|(nth, _)| mask & (1 << nth) != 0).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Tracks come and go in any order: every list goes on, all agree, nothing listed changes, memory is bounded.
    #[test]
    fn lists_agree_whichever_tracks_come_and_go(
        stays in prop::collection::vec((1u8..16, 1_000i64..16_000), 1..6),
    ) {
        let mut rig = Rig::new(&[video()]);
        let (mut validator, all) = (Validator::default(), specs(&some(15).into_iter().map(|t| t.1).collect::<Vec<_>>()));
        for (mask, ms) in stays {
            let chosen = some(mask);
            let tracks: Vec<_> = chosen.iter().map(|(nth, _)| all[*nth].clone()).collect();
            rig.packager.set_tracks(&tracks);
            rig.settle();
            validator.check(&rig.window);
            let sources: Vec<Source> = chosen.into_iter().map(|(_, p)| Source::new(p)).collect();
            sources::send(&mut rig, &sources, ms, &mut validator);
            let held: usize = rig.window.tracks.iter().map(|t| t.segments.len()).sum();
            prop_assert!(held <= 4 * (6 + 7 + 1), "{held} segments");
            let shown = rig.window.tracks().count();
            prop_assert_eq!(shown, tracks.len());
            prop_assert_eq!(rig.window.part(0, 1, 0), Lookup::Missing);
        }
    }
}
