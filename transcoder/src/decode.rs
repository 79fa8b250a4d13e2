//! Samples of any video codec as pictures.

use bytes::Bytes;
use ffmpeg_next::Dictionary;
use ffmpeg_next::codec::{self, Id, decoder};
use ffmpeg_next::frame::Video;
use nx_media::{Sample, VideoCodec};

use crate::graph::came;
use crate::sheet::Why;
use crate::stream::Stream;

/// Pixels of a picture: 8K with what encoders add.
const PIXELS_MAX: u32 = 7680 * 4352;

/// Decodes one key frame.
pub(crate) fn key_frame(codec: VideoCodec, config: &Bytes, sample: &Bytes) -> Result<Video, Why> {
    let mut decoder = Decoder::new(codec, config, PIXELS_MAX)?;
    decoder.take(&Sample { dts: 0, pts: 0, duration: None, key: true, payload: sample.clone() })?;
    decoder.end()?;
    let mut frame = Video::empty();
    if !decoder.give(&mut frame)? {
        return Err("there is no picture in it".into());
    }
    Ok(frame)
}

/// See the module.
pub(crate) struct Decoder {
    stream: Stream,
    decoder: decoder::Video,
}

impl Decoder {
    pub(crate) fn new(codec: VideoCodec, config: &Bytes, pixels_max: u32) -> Result<Self, Why> {
        let stream = Stream::new(codec, config).ok_or("its configuration record cannot be read")?;
        let named = match codec {
            VideoCodec::Avc => decoder::find(Id::H264),
            VideoCodec::Hevc => decoder::find(Id::HEVC),
            // The one of libavcodec needs hardware.
            VideoCodec::Av1 => {
                decoder::find_by_name("libdav1d").or_else(|| decoder::find_by_name("libaom-av1"))
            }
            VideoCodec::Vp9 => decoder::find(Id::VP9),
            VideoCodec::Mpeg4 => decoder::find(Id::MPEG4),
            VideoCodec::Mpeg2 => decoder::find(Id::MPEG2VIDEO),
            _ => None,
        };
        let named = named.ok_or("this libav has no decoder for it")?;
        let mut options = Dictionary::new();
        // More would hold pictures back.
        options.set("threads", "1");
        options.set("max_pixels", &pixels_max.to_string());
        let opened = codec::Context::new_with_codec(named).decoder().open_as_with(named, options);
        Ok(Self { stream, decoder: opened.and_then(decoder::Opened::video)? })
    }

    /// The next sample, in decode order.
    pub(crate) fn take(&mut self, sample: &Sample) -> Result<(), Why> {
        let mut packet = self.stream.packet(&sample.payload, sample.key);
        packet.set_pts(Some(sample.pts));
        packet.set_dts(Some(sample.dts));
        Ok(self.decoder.send_packet(&packet)?)
    }

    /// The next picture, with its sample's presentation time; `false` when there is none yet.
    pub(crate) fn give(&mut self, frame: &mut Video) -> Result<bool, Why> {
        came(self.decoder.receive_frame(frame))
    }

    /// Nothing follows: it gives what it holds.
    pub(crate) fn end(&mut self) -> Result<(), Why> {
        Ok(self.decoder.send_eof()?)
    }

    /// Forgets what it holds; a key frame follows.
    pub(crate) fn empty(&mut self) {
        self.decoder.flush();
    }
}
