//! MPEG audio: frame headers of MPEG-1, MPEG-2 and MPEG-2.5, layers 1 to 3.
//!
//! Spec: ISO/IEC 11172-3 §2.4.2.3, ISO/IEC 13818-3 §2.4.2.3.

use bytes::Bytes;
use nx_media::{AudioCodec, AudioParams};

/// kbit/s by bitrate index 1 to 14: MPEG-1 layers 1, 2, 3; MPEG-2 layer 1; MPEG-2 layers 2 and 3.
const BITRATES: [[u16; 14]; 5] = [
    [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];
/// Of MPEG-1; MPEG-2 has half, MPEG-2.5 a quarter.
const RATES: [u32; 3] = [44_100, 48_000, 32_000];

/// The bytes do not begin with a frame header that this system reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MpaError {
    /// Fewer than the 4 bytes of a header.
    #[error("MPEG audio frame of {got} bytes ends inside its header of 4")]
    Truncated {
        /// Size of what was given.
        got: usize,
    },
    /// No sync word, or a reserved value in the header.
    #[error("no MPEG audio frame header: {header:08x}")]
    NoHeader {
        /// The 4 bytes, big-endian.
        header: u32,
    },
    /// Free format does not state its frame length.
    #[error("MPEG audio of free format is not read, encode with a standard bit rate")]
    FreeFormat,
}

/// A frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// MPEG-2 or MPEG-2.5 rather than MPEG-1.
    pub low_rate: bool,
    /// 1, 2 or 3.
    pub layer: u8,
    /// Bytes of the frame with its header.
    pub frame_len: usize,
    /// In hertz.
    pub sample_rate: u32,
    /// 1 or 2.
    pub channels: u8,
    /// PCM samples per channel in the frame.
    pub samples: u32,
}

/// Reads the header that the bytes begin with; the rest of the frame need not be there.
///
/// # Errors
///
/// [`MpaError`].
pub fn parse_frame(data: &[u8]) -> Result<Header, MpaError> {
    let Some(&bytes) = data.first_chunk() else {
        return Err(MpaError::Truncated { got: data.len() });
    };
    let header = u32::from_be_bytes(bytes);
    let field = |shift: u32, mask: u32| usize::try_from((header >> shift) & mask).unwrap_or(0);
    let bad = MpaError::NoHeader { header };
    let halvings = match field(19, 3) {
        3 => 0,
        2 => 1,
        0 => 2,
        _ => return Err(bad),
    };
    let low_rate = halvings > 0;
    let (layer, table) = match (field(17, 3), low_rate) {
        (3, false) => (1, 0),
        (2, false) => (2, 1),
        (1, false) => (3, 2),
        (3, true) => (1, 3),
        (2, true) => (2, 4),
        (1, true) => (3, 4),
        _ => return Err(bad),
    };
    let Some(&rate) = RATES.get(field(10, 3)).filter(|_| header >> 21 == 0x7ff) else { return Err(bad) };
    let index = field(12, 15).checked_sub(1).ok_or(MpaError::FreeFormat)?;
    let bitrate: &[u16; 14] = BITRATES.get(table).ok_or(bad.clone())?;
    let bitrate = u32::from(*bitrate.get(index).ok_or(bad.clone())?) * 1_000;
    let sample_rate = rate >> halvings;
    let samples = match (layer, low_rate) {
        (1, _) => 384,
        (3, true) => 576,
        _ => 1_152,
    };
    // Layer 1 counts in slots of 4 bytes, the others in bytes.
    let slot = if layer == 1 { 4 } else { 1 };
    let padding = (header >> 9) & 1;
    let len = (samples / 8 / slot * bitrate / sample_rate + padding) * slot;
    Ok(Header {
        low_rate,
        layer,
        frame_len: usize::try_from(len).map_err(|_| bad)?,
        sample_rate,
        channels: if field(6, 3) == 3 { 1 } else { 2 },
        samples,
    })
}

/// Parameters of the track that a frame begins.
///
/// # Errors
///
/// As [`parse_frame`].
pub fn params(frame: &[u8]) -> Result<AudioParams, MpaError> {
    let header = parse_frame(frame)?;
    Ok(AudioParams {
        codec: AudioCodec::Mpa,
        config: Bytes::new(),
        sample_rate: header.sample_rate,
        channels: header.channels,
        frame_samples: header.samples,
        // Object types 0x6b and 0x69 of ISO/IEC 14496-1 table 5.
        rfc6381: if header.low_rate { "mp4a.69" } else { "mp4a.6B" }.to_owned(),
        language: None,
    })
}

#[cfg(test)]
mod tests;
