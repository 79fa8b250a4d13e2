//! Writer of splice information sections.

use bytes::Bytes;

use super::{BreakDuration, TABLE_ID, TIME_MASK};
use crate::ts::crc;

/// A `splice_insert` to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewInsert {
    /// Of the splice event: the return bears the number of the departure.
    pub event_id: u32,
    /// Out of the network; `false`: back into it.
    pub out_of_network: bool,
    /// When, in 90 kHz ticks; 33 bits of it are sent. `None`: at once.
    pub pts: Option<u64>,
    /// How long the break lasts; ticks beyond 33 bits are cut off.
    pub duration: Option<BreakDuration>,
}

/// The whole section, with its CRC.
///
/// Spec: ANSI/SCTE 35 2023 §9.6, §9.7.3.
#[must_use]
pub fn splice_insert(new: &NewInsert) -> Bytes {
    let mut command = new.event_id.to_be_bytes().to_vec();
    // Not cancelled; the whole program; the event's identifier complies (2020 and later), the rest is reserved.
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    let immediate = new.pts.is_none();
    command.push(0x7f);
    command.push(
        flag(new.out_of_network, 0x80)
            | 0x40
            | flag(new.duration.is_some(), 0x20)
            | flag(immediate, 0x10)
            | 0xf,
    );
    if let Some(pts) = new.pts {
        command.extend_from_slice(&ticks(pts, 0xfe));
    }
    if let Some(duration) = new.duration {
        let reserved = if duration.auto_return { 0xfe } else { 0x7e };
        command.extend_from_slice(&ticks(duration.duration_90k, reserved));
    }
    // Program 1, no avails.
    command.extend_from_slice(&[0, 1, 0, 0]);
    // At most 20 bytes of command: both lengths fit one byte.
    let command_len = u8::try_from(command.len()).unwrap_or(0);
    // Everything behind the length: protocol to command type, command, no descriptors, CRC.
    let mut section = vec![TABLE_ID, 0x30, 11 + command_len + 2 + 4];
    section.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0xff, 0xf0, command_len, 5]);
    section.extend_from_slice(&command);
    section.extend_from_slice(&[0, 0]);
    section.extend_from_slice(&crc(&section).to_be_bytes());
    section.into()
}

/// 33 bits behind seven others.
fn ticks(ticks: u64, head: u8) -> [u8; 5] {
    let [_, _, _, high, rest @ ..] = (ticks & TIME_MASK).to_be_bytes();
    let [a, b, c, d] = rest;
    [head | high, a, b, c, d]
}
