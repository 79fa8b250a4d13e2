//! Captions: units of user data, services, and screens from hand-made bytes.

use super::cea608::{Decoder, Row, Screen};
use super::*;

/// Odd parity.
fn parity(byte: u8) -> u8 {
    if byte.count_ones().is_multiple_of(2) { byte | 0x80 } else { byte }
}

/// `cc_data` of these triples in a message, with the head of a unit of that codec.
fn sei(head: &[u8], triples: &[[u8; 3]]) -> Vec<u8> {
    let mut data = HEAD.to_vec();
    data.extend([0x40 | u8::try_from(triples.len()).unwrap(), 0xff]);
    data.extend(triples.concat());
    data.push(0xff);
    [head, &[4, u8::try_from(data.len()).unwrap()], &data, &[0x80]].concat()
}

fn sample(nals: &[&[u8]]) -> Vec<u8> {
    nals.iter().flat_map(|n| [&u32::try_from(n.len()).unwrap().to_be_bytes(), *n].concat()).collect()
}

fn found(codec: VideoCodec, payload: &[u8]) -> Vec<Pair> {
    let mut out = Vec::new();
    pairs(codec, payload, &mut out);
    out
}

#[test]
fn pairs_are_found_before_the_first_slice_only() {
    let triples = [[0xfc, 0x94, 0x20], [0xfd, 1, 2], [0xff, 3, 4], [0xfe, 5, 6], [0xf8, 7, 8], [0xfa, 9, 9]];
    let want = vec![
        Pair::Line21 { field: 0, bytes: [0x94, 0x20] },
        Pair::Line21 { field: 1, bytes: [1, 2] },
        Pair::Dtvcc { start: true, bytes: [3, 4] },
        Pair::Dtvcc { start: false, bytes: [5, 6] },
    ];
    let (avc, hevc) = (sei(&[6], &triples), sei(&[39 << 1, 1], &triples));
    // Another message before ours, in the same unit: type 1, two bytes.
    let mixed = [&[6, 1, 2, 0, 0][..], &avc[1..]].concat();
    let other = sei(&[6], &[]);
    for (name, codec, nals, want) in [
        ("AVC", VideoCodec::Avc, vec![&[9, 0xf0][..], &avc, &[0x65, 1]], &want),
        ("behind another message", VideoCodec::Avc, vec![&mixed, &[0x65]], &want),
        ("HEVC", VideoCodec::Hevc, vec![&[70, 1, 0x50][..], &hevc, &[38, 1, 7]], &want),
        ("behind a slice", VideoCodec::Avc, vec![&[0x41, 1][..], &avc], &vec![]),
        ("HEVC behind a slice", VideoCodec::Hevc, vec![&[2, 1][..], &hevc], &vec![]),
        ("no pairs", VideoCodec::Avc, vec![&other[..], &[0x65]], &vec![]),
        ("AV1 has no SEI", VideoCodec::Av1, vec![&avc[..]], &vec![]),
    ] {
        assert_eq!(&found(codec, &sample(&nals)), want, "{name}");
    }
}

#[test]
fn escaped_bytes_are_read_as_they_were() {
    let plain = sei(&[6], &[[0xfe, 0, 0], [0xfe, 1, 2]]);
    // 0 0 0xfe needs no escape; 0 0 1 does.
    let mut data = sei(&[6], &[[0xff, 0x80, 0], [0xfe, 0, 0], [0xfc, 0x80, 0x80]]);
    let at = data.windows(3).position(|w| w == [0xfe, 0, 0]).unwrap() + 2;
    data.insert(at + 1, 3);
    assert_eq!(found(VideoCodec::Avc, &sample(&[&plain])).len(), 2);
    let zeros = Pair::Dtvcc { start: false, bytes: [0, 0] };
    assert_eq!(found(VideoCodec::Avc, &sample(&[&data])).get(1), Some(&zeros));
}

fn services(pairs: &[Pair]) -> Vec<String> {
    let mut seen = Seen::default();
    pairs.iter().for_each(|p| {
        seen.push(*p);
    });
    seen.services().map(|s| s.to_string()).collect()
}

fn line21(field: u8, pairs: &[[u8; 2]]) -> Vec<Pair> {
    pairs.iter().map(|p| Pair::Line21 { field, bytes: p.map(parity) }).collect()
}

