//! A volume: a file of media and a file of records.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::direct::{Buffer, Growing};
use crate::marker;
use crate::record::{RECORD, Record};
use crate::source::Source;

/// Records at the end of a volume that are compared with their media when it is opened: those that the disk may not
/// have had when the power went are of the last second.
const DOUBTFUL: u64 = 64;

/// What is known of a volume without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Volume {
    /// Its name: the first media sequence number.
    pub(crate) number: u64,
    /// Whole segments of all tracks.
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// Unix milliseconds.
    pub(crate) begins_ms: i64,
    /// Unix milliseconds at which its last segment begins.
    pub(crate) last_ms: i64,
    /// Unix milliseconds at which its last segment ends.
    pub(crate) ends_ms: i64,
    pub(crate) last_msn: u64,
    pub(crate) first_run: u32,
    pub(crate) last_run: u32,
    /// Object storage has it.
    pub(crate) safe: bool,
    /// Its media are there alone.
    pub(crate) away: bool,
}

fn media_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}.media"))
}

fn index_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}.index"))
}

impl Volume {
    fn empty(number: u64, record: &Record) -> Self {
        Self {
            number,
            records: 0,
            bytes: 0,
            begins_ms: record.begins_ms,
            last_ms: record.begins_ms,
            ends_ms: record.begins_ms,
            last_msn: record.msn,
            first_run: record.run,
            last_run: record.run,
            safe: false,
            away: false,
        }
    }

    /// The volume that a whole index describes.
    pub(crate) fn described(number: u64, index: &[u8]) -> Option<(Self, Vec<Record>)> {
        let (records, rest) = index.as_chunks();
        let records: Vec<Record> = records.iter().map(Record::read).collect::<Option<_>>()?;
        let mut volume = Self::empty(number, records.first().filter(|_| rest.is_empty())?);
        records.iter().for_each(|r| volume.note(r));
        Some((volume, records))
    }

    /// A volume that object storage has: there is nothing to cut off, whatever the disk still has of it.
    fn recover_safe(folder: &Path, number: u64) -> io::Result<Option<Self>> {
        if !marker::has_safe(folder, number) {
            return Ok(None);
        }
        let index = std::fs::read(index_path(folder, number))?;
        let found = Self::described(number, &index).map(|(volume, _)| volume);
        let proven = |v: &Self| marker::is_safe(folder, number, &marker::proof(&index, v.bytes));
        let Some(volume) = found.filter(proven) else {
            marker::unset_safe(folder, number)?;
            return Ok(None);
        };
        let media = media_path(folder, number);
        let here = std::fs::metadata(&media).is_ok_and(|m| m.len() >= volume.bytes);
        if !here {
            marker::remove(&media)?;
        }
        Ok(Some(Self { safe: true, away: !here, ..volume }))
    }

    fn note(&mut self, record: &Record) {
        self.records += 1;
        self.bytes = record.end();
        self.last_ms = self.last_ms.max(record.begins_ms);
        self.ends_ms = self.ends_ms.max(record.ends_ms());
        self.last_msn = self.last_msn.max(record.msn);
        self.last_run = record.run;
    }

    /// Reads what is whole and cuts off what is not. `None` when nothing is left.
    ///
    /// # Errors
    /// The files cannot be read or shortened.
    pub(crate) fn recover(folder: &Path, number: u64) -> io::Result<Option<Self>> {
        if let Some(volume) = Self::recover_safe(folder, number)? {
            return Ok(Some(volume));
        }
        let open = |path| OpenOptions::new().read(true).write(true).open(path);
        let (media, index) = (open(media_path(folder, number))?, open(index_path(folder, number))?);
        let (has, len) = (media.metadata()?.len(), index.metadata()?.len());
        let records = all(&index, len / RECORD as u64)?;
        // The first that does not read ends the volume: what is behind it was never promised.
        let mut whole: Vec<Record> =
            records.into_iter().map_while(|r| r.filter(|r| r.end() <= has)).collect();
        while let Some(at) = (whole.len() as u64).checked_sub(DOUBTFUL.min(whole.len() as u64)) {
            let doubtful = whole.iter().skip(usize::try_from(at).unwrap_or(0));
            let bad = doubtful.clone().position(|r| !is_whole(&media, r));
            let Some(bad) = bad else { break };
            whole.truncate(usize::try_from(at).unwrap_or(0) + bad);
        }
        let Some(first) = whole.first() else { return Ok(None) };
        let mut volume = Self::empty(number, first);
        whole.iter().for_each(|r| volume.note(r));
        let kept = volume.records * RECORD as u64;
        if len > kept || has > volume.bytes {
            index.set_len(kept)?;
            media.set_len(volume.bytes)?;
        }
        Ok(Some(volume))
    }

