//! The one unit of media that runs through the whole system.

use bytes::Bytes;

/// One coded frame of one track, after the timeline has repaired its time.
///
/// Within a track `dts` never goes back, and `dts + duration` is exactly the `dts` of the next sample
/// whenever `duration` is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Decode time in the track's timescale.
    pub dts: i64,
    /// Presentation time in the track's timescale; may be before or after `dts`.
    pub pts: i64,
    /// In the track's timescale. `None` when only the next sample can tell.
    pub duration: Option<u32>,
    /// Decoding can start here.
    pub key: bool,
    /// H.264, HEVC: NAL units, each behind a 4-byte big-endian length. AV1: OBUs with sizes, no temporal
    /// delimiter. VP9: one frame or superframe. AAC: one raw access unit, no ADTS. Opus: one packet. FLAC, AC-3,
    /// E-AC-3, MPEG audio: one whole frame with its header.
    pub payload: Bytes,
}
