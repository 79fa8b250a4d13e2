//! One key frame of any codec as a picture.

use bytes::Bytes;
use ffmpeg_next::codec::{self, Id, decoder};
use ffmpeg_next::frame::Video;
use ffmpeg_next::{Dictionary, Packet};
use nx_media::VideoCodec;

use crate::sheet::Why;
use crate::stream::self_contained;

/// Pixels of a picture: 8K with what encoders add.
const PIXELS_MAX: u32 = 7680 * 4352;

/// Decodes one key frame.
pub(crate) fn key_frame(codec: VideoCodec, config: &Bytes, sample: &Bytes) -> Result<Video, Why> {
    let stream = self_contained(codec, config, sample).ok_or("its configuration record cannot be read")?;
    let named = match codec {
        VideoCodec::Avc => decoder::find(Id::H264),
        VideoCodec::Hevc => decoder::find(Id::HEVC),
        // The one of libavcodec needs hardware.
        VideoCodec::Av1 => decoder::find_by_name("libdav1d").or_else(|| decoder::find_by_name("libaom-av1")),
        VideoCodec::Vp9 => decoder::find(Id::VP9),
        _ => None,
    };
    let named = named.ok_or("this libav has no decoder for it")?;
    let mut options = Dictionary::new();
    options.set("threads", "1");
    options.set("max_pixels", &PIXELS_MAX.to_string());
    let opened = codec::Context::new_with_codec(named).decoder().open_as_with(named, options);
    let mut decoder = opened.and_then(decoder::Opened::video)?;
    decoder.send_packet(&Packet::copy(&stream))?;
    decoder.send_eof()?;
    let mut frame = Video::empty();
    decoder.receive_frame(&mut frame)?;
    if frame.width() == 0 || frame.height() == 0 || frame.width().saturating_mul(frame.height()) > PIXELS_MAX
    {
        return Err(format!("{} x {} pixels are no picture", frame.width(), frame.height()).into());
    }
    Ok(frame)
}
