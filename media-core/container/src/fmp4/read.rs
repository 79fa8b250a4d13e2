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

/// Defaults of a `tfhd`.
struct Defaults {
    duration: Option<u32>,
    flags: u32,
}

fn one(cursor: &mut Cursor<'_>, samples: &mut Vec<Sample>) -> Result<(), ReadError> {
    cursor.pass(&[*b"prft", *b"emsg"])?;
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
    cursor.close("traf size", traf_end)?;
    cursor.close("moof size", moof_end)?;
    let mdat_end = cursor.open(*b"mdat")?;
    let mut entry = Cursor { data: cursor.data, at: entries };
    let mut dts = i64::try_from(base).map_err(|_| ReadError::Time { offset: entries })?;
    samples.reserve(usize::try_from(count).unwrap_or(0));
    while entry.at < trun_end {
        let sample = sample(&mut entry, cursor, flags, &defaults, dts)?;
        let duration = i64::from(sample.duration.unwrap_or(0));
        dts = dts.checked_add(duration).ok_or(ReadError::Time { offset: entry.at })?;
        samples.push(sample);
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

/// One entry of the `trun` with its bytes from `mdat`.
fn sample(
    entry: &mut Cursor<'_>,
    mdat: &mut Cursor<'_>,
    trun_flags: u32,
    defaults: &Defaults,
    dts: i64,
) -> Result<Sample, ReadError> {
    let has = |flag| trun_flags & flag != 0;
    let duration = if has(TRUN_DURATION) { Some(entry.u32()?) } else { defaults.duration };
    let size = entry.u32()? as usize;
    let flags = if has(TRUN_FLAGS) { entry.u32()? } else { defaults.flags };
    let cts = if has(TRUN_CTS) { i32::from_be_bytes(entry.take()?) } else { 0 };
    let offset = entry.at;
    Ok(Sample {
        dts,
        pts: dts.checked_add(cts.into()).ok_or(ReadError::Time { offset })?,
        duration: Some(duration.ok_or(ReadError::Field {
            field: "flag of a duration",
            offset,
            expected: u64::from(TRUN_DURATION),
            got: 0,
        })?),
        key: flags & FLAG_NON_SYNC == 0,
        payload: mdat.bytes(size)?,
    })
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
