//! Continuity, PES packets and what ends them.

use super::build::{PMT_PID, Ts, pat, pes, pmt};
use super::*;

const AVC: (u8, u16, &[u8]) = (0x1b, 0x100, &[]);
const AAC: (u8, u16, &[u8]) = (0x0f, 0x101, &[]);

/// Payload that differs in each place.
fn bytes(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i * 7 % 251).unwrap() ^ seed).collect()
}

/// Payload lengths, with a `!` where bytes are said to be missing.
fn sizes(bytes: &[u8], pid: u16) -> Vec<String> {
    let found = units(&events(bytes));
    let show = |u: &Unit| format!("{}{}", u.payload.len(), if u.discontinuity { "!" } else { "" });
    found.get(&pid).map(|list| list.iter().map(show).collect()).unwrap_or_default()
}

#[test]
fn a_length_ends_a_packet_at_once_and_no_length_with_the_next() {
    let mut ts = Ts::with(&[AVC, AAC]);
    ts.pes(0x101, &pes(0xc0, 900, true, &bytes(400, 0)));
    ts.pes(0x100, &pes(0xe0, 1800, false, &bytes(400, 1)));
    let mut demuxer = Demuxer::new(Config::default());
    demuxer.push(&ts.bytes);
    let now: Vec<_> = std::iter::from_fn(|| demuxer.poll()).collect();
    let unit = |pts, seed| Unit {
        pts: Some(pts),
        dts: None,
        discontinuity: false,
        payload: bytes(400, seed).into(),
    };
    assert_eq!(units(&now), BTreeMap::from([(0x101, vec![unit(900, 0)])]));
    let at = ts.bytes.len();
    ts.pes(0x100, &pes(0xe0, 3600, false, &bytes(10, 2)));
    demuxer.push(&ts.bytes[at..]);
    let next: Vec<_> = std::iter::from_fn(|| demuxer.poll()).collect();
    assert_eq!(units(&next), BTreeMap::from([(0x100, vec![unit(1800, 1)])]));
    demuxer.flush();
    assert!(matches!(demuxer.poll(), Some(Event::Unit { pid: 0x100, .. })), "flush ends the last");
    assert_eq!(demuxer.stats().lost_units, 0);
}

#[test]
fn early_continues_without_times_when_a_stuffed_packet_was_not_the_last() {
    let mut ts = Ts::with(&[AVC]);
    let data = bytes(600, 0);
    let whole = pes(0xe0, 900, false, &data);
    ts.packet(0x100, true, Some(&[0x50, 0, 0, 0, 0, 0x7e, 0]), &whole[..176]);
    ts.packet(0x100, false, None, &whole[176..300]);
    ts.packet(0x100, false, None, &whole[300..484]);
    ts.packet(0x100, false, None, &whole[484..]);
    ts.pes(0x100, &pes(0xe0, 1800, false, &[1; 9]));
    let (found, stats) = events_of(Config { early: true, ..Config::default() }, &ts.bytes, 188);
    let list = units(&found).remove(&0x100).unwrap();
    let shape: Vec<_> = list.iter().map(|u| (u.pts, u.payload.len())).collect();
    assert_eq!(shape, [(Some(900), 300 - 14), (None, 614 - 300), (Some(1800), 9)]);
    assert_eq!([&list[0].payload[..], &list[1].payload].concat(), data, "a clock alone is no stuffing");
    assert_eq!(stats.lost_units, 0);
    assert_eq!(sizes(&ts.bytes, 0x100), ["600", "9"]);
}

