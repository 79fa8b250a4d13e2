//! One stream from frames to events: gate, timeline, packager, window.
//!
//! Outlives its publishers: a stream that is taken up again goes on with the same window and numbers.

use std::sync::Arc;

use bytes::Bytes;
use nx_codec::{aac, avc};
use nx_container::flv::{AudioTag, FlvError, VideoTag};
use nx_container::{flv, fmp4};
use nx_delivery::LiveStream;
use nx_hls::Packager;
use nx_media::{Kind, Params, Sample, rescale};
use nx_timeline::{Arrival, Output, Timeline};

use crate::config::StreamConfig;

/// Frames held until it is clear which tracks there are.
const HELD_MAX: usize = 512;
/// How long a track that was not heard of is waited for.
const GATE_MS: i64 = 500;

/// What a consumer of frames gets, beside the window: RTMP players.
pub(crate) enum Relay<'a> {
    /// Decoder parameters changed.
    Params(&'a [Params]),
    /// A frame on trusted time.
    Frame(Kind, &'a Sample, &'a Params),
}

/// What a frame could not be taken for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error(transparent)]
    Flv(#[from] FlvError),
    #[error("the H.264 stream is damaged: {0}")]
    Avc(#[from] avc::AvcError),
    #[error("the AAC configuration is damaged: {0}")]
    Aac(#[from] aac::AacError),
}

impl FrameError {
    /// Whether the publisher must be turned away: what it sends can never be carried.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Flv(FlvError::Codec { .. }))
    }
}

/// Bytes and frames since the last look, per kind.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Traffic {
    pub(crate) bytes: [u64; 2],
    pub(crate) frames: [u64; 2],
}

pub(crate) struct Pipeline {
    live: Arc<LiveStream>,
    timeline: Timeline,
    packager: Packager,
    /// Tracks declared by the present publisher; the ones in use are the packager's.
    video: Option<Params>,
    audio: Option<Params>,
    length_size: u8,
    expected: Option<[bool; 2]>,
    /// Declared tracks differ from those in use.
    dirty: bool,
    gate: Gate,
    pub(crate) traffic: Traffic,
}

enum Gate {
    /// Waiting for the tracks' parameters, since when.
    Closed {
        since_ms: Option<i64>,
        held: Vec<Arrival>,
    },
    Open,
}

impl Pipeline {
    pub(crate) fn new(live: Arc<LiveStream>, config: &StreamConfig, wall_ms: i64) -> Self {
        let cut = nx_hls::Config { segment_ms: config.segment_ms, part_ms: config.part_ms };
        // Numbered by the clock, so that a stream which starts anew never repeats a name that caches hold.
        let first_msn = u64::try_from(wall_ms).unwrap_or(0) / u64::from(config.segment_ms.max(1));
        Self {
            live,
            timeline: Timeline::new(nx_timeline::Config::default()),
            packager: Packager::new(cut, first_msn),
            video: None,
            audio: None,
            length_size: 4,
            expected: None,
            dirty: false,
            gate: Gate::Closed { since_ms: None, held: Vec::new() },
            traffic: Traffic::default(),
        }
    }

    /// A publisher came.
    pub(crate) fn start_session(&mut self) {
        (self.video, self.audio, self.expected, self.dirty) = (None, None, None, false);
        self.gate = Gate::Closed { since_ms: None, held: Vec::new() };
        self.timeline.start_session();
        while self.timeline.poll().is_some() {
            self.packager.break_run();
        }
        self.publish();
    }

    /// The stream is over.
    pub(crate) fn finish(&mut self) {
        self.packager.finish();
        self.publish();
    }

    /// The metadata tell which tracks will come.
    pub(crate) fn expect(&mut self, video: bool, audio: bool) {
        if video || audio {
            self.expected = Some([video, audio]);
        }
    }

    pub(crate) fn timeline(&mut self) -> &mut Timeline {
        &mut self.timeline
    }

    /// Stream time of the newest frame, milliseconds.
    pub(crate) fn reached_ms(&self) -> Option<i64> {
        self.timeline.reached_ms()
    }

    pub(crate) fn packager(&self) -> &Packager {
        &self.packager
    }

    /// Parameters of the tracks in use.
    pub(crate) fn params(&self) -> Vec<Params> {
        self.packager.run_tracks().iter().map(|t| t.params.clone()).collect()
    }

