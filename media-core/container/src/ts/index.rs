//! Where the samples of a transport stream lie. There are no tables in it: the file is read through, with the readers of
//! live streams, so that samples are those that a publisher of the same bytes would have sent.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use nx_codec::elementary::{self, AudioFormat, AudioReader, Frame, Item, Span, Unit, VideoReader};
use nx_media::{Params, VideoCodec, VideoParams};

use super::demux::{self, Config, Demuxer, Event, Piece, Program, Stream, StreamFormat};
use super::wire::{PACKET_LEN, SYNC};
use crate::index::{
    Beat, Clock90k, Cut, Draft, Epochs, Halt, Index, IndexError, IndexTrack, PLACE_BYTES_MAX, Packing, Place,
    SAMPLES_MAX, TRACKS_MAX, Walk, Window, assemble, frame_samples, from_90k, note,
};

/// Distances of packets.
const STRIDES: [usize; 3] = [PACKET_LEN, 192, 204];
/// Packets that must be seen to know a file by.
const SNIFF_PACKETS: usize = 3;
/// Pieces of one track that are remembered: of the largest access unit, and as many behind it.
const PIECES_MAX: usize = 1 << 18;
/// Times count to here and begin anew.
const WRAP: i64 = 1 << 33;
/// Where a track goes on behind a leap of its clock; 90 kHz.
const STEP: i64 = 3_600;

/// Whether the bytes are of a file of transport packets.
pub(crate) fn sniff(head: &[u8]) -> bool {
    let packets = |stride: usize, at: usize| head.get(at..).unwrap_or_default().chunks(stride);
    let fits = |stride: usize, at: usize| {
        packets(stride, at).len() >= SNIFF_PACKETS && packets(stride, at).all(|p| p.first() == Some(&SYNC))
    };
    STRIDES.into_iter().any(|stride| (0..stride).any(|at| fits(stride, at)))
}

/// Takes a sample out of the bytes of its place; what a live stream of the same packets would give.
///
/// # Errors
/// The bytes are not those of the place.
pub fn unpack(bytes: &[u8], track: &IndexTrack, place: &Place) -> Result<Bytes, IndexError> {
    let &Packing::Ts { pid, stride } = &track.packing else { return Ok(Bytes::copy_from_slice(bytes)) };
    let Cut { head, tail, sets } = place.cut;
    let Some(payload) = demux::unpack(bytes, pid, stride.into(), head, tail) else {
        return Err(IndexError::Broken {
            what: "no sample where there was one".to_owned(),
            at: place.offset,
        });
    };
    Ok(match &track.params {
        Params::Video(VideoParams { codec, .. }) => elementary::access_unit(*codec, &payload, sets),
        Params::Audio(_) => payload.into(),
    })
}

/// See the module.
#[derive(Debug)]
pub(crate) struct TsFile {
    at: u64,
    demuxer: Demuxer,
    stride: Option<usize>,
    tracks: Vec<Track>,
    /// Packet ids seen in programs, followed or not.
    seen: BTreeSet<u16>,
    /// The latest time of any track, not wrapped.
    newest: Option<i64>,
    epochs: Epochs,
    samples: usize,
    left_out: Vec<String>,
}

impl Default for TsFile {
    fn default() -> Self {
        Self {
            at: 0,
            demuxer: Demuxer::placing(Config::default()),
            stride: None,
            tracks: Vec::new(),
            seen: BTreeSet::new(),
            newest: None,
            epochs: Epochs::default(),
            samples: 0,
            left_out: Vec::new(),
        }
    }
}

#[derive(Debug)]
enum Reader {
    Video(VideoReader),
    Audio(AudioReader),
}

#[derive(Debug)]
struct Track {
    stream: Stream,
    reader: Reader,
    /// What the reader took last, by its first byte.
    pieces: VecDeque<(u64, Piece)>,
    /// Bytes that it took.
    taken: u64,
    params: Option<Params>,
    /// Why nothing more of it is taken.
    ended: Option<String>,
    clock: Clock90k,
    beat: Beat,
    samples: Vec<Place>,
    last: Option<u32>,
}

impl Walk for TsFile {
    fn step(&mut self, window: &mut Window) -> Result<bool, Halt> {
        let bytes = window.stream(self.at)?;
        self.at = self.at.saturating_add(bytes.len() as u64);
        self.demuxer.push(bytes);
        self.stride = self.stride.or(self.demuxer.stride());
        self.drain()?;
        Ok(true)
    }

