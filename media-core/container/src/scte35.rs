//! SCTE 35 splice information: where advertisements begin and end.
//!
//! Spec: ANSI/SCTE 35 2023 §9 (section), §9.7 (commands), §10 (descriptors).

use bytes::Bytes;

use crate::ts::crc;

mod encode;

pub use encode::{NewInsert, splice_insert};

/// `table_id` of a splice information section.
pub const TABLE_ID: u8 = 0xfc;
/// Longest section that is taken, in bytes.
pub const SECTION_BYTES_MAX: usize = 4096;

const DESCRIPTOR_SEGMENTATION: u8 = 2;
const CUEI: [u8; 4] = *b"CUEI";
/// Length of a command that an old encoder left open.
const LENGTH_UNKNOWN: u16 = 0xfff;
/// 33 bits of ticks.
const TIME_MASK: u64 = (1 << 33) - 1;
/// 40 bits of ticks.
const DURATION_MASK: u64 = (1 << 40) - 1;

/// One splice information section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splice {
    /// The whole section, from `table_id` to the CRC: what `SCTE35-OUT`, `-IN` and `-CMD` carry (RFC 8216
    /// §4.3.2.7).
    pub raw: Bytes,
    /// Added to every time of the section, modulo 33 bits, 90 kHz ticks. [`Splice::time`] has added it.
    pub pts_adjustment: u64,
    /// What to do.
    pub command: Command,
    /// Segmentation descriptors, in order; other descriptors are in `raw` only.
    pub segmentation: Vec<Segmentation>,
}

impl Splice {
    /// When the command applies, in 90 kHz ticks of 33 bits; `None` when it is immediate or has no time.
    #[must_use]
    pub fn time(&self) -> Option<u64> {
        let time = match self.command {
            Command::Insert(Insert { action: Some(action), .. }) => action.pts,
            Command::TimeSignal { pts } => pts,
            _ => None,
        };
        time.map(|t| t.wrapping_add(self.pts_adjustment) & TIME_MASK)
    }
}

/// What a section asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// A sign of life, or only a carrier of descriptors.
    Null,
    /// Leave the network feed or come back.
    Insert(Insert),
    /// The descriptors apply at a time.
    TimeSignal {
        /// In 90 kHz ticks without the adjustment; `None`: on reception.
        pts: Option<u64>,
    },
    /// A command that is not looked into: `splice_schedule` (4), `bandwidth_reservation` (7), private (255).
    Other(u8),
}

/// A `splice_insert` (§9.7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insert {
    /// Of the splice event.
    pub event_id: u32,
    /// `None`: the event is cancelled.
    pub action: Option<InsertAction>,
}

/// What a `splice_insert` that is not cancelled does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InsertAction {
    /// Out of the network (a break begins); `false`: back into it.
    pub out_of_network: bool,
    /// At the nearest opportunity; no time is given.
    pub immediate: bool,
    /// In 90 kHz ticks without the adjustment. Of the first component in component mode.
    pub pts: Option<u64>,
    /// How long the break lasts.
    pub duration: Option<BreakDuration>,
    /// Of the program inside its service.
    pub unique_program_id: u16,
    /// This avail within the event; 0 when not used.
    pub avail_num: u8,
    /// Avails in the event; 0 when not used.
    pub avails_expected: u8,
}

/// A `break_duration` (§9.8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakDuration {
    /// The break ends by itself after this time.
    pub auto_return: bool,
    /// In 90 kHz ticks.
    pub duration_90k: u64,
}

/// A `segmentation_descriptor` (§10.3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segmentation {
    /// Of the segmentation event.
    pub event_id: u32,
    /// `None`: the event is cancelled.
    pub segment: Option<Segment>,
}

/// What a segmentation descriptor that is not cancelled says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// `segmentation_type_id` (table 23): 0x34 and 0x35 begin and end a provider placement opportunity.
    pub type_id: u8,
    /// In 90 kHz ticks.
    pub duration_90k: Option<u64>,
    /// `segmentation_upid_type` (table 22).
    pub upid_type: u8,
    /// The identifier itself; shares the memory of the section.
    pub upid: Bytes,
    /// This segment; 0 when not used.
    pub num: u8,
    /// Segments in the event; 0 when not used.
    pub expected: u8,
}

