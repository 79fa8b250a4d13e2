//! Matroska and WebM files, as far as an index needs them: tracks, clusters, and the headers of blocks.
//!
//! Clusters are walked one behind the other; neither Cues nor SeekHead are believed. Of the media only the first bytes
//! of frames are looked at, where the codec needs them.
//!
//! Spec: RFC 8794 (EBML), RFC 9559 (Matroska).

mod block;
mod codecs;
mod ebml;
mod file;
mod tracks;

pub(crate) use file::Mkv;

/// First bytes of every file: the id of the EBML header.
pub(crate) const MAGIC: [u8; 4] = [0x1a, 0x45, 0xdf, 0xa3];

#[cfg(test)]
mod tests;
