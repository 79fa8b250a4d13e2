//! Views of the past: where players begin, and what of it is not stored yet.

use super::*;
use crate::Stored;

/// A window onto what the rig has made, from its beginning.
fn view(rig: &Rig, start_ms: i64, ended: bool) -> Window {
    let mut view = Window::past(2, None, "start=1&end=2").beginning_at(start_ms);
    for event in &rig.events {
        match event {
            Event::Run(_) => drop(view.apply(event.clone())),
            Event::SegmentEnd { track, msn, duration } => {
                let Lookup::Found(s) = rig.window.segment(*track, *msn) else { panic!("{msn} is held") };
                let first = s.parts.first().expect("a part");
                let segment = Stored {
                    named_by_run: false,
                    msn: *msn,
                    begins_ms: s.program_date_time_ms,
                    pts: first.pts,
                    duration: *duration,
                    bytes: s.bytes(),
                    independent: first.independent,
                    i_frame_bytes: s.i_frame_bytes,
                };
                view.apply(Event::Stored { track: *track, segment });
            }
            _ => {}
        }
    }
    if ended {
        view.apply(Event::End);
    }
    view
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
