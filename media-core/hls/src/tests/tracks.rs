//! Several tracks: cut at the same places, whatever one of them does.

use nx_container::fmp4;
use nx_media::{Params, TrackId, VideoParams};
use proptest::prelude::*;

use super::sources::{self, Source, send};
use super::validator::{self, Validator};
use super::{Rig, WALL, audio, frame, video};
use crate::{Ask, Event, Lookup, Packager, Skip, Start, TrackSpec, Window};

pub(super) fn small() -> Params {
    let Params::Video(big) = video() else { unreachable!() };
    Params::Video(VideoParams { width: 640, height: 360, ..big })
}

/// First presentation time of every segment of a track, milliseconds, and whether it starts with a key frame.
fn starts(rig: &Rig, track: usize) -> Vec<(u64, i64, bool)> {
    let scale = i64::from(rig.window.tracks().nth(track).expect("a track").params.timescale());
    let first = |e: &Event| match e {
        Event::Part { track: t, part } if *t == track && part.index == 0 => {
            Some((part.msn, part.pts * 1000 / scale, part.independent))
        }
        _ => None,
    };
    rig.events.iter().filter_map(first).collect()
}

fn list(rig: &Rig, track: usize) -> validator::Playlist {
    validator::read(&rig.playlist(track))
}

#[test]
fn renditions_with_the_same_key_frames_are_cut_at_them_whichever_comes_first() {
    for (b, late_ms, frame) in [
        (0, 0, 3000),
        (0, 20, 3000),
        (0, -20, 3000),
        (0, -200, 3000),
        (2, 0, 3000),
        (2, -5, 3000),
        (2, 300, 3000),
        (0, -5, 1500),
    ] {
        let second = Source { b, late_ms, frame, gop: 180_000 / frame, ..Source::new(small()) };
        let sources = [Source { b, ..Source::new(video()) }, second, Source::new(audio())];
        let mut rig = sources::rig(&sources);
        send(&mut rig, &sources, 20_000, &mut Validator::within(0.022));
        let (big, small) = (starts(&rig, 0), starts(&rig, 1));
        assert!(big.len() > 8 && small.len() > 8, "{b} {late_ms} {frame}");
        for (one, other) in big.iter().zip(&small) {
            assert_eq!(one, other, "{b} {late_ms} {frame}");
            assert!(one.2);
        }
        assert!(list(&rig, 0).independent && list(&rig, 1).independent, "{b} {late_ms} {frame}");
    }
}

/// Key frames a frame behind the longest segment: what is known of lengths does not decide where cuts are, and the
/// segment of one frame costs late sound nothing.
#[test]
fn key_frames_just_behind_the_longest_segment() {
    let cuts = [false, true].map(|untold| {
        let sources =
            [Source { gop: 73, ..Source::new(video()) }, Source { late_ms: 46, ..Source::new(audio()) }];
        let mut frames = sources::arrivals(&sources, 20_000);
        frames.iter_mut().filter(|(track, _)| untold && *track == 0).for_each(|(_, s)| s.duration = None);
        let mut rig = sources::rig(&sources);
        for (track, sample) in frames {
            rig.packager.push(track, sample, WALL);
            rig.settle();
        }
        let mut end = None;
        for event in &rig.events {
            if let Event::Part { track: 1, part } = event {
                assert_eq!(part.dts, end.unwrap_or(part.dts), "{untold}: sound is missing");
                end = Some(part.dts + i64::try_from(part.duration).unwrap());
            }
        }
        assert!(end.is_some());
        starts(&rig, 0)
    });
    assert_eq!(cuts[0], cuts[1]);
    assert!(cuts[0].len() > 12, "{cuts:?}");
}

/// Frames whose lengths nobody tells, and one key frame: no segment rounds to more than the target.
#[test]
fn slow_frames_of_unknown_length_are_cut_before_they_are_too_long() {
    let mut rig = Rig::new(&[video()]);
    for n in 0..40 {
        let told = frame(90_000 + n * 27_000, 27_000, n == 0);
        rig.packager.push(0, nx_media::Sample { duration: None, ..told }, WALL + n * 300);
        rig.settle();
        Validator::default().check(&rig.window);
    }
    assert!(list(&rig, 0).segments.len() > 3);
}

