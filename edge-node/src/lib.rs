//! The edge: where viewers come.
//!
//! It serves whatever its [`Directory`] finds, and the page that plays it: the origin's hub in the same process, or
//! what `nx-live-plane` fetches from an origin elsewhere. What is in no window comes from upstreams through the
//! `cache`. What a whole network is to do comes from one file (`network`).

mod cache;
mod config;
mod feed;
mod network;
mod serve;
mod start;

pub use cache::{CacheConfig, Prefetch, Secret, UpstreamConfig};
pub use config::{Config, HttpConfig, HttpsConfig};
pub use network::NetworkConfig;
pub use nx_delivery::Directory;
pub use start::{Playback, start, start_alone};
