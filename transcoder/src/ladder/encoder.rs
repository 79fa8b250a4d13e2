//! Encoders of pictures: no frame is held back or reordered, and key frames are where they are told to be.

use ffmpeg_next::codec::{self, encoder};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;
use ffmpeg_next::util::color::{Range, TransferCharacteristic as Transfer};
use ffmpeg_next::{Dictionary, Packet};
use nx_media::{FrameRate, VIDEO_TIMESCALE, VideoCodec};
use nx_worker_protocol::{Device, Rung};

use crate::graph::came;
use crate::sheet::Why;

/// See the module.
pub(crate) struct Encoder {
    name: &'static str,
    format: Pixel,
    encoder: encoder::video::Encoder,
}

impl Encoder {
    /// The first of those that are wanted which opens; the software is the last. Colours are those of `source`.
    pub(crate) fn open(rung: &Rung, rate: FrameRate, source: &Video) -> Result<Self, Why> {
        let transfer = source.color_transfer_characteristic();
        let high = matches!(transfer, Transfer::SMPTE2084 | Transfer::ARIB_STD_B67);
        if high && rung.codec == VideoCodec::Avc {
            return Err("the source has a high dynamic range, which players of H.264 do not show".into());
        }
        choose(names(rung.codec, rung.device), |name| {
            let format = format(name, high);
            open(name, format, rung, rate, source).map(|encoder| Self { name, format, encoder })
        })
    }

    /// Of the pictures that it takes.
    pub(crate) fn format(&self) -> Pixel {
        self.format
    }

    /// As libav calls it.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// It takes no word about key frames: for each another encoder begins.
    pub(crate) fn is_for_one_gop(&self) -> bool {
        // SVT-AV1 up to 1.4 does so only where it holds pictures back.
        self.name == "libsvtav1"
    }

    /// A picture, or that nothing follows.
    pub(crate) fn send(&mut self, frame: Option<&Video>) -> Result<(), Why> {
        let sent = match frame {
            Some(frame) => self.encoder.send_frame(frame),
            None => self.encoder.send_eof(),
        };
        Ok(sent?)
    }

    /// `false` when there is nothing yet.
    pub(crate) fn give(&mut self, packet: &mut Packet) -> Result<bool, Why> {
        came(self.encoder.receive_packet(packet))
    }
}

/// What the first of these gives that gives something, else why the last does not.
fn choose<T>(names: &[&'static str], open: impl FnMut(&'static str) -> Result<T, Why>) -> Result<T, Why> {
    let mut opened = Err(Why::from("nothing here encodes that"));
    for tried in names.iter().copied().map(open) {
        opened = tried;
        if opened.is_ok() {
            break;
        }
    }
    opened
}

/// What is tried, in this order.
fn names(codec: VideoCodec, device: Device) -> &'static [&'static str] {
    match (codec, device) {
        (VideoCodec::Avc, Device::Software) => &["libx264"],
        (VideoCodec::Avc, Device::Nvenc) => &["h264_nvenc", "libx264"],
        (VideoCodec::Avc, Device::Qsv) => &["h264_qsv", "libx264"],
        (VideoCodec::Avc, Device::Auto) => &["h264_nvenc", "h264_qsv", "libx264"],
        (VideoCodec::Hevc, Device::Software) => &["libx265"],
        (VideoCodec::Hevc, Device::Nvenc) => &["hevc_nvenc", "libx265"],
        (VideoCodec::Hevc, Device::Qsv) => &["hevc_qsv", "libx265"],
        (VideoCodec::Hevc, Device::Auto) => &["hevc_nvenc", "hevc_qsv", "libx265"],
        (VideoCodec::Av1, _) => &["libsvtav1"],
        _ => &[],
    }
}

/// 4:2:0 in 8 bits; of a high dynamic range in 10.
fn format(name: &str, high: bool) -> Pixel {
    let hardware = name.ends_with("_qsv") || name.ends_with("_nvenc");
    match (hardware, high) {
        (true, true) => Pixel::P010LE,
        (true, false) => Pixel::NV12,
        (false, true) => Pixel::YUV420P10LE,
        (false, false) => Pixel::YUV420P,
    }
}

