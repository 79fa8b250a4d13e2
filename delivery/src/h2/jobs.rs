//! Answers and bodies that are waited for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};

/// Something to come for a stream.
pub(super) type Job<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The jobs of a connection, no more than it has streams. Only those that were woken are looked at.
pub(super) struct Jobs<T>(Vec<Entry<T>>);

struct Entry<T> {
    stream: u32,
    bell: Arc<Bell>,
    waker: Waker,
    job: Job<T>,
}

/// Notes which job was woken, and wakes the connection.
struct Bell {
    rung: AtomicBool,
    connection: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.connection.wake_by_ref();
        }
    }
}

impl<T> Jobs<T> {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// What comes of a job at once; else it is kept.
    pub(super) fn start(&mut self, stream: u32, mut job: Job<T>, cx: &mut TaskContext<'_>) -> Option<T> {
        // Most are ready: the bell is made for the others, which are asked once more with it.
        if let Poll::Ready(done) = job.as_mut().poll(cx) {
            return Some(done);
        }
        let bell = Arc::new(Bell { rung: AtomicBool::new(true), connection: cx.waker().clone() });
        self.0.push(Entry { stream, waker: bell.clone().into(), bell, job });
        None
    }

    /// A job that is done, if there is one.
    pub(super) fn next(&mut self) -> Option<(u32, T)> {
        for place in 0..self.0.len() {
            let Some(entry) = self.0.get_mut(place) else { break };
            if !entry.bell.rung.swap(false, Ordering::AcqRel) {
                continue;
            }
            if let Poll::Ready(done) = entry.job.as_mut().poll(&mut TaskContext::from_waker(&entry.waker)) {
                let stream = self.0.swap_remove(place).stream;
                self.tidy();
                return Some((stream, done));
            }
        }
        None
    }

    /// Nobody waits for this any more.
    pub(super) fn forget(&mut self, stream: u32) {
        self.0.retain(|entry| entry.stream != stream);
        self.tidy();
    }

    /// No room is kept for none.
    fn tidy(&mut self) {
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }
}
