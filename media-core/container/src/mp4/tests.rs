//! Files built by hand, by our own writers and by another's; then broken in every way.

use ::bytes::Bytes;
use nx_media::{Params, TrackId};
use proptest::prelude::*;

use super::*;
use crate::fmp4::{self, Entry, Fragment, MovieWriter, Span};
use crate::index::{Cut, Index, IndexTrack, Packing, Place};
use crate::testing::{Media, TINY, media};

mod build;
mod hostile;

use build::{Table, file};

/// Drives an indexer over a file in memory.
pub(super) fn index(file: &[u8]) -> Result<Index, IndexError> {
    let mut indexer = Mp4Indexer::new(file.len() as u64);
    let mut steps = 0;
    loop {
        match indexer.next()? {
            Step::Done(index) => return Ok(index),
            Step::Read { offset, bytes } => {
                assert!((1..=READ_MAX).contains(&bytes), "{bytes}");
                let from = usize::try_from(offset).unwrap().min(file.len());
                let to = (from + bytes).min(file.len());
                indexer.take(&file[from..to])?;
            }
        }
        steps += 1;
        assert!(steps < 1 << 22, "it comes to an end");
    }
}

fn tiny() -> Media {
    media(TINY)
}

fn only(index: &Index) -> &IndexTrack {
    assert_eq!(index.tracks.len(), 1, "{index:?}");
    &index.tracks[0]
}

fn times(track: &IndexTrack) -> Vec<(i64, i32, u32)> {
    track.samples.iter().map(|s| (s.dts, s.cts, s.duration)).collect()
}

