//! FLV tag bodies, which are also the payload of RTMP audio and video messages, and a reader of FLV files.
//!
//! Reading knows the legacy and the enhanced (`FourCC`) form, several tracks in one message and nanosecond
//! offsets. Writing uses the oldest form that can say it: legacy for H.264, AAC and MP3, enhanced for the
//! rest. A codec is carried when `codecs.rs` lists it; every other one is refused by name.
//!
//! Spec: Adobe FLV 10.1 annex E.4, Enhanced RTMP v2 (Veovera).

use bytes::Bytes;
use nx_media::{AudioCodec, Kind, VideoCodec};

mod codecs;
mod file;
mod index;
mod read;
mod write;

pub use file::{TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, Tags, tags};
pub(crate) use index::FlvFile;
pub use read::{parse_audio, parse_video};
pub use write::{
    Header, audio_config_body, audio_frame_header, multitrack_one, video_config_body, video_frame_header,
};

/// What one video message holds of one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VideoTag {
    /// Decoder configuration record for the frames that follow.
    Config {
        /// Which bitstream.
        codec: VideoCodec,
        /// As [`nx_media::VideoParams::config`]: `avcC`, `hvcC`, `av1C` or `vpcC` as sent, the last one without
        /// version and flags.
        record: Bytes,
    },
    /// One access unit, temporal unit (AV1) or frame (VP9).
    Frame {
        /// Which bitstream.
        codec: VideoCodec,
        /// The sender marks it as a key frame; see for example [`nx_codec::avc::is_idr`] for the truth.
        key: bool,
        /// Presentation time minus decode time in milliseconds, signed 24 bits.
        cts_ms: i32,
        /// To add to the time of the message, nanoseconds, 0 to 999 999.
        nanos: u32,
        /// For H.264 and HEVC, NAL units with the lengths of the record; may be empty. Shares the memory of the
        /// body.
        payload: Bytes,
    },
    /// No more frames of this configuration.
    EndOfSequence,
    /// Command frames and metadata: nothing to do.
    Ignored,
}

/// What one audio message holds of one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AudioTag {
    /// Decoder configuration for the frames that follow.
    Config {
        /// AAC, Opus or FLAC; the others have none.
        codec: AudioCodec,
        /// As sent. AAC: `AudioSpecificConfig`. Opus: `OpusHead` (RFC 7845 §5.1), empty when the sender leaves
        /// it at mono or stereo. FLAC: `fLaC` and metadata blocks.
        header: Bytes,
    },
    /// One access unit or, of MP3 and FLAC, one or more frames.
    Frame {
        /// Which bitstream.
        codec: AudioCodec,
        /// To add to the time of the message, nanoseconds, 0 to 999 999.
        nanos: u32,
        /// May be empty. Shares the memory of the body.
        payload: Bytes,
    },
    /// End of sequence, channel layout hints and empty configurations: nothing to do.
    Ignored,
}

/// The tag body is not one that this system carries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlvError {
    /// The body ends inside its header.
    #[error("FLV tag body ends early: {needed} bytes needed at offset {offset}, {got} left")]
    Truncated {
        /// Where the read began, in bytes.
        offset: usize,
        /// Bytes that the field asks for.
        needed: usize,
        /// Bytes that are left.
        got: usize,
    },
    /// The codec is known by name but not carried.
    #[error("unsupported {} codec: {name}; send {}", kind_name(*.kind), carried(*.kind))]
    Codec {
        /// Video or audio.
        kind: Kind,
        /// In words, or the `FourCC`.
        name: String,
    },
    /// A packet type that the specification does not know, or that only MPEG-2 TS has.
    #[error("unsupported {} packet type {got}", kind_name(*.kind))]
    PacketType {
        /// Video or audio.
        kind: Kind,
        /// The type that was found.
        got: u8,
    },
    /// Several tracks in a form that the specification does not know.
    #[error("unsupported {} multitrack type {got}", kind_name(*.kind))]
    Multitrack {
        /// Video or audio.
        kind: Kind,
        /// The type that was found.
        got: u8,
    },
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Video => "video",
        Kind::Audio => "audio",
    }
}

fn carried(kind: Kind) -> &'static str {
    match kind {
        Kind::Video => "H.264, HEVC, AV1 or VP9",
        Kind::Audio => "AAC, Opus, FLAC, AC-3, E-AC-3 or MP3",
    }
}

/// Packet type that announces several tracks.
///
/// Spec: Enhanced RTMP v2, `VideoPacketType.Multitrack`, `AudioPacketType.Multitrack`.
fn multitrack(kind: Kind) -> u8 {
    match kind {
        Kind::Video => 6,
        Kind::Audio => 5,
    }
}

#[cfg(test)]
mod tests;
