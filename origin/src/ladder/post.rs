//! What passes between a stream's shard and the task that keeps its worker: samples there, what was coded back.
//!
//! The shard never waits. When the worker is behind by more than the queue holds, what waits is dropped up to the
//! source's next key frame, for the worker only. A number, the epoch, says which samples belong together: all of an
//! older one are dropped by whoever meets them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use nx_media::{Kind, Sample, VIDEO_TIMESCALE};
use nx_worker_protocol::{Ladder, OUTPUTS_MAX, Reply};
use tokio::sync::mpsc;

use crate::hub::lock;

/// Samples that may wait for a worker, their bytes, and their time, 90 kHz: what is later has no place any more.
const JOBS_MAX: usize = 512;
const BYTES_MAX: usize = 16 << 20;
const WAIT_MAX: i64 = 2 * VIDEO_TIMESCALE as i64;
/// A pause in the source counts as so much at most, 90 kHz.
const STEP_MAX: i64 = VIDEO_TIMESCALE as i64;
/// Answers that may wait for the shard, which takes them at once, and the bytes of their samples.
const REPLIES_MAX: usize = 4096;
const REPLY_BYTES_MAX: usize = 64 << 20;

/// What a ladder is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// A worker is being started.
    Starting,
    /// It codes.
    Running,
    /// It died, another is about to be started.
    Waiting,
    /// There will be none.
    Dropped,
}

/// How it stands with a ladder's worker.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) state: State,
    pub(crate) pid: Option<u32>,
    pub(crate) crashes: u64,
    /// CPU time per time of the stream, of late.
    pub(crate) cpu: f64,
    /// Samples that could not be decoded.
    pub(crate) damaged: u64,
    /// Why there is none, or why the last one died.
    pub(crate) reason: Option<String>,
}

/// A sample of the source.
pub(crate) struct Job {
    epoch: u64,
    /// [`Shared::offered`] with it.
    at: i64,
    pub(crate) kind: Kind,
    pub(crate) sample: Sample,
}

/// Tells the shard that there is something for it.
pub(crate) type Ring = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Replies {
    list: VecDeque<Reply>,
    bytes: usize,
}

/// What both ends see.
pub(crate) struct Shared {
    pub(crate) ladder: Ladder,
    epoch: AtomicU64,
    /// Of samples that wait.
    bytes: AtomicUsize,
    /// A bit for each output.
    wanted: AtomicU32,
    /// Time of the source that was offered so far, without pauses, 90 kHz; and what of it the worker has taken.
    offered: AtomicI64,
    taken: AtomicI64,
    /// Times that what waited was dropped.
    skips: AtomicU64,
    replies: Mutex<Replies>,
    standing: Mutex<Standing>,
    ring: Ring,
}

/// The shard's end. The worker goes when it does.
pub(crate) struct Post {
    jobs: mpsc::Sender<Job>,
    pub(crate) shared: Arc<Shared>,
    /// Of the samples that are sent now, once there was a key frame.
    epoch: Option<u64>,
    /// Decode time of the newest that was offered, 90 kHz.
    newest: i64,
}

/// The worker's end.
pub(crate) struct Counter {
    jobs: mpsc::Receiver<Job>,
    pub(crate) shared: Arc<Shared>,
}

/// Both ends, for one ladder; every output is wanted.
pub(crate) fn open(ladder: Ladder, ring: Ring) -> (Post, Counter) {
    let (sender, receiver) = mpsc::channel(JOBS_MAX);
    let standing =
        Standing { state: State::Starting, pid: None, crashes: 0, cpu: 0.0, damaged: 0, reason: None };
    let shared = Arc::new(Shared {
        ladder,
        epoch: AtomicU64::new(0),
        bytes: AtomicUsize::new(0),
        wanted: AtomicU32::new(u32::MAX),
        offered: AtomicI64::new(0),
        taken: AtomicI64::new(0),
        skips: AtomicU64::new(0),
        replies: Mutex::default(),
        standing: Mutex::new(standing),
        ring,
    });
    (
        Post { jobs: sender, shared: shared.clone(), epoch: None, newest: i64::MAX },
        Counter { jobs: receiver, shared },
    )
}

