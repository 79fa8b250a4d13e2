//! Who owns a stream's name, and since when it has been silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

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
