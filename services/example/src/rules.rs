//! What a note may be: decisions without a store or a clock.

use nx_chassis::{Problem, Time};

/// A reminder lies ahead.
pub(crate) fn ahead(remind_at: Option<Time>, now_ms: i64) -> Result<(), Problem> {
    match remind_at {
        Some(at) if at.0 <= now_ms => Err(Problem::invalid("/remind_at", "lies in the past")),
        _ => Ok(()),
    }
}
