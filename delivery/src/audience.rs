//! Who watches over HTTP.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, HeaderValue, header};

/// Viewers remembered per stream; beyond, the count stays at this.
const VIEWERS_MAX: usize = 20_000;
/// A viewer that asked for nothing for this long has left.
const GONE_MS: i64 = 10_000;
/// A full list is looked through no more often than this.
const LOOK_MS: i64 = 1_000;

/// Viewers over HTTP: whoever asked for a media playlist lately.
///
/// A player that tells its session (CMCD `sid`) is one viewer. Of the others an address and a player together are,
/// so two tabs of one browser count once.
#[derive(Debug, Default)]
pub struct Audience {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    last_ms: HashMap<Viewer, i64>,
    looked_ms: i64,
}

/// One who watches, by a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Viewer {
    Session(u64),
    Player(IpAddr, u64),
}

impl Viewer {
    /// By session when there is one, else by address and player software.
    pub(crate) fn of(session: Option<&str>, address: IpAddr, headers: &HeaderMap) -> Self {
        let mut hasher = DefaultHasher::new();
        if let Some(session) = session {
            session.hash(&mut hasher);
            return Self::Session(hasher.finish());
        }
        headers.get(header::USER_AGENT).map(HeaderValue::as_bytes).hash(&mut hasher);
        Self::Player(address, hasher.finish())
    }
}

impl Audience {
    pub(crate) fn note(&self, viewer: Viewer, now_ms: i64) {
        let mut seen = self.lock();
        let full = seen.last_ms.len() >= VIEWERS_MAX;
        if full && now_ms - seen.looked_ms >= LOOK_MS {
            seen.look(now_ms);
        }
        let room = seen.last_ms.len() < VIEWERS_MAX;
        if room || seen.last_ms.contains_key(&viewer) {
            seen.last_ms.insert(viewer, now_ms);
        }
    }

    /// How many are watching at `now_ms` (Unix time).
    #[must_use]
    pub fn count(&self, now_ms: i64) -> usize {
        let mut seen = self.lock();
        seen.look(now_ms);
        seen.last_ms.len()
    }

    /// How many of them told their session.
    #[must_use]
    pub fn sessions(&self, now_ms: i64) -> usize {
        let mut seen = self.lock();
        seen.look(now_ms);
        seen.last_ms.keys().filter(|v| matches!(v, Viewer::Session(_))).count()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn look(&mut self, now_ms: i64) {
        self.looked_ms = now_ms;
        self.last_ms.retain(|_, at| now_ms - *at < GONE_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_sessions_exactly_and_the_others_by_address_and_player() {
        let audience = Audience::default();
        let (here, there) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut firefox = HeaderMap::new();
        firefox.insert(header::USER_AGENT, HeaderValue::from_static("Firefox"));
        let none = HeaderMap::new();
        for (session, address, headers) in [
            (None, here, &none),
            (None, here, &none),
            (None, here, &firefox),
            (None, there, &firefox),
            (Some("a"), here, &firefox),
            (Some("a"), there, &none),
            (Some("b"), here, &firefox),
        ] {
            audience.note(Viewer::of(session, address, headers), 0);
        }
        assert_eq!((audience.count(5_000), audience.sessions(5_000)), (5, 2));
        audience.note(Viewer::of(Some("b"), here, &none), 6_000);
        assert_eq!((audience.count(12_000), audience.sessions(12_000)), (1, 1));
    }

    #[test]
    fn a_flood_of_names_leaves_the_count_at_its_bound_until_they_are_gone() {
        let audience = Audience::default();
        for n in 0..VIEWERS_MAX as u64 + 500 {
            audience.note(Viewer::Session(n), 0);
        }
        assert_eq!(audience.count(1), VIEWERS_MAX);
        audience.note(Viewer::Session(0), GONE_MS + LOOK_MS);
        assert_eq!(audience.count(GONE_MS + LOOK_MS), 1);
    }
}
