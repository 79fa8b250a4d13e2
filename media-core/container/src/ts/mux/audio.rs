//! Audio samples as PES packets: AAC in ADTS, Opus behind its control headers, the others as they are.
//!
//! Spec: ISO/IEC 13818-7 §6.2 (ADTS), ATSC A/52 annex A, ETSI TS 102 366 (Dolby), "Opus in MPEG-TS" 0.1.3-draft.

use nx_codec::aac::{ADTS_HEADER_LEN, Adts};
use nx_media::{AudioCodec, AudioParams, Language, Sample, VIDEO_TIMESCALE, rescale};

use super::super::wire::{
    DESC_EXT_OPUS, DESC_EXTENSION, DESC_LANGUAGE, DESC_REGISTRATION, ID_AC3, ID_EAC3, ID_OPUS, TYPE_AC3,
    TYPE_ADTS, TYPE_EAC3, TYPE_MPA1, TYPE_PRIVATE,
};
use super::TsError;
use super::packet::Unit;
use super::pes::{BOUNDED_BYTES_MAX, header, pcr};

/// The most audio in one PES packet, in 90 kHz ticks (100 ms).
const PES_90K_MAX: i64 = 9_000;
/// MPEG audio and AAC; the track's number is added.
const STREAM_AUDIO: u8 = 0xc0;
/// Everything that MPEG did not make.
const STREAM_PRIVATE_1: u8 = 0xbd;
/// Where `dOps` has its `ChannelMappingFamily`.
const DOPS_FAMILY_AT: usize = 10;
const OPUS_CHANNELS_MAX: u8 = 8;
const OPUS_TIMESCALE: u32 = 48_000;
/// Control header of an Opus packet: eleven bits of prefix, nothing trimmed, no extension.
const OPUS_CONTROL: [u8; 2] = [0x7f, 0xe0];

/// How the frames of a track are told apart.
#[derive(Clone, Copy)]
pub(super) enum Framing {
    Adts(Adts),
    Opus { channels: u8 },
    Ac3,
    Eac3,
    Mpa,
}

impl Framing {
    pub(super) fn new(params: &AudioParams) -> Result<Self, TsError> {
        match params.codec {
            AudioCodec::Aac => Ok(Self::Adts(Adts::new(params)?)),
            AudioCodec::Opus => match (params.channels, params.config.get(DOPS_FAMILY_AT)) {
                (channels @ 1..=OPUS_CHANNELS_MAX, None | Some(0 | 1)) => Ok(Self::Opus { channels }),
                _ => Err(TsError::Codec("Opus with a channel mapping of its own")),
            },
            AudioCodec::Ac3 => Ok(Self::Ac3),
            AudioCodec::Eac3 => Ok(Self::Eac3),
            AudioCodec::Mpa => Ok(Self::Mpa),
            AudioCodec::Flac => Err(TsError::Codec("FLAC")),
            _ => Err(TsError::Codec("this audio codec")),
        }
    }

    pub(super) fn stream_type(self) -> u8 {
        match self {
            Self::Adts(_) => TYPE_ADTS,
            Self::Opus { .. } => TYPE_PRIVATE,
            Self::Ac3 => TYPE_AC3,
            Self::Eac3 => TYPE_EAC3,
            Self::Mpa => TYPE_MPA1,
        }
    }

    pub(super) fn descriptors(self, language: Option<Language>) -> Vec<u8> {
        let mut out = Vec::new();
        let registration = match self {
            Self::Opus { .. } => Some(ID_OPUS),
            Self::Ac3 => Some(ID_AC3),
            Self::Eac3 => Some(ID_EAC3),
            Self::Adts(_) | Self::Mpa => None,
        };
        if let Some(id) = registration {
            out.extend_from_slice(&[DESC_REGISTRATION, 4]);
            out.extend_from_slice(&id);
        }
        if let Self::Opus { channels } = self {
            out.extend_from_slice(&[DESC_EXTENSION, 2, DESC_EXT_OPUS, channels]);
        }
        if let Some(language) = language {
            out.extend_from_slice(&[DESC_LANGUAGE, 4]);
            out.extend_from_slice(language.as_str().as_bytes());
            // Nothing is known about the audience.
            out.push(0);
        }
        out
    }

    fn stream_id(self, nth: u8) -> u8 {
        match self {
            Self::Adts(_) | Self::Mpa => STREAM_AUDIO | (nth & 0x1f),
            Self::Opus { .. } | Self::Ac3 | Self::Eac3 => STREAM_PRIVATE_1,
        }
    }