impl Post {
    /// Offers a sample; `dts` is its decode time, 90 kHz.
    pub(crate) fn send(&mut self, kind: Kind, sample: &Sample, dts: i64) {
        let shared = &self.shared;
        if self.jobs.is_closed() {
            return;
        }
        let epoch = shared.epoch.load(Ordering::Acquire);
        let leads = kind == Kind::Video || shared.ladder.video.is_none();
        if leads {
            let step = dts.saturating_sub(std::mem::replace(&mut self.newest, dts)).clamp(0, STEP_MAX);
            shared.offered.fetch_add(step, Ordering::Relaxed);
        }
        if self.epoch != Some(epoch) {
            if !(leads && sample.key) {
                return;
            }
            self.epoch = Some(epoch);
        }
        let (len, at) = (sample.payload.len(), shared.offered());
        let full = shared.bytes.load(Ordering::Relaxed).saturating_add(len) > BYTES_MAX
            || at.saturating_sub(shared.taken.load(Ordering::Relaxed)) > WAIT_MAX;
        let job = Job { epoch, at, kind, sample: sample.clone() };
        // Counted first: the other end may have it before this one goes on.
        shared.bytes.fetch_add(len, Ordering::Relaxed);
        if full || self.jobs.try_send(job).is_err() {
            shared.bytes.fetch_sub(len, Ordering::Relaxed);
            shared.skips.fetch_add(1, Ordering::Relaxed);
            shared.turn();
        }
    }

    /// Decode time of the newest that was offered, 90 kHz.
    pub(crate) fn newest(&self) -> i64 {
        self.newest
    }

    /// Says whether an output is wanted.
    pub(crate) fn want(&self, output: usize, on: bool) {
        let bit = 1 << (output % OUTPUTS_MAX);
        if on {
            self.shared.wanted.fetch_or(bit, Ordering::Relaxed);
        } else {
            self.shared.wanted.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    /// What the worker said since the last time.
    pub(crate) fn replies(&self) -> VecDeque<Reply> {
        std::mem::take(&mut *lock(&self.shared.replies)).list
    }
}

impl Counter {
    /// The next sample; `None` when nobody wants the ladder any more.
    pub(crate) async fn next(&mut self) -> Option<Job> {
        loop {
            let job = self.jobs.recv().await?;
            self.shared.bytes.fetch_sub(job.sample.payload.len(), Ordering::Relaxed);
            self.shared.taken.store(job.at, Ordering::Relaxed);
            if job.epoch == self.shared.epoch.load(Ordering::Acquire) {
                return Some(job);
            }
        }
    }

    /// Nobody wants the ladder any more.
    pub(crate) fn is_over(&self) -> bool {
        self.jobs.is_closed()
    }
}

impl Shared {
    /// What waits is dropped; what follows begins with a key frame.
    pub(crate) fn turn(&self) {
        self.taken.store(self.offered(), Ordering::Relaxed);
        self.epoch.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn is_wanted(&self, output: usize) -> bool {
        self.wanted.load(Ordering::Relaxed) & (1 << (output % OUTPUTS_MAX)) != 0
    }

    /// See [`Shared::offered`].
    pub(crate) fn offered(&self) -> i64 {
        self.offered.load(Ordering::Relaxed)
    }

    /// See [`Shared::skips`].
    pub(crate) fn skips(&self) -> u64 {
        self.skips.load(Ordering::Relaxed)
    }

    pub(crate) fn standing(&self) -> Standing {
        lock(&self.standing).clone()
    }

    /// Notes how it stands with the worker.
    pub(crate) fn stand(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut lock(&self.standing));
        (self.ring)();
    }

    /// Hands an answer to the shard. One that takes none loses what waits.
    pub(crate) fn reply(&self, reply: Reply) {
        let bytes = if let Reply::Coded { sample, .. } = &reply { sample.payload.len() } else { 0 };
        let first = {
            let mut replies = lock(&self.replies);
            if replies.list.len() >= REPLIES_MAX || replies.bytes > REPLY_BYTES_MAX {
                *replies = Replies::default();
            }
            replies.bytes += bytes;
            replies.list.push_back(reply);
            replies.list.len() == 1
        };
        if first {
            (self.ring)();
        }
    }
}
