//! A ladder as bytes.

use bytes::{BufMut, Bytes};
use nx_media::{AudioCodec, FrameRate, VideoCodec};

use super::VIDEO_CODECS;
use super::body::{Body, number_of, one_of, put_counted, put_text, within};
use crate::{
    AAC_RATES_HZ, AudioSource, Clock, Corner, Crop, Device, Filters, IMAGE_BYTES_MAX, LOGO_BYTES_MAX, Ladder,
    Logo, OUTPUTS_MAX, Output, PICTURE_PIXELS_MAX, PRESET_BYTES_MAX, Rung, SIDE_PIXELS_MAX, SLATE_FRAMES_MAX,
    Slate, Sound, TEXT_BYTES_MAX, Text, VideoSource, WireError,
};

const AUDIO_CODECS: [(u8, AudioCodec); 6] = [
    (1, AudioCodec::Aac),
    (2, AudioCodec::Opus),
    (3, AudioCodec::Flac),
    (4, AudioCodec::Ac3),
    (5, AudioCodec::Eac3),
    (6, AudioCodec::Mpa),
];
const DEVICES: [(u8, Device); 4] =
    [(0, Device::Software), (1, Device::Nvenc), (2, Device::Qsv), (3, Device::Auto)];
const PROFILES: [u8; 4] = [0, 66, 77, 100];
const CORNERS: [(u8, Corner); 4] =
    [(0, Corner::TopLeft), (1, Corner::TopRight), (2, Corner::BottomLeft), (3, Corner::BottomRight)];
const RUNG: u8 = 1;
const SOUND: u8 = 2;
const BITRATE_BPS: std::ops::RangeInclusive<u32> = 8_000..=400_000_000;
const BUFFER_MS: std::ops::RangeInclusive<u32> = 50..=20_000;
const HEIGHT_PERCENT: std::ops::RangeInclusive<u32> = 1..=50;
const PERCENT: std::ops::RangeInclusive<u32> = 1..=100;
const CODEC: &str = "the codec";

pub(super) fn put(ladder: &Ladder, out: &mut Vec<u8>) -> Result<(), WireError> {
    out.push(ladder.video.is_some().into());
    if let Some(VideoSource { codec, config, width, height, frame_rate }) = &ladder.video {
        out.push(number_of(CODEC, &VIDEO_CODECS, *codec)?);
        out.put_u16(*width);
        out.put_u16(*height);
        let FrameRate { num, den } = frame_rate.unwrap_or(FrameRate { num: 0, den: 0 });
        out.put_u32(num);
        out.put_u32(den);
        put_counted(out, config)?;
    }
    out.push(ladder.audio.is_some().into());
    if let Some(AudioSource { codec, config, sample_rate, channels }) = &ladder.audio {
        out.push(number_of(CODEC, &AUDIO_CODECS, *codec)?);
        out.push(*channels);
        out.put_u32(*sample_rate);
        put_counted(out, config)?;
    }
    put_filters(&ladder.filters, out)?;
    out.push(u8::try_from(ladder.outputs.len()).unwrap_or(u8::MAX));
    ladder.outputs.iter().try_for_each(|output| match output {
        Output::Rung(rung) => {
            out.push(RUNG);
            put_rung(rung, out)
        }
        Output::Sound(sound) => put_sound(sound, out),
    })
}

pub(super) fn read(body: &mut Body) -> Result<Ladder, WireError> {
    let video = body.flag("a source with a picture")?.then(|| video_source(body)).transpose()?;
    let audio = body.flag("a source with sound")?.then(|| audio_source(body)).transpose()?;
    let filters = filters(body)?;
    let count = body.u8()?;
    within("the number of outputs", count.into(), 1..=u32::try_from(OUTPUTS_MAX).unwrap_or(u32::MAX))?;
    let outputs = (0..count).map(|_| output(body)).collect::<Result<Vec<_>, _>>()?;
    Ok(Ladder { video, audio, filters, outputs })
}

/// Of any size: the worker says in words what it cannot do.
fn video_source(body: &mut Body) -> Result<VideoSource, WireError> {
    let codec = one_of(CODEC, &VIDEO_CODECS, body.u8()?)?;
    let (width, height) = (body.u16()?, body.u16()?);
    let rate = FrameRate { num: body.u32()?, den: body.u32()? };
    let frame_rate = match (rate.num, rate.den) {
        (0, 0) => None,
        (0, value) | (value, 0) => return Err(WireError::Value { what: "a frame rate", value }),
        _ => Some(rate),
    };
    Ok(VideoSource { codec, width, height, frame_rate, config: body.counted()? })
}

