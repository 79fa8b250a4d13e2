//! Boxes of a file and the numbers in them. Every read is checked: nothing is believed of a length.

use crate::index::IndexError;

/// Header of a box with a 32-bit length.
pub(super) const BOX: usize = 8;

/// A cursor over bytes that lie somewhere in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    data: &'a [u8],
    /// Of the first byte that is left, in the file.
    at: u64,
}

/// One box.
#[derive(Debug, Clone, Copy)]
pub(super) struct Box<'a> {
    pub(super) kind: [u8; 4],
    pub(super) body: Cursor<'a>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(data: &'a [u8], at: u64) -> Self {
        Self { data, at }
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.data
    }

    pub(super) fn broken(&self, what: impl Into<String>) -> IndexError {
        IndexError::Broken { what: what.into(), at: self.at }
    }

    pub(super) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], IndexError> {
        let Some((taken, rest)) = self.data.split_at_checked(len) else {
            return Err(self.broken(format!("{what} is cut short")));
        };
        self.data = rest;
        self.at = self.at.saturating_add(len as u64);
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], IndexError> {
        let taken = self.take(N, what)?;
        taken.try_into().map_err(|_| self.broken(what))
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, IndexError> {
        self.array::<1>(what).map(|[b]| b)
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, IndexError> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, IndexError> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, IndexError> {
        self.array(what).map(u64::from_be_bytes)
    }

    /// Version and flags of a full box.
    pub(super) fn full(&mut self, what: &'static str) -> Result<(u8, u32), IndexError> {
        let all = self.u32(what)?;
        let [version, ..] = all.to_be_bytes();
        Ok((version, all & 0xff_ffff))
    }

    /// A number of 64 bits in version 1, of 32 bits else.
    pub(super) fn wide(&mut self, version: u8, what: &'static str) -> Result<u64, IndexError> {
        if version == 1 { self.u64(what) } else { self.u32(what).map(u64::from) }
    }

    /// `count` entries of `len` bytes each, if they are all there.
    pub(super) fn entries(
        &mut self,
        count: u32,
        len: usize,
        what: &'static str,
    ) -> Result<&'a [u8], IndexError> {
        let bytes = usize::try_from(count).ok().and_then(|count| count.checked_mul(len));
        self.take(bytes.unwrap_or(usize::MAX), what)
    }

    /// The boxes that it holds, one behind the other. A rest of fewer than eight bytes is passed over: QuickTime ends
    /// lists of boxes with four zeros.
    pub(super) fn boxes(mut self) -> impl Iterator<Item = Result<Box<'a>, IndexError>> {
        let mut failed = false;
        std::iter::from_fn(move || {
            if failed || self.data.len() < BOX {
                return None;
            }
            let next = self.next_box();
            failed = next.is_err();
            Some(next)
        })
    }

    fn next_box(&mut self) -> Result<Box<'a>, IndexError> {
        let start = *self;
        let what = "the header of a box";
        let (len, kind) = (self.u32(what)?, self.array::<4>(what)?);
        let body = match len {
            0 => self.data.len(),
            1 => usize::try_from(self.u64(what)?.saturating_sub(16)).unwrap_or(usize::MAX),
            len => usize::try_from(len)
                .ok()
                .and_then(|len| len.checked_sub(BOX))
                .ok_or_else(|| start.broken(format!("box '{}' of {len} bytes", name(kind))))?,
        };
        let (at, left) = (self.at, self.data.len());
        let Ok(data) = self.take(body, "a box") else {
            let what = format!("box '{}' has {body} bytes where {left} are left", name(kind));
            return Err(start.broken(what));
        };
        Ok(Box { kind, body: Self { data, at } })
    }

    /// The first box of a kind among those that it holds.
    pub(super) fn find(self, kind: &[u8; 4]) -> Result<Option<Self>, IndexError> {
        for found in self.boxes() {
            let found = found?;
            if found.kind == *kind {
                return Ok(Some(found.body));
            }
        }
        Ok(None)
    }

    /// The same; a file without it is broken.
    pub(super) fn need(self, kind: &[u8; 4]) -> Result<Self, IndexError> {
        self.find(kind)?.ok_or_else(|| self.broken(format!("box '{}' is missing", name(*kind))))
    }
}

/// Numbers of a table, 32 bits each.
pub(super) fn words(table: &[u8]) -> impl ExactSizeIterator<Item = u32> {
    table.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word))
}

/// Pairs of a table.
pub(super) fn pairs(table: &[u8]) -> impl Iterator<Item = (u32, u32)> {
    table
        .as_chunks::<8>()
        .0
        .iter()
        .map(|&[a, b, c, d, e, f, g, h]| (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])))
}

/// Four characters for a message.
pub(super) fn name(kind: [u8; 4]) -> String {
    kind.iter().flat_map(|b| std::ascii::escape_default(*b)).map(char::from).collect()
}
