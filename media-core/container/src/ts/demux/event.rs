//! What the demultiplexer is told, and what it tells.

use nx_codec::elementary::Unit;
use nx_media::Language;

use super::StreamFormat;
use crate::scte35::Splice;

/// Usual [`Config::pes_bytes_max`].
pub const PES_BYTES_MAX: usize = 4 << 20;
/// How to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Largest PES packet that is taken, in bytes, header included; larger ones are dropped and counted. For
    /// audio 256 KiB, if that is less.
    pub pes_bytes_max: usize,
    /// Number of the program to read; `None`: the first one of the PAT with video or audio.
    pub program: Option<u16>,
    /// Gives out a video PES packet of unknown length at the first transport packet with stuffing, as muxers
    /// stuff only the last one, and not when the next PES packet begins: one frame less delay. Should more
    /// payload come, it follows as a [`Unit`] without times. Leave it off unless the reader of the units
    /// can continue an access unit that it took for complete; segments of ours end with packets that are all
    /// stuffed and come in many pieces then.
    pub early: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { pes_bytes_max: PES_BYTES_MAX, program: None, early: false }
    }
}

/// What [`Demuxer::poll`](super::Demuxer::poll) tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The program is known, or it is another one from here on. Streams that it still has in the same format
    /// run on; the others ended.
    Program(Program),
    /// A PES packet is complete.
    Unit {
        /// Of the stream.
        pid: u16,
        /// Payload and times: 90 kHz, 33 bits as on the wire, not unwrapped.
        unit: Unit,
        /// The multiplexer says that decoding can start here.
        random_access: bool,
    },
    /// Splice information arrived.
    Splice {
        /// Of the stream.
        pid: u16,
        /// Last presentation time of the video (without video: of the audio) that was complete by then.
        received_pts: Option<i64>,
        /// What it says.
        splice: Splice,
    },
    /// A stream is left out. Told once for each packet id.
    Unsupported(Unsupported),
}

/// A stream that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsupported {
    /// Of the stream.
    pub pid: u16,
    /// As the PMT has it.
    pub stream_type: u8,
    /// What it is, such as `MPEG-2 video`, or `scrambled`.
    pub name: &'static str,
}

/// A program and those of its streams that are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its number in the PAT.
    pub number: u16,
    /// Where its clock is.
    pub pcr_pid: Option<u16>,
    /// In the order of the PMT.
    pub streams: Vec<Stream>,
}

impl Program {
    pub(super) fn has_video(&self) -> bool {
        self.streams.iter().any(|s| s.format.is_video())
    }

    pub(super) fn has_media(&self) -> bool {
        self.streams.iter().any(|s| s.format.is_video() || s.format.is_audio())
    }
}

/// One stream of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// Packet id.
    pub pid: u16,
    /// As the PMT has it.
    pub stream_type: u8,
    /// What it carries.
    pub format: StreamFormat,
    /// What is spoken.
    pub language: Option<Language>,
}

/// Counters since the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Transport packets read.
    pub packets: u64,
    /// Packets missing by their counters, of the streams that are read.
    pub lost_packets: u64,
    /// Packets with the error indicator or with fields that do not fit.
    pub damaged_packets: u64,
    /// PES packets dropped for a hole, their size or their header.
    pub lost_units: u64,
    /// How often a packet did not begin where it had to.
    pub sync_losses: u64,
    /// Bytes passed over in search of packets.
    pub skipped_bytes: u64,
    /// Sections with a wrong checksum, size or content.
    pub bad_sections: u64,
}
