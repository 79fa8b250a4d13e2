//! Samples as decoders take them that were told nothing: parameter sets and start codes in front.

use bytes::Bytes;
use nx_codec::{avc, hevc};
use nx_media::VideoCodec;

const START: [u8; 4] = [0, 0, 0, 1];
/// Bytes of an `av1C` before its OBUs (AV1 in ISOBMFF §2.3.3).
const AV1C_HEAD: usize = 4;

/// One key frame with everything that it needs. `None` when the configuration cannot be read.
pub(crate) fn self_contained(codec: VideoCodec, config: &Bytes, sample: &Bytes) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(config.len() + sample.len() + 64);
    let sets = match codec {
        VideoCodec::Avc => {
            let sets = avc::parameter_sets(config).ok()?;
            [sets.sps, sets.pps].concat()
        }
        VideoCodec::Hevc => {
            let sets = hevc::parameter_sets(config).ok()?;
            [sets.vps, sets.sps, sets.pps].concat()
        }
        VideoCodec::Av1 => {
            out.extend_from_slice(config.get(AV1C_HEAD..).unwrap_or_default());
            out.extend_from_slice(sample);
            return Some(out);
        }
        _ => return Some(sample.to_vec()),
    };
    for nal in sets.iter().map(|set| &set[..]).chain(avc::nals(sample)) {
        out.extend_from_slice(&START);
        out.extend_from_slice(nal);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_sets_come_before_the_picture() {
        let avcc = Bytes::from_static(&[1, 100, 0, 31, 0xff, 0xe1, 0, 2, 0x67, 1, 1, 0, 1, 0x68]);
        let sample = Bytes::from_static(&[0, 0, 0, 2, 0x65, 7, 0, 0, 0, 1, 0x65]);
        let stream = self_contained(VideoCodec::Avc, &avcc, &sample).expect("reads");
        let nals = [&[0x67, 1][..], &[0x68], &[0x65, 7], &[0x65]];
        assert_eq!(stream, nals.map(|nal| [&START, nal].concat()).concat());
        let av1 = self_contained(VideoCodec::Av1, &Bytes::from_static(&[0x81, 0, 12, 0, 10, 1]), &sample);
        assert_eq!(av1, Some([&[10, 1][..], &sample].concat()));
        assert_eq!(self_contained(VideoCodec::Vp9, &avcc, &sample), Some(sample.to_vec()));
        assert_eq!(self_contained(VideoCodec::Hevc, &Bytes::from_static(&[1]), &sample), None);
    }
}
