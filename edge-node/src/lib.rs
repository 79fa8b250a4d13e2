//! The edge: where viewers come.
//!
//! It serves whatever its [`Directory`] finds, and the page that plays it: the origin's hub in the same process, or
//! what `nx-live-plane` fetches from an origin elsewhere. What is in no window comes from upstreams through the
//! `cache`.

mod cache;
mod config;
mod serve;
mod start;

pub use cache::{CacheConfig, Prefetch, PurgeKey, UpstreamConfig};
pub use config::{Config, HttpConfig, HttpsConfig};
pub use nx_delivery::Directory;
pub use start::{start, start_alone};
