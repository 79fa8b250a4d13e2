//! Renditions of titles: divided into pieces, coded by whoever takes one, put together when all are there.
//!
//! ```text
//! MADE/show/0f3a99c1.job/plan        what the pieces are of
//! MADE/show/0f3a99c1.job/3.coded     piece 3, whole: what a worker said about it
//! MADE/show/0f3a99c1.job/3.LEASE     the same, while it comes
//! MADE/show/0f3a99c1.job/failed      why it was given up
//! ```
//!
//! The folder is the queue: a piece without a whole file is to be made. Who makes it is known in memory only, so that a
//! server that was killed gives out again what was not whole, and everything can be done twice. Of two who made the same
//! piece the one counts that still has its lease.

mod feed;
mod figures;
mod hear;
mod job;
mod join;
mod local;
mod plan;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use nx_contract::desired::Fault;
use nx_contract::titles::{Ladder, LadderState, Taken};
use nx_media::StreamKey;
use nx_vod::{Found, Library, TitleError};
use tokio::sync::Notify;
use tokio::time::timeout;

use self::feed::Feed;
use self::hear::Hearing;
use self::job::{At, Job, Step, coded, prepare};
use self::join::Flaw;
use self::plan::Plan;
use crate::clock::Clock;
use crate::hub::lock;
use crate::keys::Keys;
use crate::ladder::{DeviceConfig, LadderConfig, Mode};

/// Titles that are worked at, or were given up and are remembered, at a time.
const JOBS_MAX: usize = 64;
/// A piece is somebody else's when its worker has said nothing for so long, milliseconds.
const LEASE_MS: i64 = 30_000;
/// When the disk refused what was put together, it is tried again so much later, milliseconds: all is written anew.
const REST_MS: i64 = 60_000;

/// See the module.
pub(crate) struct Jobs {
    library: Arc<Library>,
    app: String,
    rules: Vec<LadderConfig>,
    /// Whether a worker may open devices: some ladder wants them.
    hardware: bool,
    bytes_max: u64,
    keys: Arc<Keys>,
    clock: Clock,
    /// Held by whoever changes which folders there are: preparing one removes what comes into it, publishing those of
    /// other versions. Taken before `state`.
    opening: Mutex<()>,
    state: Mutex<Vec<Job>>,
    /// Rings when there is work.
    came: Notify,
    /// Rings when everything of a title is made.
    full: Notify,
    totals: figures::Totals,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("app", &self.app).finish_non_exhaustive()
    }
}

/// What a request may learn of a title that cannot be played.
pub(crate) enum Handed {
    /// No ladder is configured for it.
    Nobody,
    /// It cannot be made into anything, or that failed.
    Refused(String),
    /// It is being made.
    Taken(Ladder),
}

impl Jobs {
    pub(crate) fn new(
        library: Arc<Library>,
        app: &str,
        rules: &[LadderConfig],
        bytes_max: u64,
        keys: &Arc<Keys>,
    ) -> Self {
        Self {
            library,
            app: app.to_owned(),
            rules: rules.to_vec(),
            hardware: rules.iter().any(|rule| !matches!(rule.device, DeviceConfig::Software)),
            bytes_max,
            keys: keys.clone(),
            clock: Clock::start(),
            opening: Mutex::default(),
            state: Mutex::default(),
            came: Notify::new(),
            full: Notify::new(),
            totals: figures::Totals::default(),
        }
    }

