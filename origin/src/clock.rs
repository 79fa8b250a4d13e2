//! The origin's clocks.

use std::time::{Duration, Instant};

/// Monotonic milliseconds since the origin started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(now())
    }

    pub(crate) fn ms(self) -> i64 {
        i64::try_from(now().duration_since(self.0).as_millis()).unwrap_or(i64::MAX)
    }

    /// Until `at_ms`, rounded up to a whole `tick_ms` so that wake-ups of many streams fall together.
    pub(crate) fn until(self, at_ms: i64, tick_ms: i64) -> Duration {
        let passed = now().duration_since(self.0);
        let at = (at_ms + tick_ms - 1).div_euclid(tick_ms) * tick_ms;
        Duration::from_millis(u64::try_from(at).unwrap_or(0)).saturating_sub(passed)
    }
}

#[expect(clippy::disallowed_methods, reason = "the origin's one reading of the monotonic clock")]
fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970.
pub(crate) fn unix_s() -> u64 {
    u64::try_from(nx_delivery::wall_ms() / 1000).unwrap_or(0)
}
