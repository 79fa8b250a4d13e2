//! One stream's ladder, in its shard: what is made of the source, where it is, what becomes of it.

use std::collections::VecDeque;

use nx_contract::streams as told;
use nx_hls::TrackSpec;
use nx_media::{AudioParams, Kind, Params, Sample, TrackId, VIDEO_TIMESCALE, VideoParams, rescale};
use nx_worker_protocol::{Device, Output, Reply};

use super::post::{Post, State};

/// Coded samples that wait for the others to be told.
const EARLY_MAX: usize = 1024;
/// A hole in a rendition that is longer than this is one, 90 kHz; the packager takes what is shorter.
const HOLE: i64 = VIDEO_TIMESCALE as i64 / 4;
/// What is further behind or before the source's newest is not of it, 90 kHz.
const LATE: i64 = 60 * VIDEO_TIMESCALE as i64;
const EARLY: i64 = 5 * VIDEO_TIMESCALE as i64;
/// Seconds in which a ladder must have been behind before something of it is given up.
const STRIKES: u32 = 3;
/// Seconds after which that is tried again, twice as many after each further time, this often.
const PAUSE_S: u32 = 60;
const DOUBLED_MAX: u32 = 6;

/// Whether an output is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// It is.
    On,
    /// Nobody watches it.
    Idle,
    /// The machine is too slow for it.
    Shed,
}

/// One output.
#[derive(Debug)]
struct Made {
    id: TrackId,
    output: Output,
    /// Made only while somebody watches it.
    on_demand: bool,
    wanted: Wanted,
    /// Times that it was given up, and seconds until it is tried again.
    shed: (u32, u32),
    spec: Option<TrackSpec>,
    encoder: String,
    refused: Option<String>,
    /// Where its newest sample ends, 90 kHz.
    end: Option<i64>,
    /// The same, since it is wanted.
    reached: Option<i64>,
}

impl Made {
    fn is_told(&self) -> bool {
        self.spec.is_some() || self.refused.is_some()
    }

    /// Pixels in a second matter most; sound costs next to nothing.
    fn cost(&self) -> u32 {
        match &self.output {
            Output::Rung(rung) => u32::from(rung.width) * u32::from(rung.height),
            Output::Sound(_) => 0,
        }
    }
}

/// A ladder at work.
pub(crate) struct Set {
    /// The tracks that it is made of.
    source: Vec<TrackSpec>,
    video: Option<TrackId>,
    audio: Option<TrackId>,
    post: Post,
    made: Vec<Made>,
    coded: VecDeque<(usize, Sample)>,
    /// Seconds that it has been behind without a break.
    strikes: u32,
    lag_ms: i64,
    lag_max_ms: i64,
    /// Workers that had died when it was last looked at.
    crashes: u64,
}

/// A sample for the packager.
pub(crate) struct Coded {
    pub(crate) id: TrackId,
    pub(crate) sample: Sample,
    /// It does not follow the one before.
    pub(crate) apart: bool,
}

/// What a ladder is to be made of, and of which tracks of the source.
pub(crate) struct Order {
    pub(crate) source: Vec<TrackSpec>,
    pub(crate) video: Option<TrackId>,
    pub(crate) audio: Option<TrackId>,
    /// Numbers of the outputs, and whether they are on demand.
    pub(crate) ids: Vec<(TrackId, bool)>,
    pub(crate) lag_max_ms: i64,
}

impl Set {
    pub(crate) fn new(order: Order, post: Post) -> Self {
        let outputs = post.shared.ladder.outputs.iter().cloned();
        let made = outputs.zip(order.ids).map(|(output, (id, on_demand))| Made {
            id,
            output,
            on_demand,
            wanted: Wanted::On,
            shed: (0, 0),
            spec: None,
            encoder: String::new(),
            refused: None,
            end: None,
            reached: None,
        });
        Self {
            made: made.collect(),
            source: order.source,
            video: order.video,
            audio: order.audio,
            post,
            coded: VecDeque::new(),
            strikes: 0,
            lag_ms: 0,
            lag_max_ms: order.lag_max_ms,
            crashes: 0,
        }
    }

    /// It is made of these tracks, and goes on being made.
    pub(crate) fn serves(&self, tracks: &[TrackSpec]) -> bool {
        self.source == tracks && self.post.shared.standing().state != State::Dropped
    }

    /// Every output has said what it is, or none will.
    pub(crate) fn is_settled(&self) -> bool {
        self.made.iter().all(Made::is_told) || self.post.shared.standing().state == State::Dropped
    }

    /// Numbers of what is made.
    pub(crate) fn ids(&self) -> impl Iterator<Item = TrackId> {
        self.made.iter().map(|made| made.id)
    }

