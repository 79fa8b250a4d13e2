//! The gateway: one door in front of everything.
//!
//! Behind it in this version: the status page, the list of live streams, and what operators want of them: targets,
//! sources and publish keys. What the contract promises and is not built answers 501.

mod announce;
mod api;
mod config;
mod desired;
mod guard;
mod recordings;
mod serve;
mod titles;
mod uploads;

pub use config::{Config, Token};
pub use serve::{Core, Face};
