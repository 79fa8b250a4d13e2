//! From an input's time to the programme's: what arrives now is shown now.
//!
//! The times within an input are kept, so that its sound and picture stay together, and arrivals that tremble do not
//! show. The earliest arrivals rule: a burst at the beginning, or a clock that runs fast, pulls the input forward at
//! once; one that runs slow pushes it back little by little, a jump at once.

/// Later than this is a jump, nanoseconds.
const LATE_MAX: i64 = 500_000_000;
/// Of what a frame is late, this part moves those after it.
const SHARE: i64 = 4096;

/// One input's time. All times in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Added to the input's time. None before its first frame.
    offset: Option<i64>,
}

impl Pace {
    /// When to show what has the input's time `pts` and arrives at the programme's time `now`: never later than that,
    /// and at most half a second before.
    pub(crate) fn place(&mut self, pts: i64, now: i64) -> i64 {
        let fresh = now.saturating_sub(pts);
        let offset = match self.offset {
            Some(offset) => match fresh.saturating_sub(offset) {
                late if (0..=LATE_MAX).contains(&late) => offset + late / SHARE,
                _ => fresh,
            },
            None => fresh,
        };
        self.offset = Some(offset);
        pts.saturating_add(offset).min(now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: i64 = 1_000_000;

    /// The last of `count` frames, 40 ms apart by the input's clock and `apart` by ours: how late it is shown.
    fn drift(apart: i64, count: i64) -> i64 {
        let mut pace = Pace::default();
        let late = |n| n * apart - pace.place(n * 40 * MS, n * apart);
        (0..count).map(late).last().unwrap_or(0)
    }

    #[test]
    fn what_comes_on_time_is_shown_when_it_comes() {
        assert_eq!(drift(40 * MS, 1000), 0);
    }

    #[test]
    fn a_clock_that_differs_by_a_thousandth_is_followed() {
        assert_eq!(drift(40 * MS - 40_000, 100_000), 0, "fast");
        let late = drift(40 * MS + 40_000, 100_000);
        assert!((1..=170 * MS).contains(&late), "slow: {late}");
    }

    #[test]
    fn a_burst_is_shown_at_once_and_what_follows_it_when_it_comes() {
        let mut pace = Pace::default();
        for n in 0..50 {
            assert_eq!(pace.place(n * 40 * MS, 1000 * MS + n), 1000 * MS + n);
        }
        let last = 1000 * MS + 49;
        assert_eq!(
            pace.place(50 * 40 * MS, last + 45 * MS),
            last + 40 * MS + 5 * MS / SHARE,
            "40 ms after the last"
        );
    }

    #[test]
    fn a_jump_in_either_direction_begins_anew() {
        let mut pace = Pace::default();
        assert_eq!(pace.place(0, 0), 0);
        assert_eq!(pace.place(90_000 * MS, 40 * MS), 40 * MS, "forward");
        assert_eq!(pace.place(5 * MS, 80 * MS), 80 * MS, "back");
        assert_eq!(pace.place(5 * MS + 600 * MS, 1500 * MS), 1500 * MS, "a pause");
    }

    proptest! {
        #[test]
        fn nothing_is_shown_before_it_is_there_or_long_after(
            frames in prop::collection::vec((any::<i64>(), 0..i64::MAX), 1..50),
        ) {
            let mut pace = Pace::default();
            for (pts, now) in frames {
                let at = pace.place(pts, now);
                prop_assert!(at <= now, "{at} {now}");
                prop_assert!(now - at <= LATE_MAX || now.checked_sub(pts).is_none(), "{at} {now}");
            }
        }
    }
}
