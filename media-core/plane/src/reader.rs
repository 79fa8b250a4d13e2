//! Frames as values.

use bytes::{Buf, Bytes, BytesMut};
use nx_hls::{Event, Part, Window};
use serde::de::DeserializeOwned;

use crate::{HEAD_BYTES_MAX, KIND_EVENT, KIND_WINDOW, MESSAGE_BYTES_MAX, PREFIX_BYTES, VERSION};

/// What a message said.
#[derive(Debug)]
pub enum Told {
    /// This is the window now.
    Window(Box<Window>),
    /// It goes on with this.
    Event(Event),
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
    begun: BytesMut,
}

impl Reader {
    /// Takes the next frame; gives what its message says, and when the stream changed so (Unix milliseconds), once
    /// it is whole.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn take(&mut self, mut frame: Bytes) -> Result<Option<(i64, Told)>, WireError> {
        let more = frame.try_get_u8().map_err(|_| short("frame", 1, 0))? != 0;
        let length = self.begun.len() + frame.len();
        if length > MESSAGE_BYTES_MAX {
            return Err(WireError::TooLong("whole", length));
        }
        if more || !self.begun.is_empty() {
            self.begun.extend_from_slice(&frame);
        }
        if more {
            return Ok(None);
        }
        let whole = if self.begun.is_empty() { frame } else { std::mem::take(&mut self.begun).freeze() };
        message(whole).map(Some)
    }
}

fn message(mut bytes: Bytes) -> Result<(i64, Told), WireError> {
    // The version first: what is behind it may be anything else.
    match bytes.first() {
        Some(&VERSION) | None => {}
        Some(&other) => return Err(WireError::Version(other)),
    }
    if bytes.len() < PREFIX_BYTES {
        return Err(short("prefix", PREFIX_BYTES, bytes.len()));
    }
    bytes.advance(1);
    let (kind, at_ms) = (bytes.get_u8(), bytes.get_i64());
    let length = usize::try_from(bytes.get_u32()).unwrap_or(usize::MAX);
    if length > HEAD_BYTES_MAX {
        return Err(WireError::TooLong("head", length));
    }
    if length > bytes.len() {
        return Err(short("head", length, bytes.len()));
    }
    let head = bytes.split_to(length);
    let told = match kind {
        KIND_WINDOW => {
            let (mut window, lengths): (Box<Window>, Vec<usize>) = read(&head)?;
            fill(window.parts_mut(), &lengths, bytes)?;
            if !window.is_sound() {
                return Err(WireError::Unsound);
            }
            Told::Window(window)
        }
        KIND_EVENT => {
            let (mut event, lengths): (Event, Vec<usize>) = read(&head)?;
            let part = if let Event::Part { part, .. } = &mut event { Some(part) } else { None };
            fill(part.into_iter(), &lengths, bytes)?;
            Told::Event(event)
        }
        other => return Err(WireError::Kind(other)),
    };
    Ok((at_ms, told))
}

/// Reads a head, all of it.
fn read<T: DeserializeOwned>(head: &[u8]) -> Result<T, WireError> {
    let (value, rest) = postcard::take_from_bytes(head).map_err(WireError::Head)?;
    if rest.is_empty() { Ok(value) } else { Err(short("head", head.len() - rest.len(), head.len())) }
}

/// Gives the parts their media, all of it.
fn fill<'a>(
    parts: impl Iterator<Item = &'a mut Part>,
    lengths: &[usize],
    mut media: Bytes,
) -> Result<(), WireError> {
    let mut lengths = lengths.iter();
    for part in parts {
        let length = lengths.next().copied().unwrap_or(0);
        if length > media.len() {
            return Err(short("media", length, media.len()));
        }
        part.bytes = media.split_to(length);
    }
    if media.is_empty() && lengths.next().is_none() { Ok(()) } else { Err(short("media", 0, media.len())) }
}

fn short(what: &'static str, announced: usize, there: usize) -> WireError {
    WireError::Length { what, announced, there }
}
