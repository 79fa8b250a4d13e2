//! Puts sections together.
//!
//! Spec: ISO/IEC 13818-1 §2.4.4.1, §2.4.4.2.

use super::super::wire::crc;
use super::Stats;
use super::packet::{Continuity, Flow, Packet};

const HEADER_LEN: usize = 3;
/// In place of a table id: only stuffing follows in this packet.
const STUFFING: u8 = 0xff;

/// The sections of one packet id.
#[derive(Debug)]
pub(super) struct Sections {
    bytes_max: usize,
    continuity: Continuity,
    /// Of the section that is open.
    data: Vec<u8>,
    /// The next payload byte belongs to a section.
    open: bool,
}

impl Sections {
    /// Takes sections of at most `bytes_max` bytes, header and CRC included.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, continuity: Continuity::default(), data: Vec::new(), open: false }
    }

    /// Gives every section that the packet completes, its CRC checked, to `each`, which tells whether it
    /// could be read.
    pub(super) fn packet(
        &mut self,
        packet: &Packet<'_>,
        stats: &mut Stats,
        mut each: impl FnMut(&[u8]) -> bool,
    ) {
        match self.continuity.check(packet) {
            Flow::Next => (),
            Flow::Repeat => return,
            Flow::Gap(lost) => {
                stats.lost_packets += u64::from(lost);
                self.close();
            }
        }
        let mut payload = packet.payload;
        if packet.start {
            let Some((&pointer, rest)) = payload.split_first() else { return };
            let Some((tail, rest)) = rest.split_at_checked(pointer.into()) else {
                stats.bad_sections += 1;
                return self.close();
            };
            self.feed(tail, stats, &mut each);
            self.close();
            self.open = true;
            payload = rest;
        }
        self.feed(payload, stats, &mut each);
    }

    fn close(&mut self) {
        self.data.clear();
        self.open = false;
    }

    fn feed(&mut self, mut bytes: &[u8], stats: &mut Stats, each: &mut impl FnMut(&[u8]) -> bool) {
        while self.open && !bytes.is_empty() {
            if self.data.is_empty() && bytes.first() == Some(&STUFFING) {
                return self.close();
            }
            if self.data.len() < HEADER_LEN {
                self.take(&mut bytes, HEADER_LEN);
            }
            let Some([_, length @ ..]) = self.data.first_chunk::<HEADER_LEN>() else { return };
            let total = HEADER_LEN + usize::from(u16::from_be_bytes(*length) & 0xfff);
            if total > self.bytes_max {
                stats.bad_sections += 1;
                return self.close();
            }
            self.take(&mut bytes, total);
            if self.data.len() == total {
                if crc(&self.data) != 0 || !each(&self.data) {
                    stats.bad_sections += 1;
                }
                self.data.clear();
            }
        }
    }

    /// Moves bytes until `total` are there.
    fn take(&mut self, bytes: &mut &[u8], total: usize) {
        let (part, rest) = bytes.split_at(bytes.len().min(total.saturating_sub(self.data.len())));
        self.data.extend_from_slice(part);
        *bytes = rest;
    }
}
