//! The configuration record of a stream that carries its parameter sets in band.

use bytes::Bytes;

use super::{AvcError, CONFIG_BYTES_MAX, NAL_PPS, NAL_SPS, RECORD_HEADER_LEN, nal_type, parse_sps};

/// Profiles whose records end at the parameter sets: Baseline, Main, Extended.
const PROFILES_WITHOUT_EXTENSION: [u8; 3] = [66, 77, 88];

/// Builds an `AVCDecoderConfigurationRecord` with 4-byte NAL lengths from whole NAL units. The first SPS says
/// profile, level and format.
///
/// # Errors
///
/// [`AvcError::NoSps`], [`AvcError::NalType`] for a set in the wrong list, [`AvcError::Sps`],
/// [`AvcError::TooManySets`], [`AvcError::ConfigTooLong`].
///
/// Spec: ISO/IEC 14496-15 §5.3.3.1.
pub fn config_from_sets(sps: &[Bytes], pps: &[Bytes]) -> Result<Bytes, AvcError> {
    let head = sps.first().ok_or(AvcError::NoSps)?;
    let &[_, profile, constraints, level, ..] = &head[..] else {
        return Err(AvcError::Truncated { offset: 0, needed: 4, got: head.len() });
    };
    let len = sps.iter().chain(pps).map(|nal| nal.len() + 2).sum::<usize>() + RECORD_HEADER_LEN + 5;
    if len > CONFIG_BYTES_MAX {
        return Err(AvcError::ConfigTooLong { got: len, max: CONFIG_BYTES_MAX });
    }
    let mut out = Vec::with_capacity(len);
    out.extend_from_slice(&[1, profile, constraints, level, 0xff]);
    out.push(0xe0 | count(sps, NAL_SPS, 31)?);
    put(&mut out, sps, NAL_SPS)?;
    out.push(count(pps, NAL_PPS, u8::MAX)?);
    put(&mut out, pps, NAL_PPS)?;
    if !PROFILES_WITHOUT_EXTENSION.contains(&profile) {
        let chroma = parse_sps(head)?.chroma_info;
        let idc = u8::try_from(chroma.chroma_format.to_u32()).unwrap_or_default();
        let depth = |minus8: u8| 0xf8 | (minus8 & 7);
        out.push(0xfc | (idc & 3));
        out.push(depth(chroma.bit_depth_luma_minus8));
        out.push(depth(chroma.bit_depth_chroma_minus8));
        // No SPS extensions.
        out.push(0);
    }
    Ok(out.into())
}

fn count(sets: &[Bytes], nal_type: u8, max: u8) -> Result<u8, AvcError> {
    let found = u8::try_from(sets.len()).ok().filter(|&n| n <= max);
    found.ok_or(AvcError::TooManySets { nal_type, got: sets.len(), max: usize::from(max) })
}

fn put(out: &mut Vec<u8>, sets: &[Bytes], expected: u8) -> Result<(), AvcError> {
    for nal in sets {
        let got = nal_type(nal);
        if got != expected {
            return Err(AvcError::NalType { offset: out.len(), expected, got });
        }
        // CONFIG_BYTES_MAX fits into 16 bits.
        out.extend_from_slice(&u16::try_from(nal.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(nal);
    }
    Ok(())
}
