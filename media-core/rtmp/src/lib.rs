//! RTMP as state machines: handshake, chunk stream, AMF0, server and client sessions.
//!
//! Bytes and milliseconds come in, bytes and events come out; nothing here opens a socket, reads a clock or
//! draws randomness. Start at [`server::Session`] for ingest and playback, at [`client::Session`] to push or
//! pull, and at [`media_message`] to lay out one frame for every player of a stream.
//!
//! Spec: Adobe RTMP 1.0 (2012); Action Message Format AMF0; Enhanced RTMP v2 (bodies are passed on unread).
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

pub mod amf0;
pub mod auth;
pub mod chunk;
pub mod client;
mod enhanced;
mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod handshake;
mod limits;
mod link;
pub mod message;
pub mod server;
#[cfg(test)]
mod testing;

pub use chunk::{MediaKind, media_message};
pub use enhanced::caps_ex;
pub use error::Error;
pub use handshake::NONCE_LEN;
pub use limits::Limits;
pub use message::Metadata;
