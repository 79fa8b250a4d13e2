//! Codec headers: what a decoder configuration record says, and the few bitstream facts a server needs.
//!
//! H.264 lives in [`avc`], AAC in [`aac`]. Nothing here decodes pictures or sound, and nothing does I/O.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

pub mod aac;
pub mod avc;
mod bits;
#[doc(hidden)]
pub mod fuzz;
