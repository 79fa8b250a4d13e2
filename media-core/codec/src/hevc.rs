//! H.265: the decoder configuration record (`hvcC`) and what NAL units say about themselves.
//!
//! Payloads have NAL length fields as with H.264: the functions for them are those of [`avc`](crate::avc).
//!
//! Spec: ISO/IEC 14496-15 §8.3.3 (record), annex E (codec string), ISO/IEC 23008-2 §7.3 (NAL units, SPS).

mod sps;

use bytes::Bytes;
use nx_media::{VideoCodec, VideoParams};

pub use crate::avc::{check, nals, to_four_byte_lengths};
pub(crate) use sps::Sps;

/// Longest configuration record that [`parse_config`] takes, in bytes.
pub const CONFIG_BYTES_MAX: usize = crate::avc::CONFIG_BYTES_MAX;
/// Widest and highest picture that [`parse_config`] takes, in pixels: the limit of level 6.2
/// (ISO/IEC 23008-2 §A.4.1).
pub const SIDE_PIXELS_MAX: u32 = 16_888;
/// Bytes in front of the first array of NAL units.
const RECORD_HEADER_LEN: usize = 23;
/// The byte with `lengthSizeMinusOne`.
const LENGTH_SIZE_AT: usize = 21;

/// `nal_unit_type` of a video parameter set.
pub const NAL_VPS: u8 = 32;
/// `nal_unit_type` of a sequence parameter set.
pub const NAL_SPS: u8 = 33;
/// `nal_unit_type` of a picture parameter set.
pub const NAL_PPS: u8 = 34;
/// `nal_unit_type` of an access unit delimiter.
pub const NAL_AUD: u8 = 35;
/// `nal_unit_type` of a prefix SEI message.
pub const NAL_SEI_PREFIX: u8 = 39;

/// The record or a parameter set is not H.265 as ISO/IEC 14496-15 wraps it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HevcError {
    /// Fewer bytes than a field or a length asks for.
    #[error("hvcC ends early: {needed} bytes needed at offset {offset}, {got} left")]
    Truncated {
        /// Where the read began, in bytes.
        offset: usize,
        /// Bytes that the field asks for.
        needed: usize,
        /// Bytes that are left.
        got: usize,
    },
    /// `configurationVersion` is not 1.
    #[error("hvcC version {0}, expected 1")]
    Version(u8),
    /// The record is larger than [`CONFIG_BYTES_MAX`].
    #[error("hvcC has {got} bytes, at most {max} are taken")]
    ConfigTooLong {
        /// Size of the record.
        got: usize,
        /// [`CONFIG_BYTES_MAX`].
        max: usize,
    },
    /// NAL length fields of a size that the standard does not know (1, 2 and 4 are allowed).
    #[error("NAL length fields of {0} bytes, expected 1, 2 or 4")]
    LengthSize(u8),
    /// A parameter set of another type than its array is for.
    #[error("parameter set at offset {offset} has NAL type {got}, expected {expected}")]
    NalType {
        /// Where the NAL unit begins in the record; 0 for a set given on its own.
        offset: usize,
        /// The type of the array.
        expected: u8,
        /// The type that was found.
        got: u8,
    },
    /// The record holds no sequence parameter set.
    #[error("hvcC holds no sequence parameter set")]
    NoSps,
    /// The sequence parameter set does not parse.
    #[error("sequence parameter set ends inside the field at bit {bit}, or that field has a reserved value")]
    Sps {
        /// Where the field ends or begins in the unescaped NAL unit, in bits.
        bit: usize,
    },
    /// Picture size of zero or beyond [`SIDE_PIXELS_MAX`].
    #[error("picture of {width}x{height} pixels, each side must be within 1..={max}", max = SIDE_PIXELS_MAX)]
    Size {
        /// After cropping, in pixels.
        width: u32,
        /// After cropping, in pixels.
        height: u32,
    },
}

