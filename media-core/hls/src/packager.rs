//! The packager of one stream: samples in, parts and segments out.

mod adopt;

use std::collections::VecDeque;
use std::sync::Arc;

use nx_container::fmp4;
use nx_crypt::Key;
use nx_media::{Params, Sample, TrackId, rescale};

use crate::cues::Cues;
use crate::daterange::DateRange;
use crate::event::{self, Event, KeyPeriod, Run, RunTrack};
use crate::sealing::{Hindrance, Vault};
use crate::target::{self, Frame};
use crate::text::{Captions, TextCue};
use crate::track::{Behind, Cut, Track};

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

/// Where the numbers of a stream begin, or go on after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Start {
    /// Media sequence number of the first segment: [`Packager::next_msn`] of the packager before, and
    /// [`crate::GAP_MSNS`] more when what that one listed is lost.
    pub msn: u64,
    /// Number of the first run: [`Packager::runs`] of the packager before.
    pub run: u32,
    /// [`Packager::part_target_us`] of the packager before; `None` chooses it by the first frame.
    pub part_target_us: Option<u32>,
}

/// A track that a publisher declares.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackSpec {
    /// Which one; no two of a stream are the same.
    pub id: TrackId,
    /// Decoder parameters, with the language of sound.
    pub params: Params,
}

/// A segment may be longer than the target by this, microseconds: it still rounds to it (RFC 8216bis §4.4.3.1) with
/// a long frame of sound at either end.
const MORE_US: i64 = 400_000;
/// A place and the sum of what leads there, in microseconds, differ by less.
const ROUNDING_US: i64 = 2;
/// Segments without the leader in a row; the timeline makes longer pauses a new run.
const PASSED_MAX: usize = 16;
/// A track that is behind the leader by more than this is passed, microseconds.
const BEHIND_US_MAX: u32 = 2_000_000;
/// Samples that came before the leader's first and may belong behind it.
const EARLY_MAX: usize = 128;

/// State machine. Feed it the timeline's output; take the [`Event`]s.
#[derive(Debug)]
pub struct Packager {
    config: Config,
    tracks: Vec<Track>,
    /// Decides about cuts: the first by id, unless it is silent.
    leader: usize,
    run: Option<Arc<Run>>,
    /// Announced with the first sample that can start it.
    next_run: Option<Vec<Arc<RunTrack>>>,
    /// What came before that sample, with the index of its track.
    early: VecDeque<(usize, Sample)>,
    runs: u32,
    next_msn: u64,
    part_target_us: Option<u32>,
    /// Distance of the last two key frames of the leader, and where the last one was, in its ticks.
    key_interval: u64,
    last_key: Option<i64>,
    /// Decode time of the leader's newest frame, in its ticks.
    reached: i64,
    /// Where the leader's latest frame ends, microseconds: it has decided about cuts before that.
    decided_us: i64,
    /// The leader before this one has decided up to here, microseconds.
    taken_over_us: i64,
    cues: Cues,
    vault: Vault,
    out: VecDeque<Event>,
}

impl Packager {
    /// A packager that begins, or goes on, at `start`.
    #[must_use]
    pub fn new(config: Config, start: Start) -> Self {
        Self {
            config,
            tracks: Vec::new(),
            leader: 0,
            run: None,
            next_run: None,
            early: VecDeque::new(),
            runs: start.run,
            next_msn: start.msn,
            part_target_us: start.part_target_us,
            key_interval: 0,
            last_key: None,
            reached: 0,
            decided_us: i64::MIN,
            taken_over_us: i64::MIN,
            cues: Cues::default(),
            vault: Vault::default(),
            out: VecDeque::new(),
        }
    }

    /// Declares the tracks from here on; ends the run that was going on.
    pub fn set_tracks(&mut self, tracks: &[TrackSpec]) {
        self.end_run();
        let track = |spec: &TrackSpec| {
            let (id, params) = (spec.id, spec.params.clone());
            let (name, init) = (id.to_string(), fmp4::init(&params));
            Arc::new(RunTrack { id, name, run: self.runs, params, init, key: None })
        };
        self.next_run = Some(tracks.iter().map(track).collect());
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

    /// From now on nothing is put out but encrypted: no run begins before there is a key, or with a track that cannot
    /// be encrypted ([`Packager::hindrance`]).
    pub fn encrypt(&mut self) {
        self.vault.shut();
    }

    /// Another key, from the next segment on. The key that is used already changes nothing.
    pub fn set_key(&mut self, key: Key) {
        self.vault.put(key);
    }

    /// It has a key, or needs none.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.vault.has_key()
    }

