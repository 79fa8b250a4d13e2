//! Object storage behind the disk: what is said to it, and how it is doing.
//!
//! ```text
//! APP/STREAM/run-7        as on disk; never written over
//! APP/STREAM/N.media      as on disk
//! APP/STREAM/N.heads      headers of its fragments, so that an MP4 of it needs none of its media
//! APP/STREAM/N.index      as on disk; put last and taken away first: without it there is no volume
//! ```

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use nx_media::StreamKey;

use crate::source::Source;
use reads::Reads;

pub(crate) mod heads;
mod reads;
pub(crate) mod restore;
pub(crate) mod upload;

/// What is read at a time where no more is known than a place; a power of two.
const BLOCK: u64 = 1 << 20;

/// Storage of whole objects by name (`a/b/c`). Every call blocks, for a bounded time; when the storage does not answer or
/// answers nonsense the error is [`io::ErrorKind::HostUnreachable`].
pub trait Objects: Debug + Send + Sync {
    /// Stores so many bytes of `content` in place of what is there. Returns when the storage has confirmed that it has
    /// them all and unchanged; after an error there is the old object, the new one, or none.
    ///
    /// # Errors
    /// Not confirmed; or `content` cannot be read.
    fn put(&self, name: &str, content: &dyn Source, bytes: u64) -> io::Result<()>;

    /// Stores an object unless there is one of the name; false when there is.
    ///
    /// # Errors
    /// Not confirmed.
    fn create(&self, name: &str, content: Bytes) -> io::Result<bool>;

    /// The object, or so many bytes of it from a place on.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`]; or no answer.
    fn get(&self, name: &str, range: Option<(u64, u64)>) -> io::Result<Bytes>;

    /// Last parts of the names directly below a folder, of folders or of objects.
    ///
    /// # Errors
    /// No answer.
    fn list(&self, folder: &str, folders: bool) -> io::Result<Vec<String>>;

    /// Removes an object if there is one.
    ///
    /// # Errors
    /// Not confirmed.
    fn delete(&self, name: &str) -> io::Result<()>;

    /// What waits and what comes is refused: the process ends.
    fn stop(&self);
}

/// Object storage, and what may be kept there.
#[derive(Debug, Clone)]
pub struct Tier {
    /// Which.
    pub objects: Arc<dyn Objects>,
    /// How long a segment is kept, on disk and there, milliseconds; at least as long as on disk.
    pub keep_ms: i64,
    /// Bytes of all streams there.
    pub bytes: u64,
}

/// How object storage is doing; counters since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CloudTotals {
    /// The last try of every stream was answered.
    pub up: bool,
    /// Closed volumes that are not there yet.
    pub waiting: u64,
    /// Bytes of them.
    pub waiting_bytes: u64,
    /// When the last segment of the oldest of them began, Unix milliseconds.
    pub oldest_waiting_ms: Option<i64>,
    /// Volumes that were confirmed.
    pub uploaded: u64,
    /// Bytes of their media.
    pub uploaded_bytes: u64,
    /// Uploads and deletions that failed and are tried again.
    pub failures: u64,
    /// Volumes whose media left the disk.
    pub shed: u64,
    /// Volumes dropped before they were there: the disk was full.
    pub dropped: u64,
    /// Ranges read.
    pub reads: u64,
    /// Reads that got nothing.
    pub read_failures: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Cloud {
    pub(crate) tier: Tier,
    reads: Reads,
    /// Streams whose last upload failed.
    failing: Mutex<BTreeSet<StreamKey>>,
    reads_fail: AtomicBool,
    /// Everything that earlier machines left there is known here.
    restored: AtomicBool,
    stopped: Mutex<bool>,
    /// It ends, or everything is known.
    news: Condvar,
    pub(crate) uploaded: AtomicU64,
    pub(crate) uploaded_bytes: AtomicU64,
    failures: AtomicU64,
    pub(crate) shed: AtomicU64,
    pub(crate) dropped: AtomicU64,
    read: AtomicU64,
    read_failures: AtomicU64,
}

impl Cloud {
    pub(crate) fn new(tier: Tier) -> Self {
        Self {
            tier,
            reads: Reads::default(),
            failing: Mutex::default(),
            reads_fail: AtomicBool::new(false),
            restored: AtomicBool::new(false),
            stopped: Mutex::new(false),
            news: Condvar::new(),
            uploaded: AtomicU64::new(0),
            uploaded_bytes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            shed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            read: AtomicU64::new(0),
            read_failures: AtomicU64::new(0),
        }
    }

