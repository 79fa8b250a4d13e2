//! A stretch of a stream as the files that players fetch: headers and segments, one after the other.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use nx_hls::{Run, RunTrack};

use crate::bits::{Bit, Place};
use crate::log::Log;
use crate::record::Record;
use crate::run;
use crate::volume::Volume;

/// A header or a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is called below the stream: `v1/init-0.mp4`, `v1/17-0.m4s`.
    pub name: String,
    /// When a segment begins, Unix milliseconds.
    pub begins_ms: Option<i64>,
    /// What is stored of it, compared with its checksum.
    pub bytes: Bytes,
}

/// See the module. Holds one segment at a time, and 100 bytes or so for each that is to come.
#[derive(Debug)]
pub struct Entries {
    log: Arc<Log>,
    /// When the latest of it ends, Unix milliseconds.
    pub ends_ms: i64,
    run: Option<Arc<Run>>,
    headers: VecDeque<Entry>,
    left: VecDeque<(Volume, Record)>,
}

impl Log {
    /// Everything that is stored of a stretch, Unix milliseconds: the headers of each run before its first segment. Reads
    /// files, and object storage.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn entries(self: &Arc<Self>, from_ms: i64, to_ms: i64) -> io::Result<Entries> {
        let bits = self.bits(from_ms, to_ms, &[])?;
        let ends_ms = bits.iter().map(|bit| bit.ends_ms).max().unwrap_or(from_ms);
        let stored = |bit: Bit| match bit.place {
            Place::Stored(volume, record) => Some((volume, record)),
            Place::Held(_) => None,
        };
        let left = bits.into_iter().filter_map(stored).collect();
        Ok(Entries { log: self.clone(), ends_ms, run: None, headers: VecDeque::new(), left })
    }
}

impl Iterator for Entries {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(header) = self.headers.pop_front() {
            return Some(Ok(header));
        }
        let number = self.left.front()?.1.run;
        if let Some(run) = self.run.clone().filter(|run| run.number == number) {
            let (volume, record) = self.left.pop_front()?;
            return Some(segment(&self.log, &run, &volume, &record));
        }
        match run::read(self.log.folder(), number) {
            Ok(run) => {
                self.headers = run.tracks.iter().flat_map(|track| headers(&run, track)).collect();
                self.run = Some(run);
                self.next()
            }
            Err(error) => {
                self.left.clear();
                Some(Err(error))
            }
        }
    }
}

/// The header of a track, or those of its keys.
fn headers(run: &Run, track: &Arc<RunTrack>) -> Vec<Entry> {
    let entry = |track: &RunTrack| Entry {
        name: format!("{}/{}", track.name, track.init_name()),
        begins_ms: None,
        bytes: track.init.clone(),
    };
    match run.keys.is_empty() {
        true => vec![entry(track)],
        false => run.keys.iter().filter_map(|key| track.keyed(key)).map(|track| entry(&track)).collect(),
    }
}

fn segment(log: &Log, run: &Run, volume: &Volume, record: &Record) -> io::Result<Entry> {
    let track = run.tracks.get(usize::from(record.track)).ok_or(io::ErrorKind::InvalidData)?;
    let name = format!("{}/{}-{}.m4s", track.name, record.msn, record.run);
    let bytes = log.bytes(volume, record)?.ok_or(io::ErrorKind::NotFound)?;
    if crc32fast::hash(&bytes) != record.crc {
        let text = format!("{name} is not what was stored under that name: its checksum is another");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(Entry { name, begins_ms: Some(record.begins_ms), bytes })
}
