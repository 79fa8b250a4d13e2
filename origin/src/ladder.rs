//! Renditions that are made here: a worker process for each stream that has a ladder.
//!
//! The source is v1 and a1 as ever; what is made of it are further tracks behind the publisher's own, with its times
//! and key frames. Samples go to the worker when the timeline has repaired them and come back into the packager, some
//! frames later than the source's. Whatever becomes of the worker costs these tracks a gap, and nothing else.

mod capacity;
mod config;
mod crew;
mod post;
mod rungs;

use std::sync::Arc;
use std::time::Duration;

use nx_contract::streams as told;
use nx_delivery::Metrics;
use nx_hls::TrackSpec;
use nx_ladder::{Profile, Source, plan};
use nx_media::{Kind, Params, Sample, StreamKey, TrackId, VideoCodec, VideoParams, rescale};
use nx_worker_protocol::{Ladder, Logo, Output};
use tokio::runtime::Handle;

pub use config::{
    CornerConfig, CropConfig, DeviceConfig, LadderConfig, LogoConfig, Mode, RungConfig, TranscoderConfig,
};
pub(crate) use post::Ring;
pub(crate) use rungs::{Coded, params};

use crate::images::ImagesConfig;
use crate::ladder::capacity::{Capacity, Place};
use crate::ladder::config::Mode::{Never, OnDemand};
use crate::ladder::post::Counter;
use crate::ladder::rungs::{Order, Set, first};
use crate::worker;

/// Guesses for what was not measured yet, in core-seconds per pixel: to decode it, to code it in H.264, HEVC, AV1.
const DECODE: f64 = 2e-9;
const CODE: [f64; 3] = [1.1e-8, 4e-8, 3e-8];
/// Frames per second of a source that tells none.
const FPS: f64 = 30.0;

/// Has somebody keep a worker for a ladder.
type Hire = Box<dyn Fn(Counter, Place) + Send + Sync>;

/// What is made of which stream, and by what.
pub(crate) struct Ladders {
    rules: Vec<Arc<Rule>>,
    capacity: Arc<Capacity>,
    lag_max_ms: i64,
    hire: Hire,
}

/// One section, ready for use.
#[derive(Debug)]
struct Rule {
    nth: usize,
    config: LadderConfig,
    profile: Profile,
    logo: Option<Logo>,
}

impl Ladders {
    /// Of a configuration without faults.
    ///
    /// # Errors
    /// In words: a section that names no ladder.
    pub(crate) fn open(
        configs: &[LadderConfig],
        transcoder: &TranscoderConfig,
        images: &ImagesConfig,
    ) -> Result<Arc<Self>, String> {
        let rules = crew::Rules {
            program: worker::program(images.worker.as_deref()),
            crashes_max: usize::try_from(transcoder.crashes_max).unwrap_or(usize::MAX),
            crashes_within: Duration::from_secs(transcoder.crashes_s.into()),
        };
        let runtime = Handle::try_current().ok();
        let hire = move |counter, place| {
            if let Some(runtime) = &runtime {
                runtime.spawn(crew::keep(counter, rules.clone(), place));
            }
        };
        Self::with(configs, transcoder, Box::new(hire))
    }

    fn with(
        configs: &[LadderConfig],
        transcoder: &TranscoderConfig,
        hire: Hire,
    ) -> Result<Arc<Self>, String> {
        let mut rules = Vec::new();
        for (nth, config) in configs.iter().enumerate() {
            let wish = if config.mode == Never { "audio-only".parse() } else { config.wish() };
            let profile = wish.map_err(|error| format!("origin.ladder.{nth}: {error}"))?;
            let logo = config.logo.as_ref().map(LogoConfig::load).transpose();
            let logo = logo.map_err(|why| format!("origin.ladder.{nth}.logo.file: {why}"))?;
            rules.push(Arc::new(Rule { nth, config: config.clone(), profile, logo }));
        }
        let cores = match transcoder.cores {
            0 => std::thread::available_parallelism().map_or(1, usize::from) as f64,
            cores => cores.into(),
        };
        Ok(Arc::new(Self {
            rules,
            capacity: Arc::new(Capacity::new(cores, transcoder.workers_max)),
            lag_max_ms: transcoder.lag_max_ms.into(),
            hire,
        }))
    }

    /// The ladder of a stream, if it has one. `ring` wakes its shard.
    pub(crate) fn of(self: &Arc<Self>, stream: &StreamKey, encrypted: bool, ring: Ring) -> Option<Rungs> {
        let rule = self.rules.iter().find(|rule| rule.config.fits(stream));
        let rule = rule.filter(|rule| rule.config.mode != Never)?.clone();
        let (ladders, stream) = (self.clone(), stream.clone());
        Some(Rungs { ladders, rule, stream, encrypted, ring, next: None, set: None, reason: None })
    }

