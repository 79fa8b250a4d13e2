//! PES headers.
//!
//! Spec: ISO/IEC 13818-1 §2.4.3.6.

use super::{PCR_LEAD_90K, TIME_OFFSET_90K};

/// The most that `PES_packet_length` can state, less the largest header behind it.
pub(super) const BOUNDED_BYTES_MAX: usize = 65_535 - 13;

/// Ticks as a transport stream states them: 33 bits.
fn ticks(time_90k: i64) -> u64 {
    time_90k.wrapping_add(TIME_OFFSET_90K).rem_euclid(1 << 33).unsigned_abs()
}

pub(super) fn pcr(dts_90k: i64) -> u64 {
    ticks(dts_90k.wrapping_sub(PCR_LEAD_90K))
}

/// PES header. `len` counts the bytes behind it; 0 leaves the length open, as video may.
pub(super) fn header(out: &mut Vec<u8>, stream: u8, pts_90k: i64, dts_90k: i64, len: usize) {
    let (pts, dts) = (ticks(pts_90k), ticks(dts_90k.min(pts_90k)));
    let times_len: u8 = if pts == dts { 5 } else { 10 };
    let len = if len == 0 { 0 } else { u16::try_from(3 + usize::from(times_len) + len).unwrap_or(0) };
    out.extend_from_slice(&[0, 0, 1, stream]);
    out.extend_from_slice(&len.to_be_bytes());
    // Marker and data alignment; which times follow.
    out.extend_from_slice(&[0x84, if pts == dts { 0x80 } else { 0xc0 }, times_len]);
    if pts == dts {
        timestamp(out, 2, pts);
    } else {
        timestamp(out, 3, pts);
        timestamp(out, 1, dts);
    }
}

/// 33 bits with a marker bit behind each group of 3, 15 and 15.
fn timestamp(out: &mut Vec<u8>, prefix: u64, ticks: u64) {
    let high = (ticks >> 30) & 0x7;
    let (middle, low) = ((ticks >> 15) & 0x7fff, ticks & 0x7fff);
    let bits = (prefix << 36) | (high << 33) | (1 << 32) | (middle << 17) | (1 << 16) | (low << 1) | 1;
    let [_, _, _, bytes @ ..] = bits.to_be_bytes();
    out.extend_from_slice(&bytes);
}
