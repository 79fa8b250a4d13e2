//! The edge: where viewers come.
//!
//! It serves whatever its [`Directory`] finds, and the page that plays it. Today the directory is the origin's
//! hub in the same process; a subscription to an origin elsewhere is another implementation of the same trait,
//! filling windows of its own, and nothing here changes. What is in no window comes from upstreams through the
//! `cache`.

mod cache;
mod config;
mod serve;
mod start;

pub use cache::{CacheConfig, Prefetch, PurgeKey, UpstreamConfig};
pub use config::{Config, HttpConfig, HttpsConfig};
pub use nx_delivery::Directory;
pub use start::start;
