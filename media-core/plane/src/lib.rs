//! What one node tells another of a live stream: its window as it is, then every event after it.
//!
//! A message is carried in one or more frames, wherever it is cut, and begins with a frame:
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | [`VERSION`] |
//! | 1 | kind: 0 a window, 1 an event |
//! | 8 | when the stream changed so, Unix milliseconds; big-endian, like the next two |
//! | 4 | length of the head |
//! | 8 | length of the media |
//! | … | head: the value without its media, and the length of each part, in postcard's encoding |
//! | … | media: the bytes of its parts, one after the other |
//!
//! We cut between parts, so that on neither side media is copied.
//!
//! The head is the value itself, field by field: whatever a window depends on travels, so that nothing is worked out
//! anew on the other side. A changed field is another version, which the golden vectors tell; nodes of two versions
//! refuse each other.
//!
//! Not here: how frames travel (`nx-live-plane`).
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

pub mod fuzz;
mod message;
mod reader;

pub use message::Message;
pub use reader::{Reader, Told, WireError};

/// What both sides must agree on.
pub const VERSION: u8 = 2;
/// Largest frame, bytes.
pub const FRAME_BYTES_MAX: usize = 4 << 20;
/// Largest head, bytes: a window of 10 000 segments.
pub const HEAD_BYTES_MAX: usize = 64 << 20;
/// Largest media of a message, bytes.
pub const MEDIA_BYTES_MAX: usize = 512 << 20;
/// Frames of a message at most: parts of 100 ms for an hour.
pub const FRAMES_MAX: usize = 1 << 16;

const KIND_WINDOW: u8 = 0;
const KIND_EVENT: u8 = 1;
/// Before the head.
const PREFIX_BYTES: usize = 22;

#[cfg(test)]
mod tests;
