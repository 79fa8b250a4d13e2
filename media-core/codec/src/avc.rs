//! H.264: the decoder configuration record (`avcC`) and length-prefixed NAL units.
//!
//! Spec: ISO/IEC 14496-15 §5.3.3 (record, NAL lengths), ISO/IEC 14496-10 §7.3 (NAL units, SPS).

mod build;

use bytes::{BufMut, Bytes, BytesMut};
use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::nal::{Nal, RefNal};
use nx_media::{FrameRate, VideoCodec, VideoParams, VideoRange};

pub use build::config_from_sets;

/// Longest configuration record that [`parse_config`] takes, in bytes.
pub const CONFIG_BYTES_MAX: usize = 16 * 1024;
/// Widest and highest picture that [`parse_config`] takes, in pixels: 1055 macroblocks, the limit of
/// level 6.2 (ISO/IEC 14496-10 table A-1).
pub const SIDE_PIXELS_MAX: u32 = 1055 * 16;
/// Frames per second above which a declared rate counts as nonsense.
const FPS_MAX: u64 = 300;
/// Bytes in front of the first parameter set.
const RECORD_HEADER_LEN: usize = 6;

/// `nal_unit_type` of a slice of an IDR picture.
pub const NAL_IDR: u8 = 5;
/// `nal_unit_type` of supplemental enhancement information (captions among others).
pub const NAL_SEI: u8 = 6;
/// `nal_unit_type` of a sequence parameter set.
pub const NAL_SPS: u8 = 7;
/// `nal_unit_type` of a picture parameter set.
pub const NAL_PPS: u8 = 8;
/// `nal_unit_type` of an access unit delimiter.
pub const NAL_AUD: u8 = 9;

/// The record or the payload is not H.264 as ISO/IEC 14496-15 wraps it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AvcError {
    /// Fewer bytes than a field or a length asks for.
    #[error("H.264 or H.265 data ends early: {needed} bytes needed at offset {offset}, {got} left")]
    Truncated {
        /// Where the read began, in bytes.
        offset: usize,
        /// Bytes that the field asks for.
        needed: usize,
        /// Bytes that are left.
        got: usize,
    },
    /// `configurationVersion` is not 1.
    #[error("avcC version {0}, expected 1")]
    Version(u8),
    /// The record is larger than [`CONFIG_BYTES_MAX`].
    #[error("avcC has {got} bytes, at most {max} are taken")]
    ConfigTooLong {
        /// Size of the record.
        got: usize,
        /// [`CONFIG_BYTES_MAX`].
        max: usize,
    },
    /// NAL length fields of a size that the standard does not know (1, 2 and 4 are allowed).
    #[error("NAL length fields of {0} bytes, expected 1, 2 or 4")]
    LengthSize(u8),
    /// A parameter set of another type than its list is for.
    #[error("parameter set at offset {offset} has NAL type {got}, expected {expected}")]
    NalType {
        /// Where the NAL unit begins in the record.
        offset: usize,
        /// The type of the list.
        expected: u8,
        /// The type that was found.
        got: u8,
    },
    /// The record holds no sequence parameter set.
    #[error("avcC holds no sequence parameter set")]
    NoSps,
    /// The sequence parameter set does not parse.
    #[error("sequence parameter set does not parse: {0}")]
    Sps(String),
    /// Picture size of zero or beyond [`SIDE_PIXELS_MAX`].
    #[error("picture of {width}x{height} pixels, each side must be within 1..={max}", max = SIDE_PIXELS_MAX)]
    Size {
        /// After cropping, in pixels.
        width: u32,
        /// After cropping, in pixels.
        height: u32,
    },
    /// More parameter sets than the count of a record can state.
    #[error("{got} parameter sets of NAL type {nal_type}, a record takes {max}")]
    TooManySets {
        /// [`NAL_SPS`] or [`NAL_PPS`].
        nal_type: u8,
        /// How many there are.
        got: usize,
        /// How many fit.
        max: usize,
    },
    /// A payload without any byte.
    #[error("empty H.264 or H.265 payload")]
    Empty,
}

