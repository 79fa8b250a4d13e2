//! Properties that hold for any input; the fuzz targets call these.

use bytes::Bytes;
use nx_media::{Kind, Sample};

use crate::{flv, fmp4};

/// What an FLV tag body holds is a slice of that body, and never more.
///
/// # Panics
///
/// When a property does not hold.
pub fn flv_tag(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    match flv::parse_video(&body) {
        Ok(flv::VideoTag::Frame { cts_ms, payload, .. }) => {
            assert!((-0x80_0000..=0x7f_ffff).contains(&cts_ms), "24 bits");
            assert!(body.ends_with(&payload), "the payload is the end of the body");
        }
        Ok(flv::VideoTag::Config(record)) => assert!(body.ends_with(&record), "so is the record"),
        Ok(flv::VideoTag::EndOfSequence | flv::VideoTag::Ignored) => (),
        Err(error) => assert!(!error.to_string().is_empty(), "an error has words"),
    }
    match flv::parse_audio(&body) {
        Ok(flv::AudioTag::Config(part) | flv::AudioTag::Frame(part)) => assert!(body.ends_with(&part)),
        Ok(flv::AudioTag::Ignored) => (),
        Err(error) => assert!(!error.to_string().is_empty(), "an error has words"),
    }
    let total: usize = flv::tags(data).map(|(_, _, body)| body.len() + 15).sum();
    assert!(total <= data.len(), "tags lie inside the file");
}

/// Fragments that parse hold no more than their bytes, and survive being written again.
///
/// # Panics
///
/// When a property does not hold.
pub fn fmp4_samples(data: &[u8]) {
    let Ok(samples) = fmp4::samples(&Bytes::copy_from_slice(data)) else { return };
    let total: usize = samples.iter().map(|s| s.payload.len()).sum();
    assert!(samples.is_empty() || total < data.len(), "payloads lie inside the fragment");
    for run in samples.chunk_by(|a, b| end(a) == Some(b.dts)) {
        let written = fmp4::fragment(1, Kind::Video, run).expect("what was read can be written");
        assert_eq!(fmp4::samples(&written).as_deref(), Ok(run), "and read again");
    }
}

fn end(sample: &Sample) -> Option<i64> {
    sample.dts.checked_add(i64::from(sample.duration?))
}
