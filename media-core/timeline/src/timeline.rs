//! The timeline of one stream: maps the publisher's clock onto the stream's.

mod join;

use std::collections::VecDeque;

use bytes::Bytes;
use nx_media::{Kind, Params, Sample, TrackId, VIDEO_TIMESCALE, rescale};

use crate::audio::AudioClock;
use crate::repairs::{RepairKind, Repairs};
use crate::video::VideoClock;
use crate::wire::{Unwrap, WireClock};
pub use join::Placed;

/// 90 kHz ticks in a millisecond: the timeline reckons in these.
const MS: i64 = 90;
/// Stream time of the very first sample; room for sound that starts a little before the picture.
const START: i64 = 1_000 * MS;
/// Least distance between the sessions of two publishers, for sound that starts a little before the picture.
const SESSION_GAP: i64 = 50 * MS;
/// Mappings remembered, so that a track that is late to leap finds its old one.
const MAPPINGS_MAX: usize = 3;
/// Tracks of one stream; further ones are ignored.
const TRACKS_MAX: usize = 32;
/// How far a stall may differ from the time that really went by.
const STALL_SLACK: i64 = 500 * MS;
/// Silence is put in when audio is behind by more than the first, up to the second.
const SILENCE_AFTER: i64 = 1_000 * MS;
const SILENCE_UP_TO: i64 = 500 * MS;
/// …and nothing was heard for this long; milliseconds.
const SILENCE_UNHEARD_MS: i64 = 1_500;
/// Sound that comes back is filled up to its place when it was away for less than this.
const FILL_MAX: i64 = 4_000 * MS;

/// What the timeline takes for a leap.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// A stamp this far from where it was expected is a leap of the clock, not a late frame. Milliseconds.
    pub jump_ms: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self { jump_ms: 1_000 }
    }
}

/// One coded frame as the publisher stamped it.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Which track.
    pub track: TrackId,
    /// Decode time: the counter of the session's [`WireClock`].
    pub stamp: u64,
    /// Added to the stamp where the protocol is finer than its counter; 90 kHz ticks.
    pub fine: i64,
    /// Presentation minus decode time, 90 kHz ticks.
    pub cts: i64,
    /// Decoding can start here.
    pub key: bool,
    /// How long it lasts in its track's timescale, where that is known: sound whose frames differ from what the parameters
    /// say, pictures that keep to no rate.
    pub samples: Option<u32>,
    /// As in [`Sample::payload`].
    pub payload: Bytes,
}

/// What the consumers get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A sample on trusted time.
    Sample(TrackId, Sample),
    /// Time goes on elsewhere: the next sample of each track starts a new run.
    Break,
}

/// State machine; `now_ms` is any monotonic clock of the caller, in milliseconds.
#[derive(Debug)]
pub struct Timeline {
    config: Config,
    tracks: Vec<Track>,
    unwrap: Unwrap,
    /// Stream time minus publisher time, newest last.
    mappings: VecDeque<i64>,
    /// Stream time reached, and when.
    reached: Option<(i64, i64)>,
    repairs: Repairs,
    samples: VecDeque<Sample>,
    out: VecDeque<Output>,
}

#[derive(Debug)]
struct Track {
    id: TrackId,
    clock: TrackClock,
    heard_ms: Option<i64>,
    /// Frames up to here were placed by another timeline, 90 kHz.
    known: Option<i64>,
}

#[derive(Debug)]
enum TrackClock {
    Video(VideoClock),
    Audio(AudioClock),
}

impl Track {
    /// Where the next sample is expected, 90 kHz.
    fn expected(&self) -> Option<i64> {
        match &self.clock {
            TrackClock::Video(video) => video.expected(),
            TrackClock::Audio(audio) => audio.expected().map(|t| rescale(t, audio.rate(), VIDEO_TIMESCALE)),
        }
    }

    fn break_at(&mut self, floor: i64) {
        (self.heard_ms, self.known) = (None, None);
        match &mut self.clock {
            TrackClock::Video(video) => video.break_at(floor),
            TrackClock::Audio(audio) => audio.break_at(rescale(floor, VIDEO_TIMESCALE, audio.rate())),
        }
    }
}

