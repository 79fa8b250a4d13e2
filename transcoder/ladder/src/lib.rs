//! From a profile and a source to a plan: which renditions are made, how large, at which bit rates.
//!
//! The rules: nothing is made larger than the source; sizes are even and keep the shape that the source is shown in;
//! a rung of few lines has half the frames of a fast source; the source itself is the top rung where players can play
//! it and nothing is drawn into it. `lines` are those of a picture that lies: of one that stands, its columns.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod chunks;
mod profile;
mod rates;
mod shape;

use nx_media::{AudioCodec, AudioParams, VideoCodec, VideoParams};
use nx_worker_protocol::{
    AAC_RATES_HZ, AudioSource, Filters, Ladder, OUTPUTS_MAX, Output, Rung, Sound, VideoSource,
};

pub use chunks::{Chunk, Picture, chunks};
pub use profile::{Codec, Profile, ProfileError, RUNGS_MAX, Wish};
pub use shape::Shape;

/// Peak over average bit rate, in percent, and what a decoder holds of it.
const PEAK_PERCENT: u32 = 150;
const BUFFER_MS: u16 = 1000;
/// Rungs of so few lines have half the frames of sources that are so fast.
const HALVED_LINES_MAX: u16 = 360;
const FAST_FPS: f64 = 50.0;
/// Pixels per second up to which one thread encodes H.264 in time.
const THREAD_PIXELS: f64 = 1920.0 * 1080.0 * 30.0;
/// Frame rate of a source that tells none.
const FPS: f64 = 30.0;

/// What a stream brings.
#[derive(Debug, Clone, Copy, Default)]
pub struct Source<'a> {
    /// Its picture.
    pub video: Option<&'a VideoParams>,
    /// The picture is shown turned by a quarter, either way.
    pub turned: bool,
    /// Its sound.
    pub audio: Option<&'a AudioParams>,
}

/// What becomes of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The source's picture is a rendition itself.
    pub video_passes: bool,
    /// The source's sound is a rendition itself.
    pub audio_passes: bool,
    /// What a worker makes; `None` when it makes nothing.
    pub ladder: Option<Ladder>,
}

/// Plans a stream's renditions.
///
/// A source that no rung fits, because all are larger, gets one of its own size, unless it passes.
#[must_use]
pub fn plan(profile: &Profile, source: Source<'_>, filters: &Filters) -> Plan {
    let drawn = *filters != Filters::default();
    let video = source.video.filter(|_| !profile.audio_only);
    let passes = |v: &VideoParams| {
        !drawn && !profile.source_hidden && v.codec != VideoCodec::Vp9 && v.codec.is_carried()
    };
    let video_passes = video.is_some_and(passes);
    let sound = source.audio.and_then(|audio| sound(profile, audio));
    let audio_passes = source.audio.is_some() && sound.is_none();
    let rungs = video.map(|v| rungs(profile, v, source.turned, filters, video_passes)).unwrap_or_default();
    let mut outputs: Vec<Output> = rungs.into_iter().map(Output::Rung).collect();
    // The decoder of pictures runs for somebody, or not at all.
    let video = video.filter(|_| !outputs.is_empty()).map(video_source);
    let audio = source.audio.filter(|_| sound.is_some()).map(audio_source);
    outputs.extend(sound.map(Output::Sound));
    let ladder = (!outputs.is_empty()).then(|| Ladder { video, audio, filters: filters.clone(), outputs });
    Plan { video_passes, audio_passes, ladder }
}

fn rungs(profile: &Profile, video: &VideoParams, turned: bool, filters: &Filters, passes: bool) -> Vec<Rung> {
    let shape = Shape::of(video, turned, filters.crop);
    let fps = video.frame_rate.map_or(FPS, |rate| rate.fps());
    // The source is that rung already, for whoever can play the rung.
    let is_source = |wish: &Wish| {
        wish.lines == shape.lines() && [wish.codec.video(), VideoCodec::Avc].contains(&video.codec)
    };
    let fits = |wish: &&Wish| wish.lines <= shape.lines() && !(passes && is_source(wish));
    let wishes: Vec<&Wish> = profile.rungs.iter().filter(fits).take(OUTPUTS_MAX - 1).collect();
    if wishes.is_empty()
        && !passes
        && let Some(first) = profile.rungs.first()
    {
        let lines = shape.lines();
        return vec![rung(profile, &Wish { lines, bitrate_bps: None, ..first.clone() }, shape, fps)];
    }
    wishes.into_iter().map(|wish| rung(profile, wish, shape, fps)).collect()
}

