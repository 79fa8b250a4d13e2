//! RTMP messages into frames: one state per track, because parameters precede what needs them.

use bytes::Bytes;
use nx_codec::{aac, ac3, av1, avc, flac, hevc, mpa, opus, vp9};
use nx_container::flv::{self, AudioTag, FlvError, VideoTag};
use nx_media::{AudioCodec, Kind, Language, Params, TrackId, VideoCodec};
use nx_rtmp::Metadata;
use nx_timeline::Arrival;

use crate::media::{Expect, Media};

/// Tracks of a kind that one connection may carry.
const TRACKS_MAX: usize = 16;
/// How long the first frame waits for the parameters of an announced track; milliseconds.
const PATIENCE_MS: i64 = 500;

/// What a message could not be taken for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error(transparent)]
    Flv(#[from] FlvError),
    #[error("{kind} track {got}: at most {TRACKS_MAX} tracks of a kind are carried")]
    Track { kind: &'static str, got: u8 },
    #[error("the H.264 stream is damaged: {0}")]
    Avc(#[from] avc::AvcError),
    #[error("the HEVC stream is damaged: {0}")]
    Hevc(#[from] hevc::HevcError),
    #[error("the AV1 stream is damaged: {0}")]
    Av1(#[from] av1::Av1Error),
    #[error("the VP9 stream is damaged: {0}")]
    Vp9(#[from] vp9::Vp9Error),
    #[error("the AAC configuration is damaged: {0}")]
    Aac(#[from] aac::AacError),
    #[error("the Opus header is damaged: {0}")]
    Opus(#[from] opus::OpusError),
    #[error("the FLAC header is damaged: {0}")]
    Flac(#[from] flac::FlacError),
    #[error("the AC-3 stream is damaged: {0}")]
    Ac3(#[from] ac3::Ac3Error),
    #[error("the MPEG audio stream is damaged: {0}")]
    Mpa(#[from] mpa::MpaError),
}

impl FrameError {
    /// Whether the publisher must be turned away: what it sends can never be carried.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Flv(FlvError::Codec { .. }))
    }
}

/// State machine of one connection.
#[derive(Debug, Default)]
pub(crate) struct FlvReader {
    video: Vec<Option<VideoState>>,
    audio: Vec<Option<AudioState>>,
    languages: Vec<Option<Language>>,
}

#[derive(Debug)]
struct VideoState {
    codec: VideoCodec,
    length_size: u8,
    /// VP9 tells its size only in the first key frame.
    record: Option<Bytes>,
}

#[derive(Debug)]
struct AudioState {
    codec: AudioCodec,
    declared: bool,
}

impl FlvReader {
    pub(crate) fn metadata(&mut self, metadata: &Metadata, sink: &mut dyn FnMut(Media)) {
        let has = |names: [&str; 2]| names.iter().any(|n| metadata.field(n).is_some());
        let video = has(["videocodecid", "width"]).then_some(TrackId::VIDEO);
        let audio = has(["audiocodecid", "audiosamplerate"]).then_some(TrackId::AUDIO);
        let tracks: Vec<TrackId> = video.into_iter().chain(audio).collect();
        let language = |id: u8| Language::from_tag(&metadata.track_language(true, id)?);
        self.languages = (0..16).map(language).collect();
        if !tracks.is_empty() {
            let (video_ms, audio_ms) = (PATIENCE_MS, PATIENCE_MS);
            sink(Media::Expect(Expect { tracks, video_ms, audio_ms, exact: false }));
        }
        sink(Media::Metadata(metadata.body.clone()));
    }

    /// Takes a video message.
    pub(crate) fn video(
        &mut self,
        at_ms: u32,
        body: &Bytes,
        sink: &mut dyn FnMut(Media),
    ) -> Result<(), FrameError> {
        let mut result = Ok(());
        flv::parse_video(body, &mut |track, tag| {
            let done = self.video_tag(at_ms, track, tag, sink);
            result = std::mem::replace(&mut result, Ok(())).and(done);
        })?;
        result
    }

    /// Takes an audio message.
    pub(crate) fn audio(
        &mut self,
        at_ms: u32,
        body: &Bytes,
        sink: &mut dyn FnMut(Media),
    ) -> Result<(), FrameError> {
        let mut result = Ok(());
        flv::parse_audio(body, &mut |track, tag| {
            let done = self.audio_tag(at_ms, track, tag, sink);
            result = std::mem::replace(&mut result, Ok(())).and(done);
        })?;
        result
    }

    fn video_tag(
        &mut self,
        at_ms: u32,
        track: u8,
        tag: VideoTag,
        sink: &mut dyn FnMut(Media),
    ) -> Result<(), FrameError> {
        let id = TrackId::video(track);
        match tag {
            VideoTag::Config { codec, record } => {
                let state = slot(&mut self.video, track, Kind::Video)?;
                *state = Some(declare_video(id, codec, &record, sink)?);
            }
            VideoTag::Frame { codec, key, cts_ms, nanos, payload } => {
                let state = slot(&mut self.video, track, Kind::Video)?;
                let Some(state) = state.as_mut().filter(|s| s.codec == codec) else { return Ok(()) };
                if let Some(record) = state.record.take_if(|_| key) {
                    sink(Media::Params(id, Params::Video(vp9::parse_config(&record, &payload)?)));
                }
                let payload = match codec {
                    VideoCodec::Avc | VideoCodec::Hevc => {
                        avc::to_four_byte_lengths(&payload, state.length_size)?
                    }
                    VideoCodec::Av1 => av1::strip_temporal_delimiters(&payload),
                    _ => payload,
                };
                let (fine, cts) = (nanos_90k(nanos), i64::from(cts_ms) * 90);
                let stamp = at_ms.into();
                sink(Media::Frame(Arrival { track: id, stamp, fine, cts, key, samples: None, payload }));
            }
            VideoTag::EndOfSequence | VideoTag::Ignored => {}
        }
        Ok(())
    }

    fn audio_tag(
        &mut self,
        at_ms: u32,
        track: u8,
        tag: AudioTag,
        sink: &mut dyn FnMut(Media),
    ) -> Result<(), FrameError> {
        let id = TrackId::audio(track);
        let language = self.languages.get(usize::from(track)).copied().flatten();
        let mut params = |mut audio: nx_media::AudioParams| {
            audio.language = audio.language.or(language);
            sink(Media::Params(id, Params::Audio(audio)));
        };
        let state = slot(&mut self.audio, track, Kind::Audio)?;
        match tag {
            AudioTag::Config { codec, header } => {
                match codec {
                    AudioCodec::Aac => params(aac::parse_config(&header)?),
                    AudioCodec::Opus => params(opus::parse_head(&header)?),
                    AudioCodec::Flac => params(flac::parse_header(&header)?),
                    // The others tell in every frame.
                    _ => {}
                }
                let declared = matches!(codec, AudioCodec::Aac | AudioCodec::Opus | AudioCodec::Flac);
                *state = Some(AudioState { codec, declared });
            }
            AudioTag::Frame { codec, nanos, payload } => {
                let known = state.as_ref().is_some_and(|s| s.codec == codec && s.declared);
                if !known {
                    match codec {
                        AudioCodec::Ac3 | AudioCodec::Eac3 => params(ac3::params(&payload)?),
                        AudioCodec::Mpa => params(mpa::params(&payload)?),
                        // A frame before its configuration cannot be decoded.
                        _ => return Ok(()),
                    }
                    *state = Some(AudioState { codec, declared: true });
                }
                let samples = match codec {
                    AudioCodec::Opus => opus::packet_samples(&payload),
                    AudioCodec::Flac => flac::frame_samples(&payload),
                    _ => None,
                };
                let (stamp, fine) = (at_ms.into(), nanos_90k(nanos));
                sink(Media::Frame(Arrival { track: id, stamp, fine, cts: 0, key: true, samples, payload }));
            }
            AudioTag::Ignored => {}
        }
        Ok(())
    }
}

fn declare_video(
    id: TrackId,
    codec: VideoCodec,
    record: &Bytes,
    sink: &mut dyn FnMut(Media),
) -> Result<VideoState, FrameError> {
    let (params, length_size) = match codec {
        VideoCodec::Avc => {
            (Some(avc::parse_config(&avc::four_byte_config(record))?), avc::nal_length_size(record)?)
        }
        VideoCodec::Hevc => {
            (Some(hevc::parse_config(&hevc::four_byte_config(record))?), hevc::nal_length_size(record)?)
        }
        VideoCodec::Av1 => (Some(av1::parse_config(record)?), 4),
        _ => (None, 4),
    };
    let waits = params.is_none().then(|| record.clone());
    if let Some(params) = params {
        sink(Media::Params(id, Params::Video(params)));
    }
    Ok(VideoState { codec, length_size, record: waits })
}

/// The state of a track; a number beyond the limit is refused.
fn slot<T>(states: &mut Vec<Option<T>>, track: u8, kind: Kind) -> Result<&mut Option<T>, FrameError> {
    let index = usize::from(track);
    if index >= TRACKS_MAX {
        return Err(FrameError::Track {
            kind: if kind == Kind::Video { "video" } else { "audio" },
            got: track,
        });
    }
    if states.len() <= index {
        states.resize_with(index + 1, || None);
    }
    Ok(states.get_mut(index).expect("resized above"))
}

fn nanos_90k(nanos: u32) -> i64 {
    i64::from(nanos) * 9 / 100_000
}