/// The bytes are not a splice information section that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpliceError {
    /// A field reaches past its end.
    #[error("splice section ends early: {needed} bytes needed for {field}, {got} left")]
    Truncated {
        /// Which field.
        field: &'static str,
        /// Bytes that it asks for.
        needed: usize,
        /// Bytes that are left.
        got: usize,
    },
    /// Another table.
    #[error("table id {0:#04x} is no splice information section (0xfc)")]
    TableId(u8),
    /// The section states more than [`SECTION_BYTES_MAX`] or is not as long as it states.
    #[error("splice section states {stated} bytes, there are {got}; at most 4096 are taken")]
    Length {
        /// By its length field.
        stated: usize,
        /// Bytes handed in.
        got: usize,
    },
    /// The checksum does not match: bytes were damaged on the way.
    #[error("splice section has a wrong CRC")]
    Crc,
    /// A protocol of the future.
    #[error("splice section of protocol version {0}, only 0 is known")]
    Protocol(u8),
    /// The command is encrypted; ask the sender to switch it off.
    #[error("splice section is encrypted with algorithm {algorithm}; send it in the clear")]
    Encrypted {
        /// `encryption_algorithm` (table 27).
        algorithm: u8,
    },
    /// Where the command ends is not said, and it is not one whose end is known.
    #[error("splice command {0} does not state its length")]
    OpenLength(u8),
}

/// Reads one whole section. `raw` of the result is `section` itself, not a copy.
///
/// Work and memory are bounded by the size of the section, at most [`SECTION_BYTES_MAX`].
///
/// # Errors
///
/// [`SpliceError`].
///
/// Spec: ANSI/SCTE 35 2023 §9.6.
pub fn parse(section: &Bytes) -> Result<Splice, SpliceError> {
    let mut head = Cursor { bytes: section };
    let [table_id] = head.take("table_id")?;
    if table_id != TABLE_ID {
        return Err(SpliceError::TableId(table_id));
    }
    let stated = 3 + usize::from(u16::from_be_bytes(head.take("section_length")?) & 0xfff);
    if stated != section.len() || stated > SECTION_BYTES_MAX {
        return Err(SpliceError::Length { stated, got: section.len() });
    }
    if crc(section) != 0 {
        return Err(SpliceError::Crc);
    }
    let mut body = head.slice("body", head.bytes.len().saturating_sub(4))?;
    let [protocol] = body.take("protocol_version")?;
    if protocol != 0 {
        return Err(SpliceError::Protocol(protocol));
    }
    let [flags, adjustment @ ..] = body.take::<5>("pts_adjustment")?;
    if flags & 0x80 != 0 {
        return Err(SpliceError::Encrypted { algorithm: (flags >> 1) & 0x3f });
    }
    let pts_adjustment = (u64::from(flags & 1) << 32) | u64::from(u32::from_be_bytes(adjustment));
    let [_cw_index, _tier, tier_length, length, kind] = body.take::<5>("splice_command_length")?;
    let length = u16::from_be_bytes([tier_length & 0xf, length]);
    let command = if length == LENGTH_UNKNOWN {
        command(kind, &mut body, true)?
    } else {
        command(kind, &mut body.slice("splice_command", length.into())?, false)?
    };
    let length = u16::from_be_bytes(body.take("descriptor_loop_length")?);
    let descriptors = body.slice("descriptors", length.into())?;
    let segmentation = segmentations(section, descriptors)?;
    Ok(Splice { raw: section.clone(), pts_adjustment, command, segmentation })
}

/// Reads a command; with `open` its end is not known beforehand.
fn command(kind: u8, body: &mut Cursor<'_>, open: bool) -> Result<Command, SpliceError> {
    match kind {
        0 => Ok(Command::Null),
        5 => Ok(Command::Insert(insert(body)?)),
        6 => Ok(Command::TimeSignal { pts: splice_time(body)? }),
        _ if open => Err(SpliceError::OpenLength(kind)),
        _ => Ok(Command::Other(kind)),
    }
}

