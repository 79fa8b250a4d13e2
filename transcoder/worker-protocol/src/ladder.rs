//! What is said about a ladder: what comes in, what is made of it, what is drawn into it.

use bytes::Bytes;
use nx_media::{AudioCodec, FrameRate, VideoCodec};

/// Outputs of a ladder.
pub const OUTPUTS_MAX: usize = 16;
/// Pixels of a picture, in all: 8K with what encoders add, either way up.
pub const PICTURE_PIXELS_MAX: u32 = SIDE_PIXELS_MAX as u32 * 4352;
/// Pixels of a picture, across or down.
pub const SIDE_PIXELS_MAX: u16 = 8192;
/// Bytes of a logo as a file.
pub const LOGO_BYTES_MAX: usize = 1 << 20;
/// Bytes of a picture as a file.
pub const IMAGE_BYTES_MAX: usize = 16 << 20;
/// Frames of a slate.
pub const SLATE_FRAMES_MAX: u16 = 1000;
/// Bytes of a text that is drawn.
pub const TEXT_BYTES_MAX: usize = 128;
/// Bytes of the name of a preset.
pub const PRESET_BYTES_MAX: usize = 16;

/// Rates of AAC that sound can have, in Hz: by their index in ISO/IEC 14496-3 table 1.18.
pub const AAC_RATES_HZ: [u32; 12] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000];

/// One stream's ladder: decoded once, coded many times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder {
    /// The source's picture.
    pub video: Option<VideoSource>,
    /// The source's sound.
    pub audio: Option<AudioSource>,
    /// For all rungs.
    pub filters: Filters,
    /// What is made, 1 to [`OUTPUTS_MAX`]; they are called by their place, from 0.
    pub outputs: Vec<Output>,
}

/// What a decoder has to know of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoSource {
    /// Which bitstream.
    pub codec: VideoCodec,
    /// As [`nx_media::VideoParams::config`].
    pub config: Bytes,
    /// Pixels.
    pub width: u16,
    /// Pixels.
    pub height: u16,
    /// When it is known; rate control starts from it.
    pub frame_rate: Option<FrameRate>,
}

/// What a decoder has to know of the sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioSource {
    /// Which bitstream.
    pub codec: AudioCodec,
    /// As [`nx_media::AudioParams::config`].
    pub config: Bytes,
    /// In Hz: the time scale of its samples.
    pub sample_rate: u32,
    /// Loudspeaker channels.
    pub channels: u8,
}

/// One track that is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A picture.
    Rung(Rung),
    /// A sound.
    Sound(Sound),
}

/// A rendition of the picture. Its time stamps and key frames are the source's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// H.264, H.265 or AV1.
    pub codec: VideoCodec,
    /// Pixels, even.
    pub width: u16,
    /// Pixels, even.
    pub height: u16,
    /// Bits per second on average.
    pub bitrate_bps: u32,
    /// Bits per second that a decoder has to be fed with at most; not less than `bitrate_bps`.
    pub peak_bps: u32,
    /// How much of `peak_bps` a decoder holds, in milliseconds.
    pub buffer_ms: u16,
    /// Every frame, or every second one between key frames.
    pub halved: bool,
    /// Which machinery is wanted; there is always the software.
    pub device: Device,
    /// Threads of the encoder; 0: as many as it likes.
    pub threads: u8,
    /// Of H.264: `profile_idc` that its decoders have, 66 (Baseline), 77 (Main) or 100 (High); 0: its own choice.
    pub profile: u8,
    /// As the software calls it (`veryfast`; of AV1 `10`): small letters and digits; empty: its own choice.
    pub preset: String,
}

/// What encodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Device {
    /// x264, x265, SVT-AV1.
    #[default]
    Software,
    /// Nvidia.
    Nvenc,
    /// Intel Quick Sync Video.
    Qsv,
    /// Whatever hardware there is.
    Auto,
}

/// A picture that is coded as a clip: a key frame, and others that repeat it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slate {
    /// How it is coded; what of its size the picture does not fill is black.
    pub rung: Rung,
    /// Of the clip, which begins at 0.
    pub frame_rate: FrameRate,
    /// 1 to [`SLATE_FRAMES_MAX`].
    pub frames: u16,
    /// PNG or JPEG as a file, 1 to [`IMAGE_BYTES_MAX`] bytes.
    pub image: Bytes,
}

/// A rendition of the sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sound {
    /// AAC or Opus.
    pub codec: AudioCodec,
    /// Bits per second.
    pub bitrate_bps: u32,
    /// Loudspeaker channels: 1, 2 or, of AAC, 6.
    pub channels: u8,
    /// In Hz: one of [`AAC_RATES_HZ`], 48 000 of Opus. The time scale of the output's samples.
    pub sample_rate: u32,
    /// Its loudness is evened out.
    pub evened: bool,
}

/// What is done to the picture before it is scaled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filters {
    /// Only this part of the picture is used.
    pub crop: Option<Crop>,
    /// A picture in the picture.
    pub logo: Option<Logo>,
    /// A line of text.
    pub text: Option<Text>,
    /// The time of each frame.
    pub clock: Option<Clock>,
}

/// A part of a picture, in its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Crop {
    /// Even.
    pub left: u16,
    /// Even.
    pub top: u16,
    /// Even.
    pub width: u16,
    /// Even.
    pub height: u16,
}

/// A corner of the picture, with a margin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Corner {
    /// Where one begins to read.
    #[default]
    TopLeft,
    /// Opposite.
    TopRight,
    /// Below the first.
    BottomLeft,
    /// Below the second.
    BottomRight,
}

/// A picture in the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logo {
    /// Where.
    pub corner: Corner,
    /// Its height as a part of the picture's, in percent, 1 to 100.
    pub height_percent: u8,
    /// What is left of its own opacity, in percent, 1 to 100.
    pub opacity_percent: u8,
    /// PNG or JPEG as a file, 1 to [`LOGO_BYTES_MAX`] bytes.
    pub image: Bytes,
}

/// A line of text: Latin letters, digits and signs; others are drawn as a question mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Where.
    pub corner: Corner,
    /// Height of a letter as a part of the picture's, in percent, 1 to 50.
    pub height_percent: u8,
    /// At most [`TEXT_BYTES_MAX`].
    pub text: String,
}

/// The time of each frame, as `hh:mm:ss.mmm` in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Clock {
    /// Where.
    pub corner: Corner,
    /// Height of a digit as a part of the picture's, in percent, 1 to 50.
    pub height_percent: u8,
    /// Unix time of presentation time 0, in microseconds.
    pub zero_us: i64,
}

/// How far a ladder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Load {
    /// Pictures decoded since the ladder began.
    pub frames: u64,
    /// Samples that could not be decoded since the ladder began, sound too.
    pub damaged: u64,
    /// CPU time of the worker since it started, in microseconds.
    pub cpu_us: u64,
    /// Presentation time of the newest picture that went into the decoder, of a ladder without any: of the newest
    /// sound; 90 kHz.
    pub taken: i64,
    /// Up to where every rung that is on is coded, without any: every sound; 90 kHz. What lies between is the lag.
    pub coded: i64,
}
