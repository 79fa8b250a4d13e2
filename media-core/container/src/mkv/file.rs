//! The walk over a file.

use std::borrow::Cow;

use nx_media::{AudioCodec, Params, VideoCodec};

use super::block::{self, Block, Fault};
use super::codecs::{self, FIRST_FRAME_BYTES, Need};
use super::ebml::{self, HEAD_BYTES_MAX, Head, children, text, uint};
use super::tracks::{self, Entry};
use crate::index::{
    Beat, Cut, Draft, Halt, Index, IndexError, PLACE_BYTES_MAX, Packing, Place, READ_MAX, SAMPLES_MAX, Walk,
    Window, assemble, decode_times, frame_samples, note,
};

/// Elements that are looked at; a file of as many samples as there may be has fewer.
const ELEMENTS_MAX: u64 = 1 << 26;
/// Bytes of a block that are looked at first: its header, unless it has many frames.
const BLOCK_BYTES: u64 = 64;
/// Bytes of a frame that tell its length.
const PEEK_BYTES: u64 = 16;
/// An OBU that begins a temporal unit; samples do without.
const TEMPORAL_DELIMITER: [u8; 2] = [0x12, 0];

const EBML: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_a966;
const TRACKS: u32 = 0x1654_ae6b;
const CLUSTER: u32 = 0x1f43_b675;
const TIMESTAMP: u32 = 0xe7;
const SIMPLE_BLOCK: u32 = 0xa3;
const ENCRYPTED_BLOCK: u32 = 0xaf;
const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u32 = 0xa1;
const BLOCK_DURATION: u32 = 0x9b;
const REFERENCE_BLOCK: u32 = 0xfb;

/// See [`super`].
#[derive(Debug, Default)]
pub(crate) struct Mkv {
    /// Of the next element.
    at: u64,
    /// Behind the last element of the segment; `None` before it begins.
    end: Option<u64>,
    /// Nanoseconds of a tick.
    scale: u64,
    tracks: Option<Vec<Track>>,
    cluster: Option<Cluster>,
    group: Option<Group>,
    elements: u64,
    samples: usize,
    left_out: Vec<String>,
}

#[derive(Debug)]
struct Cluster {
    end: Option<u64>,
    time: i64,
}

/// A group with one block.
#[derive(Debug, Default)]
struct Group {
    end: u64,
    /// Track, and its samples before.
    made: Option<(usize, usize)>,
    duration: Option<u64>,
    reference: bool,
}

#[derive(Debug)]
struct Track {
    entry: Entry,
    beat: Beat,
    /// Of video with presentation times in `dts`.
    samples: Vec<Place>,
    /// Length of the last one.
    last: Option<u32>,
    /// Why it cannot be played after all.
    broken: Option<String>,
}

impl Walk for Mkv {
    fn step(&mut self, window: &mut Window) -> Result<bool, Halt> {
        self.elements += 1;
        if self.elements > ELEMENTS_MAX {
            return Err(IndexError::TooMuch { what: "elements of a file", max: ELEMENTS_MAX }.into());
        }
        self.close();
        if self.at >= window.file_bytes() || self.end.is_some_and(|end| self.at >= end) {
            return Ok(false);
        }
        let Some(head) = ebml::head(window.upto(self.at, HEAD_BYTES_MAX)?) else {
            return self.broken("no Matroska element");
        };
        if self.end.is_none() {
            return self.top(window, head);
        }
        if self.group.is_some() {
            return self.in_group(window, head);
        }
        if self.cluster.is_some() {
            return self.in_cluster(window, head);
        }
        self.in_segment(window, head)
    }

    fn finish(&mut self) -> Result<Index, IndexError> {
        self.close_group();
        let Some(tracks) = self.tracks.take() else {
            return Err(IndexError::Broken { what: "the list of tracks is missing".to_owned(), at: self.at });
        };
        let mut left_out = std::mem::take(&mut self.left_out);
        let mut drafts = Vec::new();
        for Track { entry, mut samples, last, broken, .. } in tracks {
            let number = entry.number;
            let mut leave = |why: &str| left_out.push(format!("track {number}: {why}"));
            let params = match (entry.need, broken) {
                (_, Some(why)) => {
                    leave(&why);
                    continue;
                }
                (Need::Nothing(params), None) => params,
                _ => {
                    leave("no frame tells its parameters");
                    continue;
                }
            };
            if matches!(params, Params::Video(_)) && !decode_times(&mut samples) {
                leave("its times make no order");
                continue;
            }
            let stripped = entry.stripped;
            let packing = if stripped.is_empty() { Packing::Whole } else { Packing::Behind(stripped) };
            drafts.push(Draft { params, packing, samples, last });
        }
        assemble(drafts, left_out)
    }
}

