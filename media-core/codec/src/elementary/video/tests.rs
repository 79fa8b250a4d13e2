//! Streams of real encoders, cut in all ways, and what may go wrong with them.

use super::golden::{AVC, AVC_PACKETS, HEVC, HEVC_PACKETS, Packet, Pes};
use super::*;
use crate::{avc, hevc};

const CODE: &str = "00000001";
/// Parameter sets and other NAL units of an H.264 stream made by hand.
const SPS: &str = "6764000aacd9496c0440000003004000000c83c4896580";
const PPS: &str = "68ef81372c";
const PPS_OTHER: &str = "68ef81373c";
const IDR: &str = "658801";
const P: &str = "419a02";
const P_REST: &str = "411603";
const I: &str = "418804";
const SEI: &str = "0605020a0b80";
const RECOVERY: &str = "0605020a0b0601c480";
const AUD: &str = "09f0";

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn stream(nals: &[&str]) -> Vec<u8> {
    nals.iter().flat_map(|nal| hex(&format!("{CODE}{nal}"))).collect()
}

fn lengths(nals: &[&str]) -> Bytes {
    nals.iter().flat_map(|nal| hex(&format!("{:08x}{nal}", nal.len() / 2))).collect()
}

fn unit(pts: Option<i64>, payload: Vec<u8>) -> Unit {
    Unit { pts, dts: None, discontinuity: false, payload: payload.into() }
}

fn pes(&(pts, dts, payload): &Pes) -> Unit {
    Unit { dts, ..unit(Some(pts), hex(payload)) }
}

/// What comes out at each unit, and at the end.
fn read(reader: &mut VideoReader, units: impl IntoIterator<Item = Unit>) -> Vec<Vec<Item>> {
    let mut out = vec![];
    for unit in units {
        let mut items = vec![];
        reader.push(unit, &mut |item| items.push(item));
        out.push(items);
    }
    let mut items = vec![];
    reader.flush(&mut |item| items.push(item));
    out.push(items);
    out
}

fn frames(items: Vec<Vec<Item>>) -> Vec<Frame> {
    let frame = |item| match item {
        Item::Frame(frame) => Some(frame),
        Item::Params(_) => None,
    };
    items.into_iter().flatten().filter_map(frame).collect()
}

/// Decode times and payloads of an H.264 stream of these units.
fn payloads(reader: &mut VideoReader, units: Vec<Unit>) -> Vec<(i64, Bytes)> {
    frames(read(reader, units)).into_iter().map(|f| (f.dts, f.payload)).collect()
}

fn avc_reader() -> VideoReader {
    VideoReader::new(VideoCodec::Avc)
}

