//! Packets after the handshake: what may come in, checked, and what goes out (draft-sharabayko-srt §3).

use std::time::{Duration, Instant};

use crate::receiver::Ack;
use crate::seq;

/// Bytes of each packet's header.
pub(crate) const HEADER: usize = 16;
/// Packets that one report of loss may name; more is nonsense and would keep the sender's machine busy.
const LOSS_MAX: u32 = 32_768;

/// The start of a control packet's first word.
const CONTROL: u16 = 0x8000;
const ACK: u16 = 2;
const NAK: u16 = 3;
const SHUTDOWN: u16 = 5;
const ACK2: u16 = 6;
const DROP: u16 = 7;
const EXTENSION: u16 = 0x7fff;

/// Extension types of key material.
pub(crate) const KEY_REQUEST: u16 = 3;
pub(crate) const KEY_RESPONSE: u16 = 4;

/// A header, of which only the common words are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    first: u32,
    second: u32,
    pub(crate) stamp_us: u32,
    /// The receiver's socket id; 0 in a handshake with a listener.
    pub(crate) socket: u32,
}

/// Word `n` of big-endian words.
pub(crate) fn word(bytes: &[u8], n: usize) -> Option<u32> {
    bytes.get(n * 4..)?.first_chunk().copied().map(u32::from_be_bytes)
}

impl Header {
    /// None of what is shorter than a header.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            first: word(bytes, 0)?,
            second: word(bytes, 1)?,
            stamp_us: word(bytes, 2)?,
            socket: word(bytes, 3)?,
        })
    }

    pub(crate) fn is_data(self) -> bool {
        self.first >> 31 == 0
    }

    /// Whether this is a handshake (control type 0).
    pub(crate) fn is_handshake(self) -> bool {
        self.first >> 16 == u32::from(CONTROL)
    }

    /// Sequence number of a data packet.
    pub(crate) fn sequence(self) -> u32 {
        self.first
    }

    /// Whether a data packet is sent again.
    pub(crate) fn is_repeated(self) -> bool {
        self.second >> 26 & 1 == 1
    }

    /// Whether a data packet is encrypted.
    pub(crate) fn is_encrypted(self) -> bool {
        self.second >> 27 & 3 != 0
    }

    fn kind(self) -> u16 {
        // The upper half of the word, less the control bit.
        (self.first >> 16) as u16 & !CONTROL
    }

    fn subtype(self) -> u16 {
        (self.first & 0xffff) as u16
    }
}

/// A control packet that somebody here understands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Control<'a> {
    /// Acknowledgement: for the sending machine. Its own number, 0 when it has none and wants no answer.
    Ack(u32),
    /// Losses, each first and last.
    Nak(Vec<(u32, u32)>),
    Shutdown,
    Ack2(u32),
    /// The sender gives up this range.
    Drop(u32, u32),
    /// Key material announced.
    KeyRequest(&'a [u8]),
    /// Key material confirmed: for the sending machine.
    KeyResponse,
    /// Keep-alive, or something that live mode has no use for.
    Nothing,
}

/// Reads a control packet.
pub(crate) fn control(header: Header, bytes: &[u8]) -> Control<'_> {
    let body = bytes.get(HEADER..).unwrap_or_default();
    match header.kind() {
        ACK if body.len() >= 4 => Control::Ack(header.second),
        NAK => losses(body).map_or(Control::Nothing, Control::Nak),
        SHUTDOWN => Control::Shutdown,
        ACK2 => Control::Ack2(header.second),
        DROP => match (word(body, 0), word(body, 1)) {
            (Some(from), Some(to)) if (from | to) >> 31 == 0 && seq::distance(from, to) >= 0 => {
                Control::Drop(from, to)
            }
            _ => Control::Nothing,
        },
        EXTENSION if header.subtype() == KEY_REQUEST => Control::KeyRequest(body),
        EXTENSION if header.subtype() == KEY_RESPONSE && key_material_is_sound(body) => Control::KeyResponse,
        _ => Control::Nothing,
    }
}

/// The ranges of a report of loss (appendix A), none of which spans the wrap; None when it is malformed.
fn losses(body: &[u8]) -> Option<Vec<(u32, u32)>> {
    const RANGE: u32 = 1 << 31;
    let mut words = (0..).map_while(|n| word(body, n));
    let mut ranges = Vec::new();
    let mut total = 0_u32;
    while let Some(first) = words.next() {
        let (from, to) = if first & RANGE == 0 { (first, first) } else { (first ^ RANGE, words.next()?) };
        let count = u32::try_from(seq::distance(from, to)).ok().filter(|_| to & RANGE == 0)?;
        total = total.checked_add(count)?.checked_add(1).filter(|t| *t <= LOSS_MAX)?;
        if to < from {
            ranges.push((from, RANGE - 1));
            ranges.push((0, to));
        } else {
            ranges.push((from, to));
        }
    }
    Some(ranges)
}

