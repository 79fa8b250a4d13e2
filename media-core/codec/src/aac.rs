//! AAC: the `AudioSpecificConfig`, writing of ADTS headers, and silence. What transport streams wrap it in is
//! read by [`adts`] and [`latm`].
//!
//! Spec: ISO/IEC 14496-3 §1.6.2 (configuration), §4.4.1 (GA configuration), ISO/IEC 13818-7 §6.2 (ADTS).

use bytes::Bytes;
use nx_media::{AudioCodec, AudioParams};

use crate::bits::Bits;

pub mod adts;
mod extent;
pub mod latm;

/// Longest configuration that [`parse_config`] takes, in bytes; the longest useful one (a program config
/// element with a full comment) stays below.
pub const CONFIG_BYTES_MAX: usize = 512;
/// Longest frame with its header that ADTS can state, in bytes (13 bits).
pub const ADTS_BYTES_MAX: usize = 0x1fff;
/// Bytes of an ADTS header without CRC.
pub const ADTS_HEADER_LEN: usize = 7;

/// ISO/IEC 14496-3 table 1.18.
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
/// Rates beyond these are refused.
const RATE_RANGE: std::ops::RangeInclusive<u32> = 7_350..=192_000;
const AOT_LC: u8 = 2;
const AOT_SBR: u8 = 5;
const AOT_PS: u8 = 29;

/// One AAC-LC access unit of silence, mono and stereo.
const SILENCE_MONO: &[u8] = &[0x00, 0xc8, 0x00, 0x80, 0x23, 0x80];
const SILENCE_STEREO: &[u8] = &[0x21, 0x00, 0x49, 0x90, 0x02, 0x19, 0x00, 0x23, 0x80];

/// The configuration is not AAC that this system carries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AacError {
    /// A field reaches past the end.
    #[error("AudioSpecificConfig of {len} bytes ends inside the field at bit {bit}")]
    Truncated {
        /// Where the field begins, in bits.
        bit: usize,
        /// Size of the configuration, in bytes.
        len: usize,
    },
    /// The configuration is larger than [`CONFIG_BYTES_MAX`].
    #[error("AudioSpecificConfig has {got} bytes, at most {max} are taken")]
    ConfigTooLong {
        /// Size of the configuration.
        got: usize,
        /// [`CONFIG_BYTES_MAX`].
        max: usize,
    },
    /// Another object type than 1 to 4, alone or inside SBR (5) or PS (29).
    #[error(
        "unsupported MPEG-4 audio object type {0}; AAC Main, LC, SSR, LTP, HE-AAC and HE-AACv2 are taken"
    )]
    ObjectType(u8),
    /// A reserved rate index or a rate out of range.
    #[error("unsupported sample rate: index {index}, {hz} Hz")]
    SampleRate {
        /// `samplingFrequencyIndex`, 15 when the rate is spelled out.
        index: u8,
        /// In hertz, 0 when the index is reserved.
        hz: u32,
    },
    /// A reserved `channelConfiguration`, or a program config element without a channel.
    #[error("unsupported channel configuration {0}")]
    Channels(u8),
    /// The stream cannot be told in an ADTS header.
    #[error("ADTS cannot carry this stream: {0}")]
    NotAdts(&'static str),
    /// The access unit is too long for ADTS.
    #[error("access unit of {got} bytes, ADTS carries at most {max}")]
    FrameTooLong {
        /// Size of the raw access unit.
        got: usize,
        /// The most that fits.
        max: usize,
    },
}

/// Reads an `AudioSpecificConfig`. `config` of the result is `asc` itself, not a copy.
///
/// `sample_rate` is that of the core codec also for HE-AAC, whose output has twice as many samples per
/// access unit; `channels` counts the output (HE-AACv2: 2 from a mono core). SBR that is not signalled, or
/// only behind the core configuration, does not change the result.
///
/// # Errors
///
/// [`AacError`] but the ADTS variants; the track cannot be published.
///
/// Spec: ISO/IEC 14496-3 §1.6.2.1, RFC 6381 §3.3.
pub fn parse_config(asc: &Bytes) -> Result<AudioParams, AacError> {
    let config = Asc::parse(asc)?;
    Ok(AudioParams {
        codec: AudioCodec::Aac,
        config: asc.clone(),
        sample_rate: config.sample_rate,
        channels: if config.object_type == AOT_PS { config.channels.max(2) } else { config.channels },
        frame_samples: if config.short_frames { 960 } else { 1024 },
        rfc6381: format!("mp4a.40.{}", config.object_type),
        language: None,
    })
}

