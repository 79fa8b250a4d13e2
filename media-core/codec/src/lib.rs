//! Codec headers: what a decoder configuration record says, and the few bitstream facts a server needs.
//!
//! One module per codec; [`elementary`] reads them out of transport streams. Nothing here decodes pictures or
//! sound, and nothing does I/O.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

pub mod aac;
pub mod ac3;
pub mod annexb;
pub mod av1;
pub mod avc;
mod bits;
pub mod captions;
pub mod elementary;
pub mod flac;
#[doc(hidden)]
pub mod fuzz;
#[doc(hidden)]
pub mod fuzz_audio;
pub mod hevc;
pub mod mpa;
pub mod opus;
#[cfg(test)]
mod testing;
pub mod vp9;
