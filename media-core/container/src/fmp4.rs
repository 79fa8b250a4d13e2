//! Fragmented MP4 (CMAF): init segments, fragments, and a strict reader of those fragments.
//!
//! A file has one track with id 1. A part is one `moof` and one `mdat`, behind a `prft` where the packager puts
//! one; a segment is its parts one after the other.
//!
//! Spec: ISO/IEC 14496-12 (boxes), 14496-14 (`mp4a`), 14496-15 (`avc1`), 23000-19 (CMAF).

mod emsg;
mod fragment;
mod init;
mod movie;
mod prft;
mod read;

pub use emsg::{EventMessage, SCTE35_SCHEME, scte35_message};
pub use fragment::{FragmentError, fragment, fragment_behind};
pub use init::init;
pub use movie::{MovieError, MovieWriter, Span};
pub use prft::prft;
pub use read::{Entry, Fragment, Header, ReadError, header, samples};

/// Id of the only track.
pub(crate) const TRACK_ID: u32 = 1;
/// `sample_flags` of a sample on which decoding can start (depends on no other).
const FLAGS_KEY: u32 = 0x0200_0000;
/// `sample_flags` of any other sample (depends on others, is no sync sample).
const FLAGS_DELTA: u32 = 0x0101_0000;
/// `sample_is_non_sync_sample`.
const FLAG_NON_SYNC: u32 = 0x0001_0000;

const TFHD_DEFAULT_DURATION: u32 = 0x08;
const TFHD_DEFAULT_FLAGS: u32 = 0x20;
const TFHD_BASE_IS_MOOF: u32 = 0x02_0000;
const TRUN_DATA_OFFSET: u32 = 0x001;
const TRUN_DURATION: u32 = 0x100;
const TRUN_SIZE: u32 = 0x200;
const TRUN_FLAGS: u32 = 0x400;
const TRUN_CTS: u32 = 0x800;

#[cfg(test)]
mod tests;
