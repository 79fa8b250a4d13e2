//! Times of access units, also of those without a time stamp.

/// Steps between access units that make sense, in 90 kHz ticks: up to ten seconds.
const STEP_RANGE: std::ops::RangeInclusive<i64> = 1..=900_000;
/// Until anything tells better: 25 per second.
const STEP_DEFAULT: i64 = 3600;

/// Time stamps of an access unit, 90 kHz.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time {
    pub(super) pts: i64,
    pub(super) dts: i64,
}

/// Fills in missing times.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Of the access unit before: decode time, presentation minus decode time.
    last: Option<(i64, i64)>,
    /// The last decode time that was stated, and access units since, it included.
    stated: Option<(i64, i64)>,
    step: Option<i64>,
}

impl Clock {
    /// Access units were lost: the next stated time does not tell the distance between two.
    pub(super) fn lose(&mut self) {
        self.stated = None;
    }

    /// The distance to take while the stream has not shown one.
    pub(super) fn expect(&mut self, ticks: i64) {
        self.step.get_or_insert(ticks);
    }

    /// Decode time of the next access unit, and presentation minus decode time. Without a time stamp it is
    /// decoded one distance after the one before and shown as long after that; `None` when there was none.
    pub(super) fn next(&mut self, time: Option<Time>) -> Option<(i64, i64)> {
        let (dts, cts) = match time {
            Some(Time { pts, dts }) => {
                if let Some((before, count)) = self.stated {
                    let step = dts.saturating_sub(before) / count;
                    self.step = Some(step).filter(|step| STEP_RANGE.contains(step)).or(self.step);
                }
                self.stated = Some((dts, 1));
                (dts, pts.saturating_sub(dts))
            }
            None => {
                let (before, cts) = self.last?;
                self.stated = self.stated.map(|(dts, count)| (dts, count.saturating_add(1)));
                (before.saturating_add(self.step.unwrap_or(STEP_DEFAULT)), cts)
            }
        };
        self.last = Some((dts, cts));
        Some((dts, cts))
    }
}
