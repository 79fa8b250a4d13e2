//! What an encoder of pictures gives, as CMAF has it.

use bytes::Bytes;
use nx_codec::av1;
use nx_codec::elementary::{Frame, Item, Unit, VideoReader};
use nx_media::{Params, Sample, VideoCodec};

use crate::sheet::Why;

/// A sample, and in front of it a configuration when it is a new one.
pub(crate) struct Coded {
    pub(crate) config: Option<Bytes>,
    /// Without a duration.
    pub(crate) sample: Sample,
}

/// See the module.
pub(crate) enum Reader {
    /// H.264 and H.265: parameter sets go into the configuration.
    Nals(Box<VideoReader>),
    /// AV1, and its last configuration.
    Obus(Bytes),
}

impl Reader {
    pub(crate) fn new(codec: VideoCodec) -> Self {
        match codec {
            VideoCodec::Av1 => Self::Obus(Bytes::new()),
            _ => Self::Nals(Box::new(VideoReader::new(codec))),
        }
    }

    pub(crate) fn read(&mut self, packet: &[u8], pts: i64) -> Result<Coded, Why> {
        let payload = Bytes::copy_from_slice(packet);
        let sample = |payload, key| Sample { dts: pts, pts, duration: None, key, payload };
        match self {
            Self::Nals(reader) => {
                let (mut config, mut frame) = (None, None);
                let mut sink = |item| match item {
                    Item::Params(Params::Video(video)) => config = Some(video.config),
                    Item::Params(Params::Audio(_)) => (),
                    Item::Frame(found) => frame = Some(found),
                };
                reader.push(Unit { pts: Some(pts), dts: None, discontinuity: false, payload }, &mut sink);
                // A packet is a picture, however long it is.
                reader.flush(&mut sink);
                let Frame { key, payload, .. } = frame.ok_or("the encoder gave no picture")?;
                Ok(Coded { config, sample: sample(payload, key) })
            }
            Self::Obus(last) => {
                let (payload, key) = (av1::strip_temporal_delimiters(&payload), av1::is_key(packet));
                let config = if key { av1::config_from_key(&payload) } else { None };
                let config = config.filter(|config| config != last);
                if let Some(config) = &config {
                    *last = config.clone();
                }
                Ok(Coded { config, sample: sample(payload, key) })
            }
        }
    }
}
