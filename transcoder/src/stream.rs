//! Samples as decoders take them that were told nothing: parameter sets and start codes in front.

use bytes::Bytes;
use ffmpeg_next::Packet;
use nx_codec::{avc, hevc};
use nx_media::VideoCodec;

const START: [u8; 4] = [0, 0, 0, 1];
/// Bytes of an `av1C` before its OBUs (AV1 in ISOBMFF §2.3.3).
const AV1C_HEAD: usize = 4;

/// See the module.
pub(crate) struct Stream {
    /// Samples are NAL units behind their lengths.
    nals: bool,
    /// In front of key frames.
    sets: Vec<u8>,
}

impl Stream {
    /// `None` when the configuration cannot be read.
    pub(crate) fn new(codec: VideoCodec, config: &Bytes) -> Option<Self> {
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
                let obus = config.get(AV1C_HEAD..).unwrap_or_default();
                return Some(Self { nals: false, sets: obus.to_vec() });
            }
            VideoCodec::Mpeg4 | VideoCodec::Mpeg2 => {
                return Some(Self { nals: false, sets: config.to_vec() });
            }
            _ => return Some(Self { nals: false, sets: Vec::new() }),
        };
        let sets = sets.iter().flat_map(|set| START.into_iter().chain(set.iter().copied())).collect();
        Some(Self { nals: true, sets })
    }

    /// A sample; a key frame with everything that it needs.
    pub(crate) fn packet(&self, payload: &[u8], key: bool) -> Packet {
        let sets = if key { &self.sets[..] } else { &[] };
        let mut packet = Packet::new(sets.len() + payload.len());
        let mut rest = packet.data_mut().unwrap_or_default();
        let mut used = 0;
        let mut put = |bytes: &[u8]| {
            // A start code is as long as the length that it replaces, so all of it has room.
            if let Some((place, behind)) = std::mem::take(&mut rest).split_at_mut_checked(bytes.len()) {
                place.copy_from_slice(bytes);
                (rest, used) = (behind, used + bytes.len());
            }
        };
        put(sets);
        if self.nals {
            for nal in avc::nals(payload) {
                put(&START);
                put(nal);
            }
        } else {
            put(payload);
        }
        packet.shrink(used);
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_sets_come_before_key_frames() {
        let avcc = Bytes::from_static(&[1, 100, 0, 31, 0xff, 0xe1, 0, 2, 0x67, 1, 1, 0, 1, 0x68]);
        let sample = Bytes::from_static(&[0, 0, 0, 2, 0x65, 7, 0, 0, 0, 1, 0x65]);
        let packet = |codec, config: &Bytes, key| {
            let packet = Stream::new(codec, config)?.packet(&sample, key);
            packet.data().map(<[u8]>::to_vec)
        };
        let nals = [&[0x67, 1][..], &[0x68], &[0x65, 7], &[0x65]].map(|nal| [&START, nal].concat());
        assert_eq!(packet(VideoCodec::Avc, &avcc, true), Some(nals.concat()));
        assert_eq!(packet(VideoCodec::Avc, &avcc, false), Some(nals[2..].concat()));
        let av1 = packet(VideoCodec::Av1, &Bytes::from_static(&[0x81, 0, 12, 0, 10, 1]), true);
        assert_eq!(av1, Some([&[10, 1][..], &sample].concat()));
        assert_eq!(packet(VideoCodec::Vp9, &avcc, true), Some(sample.to_vec()));
        assert_eq!(packet(VideoCodec::Hevc, &Bytes::from_static(&[1]), true), None);
    }
}
