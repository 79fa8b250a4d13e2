//! One track of the packager: where it is cut, and what becomes of it when it is ahead or falls behind.

use std::collections::VecDeque;
use std::sync::Arc;

use nx_container::fmp4;
use nx_media::{Kind, Params, Sample, TrackId, rescale};

use crate::cutter::Cutter;
use crate::daterange::DateRange;
use crate::event::{Event, Part};
use crate::rendition::Segment;
use crate::sealing::Sealing;
use crate::window::Position;

/// Samples that wait for the leader: how many at most, and for how much of their own time, microseconds.
const AHEAD_MAX: usize = 1024;
const AHEAD_US_MAX: i64 = 3_000_000;
/// A leader that sends nothing while another track sends this much is silent, microseconds.
const SILENT_US: i64 = 2_000_000;
/// A track that is late with this much, one after the other, will not catch up; microseconds.
const LATE_US_MAX: i64 = 5_000_000;

/// A place where every track is cut.
#[derive(Debug, Clone)]
pub(crate) struct Cut {
    /// Segment that begins.
    pub(crate) msn: u64,
    /// Presentation time, microseconds.
    pub(crate) at_us: i64,
    /// How the segment is encrypted.
    pub(crate) sealing: Option<Arc<Sealing>>,
}

/// How far a track may be behind: so many cuts, and more that follow each other within so many microseconds (a key frame
/// just behind the longest segment is one).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behind {
    pub(crate) cuts: usize,
    pub(crate) us: i64,
}

/// State of a track during a run.
#[derive(Debug)]
pub(crate) struct Track {
    index: usize,
    kind: Kind,
    pub(crate) cutter: Cutter,
    /// Announced and not reached yet.
    cuts: VecDeque<Cut>,
    /// Where the open segment begins, microseconds.
    start_us: i64,
    /// Ticks of the open segment that had passed when its first sample came.
    missed: u64,
    /// Has no place in the open segment yet, or lost it by falling behind. A picture goes on with a key frame.
    lost: bool,
    /// Presentation after decode time of the newest key frame, ticks.
    shift: i64,
    /// Length of what was dropped because it came too late, since something was taken; microseconds.
    late_us: i64,
    /// Came before the leader had decided whether to cut before them.
    ahead: VecDeque<Sample>,
    /// Length of what came since the leader's last sample, microseconds.
    unled_us: i64,
}

impl Track {
    pub(crate) fn new(
        index: usize,
        id: TrackId,
        params: &Params,
        part_target_us: u32,
        wall_at_zero_ms: i64,
    ) -> Self {
        Self {
            index,
            kind: params.kind(),
            cutter: Cutter::new(id, params, part_target_us, wall_at_zero_ms),
            cuts: VecDeque::new(),
            start_us: i64::MIN,
            missed: 0,
            lost: true,
            shift: 0,
            late_us: 0,
            ahead: VecDeque::new(),
            unled_us: 0,
        }
    }

    /// Goes on where the same track of another packager has come to, as its share of a window shows: the segments of
    /// the run so far, which part is next, where the leader's segments begin (number and microseconds) and the last
    /// of them ends.
    pub(crate) fn adopt(&mut self, of: &[&Segment], next: Position, starts: &[(u64, i64)], end_us: i64) {
        self.start_us = end_us;
        let key = of.iter().rev().find_map(|s| first_sample(s).filter(|sample| sample.key));
        self.shift = key.map_or(0, |key| key.pts.saturating_sub(key.dts));
        let newest = of.iter().rev().find_map(|s| s.parts.last());
        let last = newest.and_then(|part| fmp4::samples(&part.bytes).ok()?.pop());
        for &(msn, at_us) in starts.iter().filter(|(msn, _)| *msn >= next.msn) {
            // Who has ended a segment has opened the next.
            if msn > next.msn || of.is_empty() {
                self.cuts.push_back(Cut { msn, at_us, sealing: None });
                continue;
            }
            let parts = of.last().filter(|s| s.msn == msn).map_or(&[][..], |s| &s.parts);
            self.cutter.adopt(msn, parts, last.as_ref());
            self.start_us = at_us;
            self.lost = !of.last().is_some_and(|s| s.has_media());
        }
    }

    fn us(&self, ticks: i64) -> i64 {
        rescale(ticks, self.cutter.timescale(), 1_000_000)
    }

    /// Place of a sample in presentation time, microseconds. It grows from sample to sample: where frames are sent
    /// out of order, those between key frames count as if they were not.
    pub(crate) fn at_us(&self, sample: &Sample) -> i64 {
        self.us(if sample.key { sample.pts } else { sample.dts.saturating_add(self.shift) })
    }

