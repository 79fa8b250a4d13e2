//! What is to be sent.

use std::io::IoSlice;

use bytes::Bytes;

/// Bytes to send, in order: heads of frames that were written here, and slices of bodies that lie elsewhere.
#[derive(Debug, Default)]
pub struct Out {
    pub(crate) own: Vec<u8>,
    /// Slices, and how many bytes of `own` come before each.
    pieces: Vec<(usize, Bytes)>,
}

impl Out {
    /// Puts a slice behind what is there.
    pub(crate) fn piece(&mut self, bytes: Bytes) {
        self.pieces.push((self.own.len(), bytes));
    }

    /// Nothing is to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.own.is_empty() && self.pieces.is_empty()
    }

    /// Everything in order.
    #[must_use]
    pub fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(self.pieces.len() * 2 + 1);
        let mut from = 0;
        for (to, piece) in &self.pieces {
            if let Some(own) = self.own.get(from..*to).filter(|own| !own.is_empty()) {
                slices.push(IoSlice::new(own));
            }
            slices.push(IoSlice::new(piece));
            from = *to;
        }
        if let Some(own) = self.own.get(from..).filter(|own| !own.is_empty()) {
            slices.push(IoSlice::new(own));
        }
        slices
    }

    /// Everything was sent. The room stays.
    pub fn clear(&mut self) {
        self.own.clear();
        self.pieces.clear();
    }
}
