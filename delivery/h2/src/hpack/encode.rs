//! Blocks of answers.
//!
//! Fields that are the same in many answers go into the dynamic table, and are one byte from then on. Strings are sent
//! as they are: coding them would cost more than the bytes that it saves.

use std::collections::VecDeque;

use http::{HeaderName, HeaderValue, StatusCode, header};

use super::tables::named;
use super::{ENTRY, STATIC_LEN, TABLE_MAX};

/// A literal goes into the table.
const KEPT: (u8, u32) = (0x40, 6);
/// It does not.
const PASSING: (u8, u32) = (0, 4);
/// Nor in one between here and there.
const SECRET: (u8, u32) = (0x10, 4);

/// Our dynamic table.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// The oldest in front.
    entries: VecDeque<(HeaderName, HeaderValue)>,
    size: usize,
    max: usize,
    /// The peer has changed its bound: the least that it was since the last block.
    changed: Option<usize>,
    /// Where the next field may be: fields mostly come in the order in which they came first.
    guess: usize,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self { entries: VecDeque::new(), size: 0, max: TABLE_MAX, changed: None, guess: 0 }
    }

    /// The peer's bound of the table in bytes.
    pub(crate) fn limit(&mut self, max: u32) {
        self.max = usize::try_from(max).unwrap_or(TABLE_MAX).min(TABLE_MAX);
        self.changed = Some(self.changed.map_or(self.max, |least| least.min(self.max)));
        self.shrink(0);
    }

    /// Begins a block.
    pub(crate) fn status(&mut self, out: &mut Vec<u8>, status: StatusCode) {
        if let Some(least) = self.changed.take() {
            // Both, when it went down and up again (RFC 7541 §4.2).
            if least < self.max {
                integer(out, 0x20, 5, least);
            }
            integer(out, 0x20, 5, self.max);
        }
        self.guess = 0;
        match status.as_u16() {
            200 => out.push(0x88),
            204 => out.push(0x89),
            206 => out.push(0x8a),
            304 => out.push(0x8b),
            400 => out.push(0x8c),
            404 => out.push(0x8d),
            500 => out.push(0x8e),
            _ => {
                out.push(8);
                string(out, status.as_str().as_bytes());
            }
        }
    }

    /// Writes a field.
    pub(crate) fn field(&mut self, out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
        let is =
            |entry: Option<&(HeaderName, HeaderValue)>| entry.is_some_and(|(n, v)| n == name && v == value);
        if is(self.entries.get(self.guess)) {
            integer(out, 0x80, 7, self.index(self.guess));
            self.guess += 1;
            return;
        }
        let passing = value.is_sensitive() || changes(name);
        let mut known = named(name);
        if !passing || known.is_none() {
            for (place, entry) in self.entries.iter().enumerate().rev() {
                let same = is(Some(entry));
                if same || (passing && entry.0 == *name) {
                    self.guess = place + 1;
                    known = Some(self.index(place));
                    if same {
                        return integer(out, 0x80, 7, self.index(place));
                    }
                    break;
                }
            }
        }
        let size = name.as_str().len() + value.len() + ENTRY;
        let kind = match known {
            _ if value.is_sensitive() => SECRET,
            Some(_) if passing => PASSING,
            _ if size > self.max => PASSING,
            // Of a field that changes, the name at least is worth a place.
            _ => KEPT,
        };
        literal(out, kind, known, name, value);
        if kind == KEPT {
            self.shrink(size);
            self.size += size;
            self.entries.push_back((name.clone(), value.clone()));
            self.guess = self.entries.len();
        }
    }

    fn index(&self, place: usize) -> usize {
        STATIC_LEN + self.entries.len() - place
    }

    /// Makes room for this many bytes.
    fn shrink(&mut self, room: usize) {
        while self.size + room > self.max
            && let Some((name, value)) = self.entries.pop_front()
        {
            self.size -= name.as_str().len() + value.len() + ENTRY;
        }
    }
}

/// Fields that hardly ever say the same twice.
fn changes(name: &HeaderName) -> bool {
    [header::CONTENT_LENGTH, header::ETAG, header::LAST_MODIFIED, header::DATE, header::CONTENT_RANGE]
        .contains(name)
        || name.as_str().starts_with("cmsd-")
}

fn literal(
    out: &mut Vec<u8>,
    (bits, prefix): (u8, u32),
    index: Option<usize>,
    name: &HeaderName,
    value: &HeaderValue,
) {
    integer(out, bits, prefix, index.unwrap_or(0));
    if index.is_none() {
        string(out, name.as_str().as_bytes());
    }
    string(out, value.as_bytes());
}

/// An integer behind these bits (§5.1).
fn integer(out: &mut Vec<u8>, bits: u8, prefix: u32, value: usize) {
    let mask = (1 << prefix) - 1;
    if value < mask {
        return out.push(bits | value as u8);
    }
    out.push(bits | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    integer(out, 0, 7, text.len());
    out.extend_from_slice(text);
}