    fn finish(&mut self) -> Result<Index, IndexError> {
        self.demuxer.flush();
        self.drain()?;
        for nth in 0..self.tracks.len() {
            self.read(nth, None)?;
        }
        let stride = self.stride.and_then(|stride| u8::try_from(stride).ok()).unwrap_or(188);
        let mut left_out = std::mem::take(&mut self.left_out);
        let mut drafts = Vec::new();
        for Track { stream, params, ended, samples, last, .. } in std::mem::take(&mut self.tracks) {
            left_out.extend(ended);
            match params {
                Some(params) => {
                    let packing = Packing::Ts { pid: stream.pid, stride };
                    drafts.push(Draft { params, packing, samples, last });
                }
                None => left_out.push(format!("stream {:#x}: nothing that can be read is in it", stream.pid)),
            }
        }
        assemble(drafts, left_out)
    }
}

impl TsFile {
    fn drain(&mut self) -> Result<(), IndexError> {
        while let Some((event, pieces)) = self.demuxer.poll_placed() {
            match event {
                Event::Program(program) => self.program(&program),
                Event::Unit { pid, unit, .. } => {
                    let Some(nth) = self.tracks.iter().position(|t| t.stream.pid == pid) else { continue };
                    let unit = self.unwrapped(unit);
                    if let Some(track) = self.tracks.get_mut(nth) {
                        track.lies(&pieces);
                    }
                    self.read(nth, Some(unit))?;
                }
                Event::Splice { .. } => {}
                Event::Unsupported(stream) => {
                    note(
                        &mut self.left_out,
                        format!("stream {:#x}: {} is not carried", stream.pid, stream.name),
                    );
                }
            }
        }
        Ok(())
    }

    fn program(&mut self, program: &Program) {
        for stream in &program.streams {
            let known = self.tracks.iter_mut().find(|t| t.stream.pid == stream.pid);
            if let Some(track) = known {
                if track.stream.format != stream.format && track.ended.is_none() {
                    track.end("its format changes");
                }
                continue;
            }
            if !self.seen.insert(stream.pid) || stream.format == StreamFormat::Scte35 {
                continue;
            }
            if self.tracks.len() >= TRACKS_MAX {
                note(&mut self.left_out, format!("streams beyond the first {TRACKS_MAX}"));
                continue;
            }
            match Track::new(*stream) {
                Some(track) => self.tracks.push(track),
                None => {
                    note(&mut self.left_out, format!("stream {:#x}: AAC in LATM is not carried", stream.pid))
                }
            }
        }
    }

    /// Times that go on where 33 bits end.
    fn unwrapped(&mut self, mut unit: Unit) -> Unit {
        if let Some(pts) = unit.pts {
            let base = self.newest.unwrap_or(pts);
            let time = base + (pts - base + WRAP / 2).rem_euclid(WRAP) - WRAP / 2;
            unit.dts = unit.dts.map(|dts| time - (pts - dts).rem_euclid(WRAP));
            unit.pts = Some(time);
            self.newest = Some(time);
        }
        unit
    }

    /// Lets a track read a unit, or what it still holds.
    fn read(&mut self, nth: usize, unit: Option<Unit>) -> Result<(), IndexError> {
        let Some(track) = self.tracks.get_mut(nth).filter(|t| t.ended.is_none()) else { return Ok(()) };
        let mut items = Vec::new();
        let mut sink = |item, span| items.push((item, span));
        match (&mut track.reader, unit) {
            (Reader::Video(reader), Some(unit)) => reader.push_spans(unit, &mut sink),
            (Reader::Video(reader), None) => reader.flush_spans(&mut sink),
            (Reader::Audio(reader), Some(unit)) => reader.push_spans(unit, &mut sink),
            (Reader::Audio(_), None) => {}
        }
        let stride = self.stride.unwrap_or(PACKET_LEN) as u64;
        for (item, span) in items {
            match (item, span) {
                (Item::Params(params), _) => track.tell(params),
                (Item::Frame(frame), Some(span)) => {
                    let placed = track.frame(&frame, span, stride, &mut self.epochs);
                    self.samples += usize::from(placed);
                }
                (Item::Frame(_), None) => {}
            }
        }
        if self.samples > SAMPLES_MAX {
            return Err(IndexError::TooMuch { what: "samples of a file", max: SAMPLES_MAX as u64 });
        }
        Ok(())
    }
}

