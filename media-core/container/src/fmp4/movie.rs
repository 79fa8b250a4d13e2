//! One MP4 with everything about its samples in front, whose media are fragments as they are stored.
//!
//! The fragments lie in the file's `mdat` whole, one behind the other: players go by the tables and never see their
//! headers. So nothing is copied together, and any range of the file can be had at once.
//!
//! Spec: ISO/IEC 14496-12 §8.2 (`moov`), §8.6 (times, edit list), §8.7 (sizes, chunks).

use bytes::Bytes;
use nx_media::{Params, TrackId, rescale};

use super::init::{MATRIX, boxed, full, hdlr_minf, language, saturate, stsd, u16b, u32b, u32s};
use super::read::Fragment;

/// Ticks per second of the movie as a whole.
const TIMESCALE: u32 = nx_media::VIDEO_TIMESCALE;
/// Samples of one track that a movie may have: more than a day of sound.
const SAMPLES_MAX: usize = 8 << 20;

/// Times come in milliseconds: a frame that begins so little later began then, microseconds.
const ROUNDING_US: i64 = 1_000;

/// What does not go into one MP4.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MovieError {
    /// No sample is shown.
    #[error("no picture and no sound lies between the two times")]
    Empty,
    /// A sample rate has changed.
    #[error(
        "the sample rate of {track} changes from {before} to {after} Hz, which one track of an MP4 cannot"
    )]
    Rate {
        /// Which track.
        track: TrackId,
        /// Hz.
        before: u32,
        /// Hz.
        after: u32,
    },
    /// Too long.
    #[error("more than {SAMPLES_MAX} samples in one track; ask for a shorter time")]
    TooLong,
}

/// The stretch that is shown, in microseconds of the movie: the first run's presentation time, less its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub from_us: i64,
    /// Where it ends.
    pub to_us: i64,
}

/// Collects fragments and writes what stands before them.
#[derive(Debug, Default)]
pub struct MovieWriter {
    tracks: Vec<Track>,
    /// Where in the movie the run began, and its presentation time then; microseconds.
    run_us: (i64, i64),
    begun: bool,
}

#[derive(Debug)]
struct Track {
    id: TrackId,
    timescale: u32,
    descriptions: Vec<Params>,
    /// From the track's time in the run to its time in the movie, ticks.
    shift: i64,
    /// Where the first sample is decoded, ticks of the movie.
    begins: i64,
    /// Where the newest ends, ticks of the movie.
    ends: i64,
    /// Earliest presentation and latest end of one, ticks of the movie.
    earliest: i64,
    latest: i64,
    /// Samples in a row, and how long each of them is.
    times: Vec<(u32, u32)>,
    /// Samples in a row, and how much later each of them is shown.
    offsets: Vec<(u32, i32)>,
    sizes: Vec<u32>,
    /// Numbers of key frames, from 1.
    keys: Vec<u32>,
    chunks: Vec<Chunk>,
}

#[derive(Debug, Clone, Copy)]
struct Chunk {
    /// Within the media.
    at: u64,
    samples: u32,
    /// From 1.
    description: u32,
}

impl MovieWriter {
    /// What follows belongs to another run, with these tracks, whose earliest presentation time is `from_us`
    /// (microseconds). It is shown right behind the one before.
    ///
    /// # Errors
    /// [`MovieError::Rate`].
    pub fn run<'a>(
        &mut self,
        tracks: impl IntoIterator<Item = (TrackId, &'a Params)>,
        from_us: i64,
    ) -> Result<(), MovieError> {
        let ended =
            self.tracks.iter().map(|t| rescale(t.latest, t.timescale, 1_000_000)).max().unwrap_or(0).max(0);
        self.run_us = (ended, from_us);
        for (id, params) in tracks {
            let timescale = params.timescale();
            let at = match self.tracks.iter().position(|t| t.id == id) {
                Some(at) => at,
                None => {
                    self.tracks.push(Track::new(id, timescale));
                    self.tracks.len() - 1
                }
            };
            let Some(track) = self.tracks.get_mut(at) else { continue };
            if track.timescale != timescale {
                return Err(MovieError::Rate { track: id, before: track.timescale, after: timescale });
            }
            if track.descriptions.last() != Some(params) {
                track.descriptions.push(params.clone());
            }
            track.shift = rescale(ended.saturating_sub(from_us), 1_000_000, timescale);
        }
        Ok(())
    }

