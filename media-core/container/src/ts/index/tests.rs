//! Against the live readers: the same samples, taken out of the same packets.

use std::collections::BTreeMap;

use nx_media::Sample;

use super::super::{Tracks, segment};
use super::*;
use crate::index::Kind;
use crate::index::tests::{index, payload, sound, survives};

const FFMPEG: &[u8] = include_bytes!("../demux/golden/ffmpeg.m2t");
const GSTREAMER: &[u8] = include_bytes!("../demux/golden/gstreamer.m2ts");

/// What the live readers make of the bytes, by packet id, as far as the first parameters hold.
fn live(bytes: &[u8]) -> BTreeMap<u16, Vec<Frame>> {
    let (mut demuxer, mut readers) =
        (Demuxer::new(Config::default()), BTreeMap::<u16, (Track, Vec<Frame>)>::new());
    demuxer.push(bytes);
    demuxer.flush();
    while let Some(event) = demuxer.poll() {
        match event {
            Event::Program(program) => {
                for stream in program.streams {
                    if let Some(track) = Track::new(stream) {
                        readers.entry(stream.pid).or_insert((track, Vec::new()));
                    }
                }
            }
            Event::Unit { pid, unit, .. } => {
                let Some((track, frames)) = readers.get_mut(&pid) else { continue };
                take(track, frames, Some(unit));
            }
            _ => {}
        }
    }
    for (track, frames) in readers.values_mut() {
        take(track, frames, None);
    }
    readers.into_iter().map(|(pid, (_, frames))| (pid, frames)).collect()
}

fn take(track: &mut Track, frames: &mut Vec<Frame>, unit: Option<Unit>) {
    let Track { reader, params, .. } = track;
    let mut ended = false;
    let mut sink = |item| match item {
        Item::Params(told) => ended |= params.replace(told).is_some(),
        Item::Frame(frame) => frames.extend((!ended).then_some(frame)),
    };
    match (reader, unit) {
        (Reader::Video(reader), Some(unit)) => reader.push(unit, &mut sink),
        (Reader::Video(reader), None) => reader.flush(&mut sink),
        (Reader::Audio(reader), Some(unit)) => reader.push(unit, &mut sink),
        _ => {}
    }
}

/// The index of the bytes has the frames of the live readers, from the first key frame on.
#[track_caller]
fn same_as_live(name: &str, bytes: &[u8]) -> Index {
    let (index, cost) = index(Kind::Ts, bytes).unwrap();
    sound(bytes, &index);
    assert_eq!(cost.bytes, bytes.len(), "{name}: read once");
    let live = live(bytes);
    for track in &index.tracks {
        let Packing::Ts { pid, .. } = track.packing else { panic!("{name}: {:?}", track.packing) };
        let first = live[&pid].iter().position(|f| f.key).unwrap();
        let frames = &live[&pid][first..];
        assert_eq!(track.samples.len(), frames.len(), "{name} {pid:#x}");
        let begin = (frames[0].dts, track.samples[0].dts);
        for (nth, (place, frame)) in track.samples.iter().zip(frames).enumerate() {
            assert_eq!(payload(bytes, track, place).unwrap(), frame.payload, "{name} {pid:#x} {nth}");
            assert_eq!((place.key, i64::from(place.cts)), (frame.key, frame.cts), "{name} {pid:#x} {nth}");
            let ticks = from_90k(frame.dts - begin.0, track.params.timescale());
            // GStreamer dates the second packet of Opus as if the first had lost its pre-skip.
            let off = i64::from(track.params.timescale()) * i64::from(name == "gstreamer") / 100 + 1;
            assert!((place.dts - begin.1 - ticks).abs() <= off, "{name} {pid:#x} {nth}: {place:?} {ticks}");
        }
    }
    index
}

#[test]
fn samples_are_those_of_a_live_stream() {
    let tracks =
        |index: &Index| index.tracks.iter().map(|t| t.params.rfc6381().to_owned()).collect::<Vec<_>>();
    assert_eq!(tracks(&same_as_live("ffmpeg", FFMPEG)), ["avc1.64000a", "mp4a.40.2", "mp4a.6B"]);
    assert_eq!(tracks(&same_as_live("gstreamer", GSTREAMER)), ["avc1.f4000a", "opus", "ac-3"]);
}

#[test]
fn survives_truncation_and_change() {
    survives(Kind::Ts, FFMPEG, 5);
    survives(Kind::Ts, GSTREAMER, 6);
}

