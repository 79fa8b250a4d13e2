//! Cuts elementary stream units into transport packets.
//!
//! Spec: ISO/IEC 13818-1 §2.4.3.2 (packet), §2.4.3.4 (adaptation field).

use super::super::wire::{PACKET_LEN, SYNC};

/// Payload bytes of a packet without adaptation field.
const ROOM: usize = PACKET_LEN - 4;
/// A stream ends with this multiple of packets, so that its counter is back at 0.
const ROUND: usize = 16;

/// One PES packet, ready to be cut.
pub(super) struct Unit<'a> {
    /// PES header and payload, at least 20 bytes.
    pub(super) data: &'a [u8],
    /// Goes into the first packet, in 90 kHz ticks, 33 bits.
    pub(super) pcr_90k: Option<u64>,
    /// Decoding can start here.
    pub(super) random_access: bool,
    /// No more units of this stream follow in the segment.
    pub(super) last: bool,
}

/// The packets of one packet id within one segment.
pub(super) struct Stream {
    pid: u16,
    /// Packets written so far.
    count: usize,
}

impl Stream {
    pub(super) fn new(pid: u16) -> Self {
        Self { pid, count: 0 }
    }

    /// Writes a unit; the last one is spread over more packets until their number is a multiple of 16.
    #[expect(clippy::needless_pass_by_value, reason = "a unit is written once")]
    pub(super) fn write(&mut self, out: &mut Vec<u8>, unit: Unit<'_>) {
        let field = Field { pcr_90k: unit.pcr_90k, random_access: unit.random_access };
        let mut thin = if unit.last { self.thin_packets(unit.data.len(), field.len()) } else { 0 };
        let (mut rest, mut field, mut start) = (unit.data, field, true);
        while !rest.is_empty() {
            let room = ROOM - field.len();
            let full = rest.len().saturating_sub(thin).min(room);
            if full == 0 {
                thin -= 1;
            }
            let (chunk, tail) = rest.split_at(full.max(1));
            self.packet(out, start, field, chunk);
            (rest, field, start) = (tail, Field::default(), false);
        }
    }

    /// How many packets with one byte of payload end the stream at a multiple of [`ROUND`].
    ///
    /// Each one more adds a packet, except when it empties the last full one, which happens at most once
    /// in so few bytes: 17 candidates hit every remainder.
    fn thin_packets(&self, len: usize, field_len: usize) -> usize {
        let packets = |len: usize| 1 + len.saturating_sub(ROOM - field_len).div_ceil(ROOM);
        let ends_round = |thin: &usize| (self.count + packets(len - thin) + thin).is_multiple_of(ROUND);
        (0..=ROUND.min(len.saturating_sub(1))).find(ends_round).unwrap_or(0)
    }

    fn packet(&mut self, out: &mut Vec<u8>, start: bool, field: Field, chunk: &[u8]) {
        let [pid_high, pid_low] = self.pid.to_be_bytes();
        let stuffing = ROOM - field.len() - chunk.len();
        let has_field = field.len() + stuffing > 0;
        let counter = u8::try_from(self.count % ROUND).unwrap_or(0);
        out.extend_from_slice(&[
            SYNC,
            pid_high | if start { 0x40 } else { 0 },
            pid_low,
            if has_field { 0x30 } else { 0x10 } | counter,
        ]);
        if has_field {
            field.write(out, stuffing);
        }
        out.extend_from_slice(chunk);
        self.count += 1;
    }
}

/// Adaptation field without its stuffing.
#[derive(Clone, Copy, Default)]
struct Field {
    pcr_90k: Option<u64>,
    random_access: bool,
}

impl Field {
    /// Bytes with the length byte; 0 when there is nothing to say.
    fn len(self) -> usize {
        match (self.pcr_90k, self.random_access) {
            (Some(_), _) => 8,
            (None, true) => 2,
            (None, false) => 0,
        }
    }

    fn write(self, out: &mut Vec<u8>, stuffing: usize) {
        // The length byte does not count itself.
        out.push(u8::try_from(self.len() + stuffing - 1).unwrap_or(0));
        // A field of one stuffing byte is the length byte alone.
        let mut left = stuffing;
        if self.len() == 0 {
            left -= 1;
            if left == 0 {
                return;
            }
            left -= 1;
        }
        let flags = if self.random_access { 0x40 } else { 0 } | if self.pcr_90k.is_some() { 0x10 } else { 0 };
        out.push(flags);
        if let Some(base) = self.pcr_90k {
            // 33 bits of base, 6 reserved, 9 bits of extension (0).
            let [_, _, pcr @ ..] = ((base << 15) | 0x7e00).to_be_bytes();
            out.extend_from_slice(&pcr);
        }
        out.resize(out.len() + left, 0xff);
    }
}