fn open(
    name: &str,
    format: Pixel,
    rung: &Rung,
    rate: FrameRate,
    source: &Video,
) -> Result<encoder::video::Encoder, Why> {
    let codec = encoder::find_by_name(name).ok_or_else(|| format!("this libav lacks {name}"))?;
    let mut encoder = codec::Context::new_with_codec(codec).encoder().video()?;
    encoder.set_width(rung.width.into());
    encoder.set_height(rung.height.into());
    encoder.set_format(format);
    encoder.set_aspect_ratio((1, 1));
    encoder.set_colorspace(source.color_space());
    // The full range becomes the usual one.
    let full = source.color_range() == Range::JPEG;
    encoder.set_color_range(if full { Range::MPEG } else { source.color_range() });
    encoder.set_color_primaries(source.color_primaries());
    encoder.set_color_transfer_characteristic(source.color_transfer_characteristic());
    encoder.set_time_base((1, i32::try_from(VIDEO_TIMESCALE)?));
    encoder.set_frame_rate(Some((i32::try_from(rate.num)?, i32::try_from(rate.den)?)));
    encoder.set_bit_rate(usize::try_from(rung.bitrate_bps)?);
    encoder.set_max_b_frames(0);
    let opened = encoder.open_as_with(codec, options(name, rung))?;
    Ok(opened)
}

/// Settings by name, as the encoders know them.
fn options(name: &str, rung: &Rung) -> Dictionary<'static> {
    let mut options = Dictionary::new();
    let threads = match rung.threads {
        0 => "auto".to_owned(),
        some => some.to_string(),
    };
    options.set("threads", &threads);
    options.set("maxrate", &rung.peak_bps.to_string());
    let buffer_bits = u64::from(rung.peak_bps) * u64::from(rung.buffer_ms) / 1000;
    options.set("bufsize", &buffer_bits.to_string());
    // Hardware has presets of its own.
    if !rung.preset.is_empty() && name.starts_with("lib") {
        options.set("preset", &rung.preset);
    }
    let profile = match rung.profile {
        66 => "baseline",
        77 => "main",
        100 => "high",
        _ => "",
    };
    if rung.codec == VideoCodec::Avc && !profile.is_empty() {
        options.set("profile", profile);
    }
    match name {
        "libx264" => {
            options.set("tune", "zerolatency");
            options.set("forced-idr", "1");
            options.set("x264-params", "keyint=infinite:scenecut=0");
        }
        "libx265" => {
            options.set("tune", "zerolatency");
            options.set("forced-idr", "1");
            let pools = if rung.threads == 0 { "*".to_owned() } else { threads };
            let params =
                format!("keyint=-1:scenecut=0:open-gop=0:repeat-headers=1:log-level=none:pools={pools}");
            options.set("x265-params", &params);
        }
        "libsvtav1" => {
            options.set("svtav1-params", "pred-struct=1:keyint=-1:scd=0");
        }
        _ => {
            options.set("g", "1000000000");
            options.set("forced-idr", "1");
            options.set("forced_idr", "1");
            options.set("no-scenecut", "1");
            options.set("zerolatency", "1");
            options.set("delay", "0");
            options.set("async_depth", "1");
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_encoder_that_is_there_is_taken_and_the_software_is_the_last() {
        use Device::{Auto, Nvenc, Qsv, Software};
        use VideoCodec::{Av1, Avc, Hevc, Vp9};
        let (x264, x265, nothing) = (Some("libx264"), Some("libx265"), &[][..]);
        for (codec, device, hardware, want) in [
            (Avc, Software, &["h264_nvenc", "h264_qsv"][..], x264),
            (Avc, Nvenc, nothing, x264),
            (Avc, Nvenc, &["h264_qsv"], x264),
            (Avc, Nvenc, &["h264_qsv", "h264_nvenc"], Some("h264_nvenc")),
            (Avc, Qsv, &["h264_qsv", "h264_nvenc"], Some("h264_qsv")),
            (Avc, Auto, &["h264_qsv", "h264_nvenc"], Some("h264_nvenc")),
            (Avc, Auto, &["h264_qsv"], Some("h264_qsv")),
            (Avc, Auto, &["hevc_qsv"], x264),
            (Avc, Auto, nothing, x264),
            (Hevc, Auto, &["h264_qsv", "hevc_qsv"], Some("hevc_qsv")),
            (Hevc, Nvenc, nothing, x265),
            (Av1, Auto, &["h264_nvenc"], Some("libsvtav1")),
            (Vp9, Auto, &["h264_nvenc"], None),
        ] {
            let there = |name: &'static str| name.starts_with("lib") || hardware.contains(&name);
            let open = |name| if there(name) { Ok(name) } else { Err(Why::from("it is not there")) };
            assert_eq!(choose(names(codec, device), open).ok(), want, "{codec:?} {device:?} {hardware:?}");
        }
    }
}
