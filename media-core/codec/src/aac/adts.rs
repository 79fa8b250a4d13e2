//! ADTS: AAC access units with a header in front of each.
//!
//! Spec: ISO/IEC 13818-7 §6.2, ISO/IEC 14496-3 §1.A.3.

use bytes::Bytes;

use super::{ADTS_HEADER_LEN, RATES};
use crate::bits::Bits;

/// The bytes do not begin with a frame that this system reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdtsError {
    /// The header ends too early.
    #[error("ADTS frame of {got} bytes ends inside its header")]
    Truncated {
        /// Size of what was given.
        got: usize,
    },
    /// No sync word, or a layer other than 0.
    #[error("no ADTS sync word fff")]
    NoSync,
    /// A reserved sampling frequency index.
    #[error("ADTS with reserved sample rate index {0}")]
    SampleRate(u8),
    /// The channels are told by a program config element inside the frame.
    #[error("ADTS without a channel configuration is not read, send a layout with a number from 1 to 7")]
    Channels,
    /// Frames of more than one access unit.
    #[error("ADTS frame of {0} raw data blocks, send one per frame")]
    RawBlocks(u8),
    /// The frame is shorter than its header.
    #[error("ADTS frame of {frame_len} bytes is shorter than its header of {header_len}")]
    FrameLength {
        /// What the header states.
        frame_len: usize,
        /// With CRC.
        header_len: usize,
    },
}

/// What an ADTS header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdtsFrame {
    /// `AudioSpecificConfig` of the same meaning, 2 bytes.
    pub config: Bytes,
    /// In hertz, of the core codec.
    pub sample_rate: u32,
    /// Bytes in front of the access unit: 7, or 9 with CRC (which is not verified).
    pub header_len: usize,
    /// Bytes of header and access unit.
    pub frame_len: usize,
}

/// Reads the header that the bytes begin with; the rest of the frame need not be there.
///
/// # Errors
///
/// [`AdtsError`].
pub fn parse(data: &[u8]) -> Result<AdtsFrame, AdtsError> {
    let short = AdtsError::Truncated { got: data.len() };
    let Some(header) = data.first_chunk::<ADTS_HEADER_LEN>() else { return Err(short) };
    // 12 bits, then any MPEG version, layer 0, CRC or not.
    if !matches!(header, [0xff, second, ..] if second & 0xf6 == 0xf0) {
        return Err(AdtsError::NoSync);
    }
    let Some((fields, config)) = fields(header) else { return Err(short) };
    let Fields { no_crc, rate_index, channel_config, frame_len, raw_blocks } = fields;
    let Some(&sample_rate) = RATES.get(usize::from(rate_index)) else {
        return Err(AdtsError::SampleRate(rate_index));
    };
    let header_len = if no_crc { ADTS_HEADER_LEN } else { ADTS_HEADER_LEN + 2 };
    if frame_len < header_len {
        return Err(AdtsError::FrameLength { frame_len, header_len });
    }
    if raw_blocks > 1 {
        return Err(AdtsError::RawBlocks(raw_blocks));
    }
    if channel_config == 0 {
        return Err(AdtsError::Channels);
    }
    Ok(AdtsFrame { config: Bytes::copy_from_slice(&config), sample_rate, header_len, frame_len })
}

/// The fields as they are.
struct Fields {
    no_crc: bool,
    rate_index: u8,
    channel_config: u8,
    frame_len: usize,
    raw_blocks: u8,
}

/// With the `AudioSpecificConfig`: object type, rate index, channel configuration, zeros.
fn fields(header: &[u8; ADTS_HEADER_LEN]) -> Option<(Fields, [u8; 2])> {
    let mut bits = Bits::new(header);
    bits.take(15)?;
    let no_crc = bits.flag()?;
    let profile = u16::try_from(bits.take(2)?).ok()?;
    let rate_index = u8::try_from(bits.take(4)?).ok()?;
    bits.take(1)?;
    let channel_config = u8::try_from(bits.take(3)?).ok()?;
    bits.take(4)?;
    let frame_len = usize::try_from(bits.take(13)?).ok()?;
    bits.take(11)?;
    let raw_blocks = u8::try_from(bits.take(2)? + 1).ok()?;
    let config = (profile + 1) << 11 | u16::from(rate_index) << 7 | u16::from(channel_config) << 3;
    let fields = Fields { no_crc, rate_index, channel_config, frame_len, raw_blocks };
    Some((fields, config.to_be_bytes()))
}

#[cfg(test)]
mod tests;
