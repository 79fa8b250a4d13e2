//! Where media comes in: each protocol from the accepted connection to the stream's pipeline.

pub(crate) mod clip;
mod flv_reader;
pub(crate) mod input;
mod line;
pub(crate) mod listener;
pub(crate) mod login;
mod pace;
mod player;
mod relay;
mod rtmp_input;
pub(crate) mod shard;
mod socket;
pub(crate) mod srt;
mod standing;
mod status;
mod stream;
pub(crate) mod ts_input;
mod ts_reader;
pub(crate) mod viewer;
