//! Chunk headers as they lie on the wire, before they are given a meaning.

use super::EXTENDED;

/// Longest header: basic 3, message 11, extended time 4.
pub(super) const HEADER_LEN_MAX: usize = 18;

/// Fields a header carries itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fields {
    /// Format 0.
    Full { time: u32, len: u32, kind: u8, stream_id: u32 },
    /// Format 1.
    Medium { delta: u32, len: u32, kind: u8 },
    /// Format 2.
    Short { delta: u32 },
    /// Format 3.
    Bare,
}

/// One parsed header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) csid: u32,
    pub(super) fields: Fields,
    /// The time came in 32 bits (formats 0 to 2).
    pub(super) extended: bool,
    /// Bytes the header takes, without the time a format 3 header may repeat.
    pub(super) len: usize,
}

/// Parses the header at the start of `bytes`; `None` when it is cut off.
pub(super) fn parse(bytes: &[u8]) -> Option<Header> {
    let mut rest = bytes;
    let &first = rest.split_off_first()?;
    let csid = match first & 0x3F {
        0 => 64 + u32::from(*rest.split_off_first()?),
        1 => 64 + u32::from(u16::from_le_bytes(take(&mut rest)?)),
        id => u32::from(id),
    };
    let mut fields = match first >> 6 {
        0 => Fields::Full {
            time: u24(&mut rest)?,
            len: u24(&mut rest)?,
            kind: *rest.split_off_first()?,
            stream_id: u32::from_le_bytes(take(&mut rest)?),
        },
        1 => Fields::Medium { delta: u24(&mut rest)?, len: u24(&mut rest)?, kind: *rest.split_off_first()? },
        2 => Fields::Short { delta: u24(&mut rest)? },
        _ => Fields::Bare,
    };
    let mut extended = false;
    if let Fields::Full { time, .. } | Fields::Medium { delta: time, .. } | Fields::Short { delta: time } =
        &mut fields
        && *time == EXTENDED
    {
        *time = u32::from_be_bytes(take(&mut rest)?);
        extended = true;
    }
    Some(Header { csid, fields, extended, len: bytes.len() - rest.len() })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn u24(rest: &mut &[u8]) -> Option<u32> {
    let [a, b, c] = take(rest)?;
    Some(u32::from_be_bytes([0, a, b, c]))
}