    /// Why nothing is put out although it comes, in a stream that must be encrypted.
    #[must_use]
    pub fn hindrance(&self) -> Option<Hindrance> {
        self.vault.hindrance(self.next_run.as_deref()?)
    }

    /// Takes a sample of `track` (index into the tracks declared). `wall_ms` is the Unix time at which it came.
    pub fn push(&mut self, track: usize, sample: Sample, wall_ms: i64) {
        if self.next_run.is_none() {
            return self.offer(track, sample);
        }
        if !self.start_run(track, &sample, wall_ms) {
            return self.keep_early(track, sample);
        }
        self.offer(track, sample);
        for (track, sample) in std::mem::take(&mut self.early) {
            self.offer(track, sample);
        }
    }

    /// What comes next of `track` will not begin where it ended: what it has of the segment stays, the next one begins
    /// with a key frame.
    pub fn interrupt(&mut self, track: usize) {
        if let Some(track) = self.tracks.get_mut(track) {
            track.interrupt(&mut self.out);
        }
    }

    /// Takes a cue at a time of the run that goes on, or of the next when there is none. What leaves or returns to
    /// the programme begins a segment with the first key frame from there on. Repeated cues count once.
    pub fn cue(&mut self, cue: DateRange) {
        self.announce(cue, false);
    }

    /// The same, however often it comes: what was not said before is added.
    pub fn add_cue(&mut self, cue: DateRange) {
        self.announce(cue, true);
    }

    fn announce(&mut self, cue: DateRange, anew: bool) {
        if self.run.is_none() {
            self.cues.wait(cue, anew);
        } else if self.cues.hear(&cue) || anew {
            self.cues.cut_for(&cue);
            self.tracks.iter_mut().for_each(|track| track.note_cue(&cue));
            self.out.push_back(Event::DateRange(cue));
        }
    }

    /// Takes a cue back that has not begun.
    pub fn withdraw(&mut self, id: &str) {
        self.cues.withdraw(id);
        self.out.push_back(Event::Withdraw { id: id.to_owned() });
    }

    /// Says what text there is from now on.
    pub fn declare_text(&mut self, captions: Captions) {
        self.out.push_back(Event::Captions(captions));
    }

    /// Shows text, at a time of the run that goes on; without a run there is none.
    pub fn text(&mut self, rendition: usize, cue: TextCue) {
        if self.run.is_some() {
            self.out.push_back(Event::Text { rendition, cue });
        }
    }

    /// Presentation time, in microseconds, at a Unix time in milliseconds; `None` without a run.
    #[must_use]
    pub fn time_at_ms(&self, wall_ms: i64) -> Option<i64> {
        self.run.as_ref().map(|run| wall_ms.saturating_sub(run.wall_at_zero_ms).saturating_mul(1000))
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
        self.tracks.get(track).into_iter().flat_map(Track::open_samples)
    }

    /// Index of the track that decides where segments are cut: the video with the lowest number, else the sound
    /// with the lowest.
    #[must_use]
    pub fn leader(&self) -> usize {
        event::leader(self.run_tracks())
    }

    /// Number of the segment that will begin next: greater than any that was given out.
    #[must_use]
    pub fn next_msn(&self) -> u64 {
        self.next_msn
    }

    /// Number of the run that will begin next.
    #[must_use]
    pub fn runs(&self) -> u32 {
        self.runs
    }

    /// Longest part of the stream in microseconds, once it is chosen.
    #[must_use]
    pub fn part_target_us(&self) -> Option<u32> {
        self.part_target_us
    }

