//! What outlives a restart: a file for each object, written behind the viewers' backs and read whole.
//!
//! A file gets its name when it is whole, so that a killed process leaves none that is not; what a power cut or a
//! bad disk did to one is found by its checksums, and it is fetched again. A disk that is full or broken is left alone
//! for a while: the cache goes on from memory.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use nx_cache::{Head, Key, Life, Object, Source, tags};
use nx_delivery::wall_ms;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"NXCACHE1";
/// Length of what stands before the head: magic, the head's length and checksum.
const FRONT: usize = 16;
/// Longest head.
const HEAD_MAX: usize = 256 << 10;
/// What a file takes beside the body, about: a block for the head, the rest of the last one.
const HEAD_USUAL: u64 = 4096;
/// Who has it locked writes the folder.
const LOCK: &str = "lock";
/// What waits to be written; beyond, it is not kept on disk.
const QUEUE: usize = 64;
/// How long a disk that failed is left alone, milliseconds.
const PAUSE_MS: i64 = 10_000;
/// About how large a file is, bytes: for the first size of the table only.
const USUAL: u64 = 1 << 20;

/// The head of a file.
#[derive(Debug, Serialize, Deserialize)]
struct Label {
    key: String,
    status: u16,
    fields: Vec<(String, String)>,
    life: Life,
    bytes: u64,
    crc: u32,
}

/// A file.
#[derive(Debug, Clone)]
struct Entry {
    number: u64,
    bytes: u64,
    born_ms: i64,
    tags: Arc<[String]>,
}

#[derive(Debug, Clone)]
struct Weigh;

impl Weighter<Key, Entry> for Weigh {
    fn weight(&self, _: &Key, entry: &Entry) -> u64 {
        entry.bytes + HEAD_USUAL
    }
}

/// Removes the file of what has to make room.
#[derive(Debug, Clone)]
struct Remove {
    folder: PathBuf,
    count: Arc<AtomicU64>,
}

impl Lifecycle<Key, Entry> for Remove {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: Key, entry: Entry) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let _ = fs::remove_file(path(&self.folder, entry.number));
    }
}

type Index = Cache<Key, Entry, Weigh, DefaultHashBuilder, Remove>;

#[derive(Debug, Default)]
struct Counters {
    written: AtomicU64,
    failed: AtomicU64,
    corrupt: AtomicU64,
    skipped: AtomicU64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
    index: Index,
    evicted: Arc<AtomicU64>,
    next: AtomicU64,
    /// A write that began before a purge must not end after it: purges write, writers read.
    purges: RwLock<u64>,
    queue: SyncSender<(Key, Arc<Object>, u64)>,
    ready: AtomicBool,
    down_until_ms: AtomicI64,
    counters: Counters,
}

impl Disk {
    /// Opens a folder; what lies in it is known when [`Disk::is_ready`].
    ///
    /// # Errors
    /// In words: it cannot be written.
    pub(super) fn open(folder: &Path, bytes_max: u64) -> Result<Arc<Self>, String> {
        let fault = |e: &dyn std::fmt::Display| {
            format!("edge.cache.disk {} cannot be used: {e}; check the path and its rights", folder.display())
        };
        fs::create_dir_all(folder).map_err(|e| fault(&e))?;
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(count((bytes_max / USUAL).max(16)))
            .weight_capacity(bytes_max)
            .build()
            .map_err(|e| fault(&e))?;
        let evicted = Arc::new(AtomicU64::new(0));
        let remove = Remove { folder: folder.to_owned(), count: evicted.clone() };
        let index = Cache::with_options(options, Weigh, DefaultHashBuilder::default(), remove);
        let (queue, jobs) = sync_channel(QUEUE);
        let disk = Arc::new(Self {
            folder: folder.to_owned(),
            index,
            evicted,
            next: AtomicU64::new(0),
            purges: RwLock::new(0),
            queue,
            ready: AtomicBool::new(false),
            down_until_ms: AtomicI64::new(0),
            counters: Counters::default(),
        });
        let weak = Arc::downgrade(&disk);
        let held = File::create(folder.join(LOCK)).map_err(|e| fault(&e))?;
        let work = move || {
            // A process that this one replaces may be at it still, or another by mistake: until it ends, nothing is
            // read or written here.
            if held.try_lock().is_err() {
                tracing::info!("another process has the cache's folder: it is used when that one has ended");
            }
            if let Err(error) = held.lock() {
                return tracing::error!(%error, "the cache's folder cannot be locked: it is not used");
            }
            if let Some(disk) = weak.upgrade() {
                disk.list();
            }
            // Ends when nobody is left who could send something.
            let jobs: Receiver<(Key, Arc<Object>, u64)> = jobs;
            while let Ok((key, object, purges)) = jobs.recv() {
                let Some(disk) = weak.upgrade() else { return };
                disk.write(&key, &object, purges);
            }
        };
        std::thread::Builder::new().name("cache-disk".into()).spawn(work).map_err(|e| fault(&e))?;
        Ok(disk)
    }