#[test]
fn tables_say_where_and_when_each_sample_is() {
    let table = Table {
        // Chunks of two, two and one; the first of them is the last in the file.
        stsc: vec![(1, 2), (3, 1)],
        sizes: vec![3, 4, 5, 6, 7],
        chunks: vec![40, 10, 90],
        stts: vec![(4, 512), (1, 1024)],
        ctts: Some(vec![(1, 1024), (2, 0), (1, (-512_i32).cast_unsigned()), (1, 512)]),
        stss: Some(vec![1, 4]),
        timescale: 12_800,
        ..Table::default()
    };
    for (name, table) in [
        ("stco", table.clone()),
        ("co64", Table { co64: true, ..table.clone() }),
        ("stz2 of 4 bits", Table { stz2: Some(4), ..table.clone() }),
        ("stz2 of 8 bits", Table { stz2: Some(8), ..table.clone() }),
        ("stz2 of 16 bits", Table { stz2: Some(16), ..table.clone() }),
        ("moov last", Table { moov_last: true, ..table.clone() }),
        ("64-bit boxes", Table { wide_boxes: true, ..table }),
    ] {
        let (bytes, media) = file(&table);
        let index = index(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        let track = only(&index);
        let places: Vec<(u64, u32, bool)> =
            track.samples.iter().map(|s| (s.offset - media, s.bytes, s.key)).collect();
        let want = [(40, 3, true), (43, 4, false), (10, 5, false), (15, 6, true), (90, 7, false)];
        assert_eq!(places, want, "{name}");
        // 512 of 12 800 are 3600 of 90 000.
        let want =
            [(0, 7200, 3600), (3600, 0, 3600), (7200, 0, 3600), (10_800, -3600, 3600), (14_400, 3600, 7200)];
        assert_eq!(times(track), want, "{name}");
        assert_eq!((track.id, &track.packing), (TrackId::VIDEO, &Packing::Whole));
    }
}

#[test]
fn edit_lists_shift_and_cut() {
    let table = Table {
        sizes: vec![1; 8],
        chunks: vec![0],
        stsc: vec![(1, 8)],
        stts: vec![(8, 1000)],
        ctts: Some(vec![(8, 2000)]),
        stss: Some(vec![1, 5]),
        timescale: 1000,
        ..Table::default()
    };
    for (name, elst, want) in [
        // (number of samples, first decode time in ms, first presentation time in ms)
        ("none", vec![], (8, 0, 2000)),
        ("reordered", vec![(0, 2000)], (8, -2000, 0)),
        ("late", vec![(500, -1), (0, 2000)], (8, -1500, 500)),
        ("twice late", vec![(500, -1), (250, -1), (0, 2000)], (8, -1250, 750)),
        ("from behind the second key frame", vec![(0, 6500)], (4, -2500, -500)),
        ("to the fourth picture", vec![(4000, 2000)], (5, -2000, 0)),
        ("in parts, as it lies", vec![(1000, 2000), (1000, 5000)], (8, -2000, 0)),
    ] {
        let (bytes, _) = file(&Table { elst: elst.clone(), ..table.clone() });
        let index = index(&bytes).unwrap();
        let track = only(&index);
        let first = track.samples[0];
        let ms = |ticks: i64| ticks / 90;
        let got = (track.samples.len(), ms(first.dts), ms(first.dts + i64::from(first.cts)));
        assert_eq!(got, want, "{name}");
        assert_eq!(index.left_out.len(), usize::from(name.starts_with("in parts")), "{name}");
    }
}

/// A film in the movie writer's spelling, and what its index must be.
fn written(media: &Media, span: Span) -> (Bytes, Vec<(TrackId, Vec<Place>)>) {
    let (video, audio) = (Params::Video(media.video.clone()), Params::Audio(media.audio.clone()));
    let mut writer = MovieWriter::default();
    writer.run([(TrackId::VIDEO, &video), (TrackId::AUDIO, &audio)], 0).unwrap();
    let (mut body, mut want) = (Vec::new(), Vec::new());
    for (id, samples) in [(TrackId::VIDEO, &media.video_samples), (TrackId::AUDIO, &media.audio_samples)] {
        let mut places = Vec::new();
        for chunk in samples.chunks(7) {
            let at = body.len() as u64;
            let mut entries = Vec::new();
            for s in chunk {
                let (size, offset) =
                    (u32::try_from(s.payload.len()).unwrap(), i32::try_from(s.pts - s.dts).unwrap());
                let duration = s.duration.unwrap();
                entries.push(Entry { size, duration, offset, key: s.key });
                let (dts, offset_at) = (s.dts, body.len() as u64);
                places.push(Place {
                    dts,
                    cts: offset,
                    duration,
                    offset: offset_at,
                    bytes: size,
                    key: s.key,
                    cut: Cut::default(),
                });
                body.extend_from_slice(&s.payload);
            }
            writer.fragment(id, at, &Fragment { dts: chunk[0].dts, samples: entries }).unwrap();
        }
        want.push((id, places));
    }
    let front = writer.finish(span, body.len() as u64).unwrap();
    let before = front.len() as u64;
    want.iter_mut().flat_map(|(_, places)| places).for_each(|p| p.offset += before);
    ([&front[..], &body].concat().into(), want)
}

fn whole() -> Span {
    Span { from_us: 0, to_us: 3_600_000_000 }
}

#[test]
fn what_the_movie_writer_writes_is_read_back() {
    let media = tiny();
    let (bytes, want) = written(&media, whole());
    let index = index(&bytes).unwrap();
    assert_eq!(index.left_out, [""; 0]);
    let got: Vec<_> = index.tracks.iter().map(|t| (t.id, t.samples.clone())).collect();
    assert_eq!(got, want);
    assert_eq!(index.tracks[0].params, Params::Video(media.video));
    assert_eq!(index.tracks[1].params, Params::Audio(media.audio));
}

#[test]
fn fragments_are_read_as_their_writer_meant_them() {
    let media = tiny();
    let params = Params::Audio(media.audio.clone());
    let mut bytes = fmp4::init(&params).to_vec();
    let mut want = Vec::new();
    // Live: it begins an hour late.
    let late = 3600 * 44_100_i64.max(i64::from(params.timescale()));
    for (nth, chunk) in media.audio_samples.chunks(9).enumerate() {
        let later: Vec<_> = chunk
            .iter()
            .map(|s| nx_media::Sample { dts: s.dts + late, pts: s.pts + late, ..s.clone() })
            .collect();
        let fragment = fmp4::fragment(u32::try_from(nth).unwrap(), nx_media::Kind::Audio, &later).unwrap();
        let header = fragment.len() - chunk.iter().map(|s| s.payload.len()).sum::<usize>();
        let mut offset = (bytes.len() + header) as u64;
        for s in chunk {
            let size = u32::try_from(s.payload.len()).unwrap();
            want.push(Place {
                dts: s.dts,
                cts: 0,
                duration: 1024,
                offset,
                bytes: size,
                key: true,
                cut: Cut::default(),
            });
            offset += u64::from(size);
        }
        bytes.extend_from_slice(&fragment);
    }
    let index = index(&bytes).unwrap();
    let late_left = only(&index).samples[0].dts;
    assert_eq!(late_left, 0, "it begins at its beginning");
    assert_eq!(only(&index).samples, want);
}

#[test]
fn what_cannot_be_played_is_named() {
    for (entry, want) in [(*b"mp4v", "codec 'mp4v'"), (*b"apch", "codec 'apch'"), (*b"encv", "encrypted")] {
        let (bytes, _) = file(&Table { entry: Some(entry), ..Table::one() });
        let error = index(&bytes).unwrap_err().to_string();
        assert!(error.contains(want) && error.contains("picture 1"), "{error}");
    }
    let (bytes, _) = file(&Table { entries: 2, ..Table::one() });
    let error = index(&bytes).unwrap_err().to_string();
    assert!(error.contains("2 sample descriptions"), "{error}");
    let (bytes, _) = file(&Table { elsewhere: true, ..Table::one() });
    assert!(index(&bytes).unwrap_err().to_string().contains("another file"));
    let empty = Table { sizes: vec![], stts: vec![], ..Table::one() };
    assert!(index(&file(&empty).0).unwrap_err().to_string().contains("nothing is in it"));
}

#[test]
fn a_file_is_told_by_its_first_box() {
    assert!(sniff(&file(&Table::one()).0) && sniff(&fmp4::init(&Params::Video(tiny().video))));
    for not in [&b""[..], b"\0\0\0\x18ft", b"\x1aE\xdf\xa3\0\0\0\0", b"FLV\x01\x05\0\0\0\x09"] {
        assert!(!sniff(not), "{not:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_table_is_read_as_it_was_meant(
        samples in prop::collection::vec((1_u32..2000, 1_u32..5000, -3000_i32..3000, any::<bool>()), 1..60),
        of_chunk in 1_u32..9,
        timescale in 1_u32..200_000,
    ) {
        let (mut chunks, mut places, mut at) = (vec![], vec![], 0_u32);
        for chunk in samples.chunks(of_chunk as usize) {
            at += 3;
            chunks.push(at);
            for s in chunk {
                places.push((u64::from(at), s.0));
                at += s.0;
            }
        }
        let last = u32::try_from(samples.len()).unwrap() % of_chunk;
        let mut stsc = vec![(1, of_chunk)];
        if last != 0 {
            stsc.push((u32::try_from(chunks.len()).unwrap(), last));
        }
        let keys = samples.iter().enumerate().filter(|(_, s)| s.3).map(|(n, _)| u32::try_from(n + 1).unwrap());
        let table = Table {
            stsc,
            sizes: samples.iter().map(|s| s.0).collect(),
            chunks,
            stts: samples.iter().map(|s| (1, s.1)).collect(),
            ctts: Some(samples.iter().map(|s| (1, s.2.cast_unsigned())).collect()),
            stss: Some(keys.collect()),
            timescale,
            ..Table::default()
        };
        let (bytes, media) = file(&table);
        let read = index(&bytes).unwrap();
        let got = &only(&read).samples;
        prop_assert_eq!(got.iter().map(|s| (s.offset - media, s.bytes)).collect::<Vec<_>>(), places);
        prop_assert_eq!(got.iter().map(|s| s.key).collect::<Vec<_>>(), samples.iter().map(|s| s.3).collect::<Vec<_>>());
        // A film that begins very late begins whole seconds sooner.
        let by = -got[0].dts;
        prop_assert!(by >= 0 && by % 90_000 == 0, "{}", by);
        let mut dts = 0_i64;
        for (s, (_, duration, cts, _)) in got.iter().zip(&samples) {
            // To half a tick, however long the film is.
            let scaled = |ticks: i64| nx_media::rescale(ticks, timescale, 90_000) - by;
            prop_assert_eq!((s.dts, s.dts + i64::from(s.cts)), (scaled(dts), scaled(dts + i64::from(*cts))));
            dts += i64::from(*duration);
        }
        prop_assert!(got.windows(2).all(|w| w[0].dts + i64::from(w[0].duration) == w[1].dts));
    }
}
