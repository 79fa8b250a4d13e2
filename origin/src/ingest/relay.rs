//! Frames as RTMP messages, the same bytes for every player of a stream.

use bytes::Bytes;
use nx_container::flv;
use nx_hls::TrackSpec;
use nx_media::{AudioCodec, Kind, Params, Sample, TrackId, VideoCodec, rescale};
use nx_rtmp::server::Config;
use nx_rtmp::{MediaKind, media_message};

use crate::ingest::player::Message;

/// Every player's message stream: one message suits them all.
const PLAY_STREAM: u32 = 1;

/// An RTMP player gets the first track of each kind.
pub(crate) fn is_relayed(id: TrackId, tracks: &[TrackSpec]) -> bool {
    tracks.iter().find(|t| t.id.kind == id.kind).is_some_and(|t| t.id == id)
}

/// Metadata and decoder parameters.
pub(crate) fn preamble(metadata: Option<&Bytes>, tracks: &[TrackSpec], at_ms: u32) -> Vec<Message> {
    let metadata = metadata.map(|body| message(MediaKind::Data, at_ms, &[body], None));
    let config = |t: &TrackSpec| {
        let (kind, body) = match &t.params {
            Params::Video(v) => (MediaKind::Video, flv::video_config_body(v)),
            Params::Audio(a) => (MediaKind::Audio, flv::audio_config_body(a)?),
        };
        Some(message(kind, at_ms, &[&body], fourcc(&t.params)))
    };
    let relayed = tracks.iter().filter(|t| is_relayed(t.id, tracks));
    let vital = |m: Message| Message { vital: true, ..m };
    metadata.into_iter().chain(relayed.filter_map(config)).map(vital).collect()
}

/// One frame; `alone` when the stream has no video.
pub(crate) fn frame(sample: &Sample, params: &Params, alone: bool) -> Option<Message> {
    let at_ms = stamp(sample.dts, params);
    let needs = fourcc(params);
    let message = match params {
        Params::Video(v) => {
            let cts = rescale(sample.pts - sample.dts, params.timescale(), 1000);
            let header = flv::video_frame_header(v.codec, sample.key, i32::try_from(cts).ok()?);
            Message {
                entry: sample.key,
                ..message(MediaKind::Video, at_ms, &[&header, &sample.payload], needs)
            }
        }
        Params::Audio(a) => {
            let header = flv::audio_frame_header(a.codec);
            Message { entry: alone, ..message(MediaKind::Audio, at_ms, &[&header, &sample.payload], needs) }
        }
    };
    Some(message)
}

/// Stream time as the 32-bit milliseconds of RTMP.
pub(crate) fn stamp(dts: i64, params: &Params) -> u32 {
    let ms = rescale(dts, params.timescale(), 1000).rem_euclid(1 << 32);
    u32::try_from(ms).unwrap_or_default()
}

/// Whether sound is all there is.
pub(crate) fn is_alone(tracks: &[TrackSpec]) -> bool {
    tracks.iter().all(|t| t.id.kind == Kind::Audio)
}

fn message(kind: MediaKind, at_ms: u32, parts: &[&[u8]], needs: Option<&'static str>) -> Message {
    let chunk = Config::default().chunk_size_out;
    let bytes = media_message(kind, at_ms, PLAY_STREAM, chunk, parts);
    Message { bytes, entry: false, vital: false, needs }
}

/// What a player must have announced to be sent this codec; nothing for those of old.
pub(crate) fn fourcc(params: &Params) -> Option<&'static str> {
    match params {
        Params::Video(v) => match v.codec {
            VideoCodec::Avc => None,
            VideoCodec::Hevc => Some("hvc1"),
            VideoCodec::Av1 => Some("av01"),
            _ => Some("vp09"),
        },
        Params::Audio(a) => match a.codec {
            AudioCodec::Aac | AudioCodec::Mpa => None,
            AudioCodec::Opus => Some("Opus"),
            AudioCodec::Flac => Some("fLaC"),
            AudioCodec::Ac3 => Some("ac-3"),
            _ => Some("ec-3"),
        },
    }
}
