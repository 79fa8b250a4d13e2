//! Containers: FLV tags, CMAF (fragmented MP4) and MPEG transport streams, in and out; SCTE 35; and where the samples of
//! files lie, Matroska among them.
//!
//! Everything takes and gives bytes; nothing does I/O or keeps time.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

pub mod flv;
pub mod fmp4;
#[doc(hidden)]
pub mod fuzz;
#[doc(hidden)]
pub mod fuzz_files;
#[doc(hidden)]
pub mod fuzz_ts;
pub mod index;
mod mkv;
mod mp4;
pub mod scte35;
#[cfg(test)]
mod testing;
pub mod ts;
