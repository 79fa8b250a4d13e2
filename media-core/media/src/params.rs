//! What a decoder has to know before the first sample of a track.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Language;

/// The two sorts of track that a live stream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// Video codecs that the system carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum VideoCodec {
    /// H.264, ISO/IEC 14496-10.
    Avc,
    /// H.265, ISO/IEC 23008-2.
    Hevc,
    /// AV1, AOMedia bitstream specification.
    Av1,
    /// VP9, WebM project.
    Vp9,
    /// MPEG-4 Visual, ISO/IEC 14496-2: of files, to be made into something else.
    Mpeg4,
    /// MPEG-2 Video, ISO/IEC 13818-2: as MPEG-4 Visual.
    Mpeg2,
}

impl VideoCodec {
    /// Whether streams are served in it; what is not can only be decoded.
    #[must_use]
    pub fn is_carried(self) -> bool {
        !matches!(self, Self::Mpeg4 | Self::Mpeg2)
    }
}

/// Audio codecs that the system carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AudioCodec {
    /// MPEG-4 AAC, ISO/IEC 14496-3.
    Aac,
    /// Opus, RFC 6716.
    Opus,
    /// FLAC, RFC 9639.
    Flac,
    /// Dolby Digital, ETSI TS 102 366.
    Ac3,
    /// Dolby Digital Plus, ETSI TS 102 366 annex E.
    Eac3,
    /// MPEG-1 and MPEG-2 audio layers 2 and 3, ISO/IEC 11172-3 and 13818-3.
    Mpa,
}

/// Frames per second as a fraction, as the bitstream states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameRate {
    /// Numerator, more than 0.
    pub num: u32,
    /// Denominator, more than 0.
    pub den: u32,
}

impl FrameRate {
    /// Length of one frame in ticks of `timescale`, rounded to the nearest tick, at least 1.
    #[must_use]
    pub fn frame_ticks(self, timescale: u32) -> u32 {
        let (num, den) = (u64::from(self.num.max(1)), u64::from(self.den));
        u32::try_from(((den * u64::from(timescale)) + num / 2) / num).unwrap_or(u32::MAX).max(1)
    }

    /// Frames per second as a decimal number.
    #[must_use]
    pub fn fps(self) -> f64 {
        f64::from(self.num) / f64::from(self.den.max(1))
    }
}

/// How brightness is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum VideoRange {
    /// Standard dynamic range, and whatever the bitstream does not tell.
    #[default]
    Sdr,
    /// Hybrid log-gamma, ARIB STD-B67.
    Hlg,
    /// Perceptual quantizer, SMPTE ST 2084.
    Pq,
}

impl VideoRange {
    /// By the number of the transfer function (ITU-T H.273 §8.2), which all codecs share.
    #[must_use]
    pub fn from_transfer(characteristics: u8) -> Self {
        match characteristics {
            16 => Self::Pq,
            18 => Self::Hlg,
            _ => Self::Sdr,
        }
    }
}

/// Parameters of a video track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoParams {
    /// Which bitstream.
    pub codec: VideoCodec,
    /// Decoder configuration: the payload of the ISO box. H.264 `avcC` (ISO/IEC 14496-15 §5.3.3.1), HEVC `hvcC`
    /// (§8.3.3.1), AV1 `av1C`, VP9 `vpcC` without the version and flags in front; MPEG-4 Visual and MPEG-2 the headers
    /// that stand in front of key frames.
    pub config: Bytes,
    /// Width in pixels after cropping.
    pub width: u32,
    /// Height in pixels after cropping.
    pub height: u32,
    /// Frame rate that the bitstream declares as fixed or nominal; a hint, measured time wins.
    pub frame_rate: Option<FrameRate>,
    /// Dynamic range that the bitstream declares.
    pub range: VideoRange,
    /// Codec string for playlists, such as `avc1.64001f` (RFC 6381).
    pub rfc6381: String,
}

/// Parameters of an audio track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioParams {
    /// Which bitstream.
    pub codec: AudioCodec,
    /// Decoder configuration. AAC: `AudioSpecificConfig` (ISO/IEC 14496-3 §1.6.2.1); Opus: payload of `dOps`;
    /// FLAC: `STREAMINFO` with its 4-byte block header (payload of `dfLa` without version and flags);
    /// AC-3, E-AC-3: payload of `dac3`, `dec3`; MPEG audio: empty.
    pub config: Bytes,
    /// Samples per second of the core codec; also the track's timescale.
    pub sample_rate: u32,
    /// Loudspeaker channels.
    pub channels: u8,
    /// PCM samples in one access unit (AAC: 1024 or 960); Opus and FLAC: of the usual one.
    pub frame_samples: u32,
    /// Codec string for playlists, such as `mp4a.40.2` (RFC 6381).
    pub rfc6381: String,
    /// What is spoken, when the publisher tells.
    pub language: Option<Language>,
}

/// Parameters of a track of either kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Params {
    /// A video track.
    Video(VideoParams),
    /// An audio track.
    Audio(AudioParams),
}

impl Params {
    /// Video or audio.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Video(_) => Kind::Video,
            Self::Audio(_) => Kind::Audio,
        }
    }

    /// Whether it is served as it is.
    #[must_use]
    pub fn is_carried(&self) -> bool {
        !matches!(self, Self::Video(v) if !v.codec.is_carried())
    }

    /// Ticks per second of the track's samples: 90 000 for video, the sample rate for audio.
    #[must_use]
    pub fn timescale(&self) -> u32 {
        match self {
            Self::Video(_) => crate::VIDEO_TIMESCALE,
            Self::Audio(a) => a.sample_rate.max(1),
        }
    }

    /// Codec string for playlists (RFC 6381).
    #[must_use]
    pub fn rfc6381(&self) -> &str {
        match self {
            Self::Video(v) => &v.rfc6381,
            Self::Audio(a) => &a.rfc6381,
        }
    }
}
