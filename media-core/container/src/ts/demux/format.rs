//! What a stream of a PMT is, by its type and descriptors.
//!
//! Spec: ISO/IEC 13818-1 table 2-34, §2.6; ETSI EN 300 468 §6.2 and annex D (DVB); ATSC A/53-3; SCTE 35
//! §8.1; "Opus in MPEG-TS" 0.1.3-draft.

use nx_media::Language;

use super::super::wire::{
    DESC_EXT_OPUS, DESC_EXTENSION, DESC_LANGUAGE, DESC_REGISTRATION, ID_AC3, ID_EAC3, ID_OPUS, TYPE_AC3,
    TYPE_ADTS, TYPE_AVC, TYPE_EAC3, TYPE_HEVC, TYPE_LATM, TYPE_MPA1, TYPE_MPA2, TYPE_PRIVATE, TYPE_SCTE35,
};

/// What a stream carries, as far as the demultiplexer gives it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamFormat {
    /// H.264 byte stream.
    Avc,
    /// HEVC byte stream.
    Hevc,
    /// AAC in ADTS.
    AacAdts,
    /// AAC in LATM with LOAS sync.
    AacLatm,
    /// MPEG-1 or MPEG-2 audio, any layer.
    Mpa,
    /// Dolby Digital.
    Ac3,
    /// Dolby Digital Plus.
    Eac3,
    /// Opus packets behind control headers.
    Opus {
        /// Loudspeaker channels, 1 to 8, in the Vorbis order.
        channels: u8,
    },
    /// Splice information; comes as events of its own.
    Scte35,
}

impl StreamFormat {
    /// H.264 or HEVC.
    #[must_use]
    pub fn is_video(self) -> bool {
        matches!(self, Self::Avc | Self::Hevc)
    }

    /// Any of the audio formats.
    #[must_use]
    pub fn is_audio(self) -> bool {
        !self.is_video() && self != Self::Scte35
    }
}

/// Tells the format, or the name of one that is not supported. `info` are the descriptors of the stream; on
/// Blu-ray some types have another meaning.
pub(super) fn stream(stream_type: u8, info: &[u8], blu_ray: bool) -> Result<StreamFormat, &'static str> {
    match (stream_type, blu_ray) {
        (TYPE_AVC, _) => Ok(StreamFormat::Avc),
        (TYPE_HEVC, _) => Ok(StreamFormat::Hevc),
        (TYPE_ADTS, _) => Ok(StreamFormat::AacAdts),
        (TYPE_LATM, _) => Ok(StreamFormat::AacLatm),
        (TYPE_MPA1 | TYPE_MPA2, _) => Ok(StreamFormat::Mpa),
        (TYPE_AC3, _) => Ok(StreamFormat::Ac3),
        (TYPE_EAC3, false) | (0x84, true) => Ok(StreamFormat::Eac3),
        (TYPE_SCTE35, false) => Ok(StreamFormat::Scte35),
        (TYPE_PRIVATE, _) => private(info),
        (0x82 | 0x85 | TYPE_SCTE35, true) | (0x8a, _) => Err("DTS"),
        (0x80, true) => Err("Blu-ray LPCM"),
        (0x83, true) => Err("Dolby TrueHD"),
        (other, _) => Err(name(other)),
    }
}

/// Private data is what its descriptors say, the DVB ones or the registration.
fn private(info: &[u8]) -> Result<StreamFormat, &'static str> {
    let dvb = descriptors(info).find_map(|(tag, body)| match (tag, body) {
        (0x6a, _) => Some(Ok(StreamFormat::Ac3)),
        (0x7a, _) => Some(Ok(StreamFormat::Eac3)),
        (0x7b, _) => Some(Err("DTS")),
        (0x56, _) => Some(Err("teletext")),
        (0x59, _) => Some(Err("DVB subtitles")),
        (DESC_EXTENSION, [0x15, ..]) => Some(Err("AC-4")),
        _ => None,
    });
    dvb.unwrap_or_else(|| match registration(info) {
        Some(ID_AC3) => Ok(StreamFormat::Ac3),
        Some(ID_EAC3) => Ok(StreamFormat::Eac3),
        Some(ID_OPUS) => opus(info),
        Some(id) => Err(match &id {
            b"AV01" => "AV1",
            b"VP09" => "VP9",
            b"fLaC" => "FLAC",
            b"AC-4" => "AC-4",
            b"DTS1" | b"DTS2" | b"DTS3" => "DTS",
            b"BSSD" => "SMPTE 302M audio",
            b"KLVA" => "KLV metadata",
            _ => "private data",
        }),
        None => Err("private data"),
    })
}

/// Without a descriptor of its channels Opus has two; code 0 is two independent ones.
fn opus(info: &[u8]) -> Result<StreamFormat, &'static str> {
    let code = descriptors(info).find_map(|(tag, body)| match (tag, body) {
        (DESC_EXTENSION, [DESC_EXT_OPUS, code, ..]) => Some(*code),
        _ => None,
    });
    match code.unwrap_or(2) {
        0 => Ok(StreamFormat::Opus { channels: 2 }),
        channels @ 1..=8 => Ok(StreamFormat::Opus { channels }),
        _ => Err("Opus with a channel mapping of its own"),
    }
}

fn name(stream_type: u8) -> &'static str {
    match stream_type {
        0x01 => "MPEG-1 video",
        0x02 => "MPEG-2 video",
        0x05 => "private sections",
        0x08 | 0x0a..=0x0d | 0x14 => "DSM-CC",
        0x10 => "MPEG-4 part 2 video",
        0x15 => "timed metadata",
        0x1c => "raw MPEG-4 audio",
        0x21 => "JPEG 2000 video",
        0x32 => "JPEG XS video",
        0x33 => "VVC",
        0x42 | 0xd2 | 0xd4 => "AVS video",
        0x82 => "subtitles",
        0xc1 | 0xc2 | 0xcf | 0xdb => "encrypted media",
        0xd1 => "Dirac video",
        0xea => "VC-1 video",
        _ => "unknown stream type",
    }
}

/// Language of a stream (ISO 639 descriptor).
pub(super) fn language(info: &[u8]) -> Option<Language> {
    descriptors(info).find_map(|(tag, body)| match (tag, body) {
        (DESC_LANGUAGE, [code @ .., _audience]) => Language::new(code.get(..3)?),
        _ => None,
    })
}

/// Registered format identifier.
pub(super) fn registration(info: &[u8]) -> Option<[u8; 4]> {
    descriptors(info).find_map(|(tag, body)| match tag {
        DESC_REGISTRATION => body.first_chunk().copied(),
        _ => None,
    })
}

/// Tag and body of each descriptor; stops at the first that does not fit.
fn descriptors(mut info: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let ([tag, len], rest) = info.split_first_chunk::<2>()?;
        let (body, rest) = rest.split_at_checked((*len).into())?;
        info = rest;
        Some((*tag, body))
    })
}