    /// The tracks that are made.
    pub(crate) fn specs(&self) -> impl Iterator<Item = &TrackSpec> {
        self.made.iter().filter(|made| made.refused.is_none()).filter_map(|made| made.spec.as_ref())
    }

    /// The picture that there are renditions of, unless they are given up.
    pub(crate) fn replaced(&self) -> Option<TrackId> {
        let pictures = self.specs().any(|spec| spec.id.kind == Kind::Video);
        self.video.filter(|_| pictures && self.post.shared.standing().state != State::Dropped)
    }

    /// Those of them that are made while somebody asks for them.
    pub(crate) fn offered(&self) -> impl Iterator<Item = TrackId> {
        self.made.iter().filter(|made| made.on_demand && made.spec.is_some()).map(|made| made.id)
    }

    /// Takes a sample of the source.
    pub(crate) fn see(&mut self, id: TrackId, sample: &Sample) {
        let scale = |of: &TrackSpec| (of.id == id).then(|| of.params.timescale());
        if Some(id) == self.video || Some(id) == self.audio {
            let scale = self.source.iter().find_map(scale).unwrap_or(VIDEO_TIMESCALE);
            self.post.send(id.kind, sample, rescale(sample.dts, scale, VIDEO_TIMESCALE));
        }
    }

    /// Hears what the worker said; whether the tracks are others by that.
    pub(crate) fn hear(&mut self) -> bool {
        let mut changed = false;
        for reply in self.post.replies() {
            match reply {
                Reply::Opened { output, config, encoder } => {
                    let language = self.language();
                    let Some(made) = self.made.get_mut(usize::from(output)) else { continue };
                    match params(&made.output, &config, language) {
                        Ok(params) => {
                            let spec = Some(TrackSpec { id: made.id, params });
                            changed |= made.spec != spec;
                            (made.spec, made.encoder, made.refused) = (spec, encoder, None);
                        }
                        Err(why) => made.refused = Some(why),
                    }
                }
                Reply::Refused { output, why } => {
                    // One that was there has gaps, and is gone with the next run.
                    if let Some(made) = self.made.get_mut(usize::from(output)) {
                        made.refused = Some(why);
                    }
                }
                Reply::Coded { output, sample } => {
                    if self.coded.len() >= EARLY_MAX {
                        self.coded.pop_front();
                    }
                    self.coded.push_back((usize::from(output), sample));
                }
                _ => {}
            }
        }
        changed
    }

    /// The language of the sound that sound is made of.
    fn language(&self) -> Option<nx_media::Language> {
        self.source.iter().find(|t| Some(t.id) == self.audio).and_then(|t| match &t.params {
            Params::Audio(a) => a.language,
            Params::Video(_) => None,
        })
    }

    /// The next coded sample whose time goes on.
    pub(crate) fn next(&mut self) -> Option<Coded> {
        loop {
            let (output, sample) = self.coded.pop_front()?;
            let Some(made) = self.made.get_mut(output) else { continue };
            let Some(spec) = &made.spec else { continue };
            let scale = spec.params.timescale();
            let begins = rescale(sample.dts, scale, VIDEO_TIMESCALE);
            let length = i64::from(sample.duration.unwrap_or(0));
            let ends = rescale(sample.dts.saturating_add(length), scale, VIDEO_TIMESCALE);
            let since = begins.saturating_sub(made.end.unwrap_or(i64::MIN));
            // Times that are not the source's come from a worker that is not ours any more.
            let newest = self.post.newest();
            if since < -HOLE
                || !(newest.saturating_sub(LATE)..=newest.saturating_add(EARLY)).contains(&begins)
            {
                continue;
            }
            made.reached = Some(ends);
            let apart = made.end.replace(ends).is_some() && since > HOLE;
            return Some(Coded { id: made.id, sample, apart });
        }
    }

