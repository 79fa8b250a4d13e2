//! The packager of one stream: samples in, parts and segments out.

use std::collections::VecDeque;
use std::sync::Arc;

use nx_container::fmp4;
use nx_media::{Kind, Params, Sample, rescale};

use crate::cutter::Cutter;
use crate::event::{Event, Part, Run, RunTrack};

/// How the stream is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Wanted segment length and the stream's `EXT-X-TARGETDURATION`; whole seconds, in milliseconds.
    pub segment_ms: u32,
    /// Wanted part length; rounded to whole frames. Milliseconds.
    pub part_ms: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { segment_ms: 2_000, part_ms: 333 }
    }
}

/// Cuts announced by the leading track that the others have not reached yet.
const CUTS_MAX: usize = 64;

/// State machine. Feed it the timeline's output; take the [`Event`]s.
#[derive(Debug)]
pub struct Packager {
    config: Config,
    tracks: Vec<Track>,
    leader: usize,
    run: Option<Arc<Run>>,
    /// Announced with the first sample that can start it.
    next_run: Option<Vec<Arc<RunTrack>>>,
    runs: u32,
    next_msn: u64,
    part_target_us: Option<u32>,
    /// Distance of the last two key frames of the leader, and where the last one was, in its ticks.
    key_interval: u64,
    last_key: Option<i64>,
    /// Decode time of the leader's newest frame.
    reached: i64,
    out: VecDeque<Event>,
}

#[derive(Debug)]
struct Track {
    cutter: Cutter,
    /// Presentation times in microseconds at which the given segment begins.
    cuts: VecDeque<(u64, i64)>,
}

impl Packager {
    /// `first_msn` numbers the stream's first segment.
    #[must_use]
    pub fn new(config: Config, first_msn: u64) -> Self {
        Self {
            config,
            tracks: Vec::new(),
            leader: 0,
            run: None,
            next_run: None,
            runs: 0,
            next_msn: first_msn,
            part_target_us: None,
            key_interval: 0,
            last_key: None,
            reached: 0,
            out: VecDeque::new(),
        }
    }

    /// Declares the tracks from here on; ends the run that was going on.
    pub fn set_tracks(&mut self, params: &[Params]) {
        self.end_run();
        let number = self.runs;
        let mut seen = [0u32; 2];
        let track = |p: &Params| {
            let nth = seen.get_mut(p.kind() as usize).map_or(0, |n| {
                *n += 1;
                *n
            });
            let letter = if p.kind() == Kind::Video { 'v' } else { 'a' };
            let init = fmp4::init(p);
            Arc::new(RunTrack { name: format!("{letter}{nth}"), run: number, params: p.clone(), init })
        };
        self.next_run = Some(params.iter().map(track).collect());
    }

    /// Time goes on elsewhere: the same tracks, a new run.
    pub fn break_run(&mut self) {
        let Some(run) = self.run.clone() else { return };
        self.end_run();
        let again = |t: &Arc<RunTrack>| Arc::new(RunTrack { run: self.runs, ..RunTrack::clone(t) });
        self.next_run = Some(run.tracks.iter().map(again).collect());
    }

    /// The stream is over.
    pub fn finish(&mut self) {
        self.end_run();
        self.out.push_back(Event::End);
    }

    /// Takes a sample of `track` (index into the tracks declared). `wall_ms` is the Unix time at which it came.
    pub fn push(&mut self, track: usize, sample: Sample, wall_ms: i64) {
        if self.next_run.is_some() && !self.start_run(track, &sample, wall_ms) {
            return;
        }
        if track == self.leader {
            self.push_leader(sample);
        } else {
            self.push_follower(track, sample);
        }
    }

    /// The next event, until `None`.
    pub fn poll(&mut self) -> Option<Event> {
        self.out.pop_front()
    }

    /// The tracks of the run that goes on, or is about to.
    #[must_use]
    pub fn run_tracks(&self) -> &[Arc<RunTrack>] {
        let next = self.next_run.as_deref();
        next.or(self.run.as_ref().map(|r| r.tracks.as_slice())).unwrap_or_default()
    }

    /// Samples of a track that are in no part yet.
    pub fn open_samples(&self, track: usize) -> impl Iterator<Item = &Sample> {
        self.tracks.get(track).into_iter().flat_map(|t| t.cutter.open_samples())
    }

    /// Index of the track that decides where segments are cut.
    #[must_use]
    pub fn leader(&self) -> usize {
        self.leader
    }

