//! NAL units out of pieces of a byte stream, each byte looked at once.

use crate::annexb::{START_CODE_LEN, start_code, trim};

/// Finds the NAL units of a byte stream that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// The NAL unit that is not over, from its start code on; else the last bytes, which may begin one.
    tail: Vec<u8>,
    /// `tail` begins with a start code.
    in_nal: bool,
    /// Bytes of all pieces so far.
    taken: u64,
}

/// What a piece holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A NAL unit that is over.
    Nal {
        /// Without start code and trailing zeros; may be empty.
        nal: &'a [u8],
        /// It began in an earlier piece.
        earlier: bool,
        /// Where its start code is among all bytes so far.
        at: u64,
    },
    /// Bytes that belong to no NAL unit: their beginning was not seen.
    Stray,
}

impl Scanner {
    /// Bytes held back.
    pub(super) fn held(&self) -> usize {
        self.tail.len()
    }

    /// Forgets what is held back.
    pub(super) fn clear(&mut self) {
        *self = Self { taken: self.taken, ..Self::default() };
    }

    /// Takes the next piece; `last` ends the NAL unit that is open behind it.
    pub(super) fn push(&mut self, piece: &[u8], last: bool, each: &mut dyn FnMut(Found<'_>)) {
        let mut tail = std::mem::take(&mut self.tail);
        // A start code may have begun in the two last bytes.
        let from = tail.len().saturating_sub(START_CODE_LEN - 1);
        let joined = !tail.is_empty();
        if joined {
            tail.extend_from_slice(piece);
        }
        let data = if joined { &tail } else { piece };
        self.taken += piece.len() as u64;
        let open = self.walk(data, from, last, each);
        if last {
            self.in_nal = false;
        } else if joined {
            tail.drain(..open);
            self.tail = tail;
        } else {
            self.tail = data.get(open..).unwrap_or_default().to_vec();
        }
    }

    /// Returns where the bytes begin that have to be held back.
    fn walk(&mut self, data: &[u8], from: usize, last: bool, each: &mut dyn FnMut(Found<'_>)) -> usize {
        let begin = self.taken.saturating_sub(data.len() as u64);
        let mut open = self.in_nal.then_some(0);
        let mut earlier = self.in_nal;
        let mut at = if self.in_nal { from.max(START_CODE_LEN) } else { from };
        loop {
            let code = start_code(data, at);
            let end = code.unwrap_or(data.len());
            if code.is_some() || last || open.is_none() {
                let nal = data.get(open.map_or(0, |open| open + START_CODE_LEN)..end).map(trim);
                match nal.unwrap_or_default() {
                    nal if open.is_some() => {
                        each(Found::Nal { nal, earlier, at: begin + open.unwrap_or(0) as u64 });
                    }
                    [] => (),
                    _ => each(Found::Stray),
                }
                earlier = false;
            }
            let Some(code) = code else { break };
            open = Some(code);
            at = code + START_CODE_LEN;
        }
        self.in_nal = open.is_some();
        open.unwrap_or(data.len().saturating_sub(START_CODE_LEN - 1))
    }
}
