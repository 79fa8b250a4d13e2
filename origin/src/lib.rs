//! The origin: publishers come in, streams come out.
//!
//! ```text
//! listener (tokio) ── handshake, who may publish ──► shard (a thread) ── session → timeline → packager ──► LiveStream
//! ```
//!
//! A connection negotiates as a task of its own; once it publishes or plays it moves to the shard of its stream.
//! A shard is one thread that owns publisher and players of its streams, so media passes from socket to socket
//! without a queue, a lock or a wake-up in between. It reads on a clock rather than on every packet: the
//! packager knows when the next part will be complete, and nobody needs the data before.

mod claims;
mod clock;
mod config;
mod hub;
mod ingest;
mod pipeline;
mod serve;

pub use config::{Config, HttpConfig, RtmpConfig, StreamConfig};
pub use hub::{Hub, RtmpListening};
pub use serve::Face;