    /// Where in the movie a presentation time of the present run is shown; microseconds both.
    #[must_use]
    pub fn movie_us(&self, pts_us: i64) -> i64 {
        self.run_us.0.saturating_add(pts_us.saturating_sub(self.run_us.1))
    }

    /// Adds a fragment of a track, whose media begins at a place in the file's media.
    ///
    /// # Errors
    /// [`MovieError::TooLong`].
    pub fn fragment(&mut self, id: TrackId, at: u64, fragment: &Fragment) -> Result<(), MovieError> {
        let Some(track) = self.tracks.iter_mut().find(|t| t.id == id) else { return Ok(()) };
        if track.sizes.len().saturating_add(fragment.samples.len()) > SAMPLES_MAX {
            return Err(MovieError::TooLong);
        }
        self.begun = true;
        track.add(at, fragment);
        Ok(())
    }

    /// Everything before the media: `ftyp`, `moov` and the head of `mdat`. `media` is its size in bytes.
    ///
    /// # Errors
    /// [`MovieError::Empty`].
    pub fn finish(mut self, span: Span, media: u64) -> Result<Bytes, MovieError> {
        self.tracks.retain(|t| !t.sizes.is_empty());
        self.tracks.sort_by_key(|t| t.id);
        if !self.begun || self.tracks.is_empty() || span.to_us <= span.from_us {
            return Err(MovieError::Empty);
        }
        let pictures = self.tracks.iter().find(|t| matches!(t.descriptions.first(), Some(Params::Video(_))));
        let span = pictures.map_or(span, |track| track.whole_frames(span));
        // As long whatever the offsets are.
        let length = self.front(span, media, 0).len() as u64;
        Ok(self.front(span, media, length).into())
    }

    fn front(&self, span: Span, media: u64, before: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(4096);
        boxed(&mut out, b"ftyp", |b| b.extend_from_slice(b"isom\0\0\x02\0isomiso2avc1mp41"));
        let wide = before.saturating_add(media) > u64::from(u32::MAX) - (64 << 20);
        boxed(&mut out, b"moov", |b| {
            mvhd(b, span, self.tracks.len());
            for (nth, track) in (1..).zip(&self.tracks) {
                boxed(b, b"trak", |b| track.write(b, nth, span, before, wide));
            }
        });
        // Always with a 64-bit length: what stands before it is as long then, however much comes.
        u32b(&mut out, 1);
        out.extend_from_slice(b"mdat");
        out.extend_from_slice(&media.saturating_add(16).to_be_bytes());
        out
    }
}

impl Span {
    /// Its length in ticks of the movie.
    fn ticks(self) -> u64 {
        ticks(self.to_us.saturating_sub(self.from_us))
    }
}

fn ticks(us: i64) -> u64 {
    u64::try_from(rescale(us, 1_000_000, TIMESCALE)).unwrap_or(0)
}

impl Track {
    fn new(id: TrackId, timescale: u32) -> Self {
        Self {
            id,
            timescale,
            descriptions: Vec::new(),
            shift: 0,
            begins: 0,
            ends: i64::MIN,
            earliest: i64::MAX,
            latest: i64::MIN,
            times: Vec::new(),
            offsets: Vec::new(),
            sizes: Vec::new(),
            keys: Vec::new(),
            chunks: Vec::new(),
        }
    }