    /// Stream time in milliseconds of the frame that will complete the next part of any track.
    #[must_use]
    pub fn part_due_ms(&self) -> Option<i64> {
        let due = |t: &Track| t.cutter.part_due().map(|dts| rescale(dts, t.cutter.timescale(), 1000));
        self.tracks.iter().filter_map(due).chain(self.key_due_ms()).min()
    }

    /// Stream time of the next key frame if they keep their distance: it ends a segment of every track.
    fn key_due_ms(&self) -> Option<i64> {
        let due = self.last_key? + i64::try_from(self.key_interval).ok().filter(|&i| i > 0)?;
        let scale = self.tracks.get(self.leader)?.cutter.timescale();
        (due > self.reached).then(|| rescale(due, scale, 1000))
    }

    /// Distance of the last two key frames in milliseconds; 0 before there were two.
    #[must_use]
    pub fn key_interval_ms(&self) -> i64 {
        let scale = self.tracks.get(self.leader).map_or(1, |t| t.cutter.timescale());
        rescale(i64::try_from(self.key_interval).unwrap_or(i64::MAX), scale, 1000)
    }

    /// Starts the announced run if this sample can: a key frame of the leading track.
    fn start_run(&mut self, track: usize, sample: &Sample, wall_ms: i64) -> bool {
        let Some(tracks) = &self.next_run else { return true };
        let leader = tracks.iter().position(|t| t.params.kind() == Kind::Video).unwrap_or(0);
        if track != leader || !sample.key {
            return false;
        }
        let Some(tracks) = self.next_run.take() else { return false };
        let Some(lead) = tracks.get(leader) else { return false };
        let target_us = *self.part_target_us.get_or_insert_with(|| {
            part_target_us(self.config.part_ms, sample.duration, lead.params.timescale())
        });
        let cutter = |t: &Arc<RunTrack>| Cutter::new(t.params.kind(), t.params.timescale(), target_us);
        let pts_us = rescale(sample.pts, lead.params.timescale(), 1_000_000);
        self.leader = leader;
        self.last_key = None;
        self.tracks = tracks.iter().map(|t| Track { cutter: cutter(t), cuts: VecDeque::new() }).collect();
        let run = Arc::new(Run {
            number: self.runs,
            first_msn: self.next_msn,
            tracks,
            wall_at_zero_ms: wall_ms - pts_us / 1000,
            part_target_us: target_us,
        });
        self.runs += 1;
        self.out.push_back(Event::Run(run.clone()));
        self.run = Some(run);
        self.open_segment(pts_us);
        true
    }

    /// Opens the next segment on the leader and tells the others where it begins.
    fn open_segment(&mut self, pts_us: i64) {
        let msn = self.next_msn;
        self.next_msn += 1;
        for (index, track) in self.tracks.iter_mut().enumerate() {
            if index == self.leader {
                track.cutter.open(msn);
            } else if track.cuts.len() < CUTS_MAX {
                track.cuts.push_back((msn, pts_us));
            }
        }
        (0..self.tracks.len()).for_each(|index| self.cut_early(index));
    }

    /// Cuts a follower when its next sample is known to be beyond the cut, not when that sample comes.
    fn cut_early(&mut self, index: usize) {
        let Some(track) = self.tracks.get_mut(index) else { return };
        let Some(&(msn, at)) = track.cuts.front() else { return };
        let scale = track.cutter.timescale();
        let beyond = |middle: i64| rescale(middle, scale, 1_000_000) >= at;
        if track.cutter.segment.is_some() && track.cutter.next_middle().is_some_and(beyond) {
            track.cuts.pop_front();
            self.close_segment(index);
            if let Some(track) = self.tracks.get_mut(index) {
                track.cutter.open(msn);
            }
        }
    }

    fn push_leader(&mut self, sample: Sample) {
        let leader = self.leader;
        let Some(track) = self.tracks.get_mut(leader) else { return };
        let timescale = track.cutter.timescale();
        emit(&mut self.out, leader, track.cutter.settle(sample.dts));
        self.reached = sample.dts;
        let elapsed = track.cutter.elapsed();
        if sample.key
            && let Some(last) = self.last_key.replace(sample.dts)
        {
            self.key_interval = u64::try_from(sample.dts - last).unwrap_or(0);
        }
        if elapsed > 0 && self.is_cut(&sample, elapsed, timescale) {
            self.close_segment(leader);
            self.open_segment(rescale(sample.pts, timescale, 1_000_000));
        }
        if let Some(track) = self.tracks.get_mut(leader) {
            for part in track.cutter.push(sample) {
                emit(&mut self.out, leader, part);
            }
        }
    }

