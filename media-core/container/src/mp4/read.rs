//! What `moov` says: tracks, their clocks and codecs.
//!
//! Spec: ISO/IEC 14496-12 §8.2 to §8.5 and §8.8.3.

use bytes::Bytes;
use nx_media::{Kind, Language, TrackId};

use super::bytes::{Cursor, name};
use super::entry::{self, Ask, Entry};
use super::fragments::Defaults;
use super::tables;
use super::times::{self, Edits};
use crate::index::{Index, IndexError, IndexTrack, Packing, Place, SAMPLES_MAX};

/// Tracks of a file that are looked at.
const TRACKS_MAX: usize = 64;
/// Largest sample.
const SAMPLE_BYTES_MAX: u64 = 64 << 20;

/// What may still be made of a file, so that a small one does not become a large index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub(super) file_bytes: u64,
    /// Bytes of samples: no byte of the file is sample of two.
    bytes: u64,
    samples: u64,
}

impl Budget {
    pub(super) fn new(file_bytes: u64) -> Self {
        Self { file_bytes, bytes: file_bytes, samples: SAMPLES_MAX as u64 }
    }

    /// So many samples, so many bytes together.
    pub(super) fn take(&mut self, samples: u32, bytes: u64, at: Cursor<'_>) -> Result<(), IndexError> {
        let what = "samples";
        let left = self.samples.checked_sub(samples.into());
        self.samples = left.ok_or(IndexError::TooMuch { what, max: SAMPLES_MAX as u64 })?;
        let left = self.bytes.checked_sub(bytes);
        let what = || at.broken(format!("samples of more bytes than the file has ({})", self.file_bytes));
        self.bytes = left.ok_or_else(what)?;
        Ok(())
    }
}

/// A track, in its own clock.
#[derive(Debug)]
pub(super) struct Track {
    /// `track_ID`.
    pub(super) number: u32,
    handler: [u8; 4],
    timescale: u32,
    language: Option<Language>,
    edits: Edits,
    entry: Entry,
    pub(super) defaults: Defaults,
    pub(super) samples: Vec<Place>,
    /// Where its newest sample ends.
    pub(super) ends: i64,
}

/// The body of a `moov`.
#[derive(Debug)]
pub(super) struct Movie {
    timescale: u32,
    pub(super) tracks: Vec<Track>,
}

impl Movie {
    pub(super) fn read(moov: Cursor<'_>, budget: &mut Budget) -> Result<Self, IndexError> {
        if moov.find(b"cmov")?.is_some() {
            return Err(IndexError::Unsupported("its header is compressed ('cmov'); remux it".into()));
        }
        let mut mvhd = moov.need(b"mvhd")?;
        let timescale = clock(&mut mvhd, "mvhd")?;
        let mut movie = Self { timescale, tracks: Vec::new() };
        for found in moov.boxes() {
            let found = found?;
            if found.kind != *b"trak" {
                continue;
            }
            if movie.tracks.len() == TRACKS_MAX {
                return Err(IndexError::TooMuch { what: "tracks", max: TRACKS_MAX as u64 });
            }
            movie.tracks.push(trak(found.body, budget)?);
        }
        if let Some(mvex) = moov.find(b"mvex")? {
            for found in mvex.boxes() {
                let found = found?;
                if found.kind == *b"trex" {
                    movie.trex(found.body)?;
                }
            }
        }
        Ok(movie)
    }

    fn trex(&mut self, mut trex: Cursor<'_>) -> Result<(), IndexError> {
        const WHAT: &str = "trex";
        trex.full(WHAT)?;
        let number = trex.u32(WHAT)?;
        trex.u32(WHAT)?;
        let defaults = Defaults { duration: trex.u32(WHAT)?, bytes: trex.u32(WHAT)?, flags: trex.u32(WHAT)? };
        if let Some(track) = self.tracks.iter_mut().find(|t| t.number == number) {
            track.defaults = defaults;
        }
        Ok(())
    }

    /// The sample that a track has to be asked for; the first key frame.
    pub(super) fn question(&self, nth: usize) -> Option<Place> {
        let track = self.tracks.get(nth)?;
        let Entry::Ask(_) = &track.entry else { return None };
        track.samples.iter().find(|s| s.key).or(track.samples.first()).copied()
    }

    pub(super) fn answer(&mut self, nth: usize, sample: &Bytes) {
        let Some(track) = self.tracks.get_mut(nth) else { return };
        let Entry::Ask(ask) = &track.entry else { return };
        track.entry = entry::asked(ask, sample).map_or_else(
            || Entry::Foreign(format!("{} that its first sample does not tell", said(ask))),
            Entry::Known,
        );
    }