impl Mkv {
    /// Leaves what ends here.
    fn close(&mut self) {
        if self.group.as_ref().is_some_and(|group| self.at >= group.end) {
            self.close_group();
        }
        let ended = |cluster: &Cluster| cluster.end.is_some_and(|end| self.at >= end);
        if self.cluster.as_ref().is_some_and(ended) {
            self.close_group();
            self.cluster = None;
        }
    }

    /// What follows makes no sense; what was found so far stays.
    fn broken(&mut self, what: &str) -> Result<bool, Halt> {
        if self.samples == 0 {
            return Err(IndexError::Broken { what: what.to_owned(), at: self.at }.into());
        }
        self.left_out.push(format!("{what} at byte {}: the rest of the file", self.at));
        Ok(false)
    }

    fn skip(&mut self, head: Head) -> Result<bool, Halt> {
        let end = head.content.and_then(|len| self.content_at(head).checked_add(len));
        let Some(end) = end else { return self.broken("an element without an end") };
        self.at = end;
        Ok(true)
    }

    fn content_at(&self, head: Head) -> u64 {
        self.at.saturating_add(head.bytes as u64)
    }

    /// The content of an element that is read as a whole.
    fn content<'w>(&self, window: &'w mut Window, head: Head) -> Result<&'w [u8], Halt> {
        let len = head.content.and_then(|len| usize::try_from(len).ok()).unwrap_or(usize::MAX);
        let element = window.get(self.at, len.saturating_add(head.bytes))?;
        Ok(element.get(head.bytes..).unwrap_or_default())
    }

    fn top(&mut self, window: &mut Window, head: Head) -> Result<bool, Halt> {
        match head.id {
            EBML => check_header(self.content(window, head)?)?,
            SEGMENT => {
                let at = self.content_at(head);
                self.end = Some(head.content.map_or(u64::MAX, |len| at.saturating_add(len)));
                self.scale = 1_000_000;
                self.at = at;
                return Ok(true);
            }
            _ => {}
        }
        self.skip(head)
    }

    fn in_segment(&mut self, window: &mut Window, head: Head) -> Result<bool, Halt> {
        match head.id {
            INFO => {
                let content = self.content(window, head)?;
                let scale = children(content).find(|(id, _)| *id == 0x2a_d7b1).map(|(_, scale)| uint(scale));
                self.scale = scale.filter(|scale| (1..=1 << 40).contains(scale)).unwrap_or(self.scale);
            }
            TRACKS if self.tracks.is_none() => {
                let entries = tracks::parse(self.content(window, head)?, &mut self.left_out);
                self.tracks = Some(entries.into_iter().map(Track::new).collect());
            }
            CLUSTER if self.tracks.is_none() => {
                let what = "a Matroska file whose tracks are told behind its media; write it again with another tool";
                return Err(IndexError::Unsupported(what.to_owned()).into());
            }
            CLUSTER => {
                let at = self.content_at(head);
                let end = head.content.map(|len| at.saturating_add(len));
                self.cluster = Some(Cluster { end, time: 0 });
                self.at = at;
                return Ok(true);
            }
            EBML => return self.broken("another file"),
            _ => {}
        }
        self.skip(head)
    }

    fn in_cluster(&mut self, window: &mut Window, head: Head) -> Result<bool, Halt> {
        match head.id {
            TIMESTAMP => {
                let time = i64::try_from(uint(self.content(window, head)?)).unwrap_or(i64::MAX);
                if let Some(cluster) = &mut self.cluster {
                    cluster.time = time;
                }
            }
            SIMPLE_BLOCK => drop(self.block(window, head)?),
            ENCRYPTED_BLOCK => {
                note(&mut self.left_out, "encrypted blocks".to_owned());
            }
            BLOCK_GROUP => {
                let Some(len) = head.content else { return self.broken("a block group without an end") };
                let at = self.content_at(head);
                self.group = Some(Group { end: at.saturating_add(len), ..Group::default() });
                self.at = at;
                return Ok(true);
            }
            // Those of the level above, which all have ids of four bytes; they end a cluster of unknown size.
            0x1000_0000.. if self.cluster.as_ref().is_some_and(|cluster| cluster.end.is_none()) => {
                self.cluster = None;
                return Ok(true);
            }
            _ => {}
        }
        self.skip(head)
    }

    fn in_group(&mut self, window: &mut Window, head: Head) -> Result<bool, Halt> {
        match head.id {
            BLOCK => {
                let made = self.block(window, head)?;
                if let Some(group) = &mut self.group {
                    group.made = made;
                }
            }
            BLOCK_DURATION => {
                let duration = uint(self.content(window, head)?);
                if let Some(group) = &mut self.group {
                    group.duration = Some(duration);
                }
            }
            REFERENCE_BLOCK => {
                if let Some(group) = &mut self.group {
                    group.reference = true;
                }
            }
            _ => {}
        }
        self.skip(head)
    }

    /// What stands in a group beside its block holds for the block.
    fn close_group(&mut self) {
        let Some(Group { made: Some((track, from)), duration, reference, .. }) = self.group.take() else {
            return;
        };
        let Some(track) = self.tracks.as_mut().and_then(|tracks| tracks.get_mut(track)) else { return };
        if let Some(params @ Params::Video(_)) = track.params() {
            let ticks = duration.map(|d| ticks(i128::from(d) * i128::from(self.scale), params.timescale()));
            track.last = ticks.and_then(|ticks| u32::try_from(ticks).ok()).or(track.last);
            for sample in track.samples.iter_mut().skip(from) {
                sample.key = !reference;
            }
        }
    }

    /// Takes a block; returns its track, and how many samples that had before.
    fn block(&mut self, window: &mut Window, head: Head) -> Result<Option<(usize, usize)>, Halt> {
        let content_at = self.content_at(head);
        let (Some(len), Some(Cluster { time, .. })) = (head.content, &self.cluster) else { return Ok(None) };
        if content_at.saturating_add(len) > window.file_bytes() {
            note(&mut self.left_out, format!("the file ends inside the block at byte {}", self.at));
            return Err(Halt::End);
        }
        let Some(block) = self.header(window, head, len)? else {
            note(&mut self.left_out, format!("the block at byte {}: its header is damaged", self.at));
            return Ok(None);
        };
        let mut tracks = self.tracks.iter_mut().flatten().enumerate();
        let found = tracks.find(|(_, track)| track.entry.number == block.track && track.broken.is_none());
        let Some((nth_track, track)) = found else { return Ok(None) };
        let (peek, before) = (track.peek(), track.samples.len());
        // Frames of a lace are looked at where they are; the only one at its beginning.
        let laced = block.frames.len() > 1 && peek > 0;
        let needed = if laced { len } else { len.min((block.bytes as u64).saturating_add(peek)) };
        let needed = usize::try_from(needed).unwrap_or(usize::MAX).min(READ_MAX - HEAD_BYTES_MAX);
        let data =
            window.get(self.at, head.bytes.saturating_add(needed))?.get(head.bytes..).unwrap_or_default();
        let ns = (i128::from(*time) + i128::from(block.time)) * i128::from(self.scale);
        let mut at = block.bytes as u64;
        for (nth, size) in block.frames.iter().enumerate() {
            let frame = usize::try_from(at).ok().and_then(|at| data.get(at..)).unwrap_or_default();
            let frame = usize::try_from(*size).ok().and_then(|size| frame.get(..size)).unwrap_or(frame);
            let stamp = (nth == 0).then_some(ns - i128::from(track.entry.delay_ns));
            self.samples +=
                usize::from(track.frame(stamp, block.key, frame, content_at.saturating_add(at), *size));
            at = at.saturating_add(*size);
        }
        if self.samples > SAMPLES_MAX {
            return Err(IndexError::TooMuch { what: "samples of a file", max: SAMPLES_MAX as u64 }.into());
        }
        Ok(Some((nth_track, before)))
    }

    /// The header of the block; `None` when it is damaged.
    fn header(&self, window: &mut Window, head: Head, len: u64) -> Result<Option<Block>, Halt> {
        for most in [BLOCK_BYTES, block::HEADER_BYTES_MAX as u64] {
            let some = usize::try_from(len.min(most)).unwrap_or(0);
            let data = window.get(self.at, head.bytes.saturating_add(some))?;
            match block::parse(data.get(head.bytes..).unwrap_or_default(), len) {
                Ok(block) => return Ok(Some(block)),
                Err(Fault::Short) => {}
                Err(Fault::Broken) => return Ok(None),
            }
        }
        Ok(None)
    }
}