fn audio_source(body: &mut Body) -> Result<AudioSource, WireError> {
    let codec = one_of(CODEC, &AUDIO_CODECS, body.u8()?)?;
    let (channels, sample_rate) = (body.u8()?, body.u32()?);
    within("the number of channels", channels.into(), 1..=8)?;
    within("the sample rate", sample_rate, 4_000..=192_000)?;
    Ok(AudioSource { codec, channels, sample_rate, config: body.counted()? })
}

fn size(width: u16, height: u16) -> Result<(), WireError> {
    within("a picture's width", width.into(), 1..=SIDE_PIXELS_MAX.into())?;
    within("a picture's height", height.into(), 1..=SIDE_PIXELS_MAX.into())?;
    within("a picture's number of pixels", u32::from(width) * u32::from(height), 1..=PICTURE_PIXELS_MAX)
}

fn even(what: &'static str, value: u16, least: u16) -> Result<u16, WireError> {
    let good = value >= least && value.is_multiple_of(2);
    if good { Ok(value) } else { Err(WireError::Value { what, value: value.into() }) }
}

fn put_rung(rung: &Rung, out: &mut Vec<u8>) -> Result<(), WireError> {
    out.push(number_of(CODEC, &VIDEO_CODECS, rung.codec)?);
    out.put_u16(rung.width);
    out.put_u16(rung.height);
    out.put_u32(rung.bitrate_bps);
    out.put_u32(rung.peak_bps);
    out.put_u16(rung.buffer_ms);
    out.push(rung.halved.into());
    out.push(number_of("the device", &DEVICES, rung.device)?);
    out.push(rung.threads);
    out.push(rung.profile);
    put_text(out, "a preset", &rung.preset, PRESET_BYTES_MAX)
}

fn put_sound(sound: &Sound, out: &mut Vec<u8>) -> Result<(), WireError> {
    out.push(SOUND);
    out.push(number_of(CODEC, &AUDIO_CODECS, sound.codec)?);
    out.push(sound.channels);
    out.push(sound.evened.into());
    out.put_u32(sound.bitrate_bps);
    out.put_u32(sound.sample_rate);
    Ok(())
}

fn output(body: &mut Body) -> Result<Output, WireError> {
    match body.u8()? {
        RUNG => rung(body).map(Output::Rung),
        SOUND => sound(body).map(Output::Sound),
        other => Err(WireError::Value { what: "the kind of an output", value: other.into() }),
    }
}

fn rung(body: &mut Body) -> Result<Rung, WireError> {
    let number = body.u8()?;
    let codec = one_of(CODEC, &VIDEO_CODECS, number)?;
    if codec == VideoCodec::Vp9 || !codec.is_carried() {
        return Err(WireError::Value { what: "the codec of a rung", value: number.into() });
    }
    let (width, height) = (even("a rung's width", body.u16()?, 2)?, even("a rung's height", body.u16()?, 2)?);
    size(width, height)?;
    let (bitrate_bps, peak_bps, buffer_ms) = (body.u32()?, body.u32()?, body.u16()?);
    within("the bit rate", bitrate_bps, BITRATE_BPS)?;
    within("the peak bit rate", peak_bps, bitrate_bps..=*BITRATE_BPS.end())?;
    within("the buffer", buffer_ms.into(), BUFFER_MS)?;
    let halved = body.flag("halving")?;
    let device = one_of("the device", &DEVICES, body.u8()?)?;
    let (threads, profile) = (body.u8()?, body.u8()?);
    if !PROFILES.contains(&profile) {
        return Err(WireError::Value { what: "a profile", value: profile.into() });
    }
    let preset = body.text("a preset", PRESET_BYTES_MAX)?;
    if let Some(odd) = preset.bytes().find(|b| !b.is_ascii_lowercase() && !b.is_ascii_digit()) {
        return Err(WireError::Value { what: "a letter of a preset", value: odd.into() });
    }
    Ok(Rung {
        codec,
        width,
        height,
        bitrate_bps,
        peak_bps,
        buffer_ms,
        halved,
        device,
        threads,
        profile,
        preset,
    })
}

fn sound(body: &mut Body) -> Result<Sound, WireError> {
    let number = body.u8()?;
    let codec = one_of(CODEC, &AUDIO_CODECS, number)?;
    let channels = body.u8()?;
    let evened = body.flag("evening")?;
    let (bitrate_bps, sample_rate) = (body.u32()?, body.u32()?);
    within("the bit rate", bitrate_bps, BITRATE_BPS)?;
    let (shape, rate) = match codec {
        AudioCodec::Aac => (matches!(channels, 1 | 2 | 6), AAC_RATES_HZ.contains(&sample_rate)),
        AudioCodec::Opus => (matches!(channels, 1 | 2), sample_rate == 48_000),
        _ => return Err(WireError::Value { what: "the codec of a sound", value: number.into() }),
    };
    for (what, value, good) in
        [("the number of channels", channels.into(), shape), ("the sample rate", sample_rate, rate)]
    {
        if !good {
            return Err(WireError::Value { what, value });
        }
    }
    Ok(Sound { codec, bitrate_bps, channels, sample_rate, evened })
}

