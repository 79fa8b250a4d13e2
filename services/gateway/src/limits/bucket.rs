//! Token buckets, as the one moment at which each will be full again (the generic cell rate algorithm).

use std::collections::HashMap;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

/// Buckets that are kept; those of further askers are one.
const BUCKETS_MAX: usize = 100_000;
/// How often full buckets are looked for when there are too many.
const SWEEP_US: i64 = 1_000_000;
const MINUTE_US: i64 = 60_000_000;
/// Highest rate and burst.
const RATE_MAX: u32 = 10_000_000;

/// Whose bucket it is.
pub(crate) type Name = [u8; 16];

/// How many requests, and how many of them at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Requests a minute, evenly.
    pub per_minute: u32,
    /// Requests at once after a pause; by default those of a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) admitted: bool,
    /// Requests that would be admitted now.
    pub(crate) remaining: u32,
    /// Until the bucket is full.
    pub(crate) full_ms: i64,
    /// Until the next would be admitted, when this one was not.
    pub(crate) retry_ms: i64,
}

impl Rate {
    pub(super) fn fault(self) -> Option<String> {
        let sane = |n: u32| (1..=RATE_MAX).contains(&n);
        (!sane(self.per_minute) || self.burst.is_some_and(|b| !sane(b)))
            .then(|| format!("must allow 1 to {RATE_MAX} requests a minute, and as many at once"))
    }

    /// Microseconds that one request costs, and that a full bucket holds.
    pub(super) fn costs_us(self) -> (i64, i64) {
        let one = MINUTE_US / i64::from(self.per_minute.max(1));
        (one, one * i64::from(self.burst.unwrap_or(self.per_minute)))
    }

    /// What is said of a bucket that will be full `full_us` from now; `over_us` is what was too much.
    pub(super) fn verdict(self, full_us: i64, over_us: i64) -> Verdict {
        let (one, whole) = self.costs_us();
        let remaining = u32::try_from((whole - full_us).max(0) / one).unwrap_or(u32::MAX);
        let up = |us: i64| (us.max(0) + 999) / 1000;
        Verdict { admitted: over_us <= 0, remaining, full_ms: up(full_us), retry_ms: up(over_us) }
    }

    /// Takes a request out of a bucket that is full at `full_at_us`; when it is full then, and the verdict.
    fn take(self, full_at_us: i64, now_us: i64) -> (i64, Verdict) {
        let (one, whole) = self.costs_us();
        let before = full_at_us.max(now_us);
        let after = before + one;
        let over = after - now_us - whole;
        if over > 0 {
            (before, self.verdict(before - now_us, over))
        } else {
            (after, self.verdict(after - now_us, 0))
        }
    }
}

/// The buckets of a process.
#[derive(Debug, Default)]
pub(super) struct Buckets(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    full_at_us: HashMap<Name, i64>,
    swept_us: i64,
}

impl Buckets {
    pub(super) fn take(&self, who: &Name, rate: Rate, now_ms: i64) -> Verdict {
        let now_us = now_ms.saturating_mul(1000);
        let Ok(mut held) = self.0.lock() else { return rate.verdict(0, 0) };
        let place = held.place(who, now_us);
        let full_at_us = held.full_at_us.entry(place).or_insert(now_us);
        let (after, verdict) = rate.take(*full_at_us, now_us);
        *full_at_us = after;
        verdict
    }
}

impl Held {
    fn place(&mut self, who: &Name, now_us: i64) -> Name {
        if self.full_at_us.len() < BUCKETS_MAX || self.full_at_us.contains_key(who) {
            return *who;
        }
        if now_us - self.swept_us >= SWEEP_US {
            self.swept_us = now_us;
            self.full_at_us.retain(|_, full_at| *full_at > now_us);
        }
        if self.full_at_us.len() < BUCKETS_MAX { *who } else { Name::default() }
    }
}

#[cfg(test)]
mod tests;
