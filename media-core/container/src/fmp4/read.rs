//! Strict reader of the fragments that [`fragment`](super::fragment) writes.

use bytes::Bytes;
use nx_media::Sample;

use super::{
    FLAG_NON_SYNC, FLAGS_KEY, TFHD_BASE_IS_MOOF, TFHD_DEFAULT_DURATION, TFHD_DEFAULT_FLAGS, TRACK_ID,
    TRUN_CTS, TRUN_DATA_OFFSET, TRUN_DURATION, TRUN_FLAGS, TRUN_SIZE,
};

const BOX_LEN: usize = 8;
const TFHD_KNOWN: u32 = TFHD_BASE_IS_MOOF | TFHD_DEFAULT_DURATION | TFHD_DEFAULT_FLAGS;
const TRUN_NEEDED: u32 = TRUN_DATA_OFFSET | TRUN_SIZE;
const TRUN_KNOWN: u32 = TRUN_NEEDED | TRUN_DURATION | TRUN_FLAGS | TRUN_CTS;
/// What an encrypted fragment has behind its entries (`nx-crypt`); the bytes of its samples are then encrypted.
const PROTECTION: &[[u8; 4]] = &[*b"senc", *b"saiz", *b"saio", *b"sgpd", *b"sbgp"];

/// The bytes are not fragments of ours. Stored media is damaged, or it is of another maker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Fewer bytes than a field or a box asks for.
    #[error("fragment ends early: {needed} bytes needed at offset {offset}, {got} left")]
    Truncated {
        /// Where the read began, in bytes.
        offset: usize,
        /// Bytes that the field asks for.
        needed: usize,
        /// Bytes that are left.
        got: usize,
    },
    /// Another box than the one that must be here.
    #[error("box {} expected at offset {offset}, got {}", expected.escape_ascii(), got.escape_ascii())]
    Box {
        /// Where the box begins, in bytes.
        offset: usize,
        /// Its type.
        expected: [u8; 4],
        /// The type that was found.
        got: [u8; 4],
    },
    /// A field holds another number than it must.
    #[error("{field} at offset {offset} must be {expected}, is {got}")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// Where the field, or the box that it sums up, ends, in bytes.
        offset: usize,
        /// The only allowed number; for flags the bits that may be set.
        expected: u64,
        /// The number that was found.
        got: u64,
    },
    /// A time beyond signed 64 bits.
    #[error("sample time at offset {offset} is out of range")]
    Time {
        /// Where the sample's entry ends, in bytes.
        offset: usize,
    },
}

/// Reads the samples of one fragment or of several one after the other (a segment from its parts). Event messages
/// between them are passed over.
///
/// Payloads share the memory of `fragments`. Every `duration` is `Some`. Samples of one fragment follow
/// each other without a gap; between two fragments nothing is checked. Work and memory are bounded by the
/// size of the input.
///
/// # Errors
///
/// [`ReadError`] on anything that [`fragment`](super::fragment) would not write.
pub fn samples(fragments: &Bytes) -> Result<Vec<Sample>, ReadError> {
    let mut cursor = Cursor { data: fragments, at: 0 };
    let mut samples = Vec::new();
    while cursor.at < fragments.len() {
        one(&mut cursor, &mut samples)?;
    }
    Ok(samples)
}

/// A fragment without its media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Decode time of the first sample, in the track's timescale.
    pub dts: i64,
    /// Its samples in decode order, whose bytes follow each other.
    pub samples: Vec<Entry>,
}

/// What a fragment says of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Bytes.
    pub size: u32,
    /// In the track's timescale.
    pub duration: u32,
    /// Presentation less decode time, in the track's timescale.
    pub offset: i32,
    /// Decoding can start with it.
    pub key: bool,
}

/// What [`header`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    /// A fragment; its media begins at this many bytes, and it ends at that many.
    Whole(Fragment, usize, usize),
    /// So many bytes from the beginning are needed to read the header.
    Needs(usize),
}