/// Reads an `AVCDecoderConfigurationRecord`. `config` of the result is `avcc` itself, not a copy.
///
/// Size and codec string come from the first SPS, so they match what a decoder will see.
///
/// # Errors
///
/// Any [`AvcError`] but [`AvcError::Empty`]; the track cannot be published.
///
/// Spec: ISO/IEC 14496-15 §5.3.3.1, RFC 6381 §3.3.
pub fn parse_config(avcc: &Bytes) -> Result<VideoParams, AvcError> {
    nal_length_size(avcc)?;
    let sets = parameter_sets(avcc)?;
    let nal = sets.sps.first().ok_or(AvcError::NoSps)?;
    let &[_, profile, constraints, level, ..] = &nal[..] else {
        return Err(AvcError::Truncated { offset: 0, needed: 4, got: nal.len() });
    };
    let sps = parse_sps(nal)?;
    let (width, height) = sps.pixel_dimensions().map_err(|e| AvcError::Sps(format!("{e:?}")))?;
    let sides = 1..=SIDE_PIXELS_MAX;
    if !sides.contains(&width) || !sides.contains(&height) {
        return Err(AvcError::Size { width, height });
    }
    Ok(VideoParams {
        codec: VideoCodec::Avc,
        config: avcc.clone(),
        width,
        height,
        frame_rate: frame_rate(&sps),
        range: range(&sps),
        rfc6381: format!("avc1.{profile:02x}{constraints:02x}{level:02x}"),
    })
}

/// Trailing zero bytes, which some encoders leave behind the SPS, are not part of it.
fn parse_sps(nal: &[u8]) -> Result<SeqParameterSet, AvcError> {
    let end = nal.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
    let nal = nal.get(..end).unwrap_or_default();
    SeqParameterSet::from_bits(RefNal::new(nal, &[], true).rbsp_bits())
        .map_err(|e| AvcError::Sps(format!("{e:?}")))
}

/// Width and height of one pixel, in a unit of its own; `None` where the first SPS tells none.
///
/// Spec: ISO/IEC 14496-10 §E.2.1, `aspect_ratio_idc`.
#[must_use]
pub fn pixel_aspect(avcc: &Bytes) -> Option<(u16, u16)> {
    let sps = parse_sps(parameter_sets(avcc).ok()?.sps.first()?).ok()?;
    sps.vui_parameters?.aspect_ratio_info?.get()
}

/// One frame is two ticks of the VUI clock (ISO/IEC 14496-10 §E.2.1, `num_units_in_tick`).
fn frame_rate(sps: &SeqParameterSet) -> Option<FrameRate> {
    let timing = sps.vui_parameters.as_ref()?.timing_info.as_ref()?;
    sane_rate(timing.time_scale, timing.num_units_in_tick.checked_mul(2)?)
}

/// `transfer_characteristics` (ISO/IEC 14496-10 §E.2.1).
fn range(sps: &SeqParameterSet) -> VideoRange {
    let signal = sps.vui_parameters.as_ref().and_then(|vui| vui.video_signal_type.as_ref());
    let colour = signal.and_then(|signal| signal.colour_description.as_ref());
    colour.map_or(VideoRange::Sdr, |c| VideoRange::from_transfer(c.transfer_characteristics))
}

/// The rate, unless it is below one frame per second or above [`FPS_MAX`].
pub(crate) fn sane_rate(num: u32, den: u32) -> Option<FrameRate> {
    let sane = den > 0 && num >= den && u64::from(num) <= u64::from(den) * FPS_MAX;
    sane.then_some(FrameRate { num, den })
}

/// Bytes in the length field before each NAL unit of the payloads that belong to this record: 1, 2 or 4.
///
/// # Errors
///
/// [`AvcError::Truncated`], [`AvcError::Version`], [`AvcError::LengthSize`] for the reserved value 3.
///
/// Spec: ISO/IEC 14496-15 §5.3.3.1.2, `lengthSizeMinusOne`.
pub fn nal_length_size(avcc: &[u8]) -> Result<u8, AvcError> {
    let Some(&[version, _, _, _, lengths, _]) = avcc.first_chunk::<RECORD_HEADER_LEN>() else {
        return Err(AvcError::Truncated { offset: 0, needed: RECORD_HEADER_LEN, got: avcc.len() });
    };
    match (version, (lengths & 3) + 1) {
        (1, 3) => Err(AvcError::LengthSize(3)),
        (1, size) => Ok(size),
        (version, _) => Err(AvcError::Version(version)),
    }
}

/// The record with its NAL length size set to 4 bytes, as every stored payload has it. Copies only when it
/// says something else.
#[must_use]
pub fn four_byte_config(avcc: &Bytes) -> Bytes {
    match avcc.get(4) {
        Some(&lengths) if lengths & 3 != 3 => {
            let mut record = avcc.to_vec();
            if let Some(lengths) = record.get_mut(4) {
                *lengths |= 3;
            }
            record.into()
        }
        _ => avcc.clone(),
    }
}

/// Parameter sets of a configuration record: whole NAL units without length or start code, zero-copy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParameterSets {
    /// Sequence parameter sets, at most 31.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets, at most 255; may be empty when the stream carries them in band.
    pub pps: Vec<Bytes>,
}

