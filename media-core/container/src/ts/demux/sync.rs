//! Finds packets in bytes that were cut anywhere.

use super::super::wire::{PACKET_LEN, SYNC};

/// Distances of packets: plain, M2TS (a time in front of each), with Reed-Solomon parity behind each.
const STRIDES: [usize; 3] = [PACKET_LEN, M2TS_LEN, 204];
const M2TS_LEN: usize = PACKET_LEN + M2TS_TIME_LEN;
/// Bytes of the time in front of an M2TS packet.
const M2TS_TIME_LEN: usize = 4;

/// Where packets begin.
#[derive(Debug, Default)]
pub(super) struct Sync {
    /// Distance of packets while in step.
    stride: Option<usize>,
    /// Bytes up to the next packet.
    gap: usize,
    /// Bytes passed over when a sync byte was not where it had to be.
    lost_at: Option<u64>,
    /// Bytes passed over in search of a packet.
    pub(super) skipped_bytes: u64,
}

impl Sync {
    /// In step: a packet begins with the next bytes, or behind the gap.
    pub(super) fn locked(&self) -> bool {
        self.stride.is_some()
    }

    /// From one packet to the next, while in step.
    pub(super) fn stride(&self) -> Option<usize> {
        self.stride
    }

    /// Forgets where packets begin.
    pub(super) fn reset(&mut self) {
        (self.stride, self.gap) = (None, 0);
    }

    /// Whether the sync was lost in front of the packet just taken; if so, whether bytes are missing or too
    /// many, so that the packet before it is in doubt as well.
    pub(super) fn take_lost(&mut self) -> Option<bool> {
        let passed = self.skipped_bytes - self.lost_at.take()?;
        Some(self.stride.is_none_or(|stride| !passed.is_multiple_of(stride as u64)))
    }

    /// Takes the next packet from the front of `data`; `None` when that needs more bytes, and then less than
    /// three packets are left. With `end` no more bytes come.
    pub(super) fn next<'a>(&mut self, data: &mut &'a [u8], end: bool) -> Option<&'a [u8; PACKET_LEN]> {
        loop {
            let Some(stride) = self.stride else {
                self.stride = Some(self.lock(data, end)?);
                continue;
            };
            let (gap, rest) = data.split_at(self.gap.min(data.len()));
            (self.gap, *data) = (self.gap - gap.len(), rest);
            if *rest.first()? != SYNC {
                self.lost_at.get_or_insert(self.skipped_bytes);
                self.reset();
                continue;
            }
            let (packet, rest) = rest.split_first_chunk()?;
            (self.gap, *data) = (stride - PACKET_LEN, rest);
            return Some(packet);
        }
    }

    /// Moves `data` to a packet with two more behind it, and tells their distance.
    fn lock(&mut self, data: &mut &[u8], end: bool) -> Option<usize> {
        while let Some(at) = data.iter().position(|&byte| byte == SYNC) {
            self.skip(data, at);
            let mut wait = false;
            for stride in STRIDES {
                match in_step(data, stride) {
                    Some(true) if stride == M2TS_LEN => match behind_time(data) {
                        None if !end => wait = true,
                        shift => {
                            self.skip(data, shift.unwrap_or(0));
                            return Some(stride);
                        }
                    },
                    Some(true) => return Some(stride),
                    None if end && data.len() >= PACKET_LEN => return Some(stride),
                    None => wait = true,
                    Some(false) => (),
                }
            }
            if wait && !end {
                return None;
            }
            self.skip(data, 1);
        }
        self.skip(data, data.len());
        None
    }

    fn skip(&mut self, data: &mut &[u8], len: usize) {
        *data = data.get(len..).unwrap_or_default();
        self.skipped_bytes += len as u64;
    }
}

/// Whether two more sync bytes follow in this distance; `None` when that cannot be told yet.
fn in_step(data: &[u8], stride: usize) -> Option<bool> {
    let sync = |at: usize| data.get(at).map(|byte| *byte == SYNC);
    match (sync(stride), sync(2 * stride)) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

/// How far to go on from what may be a byte of an M2TS time, which looks like a sync byte for as long as it
/// stays: half a second for the first one. In a packet no such byte is in these places.
fn behind_time(data: &[u8]) -> Option<usize> {
    for shift in [M2TS_TIME_LEN, M2TS_TIME_LEN - 1] {
        let behind = data.get(shift..)?;
        if *behind.first()? == SYNC && in_step(behind, M2TS_LEN)? {
            return Some(shift);
        }
    }
    Some(0)
}
