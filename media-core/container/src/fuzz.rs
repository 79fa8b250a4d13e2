//! Properties that hold for any input; the fuzz targets call these.

use bytes::Bytes;
use nx_media::{Kind, Sample};

use crate::index::{Indexer, READ_MAX, Step};
use crate::mp4::Mp4Indexer;
use crate::{flv, fmp4};

/// What an FLV tag body holds are disjoint slices of that body.
///
/// # Panics
///
/// When a property does not hold.
pub fn flv_tag(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let mut parts: Vec<Bytes> = vec![];
    let video = flv::parse_video(&body, &mut |_, tag| match tag {
        flv::VideoTag::Frame { cts_ms, nanos, payload, .. } => {
            assert!((-0x80_0000..=0x7f_ffff).contains(&cts_ms), "24 bits");
            assert!(nanos <= 999_999, "less than a millisecond");
            parts.push(payload);
        }
        flv::VideoTag::Config { record, .. } => parts.push(record),
        flv::VideoTag::EndOfSequence | flv::VideoTag::Ignored => (),
    });
    check_parts(&body, &mut parts);
    let audio = flv::parse_audio(&body, &mut |_, tag| match tag {
        flv::AudioTag::Config { header: part, .. } | flv::AudioTag::Frame { payload: part, .. } => {
            parts.push(part);
        }
        flv::AudioTag::Ignored => (),
    });
    check_parts(&body, &mut parts);
    for error in [video, audio].into_iter().filter_map(Result::err) {
        assert!(!error.to_string().is_empty(), "an error has words");
    }
    let total: usize = flv::tags(data).map(|(_, _, body)| body.len() + 15).sum();
    assert!(total <= data.len(), "tags lie inside the file");
}

/// Takes `parts`, which must lie in `body` one behind the other.
fn check_parts(body: &Bytes, parts: &mut Vec<Bytes>) {
    let mut free = body.as_ptr_range();
    for part in parts.drain(..).filter(|part| !part.is_empty()) {
        let range = part.as_ptr_range();
        assert!(free.start < range.start && range.end <= free.end, "parts lie behind the header, in order");
        free.start = range.end.wrapping_sub(1); // the next one may begin right behind
    }
}

/// Fragments that parse hold no more than their bytes, and survive being written again.
///
/// # Panics
///
/// When a property does not hold.
pub fn fmp4_samples(data: &[u8]) {
    let read = fmp4::header(&Bytes::copy_from_slice(data));
    if let Ok(fmp4::Header::Needs(more)) = &read {
        assert!(*more > data.len(), "what is there is not enough");
    }
    let Ok(samples) = fmp4::samples(&Bytes::copy_from_slice(data)) else { return };
    if let Some(sample) = samples.first() {
        let fits = |first: &fmp4::Fragment, media: usize, end: usize| {
            let told: usize = first.samples.iter().map(|s| s.size as usize).sum();
            media + told == end && end <= data.len() && first.dts == sample.dts
        };
        let same = matches!(&read, Ok(fmp4::Header::Whole(first, media, end)) if fits(first, *media, *end));
        assert!(same, "the header of what reads: {read:?}");
    }
    let total: usize = samples.iter().map(|s| s.payload.len()).sum();
    assert!(samples.is_empty() || total < data.len(), "payloads lie inside the fragment");
    for run in samples.chunk_by(|a, b| end(a) == Some(b.dts)) {
        let written = fmp4::fragment(1, Kind::Video, run).expect("what was read can be written");
        assert_eq!(fmp4::samples(&written).as_deref(), Ok(run), "and read again");
    }
}

/// What the index of a file says lies inside the file, in the order of time, without a gap.
///
/// # Panics
///
/// When a property does not hold.
pub fn mp4_index(data: &[u8]) {
    let mut indexer = Mp4Indexer::new(data.len() as u64);
    let index = loop {
        match indexer.next() {
            Err(error) => {
                assert!(!error.to_string().is_empty(), "an error has words");
                return;
            }
            Ok(Step::Done(index)) => break index,
            Ok(Step::Read { offset, bytes }) => {
                assert!((1..=READ_MAX).contains(&bytes), "it asks for something, and not for much");
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(data.len());
                let to = from.saturating_add(bytes).min(data.len());
                if indexer.take(data.get(from..to).unwrap_or_default()).is_err() {
                    return;
                }
            }
        }
    };
    assert!(!index.tracks.is_empty(), "there is something to play");
    for track in index.tracks {
        for (nth, place) in track.samples.iter().enumerate() {
            let end = place.offset.checked_add(place.bytes.into());
            assert!(end.is_some_and(|end| end <= data.len() as u64), "samples lie inside the file");
            let next = track.samples.get(nth + 1);
            let ends = place.dts.checked_add(place.duration.into());
            assert!(next.is_none_or(|next| ends == Some(next.dts)), "each ends where the next begins");
        }
        assert!(track.samples.len() <= data.len(), "and there are no more than it has bytes");
    }
}

fn end(sample: &Sample) -> Option<i64> {
    sample.dts.checked_add(i64::from(sample.duration?))
}
