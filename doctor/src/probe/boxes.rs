//! Boxes of ISO/IEC 14496-12 and a reader of their fields that remembers where it is.

use super::{BOXES_MAX, Fault};

/// Reads big-endian fields one after another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    data: &'a [u8],
    /// Offset of `data` in the whole input.
    base: usize,
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// `base` is where `data` begins in the whole input, `what` is named in faults.
    pub(crate) fn new(data: &'a [u8], base: usize, what: &'static str) -> Self {
        Self { data, base, what }
    }

    pub(crate) fn offset(&self) -> usize {
        self.base
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.data
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let Some((head, tail)) = self.data.split_at_checked(len) else {
            let (what, offset, got) = (self.what, self.base, self.data.len());
            return Err(Fault::Truncated { what, offset, needed: len as u64, got });
        };
        self.data = tail;
        self.base += len;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut all = [0; N];
        all.copy_from_slice(self.take(N)?);
        Ok(all)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Fault> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Fault> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn four(&mut self) -> Result<[u8; 4], Fault> {
        self.array()
    }

    /// A version and flags, as a full box begins.
    pub(crate) fn full(&mut self) -> Result<(u8, u32), Fault> {
        let word = self.u32()?;
        Ok(((word >> 24) as u8, word & 0x00FF_FFFF))
    }

    /// A 32-bit field in version 0, a 64-bit one later.
    pub(crate) fn sized(&mut self, version: u8) -> Result<u64, Fault> {
        if version == 0 { self.u32().map(u64::from) } else { self.u64() }
    }

    /// Text up to its zero byte, which may be missing at the end of the box.
    pub(crate) fn text(&mut self) -> String {
        let len = self.data.iter().position(|b| *b == 0).unwrap_or(self.data.len());
        let text = String::from_utf8_lossy(&self.data[..len]).into_owned();
        let used = (len + 1).min(self.data.len());
        self.data = &self.data[used..];
        self.base += used;
        text
    }
}

/// One box.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Atom<'a> {
    pub(crate) kind: [u8; 4],
    /// Where its header begins in the whole input.
    pub(crate) offset: usize,
    /// Where its body begins in the whole input.
    pub(crate) body_at: usize,
    pub(crate) body: &'a [u8],
}

impl<'a> Atom<'a> {
    pub(crate) fn reader(&self, what: &'static str) -> Reader<'a> {
        Reader::new(self.body, self.body_at, what)
    }

    /// Its children.
    pub(crate) fn children(&self) -> Result<Vec<Self>, Fault> {
        atoms(self.body, self.body_at)
    }
}

/// The boxes that `data`, which begins at `base` of the whole input, is made of, without a byte left over.
pub(crate) fn atoms(data: &[u8], base: usize) -> Result<Vec<Atom<'_>>, Fault> {
    let mut all = Vec::new();
    let mut reader = Reader::new(data, base, "box header");
    while !reader.rest().is_empty() {
        if all.len() == BOXES_MAX {
            return Err(Fault::TooMany { what: "boxes", max: BOXES_MAX });
        }
        let offset = reader.offset();
        let small = reader.u32()?;
        let kind = reader.four()?;
        let size = match small {
            0 => (reader.rest().len() + 8) as u64,
            1 => reader.u64()?,
            _ => u64::from(small),
        };
        let head = reader.offset() - offset;
        let Some(len) = size.checked_sub(head as u64) else {
            return Err(Fault::Value { what: "box size", offset, got: size });
        };
        let body_at = reader.offset();
        let fits = usize::try_from(len).ok().filter(|l| *l <= reader.rest().len());
        let Some(len) = fits else {
            let got = reader.rest().len();
            return Err(Fault::Truncated { what: "box", offset: body_at, needed: len, got });
        };
        all.push(Atom { kind, offset, body_at, body: reader.take(len)? });
    }
    Ok(all)
}

/// The first box of that kind.
pub(crate) fn find<'a>(atoms: &[Atom<'a>], kind: &[u8; 4]) -> Option<Atom<'a>> {
    atoms.iter().find(|a| a.kind == *kind).copied()
}

/// The first box of that kind, which must be there.
pub(crate) fn need<'a>(atoms: &[Atom<'a>], kind: &[u8; 4], name: &'static str) -> Result<Atom<'a>, Fault> {
    find(atoms, kind).ok_or(Fault::Missing(name))
}
