//! Puts PES packets together.
//!
//! Spec: ISO/IEC 13818-1 §2.4.3.6, §2.4.3.7.

use bytes::Bytes;
use nx_codec::elementary::Unit;

use super::packet::{Continuity, Flow, Packet};
use super::piece::{Part, pieces};
use super::{Event, Out};

/// Bytes in front of what `PES_packet_length` counts.
const PREFIX_LEN: usize = 6;
/// Bytes in front of the optional header fields.
const HEADER_LEN: usize = 9;

/// Packets that one PES packet is followed through; four times those of the largest.
const PARTS_MAX: usize = 1 << 17;

/// How the PES packets of a stream are treated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Larger packets are dropped.
    pub(super) bytes_max: usize,
    /// Ends a packet of unknown length at a stuffed transport packet.
    pub(super) early: bool,
    /// Its times tell when a splice was received.
    pub(super) marks_time: bool,
    /// Units tell where they lie.
    pub(super) placing: bool,
}

/// The PES packets of one packet id.
#[derive(Debug)]
pub(super) struct Pes {
    pid: u16,
    pub(super) rules: Rules,
    continuity: Continuity,
    state: State,
    /// Header and payload so far; its memory serves one packet after the other.
    data: Vec<u8>,
    /// Where `data` came from, if that is wanted.
    parts: Vec<Part>,
    random_access: bool,
    /// Bytes were lost in front of the open packet.
    discontinuity: bool,
    /// Bytes were lost since the open packet began, or since the last one.
    hole: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No packet is open; what comes before the next start is of one that was lost.
    Idle,
    /// `data` begins with a header.
    Open,
    /// The packet was handed out early; `data` is more of its payload.
    Rest,
}

impl Pes {
    pub(super) fn new(pid: u16, rules: Rules) -> Self {
        Self {
            pid,
            rules,
            continuity: Continuity::default(),
            state: State::Idle,
            data: Vec::new(),
            parts: Vec::new(),
            random_access: false,
            discontinuity: false,
            hole: false,
        }
    }

    pub(super) fn packet(&mut self, packet: &Packet<'_>, out: &mut Out) {
        match self.continuity.check(packet) {
            Flow::Next => (),
            Flow::Repeat => return,
            Flow::Gap(lost) => {
                out.stats.lost_packets += u64::from(lost);
                // An announced jump between two PES packets takes nothing from the first.
                if lost > 0 || !packet.start {
                    self.give_up(out);
                }
                self.hole = true;
            }
        }
        if packet.start {
            self.finish(out);
            self.state = State::Open;
            self.random_access = packet.random_access;
            self.discontinuity = std::mem::take(&mut self.hole) || packet.discontinuity;
        } else if packet.discontinuity {
            self.hole = true;
        }
        if self.state == State::Idle {
            return;
        }
        let room = self.rules.bytes_max.saturating_sub(self.data.len());
        if packet.payload.len() > room || self.parts.len() >= PARTS_MAX {
            return self.give_up(out);
        }
        if self.rules.placing && !packet.payload.is_empty() {
            self.parts.push(Part { at: packet.at, len: packet.payload.len() });
        }
        self.data.extend_from_slice(packet.payload);
        match (self.state, self.total()) {
            (State::Open, Some(total)) if self.data.len() >= total => {
                self.data.truncate(total);
                self.emit(out);
                self.state = State::Idle;
            }
            (State::Open, Some(_)) => (),
            (state, _) if self.rules.early && packet.stuffed => {
                // A header that is cut in two waits for its other half.
                if state == State::Open && split(&self.data).is_none() {
                    return;
                }
                self.emit(out);
                self.state = State::Rest;
            }
            _ => (),
        }
    }

    /// What came last may be wrong.
    pub(super) fn distrust(&mut self, out: &mut Out) {
        self.give_up(out);
        self.hole = true;
    }

