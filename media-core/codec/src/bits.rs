//! Reader of big-endian bit fields, with the Exp-Golomb numbers of H.264 and H.265.

/// Payload of a NAL unit without emulation prevention bytes (ISO/IEC 14496-10 §7.4.1.1, 23008-2 §7.4.2).
pub(crate) fn rbsp(nal: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

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

    /// Passes over `n` bits, or `None` when fewer are left.
    pub(crate) fn skip(&mut self, n: usize) -> Option<()> {
        let at = self.at.checked_add(n).filter(|&at| at <= self.data.len() * 8)?;
        self.at = at;
        Some(())
    }

    /// Next unsigned Exp-Golomb number, `ue(v)` (ISO/IEC 14496-10 §9.1); `None` also above 2^32 - 2.
    ///
    /// A signed one, `se(v)`, has the same length.
    pub(crate) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
        }
        match zeros {
            0..32 => self.take(zeros).map(|tail| (1u32 << zeros) - 1 + tail),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