#[test]
fn holes_drop_what_is_open_and_nothing_else() {
    let base = || {
        let mut ts = Ts::with(&[AVC, AAC]);
        ts.pes(0x100, &pes(0xe0, 0, false, &bytes(500, 0)));
        ts.pes(0x101, &pes(0xc0, 0, true, &bytes(300, 0)));
        ts
    };
    let tail = |ts: &mut Ts| {
        for (i, len) in [(1, 501), (2, 502)] {
            ts.pes(0x101, &pes(0xc0, i, true, &bytes(len - 200, 0)));
            ts.pes(0x100, &pes(0xe0, i, false, &bytes(len, 0)));
        }
    };
    type Change = fn(&mut Ts);
    let cases: [(&str, Change, &[&str], &[&str]); 8] = [
        ("nothing", |_| (), &["500", "501", "502"], &["300", "301", "302"]),
        ("gap behind video", |ts| ts.jump(0x100, 1), &["501!", "502"], &["300", "301", "302"]),
        ("gap behind audio", |ts| ts.jump(0x101, 3), &["500", "501", "502"], &["300", "301!", "302"]),
        (
            "a packet twice",
            |ts| {
                let again = ts.last(3).to_vec();
                let at = ts.bytes.len() - 188 * 3;
                ts.bytes.splice(at..at, again);
            },
            &["500", "501", "502"],
            &["300", "301", "302"],
        ),
        ("error indicator", |ts| ts.last(3)[1] |= 0x80, &["501!", "502"], &["300", "301", "302"]),
        ("error in audio", |ts| ts.last(0)[1] |= 0x80, &["500", "501", "502"], &["301!", "302"]),
        (
            "field too long",
            |ts| {
                let last = ts.last(0);
                (last[3], last[4]) = (last[3] | 0x20, 184);
            },
            &["500", "501", "502"],
            &["301!", "302"],
        ),
        ("sync byte", |ts| ts.last(0)[0] = 0x46, &["500", "501", "502"], &["301!", "302"]),
    ];
    for (name, change, video, audio) in cases {
        let mut ts = base();
        change(&mut ts);
        tail(&mut ts);
        assert_eq!(sizes(&ts.bytes, 0x100), video, "{name}");
        assert_eq!(sizes(&ts.bytes, 0x101), audio, "{name}");
    }
}

#[test]
fn an_announced_jump_loses_nothing_but_is_told() {
    let mut ts = Ts::with(&[AVC]);
    ts.pes(0x100, &pes(0xe0, 0, false, &bytes(500, 0)));
    ts.jump(0x100, 5);
    let whole = pes(0xe0, 1, false, &bytes(160, 0));
    ts.packet(0x100, true, Some(&[0x80]), &whole);
    ts.pes(0x100, &pes(0xe0, 2, false, &bytes(7, 0)));
    assert_eq!(sizes(&ts.bytes, 0x100), ["500", "160!", "7"]);
    let (_, stats) = events_of(Config::default(), &ts.bytes, 188);
    assert_eq!((stats.lost_packets, stats.lost_units), (0, 0));
}

#[test]
fn counts_what_is_lost() {
    let mut ts = Ts::with(&[AVC]);
    ts.pes(0x100, &pes(0xe0, 0, false, &bytes(500, 0)));
    ts.jump(0x100, 5);
    ts.pes(0x100, &pes(0xe0, 0, false, &bytes(500, 0)));
    ts.last(0)[1] |= 0x80;
    ts.pes(0x100, &pes(0xe0, 0, false, &bytes(500, 0)));
    ts.bytes.truncate(ts.bytes.len() - 30);
    for _ in 0..2 {
        ts.section(0, &pat(0, &[(1, PMT_PID)]));
        ts.section(PMT_PID, &pmt(0, 1, &[AVC]));
    }
    let (_, stats) = events_of(Config::default(), &ts.bytes, 188);
    assert_eq!(stats.lost_packets, 5 + 1 + 1, "the cut packet swallows one of the PAT");
    assert_eq!(stats.damaged_packets, 1);
    assert_eq!(stats.lost_units, 3, "two holes, and one that the loss of sync left in doubt");
    assert_eq!((stats.sync_losses, stats.skipped_bytes), (1, 158));
    assert_eq!(stats.packets, 2 + 3 * 3 + 3);
}

#[test]
fn joins_in_the_middle_without_half_a_packet() {
    let mut ts = Ts::with(&[AVC]);
    ts.packet(0x100, false, None, &[9; 184]);
    ts.pes(0x100, &pes(0xe0, 5, false, &[1, 2, 3]));
    assert_eq!(sizes(&ts.bytes, 0x100), ["3"]);
}

