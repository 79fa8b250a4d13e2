//! When a schedule comes next, and what becomes of a time that was missed.

use nx_chassis::{Cron, Problem, Time, zone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A time is missed when this much later nobody has begun.
pub(crate) const LATE_MS: i64 = 60_000;

/// What becomes of times that went by while nothing ran: one run for all of them, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Missed {
    /// One run, late.
    #[default]
    RunOnce,
    /// None.
    Skip,
}

impl Missed {
    /// Whether a run that was due then is still done.
    pub(crate) fn runs(self, due_ms: i64, now_ms: i64) -> bool {
        self == Self::RunOnce || now_ms - due_ms <= LATE_MS
    }
}

/// The times of a cron expression in a zone after a moment, at most `most` of them.
pub(crate) fn times(cron: &str, in_zone: &str, after_ms: i64, most: usize) -> Result<Vec<Time>, Problem> {
    let cron: Cron = cron.parse().map_err(|e: String| Problem::invalid("/cron", e))?;
    let zone = zone(in_zone).map_err(|e| Problem::invalid("/zone", e))?;
    let next = |after: &i64| cron.next_after(*after, zone);
    let all = std::iter::successors(next(&after_ms), next);
    Ok(all.take(most).map(Time).collect())
}
