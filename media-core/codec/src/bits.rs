//! Reader of big-endian bit fields.

/// A cursor over the bits of a slice, most significant bit first.
#[derive(Debug, Clone)]
pub(crate) struct Bits<'a> {
    data: &'a [u8],
    /// Bits consumed so far.
    at: usize,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    /// Bits consumed so far; also where a failed read began.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Next `n` bits (at most 32) as a number, or `None` when fewer are left.
    pub(crate) fn take(&mut self, n: u32) -> Option<u32> {
        let mut value = 0u32;
        let mut at = self.at;
        for _ in 0..n.min(32) {
            let byte = self.data.get(at / 8)?;
            value = (value << 1) | u32::from((byte >> (7 - at % 8)) & 1);
            at += 1;
        }
        self.at = at;
        Some(value)
    }

    /// Next bit as a flag.
    pub(crate) fn flag(&mut self) -> Option<bool> {
        self.take(1).map(|b| b == 1)
    }
}
