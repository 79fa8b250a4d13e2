//! Which codecs are carried, under which numbers and `FourCC`s, and how the others are called.

use nx_media::{AudioCodec, Kind, VideoCodec};

use super::FlvError;

/// Spec: Enhanced RTMP v2, `VideoFourCc`.
const VIDEO: [(VideoCodec, [u8; 4]); 4] = [
    (VideoCodec::Avc, *b"avc1"),
    (VideoCodec::Hevc, *b"hvc1"),
    (VideoCodec::Av1, *b"av01"),
    (VideoCodec::Vp9, *b"vp09"),
];
/// Spec: Enhanced RTMP v2, `AudioFourCc`.
const AUDIO: [(AudioCodec, [u8; 4]); 6] = [
    (AudioCodec::Aac, *b"mp4a"),
    (AudioCodec::Opus, *b"Opus"),
    (AudioCodec::Flac, *b"fLaC"),
    (AudioCodec::Ac3, *b"ac-3"),
    (AudioCodec::Eac3, *b"ec-3"),
    (AudioCodec::Mpa, *b".mp3"),
];

pub(super) fn video_fourcc(codec: VideoCodec) -> [u8; 4] {
    VIDEO.iter().find(|(c, _)| *c == codec).map_or([0; 4], |(_, fourcc)| *fourcc)
}

pub(super) fn audio_fourcc(codec: AudioCodec) -> [u8; 4] {
    AUDIO.iter().find(|(c, _)| *c == codec).map_or([0; 4], |(_, fourcc)| *fourcc)
}

pub(super) fn video_by_fourcc(fourcc: [u8; 4]) -> Result<VideoCodec, FlvError> {
    let found = VIDEO.iter().find(|(_, f)| *f == fourcc).map(|(codec, _)| *codec);
    found.ok_or_else(|| FlvError::Codec { kind: Kind::Video, name: name(fourcc) })
}

pub(super) fn audio_by_fourcc(fourcc: [u8; 4]) -> Result<AudioCodec, FlvError> {
    let found = AUDIO.iter().find(|(_, f)| *f == fourcc).map(|(codec, _)| *codec);
    found.ok_or_else(|| FlvError::Codec { kind: Kind::Audio, name: name(fourcc) })
}

/// Legacy `CodecID`s; 12 and 13 are not in the specification but in use, with the layout of 7.
pub(super) fn video_by_id(id: u8) -> Result<VideoCodec, FlvError> {
    let name = match id {
        7 => return Ok(VideoCodec::Avc),
        12 => return Ok(VideoCodec::Hevc),
        13 => return Ok(VideoCodec::Av1),
        1 => "JPEG",
        2 => "Sorenson H.263",
        3 => "Screen Video",
        4 => "On2 VP6",
        5 => "On2 VP6 with alpha",
        6 => "Screen Video 2",
        _ => return Err(FlvError::Codec { kind: Kind::Video, name: format!("FLV video codec id {id}") }),
    };
    Err(FlvError::Codec { kind: Kind::Video, name: name.to_owned() })
}

/// Legacy `SoundFormat`s.
pub(super) fn audio_by_id(format: u8) -> Result<AudioCodec, FlvError> {
    let name = match format {
        2 => return Ok(AudioCodec::Mpa),
        10 => return Ok(AudioCodec::Aac),
        0 => "linear PCM",
        1 => "ADPCM",
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
fn name(fourcc: [u8; 4]) -> String {
    let words = match &fourcc {
        b"hev1" => "HEVC (H.265) under another name than hvc1",
        b"vvc1" => "VVC (H.266)",
        b"vp08" => "VP8",
        _ => "",
    };
    let text = match std::str::from_utf8(&fourcc) {
        Ok(text) if fourcc.iter().all(|b| b.is_ascii_graphic() || *b == b' ') => text.to_owned(),
        _ => format!("0x{:08x}", u32::from_be_bytes(fourcc)),
    };
    if words.is_empty() { text } else { format!("{text}, {words}") }
}
