//! A circuit breaker: opens after 5 failures in a row, lets 3 calls try after 30 s, closes when all 3 went well.

use std::sync::Mutex;

const FAILURES_MAX: u32 = 5;
const OPEN_MS: i64 = 30_000;
const PROBES: u32 = 3;

/// The breaker of one way to one service.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        since_ms: i64,
    },
    /// Calls that try, and how many went well.
    Trying {
        running: u32,
        good: u32,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// Leave to make one call; dropped without a word, the call does not count.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    breaker: &'a Breaker,
    probe: bool,
    told: bool,
}

impl Breaker {
    /// Leave to call, or the milliseconds until it is worth asking again.
    pub(crate) fn permit(&self, now_ms: i64) -> Result<Permit<'_>, i64> {
        let permit = |probe| Permit { breaker: self, probe, told: false };
        let Ok(mut state) = self.0.lock() else { return Ok(permit(false)) };
        match *state {
            State::Closed { .. } => Ok(permit(false)),
            State::Open { since_ms } if now_ms < since_ms + OPEN_MS => Err(since_ms + OPEN_MS - now_ms),
            State::Open { .. } => {
                *state = State::Trying { running: 1, good: 0 };
                Ok(permit(true))
            }
            State::Trying { running, good } if running + good < PROBES => {
                *state = State::Trying { running: running + 1, good };
                Ok(permit(true))
            }
            State::Trying { .. } => Err(1000),
        }
    }

    /// `up`, `degraded` while it tries, `down` while it lets nothing through.
    pub(crate) fn name(&self, now_ms: i64) -> &'static str {
        match self.0.lock().map(|s| *s).unwrap_or_default() {
            State::Closed { .. } => "up",
            State::Open { since_ms } if now_ms < since_ms + OPEN_MS => "down",
            State::Open { .. } | State::Trying { .. } => "degraded",
        }
    }
}

impl Permit<'_> {
    /// Says how the call went.
    pub(crate) fn end(mut self, good: bool, now_ms: i64) {
        self.told = true;
        let Ok(mut state) = self.breaker.0.lock() else { return };
        *state = match (*state, good) {
            (State::Closed { failures }, false) if failures + 1 < FAILURES_MAX => {
                State::Closed { failures: failures + 1 }
            }
            (State::Closed { .. }, true) => State::Closed { failures: 0 },
            (State::Trying { running, good }, true) if self.probe && good + 1 < PROBES => {
                State::Trying { running: running.saturating_sub(1), good: good + 1 }
            }
            (State::Trying { .. }, true) if self.probe => State::Closed { failures: 0 },
            (State::Closed { .. } | State::Trying { .. }, false) => State::Open { since_ms: now_ms },
            // A call from before the breaker opened says nothing about now.
            (other, _) => other,
        };
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.told
            && self.probe
            && let Ok(mut state) = self.breaker.0.lock()
            && let State::Trying { running, .. } = &mut *state
        {
            *running = running.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests;
