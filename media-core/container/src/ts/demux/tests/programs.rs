//! PAT, PMT and splice information.

use super::build::{PMT_PID, Ts, pat, pes, pmt, sealed};
use super::*;

const AVC: (u8, u16, &[u8]) = (0x1b, 0x100, &[]);
const AAC: (u8, u16, &[u8]) = (0x0f, 0x101, &[]);

fn numbers(events: &[Event]) -> Vec<(u16, Vec<u16>)> {
    programs(events).iter().map(|p| (p.number, p.streams.iter().map(|s| s.pid).collect())).collect()
}

#[test]
fn formats_come_from_types_and_descriptors() {
    let opus = |code| [&b"\x05\x04Opus\x7f\x02\x80"[..], &[code]].concat();
    let (opus0, opus6, opus9) = (opus(0), opus(6), opus(9));
    type Want = Result<StreamFormat, &'static str>;
    let cases: [(u8, &[u8], Want); 27] = [
        (0x1b, b"", Ok(StreamFormat::Avc)),
        (0x24, b"\x05\x04HEVC", Ok(StreamFormat::Hevc)),
        (0x0f, b"", Ok(StreamFormat::AacAdts)),
        (0x11, b"", Ok(StreamFormat::AacLatm)),
        (0x03, b"", Ok(StreamFormat::Mpa)),
        (0x04, b"", Ok(StreamFormat::Mpa)),
        (0x81, b"", Ok(StreamFormat::Ac3)),
        (0x87, b"", Ok(StreamFormat::Eac3)),
        (0x86, b"", Ok(StreamFormat::Scte35)),
        (0x06, b"\x6a\x01\x00", Ok(StreamFormat::Ac3)),
        (0x06, b"\x0a\x04eng\x00\x05\x04AC-3", Ok(StreamFormat::Ac3)),
        (0x06, b"\x7a\x01\x00", Ok(StreamFormat::Eac3)),
        (0x06, b"\x05\x04EAC3", Ok(StreamFormat::Eac3)),
        (0x06, b"\x05\x04Opus", Ok(StreamFormat::Opus { channels: 2 })),
        (0x06, &opus0, Ok(StreamFormat::Opus { channels: 2 })),
        (0x06, &opus6, Ok(StreamFormat::Opus { channels: 6 })),
        (0x06, &opus9, Err("Opus with a channel mapping of its own")),
        (0x06, b"\x05\x04AV01", Err("AV1")),
        (0x06, b"\x7b\x01\x00", Err("DTS")),
        (0x06, b"\x59\x00", Err("DVB subtitles")),
        (0x06, b"", Err("private data")),
        (0x06, b"\x05\x7fAC-3", Err("private data")),
        (0x02, b"", Err("MPEG-2 video")),
        (0x8a, b"", Err("DTS")),
        (0x15, b"", Err("timed metadata")),
        (0x33, b"", Err("VVC")),
        (0xee, b"", Err("unknown stream type")),
    ];
    let streams: Vec<_> =
        (0x100..).zip(&cases).map(|(pid, (stream_type, info, _))| (*stream_type, pid, *info)).collect();
    let found = events(&Ts::with(&streams).bytes);
    let formats: BTreeMap<_, Want> = (found.iter())
        .flat_map(|e| match e {
            Event::Program(p) => p.streams.iter().map(|s| (s.pid, Ok(s.format))).collect(),
            Event::Unsupported(u) => vec![(u.pid, Err(u.name))],
            _ => vec![],
        })
        .collect();
    assert_eq!(formats.len(), cases.len());
    for (pid, (stream_type, info, want)) in (0x100..).zip(cases) {
        assert_eq!(formats[&pid], want, "{stream_type:#x} {}", info.escape_ascii());
    }
}

#[test]
fn blu_ray_has_types_of_its_own() {
    // PCR, program descriptors with the registration, then the streams.
    let mut section = vec![2, 0xb0, 0, 0, 1, 0xc1, 0, 0, 0xe1, 0, 0xf0, 6, 5, 4];
    section.extend(b"HDMV");
    section.extend([0x84, 0xe1, 0, 0xf0, 0, 0x86, 0xe1, 1, 0xf0, 0]);
    section[2] = u8::try_from(section.len() + 1).unwrap();
    let mut ts = Ts::default();
    ts.section(0, &pat(0, &[(1, PMT_PID)]));
    ts.section(PMT_PID, &sealed(section));
    let found = events(&ts.bytes);
    assert_eq!(programs(&found)[0].streams[0].format, StreamFormat::Eac3);
    let dts = Unsupported { pid: 0x101, stream_type: 0x86, name: "DTS" };
    assert_eq!(found.last(), Some(&Event::Unsupported(dts)));
}

