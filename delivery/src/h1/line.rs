//! Deadlines of connections without a timer each: a connection notes by when something has to happen, and the
//! listener looks once a second who is late.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

/// No deadline.
const NEVER: u32 = u32::MAX;

/// The time in seconds, as the listener noted it last.
#[derive(Debug)]
pub(crate) struct Clock {
    began: Instant,
    now_s: AtomicU32,
    unix_s: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let clock = Self { began: Instant::now(), now_s: AtomicU32::new(0), unix_s: AtomicU64::new(0) };
        clock.tick();
        clock
    }

    /// Looks at the real clocks.
    pub(crate) fn tick(&self) {
        let now_s = u32::try_from(self.began.elapsed().as_secs()).unwrap_or(NEVER - 1);
        self.now_s.store(now_s, Ordering::Relaxed);
        let unix_s = u64::try_from(crate::wall_ms() / 1000).unwrap_or_default();
        self.unix_s.store(unix_s, Ordering::Relaxed);
    }

    /// Seconds since the listener began.
    pub(crate) fn now_s(&self) -> u32 {
        self.now_s.load(Ordering::Relaxed)
    }

    /// Unix time in seconds.
    pub(crate) fn unix_s(&self) -> u64 {
        self.unix_s.load(Ordering::Relaxed)
    }
}

/// What the listener knows of a connection.
#[derive(Debug)]
pub(crate) struct Line {
    due_s: AtomicU32,
    /// Wakes the connection's task: always the same one.
    waker: OnceLock<Waker>,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self { due_s: AtomicU32::new(NEVER), waker: OnceLock::new() }
    }

    /// The task that [`Line::call`] wakes.
    pub(crate) fn held_by(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
    }

    /// Something has to happen within this time, from now on.
    pub(crate) fn within(&self, clock: &Clock, time: Duration) {
        self.due_s.store(clock.now_s().saturating_add(seconds(time)), Ordering::Relaxed);
    }

    /// Something has to happen by then.
    pub(crate) fn by(&self, due_s: u32) {
        self.due_s.store(due_s, Ordering::Relaxed);
    }

    /// Something happened: `more` of time, up to `most` from now.
    pub(crate) fn extend(&self, clock: &Clock, more: u32, most: Duration) {
        let most = clock.now_s().saturating_add(seconds(most));
        let due = self.due_s.load(Ordering::Relaxed).saturating_add(more).min(most);
        self.due_s.store(due, Ordering::Relaxed);
    }

    /// Nothing has to happen.
    pub(crate) fn at_ease(&self) {
        self.due_s.store(NEVER, Ordering::Relaxed);
    }

    /// Whether it is late.
    pub(crate) fn is_late(&self, clock: &Clock) -> bool {
        self.due_s.load(Ordering::Relaxed) <= clock.now_s()
    }

    /// Wakes the connection, so that it looks for itself.
    pub(crate) fn call(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }
}

/// Rounded up, as the clock stands still for up to a second.
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs_f64().ceil() as u64).unwrap_or(NEVER - 1).saturating_add(1)
}
