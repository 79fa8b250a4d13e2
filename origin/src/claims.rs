//! Who holds an input of a stream, and since when it has been silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

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
    heard_ms: AtomicI64,
    lost: AtomicBool,
}

impl Claim {
    pub(crate) fn new(session: String, now_ms: i64) -> Arc<Self> {
        Arc::new(Self { session, heard_ms: AtomicI64::new(now_ms), lost: AtomicBool::new(false) })
    }

    /// Data came.
    pub(crate) fn heard(&self, now_ms: i64) {
        self.heard_ms.store(now_ms, Ordering::Relaxed);
    }

    /// When data last came.
    pub(crate) fn heard_ms(&self) -> i64 {
        self.heard_ms.load(Ordering::Relaxed)
    }

    /// Somebody else has the name now: the shard closes this publisher.
    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}
