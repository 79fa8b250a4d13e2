//! FLV tag bodies, which are also the payload of RTMP audio and video messages, and a reader of FLV files.
//!
//! H.264 and AAC are carried in their legacy and their enhanced (`FourCC`) form; every other codec is
//! refused by name. A new codec is a new arm in `video_codec` or `audio_codec` and a variant of the tag.
//!
//! Spec: Adobe FLV 10.1 annex E.4, Enhanced RTMP v2 (Veovera).

use bytes::{BufMut, Bytes, BytesMut};
use nx_media::{AudioParams, Kind, VideoParams};

mod file;
pub use file::{TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, Tags, tags};

/// Modifiers in front of one enhanced packet; more are refused.
const MODIFIERS_MAX: usize = 8;
/// Sound header of AAC: format 10, and 44 kHz stereo 16 bit as the specification wants, whatever it is.
const AAC_HEADER: u8 = 0xaf;

/// What one video message holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VideoTag {
    /// H.264 decoder configuration record (`avcC`), for the frames that follow.
    Config(Bytes),
    /// One H.264 access unit.
    Frame {
        /// The sender marks it as a key frame; see [`nx_codec::avc::is_idr`] for the truth.
        key: bool,
        /// Presentation time minus decode time in milliseconds, signed 24 bits.
        cts_ms: i32,
        /// NAL units with the lengths of the record; may be empty. Shares the memory of the body.
        payload: Bytes,
    },
    /// No more frames of this configuration.
    EndOfSequence,
    /// Command frames and metadata: nothing to do.
    Ignored,
}

/// What one audio message holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AudioTag {
    /// AAC `AudioSpecificConfig`, for the frames that follow.
    Config(Bytes),
    /// One raw AAC access unit; may be empty. Shares the memory of the body.
    Frame(Bytes),
    /// End of sequence and channel layout hints: nothing to do.
    Ignored,
}

/// The tag body is not one that this system carries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlvError {
    /// The body ends inside its header.
    #[error("FLV tag body ends early: {needed} bytes needed at offset {offset}, {got} left")]
    Truncated {
        /// Where the read began, in bytes.
        offset: usize,
        /// Bytes that the field asks for.
        needed: usize,
        /// Bytes that are left.
        got: usize,
    },
    /// The codec is known by name but not carried.
    #[error("unsupported {} codec: {name}; send H.264 video and AAC audio", kind_name(*.kind))]
    Codec {
        /// Video or audio.
        kind: Kind,
        /// In words, or the `FourCC`.
        name: String,
    },
    /// A packet type that the specification does not know, or several tracks in one message.
    #[error("unsupported {} packet type {got}", kind_name(*.kind))]
    PacketType {
        /// Video or audio.
        kind: Kind,
        /// The type that was found.
        got: u8,
    },
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Video => "video",
        Kind::Audio => "audio",
    }
}

/// Codecs of which frames are read.
enum Video {
    Avc,
}

/// Codecs of which frames are read.
enum Audio {
    Aac,
}

/// Reads the body of a video tag (RTMP message type 9).
///
/// # Errors
///
/// [`FlvError`]; on [`FlvError::Codec`] the stream cannot be carried, else only this message is lost.
///
/// Spec: FLV §E.4.3, Enhanced RTMP v2 "Enhanced Video".
pub fn parse_video(body: &Bytes) -> Result<VideoTag, FlvError> {
    let mut cursor = Cursor { body, at: 0 };
    let header = cursor.byte()?;
    if header & 0x80 != 0 {
        return enhanced_video(&mut cursor, header);
    }
    let (frame_type, codec) = (header >> 4, header & 0xf);
    if frame_type == 5 {
        return Ok(VideoTag::Ignored);
    }
    match video_codec(codec)? {
        Video::Avc => {
            let packet = cursor.byte()?;
            let cts_ms = cursor.si24()?;
            match packet {
                0 => Ok(VideoTag::Config(cursor.rest())),
                1 => Ok(VideoTag::Frame { key: is_key(frame_type), cts_ms, payload: cursor.rest() }),
                2 => Ok(VideoTag::EndOfSequence),
                got => Err(FlvError::PacketType { kind: Kind::Video, got }),
            }
        }
    }
}

