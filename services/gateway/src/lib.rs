//! The gateway: one door in front of everything.
//!
//! Behind it in this version: the status page and the list of live streams. What the contract promises and is not built
//! answers 501.

mod api;
mod config;
mod serve;

pub use config::Config;
pub use serve::Face;