/// Reads an `HEVCDecoderConfigurationRecord`. `config` of the result is `hvcc` itself, not a copy.
///
/// Size and codec string come from the first SPS, so they match what a decoder will see.
///
/// # Errors
///
/// Any [`HevcError`]; the track cannot be published.
///
/// Spec: ISO/IEC 14496-15 §8.3.3.1, annex E.
pub fn parse_config(hvcc: &Bytes) -> Result<VideoParams, HevcError> {
    nal_length_size(hvcc)?;
    let sets = parameter_sets(hvcc)?;
    let sps = Sps::parse(sets.sps.first().ok_or(HevcError::NoSps)?)?;
    let sides = 1..=SIDE_PIXELS_MAX;
    let (width, height) = (sps.width, sps.height);
    if !sides.contains(&width) || !sides.contains(&height) {
        return Err(HevcError::Size { width, height });
    }
    Ok(VideoParams {
        codec: VideoCodec::Hevc,
        config: hvcc.clone(),
        width,
        height,
        frame_rate: sps.frame_rate,
        range: sps.range,
        rfc6381: codec_string(&sps.profile_tier_level),
    })
}

/// Spec: ISO/IEC 14496-15 §E.3.
fn codec_string(general: &[u8; 12]) -> String {
    let &[profile, c0, c1, c2, c3, ref constraints @ .., level] = general;
    let space = ["", "A", "B", "C"].get(usize::from(profile >> 6)).copied().unwrap_or_default();
    let compatible = u32::from_be_bytes([c0, c1, c2, c3]).reverse_bits();
    let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
    let mut codec = format!("hvc1.{space}{}.{compatible:X}.{tier}{level}", profile & 0x1f);
    for byte in crate::annexb::trim(constraints) {
        codec.push_str(&format!(".{byte:X}"));
    }
    codec
}

/// Bytes in the length field before each NAL unit of the payloads that belong to this record: 1, 2 or 4.
///
/// # Errors
///
/// [`HevcError::Truncated`], [`HevcError::Version`], [`HevcError::LengthSize`] for the reserved value 3.
///
/// Spec: ISO/IEC 14496-15 §8.3.3.1.2, `lengthSizeMinusOne`.
pub fn nal_length_size(hvcc: &[u8]) -> Result<u8, HevcError> {
    let Some(&[version, .., lengths, _]) = hvcc.first_chunk::<RECORD_HEADER_LEN>() else {
        return Err(HevcError::Truncated { offset: 0, needed: RECORD_HEADER_LEN, got: hvcc.len() });
    };
    match (version, (lengths & 3) + 1) {
        (1, 3) => Err(HevcError::LengthSize(3)),
        (1, size) => Ok(size),
        (version, _) => Err(HevcError::Version(version)),
    }
}

/// The record with its NAL length size set to 4 bytes, as every stored payload has it. Copies only when it
/// says something else.
#[must_use]
pub fn four_byte_config(hvcc: &Bytes) -> Bytes {
    match hvcc.get(LENGTH_SIZE_AT) {
        Some(&lengths) if lengths & 3 != 3 => {
            let mut record = hvcc.to_vec();
            if let Some(lengths) = record.get_mut(LENGTH_SIZE_AT) {
                *lengths |= 3;
            }
            record.into()
        }
        _ => hvcc.clone(),
    }
}

/// Parameter sets of a configuration record: whole NAL units without length or start code, zero-copy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParameterSets {
    /// Video parameter sets.
    pub vps: Vec<Bytes>,
    /// Sequence parameter sets.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets.
    pub pps: Vec<Bytes>,
}

/// Lists the parameter sets of a record; what else it holds, such as SEI, is passed over.
///
/// # Errors
///
/// [`HevcError::ConfigTooLong`], [`HevcError::Truncated`], [`HevcError::NalType`].
///
/// Spec: ISO/IEC 14496-15 §8.3.3.1.2.
pub fn parameter_sets(hvcc: &Bytes) -> Result<ParameterSets, HevcError> {
    if hvcc.len() > CONFIG_BYTES_MAX {
        return Err(HevcError::ConfigTooLong { got: hvcc.len(), max: CONFIG_BYTES_MAX });
    }
    let mut sets = ParameterSets::default();
    let mut at = RECORD_HEADER_LEN - 1;
    for _ in 0..number(hvcc, &mut at, 1)? {
        let array = number(hvcc, &mut at, 1)? & 0x3f;
        for _ in 0..number(hvcc, &mut at, 2)? {
            let len = number(hvcc, &mut at, 2)?;
            let offset = at;
            let nal = bytes(hvcc, &mut at, len)?;
            let (list, expected) = match u8::try_from(array) {
                Ok(NAL_VPS) => (&mut sets.vps, NAL_VPS),
                Ok(NAL_SPS) => (&mut sets.sps, NAL_SPS),
                Ok(NAL_PPS) => (&mut sets.pps, NAL_PPS),
                _ => continue,
            };
            expect_type(nal, expected, offset)?;
            list.push(hvcc.slice_ref(nal));
        }
    }
    Ok(sets)
}

