//! Views of the past: where players begin, and what of it is not stored yet.

use super::validator::read;
use super::*;
use crate::Stored;

/// A window onto what the rig has made, from its beginning.
fn view(rig: &Rig, start_ms: i64, ended: bool) -> Window {
    let mut view = Window::past(2, None, "start=1&end=2").beginning_at(start_ms);
    store(rig, &mut view, u64::MAX);
    if ended {
        view.apply(Event::End);
    }
    view
}

/// A segment of the rig as a store gives it back.
fn stored(rig: &Rig, track: usize, msn: u64, duration: u64) -> Event {
    let Lookup::Found(s) = rig.window.segment(track, msn) else { panic!("{msn} is held") };
    let first = s.parts.first().expect("a part");
    let segment = Stored {
        named_by_run: false,
        msn,
        begins_ms: s.program_date_time_ms,
        pts: first.pts,
        duration,
        bytes: s.bytes(),
        independent: first.independent,
        i_frame_bytes: s.i_frame_bytes,
    };
    Event::Stored { track, segment }
}

/// Feeds a view with the segments before that one.
fn store(rig: &Rig, view: &mut Window, before: u64) {
    for event in &rig.events {
        match event {
            Event::Run(_) if view.tracks().next().is_none() => drop(view.apply(event.clone())),
            Event::SegmentEnd { track, msn, .. } if view.next(*track).is_some_and(|n| *msn < n.msn) => {}
            Event::SegmentEnd { track, msn, duration } if *msn < before => {
                view.apply(stored(rig, *track, *msn, *duration));
            }
            _ => {}
        }
    }
}

#[test]
fn players_of_a_clip_begin_with_its_first_picture() {
    let mut rig = Rig::new(&[video(), audio()]);
    rig.run(200, 60);
    for (start_ms, ended, want) in [
        (WALL + 700, true, Some("0.700")),
        (WALL + 1_234, true, Some("1.234")),
        (WALL + 1_234, false, Some("1.234")),
        (WALL, true, None),
        (WALL - 5_000, true, None),
        // Near the end is where they would begin while it grows.
        (WALL, false, Some("0.000")),
    ] {
        let view = view(&rig, start_ms, ended);
        for track in 0..2 {
            let list = view.media_playlist(Ask::Track(track), Skip::None).expect("a list");
            let line = list.lines().find_map(|l| l.strip_prefix("#EXT-X-START:TIME-OFFSET="));
            assert_eq!(line, want.map(|at| format!("{at},PRECISE=YES")).as_deref(), "{start_ms}: {list}");
        }
        let text = view.multivariant().expect("a list");
        assert!(!text.contains("EXT-X-START"), "once is enough: {text}");
    }
    assert!(!rig.playlist(0).contains("EXT-X-START"));
}

#[test]
fn what_is_complete_is_held_to_the_last_frame_of_each_track() {
    let mut rig = Rig::new(&[video(), audio()]);
    assert_eq!((rig.window.complete_until_ms(), rig.window.held_before(i64::MAX).len()), (None, 0));
    for frames in 1..150_i64 {
        rig.run(1, if frames % 60 == 1 { 1 } else { 2 });
        let Some(until_ms) = rig.window.complete_until_ms() else { continue };
        let held = rig.window.held_before(until_ms);
        for track in 0..2 {
            let parts = held.iter().filter(|h| h.track == track).flat_map(|h| &h.segment.parts);
            let scale = [90_000, 48_000][track];
            let ends =
                parts.map(|p| (p.dts + i64::try_from(p.duration).expect("fits")) * 1_000 / scale).max();
            // Time 0 of the clock is a second before the first frame; milliseconds are rounded.
            assert!(WALL - 1_000 + ends.expect("parts") + 1 >= until_ms, "track {track} at frame {frames}");
        }
        let pushed_ms = WALL + frames * 1_000 / 30;
        assert!(pushed_ms - until_ms < 800, "{} ms behind at frame {frames}", pushed_ms - until_ms);
    }
    let numbers = |to_ms| -> Vec<(u64, usize)> {
        rig.window.held_before(to_ms).iter().map(|h| (h.segment.msn, h.track)).collect()
    };
    assert_eq!(numbers(WALL), []);
    assert_eq!(numbers(WALL + 1_000), [(100, 0), (100, 1)]);
    assert_eq!(numbers(WALL + 3_000), [(100, 0), (100, 1), (101, 0), (101, 1)]);
}

