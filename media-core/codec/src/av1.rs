//! AV1: the configuration record (`av1C`), its sequence header, and what a temporal unit says about itself.
//!
//! Spec: AV1 Bitstream & Decoding Process Specification §5.3 (OBUs), §5.5 (sequence header), §5.9 (frame
//! header); AV1 Codec ISO Media File Format Binding §2.3 (record), §5 (codec string).

mod sequence;

use bytes::{Bytes, BytesMut};
use nx_media::{VideoCodec, VideoParams};

use crate::bits::Bits;
use sequence::Sequence;

/// Longest configuration record that [`parse_config`] takes, in bytes.
pub const CONFIG_BYTES_MAX: usize = 16 * 1024;
/// Bytes in front of the OBUs of the record.
const RECORD_HEADER_LEN: usize = 4;
/// `marker` and `version` of the record.
const MARKER_VERSION: u8 = 0x81;

const OBU_SEQUENCE_HEADER: u8 = 1;
const OBU_TEMPORAL_DELIMITER: u8 = 2;
const OBU_FRAME_HEADER: u8 = 3;
const OBU_FRAME: u8 = 6;

/// The record is not AV1 as the ISO binding wraps it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Av1Error {
    /// Fewer bytes than the fixed fields of the record.
    #[error("av1C of {got} bytes, at least {needed} are needed")]
    Truncated {
        /// Size of the fixed fields.
        needed: usize,
        /// Size of the record.
        got: usize,
    },
    /// The record is larger than [`CONFIG_BYTES_MAX`].
    #[error("av1C has {got} bytes, at most {max} are taken")]
    ConfigTooLong {
        /// Size of the record.
        got: usize,
        /// [`CONFIG_BYTES_MAX`].
        max: usize,
    },
    /// Marker bit and version are not 1 and 1.
    #[error("av1C begins with {0:#04x}, expected 0x81 (marker and version 1)")]
    Version(u8),
    /// The record holds no sequence header.
    #[error("av1C holds no sequence header OBU; the encoder has to put it there")]
    NoSequenceHeader,
    /// The sequence header does not parse.
    #[error("sequence header ends inside the field at bit {bit}")]
    SequenceHeader {
        /// Where the field begins, in bits.
        bit: usize,
    },
}

/// Reads an `AV1CodecConfigurationRecord`. `config` of the result is `av1c` itself, not a copy. Size and frame
/// rate come from the sequence header inside; the codec string is the short form.
///
/// # Errors
///
/// Any [`Av1Error`]; the track cannot be published.
///
/// Spec: AV1 in ISO BMFF §2.3.3, §5.
pub fn parse_config(av1c: &Bytes) -> Result<VideoParams, Av1Error> {
    if av1c.len() > CONFIG_BYTES_MAX {
        return Err(Av1Error::ConfigTooLong { got: av1c.len(), max: CONFIG_BYTES_MAX });
    }
    let Some((&[version, profile_level, format, _], obus)) = av1c.split_first_chunk::<RECORD_HEADER_LEN>()
    else {
        return Err(Av1Error::Truncated { needed: RECORD_HEADER_LEN, got: av1c.len() });
    };
    if version != MARKER_VERSION {
        return Err(Av1Error::Version(version));
    }
    let header = Obus(obus).find(|obu| obu.kind == OBU_SEQUENCE_HEADER).ok_or(Av1Error::NoSequenceHeader)?;
    let sequence = Sequence::parse(header.payload)?;
    let (profile, level) = (profile_level >> 5, profile_level & 0x1f);
    let tier = if format & 0x80 == 0 { 'M' } else { 'H' };
    let depth = match (profile, format & 0x40 != 0, format & 0x20 != 0) {
        (2, true, true) => 12,
        (_, true, _) => 10,
        _ => 8,
    };
    Ok(VideoParams {
        codec: VideoCodec::Av1,
        config: av1c.clone(),
        width: sequence.width,
        height: sequence.height,
        frame_rate: sequence.frame_rate,
        range: sequence.range,
        rfc6381: format!("av01.{profile}.{level:02}{tier}.{depth:02}"),
    })
}

/// The record with the sequence header that the beginning of a temporal unit brings; `None` when it brings none.
#[must_use]
pub fn with_sequence_header(av1c: &[u8], payload: &[u8]) -> Option<Bytes> {
    let mut rest = payload;
    while let Some((obu, tail)) = split(rest) {
        let unit = rest.get(..rest.len() - tail.len())?;
        if obu.kind == OBU_SEQUENCE_HEADER && unit.first()? & 2 != 0 {
            return Some([av1c.get(..RECORD_HEADER_LEN)?, unit].concat().into());
        }
        rest = tail;
    }
    None
}

