//! The timeline of one stream: maps the publisher's clock onto the stream's.

use std::collections::VecDeque;

use bytes::Bytes;
use nx_media::{Kind, Params, Sample, VIDEO_TIMESCALE, rescale};

use crate::audio::AudioClock;
use crate::repairs::{RepairKind, Repairs};
use crate::video::VideoClock;

/// Stream time of the very first sample; room for sound that starts a little before the picture.
const START_MS: i64 = 1_000;
/// Mappings remembered, so that a track that is late to leap finds its old one.
const MAPPINGS_MAX: usize = 3;
/// How far a stall may differ from the time that really went by.
const STALL_SLACK_MS: i64 = 500;
/// Silence is put in when audio is behind by more than the first, up to the second; milliseconds.
const SILENCE_AFTER_MS: i64 = 1_000;
const SILENCE_UP_TO_MS: i64 = 500;
/// …and nothing was heard for this long.
const SILENCE_UNHEARD_MS: i64 = 1_500;

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
    pub kind: Kind,
    /// Decode time: the wire's 32-bit millisecond counter.
    pub stamp_ms: u32,
    /// Presentation minus decode time, milliseconds.
    pub cts_ms: i32,
    /// Decoding can start here.
    pub key: bool,
    /// As in [`Sample::payload`].
    pub payload: Bytes,
}

/// What the consumers get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A sample on trusted time.
    Sample(Kind, Sample),
    /// Time goes on elsewhere: the next sample of each track starts a new run.
    Break,
}

/// State machine; `now_ms` is any monotonic clock of the caller, in milliseconds.
#[derive(Debug)]
pub struct Timeline {
    config: Config,
    video: Option<VideoClock>,
    audio: Option<AudioClock>,
    /// Last stamp of the session, unwrapped.
    unwrapped: Option<i64>,
    /// Stream time minus publisher time in milliseconds, newest last.
    mappings: VecDeque<i64>,
    /// Stream time reached, milliseconds, and when.
    reached: Option<(i64, i64)>,
    heard_ms: [Option<i64>; 2],
    repairs: Repairs,
    samples: VecDeque<Sample>,
    out: VecDeque<Output>,
}

