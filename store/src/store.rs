//! All streams on this disk, and the thread that writes them.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nx_hls::{Run, Segment};
use nx_media::StreamKey;

use crate::cloud::upload;
use crate::cloud::{Cloud, CloudTotals, Tier};
use crate::log::Log;
use crate::open::{self, Found};
use crate::volume::Volume;

/// Bytes that may wait for the disk, all streams together.
const WAITING_BYTES: u64 = 64 << 20;
/// How long what is kept may be without the disk's confirmation.
const CONFIRM: Duration = Duration::from_secs(1);
/// How often a disk that refuses is complained about.
const COMPLAIN: Duration = Duration::from_secs(30);

/// What may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// How long a segment is kept, milliseconds.
    pub keep_ms: i64,
    /// Bytes of one stream.
    pub stream_bytes: u64,
    /// Bytes of all streams.
    pub bytes: u64,
}

/// Counted since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Segments kept.
    pub kept: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Segments lost: the disk was too slow, full or away.
    pub lost: u64,
    /// Volumes dropped to stay within the budget.
    pub dropped: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    folder: PathBuf,
    budget: Budget,
    cloud: Option<Arc<Cloud>>,
    logs: Mutex<HashMap<StreamKey, Arc<Log>>>,
    waiting: AtomicU64,
    kept: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    dropped: AtomicU64,
}

enum Job {
    Keep(Arc<Log>, Arc<Run>, usize, Segment),
    Close(Arc<Log>),
    /// Tells when everything before is on the disk.
    Confirm(Sender<()>),
}

impl Store {
    /// Opens a folder, made if need be, with everything that earlier processes kept in it.
    ///
    /// # Errors
    /// The folder cannot be read or made.
    pub fn open(folder: &Path, budget: Budget) -> io::Result<Self> {
        Self::open_with(folder, budget, None)
    }