    /// Whether all that lies there is known.
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Whether the last write went well.
    pub(super) fn is_up(&self) -> bool {
        wall_ms() >= self.down_until_ms.load(Ordering::Relaxed)
    }

    /// When what lies under this name was made; `None` when nothing does.
    pub(super) fn born_ms(&self, key: &Key) -> Option<i64> {
        self.index.peek(key).map(|entry| entry.born_ms)
    }

    /// Keeps it, when there is time.
    pub(super) fn keep(&self, key: Key, object: Arc<Object>) {
        let purges = *self.purges.read().unwrap_or_else(PoisonError::into_inner);
        if !self.is_up() || self.queue.try_send((key, object, purges)).is_err() {
            self.counters.skipped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reads it, all of it; blocks. `None` when it is not there, or not what was written.
    pub(super) fn read(&self, key: &Key) -> Option<Object> {
        let entry = self.index.get(key)?;
        match read(&path(&self.folder, entry.number), key) {
            Ok(object) => Some(object),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(key = key.target(), %error, "a kept object is damaged; it is fetched again");
                    self.counters.corrupt.fetch_add(1, Ordering::Relaxed);
                }
                self.forget(key, entry.number);
                None
            }
        }
    }

    /// Forgets what `is` finds by name and tags; the files, which are for the caller to remove when nobody waits.
    pub(super) fn purge(&self, is: impl Fn(&Key, &[String]) -> bool) -> Vec<PathBuf> {
        let mut purges = self.purges.write().unwrap_or_else(PoisonError::into_inner);
        *purges += 1;
        let files = RefCell::new(Vec::new());
        self.index.retain(|key, entry| {
            let keep = !is(key, &entry.tags);
            if !keep {
                files.borrow_mut().push(path(&self.folder, entry.number));
            }
            keep
        });
        files.into_inner()
    }

    /// Objects, bytes, evicted, written, failed, corrupt, skipped.
    pub(super) fn figures(&self) -> [u64; 7] {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { written, failed, corrupt, skipped } = &self.counters;
        let (objects, bytes) = (self.index.len() as u64, self.index.weight());
        [objects, bytes, of(&self.evicted), of(written), of(failed), of(corrupt), of(skipped)]
    }

    fn forget(&self, key: &Key, number: u64) {
        self.index.remove_if(key, |entry| entry.number == number);
        let _ = fs::remove_file(path(&self.folder, number));
    }

    /// Learns what lies in the folder; what was not finished goes.
    fn list(&self) {
        let mut found: Vec<(u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let number = path.file_stem().and_then(|n| n.to_str()).and_then(|n| n.parse().ok());
            match (number, path.extension().and_then(|e| e.to_str())) {
                (Some(number), Some("object")) => found.push((number, path)),
                (Some(_), Some("part")) => drop(fs::remove_file(&path)),
                _ => {}
            }
        }
        found.sort_unstable();
        self.next.store(found.last().map_or(0, |(number, _)| number + 1), Ordering::Relaxed);
        for (number, path) in found {
            let label = File::open(&path).and_then(|mut file| read_label(&mut file));
            let known = label.ok().and_then(|label| Some((Key::from_text(&label.key)?, label)));
            let Some((key, label)) = known else {
                self.counters.corrupt.fetch_add(1, Ordering::Relaxed);
                let _ = fs::remove_file(&path);
                continue;
            };
            // Of two under one name the later is right.
            if let Some(old) = self.index.peek(&key) {
                self.forget(&key, old.number);
            }
            let fields = fields(&label.fields);
            let tags = tags(&fields).map(str::to_owned).collect();
            self.index.insert(key, Entry { number, bytes: label.bytes, born_ms: label.life.born_ms, tags });
        }
        self.ready.store(true, Ordering::Release);
        let [objects, bytes, ..] = self.figures();
        tracing::info!(folder = %self.folder.display(), objects, bytes, "the disk cache is read");
    }