#[test]
fn a_rendition_with_other_key_frames_is_cut_all_the_same_and_says_so() {
    for (phase, b) in [(20, 0), (1, 0), (59, 0), (20, 2)] {
        let sources =
            [Source::new(video()), Source { phase, b, ..Source::new(small()) }, Source::new(audio())];
        let mut rig = sources::rig(&sources);
        // A B-frame that is shown before the cut may come behind it.
        let mut validator = Validator::within(if b > 0 { 0.1 } else { 0.034 });
        send(&mut rig, &sources, 21_000, &mut validator);
        let later = starts(&rig, 1);
        assert!(later.iter().skip(1).all(|s| !s.2), "{later:?}");
        assert!(list(&rig, 0).independent && !list(&rig, 1).independent);
        let numbers = |track| list(&rig, track).segments.iter().map(|(msn, _)| *msn).collect::<Vec<_>>();
        assert_eq!(numbers(0), numbers(1));
    }
}

#[test]
fn a_silent_rendition_becomes_gaps_that_nothing_waits_for() {
    let second = Source { on: vec![(0, 7_000), (31_500, i64::MAX)], ..Source::new(small()) };
    let sources = [Source::new(video()), second, Source::new(audio())];
    let mut validator = Validator::default();
    let mut rig = sources::rig(&sources);
    send(&mut rig, &sources, 11_000, &mut validator);
    let gaps = |rig: &Rig| list(rig, 1).segments.iter().filter(|(_, l)| l.gap).count();
    assert!(rig.playlist(0).contains("105.1.m4s"), "the leader goes on: {}", rig.playlist(0));
    assert_eq!(gaps(&rig), 0, "it may still come");
    let mut rig = sources::rig(&sources);
    send(&mut rig, &sources, 15_000, &mut Validator::default());
    let seen = list(&rig, 1)
        .segments
        .iter()
        .filter(|(_, l)| l.gap)
        .map(|(m, l)| (*m, l.seconds))
        .collect::<Vec<_>>();
    assert_eq!(seen, vec![(104, 2.0), (105, 2.0)], "{}", rig.playlist(1));
    assert!(rig.window.multivariant().expect("playable").contains("v2/index.m3u8"));
    assert_eq!(rig.window.ts_next_msn(), 107, "TS shows the other");

    let mut rig = sources::rig(&sources);
    send(&mut rig, &sources, 31_000, &mut Validator::default());
    assert_eq!(gaps(&rig), 6, "{}", rig.playlist(1));
    let text = rig.window.multivariant().expect("playable");
    assert!(!text.contains("v2/index.m3u8"), "nothing to see there: {text}");
    let date = |track: usize| {
        list(&rig, track).segments.iter().map(|(m, l)| (*m, l.date.clone())).collect::<Vec<_>>()
    };
    assert!(date(1).iter().skip(2).all(|d| date(0).contains(d)), "{:?} {:?}", date(0), date(1));

    let mut rig = sources::rig(&sources);
    send(&mut rig, &sources, 40_000, &mut validator);
    assert!(rig.window.multivariant().expect("playable").contains("v2/index.m3u8"), "it is back");
    assert_eq!(starts(&rig, 0).last(), starts(&rig, 1).last(), "and in step");
    assert!(starts(&rig, 1).iter().all(|s| s.2), "it went on with a key frame");
}