fn rung(profile: &Profile, wish: &Wish, shape: Shape, fps: f64) -> Rung {
    let (width, height) = shape.with_lines(wish.lines);
    let halved = wish.lines <= HALVED_LINES_MAX && fps >= FAST_FPS;
    let fps = if halved { fps / 2.0 } else { fps };
    let codec = wish.codec.video();
    let by_table = || rates::bitrate_bps(codec, width, height, fps >= FAST_FPS);
    let bitrate_bps = wish.bitrate_bps.unwrap_or_else(by_table);
    let peak_bps = u32::try_from(u64::from(bitrate_bps) * u64::from(PEAK_PERCENT) / 100).unwrap_or(u32::MAX);
    let one_will_do = codec == VideoCodec::Avc && f64::from(width) * f64::from(height) * fps <= THREAD_PIXELS;
    Rung {
        codec,
        width,
        height,
        bitrate_bps,
        peak_bps,
        buffer_ms: BUFFER_MS,
        halved,
        device: profile.device,
        threads: u8::from(one_will_do),
        profile: 0,
        preset: wish.preset.clone().unwrap_or_else(|| wish.codec.preset().to_owned()),
    }
}

/// A picture that can stand in for another: in its codec (of VP9, which nothing here encodes, in H.264), the size that
/// it is shown in and, of H.264, a profile that its decoders have.
#[must_use]
pub fn picture_like(video: &VideoParams) -> Rung {
    let codec = match video.codec {
        VideoCodec::Hevc => Codec::Hevc,
        VideoCodec::Av1 => Codec::Av1,
        _ => Codec::H264,
    };
    let shape = Shape::of(video, false, None);
    let fps = video.frame_rate.map_or(FPS, |rate| rate.fps());
    // What is larger than can be coded gets smaller.
    let lines = shape.lines().min(*profile::LINES.end());
    let wish = Wish { codec, lines, bitrate_bps: None, preset: None };
    let profile = match (video.codec, video.config.get(1)) {
        (VideoCodec::Avc, Some(idc @ (66 | 77))) => *idc,
        (VideoCodec::Avc, _) => 100,
        _ => 0,
    };
    Rung { profile, halved: false, ..rung(&Profile::none(), &wish, shape, fps) }
}

/// A sound that can stand in for another: in its codec, rate and loudspeakers where something here encodes that, else
/// in AAC.
#[must_use]
pub fn sound_like(audio: &AudioParams) -> Sound {
    let AudioParams { sample_rate, channels, .. } = *audio;
    let (codec, channels, sample_rate) = match audio.codec {
        AudioCodec::Opus => (AudioCodec::Opus, channels.clamp(1, 2), 48_000),
        AudioCodec::Aac if matches!(channels, 1 | 2 | 6) && AAC_RATES_HZ.contains(&sample_rate) => {
            (AudioCodec::Aac, channels, sample_rate)
        }
        _ => (AudioCodec::Aac, channels.clamp(1, 2), 48_000),
    };
    Sound {
        codec,
        bitrate_bps: rates::AAC_CHANNEL_BPS * u32::from(channels),
        channels,
        sample_rate,
        evened: false,
    }
}

/// The sound that has to be made; `None` when the source's will do.
fn sound(profile: &Profile, audio: &AudioParams) -> Option<Sound> {
    let plays = matches!(audio.codec, AudioCodec::Aac | AudioCodec::Opus);
    if plays && !profile.evened {
        return None;
    }
    let (codec, channels) = (AudioCodec::Aac, audio.channels.clamp(1, 2));
    let sample_rate = if audio.sample_rate == 44_100 { 44_100 } else { 48_000 };
    let bitrate_bps = rates::AAC_CHANNEL_BPS * u32::from(channels);
    Some(Sound { codec, bitrate_bps, channels, sample_rate, evened: profile.evened })
}

/// What a decoder has to know of a picture.
#[must_use]
pub fn video_source(video: &VideoParams) -> VideoSource {
    let side = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    let (width, height) = (side(video.width), side(video.height));
    VideoSource {
        codec: video.codec,
        config: video.config.clone(),
        width,
        height,
        frame_rate: video.frame_rate,
    }
}

/// What a decoder has to know of a sound.
#[must_use]
pub fn audio_source(audio: &AudioParams) -> AudioSource {
    let AudioParams { codec, config, sample_rate, channels, .. } = audio;
    AudioSource { codec: *codec, config: config.clone(), sample_rate: *sample_rate, channels: *channels }
}

#[cfg(test)]
mod tests;