fn adler32(data: &[u8]) -> u32 {
    // Begins with 0, as ffmpeg has it.
    let (mut a, mut b) = (0u32, 0u32);
    for &byte in data {
        a = (a + u32::from(byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    b << 16 | a
}

fn golden() -> [(VideoCodec, &'static [Pes], &'static [Packet]); 2] {
    [(VideoCodec::Avc, AVC, AVC_PACKETS), (VideoCodec::Hevc, HEVC, HEVC_PACKETS)]
}

#[test]
fn each_whole_unit_gives_its_frame_at_once() {
    for (codec, list, packets) in golden() {
        let mut reader = VideoReader::new(codec);
        let mut read = read(&mut reader, list.iter().map(pes));
        assert_eq!(read.pop(), Some(vec![]), "nothing is left for the end");
        let Item::Params(Params::Video(params)) = read[0].remove(0) else { panic!("parameters first") };
        let (size, config) = match codec {
            VideoCodec::Avc => ((32, 32), avc::parse_config(&params.config).unwrap()),
            _ => ((64, 64), hevc::parse_config(&params.config).unwrap()),
        };
        assert_eq!(((params.width, params.height), &config), (size, &params));
        assert!(read.iter().all(|items| items.len() == 1), "one frame each, parameters once");
        let frames = frames(read);
        let got: Vec<_> =
            frames.iter().map(|f| (f.dts, f.dts + f.cts, f.payload.len(), adler32(&f.payload))).collect();
        assert_eq!(got, packets);
        let keys: Vec<_> = frames.iter().map(|f| f.key).collect();
        assert_eq!(keys, [true, false, false, false, true, false, false]);
        assert_eq!(reader.damaged(), 0);
    }
}

#[test]
fn several_access_units_of_one_unit_are_a_step_apart() {
    for (codec, list, packets) in golden() {
        let all = list.iter().flat_map(|(.., payload)| hex(payload)).collect();
        let got = frames(read(&mut VideoReader::new(codec), [unit(Some(1000), all)]));
        let want: Vec<_> = packets.iter().map(|&(.., crc)| crc).collect();
        assert_eq!(got.iter().map(|f| adler32(&f.payload)).collect::<Vec<_>>(), want);
        // 25 per second say the parameter sets.
        assert_eq!(
            got.iter().map(|f| f.dts).collect::<Vec<_>>(),
            (0..7).map(|n| 1000 + n * 3600).collect::<Vec<_>>()
        );
    }
}

#[test]
fn learns_the_step_between_stated_times() {
    let two = |pts| unit(Some(pts), stream(&[AUD, P, AUD, P]));
    let units = vec![unit(Some(0), stream(&[SPS, PPS, IDR])), two(1800), two(5400), two(9000)];
    let dts: Vec<_> = payloads(&mut avc_reader(), units).into_iter().map(|(dts, _)| dts).collect();
    assert_eq!(dts, [0, 1800, 3600, 5400, 7200, 9000, 10_800]);
}

#[test]
fn pieces_without_a_time_continue_what_is_open() {
    let mut reader = avc_reader();
    let first = read(&mut reader, [unit(Some(0), stream(&[SPS, PPS, IDR]))]).concat();
    assert_eq!(first.len(), 2);
    let units = vec![
        unit(None, stream(&[AUD, P])),
        unit(None, hex(&P_REST[..2])),
        unit(None, stream(&[P_REST])),
        unit(Some(7200), stream(&[AUD, P])),
    ];
    let items = read(&mut reader, units);
    assert_eq!(items.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 0, 2, 0], "waits for the next");
    let joined = lengths(&[&format!("{P}41"), P_REST]);
    let got: Vec<_> = frames(items).into_iter().map(|f| (f.dts, f.payload)).collect();
    assert_eq!(got, [(3600, joined), (7200, lengths(&[P]))]);
}

#[test]
fn waits_once_pictures_turned_out_to_span_units() {
    let at = [3600, 7200, 10_800, 14_400];
    let (part, whole) = (lengths(&[P]), lengths(&[P, P_REST]));
    let cut = lengths(&[P, &P_REST[..4]]);
    for (name, cuts, first, want) in [
        (
            "slices of the same time",
            at.map(|at| [(Some(at), vec![AUD, P]), (Some(at), vec![P_REST])]),
            1,
            &part,
        ),
        // The piece is known for a slice when the next one begins, too late for that.
        ("slices without a time", at.map(|at| [(Some(at), vec![AUD, P]), (None, vec![P_REST])]), 2, &part),
        ("within a slice", at.map(|at| [(Some(at), vec![AUD, P, &P_REST[..4]]), (None, vec![])]), 1, &cut),
    ] {
        let mut units = vec![unit(Some(0), stream(&[SPS, PPS, IDR]))];
        for (pts, nals) in cuts.into_iter().flatten() {
            let rest = if nals.is_empty() { hex(&P_REST[4..]) } else { vec![] };
            units.push(unit(pts, [stream(&nals), rest].concat()));
        }
        let mut reader = avc_reader();
        let got: Vec<_> = payloads(&mut reader, units).into_iter().skip(1).collect();
        let payload = |n| if n < first { want.clone() } else { whole.clone() };
        let want: Vec<_> = at.iter().enumerate().map(|(n, &at)| (at, payload(n))).collect();
        assert_eq!((got, reader.damaged()), (want, u64::try_from(first).unwrap()), "{name}");
    }
}

#[test]
fn full_pes_packets_may_go_on() {
    let mut slice = stream(&[SPS, PPS, IDR]);
    slice.resize(65_535 - 8, 0xaa);
    let units =
        vec![unit(Some(0), slice.clone()), unit(None, vec![0xbb; 10]), unit(Some(1), stream(&[AUD, P]))];
    let mut reader = avc_reader();
    let got = payloads(&mut reader, units);
    assert_eq!((got.len(), reader.damaged()), (2, 0));
    assert!(got[0].1.ends_with(&[0xaa, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb]));
}

#[test]
fn parameters_change_in_front_of_key_frames_only() {
    let units = vec![
        unit(Some(0), stream(&[SPS, PPS, SEI, IDR])),
        unit(Some(1), stream(&[SPS, PPS, P])),
        unit(Some(2), stream(&[PPS_OTHER, P])),
        unit(Some(3), stream(&[PPS, SEI, P])),
        unit(Some(4), stream(&[SPS, PPS, IDR])),
        unit(Some(5), stream(&[PPS_OTHER, P])),
        unit(Some(6), stream(&[IDR])),
        unit(Some(7), stream(&[PPS_OTHER, P])),
        unit(Some(8), stream(&[PPS, IDR])),
        unit(Some(9), stream(&[PPS, P])),
    ];
    let items = read(&mut avc_reader(), units).concat();
    let got: Vec<_> = items
        .iter()
        .map(|item| match item {
            Item::Params(Params::Video(v)) => avc::parameter_sets(&v.config).unwrap().pps[0].clone(),
            Item::Frame(frame) => frame.payload.clone(),
            Item::Params(Params::Audio(_)) => panic!("video"),
        })
        .collect();
    let want = [
        hex(PPS).into(),
        lengths(&[SEI, IDR]),
        lengths(&[P]),
        lengths(&[PPS_OTHER, P]),
        lengths(&[PPS, SEI, P]),
        lengths(&[SPS, PPS, IDR]),
        lengths(&[PPS_OTHER, P]),
        hex(PPS_OTHER).into(),
        lengths(&[IDR]),
        lengths(&[P]),
        hex(PPS).into(),
        lengths(&[IDR]),
        lengths(&[P]),
    ];
    assert_eq!(got, want);
}

#[test]
fn recovery_points_of_intra_pictures_are_keys() {
    for (name, nals, key) in [
        ("IDR", vec![IDR], true),
        ("predicted", vec![RECOVERY, P], false),
        ("intra", vec![RECOVERY, I], true),
        ("intra and predicted", vec![RECOVERY, I, P_REST], false),
        ("intra alone", vec![I], false),
        ("later recovery", vec!["0606014480", I], false),
    ] {
        let units = [unit(Some(0), stream(&[SPS, PPS, IDR])), unit(Some(1), stream(&nals))];
        let got = frames(read(&mut avc_reader(), units));
        assert_eq!(got[1].key, key, "{name}");
    }
}

#[test]
fn nothing_comes_out_before_the_parameter_sets() {
    for (name, before) in [("none", vec![IDR]), ("no PPS", vec![SPS, IDR]), ("no SPS", vec![PPS, IDR])] {
        let units = vec![unit(Some(0), stream(&before)), unit(Some(1), stream(&[AUD, SPS, PPS, P]))];
        let mut reader = avc_reader();
        let items = read(&mut reader, units);
        assert_eq!(items[0], [], "{name}");
        assert!(matches!(items[1][..], [Item::Params(_), Item::Frame(_)]), "{name}");
        assert_eq!(reader.damaged(), 0, "{name}");
    }
}

#[test]
fn gives_up_what_is_open_at_a_discontinuity() {
    let lost = |pts, payload| Unit { discontinuity: true, ..unit(pts, payload) };
    let units = vec![
        unit(Some(0), stream(&[SPS, PPS, IDR])),
        unit(None, stream(&[AUD, P])),
        // The rest of a picture whose head is lost, then a whole one.
        lost(Some(9000), [hex("abcd"), stream(&[P_REST, AUD, P])].concat()),
    ];
    let mut reader = avc_reader();
    let got = payloads(&mut reader, units);
    assert_eq!(got, [(0, lengths(&[IDR])), (9000, lengths(&[P]))]);
    assert_eq!((reader.damaged(), reader.spans), (1, false));
}

#[test]
fn parameter_sets_in_a_unit_of_their_own_wait_for_the_picture() {
    for pts in [None, Some(5)] {
        let units = vec![unit(Some(0), stream(&[AUD, SPS, PPS, SEI])), unit(pts, stream(&[IDR]))];
        let got = payloads(&mut avc_reader(), units);
        assert_eq!(got, [(pts.unwrap_or(0), lengths(&[SEI, IDR]))]);
    }
}

#[test]
fn drops_access_units_that_are_too_large() {
    let piece = vec![0xaa; AU_BYTES_MAX / 4];
    let mut reader = avc_reader();
    let mut units = vec![unit(Some(0), stream(&[SPS, PPS, IDR])), unit(None, stream(&[AUD, P]))];
    units.extend((0..9).map(|_| unit(None, piece.clone())));
    units.push(unit(Some(9), stream(&[AUD, P])));
    let whole = [stream(&[AUD, P]), vec![0xaa; AU_BYTES_MAX]].concat();
    units.push(unit(Some(10), whole));
    units.push(unit(Some(11), stream(&[AUD, P])));
    let got = payloads(&mut reader, units);
    let dts: Vec<_> = got.iter().map(|(dts, _)| *dts).collect();
    assert_eq!((dts, reader.damaged()), (vec![0, 9, 11], 2));
}

#[test]
fn counts_what_has_no_time_or_does_not_parse() {
    let mut reader = avc_reader();
    let units = vec![unit(None, stream(&[SPS, PPS, IDR])), unit(None, stream(&[AUD, "6764", PPS, P]))];
    assert_eq!(payloads(&mut reader, units), []);
    assert_eq!(reader.damaged(), 3);
}

#[test]
fn other_layers_of_h265_are_left_out() {
    let (pts, dts, first) = HEVC[0];
    let mut payload = hex(first);
    // A slice, a parameter set of layer 1.
    payload.extend(stream(&["2809af04", "4409aabb"]));
    let with = Unit { dts, ..unit(Some(pts), payload) };
    let mut reader = VideoReader::new(VideoCodec::Hevc);
    let got = frames(read(&mut reader, [with]));
    assert_eq!(got.len(), 1);
    assert_eq!(adler32(&got[0].payload), HEVC_PACKETS[0].3);
}

#[test]
fn survives_every_truncation_and_flipped_bit() {
    for (codec, list, _) in golden() {
        for (_, _, payload) in &list[..2] {
            let payload = hex(payload);
            for len in 0..payload.len() {
                read(&mut VideoReader::new(codec), [unit(Some(0), payload[..len].to_vec())]);
            }
            for bit in 0..payload.len() * 8 {
                let mut bytes = payload.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let items = read(&mut VideoReader::new(codec), [unit(Some(0), bytes)]).concat();
                for item in items {
                    let Item::Frame(frame) = item else { continue };
                    assert_eq!(avc::check(&frame.payload), Ok(()));
                }
            }
        }
    }
}

/// Numbers that look random, the same each time.
fn noise(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

#[test]
fn any_cut_gives_the_same_frames() {
    for (seed, max) in (0..200).map(|n| (n, n + 1)) {
        let mut random = noise(seed);
        for (codec, list, packets) in golden() {
            let mut reader = VideoReader::new(codec);
            reader.spans = true;
            let mut units = vec![];
            for (pts, dts, payload) in list {
                let mut rest = hex(payload);
                while !rest.is_empty() {
                    let first = rest.len() == payload.len() / 2;
                    let cut = usize::try_from(random(max) + 1).unwrap().min(rest.len());
                    let tail = rest.split_off(cut);
                    units.push(Unit { dts: dts.filter(|_| first), ..unit(first.then_some(*pts), rest) });
                    rest = tail;
                }
            }
            let got: Vec<_> = frames(read(&mut reader, units))
                .iter()
                .map(|f| (f.dts, f.dts + f.cts, f.payload.len(), adler32(&f.payload)))
                .collect();
            assert_eq!((&got[..], reader.damaged()), (packets, 0), "{seed}");
        }
    }
}

#[test]
fn survives_noise() {
    for seed in 0..3000 {
        let mut random = noise(seed);
        // Mostly small numbers, so that there are start codes.
        let mut byte = |_| {
            let max = if random(4) == 0 { 256 } else { 3 };
            u8::try_from(random(max)).unwrap()
        };
        crate::fuzz::elementary_video(&(0..400).map(&mut byte).collect::<Vec<_>>());
    }
}
