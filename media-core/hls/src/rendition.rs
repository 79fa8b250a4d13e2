//! One track's share of the window.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use nx_container::fmp4;
use nx_media::{Kind, Params, rescale};
use serde::{Deserialize, Serialize};

use crate::bandwidth::Meter;
use crate::breaks::Mark;
use crate::event::{KeyPeriod, Part, Run, RunTrack, Stored};
use crate::window::Position;

/// A segment of one track.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    /// Where there are no parts: its bytes lie elsewhere.
    pub stored: Option<Stored>,
    /// Set when complete, in the track's timescale.
    pub duration: Option<u64>,
    /// Of the bytes, so many at the beginning show one picture: the header of the first fragment and its first
    /// sample. `None` when the segment does not begin with a key frame.
    pub i_frame_bytes: Option<usize>,
    /// Its place in a break.
    pub mark: Mark,
}

impl Segment {
    /// A gap of a run of which nothing is left.
    fn lost(track: &Arc<RunTrack>, msn: u64, begins_ms: i64, length_ms: i64) -> Self {
        let ticks = rescale(length_ms.max(1), 1000, track.params.timescale());
        Self {
            msn,
            track: track.clone(),
            discontinuity: false,
            program_date_time_ms: begins_ms,
            parts: Vec::new(),
            stored: None,
            duration: Some(u64::try_from(ticks).unwrap_or(1)),
            i_frame_bytes: None,
            mark: Mark::default(),
        }
    }

    /// Complete, without any media.
    #[must_use]
    pub fn is_gap(&self) -> bool {
        self.duration.is_some() && !self.has_media()
    }

    /// There is something to fetch.
    #[must_use]
    pub fn has_media(&self) -> bool {
        !self.parts.is_empty() || self.stored.is_some()
    }

    /// Earliest presentation time of its samples, in the track's timescale.
    #[must_use]
    pub fn pts(&self) -> Option<i64> {
        self.parts.first().map(|p| p.pts).or(self.stored.map(|s| s.pts))
    }

    /// Decoding can start with it, or there is nothing to decode.
    pub(crate) fn starts_independent(&self) -> bool {
        let first = self.parts.first().map(|p| p.independent);
        first.or(self.stored.map(|s| s.independent)).unwrap_or(true)
    }

    /// Length so far in microseconds.
    pub(crate) fn us(&self) -> u64 {
        let ticks = self.duration.unwrap_or_else(|| self.parts.iter().map(|p| p.duration).sum());
        us(ticks, &self.track.params)
    }

    /// Unix time in milliseconds at which it ends.
    pub(crate) fn end_ms(&self) -> i64 {
        let ticks = i64::try_from(self.duration.unwrap_or(0)).unwrap_or(0);
        self.program_date_time_ms + rescale(ticks, self.track.params.timescale(), 1000)
    }

    /// Size of its parts together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.stored.map_or_else(|| self.parts.iter().map(|p| p.bytes.len()).sum(), |s| s.bytes)
    }
}

pub(crate) fn us(ticks: u64, params: &Params) -> u64 {
    let us = rescale(i64::try_from(ticks).unwrap_or(i64::MAX), params.timescale(), 1_000_000);
    u64::try_from(us).unwrap_or(0)
}

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Rendition {
    pub(crate) track: Arc<RunTrack>,
    /// Keys of the run, oldest first, and the track with the header of one of them.
    keys: Vec<KeyPeriod>,
    keyed: Option<Arc<RunTrack>>,
    /// Oldest first; the first `retired` are no longer listed.
    pub(crate) segments: VecDeque<Segment>,
    retired: usize,
    /// The newest that is not held any more.
    dropped: Option<u64>,
    /// Of a view of the past: so many at the end are of the live window, in the place of those.
    joined: usize,
    replaced: VecDeque<Segment>,
    pub(crate) discontinuity_sequence: u64,
    pub(crate) meter: Meter,
    /// Of the pictures that segments begin with.
    pub(crate) i_frames: Meter,
    /// Frames that were counted, and their length in ticks.
    counted: (u64, u64),
    pub(crate) bytes: usize,
    pub(crate) next: Position,
    /// What its playlist reports of the others: how they stood when this one changed last.
    pub(crate) reports: String,
}

