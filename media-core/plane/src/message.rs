//! Values as frames.

use bytes::{BufMut, Bytes, BytesMut};
use nx_hls::{Event, Part, Window};
use serde::Serialize;

use crate::{FRAME_BYTES_MAX, KIND_EVENT, KIND_WINDOW, PREFIX_BYTES, VERSION, WireError};

/// A window or an event, ready to be sent. Media is shared with what it was made from.
#[derive(Debug, Clone)]
pub struct Message {
    head: Bytes,
    media: Vec<Bytes>,
}

impl Message {
    /// A window, whose newest change was at `at_ms` (Unix milliseconds).
    ///
    /// # Errors
    /// [`WireError::TooLong`].
    pub fn window(at_ms: i64, window: &Window) -> Result<Self, WireError> {
        Self::new(KIND_WINDOW, at_ms, window, window.parts())
    }

    /// An event that took place at `at_ms` (Unix milliseconds).
    ///
    /// # Errors
    /// [`WireError::TooLong`].
    pub fn event(at_ms: i64, event: &Event) -> Result<Self, WireError> {
        let part = if let Event::Part { part, .. } = event { Some(part) } else { None };
        Self::new(KIND_EVENT, at_ms, event, part.into_iter())
    }

    fn new<'a>(
        kind: u8,
        at_ms: i64,
        value: &impl Serialize,
        parts: impl Iterator<Item = &'a Part>,
    ) -> Result<Self, WireError> {
        let media: Vec<Bytes> = parts.map(|part| part.bytes.clone()).collect();
        let lengths: Vec<usize> = media.iter().map(Bytes::len).collect();
        let value = postcard::to_allocvec(&(value, lengths)).map_err(WireError::Head)?;
        let length = u32::try_from(value.len()).map_err(|_| WireError::TooLong("head", value.len()))?;
        let mut head = BytesMut::with_capacity(PREFIX_BYTES + value.len());
        head.put_u8(VERSION);
        head.put_u8(kind);
        head.put_i64(at_ms);
        head.put_u32(length);
        head.put_slice(&value);
        Ok(Self { head: head.freeze(), media })
    }

    /// Bytes that it takes, without the frames'.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.media.iter().map(Bytes::len).sum::<usize>()
    }

    /// Never: there is a prefix.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Its frames, in order, each at most [`FRAME_BYTES_MAX`] long.
    pub fn frames(&self) -> impl Iterator<Item = Bytes> {
        let mut left = self.len();
        let mut pieces = std::iter::once(&self.head).chain(&self.media).cloned();
        let mut piece = Bytes::new();
        std::iter::from_fn(move || {
            let room = left.min(FRAME_BYTES_MAX - 1);
            if room == 0 {
                return None;
            }
            left -= room;
            let mut frame = BytesMut::with_capacity(1 + room);
            frame.put_u8(u8::from(left > 0));
            while frame.len() <= room {
                if piece.is_empty() {
                    piece = pieces.next()?;
                }
                frame.put_slice(&piece.split_to(piece.len().min(1 + room - frame.len())));
            }
            Some(frame.freeze())
        })
    }
}