/// The record of a stream in the main profile, from a temporal unit that has the sequence header in it.
///
/// Spec: AV1 in ISO BMFF §2.3.3; AV1 §6.4.1 (main profile: 4:2:0).
#[must_use]
pub fn config_from_key(payload: &[u8]) -> Option<Bytes> {
    let header = Obus(payload).find(|obu| obu.kind == OBU_SEQUENCE_HEADER)?;
    let sequence = Sequence::parse(header.payload).ok().filter(|sequence| sequence.profile == 0)?;
    // seq_tier, high_bitdepth, 4:2:0.
    let format = u8::from(sequence.high_tier) << 7 | u8::from(sequence.deep) << 6 | 0b1100;
    with_sequence_header(&[MARKER_VERSION, sequence.level, format, 0], payload)
}

/// Whether decoding can start at this temporal unit: its first frame is a key frame that is shown. The frame
/// header decides, because encoders may repeat the sequence header anywhere; a sequence header of still
/// pictures, whose frames have no type, is taken for a key frame.
///
/// Spec: AV1 in ISO BMFF §2.4 (sync samples), AV1 §5.9.2.
#[must_use]
pub fn is_key(payload: &[u8]) -> bool {
    for obu in Obus(payload) {
        match obu.kind {
            // reduced_still_picture_header, behind the profile and still_picture.
            OBU_SEQUENCE_HEADER if obu.payload.first().is_some_and(|b| b & 0x08 != 0) => return true,
            OBU_FRAME | OBU_FRAME_HEADER => {
                // show_existing_frame 0, frame_type KEY_FRAME, show_frame 1.
                return obu.payload.first().is_some_and(|b| b >> 4 == 1);
            }
            _ => (),
        }
    }
    false
}

/// The temporal unit without temporal delimiters, which files and segments do not carry. Copies only when one
/// stands behind another OBU.
///
/// Spec: AV1 in ISO BMFF §2.4.
#[must_use]
pub fn strip_temporal_delimiters(payload: &Bytes) -> Bytes {
    let mut rest: &[u8] = payload;
    while let Some((obu, tail)) = split(rest)
        && obu.kind == OBU_TEMPORAL_DELIMITER
    {
        rest = tail;
    }
    if Obus(rest).all(|obu| obu.kind != OBU_TEMPORAL_DELIMITER) {
        return payload.slice_ref(rest);
    }
    let mut out = BytesMut::with_capacity(rest.len());
    while let Some((obu, tail)) = split(rest) {
        if obu.kind != OBU_TEMPORAL_DELIMITER {
            out.extend_from_slice(rest.get(..rest.len() - tail.len()).unwrap_or_default());
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.freeze()
}

/// An open bitstream unit.
struct Obu<'a> {
    kind: u8,
    payload: &'a [u8],
}

/// The units in a row; ends at the first that does not parse.
struct Obus<'a>(&'a [u8]);

impl<'a> Iterator for Obus<'a> {
    type Item = Obu<'a>;

    fn next(&mut self) -> Option<Obu<'a>> {
        let (obu, tail) = split(self.0)?;
        self.0 = tail;
        Some(obu)
    }
}

/// The first unit and what follows it; a unit that does not state its size reaches to the end.
///
/// Spec: AV1 §5.3.
fn split(data: &[u8]) -> Option<(Obu<'_>, &[u8])> {
    let (&header, mut rest) = data.split_first()?;
    let (forbidden, extended, sized) = (header & 0x80 != 0, header & 4 != 0, header & 2 != 0);
    if forbidden {
        return None;
    }
    if extended {
        rest = rest.split_first()?.1;
    }
    let len = if sized { leb128(&mut rest)? } else { rest.len() };
    let (payload, tail) = rest.split_at_checked(len)?;
    Some((Obu { kind: (header >> 3) & 0xf, payload }, tail))
}

/// Spec: AV1 §4.10.5.
fn leb128(data: &mut &[u8]) -> Option<usize> {
    let mut value = 0u64;
    for shift in 0..8 {
        let (&byte, tail) = data.split_first()?;
        *data = tail;
        value |= u64::from(byte & 0x7f) << (7 * shift);
        if byte & 0x80 == 0 {
            return usize::try_from(value).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests;
