//! Whether an input shows and says anything, judged by the size of its frames without decoding them.
//!
//! A black or otherwise flat picture and digital silence cost an encoder next to nothing. Filler that a constant bit
//! rate adds does not count. Encoders that pad inside their frames cannot be seen through: they are never judged
//! poor.

use nx_codec::avc;
use nx_media::{AudioCodec, Kind, Params, VideoCodec};
use nx_timeline::Arrival;

/// A key frame of a flat picture has less than a byte for this many pixels; other frames for the second number.
const KEY_PIXELS_PER_BYTE: u64 = 400;
const FRAME_PIXELS_PER_BYTE: u64 = 3_000;
/// A silent frame has at most this many bytes per channel.
const SILENT_BYTES: usize = 8;

/// What has been seen of one input.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    flat_since_ms: Option<i64>,
    silent_since_ms: Option<i64>,
    /// The last key frame was flat.
    flat_key: bool,
}

/// How long it may go on; milliseconds, 0 for ever.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) black_ms: i64,
    pub(crate) silent_ms: i64,
}

impl Vitals {
    /// Looks at a frame of the first track of its kind.
    pub(crate) fn see(&mut self, now_ms: i64, arrival: &Arrival, params: Option<&Params>) {
        let Some(params) = params.filter(|_| arrival.track.nth == 0) else { return };
        match params {
            Params::Video(v) => {
                let bytes = if v.codec == VideoCodec::Avc {
                    picture_bytes(&arrival.payload)
                } else {
                    arrival.payload.len()
                };
                let pixels = u64::from(v.width) * u64::from(v.height);
                let per_byte = if arrival.key { KEY_PIXELS_PER_BYTE } else { FRAME_PIXELS_PER_BYTE };
                let flat = bytes as u64 * per_byte < pixels.max(per_byte);
                if arrival.key {
                    self.flat_key = flat;
                }
                note(&mut self.flat_since_ms, flat && self.flat_key, now_ms);
            }
            Params::Audio(a) => {
                let judged = matches!(a.codec, AudioCodec::Aac | AudioCodec::Opus);
                let silent = judged && arrival.payload.len() <= SILENT_BYTES * usize::from(a.channels.max(1));
                note(&mut self.silent_since_ms, silent, now_ms);
            }
        }
    }

    /// What is wrong with it, if that has gone on for too long.
    pub(crate) fn fault(&self, now_ms: i64, patience: Patience) -> Option<Kind> {
        let over = |since: Option<i64>, ms: i64| ms > 0 && since.is_some_and(|since| now_ms - since >= ms);
        if over(self.flat_since_ms, patience.black_ms) {
            return Some(Kind::Video);
        }
        over(self.silent_since_ms, patience.silent_ms).then_some(Kind::Audio)
    }
}

fn note(since: &mut Option<i64>, is: bool, now_ms: i64) {
    match is {
        true => {
            since.get_or_insert(now_ms);
        }
        false => *since = None,
    }
}

fn picture_bytes(payload: &[u8]) -> usize {
    // Slices only: parameter sets, SEI and filler are no picture.
    avc::nals(payload).filter(|nal| (1..=5).contains(&avc::nal_type(nal))).map(<[u8]>::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use nx_media::{AudioParams, TrackId, VideoParams};

    const NAL_FILLER: u8 = 12;

    fn frame(track: TrackId, key: bool, slice: usize, filler: usize) -> Arrival {
        let mut payload = Vec::new();
        for (kind, len) in [(if key { 5u8 } else { 1 }, slice), (NAL_FILLER, filler)] {
            if len > 0 {
                payload.extend_from_slice(&u32::try_from(len).expect("small").to_be_bytes());
                payload.push(kind);
                payload.resize(payload.len() + len - 1, 0x55);
            }
        }
        if track.kind == Kind::Audio {
            payload = vec![0x21; slice];
        }
        Arrival { track, stamp: 0, fine: 0, cts: 0, key, samples: None, payload: Bytes::from(payload) }
    }

    #[test]
    fn tells_flat_and_silent_inputs_from_quiet_ones() {
        let video = Params::Video(VideoParams {
            codec: VideoCodec::Avc,
            config: Bytes::new(),
            width: 1280,
            height: 720,
            frame_rate: None,
            range: nx_media::VideoRange::Sdr,
            rfc6381: String::new(),
        });
        let audio = Params::Audio(AudioParams {
            codec: AudioCodec::Aac,
            config: Bytes::new(),
            sample_rate: 48_000,
            channels: 2,
            frame_samples: 1024,
            rfc6381: String::new(),
            language: None,
        });
        let patience = Patience { black_ms: 5_000, silent_ms: 5_000 };
        for (name, key, frames, filler, sound, want) in [
            ("a scene", 40_000, 9_000, 0, 300, None),
            ("a slide that stands still", 30_000, 60, 0, 300, None),
            ("black", 1_500, 40, 0, 300, Some(Kind::Video)),
            ("black, padded to a constant rate", 1_500, 40, 12_000, 300, Some(Kind::Video)),
            ("without sound", 40_000, 9_000, 0, 9, Some(Kind::Audio)),
        ] {
            let mut vitals = Vitals::default();
            for n in 0..300 {
                let (at, is_key) = (n * 33, n % 60 == 0);
                let slice = if is_key { key } else { frames };
                vitals.see(at, &frame(TrackId::VIDEO, is_key, slice, filler), Some(&video));
                vitals.see(at, &frame(TrackId::AUDIO, true, sound, 0), Some(&audio));
            }
            assert_eq!(vitals.fault(9_900, patience), want, "{name}");
            assert_eq!(
                vitals.fault(9_900, Patience { black_ms: 0, silent_ms: 0 }),
                None,
                "{name}, switched off"
            );
        }
    }
}