    fn add(&mut self, at: u64, fragment: &Fragment) {
        let begins = fragment.dts.saturating_add(self.shift);
        if self.sizes.is_empty() {
            (self.begins, self.ends) = (begins, begins);
        }
        let hole = begins.saturating_sub(self.ends);
        if hole < 0 {
            // It would overlap: everything that follows comes that much later.
            self.shift = self.shift.saturating_sub(hole);
        } else if let (Ok(hole), Some((count, last))) = (u32::try_from(hole), self.times.pop()) {
            // Nothing is missing in an MP4: the last sample before the hole is shown until the next.
            if count > 1 {
                self.times.push((count - 1, last));
            }
            self.push_time(last.saturating_add(hole));
            self.ends = begins;
        }
        for sample in &fragment.samples {
            let shown = self.ends.saturating_add(sample.offset.into());
            self.earliest = self.earliest.min(shown);
            self.latest = self.latest.max(shown.saturating_add(sample.duration.into()));
            self.push_time(sample.duration);
            match self.offsets.last_mut().filter(|(_, offset)| *offset == sample.offset) {
                Some((count, _)) => *count += 1,
                None => self.offsets.push((1, sample.offset)),
            }
            self.ends = self.ends.saturating_add(sample.duration.into());
            self.sizes.push(sample.size);
            if sample.key {
                self.keys.push(count(&self.sizes));
            }
        }
        let description = count(&self.descriptions);
        self.chunks.push(Chunk { at, samples: count(&fragment.samples), description });
    }

    /// The stretch in which the frames that are on screen in `span` are shown, from the first one's beginning to the
    /// last one's end: half of a frame is a frame to no player, and each counts it in its own way.
    fn whole_frames(&self, span: Span) -> Span {
        let us = |ticks: i64| rescale(ticks, self.timescale, 1_000_000);
        let durations = self.times.iter().flat_map(|(n, d)| std::iter::repeat_n(*d, usize_of(*n)));
        let none = self.offsets.is_empty().then_some(&(u32::MAX, 0));
        let offsets = self.offsets.iter().chain(none);
        let offsets = offsets.flat_map(|(n, by)| std::iter::repeat_n(*by, usize_of(*n)));
        let (mut from, mut to, mut decoded) = (None, None, self.begins);
        for (duration, offset) in durations.zip(offsets) {
            let shown = us(decoded.saturating_add(offset.into()));
            decoded = decoded.saturating_add(duration.into());
            if shown <= span.from_us.saturating_add(ROUNDING_US) {
                from = from.max(Some(shown));
            }
            if shown >= span.to_us.saturating_sub(ROUNDING_US) {
                to = Some(to.map_or(shown, |to: i64| to.min(shown)));
            }
        }
        Span { from_us: from.unwrap_or(span.from_us), to_us: to.unwrap_or(span.to_us) }
    }

    fn push_time(&mut self, duration: u32) {
        match self.times.last_mut().filter(|(_, last)| *last == duration) {
            Some((count, _)) => *count += 1,
            None => self.times.push((1, duration)),
        }
    }

    fn write(&self, b: &mut Vec<u8>, nth: u32, span: Span, before: u64, wide: bool) {
        let Some(params) = self.descriptions.first() else { return };
        tkhd(b, params, nth, span);
        boxed(b, b"edts", |b| self.edits(b, span));
        boxed(b, b"mdia", |b| {
            full(b, b"mdhd", 1, 0, |b| {
                b.extend_from_slice(&[0; 16]);
                u32b(b, self.timescale);
                let length = u64::try_from(self.ends.saturating_sub(self.begins)).unwrap_or(0);
                b.extend_from_slice(&length.to_be_bytes());
                u16b(b, language(params));
                u16b(b, 0);
            });
            hdlr_minf(b, params, |b| self.tables(b, before, wide));
        });
    }

    /// Shows the span and nothing else (§8.6.6): what comes before a key frame's use is decoded and not seen.
    fn edits(&self, b: &mut Vec<u8>, span: Span) {
        let us = |ticks: i64| rescale(ticks, self.timescale, 1_000_000);
        let from_us = span.from_us.max(us(self.earliest));
        let empty = ticks(from_us.saturating_sub(span.from_us));
        let shown = ticks(span.to_us.min(us(self.latest)).saturating_sub(from_us));
        let media =
            rescale(from_us, 1_000_000, self.timescale).max(self.earliest).saturating_sub(self.begins);
        let mut edits = vec![(shown, media)];
        if empty > 0 {
            edits.insert(0, (empty, -1));
        }
        full(b, b"elst", 1, 0, |b| {
            u32b(b, count(&edits));
            for (length, media) in edits {
                b.extend_from_slice(&length.to_be_bytes());
                b.extend_from_slice(&media.to_be_bytes());
                u32b(b, 0x1_0000);
            }
        });
    }

