//! Writer of event messages in front of a fragment.

use bytes::Bytes;

use super::fragment::{FULL, full, u32b};

/// SCTE 35 sections as they are (SCTE 214-3 §7.2.1, ISO/IEC 23009-1 §5.10).
pub const SCTE35_SCHEME: &str = "urn:scte:scte35:2013:bin";
/// How long the event lasts is not known.
const DURATION_UNKNOWN: u32 = u32::MAX;

/// Something that happens at a time of the track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventMessage<'a> {
    /// Ticks of `presentation_time` and `duration` in a second: the track's.
    pub timescale: u32,
    /// When, on the presentation clock of the track.
    pub presentation_time: u64,
    /// How long; `None` when nobody knows.
    pub duration: Option<u32>,
    /// The same wherever the same event is told again.
    pub id: u32,
    /// The event itself.
    pub data: &'a Bytes,
}

/// Appends an `emsg` box of version 1 with a SCTE 35 section. Nothing, when it is too long for a box.
///
/// Spec: ISO/IEC 23009-1 §5.10.3.3.
pub fn scte35_message(message: &EventMessage<'_>, out: &mut Vec<u8>) {
    // Two strings with their ends, and four numbers of which one has eight bytes.
    let fixed = usize::try_from(FULL).unwrap_or(0) + 20 + SCTE35_SCHEME.len() + 2;
    let Ok(len) = u32::try_from(fixed.saturating_add(message.data.len())) else { return };
    full(out, len, b"emsg", 1 << 24);
    u32b(out, message.timescale);
    out.extend_from_slice(&message.presentation_time.to_be_bytes());
    u32b(out, message.duration.unwrap_or(DURATION_UNKNOWN));
    u32b(out, message.id);
    out.extend_from_slice(SCTE35_SCHEME.as_bytes());
    // The end of the scheme, and an empty value.
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(message.data);
}
