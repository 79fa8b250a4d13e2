//! What an operator wishes for: by name, or rung by rung.

use std::str::FromStr;

use nx_media::VideoCodec;
use nx_worker_protocol::{Device, PRESET_BYTES_MAX};
use serde::{Deserialize, Serialize};

/// Rungs of a profile.
pub const RUNGS_MAX: usize = 8;
/// Lines of the rungs of named profiles.
const STEPS: [u16; 7] = [2160, 1440, 1080, 720, 480, 360, 240];
pub(crate) const LINES: std::ops::RangeInclusive<u16> = 64..=4320;
const BITRATE_BPS: std::ops::RangeInclusive<u32> = 50_000..=200_000_000;

/// A ladder without a source.
///
/// By name: a codec, the lines of the highest rung and how many rungs there are (`h264-720p3`: 720, 480 and 360
/// lines), or `audio-only`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// From the largest on; none of `audio-only`.
    pub rungs: Vec<Wish>,
    /// There is no picture, not even the source's.
    pub audio_only: bool,
    /// The loudness is evened out.
    pub evened: bool,
    /// What encodes where it is there.
    pub device: Device,
    /// The source's picture is no rendition: one of its size is made where the profile has it.
    pub source_hidden: bool,
}

/// A rung without a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// What it is coded in.
    #[serde(default)]
    pub codec: Codec,
    /// Lines of a picture that lies, 64 to 4320.
    pub lines: u16,
    /// 50 000 to 200 000 000; by table where there is none.
    #[serde(default)]
    pub bitrate_bps: Option<u32>,
    /// Of the encoder; a quick one where there is none.
    #[serde(default)]
    pub preset: Option<String>,
}

/// What rungs can be coded in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Every player has it.
    #[default]
    H264,
    /// Two thirds of the bits, twice the work.
    Hevc,
    /// Half of the bits.
    Av1,
}

/// Why a profile is none.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum ProfileError {
    /// It has no such name.
    #[error(
        "no profile is called {0:?}: use audio-only, or a codec (h264, hevc, av1), the lines of the highest rung \
         (2160, 1440, 1080, 720, 480, 360, 240) and the number of rungs, such as h264-720p3"
    )]
    Name(String),
    /// There are none or too many.
    #[error("{0} rungs; 1 to {RUNGS_MAX} are possible")]
    Count(usize),
    /// A number of a rung is out of range.
    #[error(
        "a rung of {lines} lines at {bitrate_bps:?} bit/s; 64 to 4320 lines and 50000 to 200000000 bit/s are possible"
    )]
    Rung {
        /// What it said.
        lines: u16,
        /// What it said.
        bitrate_bps: Option<u32>,
    },
    /// It cannot be the name of a preset.
    #[error(
        "the preset {0:?} is none: it has up to {PRESET_BYTES_MAX} small letters and digits, such as veryfast"
    )]
    Preset(String),
}

impl Codec {
    /// As the rest of the system calls it.
    #[must_use]
    pub fn video(self) -> VideoCodec {
        match self {
            Self::H264 => VideoCodec::Avc,
            Self::Hevc => VideoCodec::Hevc,
            Self::Av1 => VideoCodec::Av1,
        }
    }

    /// One that keeps up with live streams.
    pub(crate) fn preset(self) -> &'static str {
        match self {
            Self::H264 => "veryfast",
            Self::Hevc => "superfast",
            Self::Av1 => "10",
        }
    }
}

impl Profile {
    /// Without rungs.
    pub(crate) fn none() -> Self {
        let (device, rungs) = (Device::Software, Vec::new());
        Self { rungs, audio_only: false, evened: false, device, source_hidden: false }
    }

    /// Of rungs as they are wished for; they are sorted.
    ///
    /// # Errors
    /// [`ProfileError`], but not `Name`.
    pub fn custom(mut rungs: Vec<Wish>) -> Result<Self, ProfileError> {
        if rungs.is_empty() || rungs.len() > RUNGS_MAX {
            return Err(ProfileError::Count(rungs.len()));
        }
        for Wish { lines, bitrate_bps, preset, .. } in &rungs {
            if !LINES.contains(lines) || bitrate_bps.is_some_and(|bps| !BITRATE_BPS.contains(&bps)) {
                return Err(ProfileError::Rung { lines: *lines, bitrate_bps: *bitrate_bps });
            }
            let letters = |p: &&String| p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            let fits = |p: &&String| (1..=PRESET_BYTES_MAX).contains(&p.len()) && letters(p);
            if let Some(preset) = preset.as_ref().filter(|p| !fits(p)) {
                return Err(ProfileError::Preset(preset.clone()));
            }
        }
        rungs.sort_by_key(|wish| std::cmp::Reverse(wish.lines));
        Ok(Self { rungs, ..Self::none() })
    }
}

impl FromStr for Profile {
    type Err = ProfileError;

    fn from_str(name: &str) -> Result<Self, ProfileError> {
        if name == "audio-only" {
            return Ok(Self { audio_only: true, ..Self::none() });
        }
        named(name).map_or_else(|| Err(ProfileError::Name(name.to_owned())), Self::custom)
    }
}

fn named(name: &str) -> Option<Vec<Wish>> {
    let (codec, ladder) = name.split_once('-')?;
    let (lines, count) = ladder.split_once('p')?;
    let codec = match codec {
        "h264" => Codec::H264,
        "hevc" => Codec::Hevc,
        "av1" => Codec::Av1,
        _ => return None,
    };
    let from = STEPS.iter().position(|step| step.to_string() == lines)?;
    let count = (1..=STEPS.len()).find(|n| n.to_string() == count)?;
    let steps = STEPS.get(from..from + count)?;
    Some(steps.iter().map(|&lines| Wish { codec, lines, bitrate_bps: None, preset: None }).collect())
}
