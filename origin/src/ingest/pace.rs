//! When a publisher is worth reading.
//!
//! Nobody needs a frame before the part that it completes, unless somebody plays the stream over RTMP. So a
//! publisher is read when its next part is due, and every now and then so that the kernel's buffer does not
//! fill; that is a tenth of the system calls and wake-ups that reading every packet costs.

/// Longest time between two reads of a publisher that sends; milliseconds.
const LAZY_MS: i64 = 100;
/// What may gather in the kernel's buffer between two reads; bytes.
const LAZY_BYTES: i64 = 48 << 10;
/// Time between two looks when a part is overdue; milliseconds.
pub(crate) const TICK_MS: i64 = 4;

/// When to read next.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Arrival minus stream time of the freshest frames: the least of late, rising slowly. Milliseconds.
    lag_ms: Option<i64>,
    /// When the lag was last let rise.
    risen_ms: i64,
    /// Measured rate, bytes per second.
    bytes_per_s: i64,
    window: (i64, i64),
    /// The next read, unless the socket is watched.
    pub(crate) due_ms: i64,
}

impl Pace {
    pub(crate) fn took(&mut self, n: usize, now_ms: i64) {
        let (since, bytes) = &mut self.window;
        *bytes += i64::try_from(n).unwrap_or(0);
        let passed = now_ms - *since;
        if passed >= 1_000 {
            self.bytes_per_s = *bytes * 1000 / passed;
            self.window = (now_ms, 0);
        }
    }

    /// A frame of this stream time was the newest of a read.
    pub(crate) fn saw(&mut self, time_ms: i64, now_ms: i64) {
        let lag = now_ms - time_ms;
        self.lag_ms = Some(match self.lag_ms {
            // Most reads find frames that have waited a little: only the least says when they come.
            Some(known) if lag > known && lag < known + 1_000 => {
                let rise = now_ms - self.risen_ms >= 1_000;
                if rise {
                    self.risen_ms = now_ms;
                }
                known + i64::from(rise)
            }
            _ => lag,
        });
    }

    /// Sets the next read by the stream time of the frame that completes the next part.
    pub(crate) fn schedule(&mut self, part_due_ms: Option<i64>, now_ms: i64) {
        let patience = (LAZY_BYTES * 1000 / self.bytes_per_s.max(1)).clamp(TICK_MS, LAZY_MS);
        let latest = now_ms + patience;
        self.due_ms = match (part_due_ms, self.lag_ms) {
            (Some(part), Some(lag)) if part + lag >= now_ms => (part + lag).min(latest),
            // Overdue: it may come any moment.
            (Some(part), Some(lag)) if now_ms - (part + lag) < 200 => now_ms + TICK_MS,
            _ => latest.min(now_ms + 4 * TICK_MS),
        };
    }
}
