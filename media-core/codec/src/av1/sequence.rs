//! The sequence header of AV1, up to the picture size.
//!
//! Spec: AV1 §5.5.1 (sequence header), §5.5.3 (timing), §5.5.4 (decoder model), §5.5.5 (operating points).

use nx_media::FrameRate;

use super::{Av1Error, Bits};
use crate::avc::sane_rate;

pub(super) struct Sequence {
    /// Of the largest frame, in pixels; at least 1, at most 65 536.
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) frame_rate: Option<FrameRate>,
}

impl Sequence {
    /// Reads the payload of a sequence header OBU.
    pub(super) fn parse(payload: &[u8]) -> Result<Self, Av1Error> {
        let mut bits = Bits::new(payload);
        Self::read(&mut bits).ok_or(Av1Error::SequenceHeader { bit: bits.position() })
    }

    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        // Profile and still_picture.
        bits.skip(4)?;
        let mut frame_rate = None;
        if bits.flag()? {
            // Reduced header of a still picture: only the level.
            bits.skip(5)?;
        } else {
            frame_rate = operating_points(bits)?;
        }
        let (width_bits, height_bits) = (bits.take(4)? + 1, bits.take(4)? + 1);
        Some(Self { width: bits.take(width_bits)? + 1, height: bits.take(height_bits)? + 1, frame_rate })
    }
}

/// Timing, decoder model and operating points; the outer `None` when the header ends early.
fn operating_points(bits: &mut Bits<'_>) -> Option<Option<FrameRate>> {
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
    for _ in 0..=bits.take(5)? {
        bits.skip(12)?;
        if bits.take(5)? > 7 {
            // seq_tier
            bits.skip(1)?;
        }
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
    Some(frame_rate)
}
