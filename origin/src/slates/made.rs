//! How a slate is made: what is asked of a worker, and a clip of what it answers.

use std::io;
use std::io::ErrorKind::{InvalidData, InvalidInput, NotFound, TimedOut};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use nx_ladder::{audio_source, picture_like, sound_like, video_source};
use nx_media::{
    AudioParams, FrameRate, Kind, Params, Sample, TrackId, VIDEO_TIMESCALE, VideoParams, rescale,
};
use nx_timeline::Arrival;
use nx_worker_protocol::{Filters, Ladder, Output, Reply, Request, Rung, SLATE_FRAMES_MAX, Slate};

use crate::ingest::clip::{Clip, FILE_BYTES_MAX, Round};
use crate::ladder;
use crate::worker::{self, Worker};

/// How long a worker may take for a slate.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest clip of a picture, milliseconds; it begins with a key frame.
const PICTURE_MS_MAX: u32 = 4_000;
/// Of a stream that tells none, or none that can be.
const FRAME_RATE: FrameRate = FrameRate { num: 30, den: 1 };
const FPS: std::ops::RangeInclusive<f64> = 1.0..=240.0;
/// AAC LC of 48 kHz, mono and stereo (ISO/IEC 14496-3 §1.6.2.1).
const MONO: &[u8] = &[0x11, 0x88];
const STEREO: &[u8] = &[0x11, 0x90];

/// What a stream consists of, as far as a slate has to fit it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    video: Option<Picture>,
    audio: Option<AudioParams>,
    length_ms: u32,
}

/// Of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Picture {
    /// What stands in for it.
    rung: Rung,
    frame_rate: FrameRate,
    /// Pixels.
    size: (u32, u32),
}

impl Picture {
    fn of(video: &VideoParams) -> Self {
        let frame_rate = video.frame_rate.filter(|rate| FPS.contains(&rate.fps())).unwrap_or(FRAME_RATE);
        Self { rung: picture_like(video), frame_rate, size: (video.width, video.height) }
    }
}

/// Why there is none.
pub(super) struct Failure {
    pub(super) why: String,
    /// It may come to something another time.
    pub(super) again: bool,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // It said why not, or what is wanted cannot be said.
        let again = !matches!(error.kind(), InvalidData | InvalidInput);
        let why = if error.kind() == TimedOut {
            format!("the worker took longer than {} s", PATIENCE.as_secs())
        } else {
            error.to_string()
        };
        Self { why, again }
    }
}

impl Form {
    pub(super) fn of(video: Option<&Params>, audio: Option<&Params>, segment_ms: u32) -> Self {
        let video = video.and_then(|p| if let Params::Video(v) = p { Some(Picture::of(v)) } else { None });
        let audio = audio.and_then(|p| if let Params::Audio(a) = p { Some(a.clone()) } else { None });
        Self { video, audio, length_ms: segment_ms.min(PICTURE_MS_MAX) }
    }

    /// Whether a clip can be shown as it is.
    pub(super) fn fits(&self, clip: &Clip) -> bool {
        let video = match (&self.video, clip.first(Kind::Video)) {
            (None, None) => true,
            (Some(one), Some((_, Params::Video(other)))) => {
                one.rung.codec == other.codec && one.size == (other.width, other.height)
            }
            _ => false,
        };
        let audio = match (&self.audio, clip.first(Kind::Audio)) {
            (None, _) => true,
            (Some(one), Some((_, Params::Audio(other)))) => {
                (one.codec, one.sample_rate, one.channels) == (other.codec, other.sample_rate, other.channels)
            }
            _ => false,
        };
        video && audio
    }

    /// What is asked of the worker for a picture; `None` of a stream that has none.
    pub(super) fn slate(&self, image: &Bytes) -> Option<Slate> {
        let Picture { rung, frame_rate, .. } = self.video.clone()?;
        let frames = frame_rate.fps() * f64::from(self.length_ms) / 1000.0;
        // A cast of a float saturates.
        let frames = (frames.round() as u16).clamp(1, SLATE_FRAMES_MAX);
        Some(Slate { rung, frame_rate, frames, image: image.clone() })
    }