    /// Takes a video message.
    pub(crate) fn video(
        &mut self,
        now_ms: i64,
        stamp_ms: u32,
        body: &Bytes,
        relay: &mut dyn FnMut(Relay<'_>),
    ) -> Result<(), FrameError> {
        match flv::parse_video(body)? {
            VideoTag::Config(avcc) => {
                self.length_size = avc::nal_length_size(&avcc)?;
                let config = if self.length_size == 4 { avcc } else { avc::four_byte_config(&avcc) };
                self.declare(Params::Video(avc::parse_config(&config)?), now_ms, relay);
            }
            VideoTag::Frame { key, cts_ms, payload } => {
                let payload = avc::to_four_byte_lengths(&payload, self.length_size)?;
                avc::check(&payload)?;
                self.frame(now_ms, Arrival { kind: Kind::Video, stamp_ms, cts_ms, key, payload }, relay);
            }
            VideoTag::EndOfSequence | VideoTag::Ignored => {}
        }
        Ok(())
    }

    /// Takes an audio message.
    pub(crate) fn audio(
        &mut self,
        now_ms: i64,
        stamp_ms: u32,
        body: &Bytes,
        relay: &mut dyn FnMut(Relay<'_>),
    ) -> Result<(), FrameError> {
        match flv::parse_audio(body)? {
            AudioTag::Config(asc) => self.declare(Params::Audio(aac::parse_config(&asc)?), now_ms, relay),
            AudioTag::Frame(payload) => {
                let arrival = Arrival { kind: Kind::Audio, stamp_ms, cts_ms: 0, key: true, payload };
                self.frame(now_ms, arrival, relay);
            }
            AudioTag::Ignored => {}
        }
        Ok(())
    }

    /// Everything a player needs to start now: from the newest key frame on, in decode order.
    pub(crate) fn burst(&self) -> Vec<(Kind, Sample)> {
        let leader = self.packager.leader();
        let Some(msn) = self.live.read(|w| w.newest_independent(leader)) else { return Vec::new() };
        let tracks = self.packager.run_tracks();
        let mut from_us = i64::MIN;
        let mut burst = Vec::new();
        let leader_first =
            (0..tracks.len()).filter(|&t| t == leader).chain((0..tracks.len()).filter(|&t| t != leader));
        for track in leader_first {
            let Some(params) = tracks.get(track).map(|t| &t.params) else { continue };
            let us = |dts: i64| rescale(dts, params.timescale(), 1_000_000);
            let parts: Vec<Bytes> = self.live.read(|w| {
                w.parts_from(track, msn.saturating_sub(u64::from(track != leader)))
                    .map(|p| p.bytes.clone())
                    .collect()
            });
            let stored = parts.iter().filter_map(|p| fmp4::samples(p).ok()).flatten();
            let samples = stored.chain(self.packager.open_samples(track).cloned());
            let samples = samples.skip_while(|s| us(s.dts) < from_us);
            burst.extend(samples.map(|s| (us(s.dts), params.kind(), s)));
            if track == leader {
                from_us = burst.first().map_or(from_us, |b| b.0);
            }
        }
        burst.sort_by_key(|b| b.0);
        burst.into_iter().map(|(_, kind, sample)| (kind, sample)).collect()
    }

    fn declare(&mut self, params: Params, now_ms: i64, relay: &mut dyn FnMut(Relay<'_>)) {
        let slot = if params.kind() == Kind::Video { &mut self.video } else { &mut self.audio };
        if slot.as_ref() == Some(&params) {
            return;
        }
        let changed = slot.replace(params).is_some();
        self.dirty = true;
        match &mut self.gate {
            Gate::Closed { .. } => self.try_open(now_ms, relay),
            // A picture of another kind starts with a key frame; sound waits for the next one.
            Gate::Open if self.video.is_none() || changed => self.apply_tracks(relay),
            Gate::Open => {}
        }
    }

    fn frame(&mut self, now_ms: i64, arrival: Arrival, relay: &mut dyn FnMut(Relay<'_>)) {
        let kind = arrival.kind as usize;
        if let (Some(bytes), Some(frames)) =
            (self.traffic.bytes.get_mut(kind), self.traffic.frames.get_mut(kind))
        {
            *bytes += arrival.payload.len() as u64;
            *frames += 1;
        }
        if arrival.payload.is_empty() {
            return;
        }
        match &mut self.gate {
            Gate::Closed { since_ms, held } => {
                since_ms.get_or_insert(now_ms);
                if held.len() < HELD_MAX {
                    held.push(arrival);
                }
                self.try_open(now_ms, relay);
            }
            Gate::Open => {
                if self.dirty && (arrival.key && arrival.kind == Kind::Video) {
                    self.apply_tracks(relay);
                }
                self.place(now_ms, arrival, relay);
            }
        }
    }

    /// Opens when every expected track has told its parameters, or has been waited for long enough.
    fn try_open(&mut self, now_ms: i64, relay: &mut dyn FnMut(Relay<'_>)) {
        let Gate::Closed { since_ms, held } = &mut self.gate else { return };
        let [video, audio] = self.expected.unwrap_or([true, true]);
        let complete = (self.video.is_some() || !video) && (self.audio.is_some() || !audio);
        let waited = since_ms.is_some_and(|since| now_ms - since >= GATE_MS) || held.len() >= HELD_MAX;
        if (self.video.is_none() && self.audio.is_none()) || !(complete || waited) {
            return;
        }
        let held = std::mem::take(held);
        self.gate = Gate::Open;
        self.apply_tracks(relay);
        held.into_iter().for_each(|arrival| self.place(now_ms, arrival, relay));
    }

    fn apply_tracks(&mut self, relay: &mut dyn FnMut(Relay<'_>)) {
        self.dirty = false;
        let tracks: Vec<Params> = self.video.iter().chain(&self.audio).cloned().collect();
        tracks.iter().for_each(|params| self.timeline.set_params(params));
        if tracks != self.params() {
            self.packager.set_tracks(&tracks);
        }
        relay(Relay::Params(&tracks));
    }

    fn place(&mut self, now_ms: i64, arrival: Arrival, relay: &mut dyn FnMut(Relay<'_>)) {
        self.timeline.push(now_ms, arrival);
        while let Some(output) = self.timeline.poll() {
            match output {
                Output::Break => self.packager.break_run(),
                Output::Sample(kind, sample) => {
                    let tracks = self.packager.run_tracks();
                    if let Some(track) = tracks.iter().position(|t| t.params.kind() == kind) {
                        relay(Relay::Frame(kind, &sample, &tracks[track].params));
                        self.packager.push(track, sample, nx_delivery::wall_ms());
                    }
                }
            }
        }
        self.publish();
    }

    fn publish(&mut self) {
        while let Some(event) = self.packager.poll() {
            self.live.apply(event);
        }
    }
}