    /// Whether the segment that holds `elapsed` ticks ends before this sample.
    fn is_cut(&self, sample: &Sample, elapsed: u64, timescale: u32) -> bool {
        let target = u64::from(self.config.segment_ms) * u64::from(timescale) / 1000;
        // The longest that still rounds to the target duration (RFC 8216bis §4.4.3.1).
        let longest = target + u64::from(timescale) * 45 / 100;
        let frame = u64::from(sample.duration.unwrap_or(0));
        if sample.key {
            // The key frame nearest to the target, or the last one that keeps within the longest.
            return elapsed + self.key_interval / 2 >= target || elapsed + self.key_interval > longest;
        }
        // No key frame in time: cut all the same, the target duration must never change.
        elapsed + frame > longest
    }

    fn push_follower(&mut self, index: usize, sample: Sample) {
        let Some(track) = self.tracks.get_mut(index) else { return };
        let timescale = track.cutter.timescale();
        emit(&mut self.out, index, track.cutter.settle(sample.dts));
        let middle_us = rescale(sample.pts, timescale, 1_000_000)
            + rescale(i64::from(sample.duration.unwrap_or(0)), timescale, 1_000_000) / 2;
        let reached = track.cuts.iter().take_while(|&&(_, at)| at <= middle_us).count();
        let cuts: Vec<u64> = track.cuts.drain(..reached).map(|(msn, _)| msn).collect();
        for (nth, &msn) in cuts.iter().enumerate() {
            self.close_segment(index);
            if nth + 1 < cuts.len() {
                self.pass_segment(index, msn);
            } else if let Some(track) = self.tracks.get_mut(index) {
                track.cutter.open(msn);
            }
        }
        let Some(track) = self.tracks.get_mut(index) else { return };
        // Before the run's first segment: belongs to nothing that is shown.
        if track.cutter.segment.is_some() {
            for part in track.cutter.push(sample) {
                emit(&mut self.out, index, part);
            }
            self.cut_early(index);
        }
    }

    /// A segment that this track has no sample for.
    fn pass_segment(&mut self, index: usize, msn: u64) {
        let Some(track) = self.tracks.get_mut(index) else { return };
        let scale = track.cutter.timescale();
        let duration = u64::from(self.config.segment_ms) * u64::from(scale) / 1000;
        self.out.push_back(Event::SegmentEnd { track: index, msn, duration });
    }

    fn close_segment(&mut self, index: usize) {
        let Some(track) = self.tracks.get_mut(index) else { return };
        emit(&mut self.out, index, track.cutter.flush());
        if let Some(open) = track.cutter.segment.take() {
            self.out.push_back(Event::SegmentEnd { track: index, msn: open.msn, duration: open.duration });
        }
    }

    fn end_run(&mut self) {
        for index in 0..self.tracks.len() {
            if let Some(track) = self.tracks.get_mut(index) {
                emit(&mut self.out, index, track.cutter.settle_last());
            }
            self.close_segment(index);
            let left = self.tracks.get_mut(index).map(|t| std::mem::take(&mut t.cuts)).unwrap_or_default();
            left.into_iter().for_each(|(msn, _)| self.pass_segment(index, msn));
        }
        self.tracks.clear();
        self.run = None;
    }
}

fn emit(out: &mut VecDeque<Event>, track: usize, part: Option<Part>) {
    out.extend(part.map(|part| Event::Part { track, part }));
}

/// Whole frames nearest to the wanted length; the wanted length itself when frames are not regular.
fn part_target_us(part_ms: u32, frame: Option<u32>, timescale: u32) -> u32 {
    let wanted = u64::from(part_ms) * 1000;
    let Some(frame) = frame.filter(|&f| f > 0) else { return part_ms.saturating_mul(1000) };
    let frame_us_times_scale = u64::from(frame) * 1_000_000;
    let wanted_times_scale = wanted * u64::from(timescale);
    let frames = ((wanted_times_scale + frame_us_times_scale / 2) / frame_us_times_scale).max(1);
    u32::try_from((frames * frame_us_times_scale).div_ceil(u64::from(timescale.max(1)))).unwrap_or(u32::MAX)
}