fn insert(body: &mut Cursor<'_>) -> Result<Insert, SpliceError> {
    let event_id = u32::from_be_bytes(body.take("splice_event_id")?);
    let [cancel] = body.take("splice_event_cancel_indicator")?;
    if cancel & 0x80 != 0 {
        return Ok(Insert { event_id, action: None });
    }
    let [flags] = body.take("splice flags")?;
    let [out_of_network, whole_program, with_duration, immediate] =
        [0x80, 0x40, 0x20, 0x10].map(|bit| flags & bit != 0);
    let mut pts = None;
    if whole_program {
        if !immediate {
            pts = splice_time(body)?;
        }
    } else {
        let [components] = body.take("component_count")?;
        for _ in 0..components {
            body.take::<1>("component_tag")?;
            if !immediate {
                let time = splice_time(body)?;
                pts = pts.or(time);
            }
        }
    }
    let duration = if with_duration { Some(break_duration(body)?) } else { None };
    let unique_program_id = u16::from_be_bytes(body.take("unique_program_id")?);
    let [avail_num, avails_expected] = body.take("avail_num")?;
    let action = InsertAction {
        out_of_network,
        immediate,
        pts,
        duration,
        unique_program_id,
        avail_num,
        avails_expected,
    };
    Ok(Insert { event_id, action: Some(action) })
}

/// `splice_time()` (§9.8.1).
fn splice_time(body: &mut Cursor<'_>) -> Result<Option<u64>, SpliceError> {
    let [flags] = body.take("splice_time")?;
    if flags & 0x80 == 0 {
        return Ok(None);
    }
    let low = u32::from_be_bytes(body.take("pts_time")?);
    Ok(Some((u64::from(flags & 1) << 32) | u64::from(low)))
}

fn break_duration(body: &mut Cursor<'_>) -> Result<BreakDuration, SpliceError> {
    let [flags, low @ ..] = body.take::<5>("break_duration")?;
    let duration_90k = (u64::from(flags & 1) << 32) | u64::from(u32::from_be_bytes(low));
    Ok(BreakDuration { auto_return: flags & 0x80 != 0, duration_90k })
}

fn segmentations(section: &Bytes, mut list: Cursor<'_>) -> Result<Vec<Segmentation>, SpliceError> {
    let mut found = Vec::new();
    while !list.bytes.is_empty() {
        let [tag, length] = list.take("splice_descriptor")?;
        let mut body = list.slice("splice_descriptor", length.into())?;
        if tag == DESCRIPTOR_SEGMENTATION && body.bytes.starts_with(&CUEI) {
            body.take::<4>("identifier")?;
            found.push(segmentation(section, &mut body)?);
        }
    }
    Ok(found)
}

fn segmentation(section: &Bytes, body: &mut Cursor<'_>) -> Result<Segmentation, SpliceError> {
    let event_id = u32::from_be_bytes(body.take("segmentation_event_id")?);
    let [cancel] = body.take("segmentation_event_cancel_indicator")?;
    if cancel & 0x80 != 0 {
        return Ok(Segmentation { event_id, segment: None });
    }
    let [flags] = body.take("segmentation flags")?;
    if flags & 0x80 == 0 {
        let [components] = body.take("component_count")?;
        // A tag and a 33-bit offset each.
        body.slice("components", 6 * usize::from(components))?;
    }
    let mut duration_90k = None;
    if flags & 0x40 != 0 {
        let [high, low @ ..] = body.take::<5>("segmentation_duration")?;
        let ticks = (u64::from(high) << 32) | u64::from(u32::from_be_bytes(low));
        duration_90k = Some(ticks & DURATION_MASK);
    }
    let [upid_type, upid_length] = body.take("segmentation_upid")?;
    let upid = section.slice_ref(body.slice("segmentation_upid", upid_length.into())?.bytes);
    // Sub-segments may follow; who needs them reads the raw section.
    let [type_id, num, expected] = body.take("segmentation_type_id")?;
    let segment = Segment { type_id, duration_90k, upid_type, upid, num, expected };
    Ok(Segmentation { event_id, segment: Some(segment) })
}

/// What is left of a section or a part of it.
struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], SpliceError> {
        let got = self.bytes.len();
        let (taken, rest) =
            self.bytes.split_first_chunk::<N>().ok_or(SpliceError::Truncated { field, needed: N, got })?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn slice(&mut self, field: &'static str, needed: usize) -> Result<Self, SpliceError> {
        let got = self.bytes.len();
        let (bytes, rest) =
            self.bytes.split_at_checked(needed).ok_or(SpliceError::Truncated { field, needed, got })?;
        self.bytes = rest;
        Ok(Cursor { bytes })
    }
}

#[cfg(test)]
pub(crate) mod tests;
