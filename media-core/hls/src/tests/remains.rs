//! What a window lists that goes on for another one, which was killed.

use super::{Rig, WALL, audio, specs, video};
use crate::{Ask, Config, GAP_MSNS, Lookup, Packager, Remains, Skip, Start, Window};

/// Three segments were listed when the process was killed, the last of them open; the next run begins `after_ms` later.
fn restarted(after_ms: i64) -> (Rig, Remains) {
    restarted_with(150, after_ms, || Rig::new(&[video(), audio()]))
}

/// The same after so many frames, with other rigs.
fn restarted_with(frames: u32, after_ms: i64, new: impl Fn() -> Rig) -> (Rig, Remains) {
    let mut old = new();
    old.run(frames, 60);
    let (start, remains) = (
        Start { msn: old.packager.next_msn() + GAP_MSNS, run: 1, part_target_us: None },
        old.window.remains(old.packager.next_msn()),
    );
    let mut rig = new();
    rig.packager = Packager::new(Config::default(), start);
    rig.packager.set_tracks(&specs(&[video(), audio()]));
    rig.window.resume(Remains {
        start_ms: remains.start_ms - after_ms,
        wall_at_zero_ms: remains.wall_at_zero_ms - after_ms,
        begins_ms: remains.begins_ms.iter().map(|ms| ms - after_ms).collect(),
        ..remains.clone()
    });
    (rig, remains)
}

fn lines<'a>(text: &'a str, of: &[&str]) -> Vec<&'a str> {
    text.lines().filter(|l| of.iter().any(|start| l.starts_with(start))).collect()
}

#[test]
fn what_was_lost_is_listed_as_gaps_under_its_numbers_and_dates() {
    // 0.9 s after the segment began that was open.
    let (mut rig, remains) = restarted(4_900);
    assert_eq!((remains.first_msn, remains.begins_ms.len()), (100, 3));
    assert_eq!(rig.window.media_playlist(Ask::Track(0), Skip::None), None, "nothing is known of tracks yet");
    rig.run(12, 60);
    let text = rig.playlist(0);
    let want = [
        "#EXT-X-MEDIA-SEQUENCE:100",
        "#EXT-X-DISCONTINUITY-SEQUENCE:0",
        "#EXT-X-GAP",
        "#EXTINF:2.000000,",
        "#EXT-X-GAP",
        "#EXTINF:2.000000,",
        "#EXT-X-GAP",
        "#EXTINF:0.050000,",
        "#EXT-X-GAP",
        "#EXTINF:0.850000,",
        "#EXT-X-DISCONTINUITY",
        "#EXT-X-MAP:URI=\"init-1.mp4\"",
    ];
    assert_eq!(
        lines(&text, &["#EXT-X-MED", "#EXT-X-DISC", "#EXT-X-GAP", "#EXTINF", "#EXT-X-MAP"]),
        want,
        "{text}"
    );
    let part = "#EXT-X-PART:DURATION=0.333333,URI=\"104.0-1.m4s\",INDEPENDENT=YES";
    assert!(text.contains(part), "{text}");
    assert!(rig.window.init("v1", 0, None).is_none() && rig.window.init("v1", 1, None).is_some());
    for told in 100..104 {
        assert!(matches!(rig.window.segment(0, told), Lookup::Missing));
        assert!(rig.window.is_cut_off("v1", told, None) && rig.window.is_cut_off("a1", told, Some(0)));
    }
    assert!(rig.window.is_back(0) && !rig.window.is_cut_off("v1", 104, Some(1)));
    rig.run(900, 60);
    let text = rig.playlist(0);
    assert!(!text.contains("GAP") && text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n"), "{text}");
}

#[test]
fn a_list_whose_old_segments_have_become_gaps_is_told_whole() {
    let long = || {
        let mut rig = Rig::new(&[video(), audio()]);
        rig.window = Window::new(10, 2, usize::MAX);
        rig
    };
    let (mut rig, _) = restarted_with(900, 30_900, long);
    rig.run(12, 60);
    let whole = rig.playlist(0);
    assert!(whole.matches("#EXT-X-GAP").count() > 8, "{whole}");
    for skip in [Skip::Segments, Skip::DateRanges] {
        assert_eq!(rig.window.media_playlist(Ask::Track(0), skip).as_ref(), Some(&whole));
    }
    rig.run(900, 60);
    let delta = rig.window.media_playlist(Ask::Track(0), Skip::Segments).expect("a delta");
    assert!(delta.contains("#EXT-X-SKIP:"), "no gaps are left: {delta}");
}

#[test]
fn no_gap_is_longer_than_the_target_and_none_is_listed_when_players_have_left() {
    let (mut rig, _) = restarted(30_000);
    rig.run(12, 60);
    assert_eq!(
        lines(&rig.playlist(1), &["#EXTINF"]),
        ["#EXTINF:2.000000,", "#EXTINF:2.000000,", "#EXTINF:0.050000,", "#EXTINF:1.900000,"]
    );
    // A day later, and with a clock that was set back.
    for after_ms in [86_400_000, 3_000] {
        let (mut rig, _) = restarted(after_ms);
        rig.run(12, 60);
        assert!(!rig.playlist(0).contains("GAP"), "{after_ms}");
    }
}

#[test]
fn remains_outlive_a_restart_without_a_publisher() {
    let (rig, _) = restarted(1_000);
    let left = rig.window.remains(103);
    assert_eq!((left.begins_ms[0], left.begins_ms.len()), (WALL - 1_000, 3));
}

#[test]
fn a_hint_that_came_to_nothing_is_known() {
    let mut rig = Rig::new(&[video(), audio()]);
    rig.run(150, 60);
    rig.packager.break_run();
    rig.run(20, 60);
    for (msn, part, run, vain) in [
        (100, 6, None, true),
        (100, 5, None, false),
        (100, 7, None, false),
        (103, 0, None, true),
        (103, 0, Some(1), false),
        (103, 1, None, false),
    ] {
        assert_eq!(rig.window.is_vain(0, msn, part, run), vain, "{msn}.{part} {run:?}");
    }
}
