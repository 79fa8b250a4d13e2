//! The live window: the newest segments of every track, as long as players may ask for them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use nx_media::{Params, rescale};

use crate::bandwidth::Meter;
use crate::breaks::{Breaks, Mark};
use crate::daterange::DateRanges;
use crate::event::{Event, Part, Run, RunTrack};
use crate::text::Texts;
use crate::ts_view::TsSegment;

/// Runs whose init segments are kept besides those that the window still shows.
const RUNS_MAX: usize = 8;

/// A segment of one track.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Media sequence number.
    pub msn: u64,
    /// Parameters and CMAF header that it needs.
    pub track: Arc<RunTrack>,
    /// First of a run, and not the stream's first.
    pub discontinuity: bool,
    /// Unix time in milliseconds of its first sample's presentation.
    pub program_date_time_ms: i64,
    /// Parts so far, in order.
    pub parts: Vec<Part>,
    /// Set when complete, in the track's timescale.
    pub duration: Option<u64>,
    /// Its place in a break.
    pub mark: Mark,
}

impl Segment {
    /// Complete, without any media.
    #[must_use]
    pub fn is_gap(&self) -> bool {
        self.duration.is_some() && self.parts.is_empty()
    }

    /// Unix time in milliseconds at which it ends.
    fn end_ms(&self) -> i64 {
        let ticks = i64::try_from(self.duration.unwrap_or(0)).unwrap_or(0);
        self.program_date_time_ms + rescale(ticks, self.track.params.timescale(), 1000)
    }

    /// Size of its parts together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|p| p.bytes.len()).sum()
    }
}

/// How far a track has come: the part that will be next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// Segment that is open, or will be.
    pub msn: u64,
    /// Parts it already has.
    pub part: u32,
}

/// Answer to a request for media.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup<T> {
    /// Here it is.
    Found(T),
    /// It is the next to be made: wait for it.
    Soon,
    /// It is gone, or nobody promised it.
    Missing,
}

/// One track's share of the window.
#[derive(Debug)]
pub(crate) struct TrackWindow {
    pub(crate) track: Arc<RunTrack>,
    /// Oldest first; the first `retired` are no longer listed.
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) retired: usize,
    pub(crate) discontinuity_sequence: u64,
    pub(crate) meter: Meter,
    bytes: usize,
    pub(crate) next: Position,
}

/// State of a live stream as players see it.
#[derive(Debug)]
pub struct Window {
    /// Listed segments at most.
    pub(crate) listed_max: usize,
    /// Bytes of media per stream beyond which unlisted segments are dropped early.
    bytes_max: usize,
    pub(crate) target_s: u64,
    pub(crate) run: Option<Arc<Run>>,
    pub(crate) tracks: Vec<TrackWindow>,
    inits: VecDeque<Arc<RunTrack>>,
    pub(crate) dates: DateRanges,
    breaks: Breaks,
    pub(crate) texts: Texts,
    pub(crate) ended: bool,
    /// What the TS view lists, oldest first; discontinuities before what left it last.
    pub(crate) ts: VecDeque<TsSegment>,
    pub(crate) ts_left: Option<u64>,
    pub(crate) discontinuities: u64,
    /// There was a run before the first one seen here.
    resumed: bool,
}

impl Window {
    /// `listed` segments in a playlist; `target_s` seconds of `EXT-X-TARGETDURATION`. A segment that leaves the
    /// playlist is kept for another playlist's length (RFC 8216bis §6.2.2) unless the stream holds more than
    /// `bytes_max` bytes; listed segments are kept whatever they weigh.
    #[must_use]
    pub fn new(listed: usize, target_s: u64, bytes_max: usize) -> Self {
        Self {
            listed_max: listed.max(3),
            bytes_max,
            target_s,
            run: None,
            tracks: Vec::new(),
            inits: VecDeque::new(),
            dates: DateRanges::default(),
            breaks: Breaks::default(),
            texts: Texts::default(),
            ended: false,
            ts: VecDeque::new(),
            ts_left: None,
            discontinuities: 0,
            resumed: false,
        }
    }

