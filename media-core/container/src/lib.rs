//! Containers: FLV tags in and out, CMAF (fragmented MP4) in and out, MPEG transport streams out.
//!
//! Everything takes and gives bytes; nothing does I/O or keeps time.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

pub mod flv;
pub mod fmp4;
#[doc(hidden)]
pub mod fuzz;
#[cfg(test)]
mod testing;
pub mod ts;
