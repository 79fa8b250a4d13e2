//! The edge: where viewers come.
//!
//! It serves whatever its [`Directory`] finds, and the page that plays it: the origin's hub in the same process, or
//! what `nx-live-plane` fetches from an origin elsewhere.

mod config;
mod serve;
mod start;

pub use config::{Config, HttpConfig, HttpsConfig};
pub use nx_delivery::Directory;
pub use start::{start, start_alone};
