//! Where the samples of a file lie: what every reader of files makes of it, and all that serving it needs.
//!
//! An [`Indexer`] is a state machine: it says which bytes of the file it wants, is given them, and in the end has the
//! [`Index`]. It never asks for media that it need not look into, so that a file of any size costs its tables; a
//! transport stream has none and is read through.

use bytes::Bytes;
use nx_media::{Params, TrackId};

mod codecs;
mod draft;
mod times;
mod walk;

pub(crate) use codecs::{avc_params, foreign_params, frame_params, frame_samples, hevc_params};
pub(crate) use draft::{Draft, assemble, note};
pub(crate) use times::{Beat, Clock90k, Epochs, decode_times, from_90k, shown};
pub(crate) use walk::{Halt, Walk, Walker, Window};

use crate::{flv, mkv, mp4, ts};

/// Samples of one file at most: two days of 60 pictures a second, or some 34 h of sound and picture; 32 bytes each.
pub const SAMPLES_MAX: usize = 12 << 20;
/// Tracks of one file at most; the others are left out.
pub const TRACKS_MAX: usize = 64;
/// Bytes of one place at most; a sample in a larger one is left out. In a transport stream other programs lie between.
pub const PLACE_BYTES_MAX: u32 = 64 << 20;

/// A file as it is understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// Those that can be decoded; what is not [`Params::is_carried`] can only be made into something else.
    pub tracks: Vec<IndexTrack>,
    /// In words, what of the file cannot be: a codec that is not carried, a track that is broken.
    pub left_out: Vec<String>,
}

/// One track of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexTrack {
    /// Its kind, and which of that kind, in the file's order.
    pub id: TrackId,
    /// Decoder parameters.
    pub params: Params,
    /// How its samples lie.
    pub packing: Packing,
    /// In decode order. Times are in the track's timescale; each sample ends where the next begins.
    pub samples: Vec<Place>,
}

/// Where one sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Decode time. The earliest presentation time of the whole file is about 0: edit lists are applied.
    pub dts: i64,
    /// Presentation minus decode time.
    pub cts: i32,
    /// Length.
    pub duration: u32,
    /// Of its first byte in the file.
    pub offset: u64,
    /// From there to behind its last byte.
    pub bytes: u32,
    /// Decoding can start here.
    pub key: bool,
    /// What of the place is not the sample's; only with [`Packing::Ts`].
    pub cut: Cut,
}

/// A place in a transport stream reaches from the packet with the sample's first byte to the one with its last. Several
/// samples of one PES packet may share packets, and one sample may lie in several PES packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cut {
    /// Payload bytes of the first packet in front of the sample, PES header included.
    pub head: u8,
    /// Payload bytes of the last packet behind it.
    pub tail: u8,
    /// Parameter sets in it differ from the configuration and stay in the sample.
    pub sets: bool,
}

/// How a sample's bytes lie in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packing {
    /// As a [`nx_media::Sample`] has them.
    Whole,
    /// Behind these bytes, which the file leaves out of each (Matroska's header stripping).
    Behind(Bytes),
    /// In packets of a transport stream, between those of other programs: for [`crate::ts::unpack`].
    Ts {
        /// Packets of its own.
        pid: u16,
        /// From one packet to the next: 188, 192 (M2TS) or 204 bytes. Each begins with its sync byte.
        stride: u8,
    },
}

/// What an indexer does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is to be given these bytes; fewer at the end of the file.
    Read {
        /// Where they begin.
        offset: u64,
        /// How many; at most [`READ_MAX`].
        bytes: usize,
    },
    /// It has finished.
    Done(Index),
}

/// Bytes that an indexer asks for at a time, at most.
pub const READ_MAX: usize = 4 << 20;

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Matroska or WebM.
    Mkv,
    /// FLV.
    Flv,
    /// MPEG transport stream with packets of 188, 192 or 204 bytes.
    Ts,
    /// MP4 or QuickTime, plain or fragmented.
    Mp4,
}

/// Bytes of a file's beginning that tell its kind.
pub const SNIFF_BYTES: usize = 1024;

/// Tells the kind of a file by its first [`SNIFF_BYTES`] (or all) bytes, not by its name.
#[must_use]
pub fn sniff(head: &[u8]) -> Option<Kind> {
    if head.starts_with(&mkv::MAGIC) {
        return Some(Kind::Mkv);
    }
    if head.starts_with(b"FLV\x01") {
        return Some(Kind::Flv);
    }
    if mp4::sniff(head) {
        return Some(Kind::Mp4);
    }
    ts::sniff(head).then_some(Kind::Ts)
}

/// The indexer of a file of `file_bytes` bytes; should it turn out to be shorter, what is there counts.
#[must_use]
pub fn indexer(kind: Kind, file_bytes: u64) -> Box<dyn Indexer> {
    match kind {
        Kind::Mkv => Box::new(Walker::new(mkv::Mkv::default(), file_bytes)),
        Kind::Flv => Box::new(Walker::new(flv::FlvFile::default(), file_bytes)),
        Kind::Ts => Box::new(Walker::new(ts::TsFile::default(), file_bytes)),
        Kind::Mp4 => Box::new(mp4::Mp4Indexer::new(file_bytes)),
    }
}

/// Reads one kind of file.
pub trait Indexer: Send {
    /// What it wants; the same until it is given.
    ///
    /// # Errors
    /// The file is not of this kind, or broken, or larger than it may be.
    fn next(&mut self) -> Result<Step, IndexError>;

    /// Gives it what it asked for.
    ///
    /// # Errors
    /// As [`Indexer::next`].
    fn take(&mut self, bytes: &[u8]) -> Result<(), IndexError>;
}

/// Why a file is not understood; in words for who brought it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// Its bytes are not what they should be.
    #[error("{what} at byte {at}; is the file whole?")]
    Broken {
        /// What is wrong.
        what: String,
        /// Where.
        at: u64,
    },
    /// It is right, and not carried.
    #[error("{0}")]
    Unsupported(String),
    /// A bound of ours.
    #[error("{what}: at most {max}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much may be.
        max: u64,
    },
}

#[cfg(test)]
pub(crate) mod tests;
