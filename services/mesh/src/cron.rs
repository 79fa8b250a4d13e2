//! Times that come again: cron expressions in a time zone.
//!
//! On the nights when clocks change: a fixed time that is missing comes at the jump, one that comes twice counts once;
//! what has wildcards goes by real time.

use std::str::FromStr;

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;

/// A cron expression: five fields, or six with seconds; `L`, `MON#2` and names too.
#[derive(Debug, Clone)]
pub struct Cron(croner::Cron);

impl FromStr for Cron {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > 100 {
            return Err("is longer than 100 characters".into());
        }
        text.parse().map(Self).map_err(|e: croner::errors::CronError| format!("is no cron expression: {e}"))
    }
}

impl Cron {
    /// The first time after a moment, both in Unix milliseconds; `None` when there is none any more.
    pub fn next_after(&self, after_ms: i64, zone: Tz) -> Option<i64> {
        let after: DateTime<Utc> = Utc.timestamp_millis_opt(after_ms).single()?;
        let next = self.0.find_next_occurrence(&after.with_timezone(&zone), false).ok()?;
        Some(next.timestamp_millis())
    }
}

/// A time zone by its name, as in `Europe/Berlin`.
///
/// # Errors
/// In words, when there is none of the name.
pub fn zone(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| format!("{name:.60} is no time zone: give a name such as Europe/Berlin"))
}

#[cfg(test)]
mod tests;