    /// Goes on where a window left off that had seen so many [`Window::discontinuities`]: the first run is one
    /// more. For a window that has seen no run yet.
    pub fn resume(&mut self, discontinuity_sequence: u64) {
        (self.discontinuities, self.resumed) = (discontinuity_sequence, true);
    }

    /// Takes one event; gives the index of the track that grew, if one did.
    pub fn apply(&mut self, event: Event) -> Option<usize> {
        match event {
            Event::Run(run) => {
                self.start_run(run);
                None
            }
            Event::Part { track, part } => {
                self.add_part(track, part);
                Some(track)
            }
            Event::SegmentEnd { track, msn, duration } => {
                self.end_segment(track, msn, duration);
                Some(track)
            }
            Event::DateRange(cue) => {
                if let Some(run) = &self.run {
                    self.dates.add(cue, run.wall_at_zero_ms);
                }
                None
            }
            Event::Withdraw { id } => {
                self.dates.withdraw(&id);
                None
            }
            Event::Captions(captions) => {
                self.texts.declare(captions);
                None
            }
            Event::Text { rendition, cue } => {
                self.texts.add(rendition, cue);
                None
            }
            Event::End => {
                self.ended = true;
                None
            }
        }
    }

    /// The stream's tracks, in the order of their indices.
    pub fn tracks(&self) -> impl Iterator<Item = &Arc<RunTrack>> {
        self.tracks.iter().map(|t| &t.track)
    }

    /// Index of the track that is called so in URLs.
    #[must_use]
    pub fn track_index(&self, name: &str) -> Option<usize> {
        self.tracks.iter().position(|t| t.track.name == name)
    }

    /// The part that `track` will get next.
    #[must_use]
    pub fn next(&self, track: usize) -> Option<Position> {
        self.tracks.get(track).map(|t| t.next)
    }

    /// Number of parts that a segment of the track has so far.
    #[must_use]
    pub fn parts_of(&self, track: usize, msn: u64) -> u32 {
        let segment = self.tracks.get(track).and_then(|t| t.segment(msn));
        segment.map_or(0, |s| u32::try_from(s.parts.len()).unwrap_or(u32::MAX))
    }

    /// Parts of a track from a segment on, oldest first.
    pub fn parts_from(&self, track: usize, msn: u64) -> impl Iterator<Item = &Part> {
        let segments = self.tracks.get(track).into_iter().flat_map(|t| &t.segments);
        segments.filter(move |s| s.msn >= msn).flat_map(|s| &s.parts)
    }

    /// Parts of a track from a position on, oldest first, each with the run that it belongs to.
    pub fn parts_after(&self, track: usize, from: Position) -> impl Iterator<Item = (&Arc<RunTrack>, &Part)> {
        let segments = self.tracks.get(track).into_iter().flat_map(|t| &t.segments);
        let parts =
            segments.filter(move |s| s.msn >= from.msn).flat_map(|s| s.parts.iter().map(|p| (&s.track, p)));
        parts.filter(move |(_, p)| Position { msn: p.msn, part: p.index } >= from)
    }

    /// Oldest segment of a track that is still held.
    #[must_use]
    pub fn oldest(&self, track: usize) -> Option<u64> {
        self.tracks.get(track)?.segments.front().map(|s| s.msn)
    }

    /// Newest segment of a track that decoding can start with.
    #[must_use]
    pub fn newest_independent(&self, track: usize) -> Option<u64> {
        let starts = |s: &&Segment| s.parts.first().is_some_and(|p| p.independent);
        self.tracks.get(track)?.segments.iter().rfind(starts).map(|s| s.msn)
    }

    /// Whether a track has anything to list.
    #[must_use]
    pub fn has_parts(&self, track: usize) -> bool {
        self.tracks.get(track).is_some_and(|t| !t.segments.is_empty())
    }

