//! The gateway: one door in front of everything.
//!
//! Behind it in this version: the pages of streams and recordings, the list of live streams, recordings and clips, and
//! what operators want of streams: targets, sources and publish keys; and the services of the ring, here or in other processes,
//! whose table it holds. What the contract promises and is not built answers 501.

mod announce;
mod api;
mod assets;
mod config;
mod core;
mod cors;
mod desired;
mod door;
mod dpop;
mod guard;
mod identity;
mod limits;
mod mixes;
mod playback;
mod recordings;
mod registry;
mod serve;
mod services;
mod settings;
mod titles;
mod uploads;
mod vault;
mod work;

pub use config::{Config, Token};
pub use core::door as core_door;
pub use door::doors;
pub use serve::{Core, Face};
pub use settings::Settings;
