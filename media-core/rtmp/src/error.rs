//! Why a connection has to be dropped.

use crate::{amf0, chunk::ChunkError, handshake::HandshakeError};

/// The peer broke the protocol or passed a limit: send what `poll` still gives, then close.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The first bytes are no RTMP handshake.
    #[error("RTMP handshake: {0}")]
    Handshake(#[from] HandshakeError),
    /// Chunk headers make no sense or claim too much.
    #[error("RTMP chunk stream: {0}")]
    Chunk(#[from] ChunkError),
    /// A command or data message is no AMF0.
    #[error("RTMP message type {kind}: {source}")]
    Amf {
        /// Message type id.
        kind: u8,
        /// What the decoder met.
        source: amf0::Error,
    },
    /// A message is shorter than its type demands.
    #[error("RTMP message type {kind} has {got} bytes, needs {expected}")]
    ShortMessage {
        /// Message type id.
        kind: u8,
        /// Bytes needed.
        expected: usize,
        /// Bytes present.
        got: usize,
    },
    /// A command does not start with its name.
    #[error("RTMP command without a name")]
    NamelessCommand,
    /// A command that must not come in this phase.
    #[error("RTMP command {command:?} is out of order in phase {phase}")]
    OutOfOrder {
        /// The command.
        command: &'static str,
        /// Phase of the session.
        phase: &'static str,
    },
    /// A text the peer named something with is too long.
    #[error("RTMP {what} has {got} bytes, at most {max} are accepted")]
    TooLong {
        /// Which field.
        what: &'static str,
        /// Bytes sent.
        got: usize,
        /// The limit.
        max: usize,
    },
    /// The peer called too often.
    #[error("RTMP peer sent more than {max} {what}")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// The limit.
        max: u32,
    },
    /// `handle` was called again after it failed.
    #[error("RTMP session has already failed")]
    Closed,
}