/// One raw access unit of silence, `frame_samples` long, or `None` when none is known for this stream (only
/// AAC-LC cores of 1024 samples with one or two channels have one).
#[must_use]
pub fn silent_frame(params: &AudioParams) -> Option<&'static [u8]> {
    let config = Asc::parse(&params.config).ok()?;
    match (config.core_type, config.short_frames, config.channel_config) {
        (AOT_LC, false, 1) => Some(SILENCE_MONO),
        (AOT_LC, false, 2) => Some(SILENCE_STEREO),
        _ => None,
    }
}

/// ADTS header of one access unit of `frame_len` bytes. For many frames keep an [`Adts`].
///
/// # Errors
///
/// As [`Adts::new`] and [`Adts::header`].
pub fn adts_header(params: &AudioParams, frame_len: usize) -> Result<[u8; ADTS_HEADER_LEN], AacError> {
    Adts::new(params)?.header(frame_len)
}

/// Makes the ADTS headers of one track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adts {
    /// `audioObjectType` - 1, 0 to 3.
    profile: u8,
    /// 0 to 12.
    rate_index: u8,
    /// 1 to 7.
    channel_config: u8,
}

impl Adts {
    /// Prepares headers for a track. SBR and PS are told as their core: decoders find them by themselves.
    ///
    /// # Errors
    ///
    /// [`AacError::NotAdts`] for 960-sample frames, rates outside the table and channel layouts that have
    /// no number from 1 to 7; errors of [`parse_config`] when `params.config` is not a configuration.
    ///
    /// Spec: ISO/IEC 14496-3 §1.A.3.2.
    pub fn new(params: &AudioParams) -> Result<Self, AacError> {
        let config = Asc::parse(&params.config)?;
        if config.short_frames {
            return Err(AacError::NotAdts("frames of 960 samples"));
        }
        let rate_index = RATES.iter().position(|&hz| hz == config.sample_rate);
        let rate_index = rate_index.and_then(|i| u8::try_from(i).ok());
        if !matches!(config.channel_config, 1..=7) {
            return Err(AacError::NotAdts("the channel layout has no number from 1 to 7"));
        }
        Ok(Self {
            profile: config.core_type - 1,
            rate_index: rate_index.ok_or(AacError::NotAdts("the sample rate is not in the table"))?,
            channel_config: config.channel_config,
        })
    }

    /// Header of one access unit of `frame_len` bytes, without CRC.
    ///
    /// # Errors
    ///
    /// [`AacError::FrameTooLong`] when header and frame exceed [`ADTS_BYTES_MAX`].
    pub fn header(self, frame_len: usize) -> Result<[u8; ADTS_HEADER_LEN], AacError> {
        let max = ADTS_BYTES_MAX - ADTS_HEADER_LEN;
        if frame_len > max {
            return Err(AacError::FrameTooLong { got: frame_len, max });
        }
        // Sync word, MPEG-4, layer 0, no CRC; buffer fullness 0x7ff: variable rate; one raw data block.
        let len = u64::try_from(frame_len + ADTS_HEADER_LEN).unwrap_or(0);
        let bits = (0xfff1 << 40)
            | (u64::from(self.profile) << 38)
            | (u64::from(self.rate_index) << 34)
            | (u64::from(self.channel_config) << 30)
            | (len << 13)
            | (0x7ff << 2);
        let [_, header @ ..] = bits.to_be_bytes();
        Ok(header)
    }
}