fn dtvcc(bytes: &[u8]) -> Vec<Pair> {
    let pair = |(n, c): (usize, &[u8])| Pair::Dtvcc { start: n == 0, bytes: [c[0], c[1]] };
    bytes.chunks(2).enumerate().map(pair).collect()
}

#[test]
fn services_are_those_that_carry_something() {
    let hello = [b'H', b'i'];
    for (name, pairs, want) in [
        ("nothing", vec![], vec![]),
        ("null pairs", line21(0, &[[0, 0], [0, 0]]), vec![]),
        ("a mode alone", line21(0, &[[0x14, 0x20]]), vec![]),
        ("pop-on", line21(0, &[[0x14, 0x20], hello]), vec!["CC1"]),
        ("roll-up on the second channel", line21(0, &[[0x1c, 0x25], hello]), vec!["CC2"]),
        ("third and fourth", line21(1, &[[0x15, 0x29], hello, [0x1d, 0x26], hello]), vec!["CC3", "CC4"]),
        ("text is no caption", line21(0, &[[0x14, 0x2a], hello]), vec![]),
        ("nor is data", line21(1, &[[0x15, 0x20], [1, 3], hello, [0x0f, 0x1d]]), vec![]),
        // Size code 3: six bytes. Service 1 with two bytes, then a null block.
        ("service 1", dtvcc(&[0x03, 0x22, b'A', b'B', 0, 0]), vec!["SERVICE1"]),
        ("service 2 and 1", dtvcc(&[0x44, 0x41, b'A', 0x22, b'B', b'C', 0, 0]), vec!["SERVICE1", "SERVICE2"]),
        ("extended", dtvcc(&[0x03, 0xe1, 9, b'A', 0, 0]), vec!["SERVICE9"]),
        ("empty block", dtvcc(&[0x02, 0x20, 0, 0]), vec![]),
        ("half a packet", dtvcc(&[0x03, 0x22, b'A', b'B']), vec![]),
        ("beyond the packet", dtvcc(&[0x02, 0x3f, 0, 0]), vec![]),
    ] {
        assert_eq!(services(&pairs), want, "{name}");
    }
    for name in ["CC1", "CC4", "SERVICE1", "SERVICE63"] {
        assert_eq!(name.parse::<Service>().map(|s| s.to_string()).as_deref(), Ok(name));
    }
    for bad in ["", "CC0", "CC5", "SERVICE0", "SERVICE64", "CC01", "cc1", "SERVICE"] {
        assert_eq!(bad.parse::<Service>(), Err(()), "{bad}");
    }
}

/// Screens of both channels as text, one pair a second: `channel@second row:column text|…`.
fn screens(pairs: &[[u8; 2]]) -> Vec<String> {
    let mut decoder = Decoder::default();
    let mut told = Vec::new();
    for (second, pair) in pairs.iter().enumerate() {
        decoder.push(pair.map(parity));
        let at_us = i64::try_from(second).unwrap() * 1_000_000;
        let screens: Vec<(usize, Screen)> = decoder.poll(at_us).collect();
        told.extend(screens.iter().map(|(nth, screen)| {
            let rows: Vec<String> = screen.rows.iter().map(shown).collect();
            format!("{}@{} {}", nth + 1, screen.at_us / 1_000_000, rows.join("|"))
        }));
    }
    told
}

fn shown(row: &Row) -> String {
    let text: String = row
        .text
        .iter()
        .map(|run| match (run.italic, run.underline) {
            (true, _) => format!("<i>{}</i>", run.text),
            (_, true) => format!("<u>{}</u>", run.text),
            _ => run.text.clone(),
        })
        .collect();
    format!("{}:{} {text}", row.row, row.column)
}

const RCL: [u8; 2] = [0x14, 0x20];
const EOC: [u8; 2] = [0x14, 0x2f];
const EDM: [u8; 2] = [0x14, 0x2c];
const ENM: [u8; 2] = [0x14, 0x2e];
const CR: [u8; 2] = [0x14, 0x2d];

