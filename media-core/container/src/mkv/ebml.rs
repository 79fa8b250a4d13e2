//! EBML: heads of elements, numbers, and the elements inside of one that is in memory.
//!
//! Spec: RFC 8794 §4 to §7.

/// Most bytes of an element's head that are read: an id of 4, a size of 8.
pub(super) const HEAD_BYTES_MAX: usize = 12;

/// What stands in front of an element's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// With its marker.
    pub(super) id: u32,
    /// Bytes of the content; `None`: it ends with its parent, or where another of its level begins.
    pub(super) content: Option<u64>,
    /// Bytes of the head.
    pub(super) bytes: usize,
}

/// Reads the head that the bytes begin with. `None` when it has no such form, or ends behind them.
pub(super) fn head(data: &[u8]) -> Option<Head> {
    let id_len = usize::try_from(data.first()?.leading_zeros()).ok()? + 1;
    if id_len > 4 {
        return None;
    }
    let (id, rest) = data.split_at_checked(id_len)?;
    let id = id.iter().fold(0, |id, &byte| (id << 8) | u32::from(byte));
    let (size, size_len) = vint(rest)?;
    let unknown = size == ones(size_len);
    Some(Head { id, content: (!unknown).then_some(size), bytes: id_len + size_len })
}

/// A number of variable length without its marker, and its length.
pub(super) fn vint(data: &[u8]) -> Option<(u64, usize)> {
    let len = usize::try_from(data.first()?.leading_zeros()).ok()? + 1;
    if len > 8 {
        return None;
    }
    let value = data.get(..len)?.iter().fold(0, |value, &byte| (value << 8) | u64::from(byte));
    Some((value & ones(len), len))
}

/// The largest number in so many bytes; as a size it means "unknown".
pub(super) fn ones(len: usize) -> u64 {
    (1 << (7 * len.min(8))) - 1
}

/// The elements in `data`, id and content; ends at the first that does not fit.
pub(super) fn children(mut data: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let Head { id, content, bytes } = head(data)?;
        let (content, rest) = data.get(bytes..)?.split_at_checked(usize::try_from(content?).ok()?)?;
        data = rest;
        Some((id, content))
    })
}

/// An unsigned integer; 0 without a byte, the largest when it has more than 8.
pub(super) fn uint(content: &[u8]) -> u64 {
    if content.len() > 8 {
        return u64::MAX;
    }
    content.iter().fold(0, |value, &byte| (value << 8) | u64::from(byte))
}

/// A floating point number of 4 or 8 bytes.
pub(super) fn float(content: &[u8]) -> f64 {
    match *content {
        [a, b, c, d] => f32::from_be_bytes([a, b, c, d]).into(),
        [a, b, c, d, e, f, g, h] => f64::from_be_bytes([a, b, c, d, e, f, g, h]),
        _ => 0.0,
    }
}

/// A text, without the zeros that may fill it up; at most 100 characters.
pub(super) fn text(content: &[u8]) -> String {
    let end = content.iter().position(|&b| b == 0).unwrap_or(content.len());
    let text = String::from_utf8_lossy(content.get(..end).unwrap_or_default());
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}
