//! What a publisher may send, and how many may be on air at a time.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// Upper limits of one publisher; what is not set is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Sound and picture together, averaged over a few seconds. Bits per second.
    pub bitrate_bps: Option<u64>,
    /// Picture width. Pixels.
    pub width: Option<u32>,
    /// Picture height. Pixels.
    pub height: Option<u32>,
    /// How long a publisher may stay. Seconds.
    pub duration_s: Option<u64>,
    /// Inputs on air at a time under the same rule, key or token. A publisher that comes back for the same input
    /// is not counted twice.
    pub concurrent: Option<u32>,
}

/// What a publisher was seen to send; 0 where nothing is known yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measured {
    /// Bits per second, averaged.
    pub bitrate_bps: u64,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Seconds on air.
    pub duration_s: u64,
}

impl Limits {
    /// The reason why a publisher has to go, with what helps; `None` while all is well.
    #[must_use]
    pub fn check(&self, measured: Measured) -> Option<String> {
        let over = |value: u64, max: Option<u64>| max.filter(|&max| value > max);
        if let Some(max) = over(measured.bitrate_bps, self.bitrate_bps) {
            let kbps = |bps: u64| bps.div_ceil(1000);
            return Some(format!(
                "the stream has {} kbit/s and {} are allowed: lower the bitrate in the encoder",
                kbps(measured.bitrate_bps),
                kbps(max)
            ));
        }
        let pixels = [("wide", measured.width, self.width), ("high", measured.height, self.height)];
        for (what, value, max) in pixels {
            if let Some(max) = over(value.into(), max.map(u64::from)) {
                return Some(format!(
                    "the picture is {value} pixels {what} and {max} are allowed: lower the resolution in the encoder"
                ));
            }
        }
        over(measured.duration_s, self.duration_s).map(|max| {
            format!("the stream has been on air for the {max} s that are allowed: publish again to go on")
        })
    }

    /// Both together: of each limit the lower one.
    pub(crate) fn and(self, other: Self) -> Self {
        fn lower<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
            match (a, b) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            }
        }
        Self {
            bitrate_bps: lower(self.bitrate_bps, other.bitrate_bps),
            width: lower(self.width, other.width),
            height: lower(self.height, other.height),
            duration_s: lower(self.duration_s, other.duration_s),
            concurrent: lower(self.concurrent, other.concurrent),
        }
    }

    /// The names of limits that are 0 and so would let nothing through.
    pub(crate) fn zeros(&self) -> impl Iterator<Item = &'static str> {
        [
            ("bitrate_bps", self.bitrate_bps == Some(0)),
            ("width", self.width == Some(0)),
            ("height", self.height == Some(0)),
            ("duration_s", self.duration_s == Some(0)),
            ("concurrent", self.concurrent == Some(0)),
        ]
        .into_iter()
        .filter_map(|(name, zero)| zero.then_some(name))
    }
}

/// A quota: the rule, key or token under which places are counted, and how many there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) name: String,
    pub(crate) max: u32,
}

/// Holds of each place, by quota. Several holds of one place are a publisher that came back before the old
/// connection was found dead.
type Places = HashMap<String, HashMap<String, u32>>;

/// Who is on air under which quota.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    places: Arc<Mutex<Places>>,
}

/// A place in a quota, given back when dropped. Keep it for as long as the publisher stays.
pub struct Lease {
    places: Arc<Mutex<Places>>,
    quotas: Vec<String>,
    place: String,
}

