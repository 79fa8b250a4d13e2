//! Opus: identification header, channel layouts and packet lengths.
//!
//! Spec: RFC 6716 §3.1 (packets), RFC 7845 §5.1 (`OpusHead`), "Encapsulation of Opus in ISOBMFF" §4.3.2 (`dOps`).

use bytes::Bytes;
use nx_media::{AudioCodec, AudioParams, Language};

/// Opus always decodes at this rate, in hertz.
pub const SAMPLE_RATE: u32 = 48_000;
/// Most channels that [`params`] knows a layout for.
pub const CHANNELS_MAX: u8 = 8;
/// Samples of the usual packet: 20 ms.
const FRAME_SAMPLES: u32 = 960;
/// Samples of the longest packet: 120 ms.
const PACKET_SAMPLES_MAX: u32 = 5_760;
/// Streams, coupled streams, and the decoded channel of each loudspeaker, for 1 to 8 loudspeakers in Vorbis
/// order (RFC 7845 §5.1.1.2), as libopus and every encoder that follows it order the streams.
const LAYOUTS: [(u8, u8, &[u8]); 8] = [
    (1, 0, &[0]),
    (1, 1, &[0, 1]),
    (2, 1, &[0, 2, 1]),
    (2, 2, &[0, 1, 2, 3]),
    (3, 2, &[0, 4, 1, 2, 3]),
    (4, 2, &[0, 4, 1, 2, 3, 5]),
    (4, 3, &[0, 4, 1, 2, 3, 5, 6]),
    (5, 3, &[0, 6, 1, 2, 3, 4, 5, 7]),
];

/// The bytes are not an `OpusHead` that this system carries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpusError {
    /// The header ends too early.
    #[error("OpusHead of {got} bytes, it needs at least {want}")]
    Truncated {
        /// Size of what was given.
        got: usize,
        /// Size of the header.
        want: usize,
    },
    /// Another magic than `OpusHead`.
    #[error("Opus sequence start does not begin with 'OpusHead'")]
    Magic,
    /// A version that is not compatible with 1.
    #[error("unsupported OpusHead version {0}, send version 1")]
    Version(u8),
    /// A channel count that its mapping family does not have.
    #[error("Opus mapping family {family} has no layout of {channels} channels")]
    Channels {
        /// Channel mapping family.
        family: u8,
        /// Output channels.
        channels: u8,
    },
    /// A family with another table than a stream number per channel.
    #[error("unsupported Opus mapping family {0}; 0, 1, 2 and 255 are taken")]
    Family(u8),
    /// The mapping table names streams that are not there.
    #[error("Opus mapping table does not fit {streams} streams, {coupled} of them coupled")]
    Mapping {
        /// Stream count.
        streams: u8,
        /// Coupled stream count.
        coupled: u8,
    },
}

/// Reads an identification header, as the sequence start of enhanced RTMP carries it.
///
/// # Errors
///
/// [`OpusError`]; the track cannot be published.
///
/// Spec: RFC 7845 §5.1.
pub fn parse_head(head: &Bytes) -> Result<AudioParams, OpusError> {
    let short = |want| OpusError::Truncated { got: head.len(), want };
    let Some((magic, rest)) = head.split_first_chunk() else { return Err(short(19)) };
    if magic != b"OpusHead" {
        return Err(OpusError::Magic);
    }
    let &[version, channels, skip0, skip1, r0, r1, r2, r3, g0, g1, family] =
        rest.first_chunk().ok_or(short(19))?;
    if version >> 4 != 0 {
        return Err(OpusError::Version(version));
    }
    // Little-endian there, big-endian here.
    let mut config = vec![0, channels, skip1, skip0, r3, r2, r1, r0, g1, g0, family];
    let layout = match (family, channels) {
        (0, 1 | 2) => &[][..],
        (1, 1..=CHANNELS_MAX) | (2 | 255, 1..) => {
            let want = 21 + usize::from(channels);
            head.get(19..want).ok_or(short(want))?
        }
        (0 | 1 | 2 | 255, _) => return Err(OpusError::Channels { family, channels }),
        _ => return Err(OpusError::Family(family)),
    };
    if let &[streams, coupled, ref mapping @ ..] = layout {
        let decoded = streams.checked_add(coupled).filter(|_| streams > 0 && coupled <= streams);
        let fits = |n: u8| mapping.iter().all(|&m| m < n || m == 255);
        if !decoded.is_some_and(fits) {
            return Err(OpusError::Mapping { streams, coupled });
        }
    }
    config.extend_from_slice(layout);
    Ok(audio(config, channels, None))
}

/// Parameters of a stream without identification header, as in MPEG-TS: the usual layout of 1 to 8 channels;
/// other counts are taken as the nearest of these.
#[must_use]
pub fn params(channels: u8, language: Option<Language>) -> AudioParams {
    let channels = channels.clamp(1, CHANNELS_MAX);
    let mut config = vec![0, channels, 0, 0, 0, 0, 0xbb, 0x80, 0, 0, u8::from(channels > 2)];
    if let (3.., Some((streams, coupled, mapping))) = (channels, LAYOUTS.get(usize::from(channels) - 1)) {
        config.extend_from_slice(&[*streams, *coupled]);
        config.extend_from_slice(mapping);
    }
    audio(config, channels, language)
}

fn audio(config: Vec<u8>, channels: u8, language: Option<Language>) -> AudioParams {
    AudioParams {
        codec: AudioCodec::Opus,
        config: config.into(),
        sample_rate: SAMPLE_RATE,
        channels,
        frame_samples: FRAME_SAMPLES,
        rfc6381: "opus".to_owned(),
        language,
    }
}

/// Samples in a packet at 48 kHz, or `None` when it is empty or longer than 120 ms. The frames themselves are
/// not looked at.
///
/// Spec: RFC 6716 §3.1 and §3.2.
#[must_use]
pub fn packet_samples(packet: &[u8]) -> Option<u32> {
    let toc = packet.first()?;
    let config = toc >> 3;
    let frame = match (config, config & 3) {
        (..=11, 3) => 2_880,
        (..=11, n) => 480 << n,
        (12..=15, n) => 480 << (n & 1),
        (_, n) => 120 << n,
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    Some(frame * frames).filter(|samples| (1..=PACKET_SAMPLES_MAX).contains(samples))
}

#[cfg(test)]
mod tests;
