//! FLAC: `STREAMINFO` and frame lengths.
//!
//! Spec: RFC 9639 §8 (metadata), §9.1 (frame header).

use bytes::Bytes;
use nx_media::{AudioCodec, AudioParams};

use crate::bits::Bits;

/// Size of `STREAMINFO` without its block header.
const STREAMINFO_LEN: usize = 34;
/// Type 0, last block, 34 bytes.
const BLOCK_HEADER: [u8; 4] = [0x80, 0, 0, 34];

/// The bytes are not a FLAC header that this system carries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlacError {
    /// The header ends inside of `STREAMINFO`.
    #[error("FLAC header of {got} bytes ends inside STREAMINFO")]
    Truncated {
        /// Size of what was given.
        got: usize,
    },
    /// The first metadata block is another one, or has another size.
    #[error(
        "the first FLAC metadata block has type {kind} and {len} bytes, STREAMINFO of 34 must come first"
    )]
    NoStreamInfo {
        /// Block type.
        kind: u8,
        /// Block length.
        len: usize,
    },
    /// `STREAMINFO` contradicts itself or describes no sound.
    #[error("FLAC STREAMINFO with {sample_rate} Hz and blocks of up to {block_samples} samples")]
    StreamInfo {
        /// In hertz.
        sample_rate: u32,
        /// Maximum block size.
        block_samples: u32,
    },
}

/// Reads metadata blocks with (`fLaC` in front, as enhanced RTMP) or without magic (as the ISO box `dfLa`), or
/// `STREAMINFO` alone (as FFmpeg sends it in enhanced RTMP). Blocks behind it are left out of the result's `config`.
///
/// # Errors
///
/// [`FlacError`]; the track cannot be published.
///
/// Spec: RFC 9639 §8.2.
pub fn parse_header(header: &Bytes) -> Result<AudioParams, FlacError> {
    let short = FlacError::Truncated { got: header.len() };
    let blocks = header.strip_prefix(b"fLaC").unwrap_or(header);
    let body = match blocks.split_first_chunk() {
        Some((&[0 | 0x80, 0, 0, 34], body)) => body,
        _ if blocks.len() == STREAMINFO_LEN => blocks,
        Some((&[kind, l0, l1, l2], _)) => {
            let len = usize::from(l0) << 16 | usize::from(l1) << 8 | usize::from(l2);
            return Err(FlacError::NoStreamInfo { kind: kind & 0x7f, len });
        }
        None => return Err(short),
    };
    let Some(info) = body.first_chunk::<STREAMINFO_LEN>() else { return Err(short) };
    let Some((block_samples, sample_rate, channels)) = stream_info(info) else { return Err(short) };
    if sample_rate == 0 || block_samples < 16 {
        return Err(FlacError::StreamInfo { sample_rate, block_samples });
    }
    Ok(AudioParams {
        codec: AudioCodec::Flac,
        config: [&BLOCK_HEADER[..], info].concat().into(),
        sample_rate,
        channels,
        frame_samples: block_samples,
        rfc6381: "fLaC".to_owned(),
        language: None,
    })
}

/// Maximum block size, sample rate, channels.
fn stream_info(info: &[u8]) -> Option<(u32, u32, u8)> {
    let mut bits = Bits::new(info);
    bits.take(16)?;
    let block_samples = bits.take(16)?;
    bits.take(24)?;
    bits.take(24)?;
    let sample_rate = bits.take(20)?;
    let channels = u8::try_from(bits.take(3)? + 1).ok()?;
    Some((block_samples, sample_rate, channels))
}

/// Samples per channel in a frame, or `None` when it does not begin with a frame header.
///
/// Spec: RFC 9639 §9.1.
#[must_use]
pub fn frame_samples(frame: &[u8]) -> Option<u32> {
    let (&[0xff, 0xf8 | 0xf9, sizes, _, number], rest) = frame.split_first_chunk()? else { return None };
    // The frame or sample number is coded like UTF-8, in up to 7 bytes.
    let number_rest = match number.leading_ones() {
        0 => 0,
        n @ 2..=7 => usize::try_from(n - 1).ok()?,
        _ => return None,
    };
    let stated = rest.get(number_rest..)?;
    match sizes >> 4 {
        0 => None,
        1 => Some(192),
        n @ 2..=5 => Some(144 << n),
        6 => Some(u32::from(*stated.first()?) + 1),
        7 => Some(u32::from(u16::from_be_bytes(*stated.first_chunk()?)) + 1),
        n => Some(1 << n),
    }
}

#[cfg(test)]
mod tests;
