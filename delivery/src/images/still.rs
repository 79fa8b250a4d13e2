//! Key frames of a stream: where they are, and how one is read.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use nx_container::fmp4::{self, Header};
use nx_hls::{Event, Lookup, Position, Run, RunTrack, Stored, Window};
use nx_media::{Params, VideoParams, rescale};

use crate::past::Archive;

/// A key frame that can be drawn.
#[derive(Debug, Clone)]
pub struct Still {
    name: String,
    track: Arc<RunTrack>,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    /// The fragment that begins with it.
    Here(Bytes),
    /// The first bytes of a stored segment.
    Stored { archive: Arc<dyn Archive>, msn: u64, bytes: usize },
}

/// A key frame and how to decode it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFrame {
    /// Of its track.
    pub params: VideoParams,
    /// The sample, as CMAF has it.
    pub sample: Bytes,
}

impl Still {
    /// Its name within the stream.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its bytes; `None` when they are gone. May read a file: not to be called by an async task.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn load(&self) -> io::Result<Option<KeyFrame>> {
        let fragment = match &self.place {
            Place::Here(bytes) => bytes.clone(),
            Place::Stored { archive, msn, bytes } => {
                let begins = archive.beginning(&self.track.name, *msn, self.track.run, *bytes)?;
                let Some(begins) = begins else { return Ok(None) };
                begins
            }
        };
        let Params::Video(params) = &self.track.params else { return Ok(None) };
        let sample = first_sample(&fragment);
        Ok(sample.map(|sample| KeyFrame { params: params.clone(), sample }))
    }
}

fn first_sample(fragment: &Bytes) -> Option<Bytes> {
    let Ok(Header::Whole(head, media, _)) = fmp4::header(fragment) else { return None };
    let size = usize::try_from(head.samples.first()?.size).ok()?;
    let end = media.checked_add(size).filter(|end| *end <= fragment.len())?;
    Some(fragment.slice(media..end))
}

fn is_picture(track: &RunTrack) -> bool {
    matches!(track.params, Params::Video(_))
}

fn named(track: &RunTrack, msn: u64) -> String {
    format!("{}/{msn}-{}", track.name, track.run)
}

/// The newest key frame of the live window: as soon as its part is there.
pub(crate) fn newest(window: &Window) -> Option<Still> {
    let msn = window.newest_independent(window.leader())?;
    let (track, part) = window.parts_after(window.leader(), Position { msn, part: 0 }).next()?;
    let place = Place::Here(part.bytes.clone());
    is_picture(track).then(|| Still { name: named(track, msn), track: track.clone(), place })
}

/// The newest key frame of the live window at a time or before it, Unix milliseconds. `None` when the window may not
/// have it.
pub(crate) fn before(window: &Window, time_ms: i64) -> Option<Still> {
    let leader = window.leader();
    let numbers = window.oldest(leader)?..window.next(leader)?.msn;
    numbers.rev().find_map(|msn| {
        let Lookup::Found(segment) = window.segment(leader, msn) else { return None };
        segment.i_frame_bytes.filter(|_| segment.program_date_time_ms <= time_ms)?;
        let place = Place::Here(segment.parts.first()?.bytes.clone());
        let track = segment.track.clone();
        is_picture(&track).then(|| Still { name: named(&track, msn), track, place })
    })
}

/// A stored segment of the track that leads.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) track: Arc<RunTrack>,
    pub(crate) segment: Stored,
}

impl Found {
    pub(crate) fn ends_ms(&self) -> i64 {
        let ticks = i64::try_from(self.segment.duration).unwrap_or(0);
        self.segment.begins_ms.saturating_add(rescale(ticks, self.track.params.timescale(), 1000))
    }

    /// Whether it begins with a picture.
    pub(crate) fn has_picture(&self) -> bool {
        self.segment.i_frame_bytes.is_some() && is_picture(&self.track)
    }

    pub(crate) fn still(&self, archive: &Arc<dyn Archive>) -> Option<Still> {
        let bytes = self.segment.i_frame_bytes.filter(|_| self.has_picture())?;
        let place = Place::Stored { archive: archive.clone(), msn: self.segment.msn, bytes };
        Some(Still { name: named(&self.track, self.segment.msn), track: self.track.clone(), place })
    }
}

/// The stored segments that begin in a stretch, Unix milliseconds. Reads files.
pub(crate) fn stored(archive: &Arc<dyn Archive>, from_ms: i64, until_ms: i64) -> io::Result<Vec<Found>> {
    let (mut run, mut found) = (None::<Arc<Run>>, Vec::new());
    for event in archive.clone().reader(from_ms).read(until_ms)? {
        match (event, &run) {
            (Event::Run(next), _) => run = Some(next),
            (Event::Stored { track, segment }, Some(run)) if track == run.leader() => {
                let within = segment.begins_ms >= from_ms;
                let track = run.tracks.get(track).filter(|_| within).cloned();
                found.extend(track.map(|track| Found { track, segment }));
            }
            _ => {}
        }
    }
    Ok(found)
}
