//! Blocks: a header, and one frame or several in a lace.
//!
//! Spec: RFC 9559 §10.

use super::ebml::{ones, vint};

/// Bytes of a block that are looked at for its header; only laces of hundreds of frames have more.
pub(super) const HEADER_BYTES_MAX: usize = 64 << 10;

/// What a block's header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// Number of the track.
    pub(super) track: u64,
    /// Time in the cluster, in its ticks.
    pub(super) time: i16,
    /// As a simple block says it.
    pub(super) key: bool,
    /// Bytes of the header.
    pub(super) bytes: usize,
    /// Sizes of the frames, one behind the other.
    pub(super) frames: Vec<u64>,
}

/// What the bytes of a block do not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The header is longer than the bytes given.
    Short,
    /// Its sizes do not fit.
    Broken,
}

/// Reads the header of a block of `len` bytes of which `data` are the first.
pub(super) fn parse(data: &[u8], len: u64) -> Result<Block, Fault> {
    let mut cursor = Cursor { data, at: 0 };
    let track = cursor.vint()?.0;
    let time = i16::from_be_bytes([cursor.byte()?, cursor.byte()?]);
    let flags = cursor.byte()?;
    let mut frames = Vec::new();
    match (flags >> 1) & 3 {
        0 => {}
        1 => xiph(&mut cursor, &mut frames)?,
        3 => ebml(&mut cursor, &mut frames)?,
        _ => {
            let count = u64::from(cursor.byte()?) + 1;
            let left = len.checked_sub(cursor.at as u64).ok_or(Fault::Broken)?;
            if left % count != 0 {
                return Err(Fault::Broken);
            }
            frames.extend((1..count).map(|_| left / count));
        }
    }
    let laced = frames.iter().try_fold(cursor.at as u64, |sum, size| sum.checked_add(*size));
    let last = laced.and_then(|sum| len.checked_sub(sum)).ok_or(Fault::Broken)?;
    frames.push(last);
    Ok(Block { track, time, key: flags & 0x80 != 0, bytes: cursor.at, frames })
}

/// Sizes as sums of bytes, each up to the first that is not 255.
fn xiph(cursor: &mut Cursor<'_>, frames: &mut Vec<u64>) -> Result<(), Fault> {
    for _ in 0..cursor.byte()? {
        let mut size = 0;
        loop {
            let byte = cursor.byte()?;
            size += u64::from(byte);
            if byte != 255 {
                break;
            }
        }
        frames.push(size);
    }
    Ok(())
}

/// The first size as a number, the others as differences.
fn ebml(cursor: &mut Cursor<'_>, frames: &mut Vec<u64>) -> Result<(), Fault> {
    let count = cursor.byte()?;
    let mut size = 0i64;
    for nth in 0..count {
        let (value, len) = cursor.vint()?;
        let value = i64::try_from(value).map_err(|_| Fault::Broken)?;
        let bias = i64::try_from(ones(len) >> 1).map_err(|_| Fault::Broken)?;
        size = if nth == 0 { value } else { size.saturating_add(value - bias) };
        frames.push(u64::try_from(size).map_err(|_| Fault::Broken)?);
    }
    Ok(())
}

struct Cursor<'a> {
    data: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn byte(&mut self) -> Result<u8, Fault> {
        let byte = *self.data.get(self.at).ok_or(Fault::Short)?;
        self.at += 1;
        Ok(byte)
    }

    fn vint(&mut self) -> Result<(u64, usize), Fault> {
        let rest = self.data.get(self.at..).unwrap_or_default();
        match (vint(rest), rest.first()) {
            (Some((value, len)), _) => {
                self.at += len;
                Ok((value, len))
            }
            (None, Some(0)) => Err(Fault::Broken),
            _ => Err(Fault::Short),
        }
    }
}
