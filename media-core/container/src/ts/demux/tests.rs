//! Streams of other muxers, hand-made packets, and damage.

use std::collections::BTreeMap;

use nx_codec::elementary::Unit;
use nx_media::Language;
use proptest::prelude::*;

use super::*;

mod build;
mod damage;
mod packets;
mod programs;
mod roundtrip;

const FFMPEG: &[u8] = include_bytes!("golden/ffmpeg.m2t");
const GSTREAMER: &[u8] = include_bytes!("golden/gstreamer.m2ts");

/// Everything that a stream gives when it is pushed in pieces of `size` bytes.
fn events_of(config: Config, bytes: &[u8], size: usize) -> (Vec<Event>, Stats) {
    let (mut demuxer, mut events) = (Demuxer::new(config), vec![]);
    for piece in bytes.chunks(size.max(1)) {
        demuxer.push(piece);
        events.extend(std::iter::from_fn(|| demuxer.poll()));
    }
    demuxer.flush();
    events.extend(std::iter::from_fn(|| demuxer.poll()));
    (events, demuxer.stats())
}

fn events(bytes: &[u8]) -> Vec<Event> {
    events_of(Config::default(), bytes, 1316).0
}

/// The units by packet id.
fn units(events: &[Event]) -> BTreeMap<u16, Vec<Unit>> {
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for event in events {
        if let Event::Unit { pid, unit, .. } = event {
            found.entry(*pid).or_default().push(unit.clone());
        }
    }
    found
}

fn programs(events: &[Event]) -> Vec<&Program> {
    events.iter().filter_map(|e| if let Event::Program(p) = e { Some(p) } else { None }).collect()
}

/// One line per PES packet, as the tables beside the golden files have them.
fn table(events: &[Event]) -> String {
    let line = |pid: u16, u: &Unit| {
        let pts = u.pts.expect("these streams date everything");
        format!("{pid:#x} {pts} {} {}\n", u.dts.unwrap_or(pts), u.payload.len())
    };
    units(events).iter().flat_map(|(pid, list)| list.iter().map(|u| line(*pid, u))).collect()
}

#[test]
fn agrees_with_ffprobe_however_the_bytes_are_cut() {
    for (name, bytes, want) in [
        ("ffmpeg", FFMPEG, include_str!("golden/ffmpeg.packets")),
        ("gstreamer", GSTREAMER, include_str!("golden/gstreamer.packets")),
    ] {
        let (whole, stats) = events_of(Config::default(), bytes, bytes.len());
        assert_eq!(table(&whole), want, "{name}");
        let clean = Stats { packets: stats.packets, skipped_bytes: stats.skipped_bytes, ..Stats::default() };
        assert_eq!(stats, clean, "{name}");
        for size in [1, 2, 187, 188, 189, 191, 1316, 5000] {
            assert_eq!(events_of(Config::default(), bytes, size), (whole.clone(), stats), "{name} {size}");
        }
    }
}

#[test]
fn tells_formats_languages_and_key_frames() {
    let found = events(FFMPEG);
    let eng = Language::new(b"eng");
    let stream = |pid, stream_type, format, language| Stream { pid, stream_type, format, language };
    let want = Program {
        number: 1,
        pcr_pid: Some(0x100),
        streams: vec![
            stream(0x100, 0x1b, StreamFormat::Avc, None),
            stream(0x101, 0x0f, StreamFormat::AacAdts, eng),
            stream(0x102, 0x03, StreamFormat::Mpa, Language::new(b"fra")),
        ],
    };
    assert_eq!(programs(&found), [&want]);
    assert_eq!(found.first(), Some(&Event::Program(want)), "before the first unit");
    let keys: Vec<_> = (found.iter())
        .filter_map(|e| match e {
            Event::Unit { pid: 0x100, random_access, .. } => Some(*random_access),
            _ => None,
        })
        .collect();
    assert_eq!(keys.len(), 20);
    assert!(keys.iter().enumerate().all(|(i, key)| *key == (i % 10 == 0)), "{keys:?}");
    assert!(units(&found).values().flatten().all(|u| !u.discontinuity), "nothing is missing");
    let formats: Vec<_> = programs(&events(GSTREAMER))[0].streams.iter().map(|s| s.format).collect();
    assert_eq!(formats, [StreamFormat::Avc, StreamFormat::Opus { channels: 2 }, StreamFormat::Ac3]);
}

#[test]
fn early_gives_the_same_units_one_frame_sooner() {
    let early = Config { early: true, ..Config::default() };
    for bytes in [FFMPEG, GSTREAMER] {
        let (late, _) = events_of(Config::default(), bytes, 1316);
        let (soon, _) = events_of(early, bytes, 1316);
        let (late, soon) = (units(&late), units(&soon));
        for (pid, list) in &late {
            let whole = |units: &[Unit]| units.iter().flat_map(|u| u.payload.to_vec()).collect::<Vec<_>>();
            assert_eq!(whole(list), whole(&soon[pid]), "{pid}");
            assert_eq!(list, &soon[pid], "these muxers stuff last packets only");
        }
    }
    let mut demuxer = Demuxer::new(early);
    let cut = FFMPEG.len() / 2 / 188 * 188;
    demuxer.push(&FFMPEG[..cut]);
    let soon = std::iter::from_fn(|| demuxer.poll()).filter(|e| matches!(e, Event::Unit { pid: 0x100, .. }));
    let (soon, late) = (soon.count(), {
        let mut demuxer = Demuxer::new(Config::default());
        demuxer.push(&FFMPEG[..cut]);
        std::iter::from_fn(|| demuxer.poll()).filter(|e| matches!(e, Event::Unit { pid: 0x100, .. })).count()
    });
    assert_eq!(soon, late + 1);
}

proptest! {
    #[test]
    fn any_cut_gives_the_same(cuts in prop::collection::vec(1..700usize, 1..60)) {
        let mut demuxer = Demuxer::new(Config::default());
        let (mut rest, mut found) = (GSTREAMER, vec![]);
        for size in cuts {
            let (piece, tail) = rest.split_at(size.min(rest.len()));
            demuxer.push(piece);
            rest = tail;
        }
        demuxer.push(rest);
        demuxer.flush();
        found.extend(std::iter::from_fn(|| demuxer.poll()));
        prop_assert_eq!(found, events(GSTREAMER));
    }

    #[test]
    fn survives_noise(data in prop::collection::vec(prop_oneof![Just(0x47u8), any::<u8>()], 0..3000)) {
        crate::fuzz_ts::ts_demux(&data);
    }
}