/// Key frames, and those that a server made to be key frames.
fn is_key(frame_type: u8) -> bool {
    matches!(frame_type, 1 | 4)
}

fn enhanced_video(cursor: &mut Cursor<'_>, header: u8) -> Result<VideoTag, FlvError> {
    let frame_type = (header >> 4) & 7;
    let packet = cursor.skip_modifiers(header & 0xf)?;
    if packet == 4 || frame_type == 5 {
        return Ok(VideoTag::Ignored);
    }
    if packet > 5 {
        return Err(FlvError::PacketType { kind: Kind::Video, got: packet });
    }
    let fourcc = cursor.take()?;
    match &fourcc {
        b"avc1" => match packet {
            0 => Ok(VideoTag::Config(cursor.rest())),
            1 | 3 => {
                let cts_ms = if packet == 1 { cursor.si24()? } else { 0 };
                Ok(VideoTag::Frame { key: is_key(frame_type), cts_ms, payload: cursor.rest() })
            }
            2 => Ok(VideoTag::EndOfSequence),
            got => Err(FlvError::PacketType { kind: Kind::Video, got }),
        },
        other => Err(FlvError::Codec { kind: Kind::Video, name: fourcc_name(*other) }),
    }
}

/// Legacy `CodecID`s; 12 and 13 are not in the specification but in use.
fn video_codec(id: u8) -> Result<Video, FlvError> {
    let name = match id {
        7 => return Ok(Video::Avc),
        1 => "JPEG",
        2 => "Sorenson H.263",
        3 => "Screen Video",
        4 => "On2 VP6",
        5 => "On2 VP6 with alpha",
        6 => "Screen Video 2",
        12 => "HEVC (H.265)",
        13 => "AV1",
        _ => return Err(FlvError::Codec { kind: Kind::Video, name: format!("FLV video codec id {id}") }),
    };
    Err(FlvError::Codec { kind: Kind::Video, name: name.to_owned() })
}

/// Reads the body of an audio tag (RTMP message type 8).
///
/// # Errors
///
/// As [`parse_video`].
///
/// Spec: FLV §E.4.2, Enhanced RTMP v2 "Enhanced Audio".
pub fn parse_audio(body: &Bytes) -> Result<AudioTag, FlvError> {
    let mut cursor = Cursor { body, at: 0 };
    let header = cursor.byte()?;
    let format = header >> 4;
    if format == 9 {
        return enhanced_audio(&mut cursor, header);
    }
    match audio_codec(format)? {
        Audio::Aac => match cursor.byte()? {
            0 => Ok(AudioTag::Config(cursor.rest())),
            1 => Ok(AudioTag::Frame(cursor.rest())),
            got => Err(FlvError::PacketType { kind: Kind::Audio, got }),
        },
    }
}

fn enhanced_audio(cursor: &mut Cursor<'_>, header: u8) -> Result<AudioTag, FlvError> {
    let packet = cursor.skip_modifiers(header & 0xf)?;
    if !matches!(packet, 0..=2 | 4) {
        return Err(FlvError::PacketType { kind: Kind::Audio, got: packet });
    }
    let fourcc = cursor.take()?;
    match &fourcc {
        b"mp4a" => match packet {
            0 => Ok(AudioTag::Config(cursor.rest())),
            1 => Ok(AudioTag::Frame(cursor.rest())),
            _ => Ok(AudioTag::Ignored),
        },
        other => Err(FlvError::Codec { kind: Kind::Audio, name: fourcc_name(*other) }),
    }
}

fn audio_codec(format: u8) -> Result<Audio, FlvError> {
    let name = match format {
        10 => return Ok(Audio::Aac),
        0 => "linear PCM",
        1 => "ADPCM",
        2 => "MP3",
        3 => "linear PCM, little endian",
        4 => "Nellymoser 16 kHz mono",
        5 => "Nellymoser 8 kHz mono",
        6 => "Nellymoser",
        7 => "G.711 A-law",
        8 => "G.711 mu-law",
        11 => "Speex",
        14 => "MP3 8 kHz",
        15 => "device-specific sound",
        _ => {
            return Err(FlvError::Codec { kind: Kind::Audio, name: format!("FLV sound format {format}") });
        }
    };
    Err(FlvError::Codec { kind: Kind::Audio, name: name.to_owned() })
}