    /// No more of the open packet comes.
    pub(super) fn finish(&mut self, out: &mut Out) {
        match (self.state, self.total()) {
            (State::Idle, _) => (),
            // It ends before the length that it states.
            (State::Open, Some(_)) => self.give_up(out),
            _ => self.emit(out),
        }
        self.state = State::Idle;
    }

    /// Bytes are missing or wrong in the open packet.
    fn give_up(&mut self, out: &mut Out) {
        if self.state != State::Idle {
            out.stats.lost_units += 1;
            self.hole = true;
        }
        self.clear();
        self.state = State::Idle;
    }

    fn clear(&mut self) {
        self.data.clear();
        self.parts.clear();
    }

    /// Bytes of the open packet with its header; `None` when its length is open or not yet known.
    fn total(&self) -> Option<usize> {
        let [.., high, low] = self.data.first_chunk::<PREFIX_LEN>()?;
        let length = u16::from_be_bytes([*high, *low]);
        (length > 0).then(|| PREFIX_LEN + usize::from(length))
    }

    /// Hands out what is there.
    fn emit(&mut self, out: &mut Out) {
        if self.state == State::Rest {
            let payload = Bytes::copy_from_slice(&self.data);
            self.unit(Times::default(), payload, out);
        } else {
            match split(&self.data) {
                Some((times, payload)) => {
                    let payload = Bytes::copy_from_slice(payload);
                    if self.rules.marks_time && times.pts.is_some() {
                        out.last_pts = times.pts;
                    }
                    self.unit(times, payload, out);
                }
                None => {
                    out.stats.lost_units += 1;
                    self.hole = true;
                }
            }
        }
        self.clear();
    }

    fn unit(&mut self, times: Times, payload: Bytes, out: &mut Out) {
        if payload.is_empty() {
            return;
        }
        if self.rules.placing {
            out.pieces.push_back(pieces(&self.parts, self.data.len() - payload.len(), self.data.len()));
        }
        let Times { pts, dts } = times;
        let discontinuity = std::mem::take(&mut self.discontinuity);
        let random_access = std::mem::take(&mut self.random_access);
        let unit = Unit { pts, dts, discontinuity, payload };
        out.events.push_back(Event::Unit { pid: self.pid, unit, random_access });
    }
}

/// Times of a PES packet, 90 kHz.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    pts: Option<i64>,
    dts: Option<i64>,
}

/// Times and payload; `None` when this is no clear PES packet with media.
pub(super) fn split(data: &[u8]) -> Option<(Times, &[u8])> {
    let [0, 0, 1, stream_id, _, _, flags, fields, len] = *data.first_chunk::<HEADER_LEN>()? else {
        return None;
    };
    // Maps, padding and control streams have no header fields; scrambled payload is of no use.
    if matches!(stream_id, 0xbc | 0xbe | 0xbf | 0xf0..=0xf2 | 0xf8 | 0xff) || flags & 0x30 != 0 {
        return None;
    }
    let (header, payload) = data.get(HEADER_LEN..)?.split_at_checked(len.into())?;
    let pts = if fields & 0x80 != 0 { header.first_chunk().and_then(time) } else { None };
    let dts = if fields & 0xc0 == 0xc0 { header.get(5..).and_then(|h| time(h.first_chunk()?)) } else { None };
    Some((Times { pts, dts: dts.filter(|_| pts.is_some() && dts != pts) }, payload))
}

/// A time of 33 bits. Some muxers forget a marker bit: one of the three may be missing.
fn time(field: &[u8; 5]) -> Option<i64> {
    let bits = field.iter().fold(0, |bits, byte| (bits << 8) | i64::from(*byte));
    let markers = (bits >> 32 & 1) + (bits >> 16 & 1) + (bits & 1);
    let ticks = (bits >> 33 & 7) << 30 | (bits >> 17 & 0x7fff) << 15 | (bits >> 1 & 0x7fff);
    (markers >= 2).then_some(ticks)
}
