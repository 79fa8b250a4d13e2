//! How each format marks its frames, and what is in them.

use bytes::Bytes;
use nx_media::AudioParams;

use super::{AudioFormat, CARRY_BYTES_MAX};
use crate::aac::adts::{self, AdtsError};
use crate::aac::latm::{LOAS_HEADER_LEN, Latm, LatmError, loas_frame_len};
use crate::ac3::{Ac3Error, AccessUnit, DEPENDENT_MAX, Substream};
use crate::mpa::{self, MpaError};
use crate::{aac, ac3, opus};

/// The frames of one format.
#[derive(Debug)]
pub(super) enum Framing {
    Adts,
    Latm(Latm),
    Mpa,
    Ac3 {
        /// Dependent substreams of the access unit before. So many are waited for, more are lost once.
        dependents: u8,
    },
    Opus(AudioParams),
}

/// What bytes begin with.
pub(super) enum Probe {
    /// Too little to tell.
    Short,
    /// No frame.
    Bad,
    /// A frame; its end need not be there.
    Frame(Head),
}

/// What is known of a frame.
#[derive(Debug)]
pub(super) struct Head {
    /// Bytes with all headers.
    pub(super) len: usize,
    /// Bytes in front of the access unit.
    skip: usize,
    /// Samples of one access unit. Opus and LATM tell only in [`Framing::access_units`].
    pub(super) samples: u32,
    /// In hertz. LATM tells only in [`Framing::access_units`].
    pub(super) sample_rate: u32,
    /// Differs when the parameters do.
    pub(super) signature: Signature,
}

/// What of a header matters for the parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Signature {
    Fields(u64),
    Config(Bytes),
}

impl Framing {
    pub(super) fn new(format: AudioFormat) -> Self {
        match format {
            AudioFormat::AacAdts => Self::Adts,
            AudioFormat::AacLatm => Self::Latm(Latm::new()),
            AudioFormat::Mpa => Self::Mpa,
            AudioFormat::Ac3 | AudioFormat::Eac3 => Self::Ac3 { dependents: 0 },
            AudioFormat::Opus { channels } => Self::Opus(opus::params(channels, None)),
        }
    }

    /// Reads the header at the start of `data`.
    pub(super) fn probe(&self, data: &[u8]) -> Probe {
        match self {
            Self::Adts => adts(data),
            Self::Latm(_) => loas(data),
            Self::Mpa => mpa(data),
            Self::Ac3 { dependents } => ac3(data, *dependents),
            Self::Opus(_) => opus(data),
        }
    }

    /// Access units of a whole frame, none for one of another program; `None` when it cannot be read.
    /// Completes `head`.
    pub(super) fn access_units(&mut self, head: &mut Head, frame: &Bytes) -> Option<Vec<Bytes>> {
        let content = frame.get(head.skip..).map(|content| frame.slice_ref(content))?;
        match self {
            Self::Adts | Self::Mpa => {}
            Self::Latm(latm) => {
                let access_units = match latm.read(&content) {
                    Err(LatmError::NoConfig) => return Some(Vec::new()),
                    read => read.ok()?,
                };
                let params = latm.params()?;
                head.samples = params.frame_samples;
                head.sample_rate = params.sample_rate;
                head.signature = Signature::Config(params.config.clone());
                return Some(access_units);
            }
            Self::Ac3 { dependents } => {
                let unit = AccessUnit::parse(frame).ok()?;
                match unit.first.substream {
                    Substream::Independent(0) => *dependents = unit.dependents,
                    Substream::Independent(_) => return Some(Vec::new()),
                    Substream::Dependent(_) => {
                        *dependents = (*dependents + 1).min(DEPENDENT_MAX);
                        return Some(Vec::new());
                    }
                }
            }
            Self::Opus(_) => head.samples = opus::packet_samples(&content)?,
        }
        Some(vec![content])
    }