/// Reads the header of a fragment, which may be cut off behind it, without its media.
///
/// # Errors
///
/// [`ReadError`] on anything that [`fragment`](super::fragment) would not write.
pub fn header(start: &Bytes) -> Result<Header, ReadError> {
    let mut at = 0;
    loop {
        let Some(head) = start.get(at..at + BOX_LEN) else { return Ok(Header::Needs(at + BOX_LEN)) };
        let (len, kind) = head.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
        let len = u32::from_be_bytes(*len) as usize;
        let end = at.checked_add(len.max(BOX_LEN)).ok_or(ReadError::Time { offset: at })?;
        match kind {
            b"prft" | b"emsg" => at = end,
            _ if start.len() < end + BOX_LEN => return Ok(Header::Needs(end + BOX_LEN)),
            _ => break,
        }
    }
    let mut cursor = Cursor { data: start, at };
    let moof = moof(&mut cursor)?;
    let media = cursor.at + BOX_LEN;
    let len = cursor.u32()? as usize;
    let mut entry = Cursor { data: start, at: moof.entries };
    let mut samples = Vec::new();
    while entry.at < moof.entries_end {
        samples.push(sample(&mut entry, moof.flags, &moof.defaults)?);
    }
    let end = (media - BOX_LEN).checked_add(len).ok_or(ReadError::Time { offset: media })?;
    Ok(Header::Whole(Fragment { dts: moof.base, samples }, media, end))
}

/// Defaults of a `tfhd`.
struct Defaults {
    duration: Option<u32>,
    flags: u32,
}

/// A `moof`: where its entries are, and what they are relative to.
struct Moof {
    base: i64,
    flags: u32,
    defaults: Defaults,
    entries: usize,
    entries_end: usize,
}

fn moof(cursor: &mut Cursor<'_>) -> Result<Moof, ReadError> {
    let start = cursor.at;
    let moof_end = cursor.open(*b"moof")?;
    let end = cursor.open(*b"mfhd")?;
    cursor.expect("mfhd version and flags", 0)?;
    cursor.u32()?;
    cursor.close("mfhd size", end)?;
    let traf_end = cursor.open(*b"traf")?;
    let defaults = tfhd(cursor)?;
    let end = cursor.open(*b"tfdt")?;
    cursor.expect("tfdt version and flags", 1 << 24)?;
    let base = cursor.u64()?;
    cursor.close("tfdt size", end)?;
    let trun_end = cursor.open(*b"trun")?;
    let (flags, count) = trun_head(cursor, moof_end - start)?;
    let entries = cursor.at;
    let entry_len = 4 * u64::from((flags >> 8).count_ones());
    let needed = u64::from(count) * entry_len;
    cursor.same("trun size", needed, trun_end.saturating_sub(entries) as u64)?;
    cursor.at = trun_end;
    cursor.pass(PROTECTION)?;
    cursor.close("traf size", traf_end)?;
    cursor.close("moof size", moof_end)?;
    let base = i64::try_from(base).map_err(|_| ReadError::Time { offset: entries })?;
    Ok(Moof { base, flags, defaults, entries, entries_end: trun_end })
}

fn one(cursor: &mut Cursor<'_>, samples: &mut Vec<Sample>) -> Result<(), ReadError> {
    cursor.pass(&[*b"prft", *b"emsg"])?;
    let Moof { base: mut dts, flags, defaults, entries, entries_end } = moof(cursor)?;
    let mdat_end = cursor.open(*b"mdat")?;
    let mut entry = Cursor { data: cursor.data, at: entries };
    while entry.at < entries_end {
        let Entry { size, duration, offset, key } = sample(&mut entry, flags, &defaults)?;
        let beyond = ReadError::Time { offset: entry.at };
        let pts = dts.checked_add(offset.into()).ok_or_else(|| beyond.clone())?;
        samples.push(Sample {
            dts,
            pts,
            duration: Some(duration),
            key,
            payload: cursor.bytes(size as usize)?,
        });
        dts = dts.checked_add(duration.into()).ok_or(beyond)?;
    }
    cursor.close("mdat size", mdat_end)
}

fn tfhd(cursor: &mut Cursor<'_>) -> Result<Defaults, ReadError> {
    let end = cursor.open(*b"tfhd")?;
    let flags = cursor.u32()?;
    let wanted = (flags & TFHD_KNOWN) | TFHD_BASE_IS_MOOF;
    cursor.same("tfhd version and flags", wanted.into(), flags.into())?;
    cursor.expect("track id", TRACK_ID)?;
    let duration = if flags & TFHD_DEFAULT_DURATION != 0 { Some(cursor.u32()?) } else { None };
    let flags = if flags & TFHD_DEFAULT_FLAGS != 0 { cursor.u32()? } else { FLAGS_KEY };
    cursor.close("tfhd size", end)?;
    Ok(Defaults { duration, flags })
}

