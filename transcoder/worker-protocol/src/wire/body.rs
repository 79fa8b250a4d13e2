//! The fields of a frame, one after the other.

use bytes::{Buf, Bytes};

use crate::WireError;

/// What is left of a frame's body. Numbers are big-endian.
pub(crate) struct Body {
    kind: u8,
    bytes: usize,
    rest: Bytes,
}

impl Body {
    pub(crate) fn new(kind: u8, body: Bytes) -> Self {
        Self { kind, bytes: body.len(), rest: body }
    }

    pub(crate) fn form(&self) -> WireError {
        WireError::Form { kind: self.kind, bytes: self.bytes }
    }

    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        self.rest.try_get_u8().map_err(|_| self.form())
    }

    pub(crate) fn u16(&mut self) -> Result<u16, WireError> {
        self.rest.try_get_u16().map_err(|_| self.form())
    }

    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        self.rest.try_get_u32().map_err(|_| self.form())
    }

    pub(crate) fn u64(&mut self) -> Result<u64, WireError> {
        self.rest.try_get_u64().map_err(|_| self.form())
    }

    pub(crate) fn i64(&mut self) -> Result<i64, WireError> {
        self.rest.try_get_i64().map_err(|_| self.form())
    }

    /// 0 or 1.
    pub(crate) fn flag(&mut self, what: &'static str) -> Result<bool, WireError> {
        let value = self.u8()?;
        one_of(what, &[(0, false), (1, true)], value)
    }

    /// So many bytes, shared with the frame.
    pub(crate) fn take(&mut self, len: usize) -> Result<Bytes, WireError> {
        if len > self.rest.len() { Err(self.form()) } else { Ok(self.rest.split_to(len)) }
    }

    /// Bytes behind their length in 32 bits.
    pub(crate) fn counted(&mut self) -> Result<Bytes, WireError> {
        let len = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        self.take(len)
    }

    /// Text behind its length in 8 bits.
    pub(crate) fn text(&mut self, what: &'static str, max: usize) -> Result<String, WireError> {
        let len = self.u8()?;
        within(what, len.into(), 0..=u32::try_from(max).unwrap_or(u32::MAX))?;
        let bytes = self.take(len.into())?;
        String::from_utf8(bytes.into()).map_err(|_| WireError::Value { what, value: len.into() })
    }

    /// What is left.
    pub(crate) fn rest(self) -> Bytes {
        self.rest
    }

    /// Nothing may be left.
    pub(crate) fn end<T>(self, read: T) -> Result<T, WireError> {
        if self.rest.is_empty() { Ok(read) } else { Err(self.form()) }
    }
}

/// What a number stands for.
pub(crate) fn one_of<T: Copy>(what: &'static str, table: &[(u8, T)], number: u8) -> Result<T, WireError> {
    let found = table.iter().find(|(n, _)| *n == number).map(|(_, value)| *value);
    found.ok_or(WireError::Value { what, value: number.into() })
}

/// The number of a thing in its table; what is not in it cannot be said.
pub(crate) fn number_of<T: Copy + PartialEq>(
    what: &'static str,
    table: &[(u8, T)],
    value: T,
) -> Result<u8, WireError> {
    let found = table.iter().find(|(_, v)| *v == value).map(|(number, _)| *number);
    found.ok_or(WireError::Value { what, value: 0 })
}

pub(crate) fn within(
    what: &'static str,
    value: u32,
    range: std::ops::RangeInclusive<u32>,
) -> Result<(), WireError> {
    if range.contains(&value) { Ok(()) } else { Err(WireError::Value { what, value }) }
}

pub(crate) fn put_counted(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), WireError> {
    let len = u32::try_from(bytes.len()).map_err(|_| WireError::Length(bytes.len()))?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// The other side reads no more than `max`.
pub(crate) fn put_text(
    out: &mut Vec<u8>,
    what: &'static str,
    text: &str,
    max: usize,
) -> Result<(), WireError> {
    let len = u8::try_from(text.len()).ok().filter(|len| usize::from(*len) <= max);
    let value = u32::try_from(text.len()).unwrap_or(u32::MAX);
    out.push(len.ok_or(WireError::Value { what, value })?);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}
