//! Places audio frames: counted in samples, held to the stamps by small steps, holes filled with silence.

use std::collections::VecDeque;

use bytes::Bytes;
use nx_media::{AudioCodec, AudioParams, Sample, rescale};

use crate::repairs::{RepairKind, Repairs};

/// A hole or overlap beyond this is filled or cut at once; milliseconds.
const TOLERANCE_MS: i64 = 45;
/// Mean deviation that starts a correction, and the one that ends it; milliseconds.
const DRIFT_START_MS: i64 = 12;
const DRIFT_END_MS: i64 = 2;
/// A correction changes a frame's duration by at most one part in this.
const STEP_DIVISOR: i64 = 32;
/// Weight of the newest deviation in the mean: one part in this.
const MEAN_WEIGHT: i64 = 16;

/// Clock of the audio track, in its own timescale.
#[derive(Debug)]
pub(crate) struct AudioClock {
    rate: u32,
    frame: i64,
    silence: Option<Bytes>,
    due: Option<i64>,
    floor: i64,
    /// Mean of stamp minus place, in 1/16 ticks.
    drift: i64,
    correcting: bool,
}

impl AudioClock {
    pub(crate) fn new(params: &AudioParams) -> Self {
        Self {
            rate: params.sample_rate.max(1),
            frame: i64::from(params.frame_samples.max(1)),
            silence: silence(params),
            due: None,
            floor: 0,
            drift: 0,
            correcting: false,
        }
    }

    /// Takes over the place in time of the clock before it: new parameters, same track.
    pub(crate) fn go_on_from(&mut self, before: &Self) {
        let scaled = |t: i64| rescale(t, before.rate, self.rate);
        self.due = before.due.map(scaled);
        self.floor = before.due.map_or(before.floor, |due| due.max(before.floor));
        self.floor = scaled(self.floor);
    }

    /// Goes on where another clock has come to.
    pub(crate) fn join(&mut self, end: i64) {
        self.due = Some(end);
        self.reset_drift();
    }

    /// Where the next frame is expected, or `None` before the first.
    pub(crate) fn expected(&self) -> Option<i64> {
        self.due
    }

    pub(crate) fn rate(&self) -> u32 {
        self.rate
    }

    /// Holes can be filled.
    pub(crate) fn knows_silence(&self) -> bool {
        self.silence.is_some()
    }

    /// A break in time: the next frame is placed by its own stamp, not before `floor`.
    pub(crate) fn break_at(&mut self, floor: i64) {
        self.floor = self.due.take().map_or(floor, |due| due.max(floor)).max(self.floor);
        self.reset_drift();
    }

    pub(crate) fn reset_drift(&mut self) {
        (self.drift, self.correcting) = (0, false);
    }

    /// Mean of stamp minus place, milliseconds.
    pub(crate) fn deviation_ms(&self) -> i64 {
        rescale(self.drift / MEAN_WEIGHT, self.rate, 1000)
    }

    /// Places one frame of `samples` PCM samples, or as many as the parameters say; what precedes it (silence)
    /// comes out first.
    pub(crate) fn place(
        &mut self,
        now_ms: i64,
        stamp: i64,
        samples: Option<u32>,
        payload: Bytes,
        repairs: &mut Repairs,
        out: &mut VecDeque<Sample>,
    ) {
        let frame = samples.filter(|&n| n > 0).map_or(self.frame, i64::from);
        let tolerance = rescale(TOLERANCE_MS, 1000, self.rate);
        let place = self.due.unwrap_or_else(|| stamp.max(self.floor));
        let hole = stamp - place;
        if hole < -(tolerance + frame) {
            repairs.note(now_ms, RepairKind::Dropped, || {
                format!("audio frame {} ms in the past left out", rescale(-hole, self.rate, 1000))
            });
            self.due = Some(place);
            return;
        }
        if hole > tolerance {
            repairs.note(now_ms, RepairKind::Gap, || {
                format!("audio missed {} ms, filled", rescale(hole, self.rate, 1000))
            });
            self.due = Some(place);
            self.reset_drift();
            if self.silence.is_none() {
                // No silence is known for this codec: the frame itself reaches over the hole.
                return self.emit(place, hole + frame, payload, out);
            }
            self.fill_until(stamp, out);
        }
        let place = self.due.unwrap_or(place);
        let duration = frame + self.correction(now_ms, stamp - place, repairs);
        self.emit(place, duration, payload, out);
    }

    /// Puts silence in from the expected place up to `until`; true if there was room for any.
    pub(crate) fn fill_until(&mut self, until: i64, out: &mut VecDeque<Sample>) -> bool {
        let Some(from) = self.due else { return false };
        let Some(silence) = self.silence.clone() else { return false };
        let frames = (until - from) / self.frame;
        for n in 0..frames {
            self.emit(from + n * self.frame, self.frame, silence.clone(), out);
        }
        frames > 0
    }

    fn emit(&mut self, dts: i64, duration: i64, payload: Bytes, out: &mut VecDeque<Sample>) {
        self.due = Some(dts + duration);
        out.push_back(Sample { dts, pts: dts, duration: u32::try_from(duration).ok(), key: true, payload });
    }

    fn correction(&mut self, now_ms: i64, deviation: i64, repairs: &mut Repairs) -> i64 {
        self.drift += deviation - self.drift / MEAN_WEIGHT;
        let mean = self.drift / MEAN_WEIGHT;
        let ticks = |ms: i64| rescale(ms, 1000, self.rate);
        if !self.correcting && mean.abs() > ticks(DRIFT_START_MS) {
            self.correcting = true;
            let ms = rescale(mean, self.rate, 1000);
            repairs.note(now_ms, RepairKind::Drift, || format!("audio drifted {ms:+} ms, slewed"));
        }
        self.correcting &= mean.abs() > ticks(DRIFT_END_MS);
        if !self.correcting {
            return 0;
        }
        let step = (self.frame / STEP_DIVISOR).max(1);
        let step = mean.clamp(-step, step);
        // The correction itself lowers every later deviation.
        self.drift -= step * MEAN_WEIGHT;
        step
    }
}

/// A frame that decodes to silence, as long as the parameters say; `None` where none is known.
#[must_use]
pub fn silence(params: &AudioParams) -> Option<Bytes> {
    match params.codec {
        AudioCodec::Aac => nx_codec::aac::silent_frame(params).map(Bytes::from_static),
        // One CELT frame of 20 ms without anything in it (RFC 6716 §3.1: configuration 31).
        AudioCodec::Opus if params.channels <= 2 && params.frame_samples == 960 => {
            Some(Bytes::from_static(&[0xfc, 0xff, 0xfe]))
        }
        _ => None,
    }
}
