//! Samples of any video codec as pictures.

use bytes::Bytes;
use ffmpeg_next::codec::{self, Id, decoder};
use ffmpeg_next::frame::Video;
use ffmpeg_next::{Codec, Dictionary, Packet};
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

/// Decodes a file, PNG or JPEG. What is broken is refused, even where a part of it could be shown.
pub(crate) fn image(file: &Bytes) -> Result<Video, Why> {
    let id = match file {
        png if png.starts_with(b"\x89PNG\r\n\x1a\n") => Id::PNG,
        jpeg if jpeg.starts_with(&[0xff, 0xd8, 0xff]) => Id::MJPEG,
        _ => return Err("the picture is neither PNG nor JPEG".into()),
    };
    let named = decoder::find(id).ok_or("this libav has no decoder for the picture")?;
    let mut decoder = open(named, PIXELS_MAX).map_err(|why| format!("the picture cannot be read: {why}"))?;
    let mut frame = Video::empty();
    let taken = decoder.send_packet(&Packet::copy(file)).and_then(|()| decoder.send_eof());
    match taken.map_err(Why::from).and_then(|()| came(decoder.receive_frame(&mut frame))) {
        Ok(true) => Ok(frame),
        Ok(false) => Err("there is no picture in the file".into()),
        Err(why) => Err(format!("the picture is broken, or larger than 7680 x 4352 pixels: {why}").into()),
    }
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
        Ok(Self { stream, decoder: open(named, pixels_max)? })
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

fn open(named: Codec, pixels_max: u32) -> Result<decoder::Video, Why> {
    let mut options = Dictionary::new();
    // More would hold pictures back.
    options.set("threads", "1");
    options.set("max_pixels", &pixels_max.to_string());
    // Of files: nothing is made up for what is missing.
    if matches!(named.id(), Id::PNG | Id::MJPEG) {
        options.set("err_detect", "crccheck+bitstream+buffer+explode");
    }
    let opened = codec::Context::new_with_codec(named).decoder().open_as_with(named, options);
    Ok(opened.and_then(decoder::Opened::video)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One red pixel, written by hand: each chunk is its length, its kind, its body and its CRC.
    const PNG: &[u8] = &[
        0x89, b'P', b'N', b'G', 13, 10, 26, 10, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0, 0, 1,
        8, 2, 0, 0, 0, 0x90, 0x77, 0x53, 0xde, 0, 0, 0, 12, b'I', b'D', b'A', b'T', 0x78, 0x9c, 0x63, 0xf8,
        0xcf, 0xc0, 0, 0, 3, 1, 1, 0, 0xc9, 0xfe, 0x92, 0xef, 0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42,
        0x60, 0x82,
    ];

    #[test]
    fn a_picture_is_read_whole_or_refused() {
        ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Quiet);
        let read = |file: &[u8]| image(&Bytes::copy_from_slice(file));
        let picture = read(PNG).expect("a picture");
        assert_eq!((picture.width(), picture.height(), &picture.data(0)[..3]), (1, 1, &[255, 0, 0][..]));
        for end in 0..PNG.len() - 12 {
            assert!(read(&PNG[..end]).is_err(), "{end} bytes of it");
        }
        // Far too large by its head; the CRC is left out, as it would be wrong.
        let mut huge = PNG.to_vec();
        huge[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
        assert!(read(&huge).is_err());
        for at in 41..53 {
            let mut flipped = PNG.to_vec();
            flipped[at] ^= 0x55;
            assert!(read(&flipped).is_err(), "byte {at}");
        }
        let why = read(b"GIF89a").err().expect("it is none").to_string();
        assert!(why.contains("neither PNG nor JPEG"), "{why}");
    }
}