    /// Silence in the stream's parameters, or in AAC where none is known in them.
    pub(super) fn silence(&self) -> Option<(Params, Round)> {
        let audio = self.audio.as_ref()?;
        let plain = || {
            let config = Bytes::from_static(if audio.channels == 1 { MONO } else { STEREO });
            let params = nx_codec::aac::parse_config(&config).ok()?;
            Some(AudioParams { language: audio.language, ..params })
        };
        let known = nx_codec::aac::silent_frame(audio).filter(|_| audio.codec == nx_media::AudioCodec::Aac);
        let params = if known.is_some() { audio.clone() } else { plain()? };
        let payload = Bytes::from_static(nx_codec::aac::silent_frame(&params)?);
        let frame = Sample { dts: 0, pts: 0, duration: None, key: true, payload };
        let (length, hz) = (params.frame_samples.into(), params.sample_rate);
        let frames = vec![arrival(TrackId::AUDIO, hz, &frame)];
        Some((Params::Audio(params), Round { frames, length, hz }))
    }
}

/// A clip of a picture, with silence where the stream has sound; of a stream without a picture, nothing but silence.
pub(super) async fn of_picture(form: &Form, image: &Bytes, program: &Path) -> Result<Clip, Failure> {
    let (mut params, mut rounds) = (Vec::new(), Vec::new());
    if let Some(slate) = form.slate(image) {
        let (FrameRate { num, den }, frames) = (slate.frame_rate, slate.frames);
        let output = Output::Rung(slate.rung.clone());
        let made = ask(program, vec![Request::Slate(Box::new(slate))], vec![output]).await?;
        for Track { output, config, samples } in made {
            params.push((TrackId::VIDEO, ladder::params(&output, &config, None).map_err(io::Error::other)?));
            let frame = |sample: &Sample| arrival(TrackId::VIDEO, VIDEO_TIMESCALE, sample);
            let frames_in: Vec<Arrival> = samples.iter().map(frame).collect();
            rounds.push(Round { frames: frames_in, length: u64::from(frames) * u64::from(den), hz: num });
        }
    }
    add_silence(form, &mut params, &mut rounds);
    Ok(Clip::new(params, rounds))
}

fn add_silence(form: &Form, params: &mut Vec<(TrackId, Params)>, rounds: &mut Vec<Round>) {
    if let Some((sound, round)) = form.silence() {
        params.push((TrackId::AUDIO, sound));
        rounds.push(round);
    }
}

/// A clip in other parameters.
pub(super) async fn of_clip(form: &Form, clip: &Clip, program: &Path) -> Result<Clip, Failure> {
    let (video, audio) = (clip.first(Kind::Video), clip.first(Kind::Audio));
    let mut outputs = Vec::new();
    let mut ladder = Ladder { video: None, audio: None, filters: Filters::default(), outputs: Vec::new() };
    if let (Some(wanted), Some((_, Params::Video(had)))) = (&form.video, video) {
        ladder.video = Some(video_source(had));
        outputs.push(Output::Rung(wanted.rung.clone()));
    }
    if let (Some(wanted), Some((_, Params::Audio(had)))) = (&form.audio, audio) {
        ladder.audio = Some(audio_source(had));
        outputs.push(Output::Sound(sound_like(wanted)));
    }
    let Some(round) = clip.rounds().first().filter(|_| !outputs.is_empty()) else {
        let why = "it has neither the stream's picture nor its sound: use another clip";
        return Err(Failure { why: why.into(), again: false });
    };
    ladder.outputs.clone_from(&outputs);
    let mut requests = vec![Request::Ladder(Box::new(ladder))];
    for frame in &round.frames {
        if let Some((_, params)) = [video, audio].into_iter().flatten().find(|(id, _)| *id == frame.track) {
            requests.push(Request::Sample(frame.track.kind, sample(frame, params.timescale())));
        }
    }
    requests.push(Request::Flush);
    let language = form.audio.as_ref().and_then(|audio| audio.language);
    let (mut params, mut frames) = (Vec::new(), Vec::new());
    for Track { output, config, samples } in ask(program, requests, outputs).await? {
        let of = ladder::params(&output, &config, language).map_err(io::Error::other)?;
        let id = if of.kind() == Kind::Video { TrackId::VIDEO } else { TrackId::AUDIO };
        frames.extend(samples.iter().map(|sample| arrival(id, of.timescale(), sample)));
        params.push((id, of));
    }
    frames.retain(|frame| frame.stamp < round.length);
    frames.sort_by_key(|frame| frame.stamp);
    let mut rounds = vec![Round { frames, ..round.clone() }];
    if params.iter().all(|(id, _)| id.kind == Kind::Video) {
        add_silence(form, &mut params, &mut rounds);
    }
    Ok(Clip::new(params, rounds))
}

