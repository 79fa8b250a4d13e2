//! A stream's pieces as the messages of an RTMP publisher: one picture, one sound, one clock that begins at 0.

use nx_container::flv;
use nx_media::{AudioCodec, AudioParams, Kind, Params, Sample, TrackId, VideoCodec, VideoParams, rescale};
use nx_rtmp::MediaKind;
use nx_rtmp::amf0::{self, Value};

use crate::follow::{Piece, us};

/// Takes a message: what it is, its time in milliseconds, its body in parts.
pub(crate) type Sink<'a> = dyn FnMut(MediaKind, u32, &[&[u8]]) + 'a;

/// State of one connection.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    /// Stream time of the first frame; microseconds.
    base_us: Option<i64>,
    /// Time of the last message: the next one is never before it. Milliseconds.
    last_ms: u32,
    video: Option<(TrackId, Params)>,
    audio: Option<(TrackId, Params)>,
}

impl Messages {
    /// Writes a piece: configuration where it is new, then frames by time. The connection begins at a key frame if
    /// the piece does.
    pub(crate) fn piece(&mut self, piece: &Piece, write: &mut Sink<'_>) {
        let first = |kind| piece.tracks.iter().filter(move |(t, _)| t.params.kind() == kind);
        // A track that was chosen stays while it is there.
        let pick = |kind, held: &Option<(TrackId, Params)>| {
            let held = held.as_ref().and_then(|(id, _)| first(kind).find(|(t, _)| t.id == *id));
            held.or_else(|| first(kind).min_by_key(|(t, _)| t.id))
        };
        let chosen = [pick(Kind::Video, &self.video), pick(Kind::Audio, &self.audio)];
        let chosen: Vec<_> = chosen.into_iter().flatten().collect();
        let mut frames: Vec<(i64, &Params, &Sample)> = Vec::new();
        for (track, samples) in &chosen {
            frames.extend(samples.iter().map(|s| (us(track, s.dts), &track.params, s)));
        }
        frames.sort_by_key(|(at, ..)| *at);
        let Some(begin_us) = frames.first().map(|(at, ..)| *at) else { return };
        let is_first = self.base_us.is_none();
        let base_us = *self.base_us.get_or_insert(begin_us);
        let begin_ms = self.stamp(begin_us - base_us);
        if is_first {
            write(MediaKind::Data, begin_ms, &[&metadata(chosen.iter().map(|(t, _)| &t.params))]);
        }
        for (track, _) in &chosen {
            self.configure(track.id, &track.params, begin_ms, write);
        }
        for (at_us, params, sample) in frames {
            let at_ms = self.stamp(at_us - base_us);
            frame(params, sample, at_ms, write);
        }
    }

    fn configure(&mut self, id: TrackId, params: &Params, at_ms: u32, write: &mut Sink<'_>) {
        let held = match params {
            Params::Video(_) => &mut self.video,
            Params::Audio(_) => &mut self.audio,
        };
        if held.as_ref().is_some_and(|(_, held)| held == params) {
            return;
        }
        *held = Some((id, params.clone()));
        match params {
            Params::Video(v) => write(MediaKind::Video, at_ms, &[&flv::video_config_body(v)]),
            Params::Audio(a) => {
                if let Some(body) = flv::audio_config_body(a) {
                    write(MediaKind::Audio, at_ms, &[&body]);
                }
            }
        }
    }

    fn stamp(&mut self, since_us: i64) -> u32 {
        // The clock of RTMP wraps after 49 days, and goes on from there.
        let ms = u32::try_from((since_us.max(0) / 1000).rem_euclid(1 << 32)).unwrap_or(0);
        let behind = self.last_ms.wrapping_sub(ms) < 1 << 31;
        self.last_ms = if behind { self.last_ms } else { ms };
        self.last_ms
    }

    /// Codecs that servers of the old kind do not take, as text for a person.
    pub(crate) fn unusual(&self) -> Option<&'static str> {
        let of = |held: &Option<(TrackId, Params)>| held.as_ref().and_then(|(_, params)| unusual(params));
        of(&self.video).or(of(&self.audio))
    }
}

fn frame(params: &Params, sample: &Sample, at_ms: u32, write: &mut Sink<'_>) {
    match params {
        Params::Video(v) => {
            let cts = rescale(sample.pts - sample.dts, params.timescale(), 1000);
            let header = flv::video_frame_header(v.codec, sample.key, i32::try_from(cts).unwrap_or(0));
            write(MediaKind::Video, at_ms, &[&header, &sample.payload]);
        }
        Params::Audio(a) => {
            write(MediaKind::Audio, at_ms, &[&flv::audio_frame_header(a.codec), &sample.payload]);
        }
    }
}

fn unusual(params: &Params) -> Option<&'static str> {
    match params {
        Params::Video(v) => match v.codec {
            VideoCodec::Avc => None,
            VideoCodec::Hevc => Some("HEVC"),
            VideoCodec::Av1 => Some("AV1"),
            _ => Some("VP9"),
        },
        Params::Audio(a) => match a.codec {
            AudioCodec::Aac | AudioCodec::Mpa => None,
            AudioCodec::Opus => Some("Opus"),
            AudioCodec::Flac => Some("FLAC"),
            _ => Some("Dolby Digital"),
        },
    }
}

/// `onMetaData`: some servers show the size and the codecs from it.
fn metadata<'a>(tracks: impl Iterator<Item = &'a Params>) -> Vec<u8> {
    let mut fields: Vec<(String, Value)> = vec![("encoder".into(), "Nexus".into())];
    let mut set = |name: &str, value: f64| fields.push((name.into(), value.into()));
    for params in tracks {
        match params {
            Params::Video(v) => {
                set("width", v.width.into());
                set("height", v.height.into());
                if let Some(rate) = v.frame_rate {
                    set("framerate", rate.fps());
                }
                set("videocodecid", video_id(v));
            }
            Params::Audio(a) => {
                set("audiosamplerate", a.sample_rate.into());
                set("audiochannels", a.channels.into());
                set("audiocodecid", audio_id(a));
            }
        }
    }
    amf0::encode_all(&["onMetaData".into(), Value::EcmaArray(fields)])
}

fn video_id(params: &VideoParams) -> f64 {
    let fourcc = match params.codec {
        VideoCodec::Avc => return 7.0,
        VideoCodec::Hevc => b"hvc1",
        VideoCodec::Av1 => b"av01",
        _ => b"vp09",
    };
    u32::from_be_bytes(*fourcc).into()
}

fn audio_id(params: &AudioParams) -> f64 {
    let fourcc = match params.codec {
        AudioCodec::Aac => return 10.0,
        AudioCodec::Mpa => return 2.0,
        AudioCodec::Opus => b"Opus",
        AudioCodec::Flac => b"fLaC",
        AudioCodec::Ac3 => b"ac-3",
        _ => b"ec-3",
    };
    u32::from_be_bytes(*fourcc).into()
}

#[cfg(test)]
mod tests;
