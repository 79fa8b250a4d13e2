//! What the origin and a worker say to each other: frames over the worker's standard input and output.
//!
//! ```text
//! worker: Hello
//!
//! origin: Sheet, Draw, Draw, …, Finish        worker: Drawn or Failed for each Draw, Jpeg or Failed for Finish
//! origin: Ladder, Sample, Sample, …, Flush    worker: Opened or Refused and Coded for each output, Load, Flushed
//! origin: Slate                               worker: Opened and Coded, or Refused, of output 0, Flushed
//! ```
//!
//! A frame is its length (32 bits, big-endian, without itself), one byte that says what it is, and a body. Whatever
//! cannot be read ends the worker: the origin starts another. Nothing here does I/O; further kinds of work are further
//! kinds of frames.
//!
//! Pictures are answered request by request. A ladder is not: its outputs come when they are ready, each in the order
//! of its time, and the origin has to read while it writes. When the worker falls behind, it reads no more, and the
//! origin's writes wait. An output is [`Reply::Opened`] in front of its first sample, and again whenever its decoder
//! configuration changes; one that cannot be had, or not any longer, is [`Reply::Refused`], and the others go on. A new
//! `Ladder` ends the one before without another word; `Flush` first has it
//! end with its last frame.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

#[doc(hidden)]
pub mod fuzz;
mod ladder;
mod wire;

use bytes::Bytes;
use nx_media::{Kind, Sample, VideoCodec};
use thiserror::Error;

pub use ladder::{
    AAC_RATES_HZ, AudioSource, Clock, Corner, Crop, Device, Filters, IMAGE_BYTES_MAX, LOGO_BYTES_MAX, Ladder,
    Load, Logo, OUTPUTS_MAX, Output, PICTURE_PIXELS_MAX, PRESET_BYTES_MAX, Rung, SIDE_PIXELS_MAX,
    SLATE_FRAMES_MAX, Slate, Sound, TEXT_BYTES_MAX, Text, VideoSource,
};

/// Of what is defined here; a worker says it first.
pub const VERSION: u16 = 3;
/// Bytes of a frame without its length: a key frame of 8K fits.
pub const FRAME_MAX: usize = 32 << 20;
/// Bytes in front of a frame.
pub const LENGTH: usize = 4;
/// Columns and rows of a sheet, each.
pub const SIDE_MAX: u8 = 16;
/// Pixels of a sheet, across and down, each: JPEG has no more, and libav takes less.
pub const PIXELS_MAX: u16 = 8192;
/// Bytes of a reason.
const REASON_MAX: usize = 1024;

/// Why a frame is not one.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum WireError {
    /// No frame is empty or so long.
    #[error("a frame of {0} bytes; 1 to {FRAME_MAX} are possible")]
    Length(usize),
    /// Unknown here: the other side is of another version.
    #[error("unknown kind of frame {0}")]
    Kind(u8),
    /// It ends early, or goes on too long.
    #[error("a frame of kind {kind} has a body of {bytes} bytes, which is not its form")]
    Form {
        /// What it said it was.
        kind: u8,
        /// Length of its body.
        bytes: usize,
    },
    /// A number in it is out of its range.
    #[error("{what} cannot be {value}")]
    Value {
        /// Which number.
        what: &'static str,
        /// What it said.
        value: u32,
    },
}

/// The form of a sheet: a picture alone is a sheet of one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Grid {
    /// 1 to [`SIDE_MAX`].
    pub columns: u8,
    /// 1 to [`SIDE_MAX`].
    pub rows: u8,
    /// Of a cell, even, pixels. A picture fills its cell as far as its shape allows, the rest is black.
    pub width: u16,
    /// Of a cell, even, pixels; 0, for one cell only: as the picture's shape makes it, and no wider than the picture.
    pub height: u16,
}

/// What the origin asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A sheet is begun; one that was not finished is forgotten.
    Sheet(Grid),
    /// A key frame is drawn into a cell.
    Draw {
        /// Row by row, from 0.
        cell: u8,
        /// Which bitstream.
        codec: VideoCodec,
        /// Decoder configuration, as in [`nx_media::VideoParams::config`].
        config: Bytes,
        /// One key frame as a sample of CMAF: NAL units have 4-byte lengths.
        sample: Bytes,
    },
    /// The sheet is wanted as JPEG.
    Finish,
    /// A ladder is begun.
    Ladder(Box<Ladder>),
    /// One sample of the ladder's source, in decode order of its kind, in its track's time scale.
    Sample(Kind, Sample),
    /// Whether somebody wants an output; at first each is on. One that is off costs nothing; one that is switched on
    /// begins with the source's next key frame.
    Wanted {
        /// Which, from 0.
        output: u8,
        /// Or not.
        on: bool,
    },
    /// The run is over: everything that is in the worker is wanted. Samples that follow begin another run.
    Flush,
    /// A picture is wanted as a clip. It ends a ladder.
    Slate(Box<Slate>),
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It is ready, and speaks this version.
    Hello(u16),
    /// The key frame is in its cell.
    Drawn,
    /// The sheet, or a picture of it, could not be made; the next may be.
    Failed(String),
    /// The sheet.
    Jpeg(Bytes),
    /// What a decoder of this output has to know.
    Opened {
        /// Which, from 0.
        output: u8,
        /// As in [`nx_media::VideoParams::config`] and [`nx_media::AudioParams::config`].
        config: Bytes,
        /// What codes it, as libav calls it: `libx264`.
        encoder: String,
    },
    /// This output cannot be had, or not any longer, for this reason; no more is said of it.
    Refused {
        /// Which, from 0.
        output: u8,
        /// In words.
        why: String,
    },
    /// One sample of an output. In video `dts` is `pts`, which is that of a sample of the source, as is `key`. The
    /// duration is exact unless the worker had not seen the next frame of the source: then it is what the source says,
    /// of a halved rung twice that, though a key frame may come earlier.
    Coded {
        /// Which, from 0.
        output: u8,
        /// As CMAF has it.
        sample: Sample,
    },
    /// How far it is: about once in a second of the stream.
    Load(Load),
    /// The answer to `Flush` and `Slate`, behind everything that was coded.
    Flushed,
}

/// How many bytes follow a length.
///
/// # Errors
/// [`WireError::Length`].
pub fn frame_len(length: [u8; LENGTH]) -> Result<usize, WireError> {
    let len = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if len == 0 || len > FRAME_MAX { Err(WireError::Length(len)) } else { Ok(len) }
}

#[cfg(test)]
mod tests;
