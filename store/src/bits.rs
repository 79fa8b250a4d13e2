//! A stretch of a stream piece by piece: what is stored of it, and behind that what is still only live.

use std::io;

use bytes::Bytes;
use nx_hls::Unstored;
use nx_media::rescale;

use crate::log::Log;
use crate::record::Record;
use crate::volume::Volume;

/// What is kept of a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// When the earliest segment of it begins, Unix milliseconds.
    pub begins_ms: i64,
    /// When the latest segment of it ends, Unix milliseconds.
    pub ends_ms: i64,
    /// How long it plays, without pauses and what lies outside of the stretch; milliseconds.
    pub duration_ms: u64,
    /// Size of its segments.
    pub bytes: u64,
}

/// A segment of the stretch, or what there is of it so far.
pub(crate) struct Bit {
    pub(crate) begins_ms: i64,
    pub(crate) ends_ms: i64,
    pub(crate) run: u32,
    /// Index into the run's tracks.
    pub(crate) track: usize,
    pub(crate) msn: u64,
    pub(crate) independent: bool,
    /// Earliest presentation time, in the track's timescale.
    pub(crate) pts: i64,
    pub(crate) place: Place,
}

pub(crate) enum Place {
    Stored(Volume, Record),
    Held(Vec<Bytes>),
}

impl Bit {
    fn stored(volume: Volume, record: Record) -> Self {
        Self {
            begins_ms: record.begins_ms,
            ends_ms: record.ends_ms(),
            run: record.run,
            track: usize::from(record.track),
            msn: record.msn,
            independent: record.independent,
            pts: record.pts,
            place: Place::Stored(volume, record),
        }
    }

    /// `None` of a gap.
    fn held(of: &Unstored) -> Option<Self> {
        let (segment, first) = (&of.segment, of.segment.parts.first()?);
        let ticks: u64 = segment.parts.iter().map(|p| p.duration).sum();
        let ms = rescale(i64::try_from(ticks).ok()?, segment.track.params.timescale(), 1000);
        Some(Self {
            begins_ms: segment.program_date_time_ms,
            ends_ms: segment.program_date_time_ms + ms,
            run: of.run.number,
            track: of.track,
            msn: segment.msn,
            independent: first.independent,
            pts: first.pts,
            place: Place::Held(segment.parts.iter().map(|p| p.bytes.clone()).collect()),
        })
    }

    fn bytes(&self) -> u64 {
        match &self.place {
            Place::Stored(_, record) => record.bytes.into(),
            Place::Held(parts) => parts.iter().map(|part| part.len() as u64).sum(),
        }
    }
}

impl Log {
    /// What there is between two times, Unix milliseconds; `None` when nothing is. Of what is `live` it takes what is
    /// not stored yet. Reads files.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn stretch(&self, from_ms: i64, to_ms: i64, live: &[Unstored]) -> io::Result<Option<Stretch>> {
        let mut bits = self.bits(from_ms, to_ms, live)?;
        bits.sort_by_key(|bit| bit.begins_ms);
        let Some(first) = bits.first() else { return Ok(None) };
        let (begins_ms, ends_ms) = (first.begins_ms, first.begins_ms);
        let mut stretch = Stretch { begins_ms, ends_ms, duration_ms: 0, bytes: 0 };
        for bit in &bits {
            let (from, to) = (bit.begins_ms.max(stretch.ends_ms).max(from_ms), bit.ends_ms.min(to_ms));
            stretch.duration_ms += u64::try_from(to - from).unwrap_or(0);
            stretch.ends_ms = stretch.ends_ms.max(bit.ends_ms);
            stretch.bytes += bit.bytes();
        }
        Ok(Some(stretch))
    }

    /// Everything that is shown at any time between two; the stored first.
    pub(crate) fn bits(&self, from_ms: i64, to_ms: i64, live: &[Unstored]) -> io::Result<Vec<Bit>> {
        let mut found: Vec<Bit> = Vec::new();
        for volume in self.volumes().iter().filter(|v| v.ends_ms > from_ms && v.begins_ms < to_ms) {
            let records = volume.records(self.folder(), 0)?.into_iter().filter(|r| !r.is_text());
            found.extend(records.map(|r| Bit::stored(*volume, r)).filter(|bit| bit.begins_ms < to_ms));
        }
        // All of a track up to the newest that is stored has had its chance.
        let stored = |bit: &Bit| {
            let same = |f: &&Bit| (f.run, f.track) == (bit.run, bit.track);
            found.iter().rev().filter(same).any(|f| f.msn >= bit.msn)
        };
        let held = live.iter().filter_map(Bit::held).filter(|bit| bit.begins_ms < to_ms && !stored(bit));
        let held: Vec<Bit> = held.collect();
        found.extend(held);
        found.retain(|bit| bit.ends_ms > from_ms);
        Ok(found)
    }
}
