//! HLS as data: the packager cuts samples into parts and segments, the window keeps the live edge, the playlist
//! writers render it.
//!
//! | specification | where |
//! | --- | --- |
//! | RFC 8216bis (HTTP Live Streaming 2nd edition), §4 playlists, §6.2.5 low latency | [`Window`] |
//! | CMAF, ISO/IEC 23000-19: one track per file, chunks as parts | [`Packager`] |
//!
//! The [`Packager`] is a pure function of the samples; its [`Event`]s are all that a node needs to serve the
//! stream, so they are what will travel from an origin to its edges. The [`Window`] is the same on either.
//!
//! Not here: HTTP, waiting, caching of rendered playlists (`nx-delivery`).
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod bandwidth;
mod cutter;
mod event;
mod packager;
mod playlist;
mod window;

pub use event::{Event, Part, Run, RunTrack};
pub use packager::{Config, Packager};
pub use playlist::{Ask, Rfc3339};
pub use window::{Lookup, Position, Segment, Window};

#[cfg(test)]
mod tests;
