//! The live window: the newest segments of every track, as long as players may ask for them.
//!
//! A track that a new run lacks does not end its viewers: it stays behind the tracks of the run, and its list goes on
//! with gaps, as long and dated as the segments of the run's leader, until nothing that it ever had is held any more.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use nx_media::{Kind, TrackId, rescale};
use serde::{Deserialize, Serialize};

use crate::breaks::Breaks;
use crate::daterange::DateRanges;
use crate::event::{Event, Part, Run, RunTrack};
use crate::remains::Remains;
use crate::rendition::{Rendition, Segment};
use crate::text::Texts;
use crate::ts_view::TsSegment;

/// How far a track has come: the part that will be next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
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

/// Runs remembered: more than any list has parts of.
const RUNS_MAX: usize = 8;

/// State of a live stream as players see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Window {
    /// Listed segments at most.
    pub(crate) listed_max: usize,
    /// Bytes of media per stream beyond which unlisted segments are dropped early.
    bytes_max: usize,
    pub(crate) target_s: u64,
    pub(crate) run: Option<Arc<Run>>,
    /// The newest runs, the one that goes on last.
    pub(crate) runs: VecDeque<Arc<Run>>,
    /// Those of the run in its order, then those that it lacks.
    pub(crate) tracks: Vec<Rendition>,
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
    /// A view of what is stored.
    pub(crate) past: bool,
    /// Behind which the live edge is listed: see [`Window::join`].
    pub(crate) joined: bool,
    /// See [`Window::grow`]; views stay where they are.
    #[serde(skip)]
    pub(crate) grows: bool,
    /// What the addresses of its other playlists end with: nothing, or `?` and a query.
    pub(crate) query: String,
    /// See [`Window::beginning_at`].
    pub(crate) start_ms: Option<i64>,
    /// What is left of it, until there is a run.
    pub(crate) lost: Remains,
    /// See [`Window::offer`].
    offered: Vec<TrackId>,
    /// See [`Window::hide`].
    pub(crate) hidden: Vec<TrackId>,
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
            runs: VecDeque::new(),
            tracks: Vec::new(),
            dates: DateRanges::default(),
            breaks: Breaks::default(),
            texts: Texts::default(),
            ended: false,
            ts: VecDeque::new(),
            ts_left: None,
            discontinuities: 0,
            resumed: false,
            past: false,
            joined: false,
            grows: false,
            query: String::new(),
            start_ms: None,
            lost: Remains::default(),
            offered: Vec::new(),
            hidden: Vec::new(),
        }
    }

    /// These tracks come when somebody asks for them: they stay listed while they are gaps. Whether that is news.
    pub fn offer(&mut self, tracks: Vec<TrackId>) -> bool {
        let news = self.offered != tracks;
        self.offered = tracks;
        news
    }

    /// Whether a track comes only when somebody asks for it.
    #[must_use]
    pub fn is_offered(&self, track: &TrackId) -> bool {
        self.offered.contains(track)
    }

    /// These tracks are announced nowhere, though who knows their addresses gets them. Whether that is news.
    pub fn hide(&mut self, tracks: Vec<TrackId>) -> bool {
        let news = self.hidden != tracks;
        self.hidden = tracks;
        news
    }

    /// Whether a track is hidden. While no other picture can be seen it is not: else there were nothing to watch.
    #[must_use]
    pub fn is_hidden(&self, track: &TrackId) -> bool {
        let seen = |t: &Rendition| {
            t.track.id.kind == Kind::Video && !self.hidden.contains(&t.track.id) && t.has_media()
        };
        self.hidden.contains(track) && self.running().iter().any(seen)
    }

    /// Goes on where a window left off: the first run is one more. For a window that has seen no run yet.
    pub fn resume(&mut self, remains: Remains) {
        (self.discontinuities, self.resumed) = (remains.discontinuities, true);
        self.lost = remains;
    }

    /// Takes one event; gives the index of the track that grew, if one did.
    pub fn apply(&mut self, event: Event) -> Option<usize> {
        // Text is in no list.
        let listed = !matches!(event, Event::Text { .. });
        let own = matches!(event, Event::Part { .. } | Event::SegmentEnd { .. });
        let track = self.take(event);
        if listed && !self.past {
            self.report(track.filter(|_| own));
        }
        track
    }

    fn take(&mut self, event: Event) -> Option<usize> {
        match event {
            Event::Run(run) => {
                self.start_run(run);
                None
            }
            Event::Key(period) => {
                let running = self.run.as_ref().map_or(0, |run| run.tracks.len());
                self.tracks.iter_mut().take(running).for_each(|t| t.add_key(period.clone()));
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
            Event::Stored { track, segment } => {
                self.restore(track, segment);
                Some(track)
            }
            Event::DateRange(cue) => {
                if let Some(run) = &self.run {
                    self.dates.add(cue, run.wall_at_zero_ms, self.newest());
                }
                None
            }
            Event::Withdraw { id } => {
                self.dates.withdraw(&id, self.newest());
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

    /// The run that goes on, or the last there was.
    #[must_use]
    pub fn run(&self) -> Option<&Arc<Run>> {
        self.run.as_ref()
    }

    /// The newest segment that is open in any track.
    fn newest(&self) -> u64 {
        self.running().iter().map(|t| t.next.msn).max().unwrap_or(0)
    }

    /// The tracks of the run that goes on, in the order of their indices, which are those of [`Run::tracks`].
    pub fn tracks(&self) -> impl Iterator<Item = &Arc<RunTrack>> {
        self.running().iter().map(|t| &t.track)
    }

    /// Tracks that the run lacks and earlier ones had. Their indices follow those of [`Window::tracks`].
    pub fn vanished(&self) -> impl Iterator<Item = &Arc<RunTrack>> {
        self.tracks.iter().skip(self.running().len()).map(|t| &t.track)
    }

    pub(crate) fn running(&self) -> &[Rendition] {
        let count = self.run.as_ref().map_or(0, |run| run.tracks.len());
        self.tracks.get(..count).unwrap_or_default()
    }

    /// Tracks that are more than a part behind this one: when it grows, what their playlists report of it changes too.
    pub fn passed_by(&self, track: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.tracks.len()).filter(move |index| self.has_passed(track, *index))
    }

    pub(crate) fn has_passed(&self, track: usize, other: usize) -> bool {
        let next = |index: usize| self.tracks.get(index).map(|t| t.next);
        let (Some(one), Some(other)) = (next(track), next(other)) else { return false };
        // The end of a segment is no part.
        let parts = if one.msn == other.msn { other.part.saturating_add(1) } else { 0 };
        one.msn > other.msn.saturating_add(1) || (one.msn >= other.msn && one.part > parts)
    }

    /// A track that has a playlist: of the run, or with media that players may still be at.
    pub(crate) fn shown(&self, index: usize) -> Option<&Rendition> {
        let track = self.tracks.get(index)?;
        (index < self.running().len() || track.has_media()).then_some(track)
    }

    /// Index of the track that is called so in URLs, a vanished one included. It is another after each run: look it
    /// up again under the same lock.
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

    /// Whether a track has media just now: it need not be asked for first.
    #[must_use]
    pub fn has_media(&self, track: usize) -> bool {
        self.tracks.get(track).is_some_and(Rendition::has_media)
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
        let waited = self.has_had_time(run);
        let mut playing = self.running().iter().map(Rendition::has_media);
        if waited { playing.any(|p| p) } else { !run.tracks.is_empty() && playing.all(|p| p) }
    }

    /// Every track of the run that goes on has media of it, or has had time to: the leader's first segment is over.
    /// Players of DASH take the tracks of a Period from the first manifest that lists it.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        let Some(run) = &self.run else { return false };
        let of_run = |t: &Rendition| {
            t.segments.iter().rev().take_while(|s| s.msn >= run.first_msn).any(Segment::has_media)
        };
        self.has_had_time(run) || self.running().iter().all(of_run)
    }

    /// The leader's first segment of a run is over.
    fn has_had_time(&self, run: &Run) -> bool {
        self.next(run.leader()).is_some_and(|next| next.msn > run.first_msn)
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

    /// CMAF header of a track in a run, as long as a segment that needs it is held; in an encrypted run that of the key
    /// which begins with a segment ([`RunTrack::init_name`]).
    #[must_use]
    pub fn init(&self, name: &str, run: u32, key: Option<u64>) -> Option<Bytes> {
        let track = self.tracks.iter().find(|t| t.track.name == name)?;
        let own = (!track.is_encrypted()).then_some(&track.track);
        let mut of = track.segments.iter().rev().map(|s| &s.track).chain(own);
        let held = of.find(|t| t.header() == (run, key) && !t.init.is_empty()).map(|t| t.init.clone());
        // Manifests tell of a segment before it begins.
        held.or_else(|| {
            let period = track.keys().iter().find(|period| Some(period.first_msn) == key);
            period.filter(|_| track.track.run == run).and_then(|p| track.track.keyed(p)).map(|t| t.init)
        })
    }

    /// Something of it is encrypted: what shows it in the clear must not be given out.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.tracks.iter().any(Rendition::is_encrypted)
            || self.tracks.iter().flat_map(|t| &t.segments).any(|s| s.track.key.is_some())
    }

    /// A part by number. The one hinted next is [`Lookup::Soon`].
    #[must_use]
    pub fn part(&self, track: usize, msn: u64, index: u32) -> Lookup<Bytes> {
        let Some(t) = self.tracks.get(track) else { return Lookup::Missing };
        let found = t.segment(msn).and_then(|s| s.parts.get(usize::try_from(index).ok()?));
        let awaited = [t.next, t.hint(self.part_target_us())].contains(&Position { msn, part: index });
        match found {
            Some(part) => Lookup::Found(part.bytes.clone()),
            None if !self.ended && awaited => Lookup::Soon,
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

    /// Whether that segment is a gap, or its run ended or was lost with its process before it was whole: nobody will
    /// ever have it. Without a run: whether it is a gap, or was lost with an earlier process.
    #[must_use]
    pub fn is_cut_off(&self, track: &str, msn: u64, run: Option<u32>) -> bool {
        let held = self.track_index(track).and_then(|t| self.tracks.get(t)?.segment(msn));
        if held.is_some_and(Segment::is_gap) {
            return true;
        }
        let Some(run) = run else {
            let first = self.runs.front().filter(|_| self.resumed);
            return held.is_none() && first.is_some_and(|r| msn < r.first_msn && msn + 2 >= r.first_msn);
        };
        let follows = self.runs.iter().find(|r| r.number > run);
        // A process that was killed leaves one open, behind one that was told of too late.
        held.is_none_or(|s| s.track.run != run) && follows.is_some_and(|r| msn + 2 >= r.first_msn)
    }

    /// Whether a list may have hinted at that part and it did not come: the segment ended before it, or a run began.
    #[must_use]
    pub fn is_vain(&self, track: usize, msn: u64, part: u32, run: Option<u32>) -> bool {
        let segment = self.tracks.get(track).and_then(|t| t.segment(msn));
        let ended = segment.is_some_and(|s| {
            s.duration.is_some() && usize::try_from(part).is_ok_and(|part| part == s.parts.len())
        });
        run.is_none() && (ended || (part == 0 && self.seam(track, msn).is_some()))
    }

    /// The run in the name of that segment's first part: where a list goes on with a run, that part has to differ
    /// from the one that was hinted before, which players would put behind the old header.
    #[must_use]
    pub fn seam(&self, track: usize, msn: u64) -> Option<u32> {
        let t = self.tracks.get(track)?;
        let begins = self.run.as_ref().is_some_and(|r| r.first_msn == msn) && !t.segments.is_empty();
        t.segment(msn)
            .map_or(begins, |s| s.discontinuity)
            .then_some(t.segment(msn).map_or(t.track.run, |s| s.track.run))
    }

    /// Whether a track can be joined by players that knew it in an earlier process: they want a segment that is over,
    /// if only a gap, and something new.
    #[must_use]
    pub fn is_back(&self, track: usize) -> bool {
        let over = |t: &Rendition| t.has_media() && t.segments.iter().any(|s| s.duration.is_some());
        !self.resumed || self.tracks.get(track).is_some_and(over)
    }

    fn start_run(&mut self, run: Arc<Run>) {
        self.list_lost(&run);
        let mut old = std::mem::take(&mut self.tracks);
        let fresh = self.run.is_none() && !self.resumed;
        self.discontinuities += u64::from(!fresh);
        for track in &run.tracks {
            let before = old.iter().position(|t| t.track.name == track.name).map(|at| old.remove(at));
            let before = before.filter(|t| self.past || t.reaches(run.first_msn));
            let begins = (run.first_msn, run.keys.as_slice());
            self.tracks.push(Rendition::continuing(before, track, begins, self.discontinuities));
        }
        old.retain(|t| self.past || t.reaches(run.first_msn));
        let goes_on = |t: Rendition| t.vanishing(run.first_msn);
        self.tracks.extend(old.into_iter().filter_map(goes_on));
        if self.runs.len() >= RUNS_MAX && !self.past {
            self.runs.pop_front();
        }
        self.runs.push_back(run.clone());
        self.ended = false;
        self.texts.turn(self.run.as_deref(), &run);
        self.run = Some(run);
    }

    fn add_part(&mut self, index: usize, part: Part) {
        let Some(run) = self.run.clone() else { return };
        let mark = |msn, wall_ms| self.breaks.mark(msn, wall_ms, &mut self.dates);
        if let Some(track) = self.tracks.get_mut(index) {
            track.add_part(&run, part, mark);
        }
    }

    fn end_segment(&mut self, index: usize, msn: u64, duration: u64) {
        let Some(run) = self.run.clone() else { return };
        let (listed_max, hurry) = (self.listed_max, self.bytes() > self.bytes_max);
        // A gap begins where the others begin.
        let begins = self.tracks.iter().find_map(|t| t.segment(msn)).map(|s| s.program_date_time_ms);
        let Some(t) = self.tracks.get_mut(index) else { return };
        let mark = |msn, wall_ms| self.breaks.mark(msn, wall_ms, &mut self.dates);
        t.end_segment(&run, msn, begins, duration, self.target_s * 500_000, mark);
        t.slide(listed_max, hurry);
        if index == run.leader() {
            self.pass_vanished(&run, index, msn);
        }
        self.follow_ts();
        self.follow_text(index, msn);
    }

    /// The leader's segment is over: it is a gap in the lists of those that the run lacks.
    pub(crate) fn pass_vanished(&mut self, run: &Run, leader: usize, msn: u64) {
        let (listed_max, hurry) = (self.listed_max, self.bytes() > self.bytes_max);
        let Some(led) = self.tracks.get(leader).and_then(|t| t.segment(msn)) else { return };
        let (ticks, scale) = (i64::try_from(led.duration.unwrap_or(0)), led.track.params.timescale());
        let (begins, ticks) = (led.program_date_time_ms, ticks.unwrap_or(0));
        for mut track in self.tracks.split_off(run.tracks.len().min(self.tracks.len())) {
            let duration = rescale(ticks, scale, track.track.params.timescale());
            let duration = u64::try_from(duration).unwrap_or(0);
            let mark = |msn, wall_ms| self.breaks.mark(msn, wall_ms, &mut self.dates);
            track.end_segment(run, msn, Some(begins), duration, self.target_s * 500_000, mark);
            track.slide(listed_max, hurry);
            if track.holds_media() {
                self.tracks.push(track);
            }
        }
    }
}