    /// Length of a sample in microseconds. One that was stretched over a pause counts as long as the one before.
    fn frame_us(&self, sample: &Sample) -> i64 {
        let usual = self.cutter.frame();
        let told = sample.duration.map_or(usual, u64::from);
        let frame = if usual > 0 { told.min(usual) } else { told };
        self.us(i64::try_from(frame).unwrap_or(0))
    }

    /// Middle of a sample in presentation time, microseconds.
    pub(crate) fn middle_us(&self, sample: &Sample) -> i64 {
        self.at_us(sample).saturating_add(self.frame_us(sample) / 2)
    }

    /// End of a sample in presentation time, microseconds.
    pub(crate) fn until_us(&self, sample: &Sample) -> i64 {
        self.at_us(sample).saturating_add(self.frame_us(sample))
    }

    /// From the beginning of the open segment to a place in presentation time, ticks.
    pub(crate) fn elapsed(&self, at_us: i64) -> u64 {
        let us = at_us.saturating_sub(self.start_us);
        u64::try_from(rescale(us, 1_000_000, self.cutter.timescale())).unwrap_or(0)
    }

    /// Where the open segment begins, microseconds.
    pub(crate) fn start_us(&self) -> i64 {
        self.start_us
    }

    /// Where its newest segment has come to, microseconds.
    pub(crate) fn end_us(&self) -> i64 {
        let elapsed = i64::try_from(self.cutter.elapsed() + self.missed).unwrap_or(0);
        self.start_us.saturating_add(self.us(elapsed))
    }

    /// Waits for a place, or lost it.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    /// A sample whose middle is there falls into the newest segment that was announced.
    pub(crate) fn is_in_step(&self, middle_us: i64) -> bool {
        self.cuts.is_empty() && self.start_us <= middle_us
    }

    /// Goes through the cuts up to a sample's middle; whether there were any.
    pub(crate) fn reach(&mut self, middle_us: i64, out: &mut VecDeque<Event>) -> bool {
        let mut any = false;
        while let Some(cut) = self.cuts.pop_front_if(|cut| cut.at_us <= middle_us) {
            self.advance(cut, out);
            any = true;
        }
        any
    }

    /// Ends the open segment and begins the next.
    pub(crate) fn advance(&mut self, cut: Cut, out: &mut VecDeque<Event>) {
        self.close(cut.at_us, out);
        self.cutter.open(cut.msn, cut.sealing);
        (self.start_us, self.missed) = (cut.at_us, 0);
    }

    /// Hears of a cut. Where it is too far behind it is passed: its segments end with what they have, or as gaps, and
    /// what comes too late for them is dropped.
    pub(crate) fn announce(&mut self, cut: Cut, behind: Behind, out: &mut VecDeque<Event>) {
        let newest_us = cut.at_us;
        self.cuts.push_back(cut);
        while self.cuts.len() > behind.cuts {
            let far = |cut: &mut Cut| newest_us.saturating_sub(cut.at_us) >= behind.us;
            let Some(passed) = self.cuts.pop_front_if(far) else { break };
            self.advance(passed, out);
            self.lost = true;
        }
        self.cut_early(out);
    }

    /// Cuts sound when its next sample is known to be beyond the cut, not when that sample comes. A picture's
    /// next one may be presented out of order.
    fn cut_early(&mut self, out: &mut VecDeque<Event>) {
        let next_us = self.cutter.next_middle().map(|middle| self.us(middle));
        if let (Kind::Audio, Some(next_us), true) = (self.kind, next_us, self.cutter.segment.is_some())
            && let Some(cut) = self.cuts.pop_front_if(|cut| next_us >= cut.at_us)
        {
            self.advance(cut, out);
        }
    }

    /// Learns from the next sample: where the pending one ends.
    pub(crate) fn settle(&mut self, next: &Sample, out: &mut VecDeque<Event>) {
        if next.key {
            self.shift = next.pts.saturating_sub(next.dts);
        }
        let parts = self.cutter.settle(next.dts);
        emit(out, self.index, parts);
    }

    /// Puts a sample into the open segment, if it has a place there.
    pub(crate) fn take(&mut self, sample: Sample, out: &mut VecDeque<Event>) {
        if self.cutter.segment.is_none() {
            return;
        }
        if self.lost {
            if self.middle_us(&sample) < self.start_us {
                self.late_us = self.late_us.saturating_add(self.frame_us(&sample));
                return;
            }
            // Nothing goes on in the middle of a segment: its length would not be that of what it holds.
            let begun = self.cutter.segment.is_some_and(|open| open.parts > 0);
            if begun || (self.kind == Kind::Video && !sample.key) {
                return;
            }
            (self.lost, self.late_us) = (false, 0);
            self.missed = self.elapsed(self.at_us(&sample));
        }
        let parts = self.cutter.push(sample);
        emit(out, self.index, parts);
        self.cut_early(out);
    }