    pub(crate) fn metrics(&self, out: &mut Metrics) {
        let told = self.capacity.told();
        out.single("nexus_transcoder_workers", "gauge", "Streams that have a ladder.", told.workers);
        out.single("nexus_transcoder_cores_used", "gauge", "Cores that ladders take.", told.cores_used);
        out.single("nexus_transcoder_cores", "gauge", "Cores that they may take.", told.cores);
        out.single("nexus_transcoder_crashes_total", "counter", "Workers that died or hung.", told.crashes);
        let help = "Ladders that were not begun: there was no room.";
        out.single("nexus_transcoder_refused_total", "counter", help, told.refused);
    }
}

/// One stream's ladder, or the wish for one.
pub(crate) struct Rungs {
    ladders: Arc<Ladders>,
    rule: Arc<Rule>,
    stream: StreamKey,
    /// What cannot be encrypted must not be made.
    encrypted: bool,
    ring: Ring,
    /// Of these tracks one is to be begun, with the first sample.
    next: Option<Vec<TrackSpec>>,
    set: Option<Set>,
    /// Why there is none.
    reason: Option<String>,
}

impl Rungs {
    /// The stream has these tracks from now on.
    pub(crate) fn turn(&mut self, tracks: &[TrackSpec]) {
        if !self.set.as_ref().is_some_and(|set| set.serves(tracks)) {
            (self.set, self.reason) = (None, None);
            self.next = Some(tracks.to_vec());
        }
    }

    /// The stream is over.
    pub(crate) fn end(&mut self) {
        (self.set, self.next) = (None, None);
    }

    /// Nothing more is to be known of the tracks that are made.
    pub(crate) fn is_settled(&self) -> bool {
        self.next.is_none() && self.set.as_ref().is_none_or(Set::is_settled)
    }

    /// The tracks that are made, as far as they are known.
    pub(crate) fn specs(&self) -> Vec<TrackSpec> {
        self.set.iter().flat_map(Set::specs).cloned().collect()
    }

    /// Takes a sample of the source that came at a Unix time.
    pub(crate) fn see(&mut self, id: TrackId, sample: &Sample, wall_ms: i64) {
        if let Some(tracks) = self.next.take_if(|tracks| tracks.first().is_some_and(|t| t.id == id)) {
            match self.begin(&tracks, sample, wall_ms) {
                Ok(set) => self.set = set,
                Err(reason) => {
                    tracing::warn!(stream = %self.stream, reason, "no ladder");
                    self.reason = Some(reason);
                }
            }
        }
        if let Some(set) = &mut self.set {
            set.see(id, sample);
        }
    }

    /// See [`Set::hear`].
    pub(crate) fn hear(&mut self) -> bool {
        self.set.as_mut().is_some_and(Set::hear)
    }

    /// See [`Set::next`].
    pub(crate) fn next(&mut self) -> Option<Coded> {
        self.set.as_mut()?.next()
    }

    /// Numbers of what is made.
    pub(crate) fn ids(&self) -> Vec<TrackId> {
        self.set.iter().flat_map(Set::ids).collect()
    }

    /// The tracks that are made while somebody asks for them.
    pub(crate) fn offered(&self) -> Vec<TrackId> {
        self.set.iter().flat_map(Set::offered).collect()
    }

    /// The source is to be announced nowhere.
    pub(crate) fn hides(&self) -> bool {
        self.rule.config.hide_source
    }

    /// What of the source is to be announced nowhere, as things stand.
    pub(crate) fn hidden(&self) -> Vec<TrackId> {
        self.set.as_ref().filter(|_| self.hides()).and_then(Set::replaced).into_iter().collect()
    }

    /// See [`Set::look`]. `asked_s` tells how many seconds ago a track that is offered was asked for.
    pub(crate) fn look(&mut self, asked_s: &dyn Fn(TrackId) -> Option<i64>) {
        let linger_s = i64::from(self.rule.config.linger_s);
        let asked = |id| asked_s(id).is_none_or(|ago_s| ago_s <= linger_s);
        if let Some(set) = &mut self.set {
            set.look(&asked);
        }
    }

    /// For the status page.
    pub(crate) fn told(&self) -> told::Ladder {
        let state = if self.reason.is_some() { "refused" } else { "none" };
        let none = told::Ladder { state: state.into(), reason: self.reason.clone(), ..Default::default() };
        self.set.as_ref().map_or(none, Set::told)
    }