/// Lists the parameter sets of a record.
///
/// # Errors
///
/// [`AvcError::ConfigTooLong`], [`AvcError::Truncated`], [`AvcError::NalType`].
///
/// Spec: ISO/IEC 14496-15 §5.3.3.1.2.
pub fn parameter_sets(avcc: &Bytes) -> Result<ParameterSets, AvcError> {
    if avcc.len() > CONFIG_BYTES_MAX {
        return Err(AvcError::ConfigTooLong { got: avcc.len(), max: CONFIG_BYTES_MAX });
    }
    let mut at = RECORD_HEADER_LEN - 1;
    let count = field(avcc, &mut at, 1)? & 0x1f;
    let sps = list(avcc, &mut at, count, NAL_SPS)?;
    let count = field(avcc, &mut at, 1)?;
    let pps = list(avcc, &mut at, count, NAL_PPS)?;
    Ok(ParameterSets { sps, pps })
}

fn list(avcc: &Bytes, at: &mut usize, count: usize, expected: u8) -> Result<Vec<Bytes>, AvcError> {
    let mut sets = Vec::with_capacity(count);
    for _ in 0..count {
        let len = field(avcc, at, 2)?;
        let offset = *at;
        let nal = avcc.get(offset..offset + len);
        let nal =
            nal.ok_or(AvcError::Truncated { offset, needed: len, got: avcc.len().saturating_sub(offset) })?;
        let got = nal_type(nal);
        if got != expected {
            return Err(AvcError::NalType { offset, expected, got });
        }
        sets.push(avcc.slice_ref(nal));
        *at = offset + len;
    }
    Ok(sets)
}

/// Big-endian number of `len` bytes (at most 4) at `at`, which moves behind it.
fn field(data: &[u8], at: &mut usize, len: usize) -> Result<usize, AvcError> {
    let rest = data.get(*at..).unwrap_or_default();
    let bytes = rest.get(..len).ok_or(AvcError::Truncated { offset: *at, needed: len, got: rest.len() })?;
    *at += len;
    Ok(bytes.iter().fold(0, |value, &b| (value << 8) | usize::from(b)))
}

/// `nal_unit_type` of a NAL unit; 0 (unspecified) for an empty slice.
#[must_use]
pub fn nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| header & 0x1f)
}

/// NAL units of a payload with 4-byte lengths, in order. Skips empty units; stops at the first length that
/// reaches past the end. Use [`check`] to learn whether there is one.
pub fn nals(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        loop {
            let (length, tail) = rest.split_first_chunk::<4>()?;
            let (nal, tail) = tail.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
            rest = tail;
            if !nal.is_empty() {
                return Some(nal);
            }
        }
    })
}

/// Whether the access unit has a slice of an IDR picture. `payload` has 4-byte lengths.
#[must_use]
pub fn is_idr(payload: &[u8]) -> bool {
    nals(payload).any(|nal| nal_type(nal) == NAL_IDR)
}

/// Checks that the 4-byte lengths of `payload` add up to exactly its size.
///
/// # Errors
///
/// [`AvcError::Empty`] without any byte, [`AvcError::Truncated`] with the offset of the bad length.
pub fn check(payload: &[u8]) -> Result<(), AvcError> {
    walk(payload, 4, |_| ())
}

/// Rewrites a payload whose NAL lengths have `length_size` bytes (see [`nal_length_size`]) to 4-byte
/// lengths. With 4 it only checks and hands out the same bytes.
///
/// # Errors
///
/// As [`check`], and [`AvcError::LengthSize`] when `length_size` is not 1, 2 or 4.
pub fn to_four_byte_lengths(payload: &Bytes, length_size: u8) -> Result<Bytes, AvcError> {
    if length_size == 4 {
        check(payload)?;
        return Ok(payload.clone());
    }
    if !matches!(length_size, 1 | 2) {
        return Err(AvcError::LengthSize(length_size));
    }
    let (mut count, size) = (0, usize::from(length_size));
    walk(payload, size, |_| count += 1)?;
    let mut out = BytesMut::with_capacity(payload.len() + count * (4 - size));
    walk(payload, size, |nal| {
        // A 1- or 2-byte length cannot exceed 65 535.
        out.put_u32(u32::try_from(nal.len()).unwrap_or(u32::MAX));
        out.extend_from_slice(nal);
    })?;
    Ok(out.freeze())
}

fn walk<'a>(payload: &'a [u8], length_size: usize, mut each: impl FnMut(&'a [u8])) -> Result<(), AvcError> {
    if payload.is_empty() {
        return Err(AvcError::Empty);
    }
    let mut at = 0;
    while at < payload.len() {
        let start = at;
        let needed = field(payload, &mut at, length_size)?;
        let rest = payload.get(at..).unwrap_or_default();
        let got = rest.len();
        each(rest.get(..needed).ok_or(AvcError::Truncated { offset: start, needed, got })?);
        at += needed;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