/// The golden FLV as segments of a transport stream, each so many ticks of 90 kHz later than it is.
fn muxed(shifts: &[i64]) -> (Vec<u8>, crate::testing::Media) {
    let media = crate::testing::media(crate::testing::TINY);
    let mut bytes = Vec::new();
    for (number, shift) in (0..).zip(shifts) {
        let moved = |samples: &[Sample], scale: u32| {
            let by = from_90k(*shift, scale);
            let one = |s: &Sample| Sample { dts: s.dts + by, pts: s.pts + by, ..s.clone() };
            samples.iter().map(one).collect::<Vec<_>>()
        };
        let video = moved(&media.video_samples, 90_000);
        let audio = moved(&media.audio_samples, media.audio.sample_rate);
        let tracks = Tracks { video: Some((&media.video, &video[..])), audio: &[(&media.audio, &audio[..])] };
        bytes.extend_from_slice(&segment(&tracks, number).unwrap());
    }
    (bytes, media)
}

#[test]
fn what_is_muxed_is_found_in_any_wrapping_and_over_the_end_of_33_bits() {
    let media = crate::testing::media(crate::testing::TINY);
    // The last picture is as long as the one before.
    let [.., before, last] = &media.video_samples[..] else { panic!("pictures") };
    let length = last.dts + i64::from(before.duration.unwrap());
    for (name, shifts) in [
        ("goes on", [0, length]),
        ("wraps between", [WRAP - 90_000 - length, WRAP - 90_000]),
        ("wraps within", [WRAP - 90_000 - length / 2, WRAP - 90_000 + length / 2]),
        ("leaps ahead", [0, 700 * 90_000]),
        ("begins anew", [700 * 90_000, 0]),
    ] {
        let (bytes, media) = muxed(&shifts);
        for (stride, front) in [(188, 0), (192, 4), (204, 0)] {
            let packets = bytes
                .chunks(188)
                .flat_map(|p| [&vec![1; front][..], p, &vec![2; stride - 188 - front]].concat());
            let file: Vec<u8> = packets.collect();
            let index = same_as_live_but_times(&file);
            for (track, samples) in index.tracks.iter().zip([&media.video_samples, &media.audio_samples]) {
                let twice: Vec<_> = samples.iter().chain(samples).collect();
                // The sound of the file is a little longer than the picture: where it is joined something gives way.
                let lost = twice.len() - track.samples.len();
                assert!(lost <= usize::from(track.id.kind == nx_media::Kind::Audio), "{name}: {lost}");
                let mut twice = twice.iter();
                for place in &track.samples {
                    let payload = payload(&file, track, place).unwrap();
                    assert!(twice.any(|s| s.payload == payload), "{name}: of no sample");
                }
                let (first, last) = (track.samples.first().unwrap(), track.samples.last().unwrap());
                let ticks = last.dts + i64::from(last.duration) - first.dts;
                let want = from_90k(2 * length, track.params.timescale());
                let off = (ticks - want).abs() * 1000 / i64::from(track.params.timescale());
                assert!(off <= 60, "{name} {stride} {}: {off} ms", track.id);
            }
        }
    }
}

/// The index, after a look at what holds of all.
fn same_as_live_but_times(file: &[u8]) -> Index {
    let (index, _) = index(Kind::Ts, file).unwrap();
    sound(file, &index);
    assert_eq!(index.left_out, Vec::<String>::new());
    assert_eq!(index.tracks.len(), 2);
    index
}

#[test]
fn damage_leaves_samples_of_the_live_stream() {
    let mut random = 9u32;
    let mut next = move || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(random >> 8).unwrap()
    };
    let (mut taken, mut given) = (0, 0);
    for round in 0..300 {
        let mut bytes = if round % 2 == 0 { FFMPEG.to_vec() } else { GSTREAMER.to_vec() };
        for _ in 0..=round % 5 {
            let at = next() % bytes.len();
            match round % 4 {
                0 | 1 => bytes[at] ^= 1 << (next() % 8),
                2 => drop(bytes.drain(at..(at + next() % 600).min(bytes.len()))),
                _ => drop(bytes.splice(at..at, vec![0x47; next() % 300])),
            }
        }
        let Ok((index, _)) = index(Kind::Ts, &bytes) else { continue };
        sound(&bytes, &index);
        let live = live(&bytes);
        for track in &index.tracks {
            let Packing::Ts { pid, .. } = track.packing else { panic!("{:?}", track.packing) };
            let mut frames = live[&pid].iter();
            for place in &track.samples {
                let payload = payload(&bytes, track, place).unwrap();
                assert!(frames.any(|f| f.payload == payload), "round {round} {pid:#x}: {place:?}");
            }
            (taken, given) = (taken + track.samples.len(), given + live[&pid].len());
        }
    }
    assert!(taken * 100 > given * 95, "{taken} of {given}");
}