    /// Bytes of a frame with what is put in front of it.
    fn framed_len(self, payload: &[u8]) -> usize {
        payload.len()
            + match self {
                Self::Adts(_) => ADTS_HEADER_LEN,
                Self::Opus { .. } => OPUS_CONTROL.len() + payload.len() / 255 + 1,
                Self::Ac3 | Self::Eac3 | Self::Mpa => 0,
            }
    }

    fn write(self, out: &mut Vec<u8>, payload: &[u8]) -> Result<(), TsError> {
        match self {
            Self::Adts(adts) => out.extend_from_slice(&adts.header(payload.len())?),
            Self::Opus { .. } => {
                out.extend_from_slice(&OPUS_CONTROL);
                out.resize(out.len() + payload.len() / 255, 0xff);
                out.push(u8::try_from(payload.len() % 255).unwrap_or(0));
            }
            Self::Ac3 | Self::Eac3 | Self::Mpa => (),
        }
        out.extend_from_slice(payload);
        Ok(())
    }
}

/// Length of an Opus packet at 48 kHz (RFC 6716 §3.1).
fn opus_samples(packet: &[u8]) -> i64 {
    let Some(&toc) = packet.first() else { return 0 };
    let frame = match toc >> 3 {
        config @ 0..=11 => [480, 960, 1920, 2880].get(usize::from(config % 4)),
        config @ 12..=15 => [480, 960].get(usize::from(config % 2)),
        config => [120, 240, 480, 960].get(usize::from(config % 4)),
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(0, |count| i64::from(count & 0x3f)),
    };
    frame.map_or(0, |samples| samples * frames)
}

/// PES packets of an audio track, each with as many whole frames as fit the limits and follow each other.
pub(super) struct AudioUnits<'a> {
    framing: Framing,
    stream_id: u8,
    samples: &'a [Sample],
    timescale: u32,
    frame_samples: i64,
    with_pcr: bool,
    scratch: Vec<u8>,
}

impl<'a> AudioUnits<'a> {
    /// `nth` is the number of the track among the audio tracks.
    pub(super) fn new(
        framing: Framing,
        params: &AudioParams,
        samples: &'a [Sample],
        nth: u8,
        with_pcr: bool,
    ) -> Self {
        let (timescale, frame_samples) = (params.sample_rate, i64::from(params.frame_samples));
        let stream_id = framing.stream_id(nth);
        Self { framing, stream_id, samples, timescale, frame_samples, with_pcr, scratch: Vec::new() }
    }

    fn to_90k(&self, time: i64) -> i64 {
        rescale(time, self.timescale, VIDEO_TIMESCALE)
    }

    /// Decode time of the next packet; `None` at the end.
    pub(super) fn next_dts_90k(&self) -> Option<i64> {
        self.samples.first().map(|s| self.to_90k(s.dts))
    }

    /// Call only while [`Self::next_dts_90k`] tells a time.
    pub(super) fn next_unit(&mut self) -> Result<Unit<'_>, TsError> {
        let (count, len) = self.group();
        let (group, rest) = self.samples.split_at(count);
        let first = group.first().expect("the caller saw its decode time");
        let (pts, dts) = (self.to_90k(first.pts), self.to_90k(first.dts));
        self.samples = rest;
        self.scratch.clear();
        header(&mut self.scratch, self.stream_id, pts, dts, len);
        for sample in group {
            self.framing.write(&mut self.scratch, &sample.payload)?;
        }
        if len > BOUNDED_BYTES_MAX {
            return Err(TsError::FrameTooLong { got: len, max: BOUNDED_BYTES_MAX });
        }
        Ok(Unit {
            data: &self.scratch,
            pcr_90k: self.with_pcr.then(|| pcr(dts)),
            random_access: self.with_pcr,
            last: self.samples.is_empty(),
        })
    }

    /// How long a decoder plays a frame, whatever its sample says: this is how it dates those that follow in
    /// the same packet.
    fn ticks(&self, payload: &[u8]) -> i64 {
        match self.framing {
            Framing::Opus { .. } => rescale(opus_samples(payload), OPUS_TIMESCALE, self.timescale),
            _ => self.frame_samples,
        }
    }

    /// How many frames the next packet takes, at least one, and their bytes with framing.
    fn group(&self) -> (usize, usize) {
        let start = self.samples.first().map_or(0, |s| s.dts);
        let (mut count, mut len, mut span) = (0, 0, 0i64);
        for sample in self.samples {
            let follows = sample.dts == start.saturating_add(span);
            span = span.saturating_add(self.ticks(&sample.payload));
            let with = len + self.framing.framed_len(&sample.payload);
            if count > 0 && (!follows || self.to_90k(span) > PES_90K_MAX || with > BOUNDED_BYTES_MAX) {
                break;
            }
            (count, len) = (count + 1, with);
        }
        (count, len)
    }
}
