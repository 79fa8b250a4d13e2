//! The chunk stream: messages cut into interleaved chunks, and back.
//!
//! Spec: RTMP §5.3, §5.4.

mod header;
mod reader;
mod writer;

use bytes::Bytes;

pub use reader::ChunkReader;
pub use writer::{ChunkWriter, MediaKind, media_message};

/// Chunk size before any Set Chunk Size, bytes (RTMP §5.4.1).
pub const CHUNK_SIZE_DEFAULT: u32 = 128;
/// Largest message the 24-bit length field can announce, bytes.
pub const MESSAGE_LEN_MAX: u32 = 0xFF_FFFF;
/// A 24-bit time field with this value says that 32 bits follow (RTMP §5.3.1.3).
const EXTENDED: u32 = 0xFF_FFFF;

/// One whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Message type id, see [`crate::message::kind`].
    pub kind: u8,
    /// Absolute time, milliseconds, wraps at 2^32.
    pub timestamp_ms: u32,
    /// Message stream id; 0 is the connection itself.
    pub stream_id: u32,
    /// Payload.
    pub body: Bytes,
}

/// A chunk that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {fault}")]
pub struct ChunkError {
    /// Chunk stream bytes before the chunk at fault.
    pub offset: u64,
    /// What is wrong.
    pub fault: ChunkFault,
}

/// What is wrong with a chunk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkFault {
    /// A compressed header on a chunk stream that has nothing to refer to.
    #[error("format {format} opens chunk stream {csid}, expected format 0 or 1")]
    NoContext {
        /// Chunk stream id.
        csid: u32,
        /// Header format, 2 or 3.
        format: u8,
    },
    /// A new message header before the previous message was complete.
    #[error("new message on chunk stream {csid} with {missing} bytes of the last one missing")]
    Unfinished {
        /// Chunk stream id.
        csid: u32,
        /// Bytes missing.
        missing: u32,
    },
    /// The announced message is too long.
    #[error("message type {kind} on chunk stream {csid} claims {claimed} bytes, at most {max} are accepted")]
    MessageLength {
        /// Chunk stream id.
        csid: u32,
        /// Message type id.
        kind: u8,
        /// Bytes announced.
        claimed: u32,
        /// The limit.
        max: usize,
    },
    /// Too many chunk streams.
    #[error("chunk stream {csid} is one more than the {max} accepted")]
    ChunkStreams {
        /// Chunk stream id.
        csid: u32,
        /// The limit.
        max: usize,
    },
    /// Too many bytes in unfinished messages.
    #[error("unfinished messages would hold {got} bytes, at most {max} are accepted")]
    Pending {
        /// Bytes with the current chunk.
        got: usize,
        /// The limit.
        max: usize,
    },
    /// Set Chunk Size with a value that is not allowed.
    #[error("chunk size {got}, expected 1..={max}")]
    ChunkSize {
        /// Size asked for, bytes.
        got: u32,
        /// The limit.
        max: u32,
    },
    /// Set Chunk Size or Abort without its four bytes.
    #[error("control message type {kind} has {got} bytes, needs 4")]
    ShortControl {
        /// Message type id.
        kind: u8,
        /// Bytes present.
        got: usize,
    },
}

#[cfg(test)]
mod tests;
