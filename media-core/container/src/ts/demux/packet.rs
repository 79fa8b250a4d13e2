//! One transport packet, taken apart.
//!
//! Spec: ISO/IEC 13818-1 §2.4.3.2 to §2.4.3.5.

use super::super::wire::PACKET_LEN;

/// What a packet says and carries.
pub(super) struct Packet<'a> {
    pub(super) pid: u16,
    /// A PES packet begins with the payload, or a section begins in it.
    pub(super) start: bool,
    pub(super) scrambled: bool,
    counter: u8,
    /// There is a payload, maybe of no bytes: the counter counts this packet.
    counted: bool,
    /// The counter or the clock jumps here on purpose.
    pub(super) discontinuity: bool,
    pub(super) random_access: bool,
    /// The adaptation field was lengthened to fill the packet.
    pub(super) stuffed: bool,
    pub(super) payload: &'a [u8],
    /// Where it begins in all that was pushed.
    pub(super) at: u64,
}

impl<'a> Packet<'a> {
    /// `None` when the packet was damaged on the way or its adaptation field does not fit.
    pub(super) fn parse(packet: &'a [u8; PACKET_LEN], at: u64) -> Option<Self> {
        let [_sync, high, low, control, body @ ..] = packet;
        if high & 0x80 != 0 {
            return None;
        }
        let (field, payload) = match control & 0x30 {
            0x10 => (None, &body[..]),
            0x20 | 0x30 => {
                let (&len, rest) = body.split_first()?;
                let (field, payload) = rest.split_at_checked(len.into())?;
                (Some(field), if control & 0x10 == 0 { &[][..] } else { payload })
            }
            _ => return None,
        };
        let flags = field.and_then(|f| f.first()).copied().unwrap_or(0);
        Some(Self {
            pid: u16::from_be_bytes([high & 0x1f, *low]),
            start: high & 0x40 != 0,
            scrambled: control & 0xc0 != 0,
            counter: control & 0xf,
            counted: control & 0x10 != 0,
            discontinuity: flags & 0x80 != 0,
            random_access: flags & 0x40 != 0,
            stuffed: field.is_some_and(stuffed),
            payload,
            at,
        })
    }
}

/// Whether an adaptation field is longer than what it says. `field` is what follows the length.
fn stuffed(field: &[u8]) -> bool {
    let Some((&flags, rest)) = field.split_first() else { return true };
    if flags == 0 {
        return true;
    }
    let fixed = |bit: u8, len: usize| if flags & bit == 0 { 0 } else { len };
    let mut used = fixed(0x10, 6) + fixed(0x08, 6) + fixed(0x04, 1);
    // Private data and the extension state their own lengths.
    for bit in [0x02, 0x01] {
        if flags & bit != 0 {
            let Some(&len) = rest.get(used) else { return false };
            used += 1 + usize::from(len);
        }
    }
    used < rest.len()
}

/// How a packet follows the one before it of the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    /// The same packet again: to be ignored.
    Repeat,
    /// So many packets are missing; 0 when the jump was announced.
    Gap(u8),
}

/// Checks the continuity counter of one packet id.
#[derive(Debug, Default)]
pub(super) struct Continuity {
    last: Option<u8>,
    repeated: bool,
}

impl Continuity {
    pub(super) fn check(&mut self, packet: &Packet<'_>) -> Flow {
        if !packet.counted {
            if packet.discontinuity {
                self.last = None;
            }
            return Flow::Next;
        }
        let Some(last) = self.last.replace(packet.counter) else { return Flow::Next };
        let missing = packet.counter.wrapping_sub(last).wrapping_sub(1) & 0xf;
        // A packet may be sent twice, not three times.
        let repeat = missing == 0xf && !self.repeated && !packet.discontinuity;
        self.repeated = repeat;
        match missing {
            0 => Flow::Next,
            _ if repeat => Flow::Repeat,
            _ if packet.discontinuity => Flow::Gap(0),
            missing => Flow::Gap(missing),
        }
    }
}
