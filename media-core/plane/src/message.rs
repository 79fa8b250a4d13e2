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
        head.put_u64(media.iter().map(|part| part.len() as u64).sum());
        head.put_slice(&value);
        Ok(Self { head: head.freeze(), media })
    }

    /// Its frames, in order, none of them empty or longer than [`FRAME_BYTES_MAX`].
    pub fn frames(&self) -> impl Iterator<Item = Bytes> {
        let pieces = std::iter::once(&self.head).chain(&self.media).cloned();
        pieces.flat_map(|mut piece| {
            std::iter::from_fn(move || {
                let frame = piece.split_to(piece.len().min(FRAME_BYTES_MAX));
                (!frame.is_empty()).then_some(frame)
            })
        })
    }
}
