//! The timeline: the one place where time is repaired.
//!
//! Publishers send counters of 32 or 33 bits that wrap, jump, stand still and start anew. The [`Timeline`] turns them
//! into time that every consumer can trust: per track monotonic, on the frame grid, sound and picture on one
//! clock, going on where the last publisher stopped. It never ends an output; it repairs, counts and says so.
//!
//! Not here: what a sample means (`nx-codec`), where segments are cut (`nx-hls`).
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod audio;
mod cadence;
mod repairs;
mod timeline;
mod video;
mod wire;

pub use audio::silence;
pub use repairs::{Repair, RepairKind, Repairs};
pub use timeline::{Arrival, Config, Output, Placed, Timeline};
pub use wire::WireClock;
