//! The sequence header of AV1, up to the colours.
//!
//! Spec: AV1 §5.5.1 (sequence header), §5.5.3 (timing), §5.5.4 (decoder model), §5.5.5 (operating points),
//! §5.5.2 (colour config).

use nx_media::{FrameRate, VideoRange};

use super::{Av1Error, Bits};
use crate::avc::sane_rate;

pub(super) struct Sequence {
    /// `seq_profile`
    pub(super) profile: u32,
    /// Of the first operating point: `seq_level_idx` and `seq_tier`.
    pub(super) level: u8,
    pub(super) high_tier: bool,
    /// `high_bitdepth`
    pub(super) deep: bool,
    /// Of the largest frame, in pixels; at least 1, at most 65 536.
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) frame_rate: Option<FrameRate>,
    pub(super) range: VideoRange,
}

impl Sequence {
    /// Reads the payload of a sequence header OBU.
    pub(super) fn parse(payload: &[u8]) -> Result<Self, Av1Error> {
        let mut bits = Bits::new(payload);
        Self::read(&mut bits).ok_or(Av1Error::SequenceHeader { bit: bits.position() })
    }

    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        let profile = bits.take(3)?;
        // still_picture
        bits.skip(1)?;
        let reduced = bits.flag()?;
        // The reduced header of a still picture has only the level.
        let (frame_rate, (level, high_tier)) =
            if reduced { (None, (bits.take(5)?, false)) } else { operating_points(bits)? };
        let (width_bits, height_bits) = (bits.take(4)? + 1, bits.take(4)? + 1);
        let (width, height) = (bits.take(width_bits)? + 1, bits.take(height_bits)? + 1);
        // What follows may be damaged: then the range is the standard one.
        let deep = skip_tools(bits, reduced).and_then(|()| bits.flag());
        let transfer = deep.and_then(|deep| transfer(bits, profile, deep));
        let deep = deep.unwrap_or(false);
        let range = transfer.map_or(VideoRange::Sdr, VideoRange::from_transfer);
        let level = u8::try_from(level).ok()?;
        Some(Self { profile, level, high_tier, deep, width, height, frame_rate, range })
    }
}

/// Timing, decoder model and operating points: the frame rate, and level and tier of the first point. The outer
/// `None` when the header ends early.
fn operating_points(bits: &mut Bits<'_>) -> Option<(Option<FrameRate>, (u32, bool))> {
    let mut frame_rate = None;
    let mut delay_bits = None;
    if bits.flag()? {
        let (tick, time_scale) = (bits.take(32)?, bits.take(32)?);
        if bits.flag()? {
            let ticks = bits.ue()?.checked_add(1).and_then(|ticks| ticks.checked_mul(tick));
            frame_rate = ticks.and_then(|den| sane_rate(time_scale, den));
        }
        if bits.flag()? {
            delay_bits = Some(usize::try_from(bits.take(5)?).ok()? + 1);
            bits.skip(32 + 5 + 5)?;
        }
    }
    let display_delay = bits.flag()?;
    let mut first = None;
    for _ in 0..=bits.take(5)? {
        bits.skip(12)?;
        let level = bits.take(5)?;
        let high_tier = level > 7 && bits.flag()?;
        first = first.or(Some((level, high_tier)));
        if let Some(delay_bits) = delay_bits
            && bits.flag()?
        {
            // Decoder and encoder delay, low_delay_mode_flag.
            bits.skip(2 * delay_bits + 1)?;
        }
        if display_delay && bits.flag()? {
            bits.skip(4)?;
        }
    }
    Some((frame_rate, first?))
}

/// From the picture size to the colours: which coding tools are in use.
fn skip_tools(bits: &mut Bits<'_>, reduced: bool) -> Option<()> {
    if !reduced && bits.flag()? {
        // Lengths of frame ids.
        bits.skip(7)?;
    }
    // Superblock size, intra filter, intra edge filter.
    bits.skip(3)?;
    if !reduced {
        // Inter-intra and masked compound, warped motion, dual filter.
        bits.skip(4)?;
        let order_hint = bits.flag()?;
        if order_hint {
            // Joint compound, reference motion vectors.
            bits.skip(2)?;
        }
        let screen_content = bits.flag()? || bits.flag()?;
        if screen_content && !bits.flag()? {
            // seq_force_integer_mv
            bits.skip(1)?;
        }
        if order_hint {
            // order_hint_bits_minus_1
            bits.skip(3)?;
        }
    }
    // Super-resolution, CDEF, restoration.
    bits.skip(3)
}

/// `transfer_characteristics`, if there is a description of colours.
fn transfer(bits: &mut Bits<'_>, profile: u32, deep: bool) -> Option<u8> {
    if profile == 2 && deep {
        // twelve_bit
        bits.skip(1)?;
    }
    if profile != 1 {
        // mono_chrome
        bits.skip(1)?;
    }
    if !bits.flag()? {
        return None;
    }
    // Primaries.
    bits.skip(8)?;
    u8::try_from(bits.take(8)?).ok()
}
