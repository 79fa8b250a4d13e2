//! Units and model of the media path: what a stream, a track and a sample are.
//!
//! Everything that enters the system becomes a [`Sample`] on a track described by [`Params`], of a stream
//! named by a [`StreamKey`]. Nothing here does I/O, parses a bitstream or knows a protocol.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod key;
mod language;
mod params;
mod pattern;
mod sample;
mod time;
mod track;

pub use key::{CHANNELS, KeyError, MEMBERS, NAME_BYTES_MAX, StreamKey};
pub use language::Language;
pub use params::{AudioCodec, AudioParams, FrameRate, Kind, Params, VideoCodec, VideoParams, VideoRange};
pub use pattern::StreamPattern;
pub use sample::Sample;
pub use time::{VIDEO_TIMESCALE, rescale};
pub use track::TrackId;
