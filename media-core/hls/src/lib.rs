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
mod breaks;
mod cues;
mod cutter;
mod date;
mod daterange;
mod event;
mod i_frames;
mod key_tags;
mod multivariant;
mod packager;
mod past;
mod playlist;
mod remains;
mod rendition;
mod sealing;
mod target;
mod text;
mod track;
mod ts_view;
mod view;
mod window;

pub use breaks::{Away, Mark};
pub use date::Rfc3339;
pub use daterange::{Announced, Asset, DateRange, RANGES_MAX};
pub use event::{Event, KeyPeriod, Part, Run, RunTrack, Stored};
pub use multivariant::{PATHWAY, STEERING};
pub use packager::{Config, Packager, Start, TrackSpec};
pub use past::Unstored;
pub use playlist::{Ask, Skip};
pub use remains::{GAP_MSNS, Remains};
pub use rendition::Segment;
pub use sealing::Hindrance;
pub use text::{
    Captions, Embedded, RENDITIONS_MAX, TEXT_BYTES_MAX, TextCue, TextRendition, empty_text, escape,
    text_index, text_name,
};
pub use ts_view::NotInTs;
pub use window::{Lookup, Position, Window};

#[cfg(test)]
mod tests;
