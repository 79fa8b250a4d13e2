//! Numbers and the checksum that both directions share.
//!
//! Spec: ISO/IEC 13818-1 table 2-34 (stream types), table 2-45 (descriptors), annex B (CRC); ATSC A/53-3 and
//! A/52 for Dolby, ETSI EN 300 468 for the DVB descriptors.

/// Bytes of a transport packet.
pub const PACKET_LEN: usize = 188;
/// First byte of a packet.
pub(crate) const SYNC: u8 = 0x47;
/// Packets that fill up the rate; in a PMT "there is no PCR".
pub(crate) const NULL_PID: u16 = 0x1fff;

pub(crate) const TABLE_PAT: u8 = 0;
pub(crate) const TABLE_PMT: u8 = 2;

pub(crate) const TYPE_MPA1: u8 = 0x03;
pub(crate) const TYPE_MPA2: u8 = 0x04;
/// PES with private data: the descriptors tell what it is.
pub(crate) const TYPE_PRIVATE: u8 = 0x06;
pub(crate) const TYPE_ADTS: u8 = 0x0f;
pub(crate) const TYPE_LATM: u8 = 0x11;
pub(crate) const TYPE_AVC: u8 = 0x1b;
pub(crate) const TYPE_HEVC: u8 = 0x24;
pub(crate) const TYPE_AC3: u8 = 0x81;
pub(crate) const TYPE_SCTE35: u8 = 0x86;
pub(crate) const TYPE_EAC3: u8 = 0x87;
/// With samples that are encrypted one by one.
pub(crate) const TYPE_ADTS_SEALED: u8 = 0xcf;
pub(crate) const TYPE_AVC_SEALED: u8 = 0xdb;

pub(crate) const DESC_REGISTRATION: u8 = 0x05;
pub(crate) const DESC_LANGUAGE: u8 = 0x0a;
pub(crate) const DESC_PRIVATE_DATA: u8 = 0x0f;
/// DVB extension; its first byte is another tag.
pub(crate) const DESC_EXTENSION: u8 = 0x7f;
/// Opus channels, inside [`DESC_EXTENSION`].
pub(crate) const DESC_EXT_OPUS: u8 = 0x80;

/// Registered format identifiers.
pub(crate) const ID_AC3: [u8; 4] = *b"AC-3";
pub(crate) const ID_EAC3: [u8; 4] = *b"EAC3";
pub(crate) const ID_OPUS: [u8; 4] = *b"Opus";

/// CRC-32 of MPEG-2: polynomial 0x04c11db7, not reflected, no final inversion. 0 over a section that ends
/// with its own CRC.
pub(crate) fn crc(data: &[u8]) -> u32 {
    data.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ (u32::from(byte) << 24), |crc, _| {
            let carry = crc & 0x8000_0000 != 0;
            (crc << 1) ^ if carry { 0x04c1_1db7 } else { 0 }
        })
    })
}