/// Printable `FourCC`s as text with the codec in words, others in hexadecimal.
fn fourcc_name(fourcc: [u8; 4]) -> String {
    let words = match &fourcc {
        b"hvc1" | b"hev1" => "HEVC (H.265)",
        b"vvc1" => "VVC (H.266)",
        b"av01" => "AV1",
        b"vp08" => "VP8",
        b"vp09" => "VP9",
        b"Opus" => "Opus",
        b"fLaC" => "FLAC",
        b"ac-3" => "AC-3",
        b"ec-3" => "E-AC-3",
        b".mp3" => "MP3",
        _ => "",
    };
    let text = match std::str::from_utf8(&fourcc) {
        Ok(text) if fourcc.iter().all(|b| b.is_ascii_graphic() || *b == b' ') => text.to_owned(),
        _ => format!("0x{:08x}", u32::from_be_bytes(fourcc)),
    };
    if words.is_empty() || words == text { text } else { format!("{text}, {words}") }
}

struct Cursor<'a> {
    body: &'a Bytes,
    at: usize,
}

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], FlvError> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let Some(bytes) = rest.first_chunk() else {
            return Err(FlvError::Truncated { offset: self.at, needed: N, got: rest.len() });
        };
        self.at += N;
        Ok(*bytes)
    }

    fn byte(&mut self) -> Result<u8, FlvError> {
        self.take().map(|[b]| b)
    }

    /// Signed 24-bit number, big endian.
    fn si24(&mut self) -> Result<i32, FlvError> {
        self.take().map(|[a, b, c]| i32::from_be_bytes([a, b, c, 0]) >> 8)
    }

    /// What is left, possibly nothing; zero-copy.
    fn rest(&self) -> Bytes {
        self.body.slice(self.at.min(self.body.len())..)
    }

    /// Skips `ModEx` prefixes (type 7) and returns the type of the packet behind them.
    ///
    /// Spec: Enhanced RTMP v2, `ModEx` signal.
    fn skip_modifiers(&mut self, first: u8) -> Result<u8, FlvError> {
        let mut packet = first;
        for _ in 0..MODIFIERS_MAX {
            if packet != 7 {
                break;
            }
            let mut len = usize::from(self.byte()?) + 1;
            if len == 256 {
                len = usize::from(u16::from_be_bytes(self.take()?)) + 1;
            }
            let left = self.body.len().saturating_sub(self.at);
            if len > left {
                return Err(FlvError::Truncated { offset: self.at, needed: len, got: left });
            }
            self.at += len;
            packet = self.byte()? & 0xf;
        }
        Ok(packet)
    }
}

/// Body of the video tag that carries the configuration of an H.264 track; its NAL length size is 4.
#[must_use]
pub fn video_config_body(params: &VideoParams) -> Bytes {
    let record = nx_codec::avc::four_byte_config(&params.config);
    let mut body = BytesMut::with_capacity(5 + record.len());
    body.put_slice(&[0x17, 0, 0, 0, 0]);
    body.put_slice(&record);
    body.freeze()
}

/// Body of the audio tag that carries the configuration of an AAC track.
#[must_use]
pub fn audio_config_body(params: &AudioParams) -> Bytes {
    let mut body = BytesMut::with_capacity(2 + params.config.len());
    body.put_slice(&[AAC_HEADER, 0]);
    body.put_slice(&params.config);
    body.freeze()
}

/// Header of the video tag in front of one H.264 access unit with 4-byte NAL lengths.
///
/// `cts_ms` is presentation minus decode time in milliseconds; limited to signed 24 bits.
#[must_use]
pub fn video_frame_header(key: bool, cts_ms: i32) -> [u8; 5] {
    let [_, a, b, c] = cts_ms.clamp(-0x80_0000, 0x7f_ffff).to_be_bytes();
    [if key { 0x17 } else { 0x27 }, 1, a, b, c]
}

/// Header of the audio tag in front of one raw AAC access unit.
#[must_use]
pub fn audio_frame_header(_params: &AudioParams) -> [u8; 2] {
    [AAC_HEADER, 1]
}

#[cfg(test)]
mod tests;
