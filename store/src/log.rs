//! Everything that is kept of one stream, in volumes by number and time.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use nx_hls::{Event, Run, Stored};

use crate::cloud::Cloud;
use crate::marker;
use crate::open::Found;
use crate::record::Record;
use crate::run;
use crate::source::{Media, Source};
use crate::store::now_ms;
use crate::volume::Volume;

mod tier;
mod writing;

use writing::Writing;

/// See the module.
#[derive(Debug)]
pub struct Log {
    folder: PathBuf,
    state: Mutex<State>,
    /// Held while the disk is written, which `state` never is.
    writing: Mutex<Writing>,
    /// Segments kept since the start: what was read before is stale when this has grown.
    version: AtomicU64,
    /// Times that older volumes came back: what was read before lacks them.
    epoch: AtomicU64,
    /// Object storage, and the stream's folder there.
    remote: Option<(Arc<Cloud>, String)>,
}

#[derive(Debug, Default)]
struct State {
    /// Oldest first.
    volumes: VecDeque<Volume>,
    /// The one that is being written.
    open: Option<u64>,
    /// Newest segment that the disk has confirmed.
    safe_msn: Option<u64>,
    /// Volumes that are to be removed from object storage.
    gone: VecDeque<u64>,
}

/// How far somebody has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Segments that end earlier are passed over; Unix milliseconds.
    from_ms: i64,
    volume: u64,
    record: u64,
    run: Option<u32>,
    /// Keys of that run that were told.
    keys: usize,
    /// What was told of text.
    text: Option<u32>,
}

impl Cursor {
    /// Begins with the segment that is on at a time, or the next one; Unix milliseconds.
    #[must_use]
    pub fn from(from_ms: i64) -> Self {
        Self { from_ms, volume: 0, record: 0, run: None, keys: 0, text: None }
    }
}

impl Cursor {
    /// The key of this number, modulo 256, came after those that were told.
    fn lacks(&self, key: u8) -> bool {
        let Some(newest) = self.keys.checked_sub(1) else { return false };
        let newest = u8::try_from(newest % 256).unwrap_or(0);
        (1..128).contains(&key.wrapping_sub(newest))
    }
}

/// What there is of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// When the oldest segment begins, Unix milliseconds.
    pub begins_ms: i64,
    /// When the newest segment begins, Unix milliseconds.
    pub last_ms: i64,
    /// Size, on disk and in object storage.
    pub bytes: u64,
    /// Newest segment that the disk has confirmed since the start.
    pub safe_msn: Option<u64>,
}

/// A stretch of time that a stream was on and is kept of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recording {
    /// Unix milliseconds.
    pub begins_ms: i64,
    /// When its newest segment ends, Unix milliseconds.
    pub ends_ms: i64,
    /// Size, on disk and in object storage.
    pub bytes: u64,
}

impl Log {
    pub(crate) fn new(folder: PathBuf, found: Found, remote: Option<(Arc<Cloud>, String)>) -> Self {
        let Found { volumes, gone } = found;
        let state = Mutex::new(State { volumes, gone, ..State::default() });
        let writing = Mutex::default();
        Self { folder, state, writing, version: AtomicU64::new(0), epoch: AtomicU64::new(0), remote }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Grows with every segment that is kept.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Grows when what is older comes back from object storage: cursors that have passed it do not see it.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Whether more of the present stretch may come.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.lock().open.is_some()
    }

