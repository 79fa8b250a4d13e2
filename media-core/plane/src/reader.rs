//! Frames as values.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use nx_hls::{Event, Part, Window};
use serde::de::DeserializeOwned;

use crate::{FRAMES_MAX, HEAD_BYTES_MAX, KIND_EVENT, KIND_WINDOW, MEDIA_BYTES_MAX, PREFIX_BYTES, VERSION};

/// What a message said.
#[derive(Debug)]
pub enum Told {
    /// This is the window now.
    Window(Box<Window>),
    /// It goes on with this.
    Event(Box<Event>),
}

/// Why a message cannot be written or read. Whoever reads must not go on: what follows has no meaning.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The other node is of another version.
    #[error(
        "the other node speaks version {0} of the live plane, this one {VERSION}; run the same version on both"
    )]
    Version(u8),
    /// A message of no known kind.
    #[error("a message has the unknown kind {0}")]
    Kind(u8),
    /// More than a message may have.
    #[error("the {0} of a message has {1} bytes, more than it may")]
    TooLong(&'static str, usize),
    /// It ends before what it announces, or goes on behind it.
    #[error("a message announces {announced} bytes of {what} and has {there}")]
    Length {
        /// What of it.
        what: &'static str,
        /// As it says.
        announced: usize,
        /// As it is.
        there: usize,
    },
    /// Its head is no value.
    #[error("the head of a message cannot be used: {0}")]
    Head(postcard::Error),
    /// A window that contradicts itself.
    #[error("a window contradicts itself")]
    Unsound,
}

/// Puts the frames of one peer together. Holds at most one message.
#[derive(Debug, Default)]
pub struct Reader {
    begun: Option<Begun>,
}

/// A message of which more is to come, perhaps.
#[derive(Debug)]
struct Begun {
    kind: u8,
    at_ms: i64,
    /// Lengths of head and media.
    head: usize,
    media: usize,
    /// What there is, without the prefix.
    pieces: VecDeque<Bytes>,
    there: usize,
}

impl Reader {
    /// Takes the next frame; gives what its message says, and when the stream changed so (Unix milliseconds), once
    /// it is whole.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn take(&mut self, frame: Bytes) -> Result<Option<(i64, Told)>, WireError> {
        let mut begun = match self.begun.take() {
            Some(mut begun) => {
                begun.there += frame.len();
                begun.pieces.push_back(frame);
                begun
            }
            None => Begun::with(frame)?,
        };
        let whole = begun.head + begun.media;
        if begun.there > whole {
            return Err(wrong("message", whole, begun.there));
        }
        if begun.there == whole {
            let value = begun.read()?;
            return Ok(Some((begun.at_ms, value)));
        }
        if begun.pieces.len() >= FRAMES_MAX {
            return Err(WireError::TooLong("list of frames", begun.pieces.len()));
        }
        self.begun = Some(begun);
        Ok(None)
    }
}

impl Begun {
    /// A message that begins with this frame.
    fn with(mut frame: Bytes) -> Result<Self, WireError> {
        // The version first: what is behind it may be anything else.
        match frame.first() {
            Some(&VERSION) | None => {}
            Some(&other) => return Err(WireError::Version(other)),
        }
        if frame.len() < PREFIX_BYTES {
            return Err(wrong("prefix", PREFIX_BYTES, frame.len()));
        }
        frame.advance(1);
        let (kind, at_ms) = (frame.get_u8(), frame.get_i64());
        let head = usize::try_from(frame.get_u32()).unwrap_or(usize::MAX);
        let media = usize::try_from(frame.get_u64()).unwrap_or(usize::MAX);
        for (what, length, max) in [("head", head, HEAD_BYTES_MAX), ("media", media, MEDIA_BYTES_MAX)] {
            if length > max {
                return Err(WireError::TooLong(what, length));
            }
        }
        Ok(Self { kind, at_ms, head, media, there: frame.len(), pieces: VecDeque::from([frame]) })
    }

    /// What it says, all of it being there.
    fn read(&mut self) -> Result<Told, WireError> {
        let head = self.split(self.head);
        match self.kind {
            KIND_WINDOW => {
                let (mut window, lengths): (Box<Window>, Vec<usize>) = value(&head)?;
                self.fill(window.parts_mut(), &lengths)?;
                if window.is_sound() { Ok(Told::Window(window)) } else { Err(WireError::Unsound) }
            }
            KIND_EVENT => {
                let (mut event, lengths): (Box<Event>, Vec<usize>) = value(&head)?;
                let part = if let Event::Part { part, .. } = &mut *event { Some(part) } else { None };
                self.fill(part.into_iter(), &lengths)?;
                Ok(Told::Event(event))
            }
            other => Err(WireError::Kind(other)),
        }
    }

    /// Gives the parts their media, all of it.
    fn fill<'a>(
        &mut self,
        parts: impl Iterator<Item = &'a mut Part>,
        lengths: &[usize],
    ) -> Result<(), WireError> {
        let (mut lengths, mut left) = (lengths.iter(), self.media);
        for part in parts {
            let length = lengths.next().copied().unwrap_or(0);
            left = left.checked_sub(length).ok_or_else(|| wrong("media", length, left))?;
            part.bytes = self.split(length);
        }
        if left == 0 && lengths.next().is_none() { Ok(()) } else { Err(wrong("media", 0, left)) }
    }

    /// The next bytes, so many or as many as there are: a slice if they came in one piece.
    fn split(&mut self, length: usize) -> Bytes {
        while self.pieces.pop_front_if(|piece| piece.is_empty()).is_some() {}
        if let Some(first) = self.pieces.front_mut().filter(|first| first.len() >= length) {
            return first.split_to(length);
        }
        let mut whole = BytesMut::with_capacity(length);
        while let Some(piece) = self.pieces.front_mut().filter(|_| whole.len() < length) {
            whole.extend_from_slice(&piece.split_to(piece.len().min(length - whole.len())));
            self.pieces.pop_front_if(|piece| piece.is_empty());
        }
        whole.freeze()
    }
}

/// Reads a head, all of it.
fn value<T: DeserializeOwned>(head: &[u8]) -> Result<T, WireError> {
    let (value, rest) = postcard::take_from_bytes(head).map_err(WireError::Head)?;
    if rest.is_empty() { Ok(value) } else { Err(wrong("head", head.len() - rest.len(), head.len())) }
}

fn wrong(what: &'static str, announced: usize, there: usize) -> WireError {
    WireError::Length { what, announced, there }
}
