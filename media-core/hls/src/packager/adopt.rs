//! A packager goes on with what another one has made, which a window that saw its events shows.
//!
//! Where a part ends and where a segment is cut follows from what came since the segment began, so a window tells all
//! that matters: given the samples behind it, this packager makes what the other one would have made, byte for byte.

use std::sync::Arc;

use nx_container::fmp4;
use nx_media::{Sample, rescale};

use super::Packager;
use crate::event::Run;
use crate::rendition::{Rendition, Segment};
use crate::track::{Track, first_sample};
use crate::window::Window;

impl Packager {
    /// From now on gives out no number of a segment or a run that the window knows.
    pub fn keep_up(&mut self, window: &Window) {
        let Some(run) = &window.run else { return };
        // Who ends a segment opens the next, unless the stream is over.
        let newest = window.running().iter().map(|t| t.next.msn).max().unwrap_or(run.first_msn);
        self.next_msn = newest.saturating_add(u64::from(!window.is_ended()));
        self.runs = self.runs.max(run.number.saturating_add(1));
        self.part_target_us = Some(run.part_target_us);
    }

    /// Goes on with the run that the window shows, behind what it shows: what is pushed next must follow the newest
    /// sample of its track there. Without `open`, segments that nothing is in yet are not opened: the run is to end
    /// here. False when there is no run to go on with; the numbers go on all the same. Nothing of the run may be
    /// encrypted.
    pub fn adopt(&mut self, window: &Window, open: bool) -> bool {
        self.keep_up(window);
        let Some(run) = window.run.clone().filter(|_| !window.is_ended()) else { return false };
        let shares: Vec<(&Rendition, Vec<&Segment>)> =
            window.running().iter().map(|t| (t, of_run(t, &run))).collect();
        let Some((led, segments)) = shares.get(run.leader()) else { return false };
        let samples: Vec<Sample> = segments
            .iter()
            .flat_map(|s| &s.parts)
            .filter_map(|p| fmp4::samples(&p.bytes).ok())
            .flatten()
            .collect();
        let Some(last) = samples.last() else {
            // Nobody has seen anything of it.
            self.next_msn = run.first_msn;
            return false;
        };
        let (mut starts, end_us) = (starts(segments, &run), end_us(segments, last, &run));
        let begun = shares.iter().any(|(t, _)| t.next.part > 0 && t.next.msn >= led.next.msn);
        if open || begun {
            starts.extend((led.next.part == 0).then_some((led.next.msn, end_us)));
        } else {
            self.next_msn = led.next.msn;
        }
        self.lead(run.leader());
        let adopted = shares.iter().zip(&run.tracks).enumerate().map(|(index, ((t, segments), of))| {
            let mut track = Track::new(index, of.id, &of.params, run.part_target_us, run.wall_at_zero_ms);
            track.adopt(segments, t.next, &starts, end_us);
            track
        });
        self.tracks = adopted.collect();
        let mut keys = samples.iter().rev().filter(|s| s.key).map(|s| s.dts);
        self.last_key = keys.next();
        let before = self.last_key.zip(keys.next()).map_or(0, |(last, before)| last.saturating_sub(before));
        self.key_interval = u64::try_from(before).unwrap_or(0);
        self.reached = last.dts;
        self.decided_us = self.tracks.get(self.leader).map_or(i64::MIN, |leader| leader.until_us(last));
        (self.run, self.next_run) = (Some(run), None);
        self.early.clear();
        true
    }
}

/// What a track has of a run, oldest first.
fn of_run<'a>(track: &'a Rendition, run: &Run) -> Vec<&'a Segment> {
    track.segments.iter().filter(|s| s.track.run == run.number).collect()
}

/// Numbers of the leader's segments, and where they begin in presentation time, microseconds.
fn starts(segments: &[&Segment], run: &Arc<Run>) -> Vec<(u64, i64)> {
    let mut shift = 0;
    let start = |segment: &&Segment| {
        let first = first_sample(segment)?;
        if first.key {
            shift = first.pts.saturating_sub(first.dts);
        }
        Some((segment.msn, us(first.dts.saturating_add(shift), run)))
    };
    segments.iter().filter_map(start).collect()
}

/// Where the next of the leader's segments begins if nothing is missing.
fn end_us(segments: &[&Segment], last: &Sample, run: &Arc<Run>) -> i64 {
    let key = segments.iter().rev().find_map(|s| first_sample(s).filter(|sample| sample.key));
    let shift = key.map_or(0, |key| key.pts.saturating_sub(key.dts));
    us(last.dts.saturating_add(i64::from(last.duration.unwrap_or(0))).saturating_add(shift), run)
}

fn us(ticks: i64, run: &Arc<Run>) -> i64 {
    let scale = run.tracks.get(run.leader()).map_or(1, |leader| leader.params.timescale());
    rescale(ticks, scale, 1_000_000)
}
