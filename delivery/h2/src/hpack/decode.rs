//! Blocks of requests.

use std::collections::VecDeque;

use bytes::Bytes;

use super::tables::{Entry, Field, Name, fixed};
use super::{STATIC_LEN, TABLE_MAX, huffman};

/// A block that cannot be read. The connection ends with it: nobody knows what the table would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Garbled;

/// The peer's dynamic table.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// The newest in front.
    entries: VecDeque<Entry>,
    size: usize,
    /// What the peer has set.
    max: usize,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self { entries: VecDeque::new(), size: 0, max: TABLE_MAX }
    }

    /// Gives each field of a block with its size (RFC 7541 §4.1).
    ///
    /// # Errors
    /// [`Garbled`], maybe after some fields.
    pub(crate) fn decode(
        &mut self,
        mut block: &[u8],
        mut each: impl FnMut(&Field, usize),
    ) -> Result<(), Garbled> {
        let mut begun = false;
        while let Some(&first) = block.first() {
            if first & 0xe0 == 0x20 {
                // Only in front (§4.2).
                let max = integer(&mut block, 5)?;
                if begun || max > TABLE_MAX {
                    return Err(Garbled);
                }
                self.max = max;
                self.shrink(0);
                continue;
            }
            begun = true;
            if first & 0x80 != 0 {
                let index = integer(&mut block, 7)?;
                let entry = self.entry(index)?;
                each(&entry.field, entry.size);
            } else {
                let indexed = first & 0x40 != 0;
                let entry = self.literal(&mut block, if indexed { 6 } else { 4 })?;
                each(&entry.field, entry.size);
                if indexed {
                    self.insert(entry);
                }
            }
        }
        Ok(())
    }

    fn entry(&self, index: usize) -> Result<&Entry, Garbled> {
        let entry = match index.checked_sub(STATIC_LEN + 1) {
            Some(place) => self.entries.get(place),
            None => fixed(index),
        };
        entry.ok_or(Garbled)
    }

    fn literal(&self, block: &mut &[u8], prefix: u32) -> Result<Entry, Garbled> {
        let (name, name_len) = match integer(block, prefix)? {
            0 => {
                let name = string(block)?;
                (Name::read(&name), name.len())
            }
            index => {
                let entry = self.entry(index)?;
                (entry.name.clone(), entry.name_len)
            }
        };
        Ok(Entry::new(name, name_len, string(block)?))
    }

    fn insert(&mut self, entry: Entry) {
        self.shrink(entry.size);
        // One that does not fit empties the table (§4.4).
        if entry.size <= self.max {
            self.size += entry.size;
            self.entries.push_front(entry);
        }
    }

    /// Makes room for this many bytes.
    fn shrink(&mut self, room: usize) {
        while self.size + room > self.max
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= oldest.size;
        }
    }
}

/// An integer whose first bits are the last `prefix` of the first byte (§5.1). More than fits in a request is garbled.
fn integer(block: &mut &[u8], prefix: u32) -> Result<usize, Garbled> {
    let mut next = || -> Result<usize, Garbled> {
        let (&byte, rest) = block.split_first().ok_or(Garbled)?;
        *block = rest;
        Ok(usize::from(byte))
    };
    let mask = (1 << prefix) - 1;
    let mut value = next()? & mask;
    if value < mask {
        return Ok(value);
    }
    for shift in [0, 7, 14] {
        let byte = next()?;
        value += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Garbled)
}

/// A string, coded or as it is (§5.2).
fn string(block: &mut &[u8]) -> Result<Bytes, Garbled> {
    let coded = block.first().is_some_and(|b| b & 0x80 != 0);
    let len = integer(block, 7)?;
    let (text, rest) = block.split_at_checked(len).ok_or(Garbled)?;
    *block = rest;
    match coded {
        true => huffman::decode(text).map(Bytes::from).ok_or(Garbled),
        false => Ok(Bytes::copy_from_slice(text)),
    }
}