    /// What there is; `None` when nothing is kept.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        let state = self.lock();
        let (first, last) = (state.volumes.front()?, state.volumes.back()?);
        let bytes = state.volumes.iter().map(|v| v.bytes).sum();
        Some(Span { begins_ms: first.begins_ms, last_ms: last.last_ms, bytes, safe_msn: state.safe_msn })
    }

    /// What was kept behind `cursor` and begins before `until_ms` (Unix milliseconds): runs as they begin, and the
    /// segments of all tracks in the order in which they were made. Moves the cursor. Reads files.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn read(&self, cursor: &mut Cursor, until_ms: i64) -> io::Result<Vec<Event>> {
        let mut events = Vec::new();
        for volume in self.volumes() {
            if volume.number < cursor.volume || volume.ends_ms <= cursor.from_ms {
                continue;
            }
            if volume.begins_ms >= until_ms {
                break;
            }
            let from = if volume.number == cursor.volume { cursor.record } else { 0 };
            let records = match volume.records(&self.folder, from) {
                // It was dropped meanwhile.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            for (nth, record) in (from..).zip(&records) {
                if record.begins_ms >= until_ms {
                    return Ok(events);
                }
                (cursor.volume, cursor.record) = (volume.number, nth + 1);
                if record.ends_ms() <= cursor.from_ms {
                    continue;
                }
                if cursor.run.replace(record.run) != Some(record.run) {
                    let run = run::read(&self.folder, record.run)?;
                    cursor.keys = run.keys.len();
                    events.push(Event::Run(run));
                } else if cursor.lacks(record.key) {
                    let run = run::read(&self.folder, record.run)?;
                    let more = run.keys.iter().skip(cursor.keys).cloned();
                    events.extend(more.map(Event::Key));
                    cursor.keys = run.keys.len();
                }
                if record.is_text() {
                    events.extend(self.captions(&volume, record, &mut cursor.text));
                } else {
                    events.push(stored(record));
                }
            }
        }
        Ok(events)
    }

    /// The bytes of a segment; `run` when it has to be of that one. Reads files, or object storage.
    ///
    /// # Errors
    /// The files cannot be read; [`io::ErrorKind::HostUnreachable`] when object storage cannot.
    pub fn segment(&self, track: &str, msn: u64, run: Option<u32>) -> io::Result<Option<Bytes>> {
        self.newest(track, msn, run, |volume, record| self.bytes(volume, record))
    }

    /// The first bytes of it, at most so many; no more is read, but for storage's own blocks.
    ///
    /// # Errors
    /// As [`Log::segment`].
    pub fn beginning(&self, track: &str, msn: u64, run: u32, bytes: usize) -> io::Result<Option<Bytes>> {
        self.newest(track, msn, Some(run), |volume, record| {
            let most = (bytes as u64).min(record.bytes.into());
            match self.media(volume).read(record.offset, most) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                read => read.map(Some),
            }
        })
    }

    /// What `read` gives of the newest segment of that number.
    fn newest(
        &self,
        track: &str,
        msn: u64,
        run: Option<u32>,
        read: impl Fn(&Volume, &Record) -> io::Result<Option<Bytes>>,
    ) -> io::Result<Option<Bytes>> {
        let mut found = None;
        for volume in self.volumes().iter().filter(|v| (v.number..=v.last_msn).contains(&msn)) {
            let records = volume.records(&self.folder, 0)?;
            for record in records.iter().filter(|r| r.msn == msn && run.is_none_or(|run| run == r.run)) {
                let of = run::read(&self.folder, record.run)?;
                if of.tracks.get(usize::from(record.track)).is_some_and(|t| t.name == track) {
                    found = read(volume, record)?.or(found);
                }
            }
        }
        Ok(found)
    }

    /// The run of a segment, `run` if it is given; `None` as well while more of that number may still be kept. Reads files.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn run_of(&self, msn: u64, run: Option<u32>) -> io::Result<Option<Arc<Run>>> {
        let volumes = self.volumes();
        // Every track has ended a segment when the one behind the next is there.
        if self.is_open() && volumes.back().is_none_or(|last| last.last_msn < msn.saturating_add(2)) {
            return Ok(None);
        }
        let mut found = None;
        for volume in volumes.iter().filter(|v| (v.number..=v.last_msn).contains(&msn)) {
            let records = volume.records(&self.folder, 0)?;
            let of = records.iter().rfind(|r| r.msn == msn && run.is_none_or(|run| run == r.run));
            found = of.map(|record| record.run).or(found);
        }
        found.map(|number| run::read(&self.folder, number)).transpose()
    }

    /// `None` when it was dropped meanwhile.
    pub(crate) fn bytes(&self, volume: &Volume, record: &Record) -> io::Result<Option<Bytes>> {
        let read = match (volume.media(&self.folder, record), &self.remote) {
            (Err(e), Some((cloud, folder))) if e.kind() == io::ErrorKind::NotFound => {
                let name = format!("{folder}/{:020}.media", volume.number);
                cloud.range(&name, record.offset, record.bytes.into()).and_then(|bytes| {
                    let whole = crc32fast::hash(&bytes) == record.crc;
                    let other = || io::Error::new(io::ErrorKind::InvalidData, format!("{name} is another"));
                    if whole { Ok(bytes) } else { Err(other()) }
                })
            }
            (read, _) => read,
        };
        match read {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// The media of a volume, wherever they are.
    pub(crate) fn media(&self, volume: &Volume) -> Media {
        let away = |(cloud, folder): &(Arc<Cloud>, String)| {
            (cloud.clone(), format!("{folder}/{:020}.media", volume.number))
        };
        let away = self.remote.as_ref().map(away);
        Media { path: volume.media_path(&self.folder), bytes: volume.bytes, away, held: None }
    }

    /// The first run that it has nothing of.
    #[must_use]
    pub fn next_run(&self) -> u32 {
        let unknown = self.remote.as_ref().is_some_and(|(cloud, _)| !cloud.is_restored());
        match self.lock().volumes.back() {
            Some(last) => last.last_run.saturating_add(1),
            // What a lost disk had may come back: its numbers were lower.
            None if unknown => u32::try_from(now_ms() / 1000).unwrap_or(u32::MAX),
            None => 0,
        }
    }

    /// The stretches of time that the stream was on, oldest first. A pause of up to `join_ms` joins two.
    #[must_use]
    pub fn recordings(&self, join_ms: i64) -> Vec<Recording> {
        let mut recordings: Vec<Recording> = Vec::new();
        for volume in self.volumes() {
            match recordings.last_mut().filter(|last| volume.begins_ms - last.ends_ms <= join_ms) {
                Some(last) => {
                    last.ends_ms = last.ends_ms.max(volume.ends_ms);
                    last.bytes += volume.bytes;
                }
                None => recordings.push(Recording {
                    begins_ms: volume.begins_ms,
                    ends_ms: volume.ends_ms,
                    bytes: volume.bytes,
                }),
            }
        }
        recordings
    }

    /// The CMAF header of a track in a run, in an encrypted one that of the key which begins with a segment. Reads a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn init(&self, track: &str, number: u32, key: Option<u64>) -> io::Result<Option<Bytes>> {
        match run::read(&self.folder, number) {
            Ok(run) => {
                let track = run.tracks.iter().find(|t| t.name == track);
                let period = run.keys.iter().find(|k| Some(k.first_msn) == key);
                Ok(match (track, period) {
                    (Some(track), Some(period)) => track.keyed(period).map(|t| t.init),
                    (Some(track), None) if key.is_none() && run.keys.is_empty() => Some(track.init.clone()),
                    _ => None,
                })
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Closed volumes, oldest first: all but the one that is being written.
    pub(crate) fn closed(&self) -> Vec<Volume> {
        self.lock().closed().copied().collect()
    }

    /// Drops a volume that is not being written, here and in object storage, and the runs that only it had.
    pub(crate) fn drop_volume(&self, number: u64) -> io::Result<()> {
        let (gone, mut runs, needed) = {
            let (writing, mut state) = (self.writing().run, self.lock());
            let Some(at) = state.volumes.iter().position(|v| v.number == number) else { return Ok(()) };
            let Some(gone) = state.volumes.remove(at) else { return Ok(()) };
            let has = |run: &u32| state.volumes.iter().any(|v| (v.first_run..=v.last_run).contains(run));
            let runs = gone.first_run..=gone.last_run;
            let runs: Vec<u32> = runs.filter(|run| !has(run) && writing != Some(*run)).collect();
            (gone, runs, state.volumes.front().filter(|_| at == 0).map_or(0, |v| v.first_run))
        };
        if self.remote.is_none() {
            // Those, too, that a process left which was killed here.
            runs.extend(run::before(&self.folder, needed.min(gone.first_run))?);
        } else {
            // A disk too full for the mark is freed all the same: what stays there is found at the next start.
            let _ = marker::set_gone(&self.folder, gone.number, &runs);
            self.lock().gone.push_back(gone.number);
        }
        gone.remove(&self.folder)?;
        for number in runs {
            let _ = std::fs::remove_file(run::path(&self.folder, number));
        }
        Ok(())
    }

    pub(crate) fn volumes(&self) -> VecDeque<Volume> {
        self.lock().volumes.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// All but the one that is written.
    fn closed(&self) -> impl Iterator<Item = &Volume> {
        self.volumes.iter().filter(|v| Some(v.number) != self.open)
    }
}

fn stored(record: &Record) -> Event {
    let segment = Stored {
        msn: record.msn,
        begins_ms: record.begins_ms,
        pts: record.pts,
        duration: u64::from(record.ticks),
        bytes: record.bytes as usize,
        independent: record.independent,
        i_frame_bytes: record.i_frame_bytes.map(|b| b as usize),
        named_by_run: false,
    };
    Event::Stored { track: usize::from(record.track), segment }
}