#[test]
fn only_a_change_that_matters_is_told() {
    let bad_crc = |mut section: Vec<u8>| {
        section[12] ^= 1;
        section
    };
    let not_yet = |mut section: Vec<u8>| {
        section[5] &= 0xfe;
        section.truncate(section.len() - 4);
        sealed(section)
    };
    let beyond = |mut section: Vec<u8>| {
        section[16] = 0x7f;
        section.truncate(section.len() - 4);
        sealed(section)
    };
    for (name, section, told) in [
        ("the same", pmt(0, 1, &[AVC, AAC]), false),
        ("another version", pmt(1, 1, &[AVC, AAC]), false),
        ("one stream less", pmt(1, 1, &[AVC]), true),
        ("the same version, another format", pmt(0, 1, &[AVC, (3, 0x101, &[])]), true),
        ("another language", pmt(1, 1, &[AVC, (0x0f, 0x101, b"\x0a\x04deu\0")]), true),
        ("one more that is not read", pmt(1, 1, &[AVC, AAC, (2, 0x102, &[])]), false),
        ("damaged", bad_crc(pmt(1, 1, &[AVC])), false),
        ("not yet in force", not_yet(pmt(1, 1, &[AVC])), false),
        ("another program", pmt(1, 2, &[AVC]), false),
        ("lists too long", beyond(pmt(1, 1, &[AVC])), false),
    ] {
        let mut ts = Ts::with(&[AVC, AAC]);
        ts.pes(0x100, &pes(0xe0, 1, false, &[1; 300]));
        ts.section(PMT_PID, &section);
        ts.pes(0x100, &pes(0xe0, 2, false, &[1; 20]));
        let found = events(&ts.bytes);
        assert_eq!(programs(&found).len(), 1 + usize::from(told), "{name}");
        assert_eq!(units(&found)[&0x100].len(), 2, "{name}: video runs on");
    }
    let mut ts = Ts::with(&[AVC]);
    ts.section(PMT_PID, &bad_crc(pmt(1, 1, &[AVC])));
    assert_eq!(events_of(Config::default(), &ts.bytes, 188).1.bad_sections, 1);
}