    /// The same with object storage behind it.
    ///
    /// # Errors
    /// The folder cannot be read or made; storage that is away is no error.
    pub fn open_with(folder: &Path, budget: Budget, tier: Option<Tier>) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let cloud = tier.map(|tier| Arc::new(Cloud::new(tier)));
        let log = |key: &StreamKey, found| new_log(folder, cloud.as_ref(), key, found);
        let logs = open::streams(folder, log)?.into_iter().map(|(key, log)| (key, Arc::new(log))).collect();
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            budget,
            cloud,
            logs: Mutex::new(logs),
            waiting: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        let (jobs, inbox) = channel();
        let writer = Writer { shared: shared.clone(), complained: None };
        let thread = std::thread::Builder::new().name("store".into()).spawn(move || writer.run(&inbox))?;
        let mut threads = vec![thread];
        if let Some(cloud) = &shared.cloud {
            threads.extend(upload::start(&shared, cloud)?);
        }
        Ok(Self { shared, jobs: Some(jobs), threads })
    }

    /// What is kept of a stream, if it ever was.
    #[must_use]
    pub fn find(&self, key: &StreamKey) -> Option<Arc<Log>> {
        self.shared.logs().get(key).cloned()
    }

    /// Every stream that anything is kept of.
    #[must_use]
    pub fn list(&self) -> Vec<(StreamKey, Arc<Log>)> {
        self.shared.logs().iter().map(|(key, log)| (key.clone(), log.clone())).collect()
    }

    /// The log of a stream that is about to be kept. Touches no disk.
    #[must_use]
    pub fn log(&self, key: &StreamKey) -> Arc<Log> {
        self.shared.log(key)
    }

    /// Keeps a whole segment of a track of `run`. Never waits: with too much waiting for the disk it is lost.
    pub fn keep(&self, log: &Arc<Log>, run: &Arc<Run>, track: usize, segment: Segment) {
        let bytes = segment.bytes() as u64;
        if self.shared.waiting.load(Ordering::Relaxed) + bytes > WAITING_BYTES {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.shared.waiting.fetch_add(bytes, Ordering::Relaxed);
        self.send(Job::Keep(log.clone(), run.clone(), track, segment));
    }

    /// The stream is over for now.
    pub fn close(&self, log: &Arc<Log>) {
        self.send(Job::Close(log.clone()));
    }

    /// Returns when everything that was given before is on the disk, or was refused by it, and what is too old or too
    /// much is gone.
    pub fn confirm(&self) {
        let (done, told) = channel();
        self.send(Job::Confirm(done));
        let _ = told.recv();
    }

    /// Counters.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let Shared { kept, bytes, lost, dropped, .. } = &*self.shared;
        Totals { kept: count(kept), bytes: count(bytes), lost: count(lost), dropped: count(dropped) }
    }

    /// How object storage is doing, if there is any.
    #[must_use]
    pub fn cloud_totals(&self) -> Option<CloudTotals> {
        let mut totals = self.shared.cloud.as_ref()?.totals();
        for (count, bytes, oldest_ms) in self.shared.logs().values().map(|log| log.backlog()) {
            (totals.waiting, totals.waiting_bytes) = (totals.waiting + count, totals.waiting_bytes + bytes);
            totals.oldest_waiting_ms = totals.oldest_waiting_ms.into_iter().chain(oldest_ms).min();
        }
        Some(totals)
    }

    fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(cloud) = &self.shared.cloud {
            cloud.stop();
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn new_log(folder: &Path, cloud: Option<&Arc<Cloud>>, key: &StreamKey, found: Found) -> Log {
    let remote = cloud.map(|cloud| (cloud.clone(), format!("{}/{}", key.app(), key.name())));
    Log::new(folder.join(key.app()).join(key.name()), found, remote)
}

impl Shared {
    /// The log of a stream, made if need be.
    pub(crate) fn log(&self, key: &StreamKey) -> Arc<Log> {
        let log = || Arc::new(new_log(&self.folder, self.cloud.as_ref(), key, Found::default()));
        self.logs().entry(key.clone()).or_insert_with(log).clone()
    }

    pub(crate) fn logs(&self) -> MutexGuard<'_, HashMap<StreamKey, Arc<Log>>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A volume is an eighth of what is kept, so that what is dropped at a time is little of it; at most ten minutes.
    fn volume_ms(&self) -> i64 {
        (self.budget.keep_ms / 8).clamp(10_000, 600_000)
    }
}

/// Unix milliseconds.
pub(crate) fn now_ms() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the rim: how old what is kept is")]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

struct Writer {
    shared: Arc<Shared>,
    complained: Option<Instant>,
}

impl Writer {
    #[expect(clippy::disallowed_methods, reason = "the rim: how long the disk may wait")]
    fn run(mut self, inbox: &Receiver<Job>) {
        let mut confirmed = Instant::now();
        loop {
            match inbox.recv_timeout(CONFIRM.saturating_sub(confirmed.elapsed())) {
                Ok(Job::Keep(log, run, track, segment)) => self.keep(&log, &run, track, &segment),
                Ok(Job::Close(log)) => self.check(log.close()),
                Ok(Job::Confirm(done)) => {
                    self.confirm();
                    self.tidy();
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if confirmed.elapsed() >= CONFIRM {
                self.confirm();
                self.tidy();
                confirmed = Instant::now();
            }
        }
        self.confirm();
    }

    fn keep(&mut self, log: &Log, run: &Run, track: usize, segment: &Segment) {
        let bytes = segment.bytes() as u64;
        self.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
        let volume_ms = self.shared.volume_ms();
        let mut kept = log.append(run, track, segment, volume_ms);
        if kept.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::StorageFull) && self.make_room() {
            kept = log.append(run, track, segment, volume_ms);
        }
        let count = if kept.is_ok() { &self.shared.kept } else { &self.shared.lost };
        count.fetch_add(1, Ordering::Relaxed);
        if kept.is_ok() {
            self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        self.check(kept);
    }

    fn confirm(&mut self) {
        let logs: Vec<Arc<Log>> = self.shared.logs().values().cloned().collect();
        for log in logs {
            self.check(log.confirm());
        }
    }

    /// Drops what is too old or too much.
    fn tidy(&mut self) {
        let Budget { keep_ms, stream_bytes, bytes } = self.shared.budget;
        let logs: Vec<Arc<Log>> = self.shared.logs().values().cloned().collect();
        let kept_ms = self.shared.cloud.as_ref().map_or(keep_ms, |cloud| cloud.tier.keep_ms);
        let now_ms = now_ms();
        let too_old = |ends_ms: i64, kept_ms: i64| ends_ms < now_ms.saturating_sub(kept_ms);
        for log in &logs {
            while log.oldest_ends_ms().is_some_and(|ends| too_old(ends, kept_ms)) {
                if !self.drop_oldest(log, |_| true) {
                    break;
                }
            }
            while let Some(volume) = log.sheddable().filter(|v| too_old(v.last_ms, keep_ms)) {
                if !self.shed(log, &volume) {
                    break;
                }
            }
            while log.weight().0 > stream_bytes && log.weight().1.is_some() && self.free(log) {}
        }
        while self.shared.logs().values().map(|l| l.weight().0).sum::<u64>() > bytes && self.make_room() {}
        self.tidy_there(&logs);
    }

    /// Drops what is too much for object storage.
    fn tidy_there(&mut self, logs: &[Arc<Log>]) {
        let Some(most) = self.shared.cloud.as_ref().map(|cloud| cloud.tier.bytes) else { return };
        while logs.iter().map(|l| l.weight_there().0).sum::<u64>() > most {
            let oldest = logs.iter().filter_map(|l| Some((l.weight_there().1?, l))).min_by_key(|l| l.0);
            if !oldest.is_some_and(|(_, log)| self.drop_oldest(log, |v| v.safe)) {
                break;
            }
        }
    }

    /// Frees disk: of what is safe elsewhere the oldest, else of all; false when there is nothing to free.
    fn make_room(&mut self) -> bool {
        let logs: Vec<Arc<Log>> = self.shared.logs().values().cloned().collect();
        let safe = logs.iter().filter_map(|l| Some((l.sheddable()?, l))).min_by_key(|(v, _)| v.begins_ms);
        if let Some((volume, log)) = safe {
            return self.shed(log, &volume);
        }
        let oldest = logs.iter().filter_map(|l| Some((l.weight().1?, l))).min_by_key(|l| l.0);
        oldest.is_some_and(|(_, log)| self.free(log))
    }

    /// The same for one stream.
    fn free(&mut self, log: &Log) -> bool {
        match log.sheddable() {
            Some(volume) => self.shed(log, &volume),
            None => {
                if let Some(cloud) = &self.shared.cloud {
                    cloud.dropped.fetch_add(1, Ordering::Relaxed);
                }
                self.drop_oldest(log, |v| !v.away)
            }
        }
    }

    fn shed(&mut self, log: &Log, volume: &Volume) -> bool {
        let shed = log.shed(volume);
        let done = shed.is_ok();
        if let Some(cloud) = &self.shared.cloud {
            cloud.shed.fetch_add(u64::from(done), Ordering::Relaxed);
        }
        self.check(shed);
        done
    }

    fn drop_oldest(&mut self, log: &Log, of: fn(&Volume) -> bool) -> bool {
        let dropped = log.drop_oldest(of);
        let done = dropped.is_ok();
        self.shared.dropped.fetch_add(u64::from(done), Ordering::Relaxed);
        tracing::debug!(folder = %log.folder().display(), "oldest volume dropped");
        self.check(dropped);
        done
    }

    #[expect(clippy::disallowed_methods, reason = "the rim: not to say it too often")]
    fn check(&mut self, done: io::Result<()>) {
        let Err(error) = done else { return };
        if self.complained.is_none_or(|at| at.elapsed() >= COMPLAIN) {
            self.complained = Some(Instant::now());
            let folder = self.shared.folder.display();
            tracing::error!(%error, "the store in {folder} cannot be written; live streams go on, their past has gaps");
        }
    }
}