#[test]
fn a_hidden_track_is_announced_only_while_nothing_else_can_be_seen() {
    let made = Source { on: vec![(0, 9_000), (33_500, i64::MAX)], ..Source::new(small()) };
    let sources = [Source::new(video()), made, Source::new(audio())];
    for (until_ms, hidden) in [(8_000, true), (31_000, false), (42_000, true)] {
        let mut rig = sources::rig(&sources);
        assert!(rig.window.hide(vec![TrackId::VIDEO]) && !rig.window.hide(vec![TrackId::VIDEO]));
        send(&mut rig, &sources, until_ms, &mut Validator::default());
        let text = rig.window.multivariant().expect("playable");
        assert_eq!(text.contains("v1/"), !hidden, "{until_ms}: {text}");
        assert_eq!(text.contains("v2/index.m3u8"), hidden, "{until_ms}: {text}");
        assert!(text.contains("a1/index.m3u8"), "{until_ms}: {text}");
        assert_eq!(rig.playlist(2).contains("../v1/"), !hidden, "{until_ms}: {}", rig.playlist(2));
        assert!(rig.playlist(0).contains("#EXTINF"), "who knows its address gets it");
    }
    // Nothing takes its place.
    let sources = [Source::new(video()), Source::new(audio())];
    let mut rig = sources::rig(&sources);
    rig.window.hide(vec![TrackId::VIDEO]);
    send(&mut rig, &sources, 8_000, &mut Validator::default());
    assert!(rig.window.multivariant().expect("playable").contains("v1/index.m3u8"));
}

#[test]
fn a_track_that_never_comes_is_not_listed_and_holds_nobody_up() {
    let sources = [Source::new(video()), Source { on: vec![], ..Source::new(small()) }, Source::new(audio())];
    let mut rig = sources::rig(&sources);
    send(&mut rig, &sources, 1_900, &mut Validator::default());
    assert_eq!(rig.window.multivariant(), None, "it may be slow");
    let mut rig = sources::rig(&sources);
    send(&mut rig, &sources, 2_100, &mut Validator::default());
    let text = rig.window.multivariant().expect("it had its chance");
    assert!(text.contains("v1/index.m3u8") && !text.contains("v2/index.m3u8"), "{text}");
    send(&mut sources::rig(&sources), &sources, 200_000, &mut Validator::default());
}

#[test]
fn a_silent_leader_does_not_lengthen_the_others_segments() {
    let sources = [
        Source { on: vec![(0, 7_000), (20_500, i64::MAX)], ..Source::new(video()) },
        Source::new(small()),
        Source::new(audio()),
    ];
    let mut validator = Validator::default();
    let mut rig = sources::rig(&sources);
    send(&mut rig, &sources, 19_000, &mut validator);
    assert!(list(&rig, 0).segments.iter().any(|(_, l)| l.gap), "{}", rig.playlist(0));
    assert!(rig.window.multivariant().expect("playable").contains("v2/index.m3u8"));
    let mut rig = sources::rig(&sources);
    send(&mut rig, &sources, 60_000, &mut Validator::default());
    assert_eq!(starts(&rig, 0).last(), starts(&rig, 1).last(), "in step again");
    assert!(list(&rig, 1).independent, "{}", rig.playlist(1));
}

#[test]
fn a_leader_that_comes_back_late_cuts_where_the_other_has_not_been_yet() {
    let cases = (7_000..9_000).step_by(167).flat_map(|from| [61, 70, 82, 90, 150].map(|gop| (from, gop)));
    for (from_ms, gop) in cases {
        let on = vec![(0, from_ms), (from_ms + 2_500, i64::MAX)];
        let sources = [
            Source { gop: 20, on, ..Source::new(video()) },
            Source { gop, late_ms: -234, ..Source::new(small()) },
        ];
        let mut rig = sources::rig(&sources);
        send(&mut rig, &sources, 16_000, &mut Validator::default());
        let second = starts(&rig, 1);
        for (msn, at_ms, _) in starts(&rig, 0) {
            let other = second.iter().find(|s| s.0 == msn).expect("the same segments");
            assert!(other.1 <= at_ms + 34, "{from_ms} {gop}: {msn} begins at {at_ms} and {}", other.1);
        }
    }
}