impl Leases {
    /// Takes the place in every quota, or in none when one of them is full; the error is that quota.
    pub(crate) fn take(&self, quotas: Vec<Quota>, place: &str) -> Result<Option<Lease>, Quota> {
        if quotas.is_empty() {
            return Ok(None);
        }
        let mut places = locked(&self.places);
        let full = quotas.iter().find(|quota| {
            places.get(&quota.name).is_some_and(|taken| {
                !taken.contains_key(place) && u32::try_from(taken.len()).unwrap_or(u32::MAX) >= quota.max
            })
        });
        if let Some(full) = full {
            return Err(full.clone());
        }
        let quotas: Vec<_> = quotas.into_iter().map(|quota| quota.name).collect();
        for quota in &quotas {
            *places.entry(quota.clone()).or_default().entry(place.to_owned()).or_default() += 1;
        }
        Ok(Some(Lease { places: Arc::clone(&self.places), quotas, place: place.to_owned() }))
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        locked(&self.places).is_empty()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut places = locked(&self.places);
        for quota in &self.quotas {
            let Some(taken) = places.get_mut(quota) else { continue };
            if let Some(holds) = taken.get_mut(&self.place) {
                *holds -= 1;
                if *holds == 0 {
                    taken.remove(&self.place);
                }
            }
            if taken.is_empty() {
                places.remove(quota);
            }
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("quotas", &self.quotas).field("place", &self.place).finish()
    }
}

/// Counts are whole even if a holder of the lock panicked.
fn locked(places: &Mutex<Places>) -> MutexGuard<'_, Places> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publisher_over_a_limit_is_told_which_and_what_helps() {
        let limits = Limits {
            bitrate_bps: Some(8_000_000),
            width: Some(1920),
            height: Some(1080),
            duration_s: Some(60),
            concurrent: Some(1),
        };
        let good = Measured { bitrate_bps: 8_000_000, width: 1920, height: 1080, duration_s: 60 };
        assert_eq!(limits.check(good), None);
        assert_eq!(limits.check(Measured::default()), None);
        for (bad, want) in [
            (
                Measured { bitrate_bps: 8_000_001, ..good },
                "the stream has 8001 kbit/s and 8000 are allowed: lower the bitrate in the encoder",
            ),
            (
                Measured { width: 1921, ..good },
                "the picture is 1921 pixels wide and 1920 are allowed: lower the resolution in the encoder",
            ),
            (
                Measured { height: 2160, ..good },
                "the picture is 2160 pixels high and 1080 are allowed: lower the resolution in the encoder",
            ),
            (
                Measured { duration_s: 61, ..good },
                "the stream has been on air for the 60 s that are allowed: publish again to go on",
            ),
        ] {
            assert_eq!(limits.check(bad).as_deref(), Some(want));
            assert_eq!(Limits::default().check(bad), None);
        }
    }

    #[test]
    fn of_two_limits_the_lower_one_holds() {
        let a = Limits { bitrate_bps: Some(5), width: Some(7), ..Limits::default() };
        let b = Limits { bitrate_bps: Some(6), height: Some(8), ..Limits::default() };
        let both = Limits { bitrate_bps: Some(5), width: Some(7), height: Some(8), ..Limits::default() };
        assert_eq!((a.and(b), b.and(a)), (both, both));
        assert_eq!(a.and(Limits::default()), a);
    }

    fn quota(name: &str, max: u32) -> Quota {
        Quota { name: name.into(), max }
    }

    #[test]
    fn a_place_is_given_back_when_its_lease_is_dropped() {
        let leases = Leases::default();
        let first = leases.take(vec![quota("rule", 1)], "live/a").unwrap();
        assert_eq!(leases.take(vec![quota("rule", 1)], "live/b").unwrap_err(), quota("rule", 1));
        assert!(leases.take(vec![quota("other", 1)], "live/b").is_ok());
        let again =
            leases.take(vec![quota("rule", 1)], "live/a").expect("the same place is not counted twice");
        drop(first);
        assert!(
            leases.take(vec![quota("rule", 1)], "live/b").is_err(),
            "the one that came back still holds it"
        );
        drop(again);
        assert!(leases.is_empty());
    }

    #[test]
    fn a_full_quota_leaves_nothing_taken_in_the_others() {
        let leases = Leases::default();
        let held = leases.take(vec![quota("b", 1)], "x").unwrap();
        assert!(leases.take(vec![quota("a", 1), quota("b", 1)], "y").is_err());
        drop(held);
        assert!(leases.is_empty());
        assert!(leases.take(Vec::new(), "x").unwrap().is_none(), "without a quota there is nothing to hold");
    }
}
