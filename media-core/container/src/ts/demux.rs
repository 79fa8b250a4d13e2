//! Reads a transport stream: bytes in, PES payloads, the program and splice information out.
//!
//! Nothing here fails: what is damaged is left out, counted in [`Stats`], and the next unit of that stream says
//! that bytes are missing. A PES packet is given out whole or not at all. Memory is bounded: per stream one PES
//! packet of at most [`Config::pes_bytes_max`], plus the events of what was pushed.
//!
//! Spec: ISO/IEC 13818-1 §2.4.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use super::wire::{NULL_PID, PACKET_LEN};
use crate::scte35::{self, SpliceError};

mod event;
mod format;
mod packet;
mod pes;
mod piece;
mod section;
mod sync;
mod tables;

pub use event::{Config, Event, PES_BYTES_MAX, Program, Stats, Stream, Unsupported};
pub use format::StreamFormat;
use packet::Packet;
use pes::{Pes, Rules};
pub(crate) use piece::{Piece, unpack};
use section::Sections;
use sync::Sync;
use tables::{Map, Tables};

/// Largest PES packet of audio, in bytes: four times what a packet with a length can have.
const AUDIO_PES_BYTES_MAX: usize = 256 << 10;
/// Bytes that are looked at together in search of packets.
const SEARCH_LEN: usize = 4096;

/// Events and counters, apart from the streams that write them.
#[derive(Debug, Default)]
struct Out {
    events: VecDeque<Event>,
    /// Of the units among the events, if they are wanted.
    pieces: VecDeque<Vec<Piece>>,
    stats: Stats,
    last_pts: Option<i64>,
    /// Streams named so far; at most one per packet id.
    named: BTreeSet<u16>,
}

impl Out {
    fn unsupported(&mut self, stream: Unsupported) {
        if self.named.insert(stream.pid) {
            self.events.push_back(Event::Unsupported(stream));
        }
    }
}

/// One stream that is read.
#[derive(Debug)]
struct Track {
    stream: Stream,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Pes(Pes),
    Splices(Sections),
}

/// Reads one transport stream. Push bytes as they come, then poll until nothing is left.
#[derive(Debug)]
pub struct Demuxer {
    config: Config,
    sync: Sync,
    /// Bytes that are not a whole packet yet.
    carry: Vec<u8>,
    /// Bytes pushed so far, up to the end of those that are being read.
    taken: u64,
    /// Units tell where they lie.
    placing: bool,
    tables: Tables,
    program: Option<Program>,
    /// Sorted by packet id.
    tracks: Vec<Track>,
    /// Of the packet before.
    last_pid: u16,
    out: Out,
}