fn arrival(track: TrackId, timescale: u32, sample: &Sample) -> Arrival {
    let ticks = |n: i64| rescale(n, timescale, VIDEO_TIMESCALE);
    let (dts, pts) = (ticks(sample.dts), ticks(sample.pts));
    let (stamp, cts) = (u64::try_from(dts).unwrap_or(0), pts.saturating_sub(dts));
    let (key, payload) = (sample.key, sample.payload.clone());
    Arrival { track, stamp, fine: 0, cts, key, samples: None, payload }
}

fn sample(frame: &Arrival, timescale: u32) -> Sample {
    let stamp = i64::try_from(frame.stamp).unwrap_or(i64::MAX);
    let ticks = |n: i64| rescale(n, VIDEO_TIMESCALE, timescale);
    let (dts, pts) = (ticks(stamp), ticks(stamp.saturating_add(frame.cts)));
    Sample { dts, pts, duration: None, key: frame.key, payload: frame.payload.clone() }
}

/// What came of an output.
struct Track {
    output: Output,
    config: Bytes,
    samples: Vec<Sample>,
}

/// Has a worker of its own carry out requests, the last of which it answers with `Flushed`.
async fn ask(program: &Path, requests: Vec<Request>, outputs: Vec<Output>) -> Result<Vec<Track>, Failure> {
    let mut worker = Worker::start(program, false).await.map_err(|error| match error.kind() {
        NotFound => io::Error::other(worker::absent(program)),
        _ => error,
    })?;
    let Worker { input, output, .. } = &mut worker;
    let say = async {
        for request in &requests {
            input.tell(request).await?;
        }
        Ok(())
    };
    let talk = async { tokio::try_join!(say, hear(output, outputs)) };
    let talked = tokio::time::timeout(PATIENCE, talk).await;
    worker.kill().await;
    let ((), made) = talked.unwrap_or_else(|_| Err(TimedOut.into()))?;
    Ok(made)
}

async fn hear(output: &mut worker::Output, outputs: Vec<Output>) -> io::Result<Vec<Track>> {
    let track = |output| Track { output, config: Bytes::new(), samples: Vec::new() };
    let mut made: Vec<Track> = outputs.into_iter().map(track).collect();
    let mut bytes = 0;
    loop {
        match output.hear().await? {
            Reply::Opened { output, config, .. } => {
                if let Some(track) = made.get_mut(usize::from(output)) {
                    track.config = config;
                }
            }
            Reply::Coded { output, sample } => {
                bytes += sample.payload.len() as u64;
                if bytes > FILE_BYTES_MAX {
                    let why = format!("it would have more than {FILE_BYTES_MAX} bytes: use a shorter clip");
                    return Err(io::Error::new(InvalidData, why));
                }
                if let Some(track) = made.get_mut(usize::from(output)) {
                    track.samples.push(sample);
                }
            }
            Reply::Refused { why, .. } | Reply::Failed(why) => return Err(io::Error::new(InvalidData, why)),
            Reply::Flushed => break,
            _ => {}
        }
    }
    if made.iter().any(|track| track.samples.first().is_none_or(|first| !first.key)) {
        return Err(io::Error::new(InvalidData, "nothing can be decoded of it, or not from its beginning"));
    }
    Ok(made)
}
