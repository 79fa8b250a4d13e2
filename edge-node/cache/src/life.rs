//! How old something is and what may still be done with it (RFC 9111 §4.2, RFC 5861).

use serde::{Deserialize, Serialize};

/// The times of a response that is kept; all in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// Unix time at which it was generated: when it came, less the age that it had by then.
    pub born_ms: i64,
    /// How long it is fresh.
    pub fresh_ms: i64,
    /// How long behind that it may be served while it is asked for anew (`stale-while-revalidate`).
    pub spare_ms: i64,
    /// How long behind that it may be served when asking fails (`stale-if-error`).
    pub rescue_ms: i64,
}

/// What may be done without asking the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Serve it.
    Fresh,
    /// Serve it, and ask for it behind the viewer's back.
    Spare,
    /// Ask first.
    Stale,
}

impl Life {
    /// Its age in milliseconds. A clock that was set back makes nothing younger than new.
    #[must_use]
    pub fn age_ms(&self, now_ms: i64) -> i64 {
        now_ms.saturating_sub(self.born_ms).max(0)
    }

    /// What may be done with it now.
    #[must_use]
    pub fn standing(&self, now_ms: i64) -> Standing {
        let age = self.age_ms(now_ms);
        if age < self.fresh_ms {
            Standing::Fresh
        } else if age < self.fresh_ms.saturating_add(self.spare_ms) {
            Standing::Spare
        } else {
            Standing::Stale
        }
    }

    /// Whether it may be served now because the origin does not answer.
    #[must_use]
    pub fn may_rescue(&self, now_ms: i64) -> bool {
        self.age_ms(now_ms) < self.fresh_ms.saturating_add(self.rescue_ms)
    }

    /// Milliseconds for which it is still fresh; negative when it is stale.
    #[must_use]
    pub fn left_ms(&self, now_ms: i64) -> i64 {
        self.fresh_ms.saturating_sub(self.age_ms(now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standing_changes_at_the_very_millisecond() {
        let life = Life { born_ms: 1_000, fresh_ms: 100, spare_ms: 50, rescue_ms: 500 };
        for (now, standing, rescue, left) in [
            (0, Standing::Fresh, true, 100),
            (1_000, Standing::Fresh, true, 100),
            (1_099, Standing::Fresh, true, 1),
            (1_100, Standing::Spare, true, 0),
            (1_149, Standing::Spare, true, -49),
            (1_150, Standing::Stale, true, -50),
            (1_599, Standing::Stale, true, -499),
            (1_600, Standing::Stale, false, -500),
            (i64::MAX, Standing::Stale, false, 100 - (i64::MAX - 1_000)),
        ] {
            assert_eq!(
                (life.standing(now), life.may_rescue(now), life.left_ms(now)),
                (standing, rescue, left),
                "{now}"
            );
        }
    }
}
