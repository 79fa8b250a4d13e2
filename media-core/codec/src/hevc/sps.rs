//! The sequence parameter set of H.265, as far as a server needs it.
//!
//! Spec: ISO/IEC 23008-2 §7.3.2.2 (SPS), §7.3.3 (profile, tier and level), §7.3.4 (scaling lists),
//! §7.3.7 (reference picture sets), §E.2.1 (VUI).

use nx_media::{FrameRate, VideoRange};

use super::{HevcError, NAL_SPS, expect_type};
use crate::avc::sane_rate;
use crate::bits::{Bits, rbsp};

/// Bytes of the NAL unit header and the ids in front of `profile_tier_level`.
const HEADER_LEN: usize = 3;

/// What an SPS says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sps {
    /// `sps_seq_parameter_set_id`.
    pub(crate) id: u32,
    /// The general part: profile, compatibility and constraint flags, level.
    pub(super) profile_tier_level: [u8; 12],
    pub(super) sub_layers_minus1: u8,
    pub(super) temporal_nesting: bool,
    /// `chroma_format_idc`, at most 3.
    pub(super) chroma_format: u8,
    pub(super) luma_depth_minus8: u8,
    pub(super) chroma_depth_minus8: u8,
    /// In pixels, inside the conformance window.
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) frame_rate: Option<FrameRate>,
    pub(super) range: VideoRange,
}

impl Sps {
    /// Reads a whole NAL unit. What follows the bit depths may be damaged; then there is no frame rate.
    pub(crate) fn parse(nal: &[u8]) -> Result<Self, HevcError> {
        expect_type(nal, NAL_SPS, 0)?;
        let data = rbsp(nal);
        let mut bits = Bits::new(&data);
        let sps = Self::head(&data, &mut bits).ok_or(HevcError::Sps { bit: bits.position() })?;
        let mut range = VideoRange::Sdr;
        let frame_rate = vui(&mut bits, &sps, &mut range);
        Ok(Self { frame_rate, range, ..sps })
    }

    fn head(data: &[u8], bits: &mut Bits<'_>) -> Option<Self> {
        let &[.., ids] = data.first_chunk::<HEADER_LEN>()?;
        let sub_layers_minus1 = Some((ids >> 1) & 7).filter(|&n| n < 7)?;
        let profile_tier_level = *data.get(HEADER_LEN..)?.first_chunk()?;
        bits.skip((HEADER_LEN + 12) * 8)?;
        skip_sub_layers(bits, sub_layers_minus1)?;
        let id = bits.ue().filter(|&id| id < 16)?;
        let chroma_format = small(bits.ue()?, 3)?;
        if chroma_format == 3 {
            // separate_colour_plane_flag
            bits.skip(1)?;
        }
        let (mut width, mut height) = (bits.ue()?, bits.ue()?);
        if bits.flag()? {
            let [left, right, top, bottom] = [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?];
            let sub_width = if matches!(chroma_format, 1 | 2) { 2 } else { 1 };
            let sub_height = if chroma_format == 1 { 2 } else { 1 };
            width = width.checked_sub(left.checked_add(right)?.checked_mul(sub_width)?)?;
            height = height.checked_sub(top.checked_add(bottom)?.checked_mul(sub_height)?)?;
        }
        Some(Self {
            id,
            profile_tier_level,
            sub_layers_minus1,
            temporal_nesting: ids & 1 == 1,
            chroma_format,
            luma_depth_minus8: small(bits.ue()?, 8)? & 7,
            chroma_depth_minus8: small(bits.ue()?, 8)? & 7,
            width,
            height,
            frame_rate: None,
            range: VideoRange::Sdr,
        })
    }
}

/// `value` as a byte when it is at most `max`.
fn small(value: u32, max: u8) -> Option<u8> {
    u8::try_from(value).ok().filter(|&v| v <= max)
}

fn skip_sub_layers(bits: &mut Bits<'_>, count: u8) -> Option<()> {
    if count == 0 {
        return Some(());
    }
    let mut len = 0;
    for _ in 0..count {
        len += if bits.flag()? { 88 } else { 0 };
        len += if bits.flag()? { 8 } else { 0 };
    }
    bits.skip(2 * usize::from(8 - count) + len)
}