#[test]
fn says_what_is_left_out() {
    // LATM in place of ADTS, in the map of the golden stream; its checksum is made right again.
    let mut latm = FFMPEG.to_vec();
    let at = latm.windows(5).position(|w| w == [0x0f, 0xe1, 0x01, 0xf0, 0x06]).unwrap();
    let section = latm[..at].windows(2).rposition(|w| w == [0x02, 0xb0]).unwrap();
    let end = section + 3 + usize::from(latm[section + 2]);
    latm[at] = 0x11;
    let crc = super::super::crc(&latm[section..end - 4]);
    latm[end - 4..end].copy_from_slice(&crc.to_be_bytes());
    let (index, _) = index(Kind::Ts, &latm).unwrap();
    assert_eq!(index.tracks.len(), 2);
    assert_eq!(index.left_out, ["stream 0x101: AAC in LATM is not carried"]);
}

/// A PES packet of open length in transport packets, of which the last is stuffed.
fn packets(pid: u16, counter: &mut u8, pts: Option<u64>, payload: &[u8]) -> Vec<u8> {
    let mut pes = vec![0, 0, 1, 0xe0, 0, 0, 0x80];
    match pts {
        Some(pts) => {
            let byte = |shift: u32| u8::try_from(pts >> shift & 0xff).unwrap();
            pes.extend([
                0x80,
                5,
                0x21 | (byte(30) & 7) << 1,
                byte(22),
                byte(14) | 1,
                byte(7),
                byte(0) << 1 | 1,
            ]);
        }
        None => pes.extend([0, 0]),
    }
    pes.extend(payload);
    let mut out = Vec::new();
    for (nth, chunk) in pes.chunks(184).enumerate() {
        let [high, low] = pid.to_be_bytes();
        let stuffing = 184 - chunk.len();
        out.extend([
            0x47,
            high | if nth == 0 { 0x40 } else { 0 },
            low,
            0x10 | *counter | if stuffing > 0 { 0x20 } else { 0 },
        ]);
        *counter = (*counter + 1) & 0xf;
        if stuffing > 0 {
            out.push(u8::try_from(stuffing - 1).unwrap());
            out.extend(std::iter::once(0).chain(std::iter::repeat(0xff)).take(stuffing - 1));
        }
        out.extend(chunk);
    }
    out
}

#[test]
fn access_units_need_not_end_with_their_packets() {
    // All bytes of each stream, cut anywhere behind the first unit. A picture that has a time begins and ends with its
    // packet, so that only the first one may have one; sound has some everywhere.
    let mut streams = BTreeMap::<u16, (usize, Vec<u8>)>::new();
    let mut demuxer = Demuxer::new(Config::default());
    demuxer.push(FFMPEG);
    demuxer.flush();
    while let Some(event) = demuxer.poll() {
        if let Event::Unit { pid, unit, .. } = event {
            let (first, all) = streams.entry(pid).or_default();
            *first = if *first == 0 { unit.payload.len() } else { *first };
            all.extend_from_slice(&unit.payload);
        }
    }
    for size in [90, 170, 183, 200, 700, 1_900, 5_000] {
        // The tables.
        let mut file = FFMPEG[..3 * 188].to_vec();
        let cut = streams.iter().map(|(pid, (first, all))| {
            let (first, rest) = all.split_at(*first);
            (*pid, std::iter::once(first).chain(rest.chunks(size)).enumerate(), 0u8)
        });
        let mut cut: Vec<_> = cut.collect();
        loop {
            let before = file.len();
            for (pid, chunks, counter) in &mut cut {
                let Some((nth, chunk)) = chunks.next() else { continue };
                let dated = nth == 0 || nth % 3 == 0 && *pid != 0x100;
                let pts = dated.then(|| 900_000 + nth as u64 * 7 * size as u64);
                file.extend(packets(*pid, counter, pts, chunk));
            }
            if file.len() == before {
                break;
            }
        }
        let (index, _) = index(Kind::Ts, &file).unwrap();
        sound(&file, &index);
        let (live, mut shared) = (live(&file), 0);
        for track in &index.tracks {
            let Packing::Ts { pid, .. } = track.packing else { panic!("{:?}", track.packing) };
            let mut frames = live[&pid].iter();
            for (nth, place) in track.samples.iter().enumerate() {
                let payload = payload(&file, track, place).unwrap();
                assert!(frames.any(|f| f.payload == payload), "{size} {pid:#x} {nth}: {place:?}");
                shared += usize::from(place.cut.tail > 0);
            }
            // Of sound that its times have overlap, some is left out.
            let all = track.id.kind == nx_media::Kind::Audio || track.samples.len() == live[&pid].len();
            assert!(all, "{size} {pid:#x}: {} of {}", track.samples.len(), live[&pid].len());
        }
        assert!(shared > 0, "{size}: some share packets");
    }
}