    /// Whether the streams here are all that are there.
    pub(crate) fn is_restored(&self) -> bool {
        self.restored.load(Ordering::Acquire)
    }

    pub(crate) fn set_restored(&self) {
        self.restored.store(true, Ordering::Release);
        self.news.notify_all();
    }

    /// A range as it is, once for all who want it now.
    pub(crate) fn range(&self, name: &str, at: u64, len: u64) -> io::Result<Bytes> {
        self.held((name.to_owned(), at, len), || self.tier.objects.get(name, Some((at, len))))
    }

    /// A whole object.
    pub(crate) fn whole(&self, name: &str) -> io::Result<Bytes> {
        self.held((name.to_owned(), 0, u64::MAX), || self.tier.objects.get(name, None))
    }

    /// A range of an object of `size` bytes, by way of blocks: for who reads on.
    pub(crate) fn blocks(&self, name: &str, size: u64, at: u64, len: u64) -> io::Result<Bytes> {
        let end = at.checked_add(len).filter(|end| *end <= size).ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut found = Vec::new();
        let (mut from, mut last) = (at, Bytes::new());
        while from < end {
            let begins = from & !(BLOCK - 1);
            let block = self.range(name, begins, BLOCK.min(size - begins))?;
            let to = end.min(begins + BLOCK);
            last = block.read(from - begins, to - from)?;
            if to < end || !found.is_empty() {
                found.extend_from_slice(&last);
            }
            from = to;
        }
        Ok(if found.is_empty() { last } else { found.into() })
    }

    fn held(&self, key: (String, u64, u64), fetch: impl FnOnce() -> io::Result<Bytes>) -> io::Result<Bytes> {
        self.reads.get(key, || {
            let got = fetch();
            self.read.fetch_add(1, Ordering::Relaxed);
            let fails = got.as_ref().is_err_and(|e| e.kind() != io::ErrorKind::NotFound);
            self.read_failures.fetch_add(u64::from(got.is_err()), Ordering::Relaxed);
            match (self.reads_fail.swap(fails, Ordering::Relaxed), &got) {
                (false, Err(error)) if fails => {
                    tracing::warn!(%error, "object storage cannot be read; what is on disk plays on");
                }
                (true, Ok(_)) => tracing::info!("object storage can be read again"),
                _ => {}
            }
            got
        })
    }

    /// Takes note of how an upload or a deletion of a stream ended.
    pub(crate) fn settle(&self, key: &StreamKey, done: &io::Result<()>) {
        let mut failing = self.failing();
        let before = failing.is_empty();
        match done {
            Ok(()) => failing.remove(key),
            Err(_) => failing.insert(key.clone()),
        };
        let after = failing.is_empty();
        drop(failing);
        match done {
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                if before {
                    tracing::warn!(stream = %key, %error, "object storage takes nothing; uploads are tried again until it does");
                }
            }
            Ok(()) if !before && after => tracing::info!("object storage takes everything again"),
            Ok(()) => {}
        }
    }

    /// Counters; what waits is for the caller to count.
    pub(crate) fn totals(&self) -> CloudTotals {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        CloudTotals {
            up: self.failing().is_empty() && !self.reads_fail.load(Ordering::Relaxed),
            uploaded: count(&self.uploaded),
            uploaded_bytes: count(&self.uploaded_bytes),
            failures: count(&self.failures),
            shed: count(&self.shed),
            dropped: count(&self.dropped),
            reads: count(&self.read),
            read_failures: count(&self.read_failures),
            ..CloudTotals::default()
        }
    }

    /// Ends the threads that carry volumes.
    pub(crate) fn stop(&self) {
        *self.stopped() = true;
        self.news.notify_all();
        self.tier.objects.stop();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.stopped()
    }

    /// Waits for so long, or until there is news.
    pub(crate) fn rest(&self, time: Duration) {
        let stopped = self.stopped();
        if !*stopped {
            drop(self.news.wait_timeout(stopped, time));
        }
    }

    fn stopped(&self) -> MutexGuard<'_, bool> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failing(&self) -> MutexGuard<'_, BTreeSet<StreamKey>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