#[test]
fn odd_packets_are_left_out_or_forgiven() {
    let wrong_start = [&[0, 0, 2][..], &pes(0xe0, 0, false, &[0; 50])[3..]].concat();
    let no_times = vec![0, 0, 1, 0xe0, 0, 0, 0x80, 0, 3, 0xff, 0xff, 0xff, 1, 2];
    let mut one_marker = pes(0xe0, 0x1_2345_6789, false, &[1]);
    one_marker[9] &= 0xfe;
    let mut no_markers = one_marker.clone();
    no_markers[11] &= 0xfe;
    let mut late_header = pes(0xe0, 0, false, &[]);
    late_header[8] = 200;
    for (name, packet, want) in [
        ("start code", wrong_start, None),
        ("padding stream", pes(0xbe, 0, false, &[0; 60]), None),
        ("no times, stuffing", no_times, Some((None, 2))),
        ("one marker forgotten", one_marker, Some((Some(0x1_2345_6789), 1))),
        ("two markers forgotten", no_markers, Some((None, 1))),
        ("header beyond the end", late_header, None),
        ("no payload", pes(0xe0, 0, false, &[]), None),
        ("shorter than a header", vec![0, 0, 1], None),
        ("all 33 bits", pes(0xe0, (1 << 33) - 1, false, &[4]), Some((Some((1 << 33) - 1), 1))),
    ] {
        let mut ts = Ts::with(&[AVC]);
        ts.pes(0x100, &packet);
        ts.pes(0x100, &pes(0xe0, 77, false, &[9]));
        let list = units(&events(&ts.bytes)).remove(&0x100).unwrap();
        let shape: Vec<_> = list.iter().map(|u| (u.pts, u.payload.len())).collect();
        assert_eq!(shape, want.into_iter().chain([(Some(77), 1)]).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn decode_times_are_told_where_they_differ() {
    for (dts, want) in [(0x11u8, Some(0)), (0x13, Some(1 << 30))] {
        let mut packet = vec![0, 0, 1, 0xe0, 0, 0, 0x80, 0xc0, 10, 0x33, 0, 1, 0, 1, dts, 0, 1, 0, 1, 5];
        let mut ts = Ts::with(&[AVC]);
        ts.pes(0x100, &packet);
        packet[9] = 0x31;
        ts.pes(0x100, &packet);
        let list = units(&events(&ts.bytes)).remove(&0x100).unwrap();
        let same = want.filter(|d| *d != 1 << 30);
        assert_eq!((list[0].pts, list[0].dts), (Some(1 << 30), same));
        assert_eq!((list[1].pts, list[1].dts), (Some(0), want.filter(|d| *d != 0)));
    }
}

#[test]
fn large_packets_are_dropped() {
    let mut ts = Ts::with(&[AVC, AAC]);
    ts.pes(0x100, &pes(0xe0, 0, false, &bytes(3000, 0)));
    ts.pes(0x100, &pes(0xe0, 0, false, &bytes(900, 0)));
    ts.pes(0x101, &pes(0xc0, 0, false, &vec![0; 300 << 10]));
    ts.pes(0x101, &pes(0xc0, 0, true, &bytes(8, 0)));
    let (found, stats) = events_of(Config { pes_bytes_max: 2000, ..Config::default() }, &ts.bytes, 188);
    let list = &units(&found)[&0x100];
    assert_eq!((list[0].payload.len(), list[0].discontinuity), (900, true));
    assert_eq!(stats.lost_units, 2);
    assert_eq!(sizes(&ts.bytes, 0x100), ["3000", "900"]);
    assert_eq!(sizes(&ts.bytes, 0x101), ["8!"], "audio has a bound of its own");
}

#[test]
fn scrambled_streams_are_named_once() {
    let mut ts = Ts::with(&[AVC, AAC]);
    for _ in 0..3 {
        ts.pes(0x100, &pes(0xe0, 0, false, &[1; 160]));
        ts.last(0)[3] |= 0x80;
        ts.pes(0x101, &pes(0xc0, 0, true, &[1; 160]));
    }
    let found = events(&ts.bytes);
    let named: Vec<_> = found.iter().filter(|e| matches!(e, Event::Unsupported(_))).collect();
    let want = Unsupported { pid: 0x100, stream_type: 0x1b, name: "scrambled" };
    assert_eq!(named, [&Event::Unsupported(want)]);
    assert_eq!(units(&found).keys().collect::<Vec<_>>(), [&0x101]);
}

#[test]
fn packets_are_found_in_any_wrapping() {
    let want = events(FFMPEG);
    let wrap = |front: &[u8], back: &[u8]| -> Vec<u8> {
        FFMPEG.chunks(188).flat_map(|p| [front, p, back].concat()).collect()
    };
    let noise: Vec<u8> = (0..5000u32).map(|i| u8::try_from((i * i / 7) % 256).unwrap()).collect();
    for (name, bytes) in [
        ("M2TS", wrap(&[1, 2, 3, 4], &[])),
        ("M2TS with a time like sync", wrap(&[0x47, 2, 3, 4], &[])),
        ("M2TS with another time", wrap(&[1, 0x47, 3, 4], &[])),
        ("parity", wrap(&[], &[7; 16])),
        ("parity like sync", wrap(&[], &[0x47; 16])),
        ("noise in front", [&noise[..], FFMPEG].concat()),
        ("half a packet in front", [&FFMPEG[100..188], FFMPEG].concat()),
    ] {
        for size in [1, 100, 1316, bytes.len()] {
            assert_eq!(events_of(Config::default(), &bytes, size).0, want, "{name} by {size}");
        }
    }
}