    /// The index, everything having been read.
    pub(super) fn finish(self) -> Result<Index, IndexError> {
        let (mut index, movie) = (Index::default(), self.timescale);
        for (nth, track) in (1..).zip(self.tracks) {
            let what = match &track.handler {
                b"vide" => "picture",
                b"soun" => "sound",
                _ => "track",
            };
            let mut leave = |why: &str| index.left_out.push(format!("{what} {nth}: {why}"));
            match track.entry {
                Entry::Foreign(why) => leave(&why),
                _ if track.samples.is_empty() => leave("nothing is in it"),
                Entry::Known(params) => {
                    if track.edits.jumps {
                        leave("its edit list has several parts; it is played as it lies in the file");
                    }
                    let params = entry::in_language(params, track.language);
                    let samples = times::place(track.samples, (track.timescale, movie), track.edits, &params);
                    let kind = params.kind();
                    let before = index.tracks.iter().filter(|t| t.id.kind == kind).count();
                    let id = TrackId { kind, nth: u8::try_from(before).unwrap_or(u8::MAX) };
                    index.tracks.push(IndexTrack { id, params, packing: Packing::Whole, samples });
                }
                Entry::Ask(ask) => leave(&said(&ask)),
            }
        }
        if index.tracks.is_empty() {
            let why =
                if index.left_out.is_empty() { "it has no tracks".into() } else { index.left_out.join("; ") };
            return Err(IndexError::Unsupported(format!("nothing in the file can be played: {why}")));
        }
        index.tracks.iter_mut().filter(|t| t.id.kind == Kind::Audio).for_each(|t| {
            t.samples.iter_mut().for_each(|s| s.key = true);
        });
        let mut tracks: Vec<_> =
            index.tracks.iter_mut().map(|t| (t.params.timescale(), &mut t.samples)).collect();
        times::begin(&mut tracks)?;
        let largest = index.tracks.iter().flat_map(|t| &t.samples).map(|s| u64::from(s.bytes)).max();
        if largest.is_some_and(|bytes| bytes > SAMPLE_BYTES_MAX) {
            return Err(IndexError::TooMuch { what: "bytes in a sample", max: SAMPLE_BYTES_MAX });
        }
        Ok(index)
    }
}

fn said(ask: &Ask) -> String {
    let codec = match ask {
        Ask::Vp9(_) => "VP9",
        Ask::Ac3 => "AC-3",
        Ask::Mpa => "MPEG audio",
        Ask::Avc(_) => "H.264",
        Ask::Hevc(_) => "H.265",
    };
    format!("{codec} of a kind")
}

/// Timescale of an `mvhd` or `mdhd`; the cursor is then at the duration's end.
fn clock(at: &mut Cursor<'_>, what: &'static str) -> Result<u32, IndexError> {
    let (version, _) = at.full(what)?;
    at.wide(version, what)?;
    at.wide(version, what)?;
    let timescale = at.u32(what)?;
    at.wide(version, what)?;
    if timescale == 0 {
        return Err(at.broken(format!("{what} says 0 ticks per second")));
    }
    Ok(timescale)
}

fn trak(trak: Cursor<'_>, budget: &mut Budget) -> Result<Track, IndexError> {
    let mut tkhd = trak.need(b"tkhd")?;
    let (version, _) = tkhd.full("tkhd")?;
    tkhd.wide(version, "tkhd")?;
    tkhd.wide(version, "tkhd")?;
    let number = tkhd.u32("tkhd")?;
    let mdia = trak.need(b"mdia")?;
    let mut mdhd = mdia.need(b"mdhd")?;
    let timescale = clock(&mut mdhd, "mdhd")?;
    let language = language(mdhd.u16("mdhd")?);
    let mut hdlr = mdia.need(b"hdlr")?;
    hdlr.full("hdlr")?;
    hdlr.u32("hdlr")?;
    let handler = hdlr.u32("hdlr")?.to_be_bytes();
    let edits = match trak.find(b"edts")? {
        Some(edts) => edts.find(b"elst")?.map(times::edits).transpose()?.unwrap_or_default(),
        None => Edits::default(),
    };
    let mut track = Track {
        number,
        handler,
        timescale,
        language,
        edits,
        entry: Entry::Foreign(format!("'{}' is not played", name(handler))),
        defaults: Defaults::default(),
        samples: Vec::new(),
        ends: 0,
    };
    if !matches!(&handler, b"vide" | b"soun") {
        return Ok(track);
    }
    let minf = mdia.need(b"minf")?;
    let stbl = minf.need(b"stbl")?;
    track.entry = entry::entry(stbl.need(b"stsd")?)?;
    if elsewhere(minf)? {
        track.entry = Entry::Foreign("it lies in another file".into());
    }
    if !matches!(track.entry, Entry::Foreign(_)) {
        track.samples = tables::samples(stbl, budget)?;
        track.ends = track.samples.last().map_or(0, |last| last.dts.saturating_add(last.duration.into()));
    }
    Ok(track)
}

/// Whether the media is in another file (`dref` without the flag for this one).
fn elsewhere(minf: Cursor<'_>) -> Result<bool, IndexError> {
    let Some(dinf) = minf.find(b"dinf")? else { return Ok(false) };
    let Some(mut dref) = dinf.find(b"dref")? else { return Ok(false) };
    dref.full("dref")?;
    dref.u32("dref")?;
    let Some(first) = dref.boxes().next() else { return Ok(false) };
    let (_, flags) = first?.body.full("dref")?;
    Ok(flags & 1 == 0)
}

/// Three letters in 5 bits each (§8.4.2.3); QuickTime's numbers are not read.
fn language(packed: u16) -> Option<Language> {
    let letter = |shift: u16| u8::try_from((packed >> shift) & 0x1f).map_or(0, |l| l + 0x60);
    Language::new(&[letter(10), letter(5), letter(0)])
}