impl Rendition {
    /// A track of a new run. Its list goes on if there was one.
    pub(crate) fn continuing(
        before: Option<Self>,
        track: &Arc<RunTrack>,
        (first_msn, keys): (u64, &[KeyPeriod]),
        discontinuities: u64,
    ) -> Self {
        let (next, keys) = (Position { msn: first_msn, part: 0 }, keys.to_vec());
        match before {
            Some(t) => Self { track: track.clone(), keys, keyed: None, next, ..t },
            None => Self {
                track: track.clone(),
                keys,
                keyed: None,
                segments: VecDeque::new(),
                retired: 0,
                dropped: None,
                joined: 0,
                replaced: VecDeque::new(),
                discontinuity_sequence: discontinuities,
                meter: Meter::default(),
                i_frames: Meter::default(),
                counted: (0, 0),
                bytes: 0,
                next,
                reports: String::new(),
            },
        }
    }

    /// What an earlier process listed: gaps that begin and end at these Unix times, in milliseconds.
    pub(crate) fn lost(
        track: &Arc<RunTrack>,
        first_msn: u64,
        gaps: &[(i64, i64)],
        discontinuities: u64,
    ) -> Self {
        let gap = |(msn, (begin, end)): (u64, &(i64, i64))| {
            Segment::lost(track, msn, *begin, end.saturating_sub(*begin))
        };
        let segments = (first_msn..).zip(gaps).map(gap).collect();
        Self { segments, ..Self::continuing(None, track, (first_msn, &[]), discontinuities) }
    }

    /// A track that a new run lacks, if anybody can be watching it.
    pub(crate) fn vanishing(self, first_msn: u64) -> Option<Self> {
        let next = Position { msn: first_msn, part: 0 };
        self.holds_media().then_some(Self { next, ..self })
    }

    /// Whether this segment is the next to list.
    pub(crate) fn reaches(&self, msn: u64) -> bool {
        self.segments.back().is_some_and(|s| s.msn + 1 == msn)
    }

    /// The part that will come next. Where segments have kept to one length, the last part of one is known before
    /// the key frame behind it comes: a hint at a part that never comes costs its readers a 404.
    pub(crate) fn hint(&self, part_target_us: u32) -> Position {
        let slack = u64::from(part_target_us / 8);
        let over = || {
            let mut newest = self.segments.iter().rev().filter(|s| s.track.run == self.track.run);
            let (open, last, before) = (newest.next()?, newest.next()?, newest.next()?);
            let steady = last.us().abs_diff(before.us()) <= slack && !last.is_gap();
            let reached = open.duration.is_none() && open.us() + slack >= last.us();
            (steady && reached).then_some(Position { msn: open.msn + 1, part: 0 })
        };
        over().unwrap_or(self.next)
    }

    /// What a playlist lists.
    pub(crate) fn listed(&self) -> impl DoubleEndedIterator<Item = &Segment> + ExactSizeIterator {
        self.segments.iter().skip(self.retired)
    }

    /// How many listed segments begin within so many microseconds of the live edge.
    pub(crate) fn begun_within(&self, us: u64) -> usize {
        let mut distance = 0u64;
        let near = |s: &&Segment| {
            distance = distance.saturating_add(s.us());
            distance <= us
        };
        self.listed().rev().take_while(near).count()
    }

    /// See [`crate::Window::is_sound`].
    pub(crate) fn is_sound(&self) -> bool {
        let mut numbers = self.segments.iter().zip(self.segments.iter().skip(1));
        self.retired <= self.segments.len()
            && numbers.all(|(one, next)| one.msn < next.msn)
            && self.segments.iter().try_fold(0, |sum: usize, s| sum.checked_add(s.bytes()))
                == Some(self.bytes)
    }

    pub(crate) fn segment(&self, msn: u64) -> Option<&Segment> {
        let at = self.segments.binary_search_by_key(&msn, |s| s.msn).ok()?;
        self.segments.get(at)
    }

    /// Whether it may have had that segment, and does not hold it any more.
    pub(crate) fn has_dropped(&self, msn: u64) -> bool {
        self.dropped.is_some_and(|newest| msn <= newest)
    }

    /// Whether a player that begins now would find anything.
    pub(crate) fn has_media(&self) -> bool {
        self.listed().any(Segment::has_media)
    }

    /// Whether anything can still be fetched.
    pub(crate) fn holds_media(&self) -> bool {
        self.bytes > 0
    }