impl Timeline {
    /// An empty timeline, waiting for its first session.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            video: None,
            audio: None,
            unwrapped: None,
            mappings: VecDeque::new(),
            reached: None,
            heard_ms: [None; 2],
            repairs: Repairs::default(),
            samples: VecDeque::new(),
            out: VecDeque::new(),
        }
    }

    /// A publisher came: the first for this stream, or one that takes it up again.
    ///
    /// Its clock has nothing to do with the last one's. Tracks must be declared anew by [`Self::set_params`].
    pub fn start_session(&mut self) {
        self.unwrapped = None;
        self.mappings.clear();
        self.heard_ms = [None; 2];
        if self.reached.is_some() {
            self.out.push_back(Output::Break);
        }
        let floor = self.reached.map_or(0, |(ms, _)| ms);
        self.break_clocks(floor);
    }

    /// Declares or changes the parameters of a track. A changed track keeps its place in time.
    pub fn set_params(&mut self, params: &Params) {
        match params {
            Params::Video(v) => {
                let mut clock = VideoClock::new(v);
                if let Some(before) = &self.video {
                    clock.go_on_from(before);
                }
                self.video = Some(clock);
            }
            Params::Audio(a) => {
                let mut clock = AudioClock::new(a);
                if let Some(before) = &self.audio {
                    clock.go_on_from(before);
                }
                self.audio = Some(clock);
            }
        }
    }

    /// Takes one frame; [`Self::poll`] gives what came of it. A frame of an undeclared track is ignored.
    pub fn push(&mut self, now_ms: i64, arrival: Arrival) {
        if !self.declared(arrival.kind) {
            return;
        }
        let stamp_ms = self.unwrap(now_ms, arrival.stamp_ms);
        let mapping = self.mapping(now_ms, arrival.kind, stamp_ms);
        let time_ms = stamp_ms + mapping;
        if let Some(heard) = self.heard_ms.get_mut(arrival.kind as usize) {
            *heard = Some(now_ms);
        }
        match arrival.kind {
            Kind::Video => self.place_video(now_ms, time_ms, arrival),
            Kind::Audio => self.place_audio(now_ms, time_ms, arrival.payload),
        }
        self.reached = Some((time_ms.max(self.reached.map_or(i64::MIN, |(ms, _)| ms)), now_ms));
    }

    /// The next thing for the consumers, until `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Stream time of the newest frame, milliseconds.
    #[must_use]
    pub fn reached_ms(&self) -> Option<i64> {
        self.reached.map(|(ms, _)| ms)
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

    fn declared(&self, kind: Kind) -> bool {
        match kind {
            Kind::Video => self.video.is_some(),
            Kind::Audio => self.audio.is_some(),
        }
    }

    fn unwrap(&mut self, now_ms: i64, stamp: u32) -> i64 {
        let last = *self.unwrapped.get_or_insert(i64::from(stamp));
        // The low 32 bits are the wire's counter; their signed distance is the shorter way round.
        let low = u32::try_from(last.rem_euclid(1 << 32)).unwrap_or_default();
        let distance = stamp.wrapping_sub(low).cast_signed();
        let unwrapped = last + i64::from(distance);
        if unwrapped.div_euclid(1 << 32) > last.div_euclid(1 << 32) {
            self.repairs.note(now_ms, RepairKind::Wrap, || "the millisecond counter went round".into());
        }
        self.unwrapped = Some(unwrapped);
        unwrapped
    }

    fn expected_ms(&self, kind: Kind) -> Option<i64> {
        match kind {
            Kind::Video => self.video.as_ref()?.expected().map(|t| rescale(t, VIDEO_TIMESCALE, 1000)),
            Kind::Audio => {
                let clock = self.audio.as_ref()?;
                clock.expected().map(|t| rescale(t, clock.rate(), 1000))
            }
        }
    }

    /// Finds or makes the mapping under which this stamp makes sense.
    fn mapping(&mut self, now_ms: i64, kind: Kind, stamp_ms: i64) -> i64 {
        let Some(&current) = self.mappings.back() else {
            // First frame of a session: stream time went on with the wall clock meanwhile.
            let place = self.reached.map_or(START_MS, |(ms, at)| ms + (now_ms - at).max(1));
            return self.map(place - stamp_ms);
        };
        let Some(expected) = self.expected_ms(kind).or(self.reached.map(|(ms, _)| ms)) else {
            return current;
        };
        let fits = |m: &i64| (stamp_ms + m - expected).abs() < self.config.jump_ms;
        if let Some(&fit) = self.mappings.iter().rev().find(|m| fits(m)) {
            return fit;
        }
        let leap = stamp_ms + current - expected;
        if self.stalled(now_ms, leap) {
            let text = || format!("nothing came for {:.3} s", leap as f64 / 1000.0);
            self.repairs.note(now_ms, RepairKind::Stall, text);
            self.out.push_back(Output::Break);
            self.break_clocks(self.reached.map_or(0, |(ms, _)| ms));
            return current;
        }
        let name = if kind == Kind::Video { "video" } else { "audio" };
        let text = || format!("{name} jumped {:+.3} s, re-stamped", leap as f64 / 1000.0);
        self.repairs.note(now_ms, RepairKind::Jump, text);
        match kind {
            Kind::Video => self.video.iter_mut().for_each(VideoClock::forget_distance),
            Kind::Audio => self.audio.iter_mut().for_each(AudioClock::reset_drift),
        }
        self.map(expected - stamp_ms)
    }

    fn map(&mut self, mapping: i64) -> i64 {
        if self.mappings.len() == MAPPINGS_MAX {
            self.mappings.pop_front();
        }
        self.mappings.push_back(mapping);
        mapping
    }

    /// Whether a leap forward is time that really went by, on every track.
    fn stalled(&self, now_ms: i64, leap: i64) -> bool {
        let Some(last) = self.heard_ms.iter().flatten().max() else { return false };
        leap > 0 && (leap - (now_ms - last)).abs() <= STALL_SLACK_MS + leap / 10
    }

    fn break_clocks(&mut self, floor_ms: i64) {
        if let Some(video) = &mut self.video {
            video.break_at(rescale(floor_ms, 1000, VIDEO_TIMESCALE));
        }
        if let Some(audio) = &mut self.audio {
            audio.break_at(rescale(floor_ms, 1000, audio.rate()));
        }
    }

    fn place_video(&mut self, now_ms: i64, time_ms: i64, arrival: Arrival) {
        self.cover_silence(now_ms, time_ms);
        let Some(clock) = &mut self.video else { return };
        let stamp = rescale(time_ms, 1000, VIDEO_TIMESCALE);
        let cts = i64::from(arrival.cts_ms) * 90;
        let sample = clock.place(now_ms, stamp, cts, arrival.key, arrival.payload, &mut self.repairs);
        self.out.push_back(Output::Sample(Kind::Video, sample));
    }

    fn place_audio(&mut self, now_ms: i64, time_ms: i64, payload: Bytes) {
        let Some(clock) = &mut self.audio else { return };
        let stamp = rescale(time_ms, 1000, clock.rate());
        clock.place(now_ms, stamp, payload, &mut self.repairs, &mut self.samples);
        self.out.extend(self.samples.drain(..).map(|s| Output::Sample(Kind::Audio, s)));
    }

    /// The picture goes on and the sound has died: silence keeps the players alive.
    fn cover_silence(&mut self, now_ms: i64, video_ms: i64) {
        let Some(clock) = &mut self.audio else { return };
        let Some(expected) = clock.expected() else { return };
        let unheard = clock.heard_ms.is_some_and(|heard| now_ms - heard >= SILENCE_UNHEARD_MS);
        let behind = video_ms - rescale(expected, clock.rate(), 1000);
        if !unheard || behind < SILENCE_AFTER_MS {
            return;
        }
        let until = rescale(video_ms - SILENCE_UP_TO_MS, 1000, clock.rate());
        if clock.fill_until(until, &mut self.samples) {
            self.repairs.note(now_ms, RepairKind::Gap, || "audio stopped, silence put in".into());
        }
        self.out.extend(self.samples.drain(..).map(|s| Output::Sample(Kind::Audio, s)));
    }
}

#[cfg(test)]
mod tests;
