//! Grids of time, by tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use nx_hls::{RunTrack, Stored};
use nx_media::{Params, TrackId, VideoCodec, VideoParams};

use super::{Clock, Grid, write};
use crate::images::still::Found;

/// Segments of two seconds that begin at these times, Unix milliseconds; one without a picture where `has` says so.
fn found(run: u32, begins_ms: &[i64], has: impl Fn(usize) -> bool) -> Vec<Found> {
    let params = Params::Video(VideoParams {
        codec: VideoCodec::Avc,
        config: Bytes::new(),
        width: 640,
        height: 480,
        frame_rate: None,
        range: nx_media::VideoRange::Sdr,
        rfc6381: String::new(),
    });
    let (id, init) = (TrackId::VIDEO, Bytes::new());
    let track = Arc::new(RunTrack { id, name: "v1".into(), run, params, init, key: None });
    let ticks = u64::from(track.params.timescale()) * 2;
    let segment = |(nth, ms): (usize, &i64)| Stored {
        named_by_run: false,
        msn: 100 + nth as u64,
        begins_ms: *ms,
        pts: 0,
        duration: ticks,
        bytes: 1000,
        independent: has(nth),
        i_frame_bytes: has(nth).then_some(500),
    };
    begins_ms.iter().enumerate().map(|s| Found { track: track.clone(), segment: segment(s) }).collect()
}

#[test]
fn pictures_are_as_far_apart_as_the_view_is_long() {
    for (length_s, target_s, every_s) in [
        (0, 2, 2),
        (600, 2, 2),
        (600, 6, 10),
        (2_001, 2, 2),
        (3_600, 2, 5),
        (10_000, 2, 10),
        (43_200, 2, 60),
        (86_400 * 7, 2, 3600),
        (86_400 * 366, 2, 3600),
        (10, 30, 30),
    ] {
        assert_eq!(Grid::of(length_s * 1000, target_s, 0).every_s, every_s, "{length_s} s");
    }
}

#[test]
fn a_cell_has_its_first_picture_and_a_row_is_there_when_it_is_whole() {
    // Sheets of 200 s. The 9th begins at 1800 s.
    let begins: Vec<i64> = (0..60).map(|n| 1_800_500 + n * 1_000).collect();
    let all = found(0, &begins, |nth| nth != 4);
    let sheets = |settled_ms| {
        let sheets = Grid { every_s: 2, settled_ms }.sheets(&all);
        let cells = |(number, sheet): (i64, super::Sheet<'_>)| {
            (number, sheet.cells.iter().map(|(cell, found)| (*cell, found.segment.msn)).collect::<Vec<_>>())
        };
        sheets.into_iter().map(cells).collect::<BTreeMap<_, _>>()
    };
    assert!(sheets(1_819_999).is_empty());
    let row = sheets(1_820_000);
    let want: Vec<(u8, u64)> =
        (0..10).map(|cell| (cell, if cell == 2 { 105 } else { 100 + u64::from(cell) * 2 })).collect();
    assert_eq!(row, BTreeMap::from([(9, want)]), "the picture that is missing is not waited for");
    assert_eq!(sheets(i64::MAX).values().map(Vec::len).sum::<usize>(), 30);
}

#[test]
fn an_index_counts_as_its_player_does() {
    let grid = Grid { every_s: 2, settled_ms: i64::MAX };
    let mut all = found(0, &[1_800_000, 1_802_000, 1_804_000], |_| true);
    // A minute later in another run.
    all.extend(found(1, &[1_866_000, 1_868_000], |_| true));
    let sheets = grid.sheets(&all);
    let text = write(&all[1..], &sheets, grid);
    let tag = sheets[&9].tag();
    let cue = |span: &str, x: u32, y: u32| {
        format!("\n{span}\nsprites/9.jpg?every=2&v={tag}#xywh={x},{y},160,120\n")
    };
    let want = [
        "WEBVTT\n\nNOTE 0 is 1970-01-01T00:30:02.000Z\n".to_owned(),
        cue("00:00:00.000 --> 00:00:02.000", 160, 0),
        cue("00:00:02.000 --> 00:00:04.000", 320, 0),
        cue("00:00:04.000 --> 00:00:06.000", 480, 360),
        cue("00:00:06.000 --> 00:00:08.000", 640, 360),
    ];
    assert_eq!(text, want.concat());
    assert_ne!(tag, grid.sheets(&all[1..])[&9].tag(), "other pictures, another tag");
    assert_eq!(Clock(360_061_007).to_string(), "100:01:01.007");
}