/// What the configuration says, before it is mapped to track parameters.
#[derive(Debug, Clone, Copy)]
struct Asc {
    /// The first object type: 5 and 29 when SBR or PS is explicit.
    object_type: u8,
    /// Object type of the core codec, 1 to 4.
    core_type: u8,
    sample_rate: u32,
    channel_config: u8,
    /// Channels of the core.
    channels: u8,
    short_frames: bool,
}

impl Asc {
    fn parse(asc: &[u8]) -> Result<Self, AacError> {
        if asc.len() > CONFIG_BYTES_MAX {
            return Err(AacError::ConfigTooLong { got: asc.len(), max: CONFIG_BYTES_MAX });
        }
        let mut bits = Bits::new(asc);
        let short = |bits: &Bits<'_>| AacError::Truncated { bit: bits.position(), len: asc.len() };
        let object_type = object_type(&mut bits).ok_or_else(|| short(&bits))?;
        let (index, hz) = rate(&mut bits).ok_or_else(|| short(&bits))?;
        let channel_config = byte(&mut bits, 4).ok_or_else(|| short(&bits))?;
        let mut core_type = object_type;
        if matches!(object_type, AOT_SBR | AOT_PS) {
            rate(&mut bits).ok_or_else(|| short(&bits))?;
            core_type = self::object_type(&mut bits).ok_or_else(|| short(&bits))?;
        }
        if !matches!(core_type, 1..=4) {
            return Err(AacError::ObjectType(core_type));
        }
        if !RATE_RANGE.contains(&hz) {
            return Err(AacError::SampleRate { index, hz });
        }
        let short_frames = ga_header(&mut bits).ok_or_else(|| short(&bits))?;
        let channels = match channel_config {
            0 => program_channels(&mut bits).ok_or_else(|| short(&bits))?,
            n => channels_of(n),
        };
        if channels == 0 {
            return Err(AacError::Channels(channel_config));
        }
        Ok(Self { object_type, core_type, sample_rate: hz, channel_config, channels, short_frames })
    }
}

fn byte(bits: &mut Bits<'_>, n: u32) -> Option<u8> {
    bits.take(n).and_then(|v| u8::try_from(v).ok())
}

/// `GetAudioObjectType()`: 31 escapes to 6 more bits.
fn object_type(bits: &mut Bits<'_>) -> Option<u8> {
    match byte(bits, 5)? {
        31 => Some(32 + byte(bits, 6)?),
        n => Some(n),
    }
}

/// Rate index and hertz; 0 Hz when the index is reserved.
fn rate(bits: &mut Bits<'_>) -> Option<(u8, u32)> {
    let index = byte(bits, 4)?;
    let hz = match index {
        15 => bits.take(24)?,
        i => RATES.get(usize::from(i)).copied().unwrap_or(0),
    };
    Some((index, hz))
}

/// Start of `GASpecificConfig`; `true` when frames have 960 samples.
fn ga_header(bits: &mut Bits<'_>) -> Option<bool> {
    let short_frames = bits.flag()?;
    if bits.flag()? {
        bits.take(14)?;
    }
    bits.flag()?;
    Some(short_frames)
}

/// ISO/IEC 14496-3 table 1.19; 0 for reserved values.
fn channels_of(channel_config: u8) -> u8 {
    match channel_config {
        n @ 1..=6 => n,
        11 => 7,
        7 | 12 | 14 => 8,
        _ => 0,
    }
}

/// Channels that a `program_config_element` lists (at most 93: three lists of 15 pairs and 3 LFE).
///
/// Spec: ISO/IEC 14496-3 §4.4.1.1.
fn program_channels(bits: &mut Bits<'_>) -> Option<u8> {
    bits.take(4 + 2 + 4)?;
    let elements = bits.take(4)? + bits.take(4)? + bits.take(4)?;
    let lfe = byte(bits, 2)?;
    bits.take(3 + 4)?;
    for mixdown_bits in [4, 4, 3] {
        if bits.flag()? {
            bits.take(mixdown_bits)?;
        }
    }
    let mut channels = lfe;
    for _ in 0..elements {
        channels += if bits.flag()? { 2 } else { 1 };
        bits.take(4)?;
    }
    Some(channels)
}

#[cfg(test)]
mod tests;
