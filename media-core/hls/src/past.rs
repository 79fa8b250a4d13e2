//! Windows onto the past: what is listed lies in a store.
//!
//! The names of segments are those that they had live, so every view of a stream leads to the same files. Where a stream
//! paused, their numbers jump and those of the list do not (RFC 8216bis §4.4.3.2 counts places, not names): the list is
//! numbered from its newest segment, so that it goes on as the live one does. Numbers that a run had which was shown and not
//! stored are gaps in a list that players see grow: they may not be counted anew.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use nx_media::rescale;

use crate::breaks::Mark;
use crate::event::{Run, Stored};
use crate::playlist::{PART_TARGETS, SKIP_TARGETS};
use crate::rendition::{Rendition, Segment, us};
use crate::window::Window;

/// Segments that a list may have: weeks.
const LISTED_MAX: usize = 1 << 20;
/// Numbers that are filled with gaps; a longer hole is a jump.
const HOLE_MAX: u64 = 1 << 12;
/// What a gap may have beyond the target duration, to which it must round (RFC 8216bis §4.4.3.1); milliseconds.
const ROUNDED_MS: i64 = 400;

/// A segment of a live window, or what there is of it so far, for whoever makes one thing of what is stored and what
/// is not yet.
#[derive(Debug, Clone)]
pub struct Unstored {
    /// The run that goes on.
    pub run: Arc<Run>,
    /// Index into [`Run::tracks`].
    pub track: usize,
    /// With the parts that there are.
    pub segment: Segment,
}

impl Window {
    /// Segments of the run that goes on, as far as they are held, that begin before a time; Unix milliseconds.
    #[must_use]
    pub fn held_before(&self, to_ms: i64) -> Vec<Unstored> {
        let Some(run) = &self.run else { return Vec::new() };
        let mut held = Vec::new();
        for (track, of) in self.running().iter().enumerate() {
            let own = of.segments.iter().filter(|s| s.track.run == run.number && !s.parts.is_empty());
            let early = own.filter(|s| s.program_date_time_ms < to_ms);
            held.extend(early.map(|segment| Unstored { run: run.clone(), track, segment: segment.clone() }));
        }
        held.sort_by_key(|of| (of.segment.msn, of.track));
        held
    }

    /// Up to when everything that is shown is held, of every track of the run that goes on; Unix milliseconds.
    #[must_use]
    pub fn complete_until_ms(&self) -> Option<i64> {
        let run = self.run.as_ref()?;
        let until = |of: &Rendition| {
            let part = of.segments.back()?.parts.last()?;
            // What is decoded later is shown later.
            let ends = part.dts.saturating_add(i64::try_from(part.duration).ok()?);
            Some(run.wall_at_zero_ms + rescale(ends, of.track.params.timescale(), 1000))
        };
        let each: Option<Vec<i64>> = self.running().iter().map(until).collect();
        each?.into_iter().min()
    }

    /// Players begin at a time of what is listed rather than where the list does or, while it grows, near its end;
    /// Unix milliseconds.
    #[must_use]
    pub fn beginning_at(mut self, start_ms: i64) -> Self {
        self.start_ms = Some(start_ms);
        self
    }

    /// The same in the lists of all tracks, and not in the multivariant one: there FFmpeg takes it for a list of
    /// segments, and has everything twice.
    ///
    /// Spec: RFC 8216bis §4.4.2.2.
    pub(crate) fn write_start(&self, out: &mut String) -> fmt::Result {
        let leader = self.run.as_ref().and_then(|run| self.tracks.get(run.leader()));
        let first = leader.and_then(|track| track.listed().next());
        let (Some(start_ms), Some(first)) = (self.start_ms, first) else { return Ok(()) };
        let offset = (start_ms - first.program_date_time_ms).max(0);
        if offset == 0 && self.ended {
            return Ok(());
        }
        writeln!(out, "#EXT-X-START:TIME-OFFSET={}.{:03},PRECISE=YES", offset / 1000, offset % 1000)
    }

    /// A window onto what is stored, fed with [`crate::Event::Run`] and [`crate::Event::Stored`]. It lists everything,
    /// or the newest `listed` segments. The addresses of its playlists end with `?query`.
    #[must_use]
    pub fn past(target_s: u64, listed: Option<usize>, query: &str) -> Self {
        let mut window = Self::new(listed.unwrap_or(LISTED_MAX), target_s, usize::MAX);
        (window.past, window.query) = (true, format!("?{query}"));
        window
    }

    /// What the addresses of its playlists and manifests end with: nothing, or `?` and a query.
    #[must_use]
    pub fn query(&self) -> &str {
        &self.query
    }

    /// Shows behind what is stored what a live window of the stream has, as long as one goes on where the other ends: a view
    /// that goes on has parts then, and is waited for, as the live one. What was joined before is taken away.
    pub fn join(&mut self, live: &Self) {
        self.unjoin();
        let same = self.run.as_ref().zip(live.run.as_ref()).is_some_and(|(a, b)| a.number == b.number);
        let both = || self.running().iter().zip(live.running());
        if same && both().count() == live.running().len() && both().all(|(stored, live)| stored.meets(live)) {
            let parts_us = self.target_s * PART_TARGETS * 1_000_000;
            let query = &self.query;
            let tracks = self.tracks.iter_mut().zip(live.running());
            tracks.for_each(|(stored, live)| stored.join(live, parts_us, query));
            self.hidden.clone_from(&live.hidden);
            self.joined = true;
        }
    }