impl Demuxer {
    /// Begins before the first byte; joins a stream anywhere.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            sync: Sync::default(),
            carry: Vec::new(),
            taken: 0,
            placing: false,
            tables: Tables::new(config.program),
            program: None,
            tracks: Vec::new(),
            last_pid: NULL_PID,
            out: Out::default(),
        }
    }

    /// One that tells where units lie, by [`Demuxer::poll_placed`].
    pub(crate) fn placing(config: Config) -> Self {
        Self { placing: true, ..Self::new(config) }
    }

    /// From one packet to the next, while in step.
    pub(crate) fn stride(&self) -> Option<usize> {
        self.sync.stride()
    }

    /// As [`Demuxer::poll`], with the pieces of a unit.
    pub(crate) fn poll_placed(&mut self) -> Option<(Event, Vec<Piece>)> {
        let event = self.out.events.pop_front()?;
        let unit = matches!(event, Event::Unit { .. });
        let pieces = if unit { self.out.pieces.pop_front() } else { None };
        Some((event, pieces.unwrap_or_default()))
    }

    /// Takes bytes, cut anywhere: packets of 188 bytes, of 192 (M2TS) or of 204 (with parity).
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !self.carry.is_empty() && !bytes.is_empty() {
            // In step one packet has to be completed; the others are read where they are.
            let room = if self.sync.locked() { PACKET_LEN } else { SEARCH_LEN };
            let (part, rest) = bytes.split_at(bytes.len().min(room.saturating_sub(self.carry.len())));
            bytes = rest;
            self.carry.extend_from_slice(part);
            self.taken += part.len() as u64;
            self.read_carry(false);
        }
        self.taken += bytes.len() as u64;
        let rest = self.read(bytes, false);
        self.carry.extend_from_slice(rest);
    }

    /// No more bytes come, or others than those that would follow: gives out what is complete, and a video
    /// PES packet of unknown length as far as it came.
    ///
    /// The demuxer may be used on; it looks for packets anew.
    pub fn flush(&mut self) {
        self.read_carry(true);
        self.carry.clear();
        self.sync.reset();
        for track in &mut self.tracks {
            track.finish(&mut self.out);
        }
    }

    /// The next event; `None` until more bytes are pushed.
    pub fn poll(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    /// What was read and lost so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats { skipped_bytes: self.sync.skipped_bytes, ..self.out.stats }
    }

    fn read_carry(&mut self, end: bool) {
        let mut carry = std::mem::take(&mut self.carry);
        let left = self.read(&carry, end).len();
        carry.drain(..carry.len() - left);
        self.carry = carry;
    }

    /// Reads whole packets; what is left over is returned.
    fn read<'a>(&mut self, mut bytes: &'a [u8], end: bool) -> &'a [u8] {
        while let Some(packet) = self.sync.next(&mut bytes, end) {
            if let Some(shifted) = self.sync.take_lost() {
                self.out.stats.sync_losses += 1;
                if let Some(track) = find(&mut self.tracks, self.last_pid).filter(|_| shifted) {
                    track.distrust(&mut self.out);
                }
            }
            let behind = (bytes.len() + PACKET_LEN) as u64;
            self.packet(packet, self.taken.saturating_sub(behind));
        }
        bytes
    }

    fn packet(&mut self, packet: &[u8; PACKET_LEN], at: u64) {
        self.out.stats.packets += 1;
        let Some(packet) = Packet::parse(packet, at) else {
            self.out.stats.damaged_packets += 1;
            return;
        };
        self.last_pid = packet.pid;
        if packet.pid == NULL_PID {
            return;
        }
        if let Some(track) = find(&mut self.tracks, packet.pid) {
            track.packet(&packet, &mut self.out);
        } else if let Some(map) = self.tables.packet(&packet, &mut self.out.stats) {
            let map = map.clone();
            self.select(map);
        }
    }

    /// Goes over to another program, or to other streams of the same.
    fn select(&mut self, map: Map) {
        if self.program.as_ref() != Some(&map.program) {
            let mut old = std::mem::take(&mut self.tracks);
            let program = &map.program;
            let kept = |t: &Track| {
                program.streams.iter().any(|s| (s.pid, s.format) == (t.stream.pid, t.stream.format))
            };
            for track in old.iter_mut().filter(|t| !kept(t)) {
                track.finish(&mut self.out);
            }
            old.retain(kept);
            for stream in &program.streams {
                let rules = rules(&self.config, self.placing, program, stream.format);
                let mut track = match old.iter().position(|t| t.stream.pid == stream.pid) {
                    Some(at) => old.swap_remove(at),
                    None => Track::new(stream, rules),
                };
                if let Content::Pes(pes) = &mut track.content {
                    pes.rules = rules;
                }
                self.tracks.push(track);
            }
            self.tracks.sort_unstable_by_key(|t| t.stream.pid);
            self.out.events.push_back(Event::Program(program.clone()));
            self.program = Some(map.program);
        }
        for stream in map.unsupported {
            self.out.unsupported(stream);
        }
    }
}

fn find(tracks: &mut [Track], pid: u16) -> Option<&mut Track> {
    let at = tracks.binary_search_by_key(&pid, |t| t.stream.pid).ok()?;
    tracks.get_mut(at)
}

fn rules(config: &Config, placing: bool, program: &Program, format: StreamFormat) -> Rules {
    let video = format.is_video();
    Rules {
        bytes_max: config.pes_bytes_max.min(if video { usize::MAX } else { AUDIO_PES_BYTES_MAX }),
        early: config.early && video,
        marks_time: video || !program.has_video(),
        placing,
    }
}

impl Track {
    fn new(stream: &Stream, rules: Rules) -> Self {
        let content = match stream.format {
            StreamFormat::Scte35 => Content::Splices(Sections::new(scte35::SECTION_BYTES_MAX)),
            _ => Content::Pes(Pes::new(stream.pid, rules)),
        };
        Self { stream: *stream, content }
    }

    fn packet(&mut self, packet: &Packet<'_>, out: &mut Out) {
        let Stream { pid, stream_type, .. } = self.stream;
        if packet.scrambled {
            self.distrust(out);
            return out.unsupported(Unsupported { pid, stream_type, name: "scrambled" });
        }
        match &mut self.content {
            Content::Pes(pes) => pes.packet(packet, out),
            Content::Splices(sections) => {
                let (mut found, mut encrypted) = (VecDeque::new(), false);
                let received_pts = out.last_pts;
                sections.packet(packet, &mut out.stats, |section| {
                    match scte35::parse(&Bytes::copy_from_slice(section)) {
                        Ok(splice) => found.push_back(Event::Splice { pid, received_pts, splice }),
                        Err(SpliceError::Encrypted { .. }) => encrypted = true,
                        Err(_) => return false,
                    }
                    true
                });
                out.events.append(&mut found);
                if encrypted {
                    out.unsupported(Unsupported { pid, stream_type, name: "encrypted SCTE-35" });
                }
            }
        }
    }

    fn finish(&mut self, out: &mut Out) {
        if let Content::Pes(pes) = &mut self.content {
            pes.finish(out);
        }
    }

    fn distrust(&mut self, out: &mut Out) {
        if let Content::Pes(pes) = &mut self.content {
            pes.distrust(out);
        }
    }
}

#[cfg(test)]
mod tests;
