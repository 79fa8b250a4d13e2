//! Everything that is kept of one stream, in volumes by number and time.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use nx_hls::{Event, Run, Segment, Stored};
use nx_media::rescale;

use crate::record::Record;
use crate::run;
use crate::volume::{Volume, Writer};

/// A volume is closed when it has so many bytes.
const VOLUME_BYTES: u64 = 64 << 20;
/// A longer pause between segments begins a new volume.
const PAUSE_MS: i64 = 1_000;

/// See the module.
#[derive(Debug)]
pub struct Log {
    folder: PathBuf,
    state: Mutex<State>,
    /// Segments kept since the start: what was read before is stale when this has grown.
    version: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Oldest first; the writer's is the last.
    volumes: VecDeque<Volume>,
    writer: Option<Writer>,
    /// Run whose tracks are on the disk.
    run: Option<u32>,
    /// Newest segment that the disk has confirmed.
    safe_msn: Option<u64>,
}

/// How far somebody has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Segments that end earlier are passed over; Unix milliseconds.
    from_ms: i64,
    volume: u64,
    record: u64,
    run: Option<u32>,
}

impl Cursor {
    /// Begins with the segment that is on at a time, or the next one; Unix milliseconds.
    #[must_use]
    pub fn from(from_ms: i64) -> Self {
        Self { from_ms, volume: 0, record: 0, run: None }
    }
}

/// What there is of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// When the oldest segment begins, Unix milliseconds.
    pub begins_ms: i64,
    /// When the newest segment begins, Unix milliseconds.
    pub last_ms: i64,
    /// Size on disk.
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
    /// Size on disk.
    pub bytes: u64,
}

