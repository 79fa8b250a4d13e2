//! How an erasure stands, by the times that are known of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const DAY_MS: i64 = 24 * 3_600_000;
/// Days that somebody has to think better of it, unless they want it at once.
pub(crate) const GRACE_DAYS: u32 = 7;
/// Most that an operator gives.
pub(super) const GRACE_DAYS_MAX: u32 = 30;
/// Time that services have, milliseconds.
pub(super) const DEADLINE_MS: i64 = DAY_MS;

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "ErasureState")]
pub(crate) enum State {
    /// It has not begun, and may be taken back.
    Waiting,
    /// Services owe an answer.
    Running,
    /// They still do after a day.
    Late,
    /// Nothing is left.
    Done,
}

/// When it begins.
pub(super) fn due_ms(now_ms: i64, grace_days: u32) -> i64 {
    now_ms + i64::from(grace_days.min(GRACE_DAYS_MAX)) * DAY_MS
}

/// How the whole stands, or the part of one service, by when that began and ended.
pub(super) fn state(begun_ms: Option<i64>, done_ms: Option<i64>, now_ms: i64) -> State {
    match (begun_ms, done_ms) {
        (_, Some(_)) => State::Done,
        (None, None) => State::Waiting,
        (Some(begun_ms), None) if now_ms - begun_ms >= DEADLINE_MS => State::Late,
        (Some(_), None) => State::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_runs_is_late_and_done() {
        let end = DAY_MS;
        for (name, begun, done, now, want) in [
            ("asked for", None, None, end * 9, State::Waiting),
            ("begun", Some(5), None, 5, State::Running),
            ("a moment before the deadline", Some(5), None, end + 4, State::Running),
            ("at the deadline", Some(5), None, end + 5, State::Late),
            ("done too late is done", Some(5), Some(end * 2), end * 3, State::Done),
        ] {
            assert_eq!(state(begun, done, now), want, "{name}");
        }
    }

    #[test]
    fn nobody_waits_longer_than_is_allowed() {
        for (days, want) in [(0, 0), (7, 7 * DAY_MS), (30, 30 * DAY_MS), (u32::MAX, 30 * DAY_MS)] {
            assert_eq!(due_ms(0, days), want, "{days}");
        }
    }
}
