//! Picture size and scan of an H.264 sequence parameter set (ITU-T H.264 §7.3.2.1.1).

use super::bits::Bits;

/// What an H.264 sequence parameter set says about pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    /// In pixels, cropping taken off.
    pub width: u32,
    /// In pixels, cropping taken off.
    pub height: u32,
    /// False when fields or pairs of them may be coded (`frame_mbs_only_flag` is 0).
    pub progressive: bool,
}

/// Profiles with `chroma_format_idc` and scaling lists.
const HIGH: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Reads a NAL unit with its header; `None` when it ends early or is out of range.
pub(crate) fn picture(nal: &[u8]) -> Option<Picture> {
    let plain = unescape(nal.get(1..)?);
    let mut bits = Bits::new(&plain);
    let profile = bits.take(8)?;
    bits.skip(16)?;
    bits.ue()?;
    let chroma = if HIGH.contains(&profile) { high(&mut bits)? } else { 1 };
    bits.ue()?;
    match bits.ue()? {
        0 => {
            bits.ue()?;
        }
        1 => {
            bits.skip(1)?;
            bits.se()?;
            bits.se()?;
            for _ in 0..bits.ue()?.min(256) {
                bits.se()?;
            }
        }
        _ => {}
    }
    bits.ue()?;
    bits.skip(1)?;
    let (columns, rows) = (u64::from(bits.ue()?) + 1, u64::from(bits.ue()?) + 1);
    let progressive = bits.bit()?;
    if !progressive {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    let rows = if progressive { rows } else { rows * 2 };
    let (mut width, mut height) = (columns * 16, rows * 16);
    if bits.bit()? {
        let across = if matches!(chroma, 1 | 2) { 2 } else { 1 };
        let down = if chroma == 1 { 2 } else { 1 } * if progressive { 1 } else { 2 };
        let mut crop = || bits.ue().map(u64::from);
        width = width.checked_sub(across * (crop()? + crop()?))?;
        height = height.checked_sub(down * (crop()? + crop()?))?;
    }
    Some(Picture { width: width.try_into().ok()?, height: height.try_into().ok()?, progressive })
}

/// The fields of the high profiles; gives `chroma_format_idc`.
fn high(bits: &mut Bits<'_>) -> Option<u32> {
    let chroma = bits.ue()?;
    if chroma == 3 {
        bits.skip(1)?;
    }
    bits.ue()?;
    bits.ue()?;
    bits.skip(1)?;
    if bits.bit()? {
        for list in 0..if chroma == 3 { 12 } else { 8 } {
            if bits.bit()? {
                scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(chroma)
}

fn scaling_list(bits: &mut Bits<'_>, len: usize) -> Option<()> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..len {
        if next != 0 {
            next = (last + bits.se()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// Without emulation prevention bytes (§7.4.1.1).
fn unescape(nal: &[u8]) -> Vec<u8> {
    let mut plain: Vec<u8> = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        plain.push(byte);
    }
    plain
}