impl Track {
    /// `None` for what cannot be taken out of packets again.
    fn new(stream: Stream) -> Option<Self> {
        let sound = |format| Reader::Audio(AudioReader::new(format, stream.language));
        let reader = match stream.format {
            StreamFormat::Avc => Reader::Video(VideoReader::new(VideoCodec::Avc)),
            StreamFormat::Hevc => Reader::Video(VideoReader::new(VideoCodec::Hevc)),
            StreamFormat::AacAdts => sound(AudioFormat::AacAdts),
            StreamFormat::Mpa => sound(AudioFormat::Mpa),
            StreamFormat::Ac3 => sound(AudioFormat::Ac3),
            StreamFormat::Eac3 => sound(AudioFormat::Eac3),
            StreamFormat::Opus { channels } => sound(AudioFormat::Opus { channels }),
            StreamFormat::AacLatm | StreamFormat::Scte35 => return None,
        };
        Some(Self {
            stream,
            reader,
            pieces: VecDeque::new(),
            taken: 0,
            params: None,
            ended: None,
            clock: Clock90k::default(),
            beat: Beat::default(),
            samples: Vec::new(),
            last: None,
        })
    }

    fn end(&mut self, why: &str) {
        self.ended =
            Some(format!("stream {:#x} behind {} samples: {why}", self.stream.pid, self.samples.len()));
        self.pieces = VecDeque::new();
    }

    /// Notes where the bytes lie that the reader is given next.
    fn lies(&mut self, pieces: &[Piece]) {
        if self.ended.is_some() {
            return;
        }
        for piece in pieces {
            if self.pieces.len() >= PIECES_MAX {
                self.pieces.pop_front();
            }
            self.pieces.push_back((self.taken, *piece));
            self.taken += u64::from(piece.bytes);
        }
    }

    fn tell(&mut self, params: Params) {
        if self.samples.is_empty() {
            self.params = Some(params);
        } else if self.ended.is_none() && self.params.as_ref() != Some(&params) {
            self.end("its configuration changes");
        }
    }

    /// Takes a frame; whether it became a sample.
    fn frame(&mut self, frame: &Frame, span: Span, stride: u64, epochs: &mut Epochs) -> bool {
        let Some(params) = self.params.as_ref().filter(|_| self.ended.is_none()) else { return false };
        let time = epochs.time(&mut self.clock, frame.dts, STEP);
        let Some((offset, bytes, cut)) = place(&mut self.pieces, span, stride) else { return false };
        let (dts, cts) = match params {
            Params::Video(_) => (time, i32::try_from(frame.cts).unwrap_or(0)),
            Params::Audio(audio) => {
                let samples = frame_samples(audio, &frame.payload);
                let stamp = from_90k(time, audio.sample_rate);
                let Some(dts) = self.beat.place(Some(stamp), samples, audio.sample_rate) else {
                    return false;
                };
                self.last = Some(samples);
                (dts, 0)
            }
        };
        self.samples.push(Place { dts, cts, duration: 0, offset, bytes, key: frame.key, cut });
        true
    }
}

/// Offset, length and cut of what lies at `span`; earlier pieces are forgotten. `None` when that cannot be told, or is
/// too far apart.
fn place(pieces: &mut VecDeque<(u64, Piece)>, span: Span, stride: u64) -> Option<(u64, u32, Cut)> {
    let end = |&(begin, piece): &(u64, Piece)| begin + u64::from(piece.bytes);
    while pieces.front().is_some_and(|piece| end(piece) <= span.begin) {
        pieces.pop_front();
    }
    let &(first_begin, first) = pieces.front().filter(|(begin, _)| *begin <= span.begin)?;
    let mut last = None;
    for &(begin, piece) in pieces.iter().take_while(|(begin, _)| *begin < span.end) {
        // What is behind a PES packet, or out of step, would come along.
        let broken = last.is_some_and(|(_, before): (u64, Piece)| before.behind > 0);
        if broken || piece.at.checked_sub(first.at)? % stride != 0 {
            return None;
        }
        last = Some((begin, piece));
    }
    let (last_begin, last) = last.filter(|last| end(last) >= span.end)?;
    let head = u64::from(first.front) + (span.begin - first_begin);
    let tail = u64::from(last.behind) + (last_begin + u64::from(last.bytes) - span.end);
    let bytes = u32::try_from(last.at - first.at + PACKET_LEN as u64)
        .ok()
        .filter(|bytes| *bytes <= PLACE_BYTES_MAX)?;
    let cut = Cut { head: u8::try_from(head).ok()?, tail: u8::try_from(tail).ok()?, sets: span.sets };
    Some((first.at, bytes, cut))
}

#[cfg(test)]
mod tests;