/// Builds the record of a stream that carries its parameter sets in band, with 4-byte NAL lengths. The first
/// SPS says profile, level and format.
///
/// # Errors
///
/// [`HevcError::NoSps`], [`HevcError::NalType`] for a set in the wrong list, [`HevcError::Sps`],
/// [`HevcError::ConfigTooLong`].
///
/// Spec: ISO/IEC 14496-15 §8.3.3.1.
pub fn config_from_sets(vps: &[Bytes], sps: &[Bytes], pps: &[Bytes]) -> Result<Bytes, HevcError> {
    let head = Sps::parse(sps.first().ok_or(HevcError::NoSps)?)?;
    let arrays = [(NAL_VPS, vps), (NAL_SPS, sps), (NAL_PPS, pps)];
    let body: usize = arrays.iter().flat_map(|(_, list)| *list).map(|nal| nal.len() + 2).sum();
    let len = RECORD_HEADER_LEN + body + 3 * arrays.iter().filter(|(_, list)| !list.is_empty()).count();
    if len > CONFIG_BYTES_MAX {
        return Err(HevcError::ConfigTooLong { got: len, max: CONFIG_BYTES_MAX });
    }
    let mut out = Vec::with_capacity(len);
    out.push(1);
    out.extend_from_slice(&head.profile_tier_level);
    // Segmentation, parallelism and the frame rate are not known.
    out.extend_from_slice(&[0xf0, 0, 0xfc, 0xfc | head.chroma_format]);
    out.extend_from_slice(&[0xf8 | head.luma_depth_minus8, 0xf8 | head.chroma_depth_minus8, 0, 0]);
    out.push(((head.sub_layers_minus1 + 1) << 3) | (u8::from(head.temporal_nesting) << 2) | 3);
    out.push(arrays.iter().map(|(_, list)| u8::from(!list.is_empty())).sum());
    for (kind, list) in arrays {
        if list.is_empty() {
            continue;
        }
        // All sets of this type are here.
        out.push(0x80 | kind);
        // Counts and sizes are below CONFIG_BYTES_MAX.
        out.extend_from_slice(&u16::try_from(list.len()).unwrap_or(u16::MAX).to_be_bytes());
        for nal in list {
            expect_type(nal, kind, 0)?;
            out.extend_from_slice(&u16::try_from(nal.len()).unwrap_or(u16::MAX).to_be_bytes());
            out.extend_from_slice(nal);
        }
    }
    Ok(out.into())
}

fn expect_type(nal: &[u8], expected: u8, offset: usize) -> Result<(), HevcError> {
    match nal_type(nal) {
        got if got == expected => Ok(()),
        got => Err(HevcError::NalType { offset, expected, got }),
    }
}

/// Big-endian number of `len` bytes (at most 2) at `at`, which moves behind it.
fn number(data: &[u8], at: &mut usize, len: usize) -> Result<usize, HevcError> {
    Ok(bytes(data, at, len)?.iter().fold(0, |value, &b| (value << 8) | usize::from(b)))
}

/// The next `len` bytes at `at`, which moves behind them.
fn bytes<'a>(data: &'a [u8], at: &mut usize, len: usize) -> Result<&'a [u8], HevcError> {
    let rest = data.get(*at..).unwrap_or_default();
    let found = rest.get(..len).ok_or(HevcError::Truncated { offset: *at, needed: len, got: rest.len() })?;
    *at += len;
    Ok(found)
}

/// `nal_unit_type` of a NAL unit; 63 (unspecified) for an empty slice.
///
/// Spec: ISO/IEC 23008-2 §7.3.1.2.
#[must_use]
pub fn nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(63, |header| (header >> 1) & 0x3f)
}

/// Whether the access unit has a slice of an intra random access point (IDR, CRA or BLA picture). `payload`
/// has 4-byte lengths.
#[must_use]
pub fn is_irap(payload: &[u8]) -> bool {
    nals(payload).any(|nal| is_irap_type(nal_type(nal)))
}

/// ISO/IEC 23008-2 table 7-1.
pub(crate) fn is_irap_type(nal_type: u8) -> bool {
    (16..24).contains(&nal_type)
}

#[cfg(test)]
mod tests;
