//! VP9: the configuration record (`vpcC`) and the head of the uncompressed frame header.
//!
//! Spec: VP9 Bitstream & Decoding Process Specification §6.2 (uncompressed header); VP Codec ISO Media File
//! Format Binding (record, codec string).

use bytes::Bytes;
use nx_media::{VideoCodec, VideoParams, VideoRange};

use crate::bits::Bits;

/// Bytes of a record. VP9 has no initialization data behind them.
pub const CONFIG_LEN: usize = 8;
const FRAME_MARKER: u32 = 2;
const SYNC_CODE: u32 = 0x49_8342;
const COLOR_SPACE_RGB: u32 = 7;
/// Stands in for a level that the record leaves open: the codec string has to name one.
const LEVEL_LOWEST: u8 = 10;
/// Largest picture of each level, in pixels (VP9 annex A).
const LEVELS: [(u64, u8); 9] = [
    (36_864, 10),
    (73_728, 11),
    (122_880, 20),
    (245_760, 21),
    (552_960, 30),
    (983_040, 31),
    (2_228_224, 40),
    (8_912_896, 50),
    (35_651_584, 60),
];

/// The record or the first frame is not VP9.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Vp9Error {
    /// Another size than [`CONFIG_LEN`].
    #[error("vpcC of {got} bytes, expected {expected}: no version and flags in front, nothing behind", expected = CONFIG_LEN)]
    ConfigLen {
        /// Size of the record.
        got: usize,
    },
    /// A profile beyond 3.
    #[error("VP9 profile {0}, expected 0 to 3")]
    Profile(u8),
    /// The frame that should tell the size is no key frame.
    #[error("the first frame is no VP9 key frame; wait for one, only it tells the size")]
    NotKey,
    /// The header of the key frame does not parse.
    #[error("header of the key frame is damaged at bit {bit}")]
    FrameHeader {
        /// Where the field ends or begins, in bits.
        bit: usize,
    },
}

/// Reads a `VPCodecConfigurationRecord` (without version and flags); the size comes from `first_key`, the
/// first key frame. `config` of the result is `vpcc` itself, not a copy.
///
/// # Errors
///
/// Any [`Vp9Error`]; [`Vp9Error::NotKey`] asks for a later frame, the others end the track.
///
/// Spec: VP Codec ISO Media File Format Binding, "VP Codec Configuration Box", "Codecs Parameter String".
pub fn parse_config(vpcc: &Bytes, first_key: &[u8]) -> Result<VideoParams, Vp9Error> {
    let Ok(&[profile, level, depth, _, transfer, ..]) = <&[u8; CONFIG_LEN]>::try_from(&vpcc[..]) else {
        return Err(Vp9Error::ConfigLen { got: vpcc.len() });
    };
    if profile > 3 {
        return Err(Vp9Error::Profile(profile));
    }
    let (width, height) = key_size(first_key)?;
    let level = if level == 0 { LEVEL_LOWEST } else { level };
    let depth = depth >> 4;
    Ok(VideoParams {
        codec: VideoCodec::Vp9,
        config: vpcc.clone(),
        width,
        height,
        frame_rate: None,
        range: VideoRange::from_transfer(transfer),
        rfc6381: format!("vp09.{profile:02}.{level:02}.{depth:02}"),
    })
}

/// Makes the record of a stream that has none, by its first key frame and what the file says of its colours (numbers of
/// ITU-T H.273, 2 for "not said"). The level is the lowest for the picture's size. `None` when this is no key frame.
///
/// Spec: VP Codec ISO Media File Format Binding, "VP Codec Configuration Box"; VP9 §6.2, annex A.
#[must_use]
pub fn config_from_key(frame: &[u8], primaries: u8, transfer: u8, matrix: u8) -> Option<Bytes> {
    let mut bits = Bits::new(frame);
    let profile = frame_profile(&mut bits)??;
    let key = key_frame(&mut bits, profile)?;
    let pixels = u64::from(key.width) * u64::from(key.height);
    let level = LEVELS.iter().find(|(max, _)| pixels <= *max).map_or(62, |(_, level)| *level);
    let format = key.depth << 4 | key.subsampling << 1 | u8::from(key.full_range);
    let profile = u8::try_from(profile).ok()?;
    Some(Bytes::copy_from_slice(&[profile, level, format, primaries, transfer, matrix, 0, 0]))
}

/// Whether decoding can start at this frame (or superframe).
#[must_use]
pub fn is_key(payload: &[u8]) -> bool {
    frame_profile(&mut Bits::new(payload)).is_some_and(|profile| profile.is_some())
}

/// Width and height of a key frame, in pixels, each 1 to 65 536.
///
/// Spec: VP9 §6.2, §6.2.2 (color config), §6.2.3 (frame size).
fn key_size(frame: &[u8]) -> Result<(u32, u32), Vp9Error> {
    let mut bits = Bits::new(frame);
    let profile = frame_profile(&mut bits).ok_or(Vp9Error::FrameHeader { bit: bits.position() })?;
    let key = key_frame(&mut bits, profile.ok_or(Vp9Error::NotKey)?);
    key.map(|key| (key.width, key.height)).ok_or(Vp9Error::FrameHeader { bit: bits.position() })
}

/// Profile of a key frame, `Some(None)` for any other frame, `None` when this is no VP9. `bits` then stand
/// behind `frame_type`.
fn frame_profile(bits: &mut Bits<'_>) -> Option<Option<u32>> {
    if bits.take(2)? != FRAME_MARKER {
        return None;
    }
    let profile = bits.take(1)? | (bits.take(1)? << 1);
    if profile == 3 && bits.flag()? {
        return None;
    }
    let show_existing = bits.flag()?;
    Some((!show_existing && !bits.flag()?).then_some(profile))
}

/// What a key frame says of pictures.
struct KeyFrame {
    width: u32,
    height: u32,
    /// Bits of a sample.
    depth: u8,
    /// As in the record: 1 for 4:2:0 with the samples of MPEG-2, 2 for 4:2:2, 3 for 4:4:4.
    subsampling: u8,
    full_range: bool,
}

fn key_frame(bits: &mut Bits<'_>, profile: u32) -> Option<KeyFrame> {
    // show_frame, error_resilient_mode
    bits.skip(2)?;
    if bits.take(24)? != SYNC_CODE {
        return None;
    }
    let depth = match profile {
        0 | 1 => 8,
        _ => 10 + 2 * u8::from(bits.flag()?),
    };
    let subsampled = profile & 1 == 1;
    let (mut subsampling, mut full_range) = (1, true);
    if bits.take(3)? != COLOR_SPACE_RGB {
        full_range = bits.flag()?;
        if subsampled {
            subsampling = match (bits.flag()?, bits.flag()?) {
                (true, false) => 2,
                (false, false) => 3,
                _ => 1,
            };
            bits.skip(1)?;
        }
    } else if subsampled {
        subsampling = 3;
        bits.skip(1)?;
    }
    Some(KeyFrame { width: bits.take(16)? + 1, height: bits.take(16)? + 1, depth, subsampling, full_range })
}

#[cfg(test)]
mod tests;