fn check_header(content: &[u8]) -> Result<(), IndexError> {
    for (id, content) in children(content) {
        match (id, uint(content)) {
            (0x4282, _) if !matches!(text(content).as_str(), "matroska" | "webm") => {
                return Err(IndexError::Unsupported(format!("an EBML file of type {}", text(content))));
            }
            (0x42f2, 5..) | (0x42f3, 9..) => {
                let what = "an EBML file with longer ids or sizes than Matroska has";
                return Err(IndexError::Unsupported(what.to_owned()));
            }
            (0x4285, version @ 5..) => {
                return Err(IndexError::Unsupported(format!("Matroska of version {version}; 4 is read")));
            }
            _ => {}
        }
    }
    Ok(())
}

fn ticks(ns: i128, timescale: u32) -> i64 {
    let scaled = ns.saturating_mul(timescale.into()).saturating_add(500_000_000).div_euclid(1_000_000_000);
    // Times of thousands of years are none.
    i64::try_from(scaled).unwrap_or(0).clamp(-(1 << 53), 1 << 53)
}

impl Track {
    fn new(mut entry: Entry) -> Self {
        if let Need::Nothing(params) = &mut entry.need {
            speak(params, entry.language);
        }
        Self { entry, beat: Beat::default(), samples: Vec::new(), last: None, broken: None }
    }

