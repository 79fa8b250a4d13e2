//! Which services carry captions, learnt from the pairs of a stream.
//!
//! Spec: CEA-608 §8.4 (modes of the channels), CEA-708 §5.2 (caption channel packets), §6.2 (service blocks).

use super::{Pair, Service};

/// Longest packet of caption channel data: a size code of 0 stands for it.
const PACKET_BYTES_MAX: usize = 128;

/// Watches a stream's captions. State machine; bounded.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    fields: [Field; 2],
    packet: Vec<u8>,
    /// Length that the open packet's header states; 0 when there is none.
    wanted: usize,
    /// Bit n: CC n.
    cc: u8,
    /// Bit n: service n.
    dtvcc: u64,
}

/// One field of line 21.
#[derive(Debug, Clone, Copy, Default)]
struct Field {
    /// Channel that text goes to, 1 or 2; 0 when it is no caption (text mode, data services, nothing yet).
    channel: u8,
}

impl Seen {
    /// Takes a pair in the order of transmission; whether a service has been seen for the first time.
    pub fn push(&mut self, pair: Pair) -> bool {
        let before = (self.cc, self.dtvcc);
        match pair {
            Pair::Line21 { field, bytes } if bytes.iter().all(|b| b.count_ones() % 2 == 1) => {
                self.line21(field, bytes.map(|b| b & 0x7f));
            }
            Pair::Line21 { .. } => {}
            Pair::Dtvcc { start, bytes } => self.packet(start, bytes),
        }
        before != (self.cc, self.dtvcc)
    }

    /// The services that have carried something, CEA-608 first.
    pub fn services(&self) -> impl Iterator<Item = Service> {
        let (cc, dtvcc) = (self.cc, self.dtvcc);
        let old = (1..=4u8).filter(move |n| cc >> n & 1 == 1).map(Service::Cc);
        old.chain((1..=63u8).filter(move |n| dtvcc >> n & 1 == 1).map(Service::Dtvcc))
    }

    fn line21(&mut self, nth: u8, [first, second]: [u8; 2]) {
        let Some(field) = self.fields.get_mut(usize::from(nth)) else { return };
        match (first, second) {
            // Loads, rolls up or paints captions: what follows is for a channel.
            (0x14 | 0x15 | 0x1c | 0x1d, 0x20 | 0x25..=0x27 | 0x29) => field.channel = 1 + (first >> 3 & 1),
            // Text mode.
            (0x14 | 0x15 | 0x1c | 0x1d, 0x2a | 0x2b) => field.channel = 0,
            // Extended data services.
            (0x01..=0x0f, _) => field.channel = 0,
            (0x20..=0x7f, _) if field.channel > 0 => self.cc |= 1 << (2 * nth + field.channel),
            _ => {}
        }
    }

    fn packet(&mut self, start: bool, bytes: [u8; 2]) {
        if start {
            self.packet.clear();
            let code = usize::from(bytes[0] & 0x3f);
            self.wanted = if code == 0 { PACKET_BYTES_MAX } else { 2 * code };
        }
        if self.wanted == 0 {
            return;
        }
        self.packet.extend_from_slice(&bytes);
        if self.packet.len() >= self.wanted {
            self.dtvcc |= services(self.packet.get(1..self.wanted).unwrap_or_default());
            self.wanted = 0;
        }
    }
}

/// The services that have a block with something in it, as bits.
fn services(mut blocks: &[u8]) -> u64 {
    let mut seen = 0;
    while let Some((&head, rest)) = blocks.split_first() {
        let (mut service, size) = (head >> 5, usize::from(head & 0x1f));
        let mut rest = rest;
        if service == 7 && size > 0 {
            let Some((&extended, behind)) = rest.split_first() else { break };
            (service, rest) = (extended & 0x3f, behind);
        }
        // A null block is the last; a block that reaches past the packet is damage.
        let Some((_, behind)) = rest.split_at_checked(size).filter(|_| service > 0) else { break };
        if size > 0 {
            seen |= 1 << service;
        }
        blocks = behind;
    }
    seen
}