    /// Adds a part; `mark` tells what the segment with a number, which begins at a Unix time in milliseconds, says of
    /// breaks. It is asked for when that begins.
    pub(crate) fn add_part(&mut self, run: &Run, part: Part, mark: impl FnOnce(u64, i64) -> Mark) {
        self.meter.add(part.bytes.len(), us(part.duration, &self.track.params));
        self.bytes += part.bytes.len();
        self.next = Position { msn: part.msn, part: part.index + 1 };
        if self.segments.back().is_none_or(|s| s.msn != part.msn) {
            let wall = run.wall_at_zero_ms + rescale(part.pts, self.track.params.timescale(), 1000);
            let i_frame = self.i_frame(&part);
            let mark = mark(part.msn, wall);
            self.open(run, part.msn, wall, i_frame, mark);
        }
        if let Some(segment) = self.segments.back_mut() {
            segment.parts.push(part);
        }
    }

    /// Looks into the first part of a segment of pictures: gives how much of it is one picture, and counts frames.
    fn i_frame(&mut self, part: &Part) -> Option<usize> {
        if self.track.id.kind != Kind::Video {
            return None;
        }
        let samples = fmp4::samples(&part.bytes).ok()?;
        let (frames, ticks) = self.counted;
        self.counted = (frames + samples.len() as u64, ticks + part.duration);
        let media: usize = samples.iter().map(|s| s.payload.len()).sum();
        let key = samples.first().filter(|_| part.independent)?;
        (part.bytes.len() - media).checked_add(key.payload.len())
    }

    /// Adds a whole segment that lies elsewhere.
    pub(crate) fn restore(&mut self, run: &Run, stored: Stored) {
        let length_us = us(stored.duration, &self.track.params);
        self.meter.add(stored.bytes, length_us);
        self.meter.segment_end(0);
        self.open(run, stored.msn, stored.begins_ms, stored.i_frame_bytes, Mark::default());
        let Some(segment) = self.segments.back_mut() else { return };
        (segment.duration, segment.stored) = (Some(stored.duration), Some(stored));
        if let Some(bytes) = segment.i_frame_bytes {
            self.i_frames.add(bytes, length_us);
            self.i_frames.segment_end(0);
        }
        self.bytes = self.bytes.saturating_add(stored.bytes);
        self.next = Position { msn: stored.msn + 1, part: 0 };
    }

    /// Ends a segment, in the track's timescale; one that has not begun is a gap from `begins_ms` on. `half_us` is half
    /// the target duration.
    pub(crate) fn end_segment(
        &mut self,
        run: &Run,
        msn: u64,
        begins_ms: Option<i64>,
        duration: u64,
        half_us: u64,
        mark: impl FnOnce(u64, i64) -> Mark,
    ) {
        if self.segments.back().is_none_or(|s| s.msn != msn) {
            let wall = begins_ms.or_else(|| self.segments.back().map(Segment::end_ms));
            let wall = wall.unwrap_or(run.wall_at_zero_ms);
            self.open(run, msn, wall, None, mark(msn, wall));
        }
        self.next = Position { msn: msn + 1, part: 0 };
        let Some(segment) = self.segments.back_mut() else { return };
        segment.duration = Some(duration);
        if let Some(bytes) = segment.i_frame_bytes {
            self.i_frames.add(bytes, us(duration, &self.track.params));
            self.i_frames.segment_end(half_us);
        }
        self.meter.segment_end(half_us);
    }

    /// Goes on with so many gaps of a run that is not stored, each of a length in milliseconds.
    pub(crate) fn pass_unstored(&mut self, count: u64, each_ms: i64) {
        let Some(last) = self.segments.back() else { return };
        let (run, of) = (last.track.run.saturating_add(1), RunTrack::clone(&last.track));
        let track = Arc::new(RunTrack { run, init: Bytes::new(), key: None, ..of });
        let (msn, mut begins_ms) = (last.msn + 1, last.end_ms());
        for msn in msn..msn + count {
            self.segments.push_back(Segment::lost(&track, msn, begins_ms, each_ms));
            begins_ms += each_ms;
        }
    }

    /// Whether the segments of a live window go on where this one's end.
    pub(crate) fn meets(&self, live: &Self) -> bool {
        let next = self.segments.back().map(|last| last.msn + 1);
        let of_run = |next| live.segment(next).is_some_and(|s| s.track.run == self.track.run);
        next.is_some_and(|next| of_run(next) || live.next == Position { msn: next, part: 0 })
    }