    fn write(&self, key: &Key, object: &Object, purges: u64) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let part = self.folder.join(format!("{number}.part"));
        let written = write(&part, key, object).and_then(|()| {
            // Held until it is in the index: a purge finds it there, or has come before and is seen.
            let now = self.purges.read().unwrap_or_else(PoisonError::into_inner);
            if *now != purges {
                return fs::remove_file(&part);
            }
            fs::rename(&part, path(&self.folder, number))?;
            if let Some(old) = self.index.peek(key) {
                let _ = fs::remove_file(path(&self.folder, old.number));
            }
            let tags = tags(&object.head.headers).map(str::to_owned).collect();
            let (bytes, born_ms) = (object.len(), object.head.life.born_ms);
            self.index.insert(key.clone(), Entry { number, bytes, born_ms, tags });
            self.counters.written.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        if let Err(error) = written {
            let _ = fs::remove_file(&part);
            self.counters.failed.fetch_add(1, Ordering::Relaxed);
            self.down_until_ms.store(wall_ms().saturating_add(PAUSE_MS), Ordering::Relaxed);
            tracing::warn!(folder = %self.folder.display(), %error, "the disk cache cannot be written; memory has to do");
        }
    }
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number}.object"))
}

fn write(path: &Path, key: &Key, object: &Object) -> io::Result<()> {
    let mut crc = crc32fast::Hasher::new();
    object.body.iter().for_each(|bytes| crc.update(bytes));
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    let label = Label {
        key: key.text().to_owned(),
        status: object.head.status.as_u16(),
        fields: object.head.headers.iter().filter_map(text).collect(),
        life: object.head.life,
        bytes: object.len(),
        crc: crc.finalize(),
    };
    let label = serde_json::to_vec(&label).map_err(io::Error::other)?;
    let len = u32::try_from(label.len()).map_err(io::Error::other)?;
    let mut file = File::create(path)?;
    file.write_all(MAGIC)?;
    file.write_all(&len.to_be_bytes())?;
    file.write_all(&crc32fast::hash(&label).to_be_bytes())?;
    file.write_all(&label)?;
    object.body.iter().try_for_each(|bytes| file.write_all(bytes))
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn read_label(file: &mut File) -> io::Result<Label> {
    let mut front = [0; FRONT];
    file.read_exact(&mut front)?;
    let number = |at: usize| {
        let four = front.get(at..at + 4).and_then(|b| b.first_chunk::<4>());
        four.map_or(0, |b| u32::from_be_bytes(*b))
    };
    let len = usize::try_from(number(8)).unwrap_or(usize::MAX);
    if !front.starts_with(MAGIC) || len > HEAD_MAX {
        return Err(damaged("no object of this cache"));
    }
    let mut label = vec![0; len];
    file.read_exact(&mut label)?;
    if crc32fast::hash(&label) != number(12) {
        return Err(damaged("the head's checksum is another"));
    }
    serde_json::from_slice(&label).map_err(io::Error::other)
}

fn fields(pairs: &[(String, String)]) -> HeaderMap {
    let field = |(name, value): &(String, String)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
    };
    pairs.iter().filter_map(field).collect()
}

fn read(path: &Path, key: &Key) -> io::Result<Object> {
    let mut file = File::open(path)?;
    let label = read_label(&mut file)?;
    if label.key != key.text() {
        return Err(damaged("it bears another name"));
    }
    let there = file.metadata()?.len();
    if there < label.bytes {
        return Err(damaged("it is too short"));
    }
    let len = usize::try_from(label.bytes).map_err(io::Error::other)?;
    let mut body = vec![0; len];
    file.read_exact(&mut body)?;
    if crc32fast::hash(&body) != label.crc {
        return Err(damaged("the body's checksum is another"));
    }
    let head = Head {
        status: StatusCode::from_u16(label.status).map_err(io::Error::other)?,
        headers: fields(&label.fields),
        length: Some(label.bytes),
        life: label.life,
        alone: false,
        from: Source::Disk,
    };
    Ok(Object { head, body: [Bytes::from(body)].into() })
}

#[cfg(test)]
mod tests;
