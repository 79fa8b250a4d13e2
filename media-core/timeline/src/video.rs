//! Places video frames: on the frame grid while the rate holds, by their own stamps when it does not.

use bytes::Bytes;
use nx_media::{Sample, VideoParams, rescale};

use crate::cadence::Cadence;
use crate::repairs::{RepairKind, Repairs};
use crate::timeline::Arrival;

/// Deviation from the grid that is taken for rounding; 90 kHz ticks.
const SLACK: i64 = 180;
/// Composition offsets beyond this are not believed; 90 kHz ticks.
const CTS_MAX: i64 = 10 * 90_000;

/// Clock of the video track.
#[derive(Debug)]
pub(crate) struct VideoClock {
    cadence: Cadence,
    /// Where the next frame goes, when the last one's duration was told.
    due: Option<i64>,
    last_in: Option<i64>,
    last_out: Option<i64>,
    /// The first frame after a break is not placed before this.
    floor: i64,
}

impl VideoClock {
    pub(crate) fn new(params: &VideoParams) -> Self {
        let cadence = Cadence::declared(params.frame_rate);
        Self { cadence, due: None, last_in: None, last_out: None, floor: 0 }
    }

    /// Takes over the place in time of the clock before it: new parameters, same track.
    pub(crate) fn go_on_from(&mut self, before: &Self) {
        (self.due, self.last_in, self.last_out) = (before.due, before.last_in, before.last_out);
        self.floor = before.floor;
    }

    /// Goes on behind a sample of another clock, whose frame came at a stamp.
    pub(crate) fn join(&mut self, last: &Sample, stamp: Option<i64>) {
        self.due = last.duration.map(|ticks| last.dts.saturating_add(i64::from(ticks)));
        (self.last_in, self.last_out) = (stamp, Some(last.dts));
    }

    /// Where the next frame is expected, or `None` before the first.
    pub(crate) fn expected(&self) -> Option<i64> {
        let guess = |last: i64| last + self.cadence.frame_ticks().map_or(3000, i64::from);
        self.due.or(self.last_out.map(guess))
    }

    /// A break in time: the next frame is placed by its own stamp, not before `floor`.
    pub(crate) fn break_at(&mut self, floor: i64) {
        (self.due, self.last_in) = (None, None);
        let passed = self.last_out.take().map_or(floor, |last| last.saturating_add(1));
        self.floor = self.floor.max(floor).max(passed);
    }

    /// The publisher's clock leapt: distances across the leap say nothing.
    pub(crate) fn forget_distance(&mut self) {
        self.last_in = None;
    }

    pub(crate) fn place(
        &mut self,
        now_ms: i64,
        stamp: i64,
        arrival: Arrival,
        repairs: &mut Repairs,
    ) -> Sample {
        let Arrival { cts, key, samples: told, payload, .. } = arrival;
        if let Some(ticks) = told {
            return self.place_told(stamp, ticks, cts, key, payload);
        }
        if let Some(last) = self.last_in.replace(stamp) {
            self.cadence.observe(stamp - last);
            if stamp <= last {
                repairs.note(now_ms, RepairKind::Backward, || {
                    format!("video went back {:.3} s, moved up", seconds(last - stamp))
                });
            }
        }
        let nominal = self.cadence.frame_ticks().map(i64::from);
        let floor = self.last_out.map_or(self.floor, |last| last + 1);
        let dts = self.due.unwrap_or(stamp).max(floor);
        let duration = nominal.map(|ticks| {
            let error = stamp - dts;
            if error > ticks + ticks / 2 {
                let text = || format!("video missed {:.3} s, frame stretched", seconds(error));
                repairs.note(now_ms, RepairKind::Gap, text);
            }
            if error.abs() <= SLACK { ticks } else { (ticks + error).max(1) }
        });
        self.due = duration.map(|ticks| dts + ticks);
        self.last_out = Some(dts);
        let cts = self.composition(now_ms, cts, nominal, repairs);
        Sample { dts, pts: dts + cts, duration: duration.and_then(|d| u32::try_from(d).ok()), key, payload }
    }

    /// Its length is known: the rate of the others says nothing of it.
    fn place_told(&mut self, stamp: i64, ticks: u32, cts: i64, key: bool, payload: Bytes) -> Sample {
        let dts = self.due.unwrap_or_else(|| stamp.max(self.last_out.map_or(self.floor, |last| last + 1)));
        (self.last_in, self.last_out) = (None, Some(dts));
        self.due = Some(dts.saturating_add(i64::from(ticks.max(1))));
        Sample { dts, pts: dts.saturating_add(cts), duration: Some(ticks.max(1)), key, payload }
    }

    fn composition(&self, now_ms: i64, cts: i64, nominal: Option<i64>, repairs: &mut Repairs) -> i64 {
        if cts.abs() > CTS_MAX {
            let text = || format!("video composition offset of {:.3} s ignored", seconds(cts));
            repairs.note(now_ms, RepairKind::Composition, text);
            return 0;
        }
        let on_grid = |ticks: i64| (cts + ticks / 2).div_euclid(ticks.max(1)) * ticks;
        nominal.map(on_grid).filter(|grid| (grid - cts).abs() <= SLACK).unwrap_or(cts)
    }
}

fn seconds(ticks: i64) -> f64 {
    rescale(ticks, 90_000, 1000) as f64 / 1000.0
}
