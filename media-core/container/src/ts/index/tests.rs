//! Against the live readers: the same samples, taken out of the same packets.

use std::collections::BTreeMap;

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
