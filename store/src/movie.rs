//! A stretch of a stream as one MP4: what stands before the media, and where the media lie.

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use nx_container::fmp4::{self, Header, MovieError, MovieWriter, Span};
use nx_hls::{Run, Unstored};
use nx_media::{Kind, rescale};

use crate::bits::{Bit, Place};
use crate::cloud::heads::Heads;
use crate::log::Log;
use crate::record::Record;
use crate::run;
use crate::source::{Media, Source};
use crate::volume::Volume;

/// Bytes that the header of a fragment mostly has.
const HEADER: usize = 2 << 10;
/// Bytes that no header of ours has.
const HEADER_MAX: usize = 1 << 20;
/// How long before the first picture that is shown its key frame may be.
const GOP_MAX_MS: i64 = 60_000;

/// See the module.
#[derive(Debug, Clone)]
pub struct Movie {
    /// What stands before the media.
    pub front: Bytes,
    /// The media, in order.
    pub pieces: Vec<Piece>,
    /// Behind them, the media that no file has yet.
    pub rest: Vec<Bytes>,
}

/// A range of a volume.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Whose.
    pub media: Media,
    /// Where it begins.
    pub offset: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Log {
    /// What is shown between two times, Unix milliseconds, to the frame; `None` when nothing is kept of it. Of what is
    /// `live` it takes what is not stored yet. Reads files, and of
    /// what is in object storage the headers.
    ///
    /// # Errors
    /// The files cannot be read; [`io::ErrorKind::Unsupported`] with a [`MovieError`] when one MP4 cannot have it.
    pub fn movie(&self, from_ms: i64, to_ms: i64, live: &[Unstored]) -> io::Result<Option<Movie>> {
        let bits = self.between(from_ms, to_ms, live)?;
        if bits.is_empty() {
            return Ok(None);
        }
        let (pieces, rest) = Default::default();
        let mut making = Making {
            log: self,
            live,
            writer: MovieWriter::default(),
            run: None,
            held: None,
            pieces,
            rest,
            media: 0,
        };
        let mut from_us = 0;
        // What nothing is kept of is not shown as a still.
        let ends_ms = bits.iter().map(|bit| bit.ends_ms).max();
        let mut open: Option<(u64, Box<dyn Source>)> = None;
        for bit in bits {
            if making.begin_run(&bit)? {
                from_us = making.movie_us(from_ms);
            }
            match bit.place {
                Place::Stored(volume, record) => {
                    let heads = match open.take().filter(|(number, _)| *number == volume.number) {
                        Some((_, heads)) => heads,
                        None => self.heads(&volume)?,
                    };
                    making.add(heads.as_ref(), &volume, &record)?;
                    open = Some((volume.number, heads));
                }
                Place::Held(parts) => making.add_held(bit.track, parts)?,
            }
        }
        let to_us = making.movie_us(ends_ms.map_or(to_ms, |ends_ms| ends_ms.min(to_ms)));
        let Making { writer, pieces, rest, media, .. } = making;
        let front = writer.finish(Span { from_us: from_us.max(0), to_us }, media);
        match front {
            Ok(front) => Ok(Some(Movie { front, pieces, rest })),
            Err(MovieError::Empty) => Ok(None),
            Err(error) => Err(io::Error::new(io::ErrorKind::Unsupported, error)),
        }
    }

    /// Where the headers of a volume's fragments are read.
    fn heads(&self, volume: &Volume) -> io::Result<Box<dyn Source>> {
        let Media { path, away, .. } = self.media(volume);
        match (File::open(path), away) {
            (Err(e), Some((cloud, name))) if e.kind() == io::ErrorKind::NotFound => {
                let name = name.replace(".media", ".heads");
                Ok(Box::new(Heads::read(&cloud.whole(&name)?)?))
            }
            (file, _) => Ok(Box::new(file?)),
        }
    }

    /// The segments of a stretch, and before it back to the key frame that its first picture needs.
    fn between(&self, from_ms: i64, to_ms: i64, live: &[Unstored]) -> io::Result<Vec<Bit>> {
        let mut found = self.bits(from_ms.saturating_sub(GOP_MAX_MS), to_ms, live)?;
        let runs: Vec<Arc<Run>> = {
            let mut numbers: Vec<u32> = found.iter().map(|bit| bit.run).collect();
            numbers.dedup();
            numbers.iter().map(|number| self.run(*number, live)).collect::<io::Result<_>>()?
        };
        let is_picture = |bit: &Bit| {
            let of = runs.iter().find(|run| run.number == bit.run);
            of.and_then(|run| run.tracks.get(bit.track)).is_some_and(|t| t.id.kind == Kind::Video)
        };
        let key = found.iter().rfind(|bit| {
            bit.independent
                && bit.begins_ms <= from_ms
                && bit.ends_ms > from_ms - GOP_MAX_MS
                && is_picture(bit)
        });
        let begins_ms = key.map_or(from_ms, |bit| bit.begins_ms.min(from_ms));
        found.retain(|bit| bit.ends_ms > begins_ms);
        Ok(found)
    }

    /// The tracks of a run; of one that is live they may not be written yet.
    fn run(&self, number: u32, live: &[Unstored]) -> io::Result<Arc<Run>> {
        let known = live.iter().find(|l| l.run.number == number).map(|l| l.run.clone());
        known.map_or_else(|| run::read(self.folder(), number), Ok)
    }
}