    /// Something can be played, and every track has had time to begin: the leader's first segment of this run is
    /// over, or no track is missing.
    #[must_use]
    pub fn is_playable(&self) -> bool {
        let Some(run) = &self.run else { return false };
        let waited = self.next(run.leader()).is_some_and(|next| next.msn > run.first_msn);
        let mut playing = self.tracks.iter().map(TrackWindow::has_media);
        if waited { playing.any(|p| p) } else { !self.tracks.is_empty() && playing.all(|p| p) }
    }

    /// `End` was seen.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Seconds of `EXT-X-TARGETDURATION`.
    #[must_use]
    pub fn target_s(&self) -> u64 {
        self.target_s
    }

    /// Part target in microseconds, once known.
    #[must_use]
    pub fn part_target_us(&self) -> u32 {
        self.run.as_ref().map_or(0, |r| r.part_target_us)
    }

    /// Discontinuities so far.
    #[must_use]
    pub fn discontinuities(&self) -> u64 {
        self.discontinuities
    }

    /// Bytes of media held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.tracks.iter().map(|t| t.bytes).sum()
    }

    /// Mean bit rate of a track since it began, bits per second.
    #[must_use]
    pub fn mean_bps(&self, track: usize) -> u64 {
        self.tracks.get(track).map_or(0, |t| t.meter.mean_bps())
    }

    /// CMAF header of a track in a run.
    #[must_use]
    pub fn init(&self, name: &str, run: u32) -> Option<Bytes> {
        self.inits.iter().rev().find(|t| t.run == run && t.name == name).map(|t| t.init.clone())
    }

    /// A part by number. The one hinted next is [`Lookup::Soon`].
    #[must_use]
    pub fn part(&self, track: usize, msn: u64, index: u32) -> Lookup<Bytes> {
        let Some(t) = self.tracks.get(track) else { return Lookup::Missing };
        let found = t.segment(msn).and_then(|s| s.parts.get(usize::try_from(index).ok()?));
        match found {
            Some(part) => Lookup::Found(part.bytes.clone()),
            None if !self.ended && (Position { msn, part: index }) == t.next => Lookup::Soon,
            None => Lookup::Missing,
        }
    }

    /// A complete segment by number; its bytes are those of its parts one after the other.
    #[must_use]
    pub fn segment(&self, track: usize, msn: u64) -> Lookup<&Segment> {
        let Some(t) = self.tracks.get(track) else { return Lookup::Missing };
        match t.segment(msn) {
            Some(s) if s.duration.is_some() && !s.parts.is_empty() => Lookup::Found(s),
            Some(s) if s.duration.is_none() && !self.ended => Lookup::Soon,
            _ => Lookup::Missing,
        }
    }

    fn start_run(&mut self, run: Arc<Run>) {
        let old = std::mem::take(&mut self.tracks);
        let fresh = self.run.is_none() && !self.resumed;
        self.discontinuities += u64::from(!fresh);
        let mut old: Vec<Option<TrackWindow>> = old.into_iter().map(Some).collect();
        for track in &run.tracks {
            let same = |t: &&mut Option<TrackWindow>| t.as_ref().is_some_and(|t| t.track.name == track.name);
            let before = old.iter_mut().find(same).and_then(Option::take);
            self.tracks.push(TrackWindow::continuing(before, track, run.first_msn, self.discontinuities));
            self.inits.push_back(track.clone());
        }
        while self.inits.len() > RUNS_MAX * run.tracks.len().max(1) {
            self.inits.pop_front();
        }
        self.ended = false;
        self.texts.turn(self.run.as_deref(), &run);
        self.run = Some(run);
    }

    fn add_part(&mut self, index: usize, part: Part) {
        let Some(run) = self.run.clone() else { return };
        let Some(t) = self.tracks.get_mut(index) else { return };
        let us = rescale(i64::try_from(part.duration).unwrap_or(0), t.track.params.timescale(), 1_000_000);
        t.meter.part(part.bytes.len(), u64::try_from(us).unwrap_or(0));
        t.bytes += part.bytes.len();
        t.next = Position { msn: part.msn, part: part.index + 1 };
        if t.segments.back().is_none_or(|s| s.msn != part.msn) {
            let wall = run.wall_at_zero_ms + rescale(part.pts, t.track.params.timescale(), 1000);
            let mark = self.breaks.mark(part.msn, wall, &mut self.dates);
            t.open(&run, part.msn, wall, mark);
        }
        if let Some(segment) = t.segments.back_mut() {
            segment.parts.push(part);
        }
    }

    fn end_segment(&mut self, index: usize, msn: u64, duration: u64) {
        let Some(run) = self.run.clone() else { return };
        let (listed_max, all) = (self.listed_max, self.bytes());
        // A gap begins where the others begin.
        let begins = self.tracks.iter().find_map(|t| t.segment(msn)).map(|s| s.program_date_time_ms);
        let Some(t) = self.tracks.get_mut(index) else { return };
        if t.segments.back().is_none_or(|s| s.msn != msn) {
            let wall =
                begins.or_else(|| t.segments.back().map(Segment::end_ms)).unwrap_or(run.wall_at_zero_ms);
            let mark = self.breaks.mark(msn, wall, &mut self.dates);
            t.open(&run, msn, wall, mark);
        }
        t.meter.segment_end();
        t.next = Position { msn: msn + 1, part: 0 };
        if let Some(segment) = t.segments.back_mut() {
            segment.duration = Some(duration);
        }
        t.slide(listed_max, all > self.bytes_max);
        self.follow_ts();
        self.follow_text(index, msn);
    }
}

