//! Program tables: which packet id carries what.
//!
//! Spec: ISO/IEC 13818-1 §2.4.4.3 (PAT), §2.4.4.8 (PMT), annex B (CRC).

use super::super::wire::{NULL_PID, PACKET_LEN, SYNC, TABLE_PAT, TABLE_PMT, crc};
use super::PMT_PID;

const PROGRAM: u16 = 1;
/// Bytes of a section in a packet that begins one, and in any other.
const ROOM_FIRST: usize = PACKET_LEN - 5;
const ROOM: usize = PACKET_LEN - 4;

/// One line of the PMT.
pub(super) struct Entry {
    pub(super) pid: u16,
    pub(super) stream_type: u8,
    pub(super) descriptors: Vec<u8>,
}

/// Appends the PAT and the PMT. The PCR is on the first of `entries`.
pub(super) fn write(out: &mut Vec<u8>, entries: &[Entry], number: u64) {
    let mut pat = PROGRAM.to_be_bytes().to_vec();
    pat.extend_from_slice(&(0xe000 | PMT_PID).to_be_bytes());
    packets(out, 0, number, &section(TABLE_PAT, 1, &pat));

    let pcr = entries.first().map_or(NULL_PID, |e| e.pid);
    let mut pmt = (0xe000 | pcr).to_be_bytes().to_vec();
    pmt.extend_from_slice(&[0xf0, 0]);
    for entry in entries {
        let len = u16::try_from(entry.descriptors.len()).unwrap_or(0);
        pmt.push(entry.stream_type);
        pmt.extend_from_slice(&(0xe000 | entry.pid).to_be_bytes());
        pmt.extend_from_slice(&(0xf000 | len).to_be_bytes());
        pmt.extend_from_slice(&entry.descriptors);
    }
    packets(out, PMT_PID, number, &section(TABLE_PMT, PROGRAM, &pmt));
}

/// A table section: version 0, current, the only one of its table.
fn section(table: u8, id: u16, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(5 + body.len() + 4).unwrap_or(0);
    let mut section = vec![table];
    section.extend_from_slice(&(0xb000 | len).to_be_bytes());
    section.extend_from_slice(&id.to_be_bytes());
    section.extend_from_slice(&[0xc1, 0, 0]);
    section.extend_from_slice(body);
    section.extend_from_slice(&crc(&section).to_be_bytes());
    section
}

/// Cuts a section into packets: pointer field 0 in the first, stuffing in the last. The counter runs on from
/// the segment before, which has as many packets of this id.
fn packets(out: &mut Vec<u8>, pid: u16, number: u64, section: &[u8]) {
    let count = 1 + section.len().saturating_sub(ROOM_FIRST).div_ceil(ROOM);
    let [high, low] = pid.to_be_bytes();
    let mut counter = number.wrapping_mul(count as u64);
    let (mut rest, mut first) = (section, true);
    while !rest.is_empty() {
        let end = out.len() + PACKET_LEN;
        let flags = 0x10 | u8::try_from(counter % 16).unwrap_or(0);
        out.extend_from_slice(&[SYNC, high | if first { 0x40 } else { 0 }, low, flags]);
        if first {
            out.push(0);
        }
        let (chunk, tail) = rest.split_at(rest.len().min(if first { ROOM_FIRST } else { ROOM }));
        out.extend_from_slice(chunk);
        out.resize(end, 0xff);
        (rest, first, counter) = (tail, false, counter.wrapping_add(1));
    }
}
