//! Indexers over files in memory, against what ffprobe says of them.

use nx_media::Kind as MediaKind;

use super::*;
use crate::fuzz_files::Cost;
pub(crate) use crate::fuzz_files::{index_of, payload, sound};

/// Runs an indexer to its end.
pub(crate) fn index(kind: Kind, file: &[u8]) -> Result<(Index, Cost), IndexError> {
    index_of(kind, file, file.len() as u64)
}

/// CRC-32 as Ethernet has it.
pub(crate) fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

/// A packet as ffprobe has it: stream, presentation time, bytes, key frame, checksum.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) stream: usize,
    pub(crate) pts: i64,
    pub(crate) size: usize,
    pub(crate) key: bool,
    pub(crate) crc: u32,
}

pub(crate) fn packets(table: &str) -> Vec<Packet> {
    let line = |line: &str| {
        let all: Vec<&str> = line.split(',').collect();
        let [stream, pts, _dts, size, flags, crc, ..] = all[..] else { panic!("{line}") };
        let crc = u32::from_str_radix(crc.trim_start_matches("CRC32:"), 16).unwrap();
        let (stream, size) = (stream.parse().unwrap(), size.parse().unwrap());
        let pts = pts.parse().unwrap();
        Packet { stream, pts, size, key: flags.starts_with('K'), crc }
    };
    table.lines().filter(|l| !l.is_empty()).map(line).collect()
}

/// Compares an index with ffprobe's packets, whose times are in `1/scale` seconds. Streams are those of the tracks in
/// their order.
pub(crate) fn agrees(name: &str, file: &[u8], index: &Index, table: &str, scale: u32) {
    sound(file, index);
    let (packets, mut shift) = (packets(table), None);
    for (stream, track) in index.tracks.iter().enumerate() {
        let want: Vec<&Packet> = packets.iter().filter(|p| p.stream == stream).collect();
        assert_eq!(track.samples.len(), want.len(), "{name} {stream}");
        for (nth, (place, want)) in track.samples.iter().zip(&want).enumerate() {
            let payload = payload(file, track, place).unwrap();
            let key = place.key == want.key || track.id.kind == MediaKind::Audio;
            assert_eq!((payload.len(), crc32(&payload)), (want.size, want.crc), "{name} {stream} {nth}");
            assert!(key, "{name} {stream} {nth}");
            let pts = nx_media::rescale(place.dts + i64::from(place.cts), track.params.timescale(), scale);
            let shift = *shift.get_or_insert(want.pts - pts);
            assert!(
                (pts + shift - want.pts).abs() <= i64::from(scale / 1000).max(1),
                "{name} {stream} {nth}: {pts}"
            );
        }
    }
    let streams = packets.iter().map(|p| p.stream + 1).max();
    assert_eq!(streams, Some(index.tracks.len()), "{name}: {:?}", index.left_out);
}

/// Every truncation and many changes of a file give an error or an index that is sound.
pub(crate) fn survives(kind: Kind, file: &[u8], seed: u32) {
    let mut random = seed;
    let mut next = move || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(random >> 8).unwrap()
    };
    let whole = index(kind, file).unwrap().0;
    // Each where a file is small, else each seventh: 7 and 188 have no divisor in common.
    for len in (0..file.len()).step_by(if file.len() > 12_000 { 7 } else { 1 }) {
        for told in [len, file.len()] {
            let Ok((index, _)) = index_of(kind, &file[..len], told as u64) else { continue };
            if told == len {
                sound(&file[..len], &index);
            }
            for track in &index.tracks {
                let whole = whole.tracks.iter().find(|t| t.params.kind() == track.params.kind()).unwrap();
                assert!(track.samples.len() <= whole.samples.len(), "{len}");
            }
        }
    }
    for _ in 0..1_000 {
        let mut changed = file.to_vec();
        for _ in 0..=next() % 8 {
            let at = next() % changed.len();
            match next() % 4 {
                0 => changed[at] = u8::try_from(next() % 256).unwrap(),
                1 => changed[at] ^= 1 << (next() % 8),
                2 => drop(changed.drain(at..(at + next() % 40).min(file.len() / 2).max(at))),
                _ => changed[at] = 0xff,
            }
        }
        if let Ok((index, _)) = index(kind, &changed) {
            sound(&changed, &index);
        }
    }
}

