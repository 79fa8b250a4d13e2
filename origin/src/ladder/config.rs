//! Settings of what is made of streams: `[[origin.ladder]]` and `[origin.transcoder]`.

use std::path::PathBuf;

use nx_ladder::{Codec, Profile, ProfileError, Wish};
use nx_media::StreamKey;
use nx_worker_protocol::{
    Clock, Corner, Crop, Device, Filters, LOGO_BYTES_MAX, Logo, PICTURE_PIXELS_MAX, SIDE_PIXELS_MAX,
    TEXT_BYTES_MAX, Text,
};
use serde::{Deserialize, Serialize};

use crate::picture;

/// Height of what is drawn into the picture, percent of it.
const LETTERS_PERCENT: u8 = 5;

/// When a rendition is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// While the stream is on.
    #[default]
    Always,
    /// While somebody watches it.
    OnDemand,
    /// Not at all.
    Never,
}

/// One of `[[origin.ladder]]`; the first that fits a stream counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LadderConfig {
    /// `APP/STREAM`, or a beginning followed by `*`.
    pub streams: String,
    /// Renditions by name, such as `h264-720p3`.
    #[serde(default)]
    pub profile: Option<String>,
    /// Renditions one by one.
    #[serde(default)]
    pub rungs: Vec<RungConfig>,
    /// When they are made; a rung may say otherwise.
    #[serde(default)]
    pub mode: Mode,
    /// How long a rendition on demand is made after it was last asked for. Seconds.
    #[serde(default = "linger_s")]
    pub linger_s: u32,
    /// What encodes where it is there; software otherwise.
    #[serde(default)]
    pub device: DeviceConfig,
    /// Sound is made anew, with its loudness evened out.
    #[serde(default)]
    pub even_loudness: bool,
    /// Only this part of the picture is used, in pixels of the source.
    #[serde(default)]
    pub crop: Option<CropConfig>,
    /// A corner in which the time of each frame stands, for tests of latency.
    #[serde(default)]
    pub clock: Option<CornerConfig>,
    /// A line of text.
    #[serde(default)]
    pub text: Option<String>,
    /// Where the text stands.
    #[serde(default)]
    pub text_corner: CornerConfig,
    /// A picture in a corner.
    #[serde(default)]
    pub logo: Option<LogoConfig>,
    /// The source's picture is announced in no playlist while there are renditions of it.
    #[serde(default)]
    pub hide_source: bool,
}

/// A picture in a corner of the picture.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogoConfig {
    /// PNG or JPEG.
    pub file: PathBuf,
    /// Where it stands.
    #[serde(default)]
    pub corner: CornerConfig,
    /// Its height as a part of the picture's, percent.
    #[serde(default = "logo_height_percent")]
    pub height_percent: u8,
    /// What is left of its own opacity, percent.
    #[serde(default = "logo_opacity_percent")]
    pub opacity_percent: u8,
}

/// One of `rungs`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RungConfig {
    /// Of a picture that lies.
    pub lines: u16,
    /// What it is coded in.
    #[serde(default)]
    pub codec: Codec,
    /// By table where there is none.
    #[serde(default)]
    pub bitrate_bps: Option<u32>,
    /// Of the encoder; a quick one where there is none.
    #[serde(default)]
    pub preset: Option<String>,
    /// When it is made; as the section says where there is none.
    #[serde(default)]
    pub mode: Option<Mode>,
}

/// What encodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceConfig {
    /// x264, x265, SVT-AV1.
    #[default]
    Software,
    /// Nvidia.
    Nvenc,
    /// Intel Quick Sync Video.
    Qsv,
    /// Whichever of these is there.
    Auto,
}

/// A corner of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "they say it")]
pub enum CornerConfig {
    #[default]
    TopLeft,
    TopRight,
    BottomLeft,
    BottomRight,
}

/// A part of the picture; even numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "they say it")]
pub struct CropConfig {
    pub left: u16,
    pub top: u16,
    pub width: u16,
    pub height: u16,
}

/// Section `origin.transcoder`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TranscoderConfig {
    /// Streams with a ladder at a time.
    pub workers_max: usize,
    /// Cores that all of them may take; 0: all that there are.
    pub cores: u32,
    /// So many crashes within `crashes_s` end a ladder.
    pub crashes_max: u32,
    /// Seconds.
    pub crashes_s: u32,
    /// A ladder that is further behind than this for three seconds loses its most costly rendition. Milliseconds.
    pub lag_max_ms: u32,
}

impl TranscoderConfig {
    /// Keys, whether they are right, and what they have to be.
    pub(crate) fn rules(&self) -> [(&'static str, bool, &'static str); 3] {
        [
            ("transcoder.workers_max", (1..=1000).contains(&self.workers_max), "must be 1 to 1000"),
            ("transcoder.crashes_max", self.crashes_max > 0, "must be at least 1"),
            ("transcoder.lag_max_ms", (500..=30_000).contains(&self.lag_max_ms), "must be 500 to 30000"),
        ]
    }
}

impl Default for TranscoderConfig {
    fn default() -> Self {
        Self { workers_max: 64, cores: 0, crashes_max: 5, crashes_s: 30, lag_max_ms: 1_500 }
    }
}

fn linger_s() -> u32 {
    30
}

fn logo_height_percent() -> u8 {
    10
}

fn logo_opacity_percent() -> u8 {
    100
}

impl LadderConfig {
    pub(crate) fn fits(&self, key: &StreamKey) -> bool {
        match self.streams.strip_suffix('*') {
            Some(beginning) => key.as_str().starts_with(beginning),
            None => key.as_str() == self.streams,
        }
    }