impl TrackWindow {
    fn continuing(before: Option<Self>, track: &Arc<RunTrack>, first_msn: u64, discontinuities: u64) -> Self {
        let next = Position { msn: first_msn, part: 0 };
        match before {
            Some(t) => Self { track: track.clone(), next, ..t },
            None => Self {
                track: track.clone(),
                segments: VecDeque::new(),
                retired: 0,
                discontinuity_sequence: discontinuities,
                meter: Meter::default(),
                bytes: 0,
                next,
            },
        }
    }

    /// What a playlist lists.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().skip(self.retired)
    }

    pub(crate) fn segment(&self, msn: u64) -> Option<&Segment> {
        let at = self.segments.binary_search_by_key(&msn, |s| s.msn).ok()?;
        self.segments.get(at)
    }

    /// Whether a player that begins now would find anything.
    pub(crate) fn has_media(&self) -> bool {
        self.listed().any(|s| !s.parts.is_empty())
    }

    fn open(&mut self, run: &Run, msn: u64, wall: i64, mark: Mark) {
        // A track that joins late starts its list there; only a list that goes on has a seam to mark.
        let seam = msn == run.first_msn && !self.segments.is_empty();
        self.segments.push_back(Segment {
            msn,
            track: self.track.clone(),
            discontinuity: seam,
            program_date_time_ms: wall,
            parts: Vec::new(),
            duration: None,
            mark,
        });
    }

    /// Unlists what is over the playlist's length, forgets what nobody can ask for any more.
    fn slide(&mut self, listed_max: usize, hurry: bool) {
        let complete = self.segments.len();
        while complete - self.retired > listed_max {
            // The seam of a segment that leaves is counted in EXT-X-DISCONTINUITY-SEQUENCE (§4.4.3.3).
            let left = self.segments.get(self.retired).is_some_and(|s| s.discontinuity);
            self.discontinuity_sequence += u64::from(left);
            self.retired += 1;
        }
        while self.retired > if hurry { 1 } else { listed_max + 1 } {
            let Some(gone) = self.segments.pop_front() else { return };
            self.bytes -= gone.bytes();
            self.retired -= 1;
        }
    }

    /// Average frame rate of video, from the declared rate.
    pub(crate) fn fps(&self) -> Option<f64> {
        match &self.track.params {
            Params::Video(v) => v.frame_rate.map(nx_media::FrameRate::fps),
            Params::Audio(_) => None,
        }
    }
}