struct Making<'a> {
    log: &'a Log,
    live: &'a [Unstored],
    writer: MovieWriter,
    run: Option<Arc<Run>>,
    /// The newest volume's.
    held: Option<(u64, Media)>,
    pieces: Vec<Piece>,
    rest: Vec<Bytes>,
    media: u64,
}

impl Making<'_> {
    /// Whether this is the first run of all.
    fn begin_run(&mut self, bit: &Bit) -> io::Result<bool> {
        if self.run.as_ref().is_some_and(|run| run.number == bit.run) {
            return Ok(false);
        }
        let run = self.log.run(bit.run, self.live)?;
        if !run.keys.is_empty() {
            let text =
                "it is encrypted, which an MP4 to download cannot say; play index.m3u8 or manifest.mpd";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        let scale = run.tracks.get(bit.track).map_or(1, |t| t.params.timescale());
        let pts_us = rescale(bit.pts, scale, 1_000_000);
        let tracks = run.tracks.iter().map(|t| (t.id, &t.params));
        let begun = self.writer.run(tracks, pts_us);
        begun.map_err(|error| io::Error::new(io::ErrorKind::Unsupported, error))?;
        let first = self.run.is_none();
        self.run = Some(run);
        Ok(first)
    }

    /// Where in the movie a time of the present run is.
    fn movie_us(&self, wall_ms: i64) -> i64 {
        let zero_ms = self.run.as_ref().map_or(0, |run| run.wall_at_zero_ms);
        self.writer.movie_us(wall_ms.saturating_sub(zero_ms).saturating_mul(1000))
    }

    fn add(&mut self, heads: &dyn Source, volume: &Volume, record: &Record) -> io::Result<()> {
        let Some(run) = &self.run else { return Ok(()) };
        let Some(track) = run.tracks.get(usize::from(record.track)) else { return Ok(()) };
        let mut at = 0;
        while at < u64::from(record.bytes) {
            let (fragment, media, end) = header(heads, record.offset + at, u64::from(record.bytes) - at)?;
            let added = self.writer.fragment(track.id, self.media + at + media as u64, &fragment);
            added.map_err(|error| io::Error::new(io::ErrorKind::Unsupported, error))?;
            at += end as u64;
        }
        self.media += u64::from(record.bytes);
        let media = match self.held.take().filter(|(number, _)| *number == volume.number) {
            Some((_, media)) => media,
            None => self.log.media(volume).hold(),
        };
        self.held = Some((volume.number, media.clone()));
        let follows = |p: &&mut Piece| p.media.path == media.path && p.offset + p.bytes == record.offset;
        match self.pieces.last_mut().filter(follows) {
            Some(last) => last.bytes += u64::from(record.bytes),
            None => self.pieces.push(Piece { media, offset: record.offset, bytes: record.bytes.into() }),
        }
        Ok(())
    }

    /// Adds parts that are in memory, one fragment each.
    fn add_held(&mut self, track: usize, parts: Vec<Bytes>) -> io::Result<()> {
        let Some(id) = self.run.as_ref().and_then(|run| run.tracks.get(track)).map(|t| t.id) else {
            return Ok(());
        };
        for part in parts {
            let Header::Whole(fragment, media, _) = fmp4::header(&part).map_err(io::Error::other)? else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            let added = self.writer.fragment(id, self.media + media as u64, &fragment);
            added.map_err(|error| io::Error::new(io::ErrorKind::Unsupported, error))?;
            self.media += part.len() as u64;
            self.rest.push(part);
        }
        Ok(())
    }
}

/// Reads the header of the fragment at a place, of at most so many bytes: what it says, where its media begin, and where
/// it ends.
pub(crate) fn header(from: &dyn Source, at: u64, most: u64) -> io::Result<(fmp4::Fragment, usize, usize)> {
    let mut len = HEADER;
    loop {
        let wanted = (len as u64).min(most);
        let bytes = from.read(at, wanted)?;
        let whole = wanted == most || (bytes.len() as u64) < wanted;
        match fmp4::header(&bytes).map_err(io::Error::other)? {
            Header::Whole(fragment, media, end) => return Ok((fragment, media, end)),
            Header::Needs(more) if more <= HEADER_MAX && !whole => len = more,
            Header::Needs(_) => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