    fn params(&self) -> Option<&Params> {
        if let Need::Nothing(params) = &self.entry.need { Some(params) } else { None }
    }

    /// Bytes of its next frame that are looked at.
    fn peek(&self) -> u64 {
        match self.params() {
            None => FIRST_FRAME_BYTES as u64,
            Some(Params::Audio(a)) if matches!(a.codec, AudioCodec::Opus | AudioCodec::Flac) => PEEK_BYTES,
            Some(Params::Video(v)) if v.codec == VideoCodec::Av1 => PEEK_BYTES,
            Some(_) => 0,
        }
    }

    /// Takes a frame of `size` bytes, of which `data` are the first; whether it became a sample.
    fn frame(
        &mut self,
        stamp_ns: Option<i128>,
        key: bool,
        data: &[u8],
        mut offset: u64,
        mut size: u64,
    ) -> bool {
        let stripped = &self.entry.stripped;
        let data: Cow<'_, [u8]> =
            if stripped.is_empty() { data.into() } else { [stripped, data].concat().into() };
        if self.params().is_none() {
            match codecs::by_frame(&self.entry.need, &data) {
                Ok(Some(mut params)) => {
                    speak(&mut params, self.entry.language);
                    self.entry.need = Need::Nothing(params);
                }
                Ok(None) => return false,
                Err(why) => self.broken = Some(why),
            }
        }
        let Need::Nothing(params) = &self.entry.need else { return false };
        let timescale = params.timescale();
        let stamp = stamp_ns.map(|ns| ticks(ns, timescale));
        let (dts, key) = match params {
            Params::Audio(audio) => {
                let samples = frame_samples(audio, &data);
                let Some(dts) = self.beat.place(stamp, samples, timescale) else { return false };
                self.last = Some(samples);
                (dts, true)
            }
            Params::Video(video) => {
                if video.codec == VideoCodec::Av1
                    && self.entry.stripped.is_empty()
                    && data.starts_with(&TEMPORAL_DELIMITER)
                {
                    (offset, size) = (offset.saturating_add(2), size.saturating_sub(2));
                }
                let step = self.entry.default_ns.map(|ns| ticks(ns.into(), timescale));
                self.last = step.and_then(|step| u32::try_from(step).ok());
                let next = || Some(self.samples.last()?.dts.saturating_add(step?));
                let Some(pts) = stamp.or_else(next) else { return false };
                (pts, key)
            }
        };
        let bytes = u32::try_from(size).ok().filter(|size| (1..=PLACE_BYTES_MAX).contains(size));
        let Some(bytes) = bytes else { return false };
        self.samples.push(Place { dts, cts: 0, duration: 0, offset, bytes, key, cut: Cut::default() });
        true
    }
}

fn speak(params: &mut Params, language: Option<nx_media::Language>) {
    if let Params::Audio(audio) = params {
        audio.language = language;
    }
}
