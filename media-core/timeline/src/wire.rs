//! The publisher's counter, which goes round, as time that does not.

use nx_media::{VIDEO_TIMESCALE, rescale};

/// How a protocol counts time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireClock {
    /// Ticks per second.
    pub hz: u32,
    /// Width of the counter, 1 to 63.
    pub bits: u32,
}

impl WireClock {
    /// Milliseconds in 32 bits (RTMP §5.3.1.3).
    pub const RTMP: Self = Self { hz: 1_000, bits: 32 };
    /// 90 kHz in 33 bits (ISO/IEC 13818-1 §2.4.3.7).
    pub const MPEG_TS: Self = Self { hz: 90_000, bits: 33 };
}

/// Follows one counter round and round.
#[derive(Debug)]
pub(crate) struct Unwrap {
    clock: WireClock,
    last: Option<i64>,
}

impl Unwrap {
    pub(crate) fn new(clock: WireClock) -> Self {
        Self { clock: WireClock { hz: clock.hz.max(1), bits: clock.bits.clamp(1, 62) }, last: None }
    }

    /// The counter's value without wraps, in 90 kHz ticks, and whether it has just gone round. The distance to
    /// the value before is taken the shorter way round.
    pub(crate) fn take(&mut self, ticks: u64) -> (i64, bool) {
        let span = 1i64 << self.clock.bits;
        let last = self.last;
        let now = self.nearest(last, ticks);
        self.last = Some(now);
        let wrapped = last.is_some_and(|last| now.div_euclid(span) > last.div_euclid(span));
        (rescale(now, self.clock.hz, VIDEO_TIMESCALE), wrapped)
    }

    /// The same without moving on; `None` before the first.
    pub(crate) fn near(&self, ticks: u64) -> Option<i64> {
        self.last?;
        Some(rescale(self.nearest(self.last, ticks), self.clock.hz, VIDEO_TIMESCALE))
    }

    fn nearest(&self, last: Option<i64>, ticks: u64) -> i64 {
        let span = 1i64 << self.clock.bits;
        let low = i64::try_from(ticks & (span.unsigned_abs() - 1)).unwrap_or(0);
        let last = last.unwrap_or(low);
        let forward = (low - last.rem_euclid(span)).rem_euclid(span);
        let distance = if forward > span / 2 { forward - span } else { forward };
        last.saturating_add(distance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_round_in_both_directions() {
        for (name, clock, steps, want) in [
            ("RTMP on", WireClock::RTMP, vec![0, 10], 900),
            (
                "RTMP round",
                WireClock::RTMP,
                vec![u64::from(u32::MAX) - 9, 10],
                (i64::from(u32::MAX) + 11) * 90,
            ),
            (
                "RTMP round and back",
                WireClock::RTMP,
                vec![u64::from(u32::MAX), 5, u64::from(u32::MAX)],
                i64::from(u32::MAX) * 90,
            ),
            ("TS round", WireClock::MPEG_TS, vec![(1 << 33) - 90, 90], (1 << 33) + 90),
            ("TS back", WireClock::MPEG_TS, vec![100, (1 << 33) - 100], -100),
            ("too many bits", WireClock::MPEG_TS, vec![(1 << 33) + 7], 7),
        ] {
            let mut unwrap = Unwrap::new(clock);
            let mut last = 0;
            steps.into_iter().for_each(|s| last = unwrap.take(s).0);
            assert_eq!(last, want, "{name}");
        }
    }
}