    /// What comes next does not follow what came.
    pub(crate) fn interrupt(&mut self, out: &mut VecDeque<Event>) {
        self.settle_last(out);
        let last = self.cutter.flush();
        emit(out, self.index, [last, None]);
        (self.lost, self.late_us) = (true, 0);
        self.ahead.clear();
    }

    /// Keeps a sample back while it is beyond what the leader has decided about; gives it back when it is not.
    pub(crate) fn keep(&mut self, sample: Sample, decided_us: i64) -> Option<Sample> {
        self.unled_us = self.unled_us.saturating_add(self.frame_us(&sample));
        if self.ahead.is_empty() && self.is_decided(&sample, decided_us) {
            return Some(sample);
        }
        self.ahead.push_back(sample);
        None
    }

    /// Sound may end in the wrong segment by less than a frame, which is better than to wait for a picture.
    fn is_decided(&self, sample: &Sample, decided_us: i64) -> bool {
        let from = if self.kind == Kind::Audio { self.at_us(sample) } else { self.middle_us(sample) };
        from < decided_us
    }

    /// The next sample that was kept back and need not be any more, or cannot be.
    pub(crate) fn release(&mut self, decided_us: i64) -> Option<Sample> {
        let (first, last) = self.ahead.front().zip(self.ahead.back())?;
        let span_us = self.us(last.dts).saturating_sub(self.us(first.dts));
        let full = span_us > AHEAD_US_MAX || self.ahead.len() > AHEAD_MAX;
        if full || self.is_decided(first, decided_us) { self.ahead.pop_front() } else { None }
    }

    /// The leader has sent something.
    pub(crate) fn is_led(&mut self) {
        self.unled_us = 0;
    }

    /// So much came while the leader sent nothing that it must be silent.
    pub(crate) fn is_unled(&self) -> bool {
        self.unled_us > SILENT_US && !self.ahead.is_empty()
    }

    /// Where what is kept back ends, microseconds.
    pub(crate) fn ahead_until_us(&self) -> i64 {
        self.ahead.back().map_or(i64::MIN, |last| self.until_us(last))
    }

    /// Something is kept back.
    pub(crate) fn is_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Pictures carry the sections of cues along.
    pub(crate) fn note_cue(&mut self, cue: &DateRange) {
        if let (Kind::Video, Some(section)) = (self.kind, cue.section()) {
            self.cutter.note_section(cue, section);
        }
    }

    /// So much of it came too late that its clock must be another.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.late_us > LATE_US_MAX
    }

    /// Samples that are in no part yet.
    pub(crate) fn open_samples(&self) -> impl Iterator<Item = &Sample> {
        self.cutter.open_samples().chain(&self.ahead)
    }

    /// Settles what is pending: nothing will follow.
    pub(crate) fn settle_last(&mut self, out: &mut VecDeque<Event>) {
        let parts = self.cutter.settle_last();
        emit(out, self.index, parts);
    }

    /// Ends every segment that was announced; the run is over at `end_us`.
    pub(crate) fn finish(&mut self, end_us: i64, out: &mut VecDeque<Event>) {
        while let Some(cut) = self.cuts.pop_front() {
            self.advance(cut, out);
        }
        self.close(end_us, out);
    }

    /// Ends the open segment. One without samples is a gap up to `end_us`.
    fn close(&mut self, end_us: i64, out: &mut VecDeque<Event>) {
        let last = self.cutter.flush();
        emit(out, self.index, [last, None]);
        let Some(open) = self.cutter.segment.take() else { return };
        let gap_us = end_us.saturating_sub(self.start_us);
        let gap = u64::try_from(rescale(gap_us, 1_000_000, self.cutter.timescale())).unwrap_or(0);
        let duration = if open.parts > 0 { open.duration } else { gap };
        out.push_back(Event::SegmentEnd { track: self.index, msn: open.msn, duration });
    }
}

/// The sample that a segment begins with.
pub(crate) fn first_sample(segment: &Segment) -> Option<Sample> {
    fmp4::samples(&segment.parts.first()?.bytes).ok()?.into_iter().next()
}

fn emit(out: &mut VecDeque<Event>, track: usize, parts: [Option<Part>; 2]) {
    out.extend(parts.into_iter().flatten().map(|part| Event::Part { track, part }));
}