    /// From now on players watch its list grow.
    pub fn grow(&mut self) {
        self.grows = true;
    }

    /// Takes away what was joined.
    pub fn unjoin(&mut self) {
        self.joined = false;
        self.tracks.iter_mut().for_each(Rendition::unjoin);
    }

    /// It has a live edge: parts, and something to wait for.
    #[must_use]
    pub fn has_edge(&self) -> bool {
        !self.past || (self.joined && !self.ended)
    }

    /// It shows what is stored.
    #[must_use]
    pub fn is_past(&self) -> bool {
        self.past
    }

    /// Adds a stored segment; numbers that one of the run's tracks lacks are gaps, as long as the hole is.
    pub(crate) fn restore(&mut self, index: usize, stored: Stored) {
        self.begin_run_at(stored.begins_ms);
        let Some(run) = self.run.clone() else { return };
        let last = self.tracks.get(index).and_then(|track| track.segments.back());
        if last.is_some_and(|last| last.msn >= stored.msn) {
            return;
        }
        self.pass_unstored(&run, index, &stored);
        let listed = self.listed_max;
        let Some(track) = self.tracks.get_mut(index) else { return };
        let of_run = track.segments.back().filter(|last| last.track.run == run.number);
        if let Some((from, begins_ms)) = of_run.map(|last| (last.msn + 1, last.end_ms())) {
            let missing = stored.msn.saturating_sub(from);
            if missing > 0 && missing <= HOLE_MAX {
                let each_ms = (stored.begins_ms - begins_ms).max(0) / i64::try_from(missing).unwrap_or(1);
                let ticks = rescale(each_ms, 1000, track.track.params.timescale());
                let ticks = u64::try_from(ticks).unwrap_or(0);
                for (nth, msn) in (0..).zip(from..stored.msn) {
                    let begins_ms = begins_ms + each_ms * nth;
                    track.end_segment(&run, msn, Some(begins_ms), ticks, 0, |_, _| Mark::default());
                }
            }
        }
        // What was live keeps to the target that it had; files are cut where their key frames are.
        let length_us = us(stored.duration, &track.track.params);
        self.target_s = self.target_s.max(length_us.saturating_add(500_000) / 1_000_000);
        track.restore(&run, stored);
        track.slide(listed, false);
        if index == run.leader() {
            self.pass_vanished(&run, index, stored.msn);
        }
    }

    /// Lists the numbers of runs that are not stored before the first segment of a track behind them, and behind what the run
    /// lacks. They are as long as the pause is, if gaps may be.
    fn pass_unstored(&mut self, run: &Run, index: usize, next: &Stored) {
        let target_ms = i64::try_from(self.target_s).unwrap_or(1).saturating_mul(1000);
        let leads = index == run.leader();
        for (of, track) in self.tracks.iter_mut().enumerate().filter(|_| self.grows) {
            let Some(last) =
                track.segments.back().filter(|_| of == index || (leads && of >= run.tracks.len()))
            else {
                continue;
            };
            let missing = next.msn.saturating_sub(last.msn.saturating_add(1));
            let unstored = last.track.run.saturating_add(1) < run.number;
            if unstored && (1..=HOLE_MAX).contains(&missing) {
                let pause_ms = next.begins_ms.saturating_sub(last.end_ms());
                let each_ms = pause_ms / i64::try_from(missing).unwrap_or(1);
                track.pass_unstored(missing, each_ms.clamp(1, target_ms.saturating_add(ROUNDED_MS)));
            }
        }
    }

    /// A run whose beginning is not listed begins with what is.
    fn begin_run_at(&mut self, begins_ms: i64) {
        let Some(run) = self.run.as_mut() else { return };
        let empty = |t: &Rendition| t.segments.back().is_none_or(|last| last.track.run != run.number);
        if begins_ms > run.start_ms && self.tracks.iter().all(empty) {
            *run = Arc::new(Run { start_ms: begins_ms, ..(**run).clone() });
            if let Some(newest) = self.runs.back_mut() {
                newest.clone_from(run);
            }
        }
    }

    /// A list that grows can be had as a delta; nobody waits for what is stored.
    pub(crate) fn write_past_control(&self, out: &mut String) -> fmt::Result {
        if self.ended || !self.can_skip() {
            return Ok(());
        }
        let (skip, hold_back) = (self.target_s * SKIP_TARGETS, self.target_s * 3);
        writeln!(out, "#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL={skip},HOLD-BACK={hold_back}")
    }

    /// The number of a list's first segment.
    pub(crate) fn first_number(&self, track: &Rendition) -> u64 {
        let listed = track.listed();
        let first = track.listed().next().map_or(track.next.msn, |s| s.msn);
        let newest = track.segments.back().map_or(first, |s| s.msn + 1);
        if self.past { newest.saturating_sub(listed.len() as u64) } else { first }
    }
}
