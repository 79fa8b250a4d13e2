//! A connection as its owner sees it: queues, figures, and the end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use bytes::Bytes;

use crate::clock::Clock;
use crate::stats::Stats;

/// Called when there is something to do for the link's owner. It must not block.
type Ring = Arc<dyn Fn() + Send + Sync>;

/// A connection. Clones are the same connection; when the last is dropped, the connection is closed.
#[derive(Clone)]
pub struct Link(pub(crate) Arc<Shared>);

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The network is slower than the sender: drop messages up to the next key frame.
    #[error("the send queue is full: drop up to the next key frame")]
    Full,
    /// The connection is closed.
    #[error("the connection is closed")]
    Closed,
}

/// What driver and owner share.
pub(crate) struct Shared {
    peer: SocketAddr,
    stream_id: String,
    queue_bytes_max: usize,
    inbox: Mutex<Queue<Bytes>>,
    outbox: Mutex<Queue<(Instant, Bytes)>>,
    stats: Mutex<Stats>,
    closed: OnceLock<String>,
    close_asked: AtomicBool,
    /// The owner was called and has not looked yet.
    rung: AtomicBool,
    ring: Mutex<Option<Ring>>,
}

struct Queue<T> {
    items: VecDeque<T>,
    bytes: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { items: VecDeque::new(), bytes: 0 }
    }
}

/// Poisoning means that another thread panicked while it held a queue, whose state is valid at every step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    pub(crate) fn new(peer: SocketAddr, stream_id: String, queue_bytes_max: usize) -> Self {
        Self(Arc::new(Shared {
            peer,
            stream_id,
            queue_bytes_max,
            inbox: Mutex::default(),
            outbox: Mutex::default(),
            stats: Mutex::default(),
            closed: OnceLock::new(),
            close_asked: AtomicBool::new(false),
            rung: AtomicBool::new(false),
            ring: Mutex::default(),
        }))
    }

    /// Moves all messages that came to the end of `into`, in order, and says how many. What came before a close is
    /// there after it.
    pub fn drain(&self, into: &mut Vec<Bytes>) -> usize {
        self.0.rung.store(false, Ordering::SeqCst);
        let mut inbox = lock(&self.0.inbox);
        let count = inbox.items.len();
        into.extend(inbox.items.drain(..));
        inbox.bytes = 0;
        count
    }

    /// Queues a message; in live mode at most 1456 bytes make one packet. It leaves within 10 ms.
    ///
    /// # Errors
    /// When too much waits already, or the connection is closed.
    pub fn send(&self, message: Bytes) -> Result<(), SendError> {
        if self.0.closed.get().is_some() || self.0.close_asked.load(Ordering::Relaxed) {
            return Err(SendError::Closed);
        }
        let mut outbox = lock(&self.0.outbox);
        if outbox.bytes.saturating_add(message.len()) > self.0.queue_bytes_max {
            return Err(SendError::Full);
        }
        outbox.bytes += message.len();
        outbox.items.push_back((Clock::read().now, message));
        Ok(())
    }

    /// The latest figures, at most a quarter of a second old.
    pub fn stats(&self) -> Stats {
        *lock(&self.0.stats)
    }

    /// Why the connection ended, once it has.
    pub fn closed(&self) -> Option<String> {
        self.0.closed.get().cloned()
    }

    /// Asks for an end: what was queued by [`Link::send`] still leaves.
    pub fn close(&self) {
        self.0.close_asked.store(true, Ordering::Relaxed);
    }

    /// Address of the peer.
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// The stream id of the handshake.
    pub fn stream_id(&self) -> &str {
        &self.0.stream_id
    }

    /// `ring` is called from the driver's thread when messages have come or the connection has ended: once, until
    /// [`Link::drain`] is called. It must not block. It is called at once if something is there already.
    pub fn set_waker(&self, ring: Box<dyn Fn() + Send + Sync>) {
        *lock(&self.0.ring) = Some(Arc::from(ring));
        self.0.rung.store(false, Ordering::SeqCst);
        if !lock(&self.0.inbox).items.is_empty() || self.0.closed.get().is_some() {
            self.0.call();
        }
        if self.0.closed.get().is_some() {
            lock(&self.0.ring).take();
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("peer", &self.0.peer)
            .field("stream_id", &self.0.stream_id)
            .finish_non_exhaustive()
    }
}

/// The driver's side.
impl Shared {
    /// Takes over `messages`; false when the owner is too slow for them.
    pub(crate) fn deliver(&self, messages: &mut Vec<Bytes>) -> bool {
        let bytes: usize = messages.iter().map(Bytes::len).sum();
        let mut inbox = lock(&self.inbox);
        if inbox.bytes.saturating_add(bytes) > self.queue_bytes_max {
            messages.clear();
            return false;
        }
        inbox.bytes += bytes;
        inbox.items.extend(messages.drain(..));
        drop(inbox);
        self.call();
        true
    }

    /// Messages to be sent, into `into`.
    pub(crate) fn collect(&self, into: &mut Vec<(Instant, Bytes)>) {
        let mut outbox = lock(&self.outbox);
        into.extend(outbox.items.drain(..));
        outbox.bytes = 0;
    }

    pub(crate) fn publish(&self, stats: Stats) {
        *lock(&self.stats) = stats;
    }

    pub(crate) fn close_asked(&self) -> bool {
        self.close_asked.load(Ordering::Relaxed)
    }

    pub(crate) fn stream_id(&self) -> &str {
        &self.stream_id
    }

    pub(crate) fn queue_bytes_max(&self) -> usize {
        self.queue_bytes_max
    }

    /// Sets the reason of the end and calls the owner a last time.
    pub(crate) fn finish(&self, reason: String) {
        if self.closed.set(reason).is_ok() {
            self.rung.store(false, Ordering::SeqCst);
            self.call();
            // The waker may hold the link itself.
            lock(&self.ring).take();
        }
    }

    fn call(&self) {
        let ring = lock(&self.ring).clone();
        if let Some(ring) = ring
            && !self.rung.swap(true, Ordering::SeqCst)
        {
            ring();
        }
    }
}