#[test]
fn a_picture_that_comes_back_on_a_clock_of_its_own_is_not_lost() {
    let mut rig = Rig::new(&[video(), audio()]);
    rig.run(7 * 30, 60);
    for n in 0..(8 * 47) {
        rig.push(1, frame(rig.audio_48k + n * 1024, 1024, true));
    }
    rig.audio_48k += 8 * 47 * 1024;
    assert!(list(&rig, 0).segments.iter().any(|(_, l)| l.gap), "{}", rig.playlist(0));
    // It goes on where it left off, eight seconds behind the sound.
    for n in 0..(20 * 30) {
        rig.push(0, frame(rig.now_90k + n * 3000, 3000, n % 60 == 0));
        rig.push(1, frame(rig.audio_48k + n * 1600, 1600, true));
    }
    let text = rig.playlist(0);
    assert!(text.contains("init-1.mp4") && !text.contains("GAP"), "{text}");
    Validator::default().check(&rig.window);
}

#[test]
fn names_follow_the_id_and_the_lowest_video_leads() {
    let spec = |id, params| TrackSpec { id, params };
    let mut packager = Packager::new(crate::Config::default(), Start::default());
    packager.set_tracks(&[
        spec(TrackId::audio(3), audio()),
        spec(TrackId::video(2), video()),
        spec(TrackId::video(1), small()),
    ]);
    let names: Vec<&str> = packager.run_tracks().iter().map(|t| t.name.as_str()).collect();
    assert_eq!((names, packager.leader()), (vec!["a4", "v3", "v2"], 2));
    packager.push(1, frame(90_000, 3000, true), WALL);
    assert_eq!(packager.poll(), None, "not the leader");
    packager.push(2, frame(90_000, 3000, true), WALL);
    assert!(matches!(packager.poll(), Some(Event::Run(run)) if run.leader() == 2));
    packager.set_tracks(&[spec(TrackId::audio(1), audio()), spec(TrackId::audio(0), audio())]);
    assert_eq!(packager.leader(), 1);
}

#[test]
fn what_came_before_the_leaders_first_frame_is_not_lost() {
    let mut rig = Rig::new(&[video(), small()]);
    rig.push(1, frame(90_000, 3000, true));
    rig.push(0, frame(90_000, 3000, true));
    for n in 1..10 {
        rig.push(1, frame(90_000 + n * 3000, 3000, false));
        rig.push(0, frame(90_000 + n * 3000, 3000, false));
    }
    assert!(rig.playlist(1).contains("#EXT-X-PART:DURATION=0.333333,URI=\"100.0.m4s\",INDEPENDENT=YES"));
}