impl Timeline {
    /// An empty timeline, waiting for its first session.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            tracks: Vec::new(),
            unwrap: Unwrap::new(WireClock::RTMP),
            mappings: VecDeque::new(),
            reached: None,
            repairs: Repairs::default(),
            samples: VecDeque::new(),
            out: VecDeque::new(),
        }
    }

    /// Goes on where an earlier process stopped: `reached_ms` of stream time, `ago_ms` before `now_ms`.
    pub fn resume(&mut self, reached_ms: i64, now_ms: i64, ago_ms: i64) {
        self.reached = Some((reached_ms.saturating_mul(MS), now_ms.saturating_sub(ago_ms.max(0))));
    }

    /// A publisher came: the first for this stream, or one that takes it up again.
    ///
    /// Its clock has nothing to do with the last one's. Tracks must be declared anew by [`Self::set_params`].
    pub fn start_session(&mut self, clock: WireClock) {
        self.unwrap = Unwrap::new(clock);
        self.mappings.clear();
        if self.reached.is_some() {
            self.out.push_back(Output::Break);
        }
        self.break_clocks(self.reached.map_or(0, |(at, _)| at));
    }

    /// Declares or changes the parameters of a track. A changed track keeps its place in time.
    pub fn set_params(&mut self, id: TrackId, params: &Params) {
        // A new track of a stream that goes on must not begin before what viewers have seen.
        let floor = if self.mappings.is_empty() { self.floor() } else { 0 };
        let mut clock = match params {
            Params::Video(v) => TrackClock::Video(VideoClock::new(v)),
            Params::Audio(a) => TrackClock::Audio(AudioClock::new(a)),
        };
        let Some(track) = self.tracks.iter_mut().find(|t| t.id == id) else {
            let mut track = Track { id, clock, heard_ms: None, known: None };
            track.break_at(floor);
            if self.tracks.len() < TRACKS_MAX {
                self.tracks.push(track);
            }
            return;
        };
        match (&mut clock, &track.clock) {
            (TrackClock::Video(new), TrackClock::Video(old)) => new.go_on_from(old),
            (TrackClock::Audio(new), TrackClock::Audio(old)) => new.go_on_from(old),
            _ => {}
        }
        track.clock = clock;
    }

    /// Forgets the tracks that are over: those not among `ids`.
    pub fn keep_tracks(&mut self, ids: &[TrackId]) {
        self.tracks.retain(|t| ids.contains(&t.id));
    }

    /// Takes one frame; [`Self::poll`] gives what came of it. A frame of an undeclared track is ignored.
    pub fn push(&mut self, now_ms: i64, arrival: Arrival) {
        let Some(index) = self.tracks.iter().position(|t| t.id == arrival.track) else { return };
        let (stamp, wrapped) = self.unwrap.take(arrival.stamp);
        if wrapped {
            self.repairs.note(now_ms, RepairKind::Wrap, || "the publisher's counter went round".into());
        }
        let stamp = stamp.saturating_add(arrival.fine);
        if self.is_known(index, stamp) {
            return;
        }
        let time = stamp.saturating_add(self.mapping(now_ms, index, stamp));
        if let Some(track) = self.tracks.get_mut(index) {
            track.heard_ms = Some(now_ms);
        }
        if arrival.track.kind == Kind::Video {
            self.cover_silence(now_ms, time);
        }
        self.place(now_ms, index, time, arrival);
        self.reached = Some((time.max(self.reached.map_or(i64::MIN, |(at, _)| at)), now_ms));
    }

    /// The next thing for the consumers, until `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Stream time of the newest frame, milliseconds.
    #[must_use]
    pub fn reached_ms(&self) -> Option<i64> {
        self.reached.map(|(at, _)| at.div_euclid(MS))
    }

    /// How far the sound of a track is from where its stamps want it, mean, in milliseconds.
    #[must_use]
    pub fn deviation_ms(&self, id: TrackId) -> Option<i64> {
        match &self.tracks.iter().find(|t| t.id == id)?.clock {
            TrackClock::Audio(audio) => Some(audio.deviation_ms()),
            TrackClock::Video(_) => None,
        }
    }

    /// Stream time of a value of the publisher's counter near its newest one, 90 kHz ticks.
    #[must_use]
    pub fn time_of(&self, stamp: u64) -> Option<i64> {
        Some(self.unwrap.near(stamp)?.saturating_add(*self.mappings.back()?))
    }

    /// When the newest frame came, on the caller's clock.
    #[must_use]
    pub fn heard_ms(&self) -> Option<i64> {
        self.reached.map(|(_, when)| when)
    }

    /// What was repaired so far.
    #[must_use]
    pub fn repairs(&self) -> &Repairs {
        &self.repairs
    }

    /// Same, to take what is new for the log.
    pub fn repairs_mut(&mut self) -> &mut Repairs {
        &mut self.repairs
    }

    fn floor(&self) -> i64 {
        self.reached.map_or(0, |(at, _)| at)
    }

    /// Finds or makes the mapping under which this stamp makes sense.
    fn mapping(&mut self, now_ms: i64, index: usize, stamp: i64) -> i64 {
        let Some(&current) = self.mappings.back() else {
            // First frame of a session: stream time went on with the wall clock meanwhile.
            let place = self.reached.map_or(START, |(at, when)| {
                at.saturating_add(now_ms.saturating_sub(when).saturating_mul(MS).max(SESSION_GAP))
            });
            return self.map(place.saturating_sub(stamp));
        };
        let expected = self.tracks.get(index).and_then(Track::expected);
        let Some(expected) = expected.or(self.reached.map(|(at, _)| at)) else { return current };
        let jump = self.config.jump_ms.saturating_mul(MS);
        let off = |m: i64| stamp.saturating_add(m).saturating_sub(expected);
        if let Some(&fit) = self.mappings.iter().rev().find(|&&m| off(m).saturating_abs() < jump) {
            return fit;
        }
        let leap = off(current);
        if self.returned(index, stamp.saturating_add(current)) {
            self.take_back(now_ms, index, leap);
            return current;
        }
        if self.stalled(now_ms, leap) {
            self.repairs
                .note(now_ms, RepairKind::Stall, || format!("nothing came for {:.3} s", seconds(leap)));
            self.out.push_back(Output::Break);
            self.break_clocks(self.floor());
            return current;
        }
        if let Some(track) = self.tracks.get_mut(index) {
            let text = || format!("{} jumped {:+.3} s, re-stamped", name(track.id), seconds(leap));
            self.repairs.note(now_ms, RepairKind::Jump, text);
            match &mut track.clock {
                TrackClock::Video(video) => video.forget_distance(),
                TrackClock::Audio(audio) => audio.reset_drift(),
            }
        }
        self.map(expected.saturating_sub(stamp))
    }

    fn map(&mut self, mapping: i64) -> i64 {
        if self.mappings.len() == MAPPINGS_MAX {
            self.mappings.pop_front();
        }
        self.mappings.push_back(mapping);
        mapping
    }

    /// Whether a track that was away comes back to where the others are.
    fn returned(&self, index: usize, time: i64) -> bool {
        let others = self.tracks.iter().enumerate().filter(|(nth, _)| *nth != index);
        let near =
            |at: i64| time.saturating_sub(at).saturating_abs() < self.config.jump_ms.saturating_mul(MS);
        others.filter_map(|(_, track)| track.expected()).any(near)
    }

    /// Its place is the one that its stamps say. Sound is filled up to there if that can be; what leads the stream
    /// leaves a seam.
    fn take_back(&mut self, now_ms: i64, index: usize, gap: i64) {
        let leads = self.tracks.iter().map(|t| t.id).min();
        let Some(track) = self.tracks.get_mut(index) else { return };
        let fills = matches!(&track.clock, TrackClock::Audio(audio) if audio.knows_silence());
        if fills && (0..FILL_MAX).contains(&gap) {
            return;
        }
        let text = || format!("{} was away for {:.3} s", name(track.id), seconds(gap));
        self.repairs.note(now_ms, RepairKind::Stall, text);
        if leads == Some(track.id) {
            self.out.push_back(Output::Break);
            self.tracks.iter_mut().for_each(|t| t.break_at(t.expected().unwrap_or(0)));
        } else {
            track.break_at(track.expected().unwrap_or(0));
        }
    }

    /// Whether a leap forward is time that really went by, on every track.
    fn stalled(&self, now_ms: i64, leap: i64) -> bool {
        let Some(last) = self.tracks.iter().filter_map(|t| t.heard_ms).max() else { return false };
        leap > 0
            && leap.abs_diff((now_ms - last).saturating_mul(MS)) <= (STALL_SLACK + leap / 10).unsigned_abs()
    }

    fn break_clocks(&mut self, floor: i64) {
        self.tracks.iter_mut().for_each(|track| track.break_at(floor));
    }

    fn place(&mut self, now_ms: i64, index: usize, time: i64, arrival: Arrival) {
        let Some(track) = self.tracks.get_mut(index) else { return };
        let id = track.id;
        match &mut track.clock {
            TrackClock::Video(clock) => {
                let sample = clock.place(now_ms, time, arrival, &mut self.repairs);
                self.out.push_back(Output::Sample(id, sample));
            }
            TrackClock::Audio(clock) => {
                let stamp = rescale(time, VIDEO_TIMESCALE, clock.rate());
                let Arrival { samples, payload, .. } = arrival;
                clock.place(now_ms, stamp, samples, payload, &mut self.repairs, &mut self.samples);
                self.out.extend(self.samples.drain(..).map(|s| Output::Sample(id, s)));
            }
        }
    }

    /// The picture goes on and the sound has died: silence keeps the players alive.
    fn cover_silence(&mut self, now_ms: i64, video: i64) {
        for track in &mut self.tracks {
            let (Some(expected), TrackClock::Audio(clock)) = (track.expected(), &mut track.clock) else {
                continue;
            };
            let unheard = track.heard_ms.is_some_and(|heard| now_ms - heard >= SILENCE_UNHEARD_MS);
            if !unheard || video.saturating_sub(expected) < SILENCE_AFTER {
                continue;
            }
            let until = rescale(video.saturating_sub(SILENCE_UP_TO), VIDEO_TIMESCALE, clock.rate());
            if clock.fill_until(until, &mut self.samples) {
                self.repairs
                    .note(now_ms, RepairKind::Gap, || format!("{} stopped, silence put in", name(track.id)));
            }
            let id = track.id;
            self.out.extend(self.samples.drain(..).map(|s| Output::Sample(id, s)));
        }
    }
}

/// The track in words: `audio`, `video 2`.
fn name(id: TrackId) -> String {
    let kind = if id.kind == Kind::Video { "video" } else { "audio" };
    if id.nth == 0 { kind.into() } else { format!("{kind} {}", u16::from(id.nth) + 1) }
}

fn seconds(ticks: i64) -> f64 {
    ticks.div_euclid(MS) as f64 / 1000.0
}

#[cfg(test)]
mod tests;
