//! A title as one MP4: new tables in front of ranges of the file.

use std::path::PathBuf;

use bytes::Bytes;
use nx_container::fmp4::{Entry, Fragment, MovieError, MovieWriter, Span};
use nx_container::index::{IndexError, IndexTrack, Place};
use nx_media::{Kind, rescale};

use crate::identity::Identity;
use crate::open::TitleError;
use crate::plan::pts;
use crate::samples::Change;
use crate::title::Title;

/// Ranges of the file with fewer other bytes between them are one.
const BETWEEN: u64 = 256 << 10;
/// Sound before the beginning that decoders need to begin with, microseconds.
const PREROLL_US: i64 = 200_000;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movie {
    /// What stands before the media.
    pub front: Bytes,
    /// The media, in order.
    pub pieces: Vec<Piece>,
}

/// A range of a file, as long as it is that file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Which file.
    pub path: PathBuf,
    /// Which version of it.
    pub identity: Identity,
    /// Where it begins.
    pub offset: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Title {
    /// What is shown between two times of the title as one MP4, to the frame; milliseconds. `None` when that is nothing.
    ///
    /// # Errors
    /// Its samples do not lie in the file as an MP4 has them.
    pub fn movie(&self, from_ms: i64, to_ms: i64) -> Result<Option<Movie>, TitleError> {
        let from_us = from_ms.max(0).saturating_mul(1000);
        let ends_us = self.ends_us();
        let to_us = to_ms.saturating_mul(1000).min(ends_us);
        let whole = to_us >= ends_us && from_us == 0;
        let mut chosen: Vec<(&IndexTrack, &[Place])> = Vec::new();
        let (path, identity) = self.file_of(0);
        for track in self.in_one_file() {
            if Change::of(track) != Change::None {
                let why = "its samples do not lie in the file as an MP4 has them; play index.m3u8";
                return Err(IndexError::Unsupported(why.into()).into());
            }
            chosen.push((track, if whole { &track.samples } else { shown(track, from_us, to_us) }));
        }
        let ranges = ranges(chosen.iter().flat_map(|(_, places)| *places));
        let mut writer = MovieWriter::default();
        let refused = |error: MovieError| TitleError::Index(IndexError::Unsupported(error.to_string()));
        writer.run(chosen.iter().map(|(t, _)| (t.id, &t.params)), 0).map_err(refused)?;
        for (track, places) in chosen {
            for chunk in places.chunk_by(|a, b| a.offset.saturating_add(a.bytes.into()) == b.offset) {
                let Some(first) = chunk.first() else { continue };
                let entry =
                    |p: &Place| Entry { size: p.bytes, duration: p.duration, offset: p.cts, key: p.key };
                let fragment = Fragment { dts: first.dts, samples: chunk.iter().map(entry).collect() };
                writer.fragment(track.id, place(&ranges, first.offset), &fragment).map_err(refused)?;
            }
        }
        let media = ranges.iter().map(|(_, bytes, _)| bytes).sum();
        match writer.finish(Span { from_us, to_us }, media) {
            Ok(front) => {
                let piece = |(offset, bytes, _)| Piece { path: path.to_owned(), identity, offset, bytes };
                Ok(Some(Movie { front, pieces: ranges.into_iter().map(piece).collect() }))
            }
            Err(MovieError::Empty) => Ok(None),
            Err(error) => Err(refused(error)),
        }
    }
}

/// The samples that are shown between two times, and those that they need.
fn shown(track: &IndexTrack, from_us: i64, to_us: i64) -> &[Place] {
    let ticks = |us: i64| rescale(us, 1_000_000, track.params.timescale());
    let (from, to) = (ticks(from_us), ticks(to_us));
    let first = match track.id.kind {
        Kind::Video => track.samples.iter().rposition(|s| s.key && pts(s) <= from).unwrap_or(0),
        Kind::Audio => {
            let from = ticks(from_us.saturating_sub(PREROLL_US));
            let reaches = |s: &Place| pts(s).saturating_add(s.duration.into()) > from;
            track.samples.iter().position(reaches).unwrap_or(track.samples.len())
        }
    };
    let last = track.samples.iter().rposition(|s| pts(s) < to).map_or(0, |last| last + 1);
    track.samples.get(first..last.max(first)).unwrap_or_default()
}

/// Where samples lie in the file: offset, bytes, and what comes before.
fn ranges<'a>(places: impl Iterator<Item = &'a Place>) -> Vec<(u64, u64, u64)> {
    let mut all: Vec<(u64, u64)> = Vec::new();
    for place in places {
        let end = place.offset.saturating_add(place.bytes.into());
        match all.last_mut().filter(|(_, ends)| *ends == place.offset) {
            Some((_, ends)) => *ends = end,
            None => all.push((place.offset, end)),
        }
    }
    all.sort_unstable();
    let (mut merged, mut before): (Vec<(u64, u64, u64)>, u64) = (Vec::new(), 0);
    for (offset, end) in all {
        match merged.last_mut().filter(|(at, bytes, _)| offset <= *at + *bytes + BETWEEN) {
            Some((at, bytes, _)) => {
                let more = end.saturating_sub(*at + *bytes);
                (*bytes, before) = (*bytes + more, before + more);
            }
            None => {
                merged.push((offset, end - offset, before));
                before += end - offset;
            }
        }
    }
    merged
}

/// Where in the media a byte of the file is.
fn place(ranges: &[(u64, u64, u64)], offset: u64) -> u64 {
    let at = ranges.partition_point(|(begins, _, _)| *begins <= offset).saturating_sub(1);
    ranges.get(at).map_or(0, |(begins, _, before)| before + (offset - begins))
}