#[test]
fn a_view_that_goes_on_has_the_edge_of_the_live_window() {
    let mut rig = Rig::new(&[video(), audio()]);
    let mut view = Window::past(2, None, "start=1");
    let mut far = Window::past(2, None, "start=1");
    // More than the window holds.
    for n in 0..960 {
        rig.run(1, 1);
        let newest = rig.window.next(0).map_or(0, |next| next.msn);
        // The store is a segment or two behind.
        let stored = newest.saturating_sub(if n % 60 < 20 { 2 } else { 1 });
        if stored <= 101 || n % 10 != 0 {
            store(&rig, &mut far, 101);
            continue;
        }
        view.unjoin();
        store(&rig, &mut view, stored);
        view.join(&rig.window);
        assert!(view.has_edge(), "at frame {n}");
        for track in 0..2 {
            let (live, got) =
                (rig.playlist(track), view.media_playlist(Ask::Track(track), Skip::None).expect("one"));
            let tail = |text: &str| -> String {
                let from = text.find("#EXT-X-PART:").unwrap_or_else(|| panic!("{text}"));
                text[from..].replace("?start=1", "")
            };
            // A window that is longer than three target durations has segments without parts in front.
            assert_eq!(tail(&got), tail(&live), "at frame {n}");
            assert!(got.contains("/index.m3u8?start=1\",LAST-MSN="), "{got}");
            let number = |text: &str| -> u64 {
                let line = text.lines().find_map(|l| l.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
                line.and_then(|n| n.parse().ok()).expect("a number")
            };
            assert!(got.contains("\n100.m4s\n") && number(&got) == 100, "{got}");
        }
        assert_eq!(view.next(0), rig.window.next(0));
    }
    far.join(&rig.window);
    assert!(!far.has_edge(), "what is between is nowhere");
    let list = far.media_playlist(Ask::Track(0), Skip::None).expect("a list");
    assert!(!list.contains("PART") && !list.contains("CAN-BLOCK-RELOAD"), "{list}");
    view.apply(Event::End);
    let list = view.media_playlist(Ask::Track(0), Skip::None).expect("a list");
    assert!(!list.contains("PART") && list.ends_with("#EXT-X-ENDLIST\n"), "{list}");
}

/// What a store has of the rig when it was not given that run.
fn stored_without(rig: &Rig, unstored: u32) -> Vec<Event> {
    let (mut run, mut events) = (0, Vec::new());
    for event in &rig.events {
        match event {
            Event::Run(of) => {
                run = of.number;
                events.extend((run != unstored).then(|| event.clone()));
            }
            Event::SegmentEnd { track, msn, duration } if run != unstored => {
                events.push(stored(rig, *track, *msn, *duration));
            }
            _ => {}
        }
    }
    events
}

#[test]
fn a_list_that_grows_has_gaps_for_a_run_that_is_not_stored() {
    // The pause is as long as the numbers are many, or longer than gaps may be.
    for (back_ms, each) in [(11_000, "1.66"), (41_000, "2.400")] {
        let mut rig = Rig::new(&[video(), audio()]);
        rig.run(180, 60);
        for begins_ms in [6_000, back_ms] {
            rig.packager.break_run();
            rig.wall_ms = WALL + begins_ms;
            rig.run(150, 60);
        }
        let mut view = Window::past(2, None, "start=1");
        let mut whole = view.clone();
        view.grow();
        let mut edges = 0;
        for event in stored_without(&rig, 1) {
            view.unjoin();
            view.apply(event.clone());
            whole.apply(event);
            for _ in 0..2 {
                let asks = [Ask::Track(0), Ask::Track(1), Ask::Ts, Ask::IFrames(0)];
                for text in asks.iter().filter_map(|ask| view.media_playlist(*ask, Skip::None)) {
                    let list = read(&text);
                    assert_eq!(list.segments.first().map(|(msn, _)| *msn), Some(100), "{text}");
                }
                view.join(&rig.window);
                edges += usize::from(view.has_edge());
            }
        }
        assert!(edges > 0, "it reaches the present");
        view.unjoin();
        for track in 0..2 {
            let text = view.media_playlist(Ask::Track(track), Skip::None).expect("a list");
            let gaps: Vec<u64> =
                read(&text).segments.iter().filter(|(_, s)| s.gap).map(|(msn, _)| *msn).collect();
            assert_eq!(gaps, [103, 104, 105], "{text}");
            assert!(text.contains(&format!("#EXT-X-GAP\n#EXTINF:{each}")), "{text}");
            assert!(
                text.contains("105.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init-2.mp4\"\n"),
                "{text}"
            );
            assert!(!text.contains("init-1.mp4"), "{text}");
            let text = whole.media_playlist(Ask::Track(track), Skip::None).expect("a list");
            assert!(!text.contains("#EXT-X-GAP"), "nobody saw it grow: {text}");
        }
    }
}
