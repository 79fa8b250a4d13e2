//! Program tables: which packet id carries what.
//!
//! Spec: ISO/IEC 13818-1 §2.4.4.3 (PAT), §2.4.4.8 (PMT), annex B (CRC).

use super::{AUDIO_PID, PACKET_LEN, PMT_PID, VIDEO_PID};

const PROGRAM: u16 = 1;
/// Stream types of H.264 and of AAC in ADTS (table 2-34).
const TYPE_AVC: u8 = 0x1b;
const TYPE_ADTS: u8 = 0x0f;
/// "There is no PCR."
const NO_PID: u16 = 0x1fff;

/// Appends one packet with the PAT and one with the PMT.
pub(super) fn write(out: &mut Vec<u8>, video: bool, audio: bool, number: u64) {
    let counter = u8::try_from(number % 16).unwrap_or(0);
    let mut pat = PROGRAM.to_be_bytes().to_vec();
    pat.extend_from_slice(&(0xe000 | PMT_PID).to_be_bytes());
    packet(out, 0, counter, &section(0, 1, &pat));

    let pcr = match (video, audio) {
        (true, _) => VIDEO_PID,
        (false, true) => AUDIO_PID,
        (false, false) => NO_PID,
    };
    let mut pmt = (0xe000 | pcr).to_be_bytes().to_vec();
    pmt.extend_from_slice(&[0xf0, 0]);
    for (present, stream_type, pid) in [(video, TYPE_AVC, VIDEO_PID), (audio, TYPE_ADTS, AUDIO_PID)] {
        if present {
            pmt.push(stream_type);
            pmt.extend_from_slice(&(0xe000 | pid).to_be_bytes());
            pmt.extend_from_slice(&[0xf0, 0]);
        }
    }
    packet(out, PMT_PID, counter, &section(2, PROGRAM, &pmt));
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

/// CRC-32 of MPEG-2: polynomial 0x04c11db7, not reflected, no final inversion.
pub(super) fn crc(data: &[u8]) -> u32 {
    data.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ (u32::from(byte) << 24), |crc, _| {
            let carry = crc & 0x8000_0000 != 0;
            (crc << 1) ^ if carry { 0x04c1_1db7 } else { 0 }
        })
    })
}

/// One packet: pointer field 0, the section, stuffing.
fn packet(out: &mut Vec<u8>, pid: u16, counter: u8, section: &[u8]) {
    let end = out.len() + PACKET_LEN;
    let [high, low] = pid.to_be_bytes();
    out.extend_from_slice(&[0x47, 0x40 | high, low, 0x10 | counter, 0]);
    out.extend_from_slice(section);
    out.resize(end, 0xff);
}
