//! Where the payload of PES packets lies, and how it is taken out of there again.

use super::super::wire::{PACKET_LEN, SYNC};
use super::packet::{Continuity, Flow, Packet};
use super::pes::split;

/// Longest header of a PES packet.
const PES_HEADER_MAX: usize = 9 + 255;

/// What a transport packet brought to a PES packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// Where the packet begins.
    pub(super) at: u64,
    /// Bytes of its payload.
    pub(super) len: usize,
}

/// What a transport packet brought to the payload of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Where the packet begins in all that was pushed.
    pub(crate) at: u64,
    /// Bytes of its payload in front of them: of the PES header.
    pub(crate) front: u8,
    /// How many.
    pub(crate) bytes: u8,
    /// Bytes of its payload behind them, beyond the end of the PES packet.
    pub(crate) behind: u8,
}

/// The pieces of the payload that is `begin..end` of what the parts hold together.
pub(super) fn pieces(parts: &[Part], begin: usize, end: usize) -> Vec<Piece> {
    let mut from = 0;
    let piece = |part: &Part| {
        let to = from + part.len;
        let (first, last) = (begin.clamp(from, to), end.clamp(from, to));
        let byte = |len: usize| u8::try_from(len).unwrap_or(u8::MAX);
        let (front, bytes, behind) = (byte(first - from), byte(last - first), byte(to - last));
        from = to;
        (bytes > 0).then_some(Piece { at: part.at, front, bytes, behind })
    };
    parts.iter().filter_map(piece).collect()
}

/// The payload of the packets with this id: of the first one without its `head` bytes, of the last one without its
/// `tail` bytes, and without the PES headers that begin between. `None` when the bytes are not those that an index tells
/// of.
pub(crate) fn unpack(bytes: &[u8], pid: u16, stride: usize, head: u8, tail: u8) -> Option<Vec<u8>> {
    let (mut payload, mut continuity) = (Vec::with_capacity(bytes.len()), Continuity::default());
    let mut header: Option<Vec<u8>> = None;
    let mut first = true;
    for packet in bytes.chunks(stride.max(PACKET_LEN)).filter_map(<[u8]>::first_chunk::<PACKET_LEN>) {
        let parsed = Packet::parse(packet, 0).filter(|p| packet.first() == Some(&SYNC) && p.pid == pid);
        let Some(packet) = parsed.filter(|p| !p.scrambled) else { continue };
        if continuity.check(&packet) == Flow::Repeat {
            continue;
        }
        if std::mem::take(&mut first) {
            payload.extend_from_slice(packet.payload.get(usize::from(head)..)?);
            continue;
        }
        if packet.start {
            header = Some(Vec::new());
        }
        match &mut header {
            None => payload.extend_from_slice(packet.payload),
            Some(data) => {
                data.extend_from_slice(packet.payload);
                if let Some((_, rest)) = split(data) {
                    payload.extend_from_slice(rest);
                    header = None;
                } else if data.len() > PES_HEADER_MAX {
                    return None;
                }
            }
        }
    }
    payload.truncate(payload.len().checked_sub(usize::from(tail))?);
    (!payload.is_empty()).then_some(payload)
}
