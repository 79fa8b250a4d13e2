//! All streams on this disk, and the thread that writes them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nx_hls::{Run, Segment};
use nx_media::StreamKey;

use crate::cloud::upload;
use crate::cloud::{Cloud, CloudTotals, Tier};
use crate::direct::Buffer;
use crate::log::Log;
use crate::open::{self, Found};
use crate::pins::{Hold, Terms, Weight};
use crate::volume::Volume;

/// Bytes that may wait for the disk, all streams together.
const WAITING_BYTES: u64 = 64 << 20;
/// How long what is kept may be without the disk's confirmation.
const CONFIRM: Duration = Duration::from_secs(1);
/// Streams of which the disk is asked to confirm at a time: it does several in little more time than one.
const CONFIRMS: usize = 8;
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
    /// Segments refused: what is pinned fills all the room.
    pub refused: u64,
    /// Bytes that wait for the disk now.
    pub waiting_bytes: u64,
}

/// What is taken of the room that there is; as of the last second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    /// Bytes kept.
    pub bytes: u64,
    /// Of them, those that are pinned.
    pub pinned: u64,
    /// Bytes that may be kept.
    pub bytes_max: u64,
    /// What is pinned fills it: nothing more is kept.
    pub full: bool,
    /// Why the disk takes nothing of at least one stream now.
    pub fault: Option<io::ErrorKind>,
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
    refused: AtomicU64,
    terms: Option<Arc<dyn Terms>>,
    room: Mutex<Room>,
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
        Self::open_with(folder, budget, None, None)
    }

    /// The same where `terms` say how long each stream is kept, rather than the budget, and what of it is pinned; and with
    /// object storage behind it.
    ///
    /// # Errors
    /// The folder cannot be read or made; storage that is away is no error.
    pub fn open_with(
        folder: &Path,
        budget: Budget,
        terms: Option<Arc<dyn Terms>>,
        tier: Option<Tier>,
    ) -> io::Result<Self> {
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
            refused: AtomicU64::new(0),
            terms,
            room: Mutex::new(Room { bytes_max: budget.bytes, ..Room::default() }),
        });
        let (jobs, inbox) = channel();
        let writer = Writer {
            shared: shared.clone(),
            complained: None,
            failing: BTreeMap::new(),
            buffer: Buffer::default(),
        };
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
        let Shared { kept, bytes, lost, dropped, refused, waiting, .. } = &*self.shared;
        Totals {
            kept: count(kept),
            bytes: count(bytes),
            lost: count(lost),
            dropped: count(dropped),
            refused: count(refused),
            waiting_bytes: count(waiting),
        }
    }

    /// What is taken of the room that there is.
    #[must_use]
    pub fn room(&self) -> Room {
        *self.shared.room()
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

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every stream, and what of it is held.
    fn held(&self) -> Vec<(Arc<Log>, Hold)> {
        let logs: Vec<_> = self.logs().iter().map(|(key, log)| (key.clone(), log.clone())).collect();
        let budget = Hold { keep_ms: self.budget.keep_ms, pins: Vec::new() };
        let hold = |key| self.terms.as_ref().map_or_else(|| budget.clone(), |terms| terms.hold(key));
        logs.iter().map(|(key, log)| (log.clone(), hold(key))).collect()
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
    /// Streams of which the disk takes nothing, and why.
    failing: BTreeMap<PathBuf, io::ErrorKind>,
    buffer: Buffer,
}

impl Writer {
    #[expect(clippy::disallowed_methods, reason = "the rim: how long the disk may wait")]
    fn run(mut self, inbox: &Receiver<Job>) {
        let mut confirmed = Instant::now();
        loop {
            match inbox.recv_timeout(CONFIRM.saturating_sub(confirmed.elapsed())) {
                Ok(Job::Keep(log, run, track, segment)) => self.keep(&log, &run, track, &segment),
                Ok(Job::Close(log)) => {
                    self.check(log.close());
                    self.failing.remove(log.folder());
                }
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
        let logs: Vec<Arc<Log>> = self.shared.logs().values().cloned().collect();
        logs.iter().for_each(|log| self.check(log.close()));
    }

    fn keep(&mut self, log: &Log, run: &Run, track: usize, segment: &Segment) {
        let bytes = segment.bytes() as u64;
        self.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
        let volume_ms = self.shared.volume_ms();
        let mut kept = match self.shared.room().full {
            true => Err(io::ErrorKind::QuotaExceeded.into()),
            false => log.append((run, track), segment, volume_ms, &mut self.buffer),
        };
        let full = kept.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::StorageFull);
        if full && self.make_room(&self.shared.held()) {
            kept = log.append((run, track), segment, volume_ms, &mut self.buffer);
        }
        let count = match &kept {
            Ok(()) => &self.shared.kept,
            Err(e) if e.kind() == io::ErrorKind::QuotaExceeded => &self.shared.refused,
            Err(_) => &self.shared.lost,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if kept.is_ok() {
            self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        self.settle(log, kept);
    }

    /// Takes note of whether the disk took something of a stream.
    fn settle(&mut self, log: &Log, done: io::Result<()>) {
        match done.as_ref().map_err(io::Error::kind) {
            Ok(()) => {
                if self.failing.remove(log.folder()).is_some() && self.failing.is_empty() {
                    self.complained = None;
                    tracing::info!("the store in {} takes everything again", self.shared.folder.display());
                }
            }
            // Of a disk that is full of assets the room tells.
            Err(io::ErrorKind::QuotaExceeded) => {}
            Err(kind) => {
                self.failing.insert(log.folder().to_owned(), kind);
            }
        }
        self.shared.room().fault = self.failing.values().next().copied();
        self.check(done);
    }

    fn confirm(&mut self) {
        let logs: Vec<Arc<Log>> = self.shared.logs().values().cloned().collect();
        let (next, refused) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            while let Some(log) = logs.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = log.confirm() {
                    refused.lock().unwrap_or_else(PoisonError::into_inner).push((log, error));
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..CONFIRMS.min(logs.len()) {
                // Without it the others do its part.
                let _ = std::thread::Builder::new().name("confirm".into()).spawn_scoped(scope, work);
            }
            work();
        });
        for (log, error) in refused.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.settle(log, Err(error));
        }
    }

    /// Drops what is too old or too much, and looks how much room there is.
    fn tidy(&mut self) {
        let Budget { stream_bytes, bytes: bytes_max, .. } = self.shared.budget;
        let there_ms = self.shared.cloud.as_ref().map_or(0, |cloud| cloud.tier.keep_ms);
        let (now_ms, held) = (now_ms(), self.shared.held());
        for (log, hold) in &held {
            let older = |than_ms: i64| move |v: &Volume| v.last_ms < now_ms.saturating_sub(than_ms);
            while let Some(volume) = log.droppable(hold, older(hold.keep_ms.max(there_ms))) {
                if !self.drop_volume(log, &volume) {
                    break;
                }
            }
            while let Some(volume) = log.sheddable().filter(older(hold.keep_ms)) {
                if !self.shed(log, &volume) {
                    break;
                }
            }
            let too_much = |weight: Weight| weight.bytes - weight.pinned > stream_bytes;
            while too_much(log.weight(hold)) && self.free(log, hold) {}
        }
        let weigh = || {
            let weights = held.iter().map(|(log, hold)| log.weight(hold));
            weights.fold((0, 0), |(bytes, pinned), w| (bytes + w.bytes, pinned + w.pinned))
        };
        while weigh().0 > bytes_max && self.make_room(&held) {}
        let (bytes, pinned) = weigh();
        let fault = self.failing.values().next().copied();
        self.look(Room { bytes, pinned, bytes_max, full: pinned >= bytes_max, fault });
        self.tidy_there(&held);
    }

    fn look(&self, room: Room) {
        let before = std::mem::replace(&mut *self.shared.room(), room);
        if room.full && !before.full {
            let (folder, Room { pinned, bytes_max, .. }) = (self.shared.folder.display(), room);
            tracing::error!(
                pinned,
                bytes_max,
                "assets fill the store in {folder}: live streams go on, nothing more of them is kept; delete assets or raise origin.store.bytes_max"
            );
        }
    }

    /// Drops what is too much for object storage.
    fn tidy_there(&mut self, held: &[(Arc<Log>, Hold)]) {
        let Some(most) = self.shared.cloud.as_ref().map(|cloud| cloud.tier.bytes) else { return };
        while held.iter().map(|(log, _)| log.bytes_there()).sum::<u64>() > most {
            let droppable =
                held.iter().filter_map(|(log, hold)| Some((log.droppable(hold, |v| v.safe)?, log)));
            let oldest = droppable.min_by_key(|(volume, _)| volume.begins_ms);
            if !oldest.is_some_and(|(volume, log)| self.drop_volume(log, &volume)) {
                break;
            }
        }
    }

    /// Frees disk: of what is safe elsewhere the oldest, else of all that is not pinned; false when there is nothing to
    /// free.
    fn make_room(&mut self, held: &[(Arc<Log>, Hold)]) -> bool {
        let safe = held.iter().filter_map(|(log, _)| Some((log.sheddable()?, log)));
        if let Some((volume, log)) = safe.min_by_key(|(v, _)| v.begins_ms) {
            return self.shed(log, &volume);
        }
        let droppable = held.iter().filter_map(|(log, hold)| Some((log.weight(hold).droppable?, log, hold)));
        let oldest = droppable.min_by_key(|(volume, ..)| volume.begins_ms);
        oldest.is_some_and(|(_, log, hold)| self.free(log, hold))
    }

    /// The same for one stream.
    fn free(&mut self, log: &Log, hold: &Hold) -> bool {
        if let Some(volume) = log.sheddable() {
            return self.shed(log, &volume);
        }
        let Some(volume) = log.weight(hold).droppable else { return false };
        if let Some(cloud) = &self.shared.cloud {
            cloud.dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.drop_volume(log, &volume)
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

    fn drop_volume(&mut self, log: &Log, volume: &Volume) -> bool {
        let dropped = log.drop_volume(volume.number);
        let done = dropped.is_ok();
        self.shared.dropped.fetch_add(u64::from(done), Ordering::Relaxed);
        tracing::debug!(folder = %log.folder().display(), volume.number, "oldest volume dropped");
        self.check(dropped);
        done
    }

    #[expect(clippy::disallowed_methods, reason = "the rim: not to say it too often")]
    fn check(&mut self, done: io::Result<()>) {
        let Err(error) = done else { return };
        if self.complained.is_none_or(|at| at.elapsed() >= COMPLAIN) {
            self.complained = Some(Instant::now());
            let folder = self.shared.folder.display();
            if error.kind() == io::ErrorKind::QuotaExceeded {
                tracing::error!("assets fill {folder}: live streams go on, their past has gaps");
                return;
            }
            tracing::error!(%error, "the store in {folder} cannot be written; live streams go on, their past has gaps");
        }
    }
}