#[test]
fn captions_pop_on_and_are_erased() {
    // Row 14 indented by 4, row 15.
    let pop = [
        RCL,
        RCL,
        ENM,
        [0x14, 0x52],
        [b'H', b'i'],
        [0x14, 0x60],
        [b'y', b'o'],
        [b'u', 0],
        EOC,
        EOC,
        [0, 0],
        EDM,
    ];
    assert_eq!(screens(&pop), ["1@8 14:4 Hi|15:0 you", "1@11 "]);
    // The next one is loaded while the first is shown; the memories change places.
    let next = [RCL, [0x14, 0x60], [b'A', 0], EOC, ENM, [0x14, 0x60], [b'B', 0], EOC, EDM];
    assert_eq!(screens(&next), ["1@3 15:0 A", "1@7 15:0 B", "1@8 "]);
}

#[test]
fn captions_roll_up() {
    let ru2 = [0x14, 0x25];
    let roll = [ru2, CR, [0x14, 0x60], [b'a', 0], CR, [b'b', 0], CR, [b'c', 0], EDM];
    let want = ["1@3 15:0 a", "1@4 14:0 a", "1@5 14:0 a|15:0 b", "1@6 14:0 b", "1@7 14:0 b|15:0 c", "1@8 "];
    assert_eq!(screens(&roll), want);
    // The window moves up to row 2 with what is in it.
    let moved = [[0x14, 0x26], [0x14, 0x60], [b'a', 0], [0x11, 0x60], [b'b', 0]];
    assert_eq!(screens(&moved), ["1@2 15:0 a", "1@3 2:0 a", "1@4 2:0 b"]);
}

#[test]
fn captions_are_painted_with_their_styles_and_letters() {
    let rdc = [0x14, 0x29];
    for (name, pairs, want) in [
        ("tab", vec![[0x14, 0x60], [0x17, 0x22], [b'x', b'y']], "15:2 xy"),
        ("italic row", vec![[0x14, 0x6e], [b'x', b'y']], "15:0 <i>xy</i>"),
        ("underlined row", vec![[0x14, 0x61], [b'x', 0]], "15:0 <u>x</u>"),
        ("mid-row", vec![[0x14, 0x60], [b'x', 0], [0x11, 0x2e], [b'y', 0]], "15:0 x <i>y</i>"),
        ("special", vec![[0x14, 0x60], [0x11, 0x37], [0x11, 0x32]], "15:0 ♪½"),
        ("standard", vec![[0x14, 0x60], [0x2a, 0x7e]], "15:0 áñ"),
        ("extended", vec![[0x14, 0x60], [b'E', b'A'], [0x12, 0x20], [b'o', 0], [0x13, 0x34]], "15:0 EÁß"),
        ("backspace", vec![[0x14, 0x60], [b'x', b'y'], [0x14, 0x21], [b'z', 0]], "15:0 xz"),
        ("to the end of the row", vec![[0x14, 0x60], [b'x', b'y'], [0x14, 0x70], [0x14, 0x24]], ""),
        ("rows 1 and 11", vec![[0x11, 0x40], [b'x', 0], [0x10, 0x40], [b'y', 0]], "1:0 x|11:0 y"),
        ("rows 12 and 13", vec![[0x13, 0x40], [b'x', 0], [0x13, 0x60], [b'y', 0]], "12:0 x|13:0 y"),
    ] {
        let all = [&[rdc][..], &pairs].concat();
        let last = screens(&all).pop().unwrap();
        assert_eq!(last.split_once(' ').unwrap().1, want, "{name}");
    }
    let second = [[0x1c, 0x29], [0x1c, 0x60], [b'x', 0]];
    assert_eq!(screens(&second), ["2@2 15:0 x"]);
    let text = [[0x14, 0x2a], [b'n', b'o'], [0x14, 0x2d], [b'n', b'o']];
    assert!(screens(&text).is_empty(), "text mode");
}

#[test]
fn a_letter_with_wrong_parity_is_a_block() {
    let mut decoder = Decoder::default();
    for pair in [[0x94, 0x29], [0x94, 0xe0], [parity(b'x') ^ 0x80, parity(b'y')]] {
        decoder.push(pair);
    }
    let (_, screen) = decoder.poll(0).next().unwrap();
    assert_eq!(shown(&screen.rows[0]), "15:0 █y");
}

#[test]
fn any_damage_is_read_within_the_bounds() {
    let unit = sei(&[6], &[[0xfc, 0x94, 0x20], [0xff, 3, 0x22], [0xfe, 65, 66]]);
    crate::testing::broken(&sample(&[&unit, &[0x65]]), crate::fuzz::captions);
}