    /// Parameters of the track that a frame, read before, belongs to.
    pub(super) fn params(&self, frame: &[u8]) -> Option<AudioParams> {
        match self {
            Self::Adts => adts::parse(frame).ok().and_then(|adts| aac::parse_config(&adts.config).ok()),
            Self::Latm(latm) => latm.params().cloned(),
            Self::Mpa => mpa::params(frame).ok(),
            Self::Ac3 { .. } => ac3::params(frame).ok(),
            Self::Opus(params) => Some(params.clone()),
        }
    }
}

fn adts(data: &[u8]) -> Probe {
    match adts::parse(data) {
        Ok(frame) => Probe::Frame(Head {
            len: frame.frame_len,
            skip: frame.header_len,
            samples: 1_024,
            sample_rate: frame.sample_rate,
            signature: Signature::Config(frame.config),
        }),
        Err(AdtsError::Truncated { .. }) => Probe::Short,
        Err(_) => Probe::Bad,
    }
}

fn loas(data: &[u8]) -> Probe {
    match loas_frame_len(data) {
        Some(len) => Probe::Frame(Head {
            len,
            skip: LOAS_HEADER_LEN,
            samples: 0,
            sample_rate: 0,
            signature: Signature::Fields(0),
        }),
        None if data.len() < LOAS_HEADER_LEN => Probe::Short,
        None => Probe::Bad,
    }
}

fn mpa(data: &[u8]) -> Probe {
    match mpa::parse_frame(data) {
        Ok(header) => Probe::Frame(Head {
            len: header.frame_len,
            skip: 0,
            samples: header.samples,
            sample_rate: header.sample_rate,
            signature: Signature::Fields(
                u64::from(header.sample_rate) << 16
                    | u64::from(header.layer) << 9
                    | u64::from(header.low_rate) << 8
                    | u64::from(header.channels),
            ),
        }),
        Err(MpaError::Truncated { .. }) => Probe::Short,
        Err(_) => Probe::Bad,
    }
}

fn ac3(data: &[u8], dependents: u8) -> Probe {
    match AccessUnit::parse(data) {
        // Whole as far as it goes, but the last one had more.
        Ok(unit) if !unit.bounded && unit.dependents < dependents && unit.len <= data.len() => Probe::Short,
        Ok(unit) => Probe::Frame(Head {
            len: unit.len,
            skip: 0,
            samples: unit.first.samples,
            sample_rate: unit.first.sample_rate,
            signature: Signature::Fields(unit.signature()),
        }),
        Err(Ac3Error::Truncated { .. }) => Probe::Short,
        Err(_) => Probe::Bad,
    }
}

/// Control header of the ETSI draft "Opus in MPEG-TS": 11 bits 0x3ff, flags, size, what the flags announce. The
/// trims concern recordings; nobody joins a live stream at its first sample.
fn opus(data: &[u8]) -> Probe {
    let (first, flags, rest) = match *data {
        [] | [0x7f] => return Probe::Short,
        [first, flags, ref rest @ ..] => (first, flags, rest),
        _ => return Probe::Bad,
    };
    if first != 0x7f || flags & 0xe0 != 0xe0 {
        return Probe::Bad;
    }
    let laces = rest.iter().take_while(|&&byte| byte == 0xff).count();
    if laces > CARRY_BYTES_MAX / 255 {
        return Probe::Bad;
    }
    let Some(&last) = rest.get(laces) else { return Probe::Short };
    let trims = usize::from((flags >> 4) & 1) + usize::from((flags >> 3) & 1);
    let mut skip = 2 + laces + 1 + 2 * trims;
    if flags & 4 != 0 {
        let Some(&extension) = data.get(skip) else { return Probe::Short };
        skip += 1 + usize::from(extension);
    }
    Probe::Frame(Head {
        len: skip + laces * 255 + usize::from(last),
        skip,
        samples: 0,
        sample_rate: opus::SAMPLE_RATE,
        signature: Signature::Fields(0),
    })
}