    fn tables(&self, b: &mut Vec<u8>, before: u64, wide: bool) {
        stsd(b, &self.descriptions.iter().collect::<Vec<_>>());
        full(b, b"stts", 0, 0, |b| {
            u32b(b, count(&self.times));
            self.times.iter().for_each(|(samples, duration)| u32s(b, &[*samples, *duration]));
        });
        if self.offsets.iter().any(|(_, offset)| *offset != 0) {
            full(b, b"ctts", 1, 0, |b| {
                u32b(b, count(&self.offsets));
                self.offsets.iter().for_each(|(samples, by)| u32s(b, &[*samples, by.cast_unsigned()]));
            });
        }
        if self.keys.len() < self.sizes.len() {
            full(b, b"stss", 0, 0, |b| {
                u32b(b, count(&self.keys));
                u32s(b, &self.keys);
            });
        }
        full(b, b"stsc", 0, 0, |b| self.chunk_sizes(b));
        full(b, b"stsz", 0, 0, |b| {
            u32s(b, &[0, count(&self.sizes)]);
            u32s(b, &self.sizes);
        });
        let places = self.chunks.iter().map(|chunk| chunk.at.saturating_add(before));
        if wide {
            full(b, b"co64", 0, 0, |b| {
                u32b(b, count(&self.chunks));
                places.for_each(|at| b.extend_from_slice(&at.to_be_bytes()));
            });
        } else {
            full(b, b"stco", 0, 0, |b| {
                u32b(b, count(&self.chunks));
                places.for_each(|at| u32b(b, u32::try_from(at).unwrap_or(u32::MAX)));
            });
        }
    }

    /// Chunks of so many samples each, as runs.
    fn chunk_sizes(&self, b: &mut Vec<u8>) {
        let mut runs: Vec<[u32; 3]> = Vec::new();
        for (nth, chunk) in (1..).zip(&self.chunks) {
            if runs.last().is_none_or(|run| (run[1], run[2]) != (chunk.samples, chunk.description)) {
                runs.push([nth, chunk.samples, chunk.description]);
            }
        }
        u32b(b, count(&runs));
        runs.iter().for_each(|run| u32s(b, run));
    }
}

fn mvhd(b: &mut Vec<u8>, span: Span, tracks: usize) {
    full(b, b"mvhd", 1, 0, |b| {
        b.extend_from_slice(&[0; 16]);
        u32b(b, TIMESCALE);
        b.extend_from_slice(&span.ticks().to_be_bytes());
        // Rate 1.0, volume 1.0 and reserved.
        u32s(b, &[0x1_0000, 0x0100_0000, 0, 0]);
        u32s(b, &MATRIX);
        b.extend_from_slice(&[0; 24]);
        u32b(b, u32::try_from(tracks).unwrap_or(u32::MAX).saturating_add(1));
    });
}

fn tkhd(b: &mut Vec<u8>, params: &Params, nth: u32, span: Span) {
    let (volume, width, height) = match params {
        Params::Video(v) => (0, v.width, v.height),
        Params::Audio(_) => (0x0100_0000, 0, 0),
    };
    full(b, b"tkhd", 1, 3, |b| {
        b.extend_from_slice(&[0; 16]);
        u32s(b, &[nth, 0]);
        b.extend_from_slice(&span.ticks().to_be_bytes());
        u32s(b, &[0, 0, 0, volume]);
        u32s(b, &MATRIX);
        u32b(b, u32::from(saturate(width)) << 16);
        u32b(b, u32::from(saturate(height)) << 16);
    });
}

fn usize_of(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn count<T>(of: &[T]) -> u32 {
    u32::try_from(of.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
