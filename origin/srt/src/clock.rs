//! The driver's clocks: one reading per round, and when a datagram really arrived.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Both clocks, read together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) now: Instant,
    /// Since the epoch, as the kernel stamps datagrams.
    wall: Duration,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the crate's one reading of the clocks")]
    pub(crate) fn read() -> Self {
        Self { now: Instant::now(), wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
    }

    /// The instant of a kernel time stamp. A batch is read up to a tick after its datagrams came; round trips and the
    /// sender's clock must not see that. A stamp that is not of the last second (the wall clock was set) is not used.
    pub(crate) fn arrived(self, stamp: Option<Duration>) -> Instant {
        let age = stamp.and_then(|s| self.wall.checked_sub(s)).filter(|age| *age < Duration::from_secs(1));
        age.and_then(|age| self.now.checked_sub(age)).unwrap_or(self.now)
    }
}