#[test]
fn a_stream_goes_on_after_a_restart() {
    let mut rig = Rig::new(&[video(), audio()]);
    rig.run(150, 60);
    rig.packager.break_run();
    rig.run(150, 60);
    let (msn, run) = (rig.packager.next_msn(), rig.packager.runs());
    assert_eq!((msn, run, rig.window.discontinuities()), (106, 2, 1));
    let part_target_us = rig.packager.part_target_us();
    assert_eq!(part_target_us, Some(334_000));
    let run_ms = rig.window.runs().last().expect("a run").start_ms;
    let remains = rig.window.remains(msn);
    let (listed, left) = (&remains.begins_ms, (remains.run, remains.start_ms, remains.first_msn));
    assert_eq!((listed.as_slice(), left), (&[run_ms, run_ms + 2000, run_ms + 4000][..], (1, run_ms, 103)));

    let mut again = Rig::new(&[video(), audio()]);
    again.packager =
        Packager::new(crate::Config::default(), Start { msn, run, part_target_us: Some(400_000) });
    again.packager.set_tracks(&super::specs(&[video(), audio()]));
    again.window.resume(remains);
    again.run(700, 60);
    assert_eq!(again.window.discontinuities(), 2);
    for track in 0..2 {
        let text = again.playlist(track);
        assert!(text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:2\n"), "{text}");
        assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:111\n#"), "{text}");
        assert!(text.contains("init-2.mp4") && text.contains("PART-TARGET=0.400"), "{text}");
    }
    assert!(matches!(again.window.segment(0, 106), Lookup::Found(_)));
    assert_eq!(Window::new(6, 2, 0).discontinuities(), 0);
}

#[test]
fn ts_does_not_vanish_when_a_track_joins() {
    let mut rig = Rig::new(&[video()]);
    for n in 0..130 {
        rig.push(0, frame(90_000 + n * 3000, 3000, n % 60 == 0));
    }
    rig.packager.set_tracks(&super::specs(&[video(), audio()]));
    (rig.now_90k, rig.audio_48k) = (90_000 + 130 * 3000, 48_000 + 130 * 1600);
    rig.run(20, 60);
    assert!(rig.window.media_playlist(Ask::Ts, Skip::None).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the tracks do: numbers, lengths and seams agree, and nothing listed ever changes.
    #[test]
    fn playlists_of_all_tracks_agree(
        gop in 20u32..200, gop2 in 20u32..200, phase in 0u32..60, b in 0u32..3,
        late in -600i64..600, late_sound in -300i64..1500,
        cut in prop::collection::vec((0usize..3, 3_000i64..14_000, 500i64..8_000), 0..3),
        breaks in prop::collection::vec(0u32..2, 0..3),
    ) {
        let mut sources = [
            Source { gop, b, ..Source::new(video()) },
            Source { gop: gop2, phase, b, late_ms: late, ..Source::new(small()) },
            Source { late_ms: late_sound, ..Source::new(audio()) },
        ];
        for (track, from, length) in cut {
            sources[track].on = vec![(0, from), (from + length, i64::MAX)];
        }
        let mut rig = sources::rig(&sources);
        let mut validator = Validator::default();
        for again in std::iter::once(0).chain(breaks) {
            send(&mut rig, &sources, 16_000, &mut validator);
            match again {
                0 => rig.packager.break_run(),
                _ => rig.packager.set_tracks(&super::specs(&sources.clone().map(|s| s.params))),
            }
            rig.settle();
            validator.check(&rig.window);
        }
        rig.packager.finish();
        rig.settle();
        validator.check(&rig.window);
        let ends = |track: usize| {
            let of = |e: &&Event| matches!(e, Event::SegmentEnd { track: t, .. } if *t == track);
            rig.events.iter().filter(of).count() as u64
        };
        prop_assert_eq!([ends(0), ends(1), ends(2)], [rig.packager.next_msn() - 100; 3]);
    }
}

#[test]
fn a_rendition_that_is_interrupted_goes_on_with_the_next_segment() {
    let mut rig = Rig::new(&[video(), small()]);
    let send = |rig: &mut Rig, frames: std::ops::Range<i64>, both: bool| {
        for n in frames {
            let sample = frame(90_000 + n * 3000, 3000, n % 30 == 0);
            rig.push(0, sample.clone());
            if both {
                rig.push(1, sample);
            }
        }
    };
    send(&mut rig, 0..80, true);
    rig.packager.interrupt(1);
    rig.settle();
    // There is a key frame in the middle of the segment, and of the next two.
    send(&mut rig, 80..90, false);
    send(&mut rig, 90..310, true);
    let begins: Vec<(u64, i64, bool)> = starts(&rig, 1);
    assert_eq!(begins, starts(&rig, 0), "the same cuts, each at a key frame");
    let ends = |track: usize| {
        let of = |e: &Event| match e {
            Event::SegmentEnd { track: t, duration, .. } if *t == track => Some(*duration),
            _ => None,
        };
        rig.events.iter().filter_map(of).collect::<Vec<_>>()
    };
    assert_eq!((ends(0), ends(1)), (vec![180_000; 5], vec![180_000, 60_000, 180_000, 180_000, 180_000]));
    let times = rig.events.iter().filter_map(|e| match e {
        Event::Part { track: 1, part } => Some(fmp4::samples(&part.bytes).expect("a part")),
        _ => None,
    });
    let times: Vec<i64> = times.flatten().map(|s| (s.dts - 90_000) / 3000).collect();
    assert_eq!(times, (0..80).chain(120..times.len() as i64 + 40).collect::<Vec<_>>());
}
