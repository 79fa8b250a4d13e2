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

mod address;
mod announce;
mod assets;
mod captions;
mod claims;
mod clock;
mod cloud;
mod config;
mod cues;
mod desired;
mod figures;
mod follow;
mod gate;
mod hub;
mod images;
mod ingest;
mod jobs;
mod journal;
mod keep;
mod keys;
mod ladder;
mod media;
mod mixes;
mod open;
mod outbound;
mod picture;
mod pipeline;
mod playback;
mod restream;
mod retry;
mod serve;
mod slates;
mod sources;
mod still;
mod switch;
mod titles;
mod twin;
mod uploads;
mod vitals;
mod worker;

pub use captions::CaptionsConfig;
pub use config::{
    Config, HttpConfig, Policy, RtmpConfig, RtmpsConfig, SourceConfig, SrtConfig, StreamConfig, TargetConfig,
};
pub use hub::Hub;
pub use images::ImagesConfig;
pub use keep::{StoreConfig, StoreRule};
pub use keys::{ClearKeys, EncryptionConfig, Source};
pub use ladder::{
    CornerConfig, CropConfig, DeviceConfig, LadderConfig, LogoConfig, Mode, RungConfig, TranscoderConfig,
};
pub use mixes::{MixConfig, MixerConfig};
pub use open::Doors;
pub use outbound::Outbound;
pub use serve::Face;
pub use titles::VodConfig;