    /// Once a second: gives up what the machine is too slow for. `asked` tells whether somebody watches a track.
    pub(crate) fn look(&mut self, asked: &dyn Fn(TrackId) -> bool) {
        let standing = self.post.shared.standing();
        // Another worker begins with a key frame, and is behind from then on.
        if std::mem::replace(&mut self.crashes, standing.crashes) != standing.crashes {
            self.made.iter_mut().for_each(|made| made.reached = None);
        }
        let on = |made: &&Made| made.wanted == Wanted::On && made.refused.is_none();
        let reached = self.made.iter().filter(on).filter_map(|made| made.reached).min();
        let reached = reached.filter(|_| standing.state == State::Running);
        let behind = reached.map_or(0, |end| self.post.newest().saturating_sub(end).max(0));
        self.lag_ms = rescale(behind, VIDEO_TIMESCALE, 1000);
        self.strikes = if self.lag_ms > self.lag_max_ms { self.strikes + 1 } else { 0 };
        if self.strikes >= STRIKES {
            self.strikes = 0;
            self.shed();
        }
        for (output, made) in self.made.iter_mut().enumerate() {
            made.shed.1 = made.shed.1.saturating_sub(1);
            if made.wanted == Wanted::Shed && made.shed.1 == 0 {
                made.wanted = Wanted::On;
            }
            if made.on_demand && made.wanted != Wanted::Shed {
                made.wanted = if asked(made.id) { Wanted::On } else { Wanted::Idle };
            }
            if made.wanted != Wanted::On {
                made.reached = None;
            }
            self.post.want(output, made.wanted == Wanted::On);
        }
    }

    /// Gives up the most costly output.
    fn shed(&mut self) {
        let on = self.made.iter_mut().filter(|made| made.wanted == Wanted::On);
        if let Some(made) = on.max_by_key(|made| made.cost()) {
            made.wanted = Wanted::Shed;
            made.shed = (made.shed.0 + 1, PAUSE_S << made.shed.0.min(DOUBLED_MAX));
            tracing::warn!(track = %made.id, lag_ms = self.lag_ms, "a rendition is given up: the machine is too slow");
        }
    }

    /// For the status page.
    pub(crate) fn told(&self) -> told::Ladder {
        let standing = self.post.shared.standing();
        let state = match standing.state {
            State::Starting => "starting",
            State::Running => "running",
            State::Waiting => "restarting",
            State::Dropped => "dropped",
        };
        let rung = |made: &Made| told::Rung {
            name: made.id.to_string(),
            state: match made.wanted {
                _ if made.refused.is_some() => "refused",
                Wanted::On => "on",
                Wanted::Idle => "idle",
                Wanted::Shed => "shed",
            }
            .into(),
            encoder: made.encoder.clone(),
            device: device(&made.output).into(),
            reason: made.refused.clone().or_else(|| {
                (made.wanted == Wanted::Shed)
                    .then(|| format!("the machine is too slow for it; tried again in {} s", made.shed.1))
            }),
        };
        told::Ladder {
            state: state.into(),
            worker: standing.pid,
            lag_ms: u64::try_from(self.lag_ms).unwrap_or(0),
            crashes: standing.crashes,
            cpu: (standing.cpu * 100.0).round() / 100.0,
            skips: self.post.shared.skips(),
            damaged: standing.damaged,
            reason: standing.reason,
            source: None,
            rungs: self.made.iter().map(rung).collect(),
        }
    }
}

/// What was to code it.
fn device(output: &Output) -> &'static str {
    let Output::Rung(rung) = output else { return "software" };
    match rung.device {
        Device::Software => "software",
        Device::Nvenc => "nvenc",
        Device::Qsv => "qsv",
        Device::Auto => "auto",
    }
}

/// What a decoder has to know of an output, from what the worker says.
///
/// # Errors
/// In words: it cannot be read.
pub(crate) fn params(
    output: &Output,
    config: &bytes::Bytes,
    language: Option<nx_media::Language>,
) -> Result<Params, String> {
    use nx_media::{AudioCodec, VideoCodec};
    let unreadable =
        |why: &dyn std::fmt::Display| format!("the worker's configuration cannot be read: {why}");
    match output {
        Output::Rung(rung) => {
            let parsed: Result<VideoParams, String> = match rung.codec {
                VideoCodec::Hevc => nx_codec::hevc::parse_config(config).map_err(|e| unreadable(&e)),
                VideoCodec::Av1 => nx_codec::av1::parse_config(config).map_err(|e| unreadable(&e)),
                _ => nx_codec::avc::parse_config(config).map_err(|e| unreadable(&e)),
            };
            parsed.map(Params::Video)
        }
        Output::Sound(sound) => {
            let parsed: Result<AudioParams, String> = match sound.codec {
                AudioCodec::Opus => {
                    Ok(AudioParams { config: config.clone(), ..nx_codec::opus::params(sound.channels, None) })
                }
                _ => nx_codec::aac::parse_config(config).map_err(|e| unreadable(&e)),
            };
            parsed.map(|params| Params::Audio(AudioParams { language, ..params }))
        }
    }
}

/// Whether a picture or a sound of the source is the one that a ladder is made of: the first of its kind.
pub(crate) fn first(tracks: &[TrackSpec], kind: Kind) -> Option<&TrackSpec> {
    tracks.iter().find(|t| t.id.kind == kind)
}
