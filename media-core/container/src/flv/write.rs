//! Writer of tag bodies: legacy form for H.264, AAC and MP3, which every player reads, enhanced for the rest.

use bytes::{BufMut, Bytes, BytesMut};
use nx_media::{AudioCodec, AudioParams, Kind, VideoCodec, VideoParams};

use super::codecs::{audio_fourcc, video_fourcc};
use super::multitrack;

/// Sound header of AAC: format 10, and 44 kHz stereo 16 bit as the specification wants, whatever it is.
const AAC_HEADER: u8 = 0xaf;
/// Sound header of MP3: format 2, the rest as for AAC; decoders believe the frames.
const MP3_HEADER: u8 = 0x2f;
/// First byte of an enhanced audio body, without the packet type.
const ENHANCED_AUDIO: u8 = 0x90;
/// Bit of the first byte of an enhanced video body.
const ENHANCED_VIDEO: u8 = 0x80;
/// Packet types that both kinds share.
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
/// Coded frames presented when they are decoded.
const CODED_FRAMES_X: u8 = 3;
/// Last packet type that holds something of one track and no modifier.
const SINGLE_MAX: u8 = 4;

/// Header of a tag body in front of a frame, kept in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    bytes: [u8; 8],
    len: u8,
}

impl Header {
    fn new(parts: &[&[u8]]) -> Self {
        let mut header = Self { bytes: [0; 8], len: 0 };
        for (slot, byte) in header.bytes.iter_mut().zip(parts.iter().copied().flatten()) {
            *slot = *byte;
            header.len += 1;
        }
        header
    }
}

impl std::ops::Deref for Header {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// Body of the video tag that carries the configuration of a track. Frames must have 4-byte NAL lengths: the
/// H.264 record is made to say so, an HEVC record must say so already.
#[must_use]
pub fn video_config_body(params: &VideoParams) -> Bytes {
    if params.codec == VideoCodec::Avc {
        let record = nx_codec::avc::four_byte_config(&params.config);
        return join(&[&[0x17, 0, 0, 0, 0], &record]);
    }
    let first = ENHANCED_VIDEO | frame_type(true) | SEQUENCE_START;
    join(&[&[first], &video_fourcc(params.codec), &params.config])
}

/// Body of the audio tag that carries the configuration of a track. `None` when the codec needs none (AC-3,
/// E-AC-3, MPEG audio), or when `params.config` is too short for its codec.
#[must_use]
pub fn audio_config_body(params: &AudioParams) -> Option<Bytes> {
    let enhanced = [ENHANCED_AUDIO | SEQUENCE_START];
    let fourcc = audio_fourcc(params.codec);
    match params.codec {
        AudioCodec::Aac => Some(join(&[&[AAC_HEADER, 0], &params.config])),
        AudioCodec::Opus => Some(join(&[&enhanced, &fourcc, &opus_head(&params.config)?])),
        AudioCodec::Flac => Some(join(&[&enhanced, &fourcc, b"fLaC", &params.config])),
        _ => None,
    }
}

/// Header of the video tag in front of one frame; H.264 and HEVC with 4-byte NAL lengths.
///
/// `cts_ms` is presentation minus decode time in milliseconds, limited to signed 24 bits; AV1 and VP9 have
/// none.
#[must_use]
pub fn video_frame_header(codec: VideoCodec, key: bool, cts_ms: i32) -> Header {
    let [_, cts @ ..] = cts_ms.clamp(-0x80_0000, 0x7f_ffff).to_be_bytes();
    let fourcc = video_fourcc(codec);
    let enhanced = ENHANCED_VIDEO | frame_type(key);
    match codec {
        VideoCodec::Avc => Header::new(&[&[frame_type(key) | 7, 1], &cts]),
        VideoCodec::Hevc if cts_ms == 0 => Header::new(&[&[enhanced | CODED_FRAMES_X], &fourcc]),
        VideoCodec::Hevc => Header::new(&[&[enhanced | CODED_FRAMES], &fourcc, &cts]),
        _ => Header::new(&[&[enhanced | CODED_FRAMES], &fourcc]),
    }
}

/// Header of the audio tag in front of one frame.
#[must_use]
pub fn audio_frame_header(codec: AudioCodec) -> Header {
    match codec {
        AudioCodec::Aac => Header::new(&[&[AAC_HEADER, 1]]),
        AudioCodec::Mpa => Header::new(&[&[MP3_HEADER]]),
        _ => Header::new(&[&[ENHANCED_AUDIO | CODED_FRAMES], &audio_fourcc(codec)]),
    }
}

/// The same body as a message of track `track`: the one-track form of multitrack. Takes what the functions
/// above write, legacy or enhanced. `None` for bodies that have modifiers or track ids already.
///
/// Spec: Enhanced RTMP v2, `AvMultitrackType.OneTrack`.
#[must_use]
pub fn multitrack_one(kind: Kind, track: u8, body: &[u8]) -> Option<Bytes> {
    let (&first, rest) = body.split_first()?;
    let (upper, packet, fourcc, rest) = match (kind, first >> 4, first & 0xf) {
        (Kind::Video, 8.., packet) | (Kind::Audio, 9, packet) if packet <= SINGLE_MAX => {
            let (fourcc, rest) = rest.split_first_chunk()?;
            (first & 0xf0, packet, *fourcc, rest)
        }
        (Kind::Video, frame, 7) if frame < 8 => {
            let (&packet, rest) = rest.split_first()?;
            // only frames keep their composition time
            let rest = if packet == CODED_FRAMES { rest } else { rest.get(3..)? };
            (ENHANCED_VIDEO | first & 0xf0, packet, video_fourcc(VideoCodec::Avc), rest)
        }
        (Kind::Audio, 10, _) => {
            let (&packet, rest) = rest.split_first()?;
            (ENHANCED_AUDIO, packet, audio_fourcc(AudioCodec::Aac), rest)
        }
        (Kind::Audio, 2, _) => (ENHANCED_AUDIO, CODED_FRAMES, audio_fourcc(AudioCodec::Mpa), rest),
        _ => return None,
    };
    let head = [upper | multitrack(kind), packet & 0xf];
    Some(join(&[&head, &fourcc, &[track], rest]))
}

fn frame_type(key: bool) -> u8 {
    if key { 0x10 } else { 0x20 }
}

/// `OpusHead` from the payload of `dOps`: the same fields, little endian.
///
/// Spec: RFC 7845 §5.1; Encapsulation of Opus in ISO BMFF §4.3.2.
fn opus_head(dops: &[u8]) -> Option<Vec<u8>> {
    let (fields, mapping) = dops.split_first_chunk()?;
    let [_version, channels, s1, s0, r3, r2, r1, r0, g1, g0, family] = *fields;
    let mut head = b"OpusHead".to_vec();
    head.extend([1, channels, s0, s1, r0, r1, r2, r3, g0, g1, family]);
    head.extend_from_slice(mapping);
    Some(head)
}

fn join(parts: &[&[u8]]) -> Bytes {
    let mut body = BytesMut::with_capacity(parts.iter().map(|p| p.len()).sum());
    for part in parts {
        body.put_slice(part);
    }
    body.freeze()
}
