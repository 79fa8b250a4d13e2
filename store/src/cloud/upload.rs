//! Carries closed volumes to object storage, and out of it what was dropped: a few threads, the streams in turn.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nx_media::StreamKey;

use super::{Cloud, heads, restore};
use crate::log::Log;
use crate::marker;
use crate::run;
use crate::store::Shared;
use crate::volume::Volume;

/// Uploads at a time.
const THREADS: usize = 2;
/// How soon a volume that was closed is noticed.
const IDLE: Duration = Duration::from_millis(500);
/// The first wait after a failure, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// Who is served, and who is not to be served yet.
#[derive(Debug, Default)]
struct Turns {
    /// The next in order comes next.
    last: Option<StreamKey>,
    busy: HashSet<StreamKey>,
    /// Failures in a row, and when it is tried again.
    failed: HashMap<StreamKey, (u32, Instant)>,
}

/// Starts the threads; they end when the storage is stopped.
pub(crate) fn start(shared: &Arc<Shared>, cloud: &Arc<Cloud>) -> io::Result<Vec<JoinHandle<()>>> {
    let turns = Arc::new(Mutex::new(Turns::default()));
    let mut threads = Vec::new();
    for _ in 0..THREADS {
        let (shared, cloud, turns) = (shared.clone(), cloud.clone(), turns.clone());
        let thread = std::thread::Builder::new().name("upload".into());
        threads.push(thread.spawn(move || serve(&shared, &cloud, &turns))?);
    }
    let (shared, cloud) = (shared.clone(), cloud.clone());
    let thread = std::thread::Builder::new().name("restore".into());
    threads.push(thread.spawn(move || restore::run(&shared, &cloud))?);
    Ok(threads)
}

fn serve(shared: &Shared, cloud: &Cloud, turns: &Mutex<Turns>) {
    while !cloud.is_stopped() {
        let Some((key, log)) = next(shared, cloud, turns) else {
            cloud.rest(IDLE);
            continue;
        };
        let done = work(cloud, &log);
        if cloud.is_stopped() {
            return;
        }
        cloud.settle(&key, &done);
        settle(&mut lock(turns), key, done.is_ok());
    }
}

/// The next stream in turn that has something to carry.
#[expect(clippy::disallowed_methods, reason = "the rim: who is to wait")]
fn next(shared: &Shared, cloud: &Cloud, turns: &Mutex<Turns>) -> Option<(StreamKey, Arc<Log>)> {
    let mut logs: Vec<(StreamKey, Arc<Log>)> =
        shared.logs().iter().map(|(key, log)| (key.clone(), log.clone())).collect();
    logs.sort_by(|a, b| a.0.cmp(&b.0));
    let now = Instant::now();
    let mut turns = lock(turns);
    let from = turns.last.as_ref().map_or(0, |last| logs.partition_point(|(key, _)| key <= last));
    let ready = |(key, log): &&(StreamKey, Arc<Log>)| {
        let waits = turns.failed.get(key).is_some_and(|(_, until)| *until > now);
        let has_work = || log.unsafe_volume().is_some() || (cloud.is_restored() && log.gone().is_some());
        !turns.busy.contains(key) && !waits && has_work()
    };
    let (before, behind) = logs.split_at(from);
    let found = behind.iter().chain(before).find(ready).cloned()?;
    turns.last = Some(found.0.clone());
    turns.busy.insert(found.0.clone());
    Some(found)
}

#[expect(clippy::disallowed_methods, reason = "the rim: when it is tried again")]
fn settle(turns: &mut Turns, key: StreamKey, done: bool) {
    turns.busy.remove(&key);
    if done {
        turns.failed.remove(&key);
        return;
    }
    let failures = turns.failed.get(&key).map_or(0, |(count, _)| *count);
    turns.failed.insert(key, (failures + 1, Instant::now() + pause(failures)));
}

/// How long to wait after so many failures before: twice as long each time, and not all at once.
pub(crate) fn pause(failures: u32) -> Duration {
    let whole = RETRY.0.saturating_mul(1 << failures.min(16)).min(RETRY.1);
    let chance = RandomState::new().hash_one(failures) % 512;
    whole * (512 + u32::try_from(chance).unwrap_or(0)) / 1024
}

/// One deletion or one upload of a stream.
fn work(cloud: &Cloud, log: &Log) -> io::Result<()> {
    let Some((_, folder)) = log.remote() else { return Ok(()) };
    // Before everything there is known, a deletion could bring back what it deletes.
    if let Some(number) = log.gone().filter(|_| cloud.is_restored()) {
        return delete(cloud, log, folder, number);
    }
    let Some(volume) = log.unsafe_volume() else { return Ok(()) };
    match upload(cloud, log, folder, &volume) {
        // It was dropped meanwhile.
        Err(_) if !log.wants(&volume) => Ok(()),
        done => done,
    }
}

/// The index goes first: from then on nobody finds the rest.
fn delete(cloud: &Cloud, log: &Log, folder: &str, number: u64) -> io::Result<()> {
    for end in ["index", "heads", "media"] {
        cloud.tier.objects.delete(&format!("{folder}/{number:020}.{end}"))?;
    }
    for run in marker::gone(log.folder(), number).unwrap_or_default() {
        cloud.tier.objects.delete(&format!("{folder}/run-{run}"))?;
    }
    log.unset_gone(number)
}

/// The index goes last: until then nobody finds the rest.
fn upload(cloud: &Cloud, log: &Log, folder: &str, volume: &Volume) -> io::Result<()> {
    let objects = &cloud.tier.objects;
    let name = |end: &str| format!("{folder}/{:020}.{end}", volume.number);
    let index = volume.index(log.folder())?;
    let records = volume.records(log.folder(), 0)?;
    let mut runs: Vec<u32> = records.iter().map(|r| r.run).collect();
    runs.dedup();
    for run in runs {
        let (name, here) = (format!("{folder}/run-{run}"), fs::read(run::path(log.folder(), run))?);
        let here = Bytes::from(here);
        if objects.create(&name, here.clone())? {
            continue;
        }
        let there = objects.get(&name, None)?;
        if there != here && run::continues(run, &there, &here) {
            objects.put(&name, &here, here.len() as u64)?;
        } else if !run::continues(run, &here, &there) {
            let why = format!("{name} in object storage is of another server; give each a folder of its own");
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
    }
    let media = File::open(volume.media_path(log.folder()))?;
    objects.put(&name("media"), &media, volume.bytes)?;
    let heads = heads::write(&media, &records)?;
    objects.put(&name("heads"), &heads, heads.len() as u64)?;
    objects.put(&name("index"), &index, index.len() as u64)?;
    match marker::set_safe(log.folder(), volume.number, &marker::proof(&index, volume.bytes)) {
        // A full disk is freed of its media all the same: without the mark it is found there at the next start.
        Err(e) if e.kind() == io::ErrorKind::StorageFull => {}
        marked => marked?,
    }
    if log.set_safe(volume) {
        cloud.uploaded.fetch_add(1, Ordering::Relaxed);
        cloud.uploaded_bytes.fetch_add(volume.bytes, Ordering::Relaxed);
        Ok(())
    } else {
        marker::unset_safe(log.folder(), volume.number)
    }
}

fn lock(turns: &Mutex<Turns>) -> MutexGuard<'_, Turns> {
    turns.lock().unwrap_or_else(PoisonError::into_inner)
}