    /// Plans a ladder and has a worker begin it; `None` when there is nothing to make.
    fn begin(&self, tracks: &[TrackSpec], sample: &Sample, wall_ms: i64) -> Result<Option<Set>, String> {
        let video = first(tracks, Kind::Video);
        let audio = first(tracks, Kind::Audio);
        let source = Source {
            video: video.and_then(|t| picture(&t.params)),
            audio: audio.and_then(|t| if let Params::Audio(a) = &t.params { Some(a) } else { None }),
            turned: false,
        };
        let scale = tracks.first().map_or(1, |t| t.params.timescale());
        let zero_us = wall_ms.saturating_mul(1000).saturating_sub(rescale(sample.pts, scale, 1_000_000));
        let planned =
            plan(&self.rule.profile, source, &self.rule.config.filters(self.rule.logo.clone(), zero_us));
        let Some(mut ladder) = planned.ladder else { return Ok(None) };
        // What is hidden, or lacks what is drawn, is no rendition.
        let is_one = |t: &&TrackSpec| planned.video_passes || Some(t.id) != video.map(|v| v.id);
        let sent: Vec<&TrackSpec> = tracks.iter().filter(is_one).collect();
        ladder.outputs.retain(|output| self.is_made(output, &sent));
        if !ladder.outputs.iter().any(|o| matches!(o, Output::Rung(_))) {
            ladder.video = None;
        }
        if ladder.outputs.is_empty() {
            return Ok(None);
        }
        let (kind, guess) = self.cost(&ladder);
        let place = self.ladders.capacity.admit(&self.stream, kind, guess)?;
        let order = Order {
            source: tracks.to_vec(),
            video: video.map(|t| t.id).filter(|_| ladder.video.is_some()),
            audio: audio.map(|t| t.id).filter(|_| ladder.audio.is_some()),
            ids: self.number(&ladder, tracks),
            lag_max_ms: self.ladders.lag_max_ms,
        };
        let (post, counter) = post::open(ladder, self.ring.clone());
        (self.ladders.hire)(counter, place);
        Ok(Some(Set::new(order, post)))
    }

    /// Whether an output is wanted, can be had, and is not among the publisher's tracks already.
    fn is_made(&self, output: &Output, tracks: &[&TrackSpec]) -> bool {
        let Output::Rung(rung) = output else { return true };
        let lines = rung.width.min(rung.height);
        let same = |v: &VideoParams| v.codec == rung.codec && v.width.min(v.height) == u32::from(lines);
        let sent = |t: &&TrackSpec| picture(&t.params).is_some_and(same);
        let unsafe_here = self.encrypted && rung.codec == VideoCodec::Av1;
        self.rule.config.mode_of(lines, rung.codec) != Never && !unsafe_here && !tracks.iter().any(sent)
    }

    /// Numbers for what is made, behind the publisher's own.
    fn number(&self, ladder: &Ladder, tracks: &[TrackSpec]) -> Vec<(TrackId, bool)> {
        let after =
            |kind| tracks.iter().filter(|t| t.id.kind == kind).map(|t| t.id.nth + 1).max().unwrap_or(0);
        let (mut video, mut audio) = (after(Kind::Video), after(Kind::Audio));
        let mut next = |output: &Output| {
            let (nth, kind, on_demand) = match output {
                Output::Rung(rung) => {
                    let mode = self.rule.config.mode_of(rung.width.min(rung.height), rung.codec);
                    (&mut video, Kind::Video, mode == OnDemand)
                }
                Output::Sound(_) => (&mut audio, Kind::Audio, false),
            };
            *nth += 1;
            (TrackId { kind, nth: *nth - 1 }, on_demand)
        };
        ladder.outputs.iter().map(&mut next).collect()
    }

    /// What a ladder is remembered by, and what it may cost, in cores.
    fn cost(&self, ladder: &Ladder) -> (String, f64) {
        let Some(video) = &ladder.video else { return (format!("{} sound", self.rule.nth), 0.05) };
        let fps = video.frame_rate.map_or(FPS, |rate| rate.fps());
        let pixels = |width: u16, height: u16| f64::from(width) * f64::from(height) * fps;
        let code = |output: &Output| match output {
            Output::Rung(rung) => {
                let [h264, hevc, av1] = CODE;
                let each = match rung.codec {
                    VideoCodec::Hevc => hevc,
                    VideoCodec::Av1 => av1,
                    _ => h264,
                };
                pixels(rung.width, rung.height) * each / if rung.halved { 2.0 } else { 1.0 }
            }
            Output::Sound(_) => 0.02,
        };
        let kind = format!("{} {}x{} {fps:.0}", self.rule.nth, video.width, video.height);
        (kind, pixels(video.width, video.height) * DECODE + ladder.outputs.iter().map(code).sum::<f64>())
    }
}

fn picture(params: &Params) -> Option<&VideoParams> {
    if let Params::Video(v) = params { Some(v) } else { None }
}

#[cfg(test)]
pub(crate) mod tests;