/// Whether key material (§3.2.2) has what the library takes for granted: AES-CTR, a salt of 16 bytes, a key.
pub(crate) fn key_material_is_sound(body: &[u8]) -> bool {
    match body.first_chunk::<16>() {
        Some([0x12, 0x20, 0x29, flags, _, _, _, _, 2, 0, 2, _, _, _, 4, key]) => {
            let keys = usize::from(flags & 1) + usize::from(flags >> 1 & 1);
            keys > 0 && [4, 6, 8].contains(key) && body.len() == 16 + 16 + 8 + usize::from(*key) * 4 * keys
        }
        _ => false,
    }
}

/// Datagrams for one peer, written one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    pub(crate) bytes: Vec<u8>,
    /// Where each datagram ends.
    pub(crate) ends: Vec<usize>,
}

impl Outgoing {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes written since the last call are a datagram.
    pub(crate) fn end(&mut self) {
        self.ends.push(self.bytes.len());
    }

    fn word(&mut self, word: u32) {
        self.bytes.extend_from_slice(&word.to_be_bytes());
    }
}

/// Whom control packets go to, and the clock that they carry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sheet {
    /// The peer's socket id.
    pub(crate) socket: u32,
    /// When our time stamps were 0.
    pub(crate) epoch: Instant,
}

impl Sheet {
    /// A time stamp: microseconds, wrapping.
    pub(crate) fn stamp(&self, now: Instant) -> u32 {
        (now.saturating_duration_since(self.epoch).as_micros() & u128::from(u32::MAX)) as u32
    }

    fn head(&self, now: Instant, kind: u16, subtype: u16, info: u32, out: &mut Outgoing) {
        out.word(u32::from(CONTROL | kind) << 16 | u32::from(subtype));
        out.word(info);
        out.word(self.stamp(now));
        out.word(self.socket);
    }

    pub(crate) fn ack(&self, now: Instant, ack: Ack, rates: [u32; 3], out: &mut Outgoing) {
        self.head(now, ACK, 0, ack.number, out);
        for word in [ack.next, ack.rtt_us, ack.rtt_variance_us, ack.room] {
            out.word(word);
        }
        for rate in rates {
            out.word(rate);
        }
        out.end();
    }

    /// Confirms the acknowledgement of this number (§3.2.7).
    pub(crate) fn ack2(&self, now: Instant, number: u32, out: &mut Outgoing) {
        self.head(now, ACK2, 0, number, out);
        out.word(0);
        out.end();
    }

    pub(crate) fn nak(&self, now: Instant, ranges: &[(u32, u32)], out: &mut Outgoing) {
        self.head(now, NAK, 0, 0, out);
        for &(from, to) in ranges {
            if from == to {
                out.word(from);
            } else {
                out.word(from | 1 << 31);
                out.word(to);
            }
        }
        out.end();
    }

    pub(crate) fn shutdown(&self, now: Instant, out: &mut Outgoing) {
        self.head(now, SHUTDOWN, 0, 0, out);
        out.word(0);
        out.end();
    }

    pub(crate) fn key_response(&self, now: Instant, material: &[u8], out: &mut Outgoing) {
        self.head(now, EXTENSION, KEY_RESPONSE, 0, out);
        out.bytes.extend_from_slice(material);
        out.end();
    }
}

/// Packet rate, link capacity (both per second) and byte rate, as an acknowledgement carries them (§3.2.4).
#[derive(Debug, Default)]
pub(crate) struct Rates {
    since: Option<Instant>,
    packets: u32,
    bytes: u32,
    /// Arrival of the first of a probing pair: each sixteenth packet and the next leave together.
    probe: Option<(u32, Instant)>,
    pairs: [u32; 16],
    pairs_seen: usize,
    latest: [u32; 3],
}

impl Rates {
    pub(crate) fn count(&mut self, at: Instant, sequence: u32, bytes: usize) {
        self.packets = self.packets.saturating_add(1);
        self.bytes = self.bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        match (sequence % 16, self.probe.take()) {
            (0, _) => self.probe = Some((sequence, at)),
            (1, Some((first, then))) if seq::add(first, 1) == sequence => {
                let us = at.saturating_duration_since(then).as_micros();
                if let Some(pair) = self.pairs.get_mut(self.pairs_seen % 16) {
                    *pair = u32::try_from(us).unwrap_or(u32::MAX).max(1);
                    self.pairs_seen += 1;
                }
            }
            _ => {}
        }
    }

    /// The figures of the last second or so.
    pub(crate) fn at(&mut self, now: Instant) -> [u32; 3] {
        const PERIOD: Duration = Duration::from_millis(500);
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since);
        if passed >= PERIOD {
            let ms = u32::try_from(passed.as_millis()).unwrap_or(u32::MAX).max(1);
            let per_second = |n: u32| u32::try_from(u64::from(n) * 1_000 / u64::from(ms)).unwrap_or(u32::MAX);
            self.latest = [per_second(self.packets), self.capacity(), per_second(self.bytes)];
            (self.packets, self.bytes, self.since) = (0, 0, Some(now));
        }
        self.latest
    }

    /// Packets per second that the path could carry: by the median gap of the pairs.
    fn capacity(&self) -> u32 {
        if self.pairs_seen < self.pairs.len() {
            return 0;
        }
        let mut pairs = self.pairs;
        pairs.sort_unstable();
        pairs.get(8).map_or(0, |us| 1_000_000 / us)
    }
}

#[cfg(test)]
mod tests;
