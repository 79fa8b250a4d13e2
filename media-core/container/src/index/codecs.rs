//! Parameters as files tell them, for all readers.

use bytes::Bytes;
use nx_codec::{ac3, avc, flac, hevc, mpa, opus};
use nx_media::{AudioCodec, AudioParams, VideoCodec, VideoParams, VideoRange};

/// Frames are taken as they are, so that lengths must have 4 bytes.
pub(crate) fn avc_params(record: &Bytes) -> Result<VideoParams, String> {
    match avc::nal_length_size(record) {
        Ok(4) => avc::parse_config(record).map_err(|e| e.to_string()),
        Ok(size) => Err(short_lengths(size)),
        Err(e) => Err(e.to_string()),
    }
}

/// As [`avc_params`].
pub(crate) fn hevc_params(record: &Bytes) -> Result<VideoParams, String> {
    match hevc::nal_length_size(record) {
        Ok(4) => hevc::parse_config(record).map_err(|e| e.to_string()),
        Ok(size) => Err(short_lengths(size)),
        Err(e) => Err(e.to_string()),
    }
}

/// Parameters of a picture that can only be made into another. `headers` are what stands in front of key frames.
pub(crate) fn foreign_params(codec: VideoCodec, headers: Bytes, (width, height): (u32, u32)) -> VideoParams {
    let rfc6381 = if codec == VideoCodec::Mpeg2 { "mp4v.61" } else { "mp4v.20" }.to_owned();
    VideoParams { codec, config: headers, width, height, frame_rate: None, range: VideoRange::Sdr, rfc6381 }
}

fn short_lengths(size: u8) -> String {
    format!("NAL lengths of {size} bytes; 4 are carried")
}

/// Parameters of a codec that tells them in each frame.
pub(crate) fn frame_params(codec: AudioCodec, frame: &[u8]) -> Result<AudioParams, String> {
    match codec {
        AudioCodec::Mpa => mpa::params(frame).map_err(|e| e.to_string()),
        _ => ac3::params(frame).map_err(|e| e.to_string()),
    }
}

/// Samples of a frame by its first bytes, for codecs whose frames differ.
pub(crate) fn frame_samples(params: &AudioParams, frame: &[u8]) -> u32 {
    let told = match params.codec {
        AudioCodec::Opus => opus::packet_samples(frame),
        AudioCodec::Flac => flac::frame_samples(frame),
        _ => None,
    };
    told.unwrap_or(params.frame_samples)
}
