//! Arithmetic of 31-bit packet sequence numbers, which wrap.

/// One more than the largest sequence number.
const SPAN: u32 = 1 << 31;

/// `seq + n`.
pub(crate) fn add(seq: u32, n: u32) -> u32 {
    seq.wrapping_add(n) % SPAN
}

/// How far `to` is ahead of `from`, negative when behind; the shorter way round.
pub(crate) fn distance(from: u32, to: u32) -> i32 {
    // Shifted up, the wrap of 31 bits is that of an i32, whose sign says which way is shorter.
    (to.wrapping_sub(from) << 1).cast_signed() >> 1
}