    /// Goes on with what an earlier process left, with so many workers of our own.
    pub(crate) fn start(self: &Arc<Self>, program: &Path, workers: usize) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let jobs = self.clone();
        runtime.spawn_blocking(move || jobs.resume());
        let jobs = self.clone();
        runtime.spawn(async move { jobs.tend().await });
        for nth in 0..workers {
            runtime.spawn(local::keep(self.clone(), program.to_owned(), format!("local {nth}")));
        }
    }

    fn resume(&self) {
        for (name, folder) in self.library.workshops() {
            let found = self.library.find(&name).filter(|found| self.library.workshop(found) == folder);
            let Some(found) = found else {
                let _ = fs::remove_dir_all(&folder);
                continue;
            };
            if let Err(error) = self.open(found, false) {
                tracing::warn!(title = name, %error, "renditions are not made any further");
            }
        }
    }

    /// Puts together what is made of titles.
    async fn tend(self: Arc<Self>) {
        loop {
            let Some((plan, folder)) = self.whole(self.clock.ms()) else {
                // None rings for one whose rest is over.
                let _ = timeout(local::LOOK, self.full.notified()).await;
                continue;
            };
            let jobs = self.clone();
            let finished = tokio::task::spawn_blocking(move || jobs.finish(&plan, &folder)).await;
            if let Err(error) = finished {
                tracing::error!(%error, "renditions of a title cannot be put together");
                return;
            }
        }
    }

    /// One that can be put together.
    fn whole(&self, now_ms: i64) -> Option<(Arc<Plan>, PathBuf)> {
        let state = lock(&self.state);
        let job = state.iter().find(|job| job.is_full() && job.rest_until_ms <= now_ms)?;
        Some((job.plan.clone(), job.folder.clone()))
    }

    /// Publishes the renditions of a title, or says why not.
    fn finish(&self, plan: &Arc<Plan>, folder: &Path) {
        let found = &plan.found;
        let index = self.library.index(found).map_err(|error| match error {
            TitleError::Io(_) => Flaw::Storage(error.to_string()),
            _ => Flaw::Content(error.to_string()),
        });
        let media = folder.join("media");
        let joined = index.and_then(|source| join::join(plan, folder, &media, &source));
        let _opening = lock(&self.opening);
        // Putting it together took long: it may not be wanted any more, or be begun anew.
        let is_ours = |job: &Job| Arc::ptr_eq(&job.plan, plan);
        let (ours, other) = {
            let state = lock(&self.state);
            (state.iter().any(is_ours), state.iter().any(|job| job.is_of(found)))
        };
        if !ours {
            let _ = if other { fs::remove_file(&media) } else { fs::remove_dir_all(folder) };
            return;
        }
        let published =
            joined.and_then(|made| self.library.publish(found, &media, &made).map_err(join::said));
        if published.is_err() {
            // What there is of it would keep a full disk full.
            let _ = fs::remove_file(&media);
        }
        let mut state = lock(&self.state);
        let Some(at) = state.iter().position(is_ours) else { return };
        match (published, state.get_mut(at)) {
            (Err(Flaw::Content(why)), Some(job)) => job.discard(why),
            (Err(Flaw::Storage(why)), Some(job)) => job.rest(why, self.clock.ms() + REST_MS),
            _ => drop(state.remove(at)),
        }
    }

    fn key(&self, name: &str) -> Option<StreamKey> {
        StreamKey::new(&self.app, name).ok()
    }

    /// The ladder that is configured for a title.
    fn rule(&self, name: &str) -> Option<&LadderConfig> {
        let key = self.key(name)?;
        self.rules.iter().find(|rule| rule.fits(&key)).filter(|rule| rule.mode != Mode::Never)
    }

    /// Plans a title's renditions and takes up what is there of them; what was given up only if it is to be tried
    /// `again`.
    fn open(&self, found: Found, again: bool) -> Result<(), Fault> {
        // What a job that is open writes into its folder is not to be tidied away.
        let _opening = lock(&self.opening);
        let mut state = lock(&self.state);
        if state.iter().any(|job| job.is_of(&found) && !(again && job.failed.is_some())) {
            return Ok(());
        }
        state.retain(|job| !job.is_of(&found));
        drop(state);
        let name = found.name.clone();
        let rule = self.rule(&name).ok_or_else(|| Fault::Invalid(unconfigured().to_owned()))?;
        let index = self.library.index(&found).map_err(|error| Fault::Invalid(error.to_string()))?;
        let encrypted = self.key(&name).is_some_and(|key| self.keys.of(&key).is_some());
        let folder = self.library.workshop(&found);
        if again {
            let _ = fs::remove_file(folder.join("failed"));
        }
        let plan = Plan::new(found, &index, rule, encrypted).map_err(Fault::Invalid)?;
        let steps = prepare(&folder, &plan).map_err(|e| storage(&e))?;
        let failed = fs::read_to_string(folder.join("failed")).ok();
        let begun = (self.clock.ms(), 0.0);
        let (trouble, rest_until_ms) = (None, i64::MIN);
        let mut job = Job { plan: Arc::new(plan), folder, steps, failed, trouble, rest_until_ms, begun };
        job.begun.1 = job.done();
        let mut state = lock(&self.state);
        // Of another version of the file nothing is wanted any more.
        state.retain(|other| other.plan.found.name != name);
        if state.len() >= JOBS_MAX
            && let Some(old) = state.iter().position(|job| job.failed.is_some())
        {
            state.remove(old);
        }
        if state.len() >= JOBS_MAX {
            return Err(Fault::Full(format!(
                "{JOBS_MAX} titles are worked at already; ask again when one is done"
            )));
        }
        state.push(job);
        drop(state);
        self.came.notify_waiters();
        self.full.notify_one();
        Ok(())
    }

    /// What becomes of a title's renditions, if anything.
    pub(crate) fn told(&self, found: &Found) -> Option<Ladder> {
        let now_ms = self.clock.ms();
        let job = lock(&self.state).iter().find(|job| job.is_of(found)).map(|job| job.told(now_ms));
        job.or_else(|| {
            let made =
                found.made.and_then(|_| self.library.open(&found.name).ok()).filter(|title| title.made() > 0);
            made.map(|_| ready())
        })
    }

    /// Begins to make a title's renditions, or goes on; what was given up is tried again.
    pub(crate) fn begin(&self, name: &str) -> Result<Ladder, Fault> {
        let found = self.find(name)?;
        let again = match self.told(&found) {
            Some(told) if told.state != LadderState::Failed => return Ok(told),
            told => told.is_some(),
        };
        let bytes = self.library.made_bytes();
        if bytes >= self.bytes_max {
            return Err(Fault::Full(format!(
                "the renditions of titles take {bytes} bytes: remove some, or raise origin.vod.made_bytes_max"
            )));
        }
        self.open(found.clone(), again)?;
        self.told(&found).ok_or_else(|| Fault::NotFound(format!("nothing becomes of {name:.128}")))
    }

    /// Has a title that cannot be played made into one that can.
    pub(crate) fn hand_over(&self, found: &Found) -> Handed {
        if self.rule(&found.name).is_none() {
            return Handed::Nobody;
        }
        let told = self.told(found).map_or_else(|| self.begin(&found.name), Ok);
        match told {
            Ok(Ladder { state: LadderState::Failed, reason, .. }) => {
                Handed::Refused(reason.unwrap_or_default())
            }
            Ok(told) => Handed::Taken(told),
            Err(fault) => Handed::Refused(fault.to_string()),
        }
    }

    /// Stops making renditions of a title, and removes those that there are.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Fault> {
        self.find(name)?;
        let _opening = lock(&self.opening);
        self.drop_jobs(name);
        match self.library.unmake(name) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Fault::NotFound(format!("{name:.128} has no renditions of its own"))),
            Err(error) => Err(storage(&error)),
        }
    }

    /// Stops making renditions of a title.
    pub(crate) fn forget(&self, name: &str) {
        // What is being published is published first, for the caller to remove.
        let _opening = lock(&self.opening);
        self.drop_jobs(name);
    }

    fn drop_jobs(&self, name: &str) {
        lock(&self.state).retain(|job| job.plan.found.name != name);
    }

    pub(crate) fn find(&self, name: &str) -> Result<Found, Fault> {
        self.library.find(name).ok_or_else(|| Fault::NotFound(format!("there is no title {name:.128}")))
    }

    /// Takes pieces back of which nothing was heard for too long.
    fn expire(&self, now_ms: i64) {
        let old = |step: &Step| matches!(step.at, At::Taken { heard_ms, .. } if now_ms - heard_ms > LEASE_MS);
        for job in lock(&self.state).iter_mut().filter(|job| job.failed.is_none()) {
            let late: Vec<usize> =
                (0..job.steps.len()).filter(|nth| job.steps.get(*nth).is_some_and(old)).collect();
            self.totals.failed.fetch_add(late.len() as u64, Ordering::Relaxed);
            late.into_iter().for_each(|nth| job.release(nth, "its worker fell silent", true));
        }
    }

    /// Whether there is a piece to be taken.
    fn has_work(&self) -> bool {
        self.expire(self.clock.ms());
        lock(&self.state).iter().any(|job| job.next().is_some())
    }

    /// Takes a piece on.
    pub(crate) fn take(&self, worker: &str) -> Result<Option<Taken>, Fault> {
        let lease = nx_delivery::random_id();
        let now_ms = self.clock.ms();
        self.expire(now_ms);
        let taken = lock(&self.state).iter_mut().find_map(|job| {
            let nth = job.next()?;
            let (lease, worker) = (lease.clone(), worker.to_owned());
            job.steps.get_mut(nth)?.at = At::Taken { lease, worker, heard_ms: now_ms, share: 0.0 };
            Some((job.plan.clone(), nth))
        });
        let Some((plan, nth)) = taken else { return Ok(None) };
        match self.feed(&plan, nth) {
            Ok(feed) => Ok(Some(Taken { lease, input: Box::new(feed) })),
            Err(why) => {
                self.release(&lease, &why, true);
                Err(Fault::Conflict(why))
            }
        }
    }

    fn feed(&self, plan: &Plan, nth: usize) -> Result<Feed, String> {
        let piece = plan.pieces.get(nth).ok_or("there is no such piece")?;
        let mut index = self.library.index(&plan.found).map_err(|e| e.to_string())?;
        let track = index.tracks.iter().position(|t| t.id == piece.track).ok_or("the track is gone")?;
        let mut track = index.tracks.swap_remove(track);
        track.samples =
            track.samples.get(piece.chunk.pictures.clone()).ok_or("samples are missing")?.to_vec();
        Ok(Feed::new(plan.found.clone(), track, piece.ladder.clone()))
    }

    /// Begins to hear what is said about a piece.
    pub(crate) fn hear(self: &Arc<Self>, lease: &str) -> Result<Hearing, Fault> {
        let found = self.with(lease, |job, nth| (job.plan.clone(), job.folder.clone(), nth));
        let (plan, folder, nth) = found.ok_or_else(lost)?;
        Hearing::new(self.clone(), lease.to_owned(), plan, &folder, nth).map_err(|error| {
            // Whoever speaks first keeps the lease.
            if error.kind() == io::ErrorKind::AlreadyExists {
                return Fault::Conflict("somebody tells of this piece already".into());
            }
            let fault = storage(&error);
            self.release(lease, &fault.to_string(), false);
            fault
        })
    }

    /// Does something with the job and the number of a piece that is under a lease.
    fn with<T>(&self, lease: &str, act: impl FnOnce(&mut Job, usize) -> T) -> Option<T> {
        let mut state = lock(&self.state);
        let held = |step: &Step| matches!(&step.at, At::Taken { lease: l, .. } if l == lease);
        let found = state.iter_mut().find_map(|job| job.steps.iter().position(held).map(|nth| (job, nth)));
        found.map(|(job, nth)| act(job, nth))
    }

    /// Something was heard of a piece.
    fn note(&self, lease: &str, coded: f64) -> Result<(), Fault> {
        let now_ms = self.clock.ms();
        let note = |job: &mut Job, nth: usize| {
            if let Some(Step { at: At::Taken { heard_ms, share, .. }, .. }) = job.steps.get_mut(nth) {
                (*heard_ms, *share) = (now_ms, coded.clamp(*share, 1.0));
            }
        };
        self.with(lease, note).ok_or_else(lost)
    }

    /// A piece is whole in this file: from now on it is done.
    fn done(&self, lease: &str, file: &Path) -> Result<(), Fault> {
        let keep = |job: &mut Job, nth: usize| {
            fs::rename(file, coded(&job.folder, nth))?;
            File::open(&job.folder)?.sync_all()?;
            job.steps.get_mut(nth).into_iter().for_each(|step| step.at = At::Done);
            Ok(job.is_full())
        };
        let kept: io::Result<bool> = self.with(lease, keep).ok_or_else(lost)?;
        let is_full = kept.map_err(|e| storage(&e))?;
        self.totals.done.fetch_add(1, Ordering::Relaxed);
        if is_full {
            self.full.notify_one();
        }
        Ok(())
    }

    /// A piece is free again.
    fn release(&self, lease: &str, why: &str, counts: bool) {
        if self.with(lease, |job, nth| job.release(nth, why, counts)).is_some() {
            self.totals.failed.fetch_add(u64::from(counts), Ordering::Relaxed);
            self.came.notify_waiters();
        }
    }

    /// Something keeps all work from being done.
    fn trouble(&self, why: &str) {
        lock(&self.state).iter_mut().for_each(|job| job.trouble = Some(why.to_owned()));
    }
}

pub(crate) fn unconfigured() -> &'static str {
    "no ladder is configured for it: add [[origin.ladder]] with streams = \"vod/*\" and a profile such as h264-720p3"
}

fn ready() -> Ladder {
    Ladder {
        state: LadderState::Ready,
        percent: 100,
        left_s: Some(0),
        chunks: 0,
        chunks_done: 0,
        workers: Vec::new(),
        reason: None,
    }
}

fn lost() -> Fault {
    Fault::NotFound("this piece is somebody else's, or nobody's, by now: take another".into())
}

fn storage(error: &io::Error) -> Fault {
    tracing::error!(%error, "the folder of renditions cannot be written");
    Fault::Storage(error.to_string())
}

#[cfg(test)]
mod tests;
