//! Who holds an input of a stream, and since when it has been silent.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

/// Why a name is no longer a publisher's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It left, or somebody else has it.
    Over,
    /// The key that opened it was deleted.
    Key,
}

/// Which of a stream's inputs, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    Primary,
    Backup,
    /// The clip that is shown when nobody sends.
    Slate,
}

impl Role {
    pub(crate) const ALL: [Self; 3] = [Self::Primary, Self::Backup, Self::Slate];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Backup => "backup",
            Self::Slate => "slate",
        }
    }
}

impl From<nx_admission::Input> for Role {
    fn from(input: nx_admission::Input) -> Self {
        match input {
            nx_admission::Input::Primary => Self::Primary,
            nx_admission::Input::Backup => Self::Backup,
        }
    }
}

/// One publisher's hold on a name; shared between the hub and the shard that reads it.
#[derive(Debug)]
pub(crate) struct Claim {
    /// Identifier of the connection, for the log.
    pub(crate) session: String,
    /// The run-time key that opened it.
    pub(crate) key: Option<String>,
    heard_ms: AtomicI64,
    /// Why it was.
    lost: OnceLock<Lost>,
}

impl Claim {
    pub(crate) fn new(key: Option<String>, now_ms: i64) -> Arc<Self> {
        let (session, lost) = (nx_delivery::random_id(), OnceLock::new());
        Arc::new(Self { session, key, heard_ms: AtomicI64::new(now_ms), lost })
    }

    /// Data came.
    pub(crate) fn heard(&self, now_ms: i64) {
        self.heard_ms.store(now_ms, Ordering::Relaxed);
    }

    /// When data last came.
    pub(crate) fn heard_ms(&self) -> i64 {
        self.heard_ms.load(Ordering::Relaxed)
    }

    /// The name is no longer this publisher's: the shard closes it. The first reason counts.
    pub(crate) fn lose(&self, why: Lost) {
        let _ = self.lost.set(why);
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.get().is_some()
    }

    /// Why it is lost, if it is.
    pub(crate) fn lost(&self) -> Option<Lost> {
        self.lost.get().copied()
    }
}