    /// Its records from the nth on.
    pub(crate) fn records(&self, folder: &Path, from: u64) -> io::Result<Vec<Record>> {
        let index = File::open(index_path(folder, self.number))?;
        let count = self.records.saturating_sub(from);
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(0) * RECORD];
        index.read_exact_at(&mut bytes, from * RECORD as u64)?;
        let (records, _) = bytes.as_chunks();
        Ok(records.iter().filter_map(Record::read).collect())
    }

    pub(crate) fn media_path(&self, folder: &Path) -> PathBuf {
        media_path(folder, self.number)
    }

    /// The bytes of a segment.
    pub(crate) fn media(&self, folder: &Path, record: &Record) -> io::Result<Bytes> {
        File::open(media_path(folder, self.number))?.read(record.offset, record.bytes.into())
    }

    /// Removes its files. The index goes first: media without one is rubbish that the next start clears away.
    pub(crate) fn remove(&self, folder: &Path) -> io::Result<()> {
        remove(folder, self.number)
    }

    /// Its index, as bytes.
    pub(crate) fn index(&self, folder: &Path) -> io::Result<Bytes> {
        File::open(index_path(folder, self.number))?.read(0, self.records * RECORD as u64)
    }
}

/// Removes what there is of a volume.
pub(crate) fn remove(folder: &Path, number: u64) -> io::Result<()> {
    marker::remove(&index_path(folder, number))?;
    marker::remove(&media_path(folder, number))?;
    marker::unset_safe(folder, number)
}

/// Removes media and marks that have no index, and what a killed process had only begun to write.
pub(crate) fn remove_stray(folder: &Path, name: &str) {
    let number = marker::number(name, "media").or_else(|| marker::number(name, "safe"));
    if number.is_some_and(|number| !index_path(folder, number).exists()) || name.ends_with(".draft") {
        let _ = std::fs::remove_file(folder.join(name));
    }
}

fn all(index: &File, count: u64) -> io::Result<Vec<Option<Record>>> {
    let mut bytes = vec![0; usize::try_from(count).unwrap_or(0) * RECORD];
    index.read_exact_at(&mut bytes, 0)?;
    let (records, _) = bytes.as_chunks();
    Ok(records.iter().map(Record::read).collect())
}

fn is_whole(media: &File, record: &Record) -> bool {
    let mut bytes = vec![0; record.bytes as usize];
    media.read_exact_at(&mut bytes, record.offset).is_ok() && crc32fast::hash(&bytes) == record.crc
}

/// A volume that is being written.
#[derive(Debug)]
pub(crate) struct Writer {
    path: PathBuf,
    media: Growing,
    index: File,
    pub(crate) volume: Volume,
    /// Something was written since the disk last confirmed.
    pub(crate) unconfirmed: bool,
}

impl Writer {
    /// Begins a volume with the segment that `record` will describe.
    pub(crate) fn create(folder: &Path, record: &Record) -> io::Result<Self> {
        File::create(media_path(folder, record.msn))?;
        File::create(index_path(folder, record.msn))?;
        Self::reopen(folder, Volume::empty(record.msn, record))
    }

    /// Goes on with a volume, behind what is whole of it.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when it is not there, or less of it.
    pub(crate) fn reopen(folder: &Path, volume: Volume) -> io::Result<Self> {
        let path = media_path(folder, volume.number);
        let media = Growing::open(&path, volume.bytes)?;
        let index = OpenOptions::new().append(true).open(index_path(folder, volume.number))?;
        let index_len = volume.records * RECORD as u64;
        if index.metadata()?.len() < index_len {
            return Err(io::ErrorKind::NotFound.into());
        }
        index.set_len(index_len)?;
        Ok(Self { path, media, index, volume, unconfirmed: volume.records > 0 })
    }

    /// Writes media, then its record, which gets place and checksum here. After an error it is to be closed: something of
    /// it may be there.
    pub(crate) fn append(
        &mut self,
        mut record: Record,
        media: &[Bytes],
        buffer: &mut Buffer,
    ) -> io::Result<()> {
        record.offset = self.volume.bytes;
        self.unconfirmed = true;
        record.crc = self.media.append(media, buffer)?;
        self.index.write_all(&record.write())?;
        self.volume.note(&record);
        Ok(())
    }

    /// Returns when the disk has everything, and has it where it is looked for.
    pub(crate) fn confirm(&mut self) -> io::Result<()> {
        self.media.confirm()?;
        self.index.sync_data()?;
        if !self.media.is_at(&self.path) {
            let text = format!("{} is not there any more; is its disk mounted?", self.path.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        self.unconfirmed = false;
        Ok(())
    }

    /// The same, and nothing else is in its files.
    pub(crate) fn close(mut self) -> io::Result<()> {
        self.media.cut(self.volume.bytes)?;
        self.index.set_len(self.volume.records * RECORD as u64)?;
        self.confirm()
    }
}
