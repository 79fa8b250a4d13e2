//! What media really holds: initialization segments, fragments and transport streams, read by the doctor's own
//! parsers, which share no line with those of the server.
//!
//! Pure functions over whole bytes. Time and memory are bounded by the input's length and the limits below.
//!
//! Specs: ISO/IEC 14496-12 (boxes), 14496-15 (AVC and HEVC in them), RFC 6381 (codec strings), ISO/IEC 13818-1
//! (transport streams), 23009-1 §5.10 (`emsg`), 23000-19 (CMAF).

mod bits;
mod boxes;
mod codec;
mod fragment;
mod init;
mod nal;
mod sps;
mod ts;
mod ts_stream;

pub(crate) use fragment::payload;
pub use fragment::{Chunk, Emsg, Prft, Run, Sample, fragment};
pub use init::{Encryption, Init, Kind, Track, init};
pub use sps::Picture;
pub use ts::{TsProbe, ts};
pub use ts_stream::{TsKind, TsStream};

/// Boxes read on one level.
pub const BOXES_MAX: usize = 16_384;
/// Tracks of an initialization segment.
pub const TRACKS_MAX: usize = 32;
/// Samples of one segment or part, over all its tracks.
pub const SAMPLES_MAX: usize = 131_072;

/// The bytes are not what the format says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Fewer bytes than a field or a size asks for.
    #[error("{what} ends early: {needed} bytes needed at offset {offset}, {got} left")]
    Truncated {
        /// The box or field.
        what: &'static str,
        /// Where the read began, in bytes from the start of the input.
        offset: usize,
        /// Bytes that were asked for.
        needed: u64,
        /// Bytes that are left.
        got: usize,
    },
    /// A box or table that must be there is not.
    #[error("no {0}")]
    Missing(&'static str),
    /// A field with a value that the format does not allow.
    #[error("{what} at offset {offset} is {got}, which is not allowed")]
    Value {
        /// The field.
        what: &'static str,
        /// Where it is, in bytes from the start of the input.
        offset: usize,
        /// What it says.
        got: u64,
    },
    /// More of something than is looked at.
    #[error("more than {max} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}