/// `vui_num_units_in_tick` and `vui_time_scale`; a tick is one picture. `bits` stand behind the bit depths.
/// `transfer_characteristics` on the way there go into `range`.
fn vui(bits: &mut Bits<'_>, sps: &Sps, range: &mut VideoRange) -> Option<FrameRate> {
    let poc_bits = bits.ue().filter(|&n| n <= 12)? + 4;
    let layers = if bits.flag()? { u32::from(sps.sub_layers_minus1) + 1 } else { 1 };
    // Buffering of each sub-layer; block sizes and depths.
    skip_ues(bits, 3 * layers + 6)?;
    if bits.flag()? && bits.flag()? {
        skip_scaling_lists(bits)?;
    }
    // Asymmetric partitions, sample adaptive offset.
    bits.skip(2)?;
    if bits.flag()? {
        // PCM: bit depths, block sizes, loop filter.
        bits.skip(8)?;
        skip_ues(bits, 2)?;
        bits.skip(1)?;
    }
    skip_reference_sets(bits)?;
    if bits.flag()? {
        let count = bits.ue().filter(|&n| n <= 32)?;
        bits.skip(usize::try_from(count * (poc_bits + 1)).ok()?)?;
    }
    // Temporal motion vectors, intra smoothing.
    bits.skip(2)?;
    if bits.flag()? { vui_timing(bits, range) } else { None }
}

fn skip_ues(bits: &mut Bits<'_>, count: u32) -> Option<()> {
    (0..count).try_for_each(|_| bits.ue().map(|_| ()))
}

fn skip_scaling_lists(bits: &mut Bits<'_>) -> Option<()> {
    for size in 0..4 {
        for _ in 0..if size == 3 { 2 } else { 6 } {
            let coefficients = 64.min(1 << (4 + 2 * size));
            let explicit = bits.flag()?;
            let count = if explicit { coefficients + u32::from(size > 1) } else { 1 };
            skip_ues(bits, count)?;
        }
    }
    Some(())
}

fn skip_reference_sets(bits: &mut Bits<'_>) -> Option<()> {
    let mut pictures = 0;
    for index in 0..bits.ue().filter(|&n| n <= 64)? {
        if index > 0 && bits.flag()? {
            // Predicted from the set before: sign and distance, then each of its pictures and itself.
            bits.skip(1)?;
            bits.ue()?;
            let mut kept = 0;
            for _ in 0..=pictures {
                kept += u32::from(bits.flag()? || bits.flag()?);
            }
            pictures = kept;
        } else {
            let (before, after) = (bits.ue()?, bits.ue()?);
            pictures = before.checked_add(after).filter(|&n| n <= 32)?;
            for _ in 0..pictures {
                bits.ue()?;
                bits.skip(1)?;
            }
        }
    }
    Some(())
}

fn vui_timing(bits: &mut Bits<'_>, range: &mut VideoRange) -> Option<FrameRate> {
    const EXTENDED_SAR: u32 = 255;
    if bits.flag()? && bits.take(8)? == EXTENDED_SAR {
        bits.skip(32)?;
    }
    if bits.flag()? {
        // overscan_appropriate_flag
        bits.skip(1)?;
    }
    if bits.flag()? {
        // Video format and range, then perhaps the colour description.
        bits.skip(4)?;
        if bits.flag()? {
            // Primaries, transfer, matrix.
            bits.skip(8)?;
            *range = VideoRange::from_transfer(u8::try_from(bits.take(8)?).ok()?);
            bits.skip(8)?;
        }
    }
    if bits.flag()? {
        // Chroma sample location.
        skip_ues(bits, 2)?;
    }
    // Neutral chroma, field sequence, frame field info.
    bits.skip(3)?;
    if bits.flag()? {
        // Default display window.
        skip_ues(bits, 4)?;
    }
    if !bits.flag()? {
        return None;
    }
    let (den, num) = (bits.take(32)?, bits.take(32)?);
    sane_rate(num, den)
}
