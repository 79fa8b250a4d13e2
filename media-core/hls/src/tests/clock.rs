//! Dates, lengths and distances from the live edge.

use std::sync::Arc;

use bytes::Bytes;
use nx_media::{AudioParams, Params, TrackId, rescale};

use super::sources::{self, Source, send};
use super::validator::{Validator, attribute};
use super::{WALL, audio, video};
use crate::{Ask, Event, Part, Run, RunTrack, Skip, Window};

/// Unix milliseconds of a date of 2026.
fn ms(date: &str) -> f64 {
    let fields: Vec<i64> =
        date.trim_end_matches('Z').split(['-', 'T', ':', '.']).map(|f| f.parse().unwrap()).collect();
    let [2026, month, day, h, m, s, ms] = fields[..] else { panic!("{date}") };
    assert!(month == 11, "{date}");
    ((((day * 24 + h) * 60 + m) * 60 + s) * 1000 + ms) as f64
}

/// Dates and lengths of the segments listed, milliseconds.
fn listed(window: &Window) -> Vec<(f64, f64)> {
    let text = window.media_playlist(Ask::Track(0), Skip::None).expect("a list");
    let of =
        |tag: &str| text.lines().filter_map(|l| l.strip_prefix(tag)).map(str::to_owned).collect::<Vec<_>>();
    let dates = of("#EXT-X-PROGRAM-DATE-TIME:");
    let lengths = of("#EXTINF:");
    let length = |l: &String| l.trim_end_matches(',').parse::<f64>().unwrap() * 1000.0;
    dates.iter().map(|d| ms(d)).zip(lengths.iter().map(length)).collect()
}

/// A day in which segments are no whole number of milliseconds long.
#[test]
fn dates_and_lengths_agree_after_a_day() {
    let Params::Audio(aac) = audio() else { unreachable!() };
    let odd = Params::Audio(AudioParams { sample_rate: 44_100, ..aac });
    // 60 frames of 30000/1001 per second; 86 of 1024 samples at 44.1 kHz.
    for (params, id, ticks) in [(video(), TrackId::VIDEO, 60 * 3003u64), (odd, TrackId::AUDIO, 86 * 1024)] {
        let scale = params.timescale();
        let track =
            Arc::new(RunTrack { id, name: id.to_string(), run: 0, params, init: Bytes::new(), key: None });
        let mut window = Window::new(8, 2, 0);
        window.apply(Event::Run(Arc::new(Run {
            number: 0,
            first_msn: 0,
            tracks: vec![track],
            wall_at_zero_ms: WALL,
            start_ms: WALL,
            part_target_us: 2_002_000,
            keys: Vec::new(),
        })));
        let (mut sum, mut before, mut day) = (0.0, None, 0);
        for msn in 0..86_400 * u64::from(scale) / ticks {
            let at = i64::try_from(msn * ticks).unwrap();
            let part = Part {
                msn,
                index: 0,
                dts: at,
                pts: at,
                duration: ticks,
                independent: true,
                bytes: Bytes::new(),
            };
            window.apply(Event::Part { track: 0, part });
            window.apply(Event::SegmentEnd { track: 0, msn, duration: ticks });
            let (date, length) = *listed(&window).last().unwrap();
            if let Some((date_before, length_before)) = before.replace((date, length)) {
                let off: f64 = date - date_before - length_before;
                assert!(off.abs() <= 1.0, "{msn}: {off} ms");
            }
            sum += length;
            day = at + i64::try_from(ticks).unwrap();
        }
        let truth = rescale(day, scale, 1_000_000) as f64 / 1000.0;
        assert!((sum - truth).abs() < 23.0, "{id}: lengths say {sum} ms of {truth}");
    }
}

#[test]
fn dates_follow_lengths_whatever_the_order_of_frames() {
    for (gop, b, phase) in [(60, 0, 0), (60, 2, 0), (250, 2, 0), (77, 3, 11), (45, 1, 20)] {
        let sources = [Source { gop, b, phase, ..Source::new(video()) }];
        let mut rig = sources::rig(&sources);
        send(&mut rig, &sources, 40_000, &mut Validator::default());
        let all = listed(&rig.window);
        for (one, two) in all.iter().zip(all.iter().skip(1)) {
            let off = two.0 - one.0 - one.1;
            assert!(off.abs() <= 34.0, "{gop} {b}: {off} ms in {all:?}");
        }
    }
}

#[test]
fn parts_are_listed_near_the_edge_and_one_is_hinted() {
    for target_ms in [0, 300, 1_100, 1_900] {
        let sources = [Source { gop: 24, ..Source::new(video()) }, Source::new(audio())];
        let mut rig = sources::rig(&sources);
        send(&mut rig, &sources, 20_000 + target_ms, &mut Validator::default());
        for track in 0..2 {
            let text = rig.playlist(track);
            let number =
                |line: &str, name| attribute(line, name).expect(name).parse::<f64>().expect("a number");
            let line = |tag: &str| text.lines().find(|l| l.starts_with(tag)).expect(tag).to_owned();
            let (control, inf) = (line("#EXT-X-SERVER-CONTROL"), line("#EXT-X-PART-INF"));
            assert!(number(&control, "PART-HOLD-BACK") >= 3.0 * number(&inf, "PART-TARGET"), "{text}");
            assert!(control.ends_with(",HOLD-BACK=6"), "{text}");
            assert_eq!(text.matches("#EXT-X-PRELOAD-HINT:TYPE=PART").count(), 1, "{text}");
            let parts: f64 =
                text.lines().filter(|l| l.starts_with("#EXT-X-PART:")).map(|l| number(l, "DURATION")).sum();
            // No part begins more than three targets back, and what is not listed would be too far.
            assert!(parts <= 6.0 + 1e-3 && parts > 6.0 - 2.4, "{parts}: {text}");
        }
    }
}
