//! A timeline goes on with what another one has placed of the same publisher.
//!
//! The two need not have been sent the same stamps: encoders begin each connection at 0. What they have in common is
//! the frames themselves, so the newest sample that was placed is looked for among the frames that came here.

use bytes::Bytes;
use nx_media::{Sample, TrackId, VIDEO_TIMESCALE, rescale};

use super::{Arrival, Timeline, Track, TrackClock};
use crate::wire::{Unwrap, WireClock};

/// A frame of another track is looked for so near to where it belongs; 90 kHz ticks.
const NEAR: i64 = 9_000;

/// What another timeline has placed of a track: its newest samples in decode order.
pub type Placed = (TrackId, Vec<Sample>);

impl Track {
    fn scale(&self) -> u32 {
        match &self.clock {
            TrackClock::Video(_) => VIDEO_TIMESCALE,
            TrackClock::Audio(audio) => audio.rate(),
        }
    }

    /// Goes on behind a sample of another timeline, whose frame came at `at` if it came here; 90 kHz ticks.
    fn join(&mut self, last: &Sample, at: Option<i64>) {
        let ticks = i64::from(last.duration.unwrap_or(0));
        let half = rescale(ticks / 2, self.scale(), VIDEO_TIMESCALE);
        self.known = at.or(Some(rescale(last.dts, self.scale(), VIDEO_TIMESCALE).saturating_add(half)));
        match &mut self.clock {
            TrackClock::Video(video) => video.join(last, at),
            TrackClock::Audio(audio) => audio.join(last.dts.saturating_add(ticks)),
        }
    }
}

impl Timeline {
    /// Goes on behind `placed`, whose first track is the one that decides and was heard of at `heard_ms`. `arrivals`
    /// are the frames that came here lately, each with its time on the caller's clock; they, and what comes next, are
    /// to be pushed then: those that were placed are passed over. The tracks must have been declared.
    ///
    /// False, and nothing is changed, when no frame of that track is among them.
    pub fn join(
        &mut self,
        clock: WireClock,
        placed: &[Placed],
        heard_ms: i64,
        arrivals: &[(i64, Arrival)],
    ) -> bool {
        let Some((leads, samples)) = placed.first() else { return false };
        let Some(scale) = self.tracks.iter().find(|t| t.id == *leads).map(Track::scale) else { return false };
        let mut unwrap = Unwrap::new(clock);
        let stamp = |(ms, a): &(i64, Arrival)| Came {
            ms: *ms,
            track: a.track,
            stamp: unwrap.take(a.stamp).0.saturating_add(a.fine),
            payload: a.payload.clone(),
        };
        let came: Vec<Came> = arrivals.iter().map(stamp).collect();
        let Some(mapping) = mapping(*leads, scale, samples, heard_ms, &came) else { return false };
        (self.unwrap, self.mappings) = (Unwrap::new(clock), [mapping].into());
        for (id, samples) in placed {
            let Some((track, last)) = self.tracks.iter_mut().find(|t| t.id == *id).zip(samples.last()) else {
                continue;
            };
            let place = rescale(last.dts, track.scale(), VIDEO_TIMESCALE);
            let of = came.iter().filter(|c| c.track == *id && c.payload == last.payload);
            let times = of.map(|c| c.stamp.saturating_add(mapping));
            let near = times.filter(|time| time.abs_diff(place) <= NEAR.unsigned_abs());
            track.join(last, near.min_by_key(|time| time.abs_diff(place)));
            track.heard_ms = Some(heard_ms);
            self.reached = self.reached.max(Some((place, heard_ms)));
        }
        true
    }

    /// Whether a frame is among those that the timeline before has placed.
    pub(super) fn is_known(&mut self, index: usize, stamp: i64) -> bool {
        let Some((track, mapping)) = self.tracks.get_mut(index).zip(self.mappings.back()) else {
            return false;
        };
        let known = track.known.is_some_and(|known| stamp.saturating_add(*mapping) <= known);
        if !known {
            track.known = None;
        }
        known
    }
}

/// A frame that came: when, of which track, its stamp on 90 kHz.
struct Came {
    ms: i64,
    track: TrackId,
    stamp: i64,
    payload: Bytes,
}

/// Stream time minus publisher time, the mean of the frames that are on both sides: single ones are rounded.
fn mapping(leads: TrackId, scale: u32, samples: &[Sample], heard_ms: i64, came: &[Came]) -> Option<i64> {
    let same = |sample: &Sample, came: &Came| came.track == leads && came.payload == sample.payload;
    // Pictures that stand still repeat themselves: the one that came when the sample was heard of.
    let found = samples.iter().enumerate().rev().find_map(|(nth, sample)| {
        let alike = came.iter().enumerate().filter(|(_, came)| same(sample, came));
        Some((nth, alike.min_by_key(|(_, came)| came.ms.abs_diff(heard_ms))?.0))
    });
    let (nth, at) = found?;
    let before = came.iter().take(at + 1).rev().filter(|came| came.track == leads);
    let pairs = samples.iter().take(nth + 1).rev().zip(before);
    let offsets: Vec<i64> = pairs
        .take_while(|(sample, came)| sample.payload == came.payload)
        .map(|(sample, came)| rescale(sample.dts, scale, VIDEO_TIMESCALE).saturating_sub(came.stamp))
        .collect();
    let sum = offsets.iter().fold(0i64, |sum, offset| sum.saturating_add(*offset));
    sum.checked_div(i64::try_from(offsets.len()).ok()?)
}