fn put_filters(filters: &Filters, out: &mut Vec<u8>) -> Result<(), WireError> {
    out.push(filters.crop.is_some().into());
    if let Some(Crop { left, top, width, height }) = filters.crop {
        [left, top, width, height].into_iter().for_each(|n| out.put_u16(n));
    }
    out.push(filters.logo.is_some().into());
    if let Some(Logo { corner, height_percent, opacity_percent, image }) = &filters.logo {
        out.push(number_of("a corner", &CORNERS, *corner)?);
        out.push(*height_percent);
        out.push(*opacity_percent);
        put_counted(out, image)?;
    }
    out.push(filters.text.is_some().into());
    if let Some(Text { corner, height_percent, text }) = &filters.text {
        out.push(number_of("a corner", &CORNERS, *corner)?);
        out.push(*height_percent);
        put_text(out, "a text", text, TEXT_BYTES_MAX)?;
    }
    out.push(filters.clock.is_some().into());
    if let Some(Clock { corner, height_percent, zero_us }) = filters.clock {
        out.push(number_of("a corner", &CORNERS, corner)?);
        out.push(height_percent);
        out.put_i64(zero_us);
    }
    Ok(())
}

fn filters(body: &mut Body) -> Result<Filters, WireError> {
    let crop = body.flag("cropping")?.then(|| crop(body)).transpose()?;
    let logo = body.flag("a logo")?.then(|| logo(body)).transpose()?;
    let text = body.flag("a text")?.then(|| text(body)).transpose()?;
    let clock = body.flag("a clock")?.then(|| clock(body)).transpose()?;
    Ok(Filters { crop, logo, text, clock })
}

fn crop(body: &mut Body) -> Result<Crop, WireError> {
    let crop = Crop {
        left: even("the place of a crop", body.u16()?, 0)?,
        top: even("the place of a crop", body.u16()?, 0)?,
        width: even("the width of a crop", body.u16()?, 2)?,
        height: even("the height of a crop", body.u16()?, 2)?,
    };
    size(crop.width, crop.height).map(|()| crop)
}

fn logo(body: &mut Body) -> Result<Logo, WireError> {
    let corner = one_of("a corner", &CORNERS, body.u8()?)?;
    let (height_percent, opacity_percent) = (body.u8()?, body.u8()?);
    within("the height of a logo", height_percent.into(), PERCENT)?;
    within("the opacity of a logo", opacity_percent.into(), PERCENT)?;
    let image = body.counted()?;
    sized("the bytes of a logo", &image, LOGO_BYTES_MAX)?;
    Ok(Logo { corner, height_percent, opacity_percent, image })
}

fn sized(what: &'static str, image: &Bytes, max: usize) -> Result<(), WireError> {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    within(what, number(image.len()), 1..=number(max))
}

/// Without its picture, which comes last.
pub(super) fn put_slate(slate: &Slate, out: &mut Vec<u8>) -> Result<(), WireError> {
    out.put_u16(slate.frames);
    out.put_u32(slate.frame_rate.num);
    out.put_u32(slate.frame_rate.den);
    put_rung(&slate.rung, out)
}

pub(super) fn slate(mut body: Body) -> Result<Slate, WireError> {
    let frames = body.u16()?;
    within("the frames of a slate", frames.into(), 1..=SLATE_FRAMES_MAX.into())?;
    let frame_rate = FrameRate { num: body.u32()?, den: body.u32()? };
    for number in [frame_rate.num, frame_rate.den] {
        within("a frame rate", number, 1..=u32::MAX)?;
    }
    let rung = rung(&mut body)?;
    let image = body.rest();
    sized("the bytes of a picture", &image, IMAGE_BYTES_MAX)?;
    Ok(Slate { rung, frame_rate, frames, image })
}

fn text(body: &mut Body) -> Result<Text, WireError> {
    let corner = one_of("a corner", &CORNERS, body.u8()?)?;
    let height_percent = body.u8()?;
    within("the height of a text", height_percent.into(), HEIGHT_PERCENT)?;
    Ok(Text { corner, height_percent, text: body.text("a text", TEXT_BYTES_MAX)? })
}

fn clock(body: &mut Body) -> Result<Clock, WireError> {
    let corner = one_of("a corner", &CORNERS, body.u8()?)?;
    let height_percent = body.u8()?;
    within("the height of a clock", height_percent.into(), HEIGHT_PERCENT)?;
    Ok(Clock { corner, height_percent, zero_us: body.i64()? })
}
