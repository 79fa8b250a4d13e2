//! Where media comes in: RTMP connections from the accepted socket to the stream's pipeline.

pub(crate) mod listener;
mod player;
mod publisher;
pub(crate) mod shard;
mod stream;
