//! How many bits an `AudioSpecificConfig` takes; LATM of version 0 puts it among other bits without a length.

use super::{AOT_PS, AOT_SBR, byte, object_type, rate};
use crate::bits::Bits;

/// Bits of a configuration of the object types that [`super::parse_config`] takes, without the signalling of
/// SBR that may follow it; `None` when it ends too early.
///
/// Spec: ISO/IEC 14496-3 §1.6.2.1, §4.4.1.
pub(super) fn config_bits(asc: &[u8]) -> Option<usize> {
    let mut bits = Bits::new(asc);
    let outer = object_type(&mut bits)?;
    rate(&mut bits)?;
    let channel_config = bits.take(4)?;
    if matches!(outer, AOT_SBR | AOT_PS) {
        rate(&mut bits)?;
        object_type(&mut bits)?;
    }
    bits.take(1)?;
    if bits.flag()? {
        bits.take(14)?;
    }
    let extension = bits.flag()?;
    if channel_config == 0 {
        program(&mut bits)?;
    }
    if extension {
        bits.take(1)?;
    }
    Some(bits.position())
}

/// Skips a `program_config_element` (§4.4.1.1).
fn program(bits: &mut Bits<'_>) -> Option<()> {
    bits.take(4 + 2 + 4)?;
    let pairs = bits.take(4)? + bits.take(4)? + bits.take(4)?;
    let (lfe, data, coupling) = (bits.take(2)?, bits.take(3)?, bits.take(4)?);
    for mixdown_bits in [4, 4, 3] {
        if bits.flag()? {
            bits.take(mixdown_bits)?;
        }
    }
    for _ in 0..pairs + coupling {
        bits.take(5)?;
    }
    for _ in 0..lfe + data {
        bits.take(4)?;
    }
    let to_byte = u32::try_from(bits.position().wrapping_neg() % 8).ok()?;
    bits.take(to_byte)?;
    for _ in 0..byte(bits, 8)? {
        bits.take(8)?;
    }
    Some(())
}
