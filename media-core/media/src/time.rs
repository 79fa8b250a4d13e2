//! Conversion between timescales.

/// Ticks per second of every video track inside the system.
pub const VIDEO_TIMESCALE: u32 = 90_000;

/// Converts `ticks` from timescale `from` to timescale `to`, rounding to the nearest tick (half away from
/// zero). Saturates at the range of `i64`; a timescale of 0 counts as 1.
#[must_use]
pub fn rescale(ticks: i64, from: u32, to: u32) -> i64 {
    let (from, to) = (i128::from(from.max(1)), i128::from(to.max(1)));
    let scaled = i128::from(ticks) * to;
    let half = if scaled < 0 { -from / 2 } else { from / 2 };
    i64::try_from((scaled + half) / from).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::rescale;

    #[test]
    fn rounds_to_the_nearest_tick_and_never_overflows() {
        for (name, ticks, from, to, want) in [
            ("identity", 1234, 90_000, 90_000, 1234),
            ("ms to 90 kHz", 33, 1000, 90_000, 2970),
            ("rounds up", 2_999, 90_000, 1000, 33),
            ("rounds half away", 45, 90_000, 1000, 1),
            ("negative", -33, 1000, 90_000, -2970),
            ("negative half", -45, 90_000, 1000, -1),
            ("zero scale", 5, 0, 10, 50),
            ("saturates", i64::MAX, 1, 90_000, i64::MAX),
            ("saturates down", i64::MIN, 1, 90_000, i64::MIN),
        ] {
            assert_eq!(rescale(ticks, from, to), want, "{name}");
        }
    }
}
