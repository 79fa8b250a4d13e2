//! What was taken back: one token, all of one viewer, all for one stream, or all there were.
//!
//! ```text
//! whoever may ─► POST …/revocations ─► on disk here ─► asked for by other nodes (GET /revocations), which wait for more
//! ```
//!
//! Nothing is given back: what a node knows only grows, so it can be put together out of several lists.

mod list;
mod log;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use nx_media::StreamKey;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::claims::{CLOCKS_S, Claims};
pub use list::List;
use log::Log;

/// Where an origin says what is taken back.
pub const REVOCATIONS: &str = "/revocations";
/// Most that is remembered; then [`What::Everything`] makes room.
pub const REVOCATIONS_MAX: usize = 1 << 16;
/// How long one is remembered after its tokens have ended, whatever the clocks of nodes say; seconds.
const LINGERS_S: i64 = 3_600;
/// What is known is looked through for what is over whenever it has doubled, and not before there is so much.
const LOOKED_THROUGH_MIN: usize = 1 << 10;
/// Longest name in one, bytes.
const NAME_BYTES_MAX: usize = 256;

/// What is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The token with this `cti`, in lower-case hexadecimal digits.
    Token(String),
    /// Whatever has this `sub`.
    Subject(String),
    /// Whatever opens this stream.
    Stream(String),
    /// Whatever there is.
    Everything,
}

impl What {
    /// Why it is none, in words.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        let hex = |text: &str| {
            text.len().is_multiple_of(2) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        match self {
            Self::Token(id) | Self::Subject(id) if id.is_empty() || id.len() > NAME_BYTES_MAX => {
                Some("must have 1 to 256 characters")
            }
            Self::Subject(id) if id.chars().any(char::is_control) => Some("must have no control characters"),
            Self::Token(id) if !hex(id) => Some("must be the token's cti in lower-case hexadecimal digits"),
            Self::Stream(name) if StreamKey::parse(name).is_err() => Some("must be APPLICATION/STREAM"),
            _ => None,
        }
    }
}

/// Tokens of `what` that were made before a time, or do not say when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Its place in the list that it came by, from 1.
    pub seq: u64,
    /// What is taken back.
    pub what: What,
    /// Tokens made later hold again, unless it is about a single one; Unix seconds.
    pub before_s: i64,
    /// None of them holds any longer anyway: it is forgotten some time after; Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_s: Option<i64>,
}

/// Whether what ends at a time, or never, says nothing any more.
fn is_over(until_s: Option<i64>, now_s: i64) -> bool {
    until_s.is_some_and(|until_s| until_s.saturating_add(LINGERS_S) < now_s)
}

/// The later of two ends, where never is the latest.
fn later(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.zip(other).map(|(one, other)| one.max(other))
}

/// The list, from a place on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Page {
    /// Which list it is: another one begins anew.
    pub log: String,
    /// The last place that is taken.
    pub newest: u64,
    /// In their order.
    pub items: Vec<Revocation>,
}

/// From when on tokens hold again, and when none is left that was made before.
#[derive(Debug, Default)]
struct Known {
    of: HashMap<What, (i64, Option<i64>)>,
    /// Looked through when there is so much.
    full: usize,
}

/// What was taken back, as far as it is known here.
pub(crate) struct Revoked {
    known: RwLock<Known>,
    /// What was taken back here. Never held while waiting for the disk.
    own: Mutex<List>,
    /// Locked while something is written down, so that it is in order.
    log: Mutex<Log>,
    newest: watch::Sender<u64>,
}

impl Revoked {
    /// Reads what this node has taken back, in `file`, which is made when there is something to write; without one nothing
    /// outlives the process.
    pub(crate) fn open(file: Option<PathBuf>) -> io::Result<Self> {
        let (log, own) = Log::open(file)?;
        let this = Self {
            known: RwLock::default(),
            newest: watch::Sender::new(own.newest()),
            own: Mutex::default(),
            log: Mutex::new(log),
        };
        this.learn(own.items());
        *this.own() = own;
        Ok(this)
    }

    fn own(&self) -> MutexGuard<'_, List> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes something back, for good: it is on disk when this returns.
    pub(crate) fn revoke(
        &self,
        what: What,
        until_s: Option<i64>,
        now_s: i64,
    ) -> Result<Revocation, RevokeError> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let (name, newest, count, has) = {
            let mut own = self.own();
            own.look_through(now_s);
            (own.log.clone(), own.newest(), own.len(), own.has(&what))
        };
        if count >= REVOCATIONS_MAX && !has && what != What::Everything {
            return Err(RevokeError::Full);
        }
        let item = Revocation { seq: newest + 1, what, before_s: now_s, until_s };
        log.write(&name, count, &item, || self.own().items().cloned().collect())
            .map_err(RevokeError::Disk)?;
        self.own().put(item.clone());
        self.learn([&item]);
        self.newest.send_replace(item.seq);
        Ok(item)
    }

    /// Takes over what another node has taken back.
    pub(crate) fn learn<'a>(&self, items: impl IntoIterator<Item = &'a Revocation>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for item in items {
            let (before, until) = known.of.entry(item.what.clone()).or_insert((item.before_s, item.until_s));
            (*before, *until) = ((*before).max(item.before_s), later(*until, item.until_s));
            // It was made at that time, if by another's clock.
            known.look_through(item.before_s);
        }
        if let Some((all, _)) = known.of.get(&What::Everything).copied() {
            known.of.retain(|what, (before, _)| *what == What::Everything || *before > all);
        }
    }

    /// See [`List::since`].
    pub(crate) fn since(&self, log: &str, place: u64, limit: usize) -> Page {
        self.own().since(log, place, limit)
    }

    pub(crate) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Whether a token that opens this stream was taken back.
    pub(crate) fn has(&self, claims: &Claims, stream: Option<&str>) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.of.is_empty() {
            return false;
        }
        let early = |(before, _): &(i64, Option<i64>)| {
            claims.issued_s.is_none_or(|s| s <= before.saturating_add(CLOCKS_S))
        };
        let hit = |what: What| known.of.get(&what).is_some_and(early);
        hit(What::Everything)
            || (!claims.id.is_empty() && known.of.contains_key(&What::Token(claims.id_text())))
            || claims.subject.clone().is_some_and(|subject| hit(What::Subject(subject)))
            || stream.is_some_and(|stream| hit(What::Stream(stream.to_owned())))
    }

    pub(crate) fn count(&self) -> usize {
        self.known.read().unwrap_or_else(PoisonError::into_inner).of.len()
    }
}

impl Known {
    fn look_through(&mut self, now_s: i64) {
        if self.of.len() >= self.full.max(LOOKED_THROUGH_MIN) {
            self.of.retain(|_, (_, until_s)| !is_over(*until_s, now_s));
            self.full = self.of.len() * 2;
        }
    }
}

/// Why something was not taken back.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// No room.
    #[error(
        "{REVOCATIONS_MAX} are taken back already; take back everything made so far, and give out new tokens"
    )]
    Full,
    /// It could not be written down.
    #[error("it could not be written down: {0}")]
    Disk(io::Error),
}
