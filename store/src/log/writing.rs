//! Writing a stream. Only the store's thread does; nobody who reads, or begins to publish, waits for the disk.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use bytes::Bytes;
use nx_hls::{KeyPeriod, Run, Segment};
use nx_media::rescale;

use super::Log;
use crate::direct::Buffer;
use crate::marker;
use crate::record::Record;
use crate::run;
use crate::volume::{self, Volume, Writer};

/// A volume is closed when it has so many bytes.
const VOLUME_BYTES: u64 = 64 << 20;
/// A longer pause between segments begins a new volume.
const PAUSE_MS: i64 = 1_000;

#[derive(Debug, Default)]
pub(super) struct Writing {
    writer: Option<Writer>,
    /// Run whose tracks are on the disk, and the keys that it has had so far.
    pub(super) run: Option<u32>,
    keys: Vec<KeyPeriod>,
    /// Nothing has been refused since.
    told: bool,
}

impl Log {
    /// Keeps a whole segment; a gap is not kept. A volume is not longer than `volume_ms`, and has no pause in it.
    pub(crate) fn append(
        &self,
        (of, track): (&Run, usize),
        segment: &Segment,
        volume_ms: i64,
        buffer: &mut Buffer,
    ) -> io::Result<()> {
        let Some(mut record) = describe(track, segment) else { return Ok(()) };
        let media: Vec<Bytes> = segment.parts.iter().map(|p| p.bytes.clone()).collect();
        let mut writing = self.writing();
        let appended = writing.begin(&self.folder, of, segment.track.key.as_ref()).and_then(|key| {
            record.key = key;
            let writer = self.writer(&mut writing, &record, volume_ms)?;
            writer.append(record, &media, buffer)?;
            Ok(writer.volume)
        });
        match appended {
            Ok(volume) => {
                let mut state = self.lock();
                match state.volumes.back_mut().filter(|v| v.number == volume.number) {
                    Some(last) => *last = volume,
                    None => state.volumes.push_back(volume),
                }
                self.version.fetch_add(1, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                self.give_up(&mut writing);
                Err(error)
            }
        }
    }

    /// The volume that a segment goes into.
    fn writer<'a>(
        &self,
        writing: &'a mut Writing,
        record: &Record,
        volume_ms: i64,
    ) -> io::Result<&'a mut Writer> {
        let last = self.lock().volumes.back().copied();
        let full = |v: &Volume| {
            let paused = record.begins_ms - v.ends_ms > PAUSE_MS;
            v.bytes >= VOLUME_BYTES || record.begins_ms - v.begins_ms >= volume_ms || paused
        };
        // Volumes are told apart by their first number, so the next begins with a number of its own.
        if last.is_some_and(|v| record.msn > v.last_msn && full(&v)) {
            self.end(writing)?;
        }
        let writer = match writing.writer.take() {
            Some(writer) => writer,
            None => self.open(record, last.filter(|v| record.msn <= v.last_msn || !full(v)), last)?,
        };
        Ok(writing.writer.insert(writer))
    }

    /// Opens the volume that the segment `fits` into, else a new one.
    fn open(&self, record: &Record, fits: Option<Volume>, last: Option<Volume>) -> io::Result<Writer> {
        if let Some(volume) = fits.filter(|v| !v.away) {
            self.lock().open = Some(volume.number);
            marker::unset_safe(&self.folder, volume.number)?;
            match Writer::reopen(&self.folder, Volume { safe: false, ..volume }) {
                // Another disk is there by now.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                opened => return opened,
            }
        }
        if last.is_some_and(|v| v.number == record.msn) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.lock().open = Some(record.msn);
        Writer::create(&self.folder, record)
    }

    /// Returns when the disk has everything that was kept.
    pub(crate) fn confirm(&self) -> io::Result<()> {
        let mut writing = self.writing();
        let Some(writer) = writing.writer.as_mut().filter(|w| w.unconfirmed) else { return Ok(()) };
        let confirmed = writer.confirm();
        match confirmed {
            Ok(()) => self.lock().safe_msn = Some(writer.volume.last_msn),
            Err(_) => self.give_up(&mut writing),
        }
        confirmed
    }

    /// The stream is not written for now: closes its files.
    pub(crate) fn close(&self) -> io::Result<()> {
        self.end(&mut self.writing())
    }

    fn end(&self, writing: &mut Writing) -> io::Result<()> {
        let done = self.shut(writing);
        self.lock().open = None;
        done
    }

    fn shut(&self, writing: &mut Writing) -> io::Result<()> {
        let Some(writer) = writing.writer.take() else { return Ok(()) };
        let volume = writer.volume;
        writer.close()?;
        if volume.records > 0 {
            self.lock().safe_msn = Some(volume.last_msn);
        }
        Ok(())
    }

    /// The disk refused something. What is half there is cut off when its files are opened again; the disk that is there
    /// then may be another, which has no tracks either. Until then the volume is still the one that is being written.
    fn give_up(&self, writing: &mut Writing) {
        let empty = writing.writer.as_ref().map(|w| w.volume).filter(|v| v.records == 0);
        let _ = self.shut(writing);
        if let Some(volume) = empty {
            let _ = volume::remove(&self.folder, volume.number);
        }
        let mut state = self.lock();
        let open = state.open.filter(|open| state.volumes.iter().any(|v| v.number == *open));
        state.open = open;
        writing.told = false;
    }

    pub(super) fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writing {
    /// Writes down what a segment of a run needs to be shown; gives the number of its key.
    fn begin(&mut self, folder: &Path, of: &Run, key: Option<&KeyPeriod>) -> io::Result<u8> {
        let is_new = self.run != Some(of.number);
        let mut keys = if is_new { of.keys.clone() } else { self.keys.clone() };
        let found = key.and_then(|key| keys.iter().rposition(|k| k.first_msn == key.first_msn));
        let nth = match (key, found) {
            (None, _) => 0,
            (Some(_), Some(nth)) => nth,
            (Some(key), None) => {
                keys.push(key.clone());
                keys.len() - 1
            }
        };
        if is_new || !self.told || keys.len() != self.keys.len() {
            std::fs::create_dir_all(folder)?;
            run::write(folder, of, &keys)?;
            (self.run, self.keys, self.told) = (Some(of.number), keys, true);
        }
        Ok(u8::try_from(nth % 256).unwrap_or(0))
    }
}

/// All but place and checksum. `None` of a gap, and of what no stream has.
fn describe(track: usize, segment: &Segment) -> Option<Record> {
    let first = segment.parts.first()?;
    let ticks = segment.duration?;
    let duration_ms = rescale(i64::try_from(ticks).ok()?, segment.track.params.timescale(), 1000);
    Some(Record {
        track: u8::try_from(track).ok()?,
        key: 0,
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
        crc: 0,
    })
}