#[test]
fn tells_kinds_by_their_first_bytes() {
    let packets = |stride: usize, at: usize, count: usize| {
        let mut bytes = vec![0; at + stride * count];
        bytes.iter_mut().skip(at).step_by(stride).for_each(|byte| *byte = 0x47);
        bytes
    };
    let mkv: &[u8] = include_bytes!("golden/live.webm");
    for (name, head, want) in [
        ("webm", mkv.to_vec(), Some(Kind::Mkv)),
        ("flv", b"FLV\x01\x05\0\0\0\x09".to_vec(), Some(Kind::Flv)),
        ("ts", packets(188, 0, 5), Some(Kind::Ts)),
        ("ts from the middle of a packet", packets(188, 100, 4), Some(Kind::Ts)),
        ("m2ts", packets(192, 4, 5), Some(Kind::Ts)),
        ("with parity", packets(204, 0, 5), Some(Kind::Ts)),
        ("two packets", packets(188, 0, 2), None),
        ("nothing", vec![], None),
        ("zeros", vec![0; 1024], None),
        ("mp4", b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41".to_vec(), Some(Kind::Mp4)),
    ] {
        assert_eq!(sniff(&head), want, "{name}");
    }
}

#[test]
fn sound_is_counted_and_held_to_its_stamps() {
    let mut beat = Beat::default();
    let mut place = |ms: Option<i64>| beat.place(ms.map(|ms| ms * 48), 960, 48_000);
    // Stamps rounded to milliseconds, one left out, a hole, what lies in the past.
    assert_eq!([Some(100), Some(121), None, Some(160)].map(&mut place), [4800, 5760, 6720, 7680].map(Some));
    assert_eq!([Some(400), Some(420)].map(&mut place), [19_200, 20_160].map(Some));
    assert_eq!([Some(300), Some(440)].map(&mut place), [None, Some(21_120)]);
}

#[test]
fn pictures_are_decoded_in_time() {
    let place =
        |pts| Place { dts: pts, cts: 0, duration: 0, offset: 0, bytes: 1, key: false, cut: Cut::default() };
    let times = |pts: &[i64]| {
        let mut places: Vec<Place> = pts.iter().map(|pts| place(*pts)).collect();
        decode_times(&mut places).then(|| places.iter().map(|p| (p.dts, p.cts)).collect::<Vec<_>>())
    };
    assert_eq!(times(&[0, 40, 80]), Some(vec![(0, 0), (40, 0), (80, 0)]));
    assert_eq!(times(&[0, 120, 40, 80]), Some(vec![(-40, 40), (0, 120), (40, 0), (80, 0)]));
    // The same time twice.
    assert_eq!(times(&[0, 40, 40]), Some(vec![(-1, 1), (39, 1), (40, 0)]));
    assert_eq!(times(&[]), Some(vec![]));
    assert_eq!(times(&[0, 2_000_000, 1]), None, "nobody waits so long");
}

#[test]
fn clocks_that_leap_go_on_for_all_tracks_alike() {
    let (mut epochs, mut v, mut a) = (Epochs::default(), Clock90k::default(), Clock90k::default());
    let (mut video, mut audio) = (vec![], vec![]);
    // The sound ends a little later, and begins a little earlier.
    for stamp in [900_000, 903_000, 906_000] {
        video.push(epochs.time(&mut v, stamp, 3_000));
        audio.push(epochs.time(&mut a, stamp + 1_000, 3_000));
    }
    for stamp in [3_000, 6_000] {
        video.push(epochs.time(&mut v, stamp, 3_000));
        audio.push(epochs.time(&mut a, stamp - 2_000, 3_000));
    }
    assert_eq!(video, [900_000, 903_000, 906_000, 909_000, 912_000]);
    assert_eq!(audio, [901_000, 904_000, 907_000, 907_000, 910_000]);
}

#[test]
fn a_place_has_32_bytes() {
    assert_eq!(size_of::<Place>(), 32, "the bound of samples is one of memory");
}