    /// When a rung of so many lines in a codec is made.
    pub(crate) fn mode_of(&self, lines: u16, codec: nx_media::VideoCodec) -> Mode {
        let same = |rung: &&RungConfig| rung.lines / 2 * 2 == lines && rung.codec.video() == codec;
        self.rungs.iter().find(same).and_then(|rung| rung.mode).unwrap_or(self.mode)
    }

    /// The renditions that are wanted of any source.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn wish(&self) -> Result<Profile, ProfileError> {
        let wish = |rung: &RungConfig| Wish {
            codec: rung.codec,
            lines: rung.lines,
            bitrate_bps: rung.bitrate_bps,
            preset: rung.preset.clone(),
        };
        let profile = match &self.profile {
            Some(name) => name.parse()?,
            None => Profile::custom(self.rungs.iter().map(wish).collect())?,
        };
        let device = match self.device {
            DeviceConfig::Software => Device::Software,
            DeviceConfig::Nvenc => Device::Nvenc,
            DeviceConfig::Qsv => Device::Qsv,
            DeviceConfig::Auto => Device::Auto,
        };
        Ok(Profile { evened: self.even_loudness, device, source_hidden: self.hide_source, ..profile })
    }

    /// What is done to the picture. `zero_us` is the Unix time of presentation time 0.
    pub(crate) fn filters(&self, logo: Option<Logo>, zero_us: i64) -> Filters {
        let height_percent = LETTERS_PERCENT;
        let text =
            |text: &String| Text { corner: self.text_corner.into(), height_percent, text: text.clone() };
        Filters {
            crop: self.crop.map(Into::into),
            logo,
            text: self.text.as_ref().map(text),
            clock: self.clock.map(|corner| Clock { corner: corner.into(), height_percent, zero_us }),
        }
    }

    /// What is wrong, as key within the section and a sentence that says what to do.
    pub(crate) fn faults(&self) -> Vec<(&'static str, String)> {
        let names = self.streams.strip_suffix('*').map_or(self.streams.clone(), |text| {
            format!("{text}{}", if text.contains('/') { "x" } else { "x/x" })
        });
        let both = self.profile.is_some() != self.rungs.is_empty();
        let lasting = if self.rungs.is_empty() {
            self.mode == Mode::Always && self.profile.as_deref() != Some("audio-only")
        } else {
            self.rungs.iter().any(|rung| rung.mode.unwrap_or(self.mode) == Mode::Always)
        };
        let rules = [
            (
                "streams",
                StreamKey::parse(&names).is_err(),
                "must be APP/STREAM, or a beginning such as live/*",
            ),
            (
                "profile",
                both && self.mode != Mode::Never,
                "or rungs is needed, and only one of them: profile = \"h264-720p3\", or rungs = [{ lines = 720 }]",
            ),
            ("linger_s", !(5..=3600).contains(&self.linger_s), "must be 5 to 3600"),
            (
                "crop",
                self.crop.as_ref().is_some_and(CropConfig::is_odd),
                "must have even numbers, a width and a height, and end within 8192 pixels each way",
            ),
            (
                "text",
                self.text.as_ref().is_some_and(|t| {
                    t.is_empty() || t.len() > TEXT_BYTES_MAX || t.contains(char::is_control)
                }),
                "must have 1 to 128 bytes in one line",
            ),
            (
                "hide_source",
                self.hide_source && !lasting,
                "needs a rendition with mode = \"always\": without one there would be nothing to watch",
            ),
        ];
        let faults = rules.into_iter().filter(|rule| rule.1).map(|(key, _, text)| (key, text.to_owned()));
        let faults = faults.chain(self.logo.iter().flat_map(LogoConfig::faults));
        let key = if self.profile.is_some() { "profile" } else { "rungs" };
        let wish = (!both).then(|| self.wish().err()).flatten();
        faults.chain(wish.map(|error| (key, error.to_string()))).collect()
    }
}

impl LogoConfig {
    /// As a worker takes it.
    ///
    /// # Errors
    /// In words: the file cannot be used.
    pub(crate) fn load(&self) -> Result<Logo, String> {
        let image = picture::read(&self.file, LOGO_BYTES_MAX)?;
        let Self { corner, height_percent, opacity_percent, .. } = *self;
        Ok(Logo { corner: corner.into(), height_percent, opacity_percent, image })
    }

    fn faults(&self) -> Vec<(&'static str, String)> {
        let percent = |n: u8| (1..=100).contains(&n);
        let rules = [
            ("logo.height_percent", percent(self.height_percent)),
            ("logo.opacity_percent", percent(self.opacity_percent)),
        ];
        let faults =
            rules.into_iter().filter(|rule| !rule.1).map(|(key, _)| (key, "must be 1 to 100".to_owned()));
        faults.chain(self.load().err().map(|why| ("logo.file", why))).collect()
    }
}

impl CropConfig {
    /// It is none that could be.
    fn is_odd(&self) -> bool {
        let Self { left, top, width, height } = *self;
        let fits = |from: u16, length: u16| {
            length > 0 && from.checked_add(length).is_some_and(|end| end <= SIDE_PIXELS_MAX)
        };
        [left, top, width, height].iter().any(|n| n % 2 == 1)
            || !fits(left, width)
            || !fits(top, height)
            || u32::from(width) * u32::from(height) > PICTURE_PIXELS_MAX
    }
}

impl From<CornerConfig> for Corner {
    fn from(corner: CornerConfig) -> Self {
        match corner {
            CornerConfig::TopLeft => Self::TopLeft,
            CornerConfig::TopRight => Self::TopRight,
            CornerConfig::BottomLeft => Self::BottomLeft,
            CornerConfig::BottomRight => Self::BottomRight,
        }
    }
}

impl From<CropConfig> for Crop {
    fn from(CropConfig { left, top, width, height }: CropConfig) -> Self {
        Self { left, top, width, height }
    }
}