    /// Stream time in milliseconds of the frame that will complete the next part of any of the first `tracks` tracks.
    #[must_use]
    pub fn part_due_ms(&self, tracks: usize) -> Option<i64> {
        let due = |t: &Track| t.cutter.part_due().map(|dts| rescale(dts, t.cutter.timescale(), 1000));
        self.tracks.iter().take(tracks).filter_map(due).chain(self.key_due_ms()).min()
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

    /// A track may be sent before the leader, and belong behind the leader's first sample.
    fn keep_early(&mut self, track: usize, sample: Sample) {
        if track == self.leader() {
            return;
        }
        if self.early.len() >= EARLY_MAX {
            self.early.pop_front();
        }
        self.early.push_back((track, sample));
    }

    /// Starts the announced run if this sample can: a key frame of the leading track.
    fn start_run(&mut self, track: usize, sample: &Sample, wall_ms: i64) -> bool {
        let leader = self.leader();
        if track != leader || !sample.key || self.hindrance().is_some() {
            return false;
        }
        let Some(tracks) = self.next_run.take() else { return false };
        let Some(lead) = tracks.get(leader).cloned() else { return false };
        let target_us = self.part_target_us.unwrap_or_else(|| self.choose_target(&tracks, leader, sample));
        self.part_target_us = Some(target_us);
        self.lead(leader);
        let pts_us = rescale(sample.pts, lead.params.timescale(), 1_000_000);
        let wall_at_zero_ms = wall_ms - pts_us / 1000;
        let cutting = tracks.iter().enumerate();
        self.tracks = cutting
            .map(|(index, t)| Track::new(index, t.id, &t.params, target_us, wall_at_zero_ms))
            .collect();
        let key = self.vault.begin_run();
        let run = Arc::new(Run {
            number: self.runs,
            first_msn: self.next_msn,
            tracks,
            start_ms: wall_ms,
            wall_at_zero_ms,
            part_target_us: target_us,
            keys: key
                .map(|told| KeyPeriod { first_msn: self.next_msn, begins_ms: wall_ms, told })
                .into_iter()
                .collect(),
        });
        self.runs += 1;
        self.out.push_back(Event::Run(run.clone()));
        self.run = Some(run);
        self.cut(pts_us);
        self.cues.waited().into_iter().for_each(|(cue, anew)| self.announce(cue, anew));
        true
    }

    fn choose_target(&self, tracks: &[Arc<RunTrack>], leader: usize, first: &Sample) -> u32 {
        let (mut lead, mut others) = (None, Vec::new());
        for (index, track) in tracks.iter().enumerate() {
            let nominal = Frame::nominal(&track.params);
            if index == leader {
                let told = first.duration.and_then(|ticks| Frame::new(ticks, track.params.timescale()));
                lead = told.or(nominal);
            } else {
                others.extend(nominal);
            }
        }
        target::choose(self.config.part_ms, lead, &others)
    }

    /// Begins a segment at a presentation time and tells every track.
    fn cut(&mut self, at_us: i64) {
        if let Some(told) = self.vault.turn() {
            let begins_ms =
                self.run.as_ref().map_or(0, |run| run.wall_at_zero_ms).saturating_add(at_us / 1000);
            self.out.push_back(Event::Key(KeyPeriod { first_msn: self.next_msn, begins_ms, told }));
        }
        let cut = Cut { msn: self.next_msn, at_us, sealing: self.vault.sealing() };
        self.next_msn += 1;
        if let Some(leader) = self.tracks.get_mut(self.leader) {
            leader.advance(cut.clone(), &mut self.out);
        }
        let segment_us = self.config.segment_ms.saturating_mul(1000).max(1);
        let behind = Behind {
            cuts: usize::try_from(BEHIND_US_MAX.div_ceil(segment_us)).unwrap_or(1),
            us: i64::from(segment_us / 2),
        };
        for (_, track) in self.tracks.iter_mut().enumerate().filter(|(index, _)| *index != self.leader) {
            track.announce(cut.clone(), behind, &mut self.out);
        }
    }

    /// Takes a sample. Those of the other tracks wait until the leader has come as far, so that it does not matter
    /// in which order tracks are sent.
    fn offer(&mut self, index: usize, sample: Sample) {
        let decided_us = if index == self.leader { i64::MAX } else { self.decided_us };
        let Some(track) = self.tracks.get_mut(index) else { return };
        if let Some(sample) = track.keep(sample, decided_us) {
            self.place(index, sample);
        }
        if self.tracks.iter().any(Track::is_unled) {
            self.hand_over();
        }
        self.release();
        if self.tracks.get(index).is_some_and(Track::is_elsewhere) && self.outranks(index) {
            self.break_run();
        }
    }

    /// Places what waited for the leader, which may be another after each sample.
    fn release(&mut self) {
        let mut index = 0;
        while index < self.tracks.len() {
            let decided_us = if index == self.leader { i64::MAX } else { self.decided_us };
            match self.tracks.get_mut(index).and_then(|track| track.release(decided_us)) {
                Some(sample) => self.place(index, sample),
                None => index += 1,
            }
        }
    }

    /// The leader is silent: the next that is not leads.
    fn hand_over(&mut self) {
        let Some(run) = &self.run else { return };
        let tracks = self.tracks.iter().zip(&run.tracks).enumerate();
        let waiting = tracks.filter(|(index, (track, _))| *index != self.leader && track.is_ahead());
        let heir = waiting.min_by_key(|(_, (track, of))| (track.is_lost(), of.id)).map(|(index, _)| index);
        heir.into_iter().for_each(|heir| self.lead(heir));
    }

    fn lead(&mut self, index: usize) {
        self.leader = index;
        (self.last_key, self.key_interval) = (None, 0);
        self.taken_over_us = std::mem::replace(&mut self.decided_us, i64::MIN);
        self.tracks.iter_mut().for_each(Track::is_led);
    }

    /// Whether a track has more right to lead than the one that does.
    fn outranks(&self, index: usize) -> bool {
        let id = |index: usize| self.run.as_ref().and_then(|r| r.tracks.get(index)).map(|t| t.id);
        id(index) < id(self.leader)
    }

    fn place(&mut self, index: usize, sample: Sample) {
        let outranks = self.outranks(index);
        let Some(track) = self.tracks.get_mut(index) else { return };
        track.settle(&sample, &mut self.out);
        let (at_us, middle_us) = (track.at_us(&sample), track.middle_us(&sample));
        let until_us = track.until_us(&sample);
        let reached = track.reach(middle_us, &mut self.out);
        if outranks && sample.key && track.is_in_step(middle_us) {
            self.lead(index);
        }
        if index == self.leader {
            let spliced = self.note_leader(&sample, middle_us, until_us);
            if !reached {
                self.cut_before(&sample, at_us, spliced);
            }
        }
        if let Some(track) = self.tracks.get_mut(index) {
            track.take(sample, &mut self.out);
        }
    }

    /// Follows the leader; gives whether its sample is the key frame that a cue waits for.
    fn note_leader(&mut self, sample: &Sample, middle_us: i64, until_us: i64) -> bool {
        self.tracks.iter_mut().for_each(Track::is_led);
        self.reached = sample.dts;
        self.decided_us = self.decided_us.max(until_us);
        if !sample.key {
            return false;
        }
        if let Some(last) = self.last_key.replace(sample.dts) {
            self.key_interval = u64::try_from(sample.dts - last).unwrap_or(0);
        }
        self.cues.reach(middle_us)
    }

    /// Cuts before the leader's next sample where that is due.
    fn cut_before(&mut self, sample: &Sample, at_us: i64, spliced: bool) {
        let target_us = i64::from(self.config.segment_ms).saturating_mul(1000);
        // After a pause there are segments that the leader has nothing for.
        for _ in 0..PASSED_MAX {
            let Some(leader) = self.tracks.get(self.leader) else { return };
            let due_us = leader.start_us().saturating_add(target_us).max(leader.end_us());
            let paused = due_us.saturating_add(ROUNDING_US) < at_us;
            if leader.start_us().saturating_add(target_us + MORE_US) >= at_us || !paused {
                break;
            }
            self.cut(due_us);
        }
        if self.is_cut(sample, at_us, spliced) {
            self.cut(at_us);
        }
    }

    /// Whether the leader's open segment ends before this sample.
    fn is_cut(&self, sample: &Sample, at_us: i64, spliced: bool) -> bool {
        let Some(leader) = self.tracks.get(self.leader) else { return false };
        let ticks = |us: i64| u64::try_from(rescale(us, 1_000_000, leader.cutter.timescale())).unwrap_or(0);
        let target = ticks(i64::from(self.config.segment_ms).saturating_mul(1000));
        let longest = target + ticks(MORE_US);
        let elapsed = leader.elapsed(at_us);
        if elapsed == 0 || at_us < self.taken_over_us {
            false
        } else if sample.key {
            // The key frame nearest to the target, or the last one that keeps within the longest.
            spliced || elapsed + self.key_interval / 2 >= target || elapsed + self.key_interval > longest
        } else {
            // No key frame in time: cut all the same, the target duration must never change.
            // One whose length is not known yet is thought to be as long as the one before.
            elapsed + sample.duration.map_or_else(|| leader.cutter.frame(), u64::from) > longest
        }
    }

    fn end_run(&mut self) {
        // What came after the leader had stopped may be more than its last segment can take.
        let target_us = i64::from(self.config.segment_ms).saturating_mul(1000);
        let start_us = self.tracks.get(self.leader).map_or(i64::MAX, Track::start_us);
        let longest_us = start_us.saturating_add(target_us + MORE_US);
        if self.tracks.iter().any(|track| track.ahead_until_us() > longest_us) {
            self.hand_over();
            self.release();
        }
        self.decided_us = i64::MAX;
        self.release();
        self.tracks.iter_mut().for_each(|track| track.settle_last(&mut self.out));
        let end_us = self.tracks.iter().map(Track::end_us).max().unwrap_or(0);
        // The leader first: where a gap begins is read off another track.
        if let Some(leader) = self.tracks.get_mut(self.leader) {
            leader.finish(end_us, &mut self.out);
        }
        self.tracks.iter_mut().for_each(|track| track.finish(end_us, &mut self.out));
        self.tracks.clear();
        self.cues.end_run();
        self.decided_us = i64::MIN;
        self.early.clear();
        self.run = None;
    }
}
