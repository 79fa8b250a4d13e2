//! `prft`: when a moment of the track was on the producer's clock.

use nx_media::rescale;

use super::TRACK_ID;

/// Seconds from the NTP era (1900) to the Unix era.
const NTP_TO_UNIX_S: u64 = 2_208_988_800;
/// The association of the two clocks is arbitrary and always the same.
const FLAG_CONSISTENT: u8 = 8;

/// A producer reference time for the presentation time `pts` (in `timescale`) of a track whose presentation time 0
/// is at `wall_at_zero_ms` (Unix time). A time before 1900 counts as 1900.
///
/// Spec: ISO/IEC 14496-12 §8.16.5, version 1.
#[must_use]
pub fn prft(wall_at_zero_ms: i64, pts: i64, timescale: u32) -> [u8; 32] {
    let unix_us = wall_at_zero_ms.saturating_mul(1000).saturating_add(rescale(pts, timescale, 1_000_000));
    let ntp_us = i128::from(unix_us) + i128::from(NTP_TO_UNIX_S) * 1_000_000;
    // 32.32 fixed point; the era wraps in 2036 as it must.
    let ntp = u128::try_from(ntp_us).unwrap_or(0) * (1 << 32) / 1_000_000;
    let ntp = u64::try_from(ntp & u128::from(u64::MAX)).unwrap_or(0);
    let mut out = [0; 32];
    let fields = [
        &32u32.to_be_bytes()[..],
        b"prft",
        &[1, 0, 0, FLAG_CONSISTENT],
        &TRACK_ID.to_be_bytes(),
        &ntp.to_be_bytes(),
        &u64::try_from(pts).unwrap_or(0).to_be_bytes(),
    ];
    for (to, from) in out.iter_mut().zip(fields.concat()) {
        *to = from;
    }
    out
}