impl Log {
    pub(crate) fn new(folder: PathBuf, volumes: VecDeque<Volume>) -> Self {
        let state = Mutex::new(State { volumes, ..State::default() });
        Self { folder, state, version: AtomicU64::new(0) }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Grows with every segment that is kept.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
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
                    events.push(Event::Run(run::read(&self.folder, record.run)?));
                }
                events.push(stored(record));
            }
        }
        Ok(events)
    }

    /// The bytes of a segment; `run` when it has to be of that one. Reads files.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn segment(&self, track: &str, msn: u64, run: Option<u32>) -> io::Result<Option<Bytes>> {
        let mut found = None;
        for volume in self.volumes().iter().filter(|v| (v.number..=v.last_msn).contains(&msn)) {
            let records = volume.records(&self.folder, 0)?;
            for record in records.iter().filter(|r| r.msn == msn && run.is_none_or(|run| run == r.run)) {
                let of = run::read(&self.folder, record.run)?;
                if of.tracks.get(usize::from(record.track)).is_some_and(|t| t.name == track) {
                    found = Some(volume.media(&self.folder, record)?);
                }
            }
        }
        Ok(found)
    }

    /// The first run that it has nothing of.
    #[must_use]
    pub fn next_run(&self) -> u32 {
        self.lock().volumes.back().map_or(0, |v| v.last_run.saturating_add(1))
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

    /// The CMAF header of a track in a run. Reads a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn init(&self, track: &str, number: u32) -> io::Result<Option<Bytes>> {
        match run::read(&self.folder, number) {
            Ok(run) => Ok(run.tracks.iter().find(|t| t.name == track).map(|t| t.init.clone())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Keeps a whole segment; a gap is not kept. A volume is not longer than `volume_ms`, and has no pause in it.
    pub(crate) fn append(&self, of: &Run, track: usize, segment: &Segment, volume_ms: i64) -> io::Result<()> {
        let Some(record) = describe(track, segment) else { return Ok(()) };
        let mut state = self.lock();
        if state.run != Some(of.number) {
            std::fs::create_dir_all(&self.folder)?;
            run::write(&self.folder, of)?;
            state.run = Some(of.number);
        }
        let full = |v: &Volume| {
            let paused = record.begins_ms - v.ends_ms > PAUSE_MS;
            v.bytes >= VOLUME_BYTES || record.begins_ms - v.begins_ms >= volume_ms || paused
        };
        // Volumes are told apart by their first number, so the next begins with a number of its own.
        if state.volumes.back().is_some_and(|v| record.msn > v.last_msn && full(v)) {
            state.close()?;
        }
        let fits = state.volumes.back().copied().filter(|v| record.msn <= v.last_msn || !full(v));
        if state.writer.is_none() {
            state.writer = Some(match fits {
                Some(last) => Writer::reopen(&self.folder, last)?,
                None => Writer::create(&self.folder, &record)?,
            });
        }
        let Some(writer) = state.writer.as_mut() else { return Ok(()) };
        let media: Vec<Bytes> = segment.parts.iter().map(|p| p.bytes.clone()).collect();
        writer.append(record, &media)?;
        let volume = writer.volume;
        match state.volumes.back_mut().filter(|v| v.number == volume.number) {
            Some(last) => *last = volume,
            None => state.volumes.push_back(volume),
        }
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Returns when the disk has everything that was kept.
    pub(crate) fn confirm(&self) -> io::Result<()> {
        let mut state = self.lock();
        let Some(writer) = state.writer.as_mut().filter(|w| w.unconfirmed) else { return Ok(()) };
        writer.confirm()?;
        let msn = writer.volume.last_msn;
        state.safe_msn = Some(msn);
        Ok(())
    }

    /// The stream is not written for now: closes its files.
    pub(crate) fn close(&self) -> io::Result<()> {
        self.lock().close()
    }

    /// All volumes, and the number of the one that is being written.
    pub(crate) fn open_volume(&self) -> (VecDeque<Volume>, Option<u64>) {
        let state = self.lock();
        (state.volumes.clone(), state.writer.as_ref().map(|w| w.volume.number))
    }

    /// Drops a volume that is not being written, and the runs that only it had.
    pub(crate) fn drop_volume(&self, number: u64) -> io::Result<()> {
        let (gone, runs) = {
            let mut state = self.lock();
            let Some(at) = state.volumes.iter().position(|v| v.number == number) else { return Ok(()) };
            let Some(gone) = state.volumes.remove(at) else { return Ok(()) };
            let has = |run: &u32| state.volumes.iter().any(|v| (v.first_run..=v.last_run).contains(run));
            let runs = gone.first_run..=gone.last_run;
            (gone, runs.filter(|run| !has(run) && state.run != Some(*run)).collect::<Vec<u32>>())
        };
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
    fn close(&mut self) -> io::Result<()> {
        let Some(mut writer) = self.writer.take() else { return Ok(()) };
        writer.confirm()?;
        self.safe_msn = Some(writer.volume.last_msn);
        Ok(())
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
    };
    Event::Stored { track: usize::from(record.track), segment }
}

/// `None` of a gap, and of what no stream has.
fn describe(track: usize, segment: &Segment) -> Option<Record> {
    let first = segment.parts.first()?;
    let ticks = segment.duration?;
    let duration_ms = rescale(i64::try_from(ticks).ok()?, segment.track.params.timescale(), 1000);
    let mut crc = crc32fast::Hasher::new();
    segment.parts.iter().for_each(|p| crc.update(&p.bytes));
    Some(Record {
        track: u8::try_from(track).ok()?,
        independent: first.independent,
        i_frame_bytes: segment.i_frame_bytes.and_then(|b| u32::try_from(b).ok()),
        run: segment.track.run,
        msn: segment.msn,
        begins_ms: segment.program_date_time_ms,
        pts: first.pts,
        ticks: u32::try_from(ticks).ok()?,
        duration_ms: u32::try_from(duration_ms).ok()?,
        offset: 0,
        bytes: u32::try_from(segment.bytes()).ok()?,
        crc: crc.finalize(),
    })
}
