//! The life of a connection that this server opens: when it is tried again, and what is told about it. No I/O.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use nx_contract::desired::{LinkState, Status};
use nx_hls::Rfc3339;

use crate::hub::lock;

/// First pause before another attempt, and the longest one; milliseconds.
const PAUSE_MS: i64 = 1_000;
const PAUSE_MAX_MS: i64 = 60_000;
/// A connection that has been live for so long starts again with the first pause; milliseconds.
const GOOD_MS: i64 = 60_000;

/// Why a connection could not be had or kept, with what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It may work the next time.
    Passing(String),
    /// It will work when somebody mends it elsewhere, such as a wrong key: no hurry.
    Slow(String),
    /// It cannot work as it is.
    Final(String),
}

impl Failure {
    pub(crate) fn text(&self) -> &str {
        let (Self::Passing(text) | Self::Slow(text) | Self::Final(text)) = self;
        text
    }
}

/// The time by both clocks, milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) ms: i64,
    pub(crate) wall_ms: i64,
}

/// What one connection is doing, and has gone through.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    state: LinkState,
    attempts: u32,
    live_ms: Option<i64>,
    since_wall_ms: i64,
    retry_wall_ms: Option<i64>,
    last_error: Option<String>,
}

impl Life {
    pub(crate) fn new(wall_ms: i64) -> Self {
        Self {
            state: LinkState::Stopped,
            attempts: 0,
            live_ms: None,
            since_wall_ms: wall_ms,
            retry_wall_ms: None,
            last_error: None,
        }
    }

    /// A task has been started that will come into this state.
    pub(crate) fn begin(&mut self, state: LinkState, now: Now) {
        (self.state, self.since_wall_ms) = (state, now.wall_ms);
    }

    /// Comes into a state; [`Self::fail`] leads to the others.
    pub(crate) fn enter(&mut self, state: LinkState, now: Now) {
        if state == LinkState::Connecting {
            self.attempts = self.attempts.saturating_add(1);
        }
        if state == LinkState::WaitingForStream {
            self.attempts = 0;
        }
        self.live_ms = (state == LinkState::Live).then_some(now.ms);
        self.retry_wall_ms = None;
        (self.state, self.since_wall_ms) = (state, now.wall_ms);
    }

    /// Something is wrong that does not end it.
    pub(crate) fn note(&mut self, text: Option<String>) {
        self.last_error = text;
    }

    /// The connection failed: the milliseconds until the next attempt, `None` when there will be none. `jitter` is
    /// any number.
    pub(crate) fn fail(&mut self, failure: &Failure, now: Now, jitter: u32) -> Option<i64> {
        if self.live_ms.is_some_and(|since| now.ms - since >= GOOD_MS) {
            self.attempts = 1;
        }
        let pause = match failure {
            Failure::Passing(_) => Some(pause_ms(self.attempts, jitter)),
            Failure::Slow(_) => Some(pause_ms(u32::MAX, jitter)),
            Failure::Final(_) => None,
        };
        let state = if pause.is_some() { LinkState::Retrying } else { LinkState::Refused };
        self.enter(state, now);
        self.retry_wall_ms = pause.map(|pause| now.wall_ms + pause);
        self.last_error = Some(failure.text().to_owned());
        pause
    }

    pub(crate) fn status(&self) -> Status {
        Status {
            state: self.state,
            attempts: self.attempts,
            retry_at: self.retry_wall_ms.map(|ms| Rfc3339(ms).to_string()),
            last_error: self.last_error.clone(),
            since: Rfc3339(self.since_wall_ms).to_string(),
        }
    }
}

/// 1 s after the first attempt, then twice as long each time up to 60 s; of that between three quarters and all, so
/// that many that fell together do not come back together.
fn pause_ms(attempts: u32, jitter: u32) -> i64 {
    let doubled = PAUSE_MS << attempts.saturating_sub(1).min(6);
    let pause = doubled.min(PAUSE_MAX_MS);
    pause - pause / 4 * i64::from(jitter) / i64::from(u32::MAX)
}

/// A connection as its task and the API share it.
#[derive(Debug)]
pub(crate) struct Meter {
    life: Mutex<Life>,
    bytes: AtomicU64,
    dropped: AtomicU64,
}

impl Meter {
    pub(crate) fn new(wall_ms: i64) -> Self {
        Self { life: Mutex::new(Life::new(wall_ms)), bytes: AtomicU64::new(0), dropped: AtomicU64::new(0) }
    }

    pub(crate) fn life(&self) -> std::sync::MutexGuard<'_, Life> {
        lock(&self.life)
    }

    /// Bytes have passed.
    pub(crate) fn passed(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Frames or packets had to be left out.
    pub(crate) fn dropped(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// Bytes, and what was left out.
    pub(crate) fn figures(&self) -> (u64, u64) {
        (self.bytes.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests;
