//! Nexus COS reports its own errors: lines of the log at level `error`, and panics, go into a bounded queue, and from there
//! as events of Sentry to glitch in the same process, or to where a DSN says.
//!
//! Who reports never waits: what finds the queue full is counted and gone. What glitch itself says, and what is said
//! while reporting, is not reported, so that there is no loop.

mod dsn;
mod fault;
mod layer;
mod work;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, LazyLock, Mutex};

use nx_chassis::Ring;

pub use dsn::Dsn;
use fault::Fault;
pub use layer::layer;

/// Errors that wait to be reported.
const QUEUE_MAX: usize = 256;

/// The one queue of the process: the log and the panic hook are the process's too.
static QUEUE: LazyLock<Queue> = LazyLock::new(Queue::default);

struct Queue {
    faults: SyncSender<Fault>,
    /// Until somebody takes it.
    end: Mutex<Option<Receiver<Fault>>>,
    dropped: AtomicU64,
}

impl Default for Queue {
    fn default() -> Self {
        let (faults, end) = sync_channel(QUEUE_MAX);
        Self { faults, end: Mutex::new(Some(end)), dropped: AtomicU64::new(0) }
    }
}

impl Queue {
    fn push(&self, fault: Fault) {
        if is_ours() || self.faults.try_send(fault).is_err() {
            self.drop_one();
        }
    }

    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether this thread is one that reports or takes reports.
fn is_ours() -> bool {
    matches!(std::thread::current().name(), Some("glitch" | work::THREAD))
}

/// Errors that were not reported: too many at once, too often the same, nobody to take them, or of glitch itself.
pub fn dropped() -> u64 {
    QUEUE.dropped.load(Ordering::Relaxed)
}

/// Reports to `dsn` from now on, whatever follows.
pub fn report_to(dsn: Dsn) {
    work::start(work::To::Dsn(dsn));
}

/// Reports to glitch among the services of this process, unless it is reported elsewhere already.
pub fn report_in(ring: &Arc<Ring>) {
    if ring.has("glitch") {
        work::start(work::To::Ring(Arc::downgrade(ring)));
    }
}

#[cfg(test)]
mod tests;
