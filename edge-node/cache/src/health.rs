//! Whether an origin is to be asked, learnt from how it answered.

/// First pause behind a failure, milliseconds; it doubles with each further one.
const PAUSE_MS: i64 = 500;
/// Longest pause, milliseconds.
const PAUSE_MS_MAX: i64 = 15_000;
/// Failures in a row that are borne before the first pause, of those that may be one request's bad luck.
const BORNE: u32 = 2;

/// What is known of one origin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    failures: u32,
    down_until_ms: i64,
}

impl Health {
    /// Whether it may be asked now. After a pause it may, and the answer decides.
    #[must_use]
    pub fn is_up(&self, now_ms: i64) -> bool {
        now_ms >= self.down_until_ms
    }

    /// It answered; whether that is news.
    pub fn good(&mut self) -> bool {
        std::mem::take(self).down_until_ms != 0
    }

    /// It did not; whether that is news. `plain` when there is no doubt, such as a refused connection or a failed check.
    pub fn bad(&mut self, now_ms: i64, plain: bool) -> bool {
        let was_up = self.down_until_ms == 0;
        self.failures = self.failures.saturating_add(1);
        let nth = if plain { self.failures } else { self.failures.saturating_sub(BORNE) };
        if nth > 0 {
            let pause = PAUSE_MS.saturating_mul(1 << (nth - 1).min(10)).min(PAUSE_MS_MAX);
            self.down_until_ms = now_ms.saturating_add(pause);
        }
        was_up && self.down_until_ms != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_end_and_are_forgotten() {
        let mut health = Health::default();
        let mut now = 1_000;
        for pause in [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000] {
            assert!(health.is_up(now));
            assert_eq!(health.bad(now, true), pause == 500, "only the first is news");
            assert!(!health.is_up(now + pause - 1) && health.is_up(now + pause), "{pause}");
            now += pause;
        }
        assert!(health.good() && !health.good());
        assert_eq!(health, Health::default());
    }

    #[test]
    fn two_doubtful_failures_are_borne() {
        let mut health = Health::default();
        for up in [true, true, false] {
            assert_eq!((health.bad(1, false), health.is_up(1)), (!up, up));
        }
    }
}