#[test]
fn streams_that_end_with_a_change_give_what_they_have() {
    let mut ts = Ts::with(&[AVC, AAC]);
    ts.pes(0x100, &pes(0xe0, 1, false, &[1; 300]));
    ts.section(PMT_PID, &pmt(1, 1, &[(0x24, 0x100, &[]), AAC]));
    ts.pes(0x100, &pes(0xe0, 2, false, &[1; 20]));
    let kinds: Vec<_> = (events(&ts.bytes).iter())
        .map(|e| match e {
            Event::Program(p) => format!("{:?}", p.streams[0].format),
            Event::Unit { unit, .. } => unit.payload.len().to_string(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["Avc", "300", "Hevc", "20"]);
}

#[test]
fn sections_may_span_packets_and_share_them() {
    let languages: Vec<_> = (0..40u16).map(|i| (0x0fu8, 0x100 + i, &b"\x0a\x04eng\0"[..])).collect();
    let long = pmt(0, 1, &languages);
    assert!(long.len() > 2 * 184);
    let mut ts = Ts::default();
    ts.section(0, &[pat(0, &[(9, 0x300)]), pat(1, &[(1, PMT_PID)])].concat());
    // The PMT begins behind another section, and one more begins in the packet where it ends.
    let other = sealed(vec![0x42, 0xb0, 60].into_iter().chain([7; 56]).collect());
    let bytes = [&[0][..], &other, &long, &other].concat();
    let (first, rest) = bytes.split_at(184);
    ts.packet(PMT_PID, true, None, first);
    let (second, third) = rest.split_at(184);
    ts.packet(PMT_PID, false, None, second);
    let left = 1 + other.len() + long.len() - 2 * 184;
    let third = [&[u8::try_from(left).unwrap()][..], third].concat();
    assert!(third.len() > 184, "the last one ends in the next packet");
    let (third, fourth) = third.split_at(184);
    ts.packet(PMT_PID, true, None, third);
    ts.packet(PMT_PID, false, None, fourth);
    ts.section(PMT_PID, &pmt(1, 1, &[AVC]));
    let found = numbers(&events(&ts.bytes));
    assert_eq!(found, [(1, (0x100..0x100 + 40).collect()), (1, vec![0x100])]);
    ts.bytes.drain(2 * 188..3 * 188);
    assert_eq!(numbers(&events(&ts.bytes)), [(1, vec![0x100])], "what lost its middle is dropped");
}

#[test]
fn picks_the_first_program_with_media_or_the_wanted_one() {
    let data = (0x05, 0x90, &[][..]);
    let sections = [(0x200, pmt(0, 1, &[data])), (0x201, pmt(0, 2, &[AVC])), (0x201, pmt(0, 3, &[AAC]))];
    let list = [(0, 0x10), (1, 0x200), (2, 0x201), (3, 0x201)];
    let ts = |order: &[usize]| {
        let mut ts = Ts::default();
        ts.section(0, &pat(0, &list));
        for at in order {
            ts.section(sections[*at].0, &sections[*at].1);
        }
        ts.bytes
    };
    let pick = |program, order: &[usize]| {
        let config = Config { program, ..Config::default() };
        numbers(&events_of(config, &ts(order), 188).0).iter().map(|(n, _)| *n).collect::<Vec<_>>()
    };
    assert_eq!(pick(None, &[0, 1, 2]), [2]);
    assert_eq!(pick(None, &[2, 1, 0]), [2], "the order of the PAT counts");
    assert_eq!(pick(None, &[2, 0]), [] as [u16; 0], "the second one may still come");
    assert_eq!(pick(None, &[2, 0, 2, 1]), [3], "but is not waited for any longer than one round");
    assert_eq!(pick(Some(3), &[0, 1, 2]), [3]);
    assert_eq!(pick(Some(1), &[0, 1, 2]), [1], "wanted though it has no media");
    assert_eq!(pick(Some(4), &[0, 1, 2]), [] as [u16; 0]);
}

#[test]
fn another_pat_moves_to_another_program() {
    let mut ts = Ts::with(&[AVC]);
    ts.section(0, &pat(1, &[(1, PMT_PID), (2, 0x300)]));
    ts.section(0x300, &pmt(0, 2, &[AAC]));
    ts.section(PMT_PID, &pmt(0, 1, &[AVC]));
    assert_eq!(numbers(&events(&ts.bytes)), [(1, vec![0x100])], "still the first");
    ts.section(0, &pat(2, &[(2, 0x300)]));
    ts.section(0x300, &pmt(0, 2, &[AAC]));
    assert_eq!(numbers(&events(&ts.bytes)), [(1, vec![0x100]), (2, vec![0x101])]);
    ts.section(0, &pat(3, &[(1, 0x301)]));
    ts.section(0x301, &pmt(0, 1, &[AVC]));
    let found = numbers(&events(&ts.bytes));
    assert_eq!(found.last(), Some(&(1, vec![0x100])), "its map is on another packet id");
}

#[test]
fn splices_come_with_the_time_of_their_reception() {
    let splice = scte35::tests::INSERT;
    let mut ts = Ts::with(&[AVC, (0x86, 0x1f0, b"\x05\x04CUEI")]);
    ts.section(0x1f0, splice);
    ts.pes(0x100, &pes(0xe0, 1234, false, &[1; 300]));
    ts.pes(0x100, &pes(0xe0, 5678, false, &[1; 300]));
    ts.section(0x1f0, splice);
    let mut short = splice[..splice.len() - 4].to_vec();
    short[12] = 3;
    ts.section(0x1f0, &sealed(short));
    let mut damaged = splice.to_vec();
    damaged[20] ^= 4;
    ts.section(0x1f0, &damaged);
    let mut secret = splice[..splice.len() - 4].to_vec();
    secret[4] |= 0x82;
    ts.section(0x1f0, &sealed(secret));
    let (found, stats) = events_of(Config::default(), &ts.bytes, 188);
    let splices: Vec<_> = (found.iter())
        .filter_map(|e| match e {
            Event::Splice { pid: 0x1f0, received_pts, splice } => Some((*received_pts, splice.raw.to_vec())),
            _ => None,
        })
        .collect();
    assert_eq!(splices[..2], [(None, splice.to_vec()), (Some(1234), splice.to_vec())]);
    assert_eq!((splices.len(), stats.bad_sections), (2, 2), "one does not add up, one is damaged");
    let secret = Unsupported { pid: 0x1f0, stream_type: 0x86, name: "encrypted SCTE-35" };
    assert!(found.contains(&Event::Unsupported(secret)));
}
