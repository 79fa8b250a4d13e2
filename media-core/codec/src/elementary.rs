//! Elementary streams as a transport stream carries them: byte streams and sync frames in, samples out.
//!
//! One reader per codec and track; it keeps what a PES packet cuts in two, finds the parameters in the stream
//! itself, and never fails: what cannot be read is left out and counted.

mod audio;
mod video;

use bytes::Bytes;
use nx_media::Params;

pub use audio::{AudioFormat, AudioReader};
pub use video::{AU_BYTES_MAX, VideoReader, access_unit};

/// The payload of one PES packet, or a piece of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Presentation time of the first access unit that begins in it; 90 kHz, unwrapped or not, as the caller has it.
    pub pts: Option<i64>,
    /// Decode time, where it differs.
    pub dts: Option<i64>,
    /// Bytes were lost in front of it: what is half read is given up.
    pub discontinuity: bool,
    /// The bytes.
    pub payload: Bytes,
}

/// What a reader finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Decoder parameters, before the first frame that needs them and whenever they change.
    Params(Params),
    /// One access unit.
    Frame(Frame),
}

/// One access unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Decode time, 90 kHz. Where the stream states none, the one before plus its duration.
    pub dts: i64,
    /// Presentation minus decode time, 90 kHz.
    pub cts: i64,
    /// Decoding can start here.
    pub key: bool,
    /// As in [`nx_media::Sample::payload`].
    pub payload: Bytes,
}

/// Where a frame lies among the payload bytes of all units that its reader took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its first byte. Video begins with the start code of the access unit's first NAL unit, sound behind the header
    /// that its samples do without.
    pub begin: u64,
    /// Behind its last byte.
    pub end: u64,
    /// Parameter sets in it stay in the payload, for [`access_unit`].
    pub sets: bool,
}