    /// Takes what a live window has behind the newest segment here, and the segments that it lists with their parts,
    /// `parts_us` from its edge: they are not to lose them because they are stored.
    pub(crate) fn join(&mut self, live: &Self, parts_us: u64, query: &str) {
        let near = live.listed().len().saturating_sub(live.begun_within(parts_us));
        let near = live.listed().nth(near).map_or(live.next.msn, |s| s.msn);
        let from = self.segments.front().map_or(near, |first| first.msn.max(near));
        // What earlier runs had is stored, and stays.
        let at = self.segments.partition_point(|s| s.msn < from || s.track.run != self.track.run);
        self.replaced = self.segments.split_off(at);
        let from = self.segments.back().map_or(from, |last| last.msn + 1);
        let newer = live.segments.iter().filter(|s| s.msn >= from && s.track.run == self.track.run);
        // Marks of breaks are not stored: a segment has none here before either.
        self.segments.extend(newer.map(|s| Segment { mark: Mark::default(), ..s.clone() }));
        (self.joined, self.next) = (self.segments.len() - at, live.next);
        self.reports = live.reports.replace("index.m3u8\"", &format!("index.m3u8{query}\""));
        live.keys.iter().for_each(|key| self.add_key(key.clone()));
    }

    /// Takes that away again.
    pub(crate) fn unjoin(&mut self) {
        self.segments.truncate(self.segments.len().saturating_sub(std::mem::take(&mut self.joined)));
        self.segments.append(&mut self.replaced);
        self.reports.clear();
        if let Some(last) = self.segments.back() {
            self.next = Position { msn: last.msn + 1, part: 0 };
        }
    }

    /// From a segment of the run on there is another key.
    pub(crate) fn add_key(&mut self, period: KeyPeriod) {
        if self.keys.last().is_none_or(|last| last.first_msn < period.first_msn) {
            self.keys.push(period);
        }
        // A live window looks a few segments back, one onto the past is given every key with its run.
        let old = self.segments.front().map_or(0, |s| s.msn);
        while self.keys.get(1).is_some_and(|second| second.first_msn <= old) {
            self.keys.remove(0);
        }
    }

    /// Keys of its run that segments have, or will have, oldest first.
    pub(crate) fn keys(&self) -> &[KeyPeriod] {
        &self.keys
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        !self.keys.is_empty()
    }

    /// The track as a segment has it.
    fn track_at(&mut self, msn: u64) -> Arc<RunTrack> {
        let Some(period) = KeyPeriod::at(&self.keys, msn) else { return self.track.clone() };
        let same = |t: &&Arc<RunTrack>| t.key.as_ref() == Some(period);
        if let Some(keyed) = self.keyed.as_ref().filter(same) {
            return keyed.clone();
        }
        let keyed = self.track.keyed(period).map_or_else(|| self.track.clone(), Arc::new);
        self.keyed = Some(keyed.clone());
        keyed
    }

    fn open(&mut self, run: &Run, msn: u64, wall_ms: i64, i_frame_bytes: Option<usize>, mark: Mark) {
        let track = self.track_at(msn);
        // A track that joins late starts its list there; only a list that goes on has a seam to mark.
        let other = self.segments.back().is_some_and(|last| last.track.run != self.track.run);
        let seam = other || (msn == run.first_msn && !self.segments.is_empty());
        self.segments.push_back(Segment {
            msn,
            track,
            discontinuity: seam,
            program_date_time_ms: wall_ms,
            parts: Vec::new(),
            stored: None,
            duration: None,
            i_frame_bytes,
            mark,
        });
    }

    /// Unlists what is over the playlist's length, forgets what nobody can ask for any more.
    pub(crate) fn slide(&mut self, listed_max: usize, hurry: bool) {
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
            self.dropped = Some(gone.msn);
            self.retired -= 1;
        }
    }

    /// Frames per second of pictures: as declared, else as counted.
    pub(crate) fn fps(&self) -> Option<f64> {
        let Params::Video(v) = &self.track.params else { return None };
        let (frames, ticks) = self.counted;
        #[expect(clippy::cast_precision_loss, reason = "rates, not counts, matter to three decimals")]
        let counted = || frames as f64 * f64::from(self.track.params.timescale()) / ticks as f64;
        v.frame_rate.map(nx_media::FrameRate::fps).or_else(|| (ticks > 0).then(counted))
    }
}