/// Flags and sample count; the cursor is then at the first entry.
fn trun_head(cursor: &mut Cursor<'_>, moof_len: usize) -> Result<(u32, u32), ReadError> {
    let flags = cursor.u32()?;
    let wanted = (flags & TRUN_KNOWN) | TRUN_NEEDED | (1 << 24);
    cursor.same("trun version and flags", wanted.into(), flags.into())?;
    let flags = flags & TRUN_KNOWN;
    let count = cursor.u32()?;
    if count == 0 {
        cursor.same("sample count", 1, 0)?;
    }
    let data_offset = cursor.u32()?;
    cursor.same("data offset", (moof_len + BOX_LEN) as u64, data_offset.into())?;
    Ok((flags, count))
}

/// One entry of the `trun`.
fn sample(entry: &mut Cursor<'_>, trun_flags: u32, defaults: &Defaults) -> Result<Entry, ReadError> {
    let has = |flag| trun_flags & flag != 0;
    let duration = if has(TRUN_DURATION) { Some(entry.u32()?) } else { defaults.duration };
    let size = entry.u32()?;
    let flags = if has(TRUN_FLAGS) { entry.u32()? } else { defaults.flags };
    let offset = if has(TRUN_CTS) { i32::from_be_bytes(entry.take()?) } else { 0 };
    let untold = ReadError::Field {
        field: "flag of a duration",
        offset: entry.at,
        expected: u64::from(TRUN_DURATION),
        got: 0,
    };
    Ok(Entry { size, duration: duration.ok_or(untold)?, offset, key: flags & FLAG_NON_SYNC == 0 })
}

struct Cursor<'a> {
    data: &'a Bytes,
    at: usize,
}

impl Cursor<'_> {
    fn short(&self, needed: usize) -> ReadError {
        ReadError::Truncated { offset: self.at, needed, got: self.data.len().saturating_sub(self.at) }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let bytes = self.data.get(self.at..).and_then(|rest| rest.first_chunk());
        let bytes = *bytes.ok_or_else(|| self.short(N))?;
        self.at += N;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, ReadError> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, ReadError> {
        self.take().map(u64::from_be_bytes)
    }

    fn bytes(&mut self, len: usize) -> Result<Bytes, ReadError> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.data.len());
        let end = end.ok_or_else(|| self.short(len))?;
        let bytes = self.data.slice(self.at..end);
        self.at = end;
        Ok(bytes)
    }

    /// Reads the header of a box that must be of type `expected`; returns where it ends, within the data.
    fn open(&mut self, expected: [u8; 4]) -> Result<usize, ReadError> {
        let offset = self.at;
        let len = self.u32()? as usize;
        let got = self.take()?;
        if got != expected {
            return Err(ReadError::Box { offset, expected, got });
        }
        let end = offset.checked_add(len).filter(|end| *end >= self.at && *end <= self.data.len());
        end.ok_or(ReadError::Truncated { offset, needed: len, got: self.data.len() - offset })
    }

    /// Goes past boxes of these types, as many as there are, in any order.
    fn pass(&mut self, kinds: &[[u8; 4]]) -> Result<(), ReadError> {
        let next = |c: &Self| c.data.get(c.at + 4..c.at + BOX_LEN).and_then(|kind| kind.try_into().ok());
        while let Some(kind) = next(self).filter(|kind| kinds.contains(kind)) {
            self.at = self.open(kind)?;
        }
        Ok(())
    }

    /// The cursor must be where the box ends.
    fn close(&self, field: &'static str, end: usize) -> Result<(), ReadError> {
        self.same(field, self.at as u64, end as u64)
    }

    fn expect(&mut self, field: &'static str, expected: u32) -> Result<(), ReadError> {
        let got = self.u32()?;
        self.same(field, expected.into(), got.into())
    }

    fn same(&self, field: &'static str, expected: u64, got: u64) -> Result<(), ReadError> {
        if expected == got {
            return Ok(());
        }
        Err(ReadError::Field { field, offset: self.at, expected, got })
    }
}
