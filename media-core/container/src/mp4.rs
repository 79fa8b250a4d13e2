//! MP4 and QuickTime files, plain and fragmented, as an index of their samples.
//!
//! `moov` may stand anywhere; of what stands elsewhere only the headers are read. `sidx`, `sdtp` and what is not about
//! samples is passed over.
//!
//! Spec: ISO/IEC 14496-12; QuickTime File Format where the two differ.

mod bytes;
mod entry;
mod fragments;
mod read;
mod tables;
mod times;

use ::bytes::Bytes;

use crate::index::{IndexError, Indexer, READ_MAX, Step};
use bytes::{BOX, Cursor, name};
use read::{Budget, Movie};

/// Largest `moov`.
const MOOV_MAX: u64 = 256 << 20;
/// Largest `moof`.
const MOOF_MAX: u64 = 16 << 20;
/// Boxes of a file.
const BOXES_MAX: u32 = 1 << 20;
/// Longest header of a box.
const HEADER: usize = 16;

/// Whether a file that begins so may be one: at least eight bytes.
#[must_use]
pub(crate) fn sniff(head: &[u8]) -> bool {
    let kind = head.get(4..).and_then(<[u8]>::first_chunk::<4>);
    let known: [&[u8; 4]; 9] =
        [b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"moof"];
    kind.is_some_and(|kind| known.contains(&kind))
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Mp4Indexer {
    /// Where the next box of the file begins.
    at: u64,
    boxes: u32,
    budget: Budget,
    movie: Option<Movie>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Looks at the header of the next box.
    Header,
    /// Reads a box; header included, up to `end`.
    Body {
        kind: [u8; 4],
        start: u64,
        header: usize,
        end: u64,
        got: Vec<u8>,
    },
    /// Asks the first sample of a track.
    Ask(usize),
    Done,
}

impl Mp4Indexer {
    /// Of a file of so many bytes.
    #[must_use]
    pub(crate) fn new(file_bytes: u64) -> Self {
        Self { at: 0, boxes: 0, budget: Budget::new(file_bytes), movie: None, state: State::Header }
    }

    fn header(&mut self, bytes: &[u8]) -> Result<(), IndexError> {
        let start = self.at;
        let file = self.budget.file_bytes;
        let broken = |what: String| IndexError::Broken { what, at: start };
        self.boxes += 1;
        if self.boxes > BOXES_MAX {
            return Err(IndexError::TooMuch { what: "boxes", max: BOXES_MAX.into() });
        }
        if bytes.len() < BOX {
            // Fewer bytes than a box has: nothing that matters.
            self.at = file;
            return Ok(());
        }
        let mut cursor = Cursor::new(bytes, start);
        let (len, kind) = (cursor.u32("a box")?, cursor.u32("a box")?.to_be_bytes());
        let (header, len) = match len {
            0 => (BOX, file.saturating_sub(start)),
            1 => (HEADER, cursor.u64("a box")?),
            len => (BOX, u64::from(len)),
        };
        if len < header as u64 {
            return Err(broken(format!("box '{}' of {len} bytes", name(kind))));
        }
        let end = start.checked_add(len).filter(|end| *end <= file);
        let Some(end) = end else {
            let left = file.saturating_sub(start);
            return Err(broken(format!("box '{}' has {len} bytes and the file {left} more", name(kind))));
        };
        let most = match &kind {
            b"moov" if self.movie.is_none() => MOOV_MAX,
            b"moof" if self.movie.is_some() => MOOF_MAX,
            _ => {
                self.at = end;
                return Ok(());
            }
        };
        if len > most {
            return Err(IndexError::TooMuch { what: "bytes of tables", max: most });
        }
        self.state = State::Body { kind, start, header, end, got: Vec::new() };
        Ok(())
    }

    fn body(&mut self, kind: [u8; 4], start: u64, body: &[u8], header: usize) -> Result<(), IndexError> {
        let body = Cursor::new(body, start.saturating_add(header as u64));
        match (&mut self.movie, &kind) {
            (None, b"moov") => self.movie = Some(Movie::read(body, &mut self.budget)?),
            (Some(movie), _) => fragments::moof(body, start, &mut movie.tracks, &mut self.budget)?,
            (None, _) => {}
        }
        Ok(())
    }
}

impl Indexer for Mp4Indexer {
    fn next(&mut self) -> Result<Step, IndexError> {
        loop {
            match &self.state {
                State::Header if self.at >= self.budget.file_bytes => {
                    if self.movie.is_none() {
                        let what = "the file ends without 'moov', which says where its media are".into();
                        return Err(IndexError::Broken { what, at: self.at });
                    }
                    self.state = State::Ask(0);
                }
                State::Header => return Ok(Step::Read { offset: self.at, bytes: HEADER }),
                State::Body { start, end, got, .. } => {
                    let offset = start.saturating_add(got.len() as u64);
                    let left = usize::try_from(end.saturating_sub(offset)).unwrap_or(READ_MAX);
                    return Ok(Step::Read { offset, bytes: left.min(READ_MAX) });
                }
                State::Ask(nth) => {
                    let Some(movie) = &self.movie else { break };
                    if *nth >= movie.tracks.len() {
                        break;
                    }
                    if let Some(place) = movie.question(*nth) {
                        let bytes = usize::try_from(place.bytes).unwrap_or(READ_MAX).min(READ_MAX);
                        return Ok(Step::Read { offset: place.offset, bytes });
                    }
                    self.state = State::Ask(nth + 1);
                }
                State::Done => break,
            }
        }
        self.state = State::Done;
        let movie = self.movie.take();
        movie.map_or_else(|| Ok(Step::Done(crate::index::Index::default())), |m| m.finish().map(Step::Done))
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), IndexError> {
        match &mut self.state {
            State::Header => self.header(bytes),
            State::Body { kind, start, header, end, got } => {
                if bytes.is_empty() {
                    return Err(IndexError::Broken { what: "the file has become shorter".into(), at: *end });
                }
                got.extend_from_slice(bytes);
                if start.saturating_add(got.len() as u64) < *end {
                    return Ok(());
                }
                let (kind, start, header, got) = (*kind, *start, *header, std::mem::take(got));
                (self.at, self.state) = (*end, State::Header);
                self.body(kind, start, got.get(header..).unwrap_or_default(), header)
            }
            State::Ask(nth) => {
                let nth = *nth;
                if let Some(movie) = &mut self.movie {
                    movie.answer(nth, &Bytes::copy_from_slice(bytes));
                }
                self.state = State::Ask(nth + 1);
                Ok(())
            }
            State::Done => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
