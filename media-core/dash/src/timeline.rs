//! What a Period lists of each track: its segments, and those that are about to be.
//!
//! The segment that is open and the one after it are listed with the length of the longest segment before: players
//! ask for the manifest once a second at most and must not run out of segments meanwhile. A length that was too
//! long is put right when the segment ends; players go on by number or with the next start, and miss nothing.
//!
//! A number in `$Number$` is the place in the list, so a segment without media (a gap) cannot be left out of it:
//! a list begins behind its newest gap. What was lost with an earlier process is listed all the same, and answered
//! with nothing: players that are in that Period need it to get to the next.

use std::ops::Range;
use std::sync::Arc;

use nx_hls::{KeyPeriod, Run, RunTrack, Segment, Window};
use nx_media::{Params, rescale};

/// A segment of the list, in the track's timescale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Earliest presentation time.
    pub(crate) start: i64,
    pub(crate) duration: i64,
}

impl Entry {
    pub(crate) fn end(self) -> i64 {
        self.start.saturating_add(self.duration)
    }
}

/// What is listed of one track during one run.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Index into [`Window::tracks`].
    pub(crate) index: usize,
    pub(crate) track: Arc<RunTrack>,
    /// Number of the first entry.
    pub(crate) first_msn: u64,
    pub(crate) entries: Vec<Entry>,
}

impl Listing {
    /// Appends the segment of this number; one that does not follow the last begins the list anew.
    fn push(&mut self, msn: u64, entry: Entry) {
        if msn != self.first_msn.saturating_add(self.entries.len() as u64) {
            self.entries.clear();
        }
        if self.entries.is_empty() {
            self.first_msn = msn;
        }
        if let Some(last) = self.entries.last_mut() {
            // No two overlap.
            last.duration = last.duration.min(entry.start.saturating_sub(last.start)).max(1);
        }
        self.entries.push(Entry { duration: entry.duration.max(1), ..entry });
    }

    /// Longest entry, milliseconds.
    pub(crate) fn longest_ms(&self) -> i64 {
        let longest = self.entries.iter().map(|e| e.duration).max().unwrap_or(0);
        rescale(longest, self.track.params.timescale(), 1000)
    }
}

/// A stretch of the stream with one set of tracks and one clock.
#[derive(Debug)]
pub(crate) struct Period<'a> {
    pub(crate) run: &'a Run,
    /// The key that it begins with.
    key: Option<&'a KeyPeriod>,
    pub(crate) listings: Vec<Listing>,
}

impl Period<'_> {
    /// More may come of it.
    pub(crate) fn goes_on(&self, window: &Window) -> bool {
        goes_on(window, self.run)
    }

    /// When it begins, Unix milliseconds.
    pub(crate) fn start_ms(&self) -> i64 {
        self.key.map_or(self.run.start_ms, |key| key.begins_ms.max(self.run.start_ms))
    }

    /// Its name: the run, and with a further key the segment that it begins with.
    pub(crate) fn id(&self) -> String {
        match self.key.filter(|key| key.first_msn > self.run.first_msn) {
            Some(key) => format!("{}.{}", self.run.number, key.first_msn),
            None => self.run.number.to_string(),
        }
    }

    /// Unix milliseconds of a track's time.
    pub(crate) fn wall_ms(&self, ticks: i64, params: &Params) -> i64 {
        self.run.wall_at_zero_ms.saturating_add(rescale(ticks, params.timescale(), 1000))
    }
}

/// The Periods of a window, oldest first, and how long an open segment is thought to become, in milliseconds.
pub(crate) fn periods<'a>(window: &'a Window) -> (Vec<Period<'a>>, i64) {
    let mut periods: Vec<Period<'a>> = Vec::new();
    let mut predicted_us = 0;
    for run in window.runs() {
        if !periods.is_empty() && goes_on(window, run) && !window.has_begun() {
            continue;
        }
        // A clock that was set back: what seems to be later cannot be listed.
        periods.retain(|before| before.start_ms() < run.start_ms);
        let ahead = goes_on(window, run).then(|| Ahead::of(window, run));
        predicted_us = ahead.as_ref().map_or(predicted_us, |a| a.predicted_us);
        for (key, stretch) in stretches(window, run) {
            let of = |track| listing(window, run, (key, &stretch), track, ahead.as_ref());
            let listings: Vec<_> = run.tracks.iter().filter_map(of).collect();
            if !listings.is_empty() {
                periods.push(Period { run, key, listings });
            }
        }
    }
    (periods, predicted_us / 1000)
}

/// A Period ends where another key begins: a header names one.
fn stretches<'a>(window: &'a Window, run: &Run) -> Vec<(Option<&'a KeyPeriod>, Range<u64>)> {
    let names = run.tracks.iter().filter_map(|t| window.track_index(&t.name));
    let mut keys: Vec<&KeyPeriod> = Vec::new();
    for track in names {
        keys.extend(listed(window, track, run).filter_map(|s| s.track.key.as_ref()));
        // That of the segment that is about to begin.
        let next = window.next(track).filter(|_| goes_on(window, run)).map(|next| next.msn);
        keys.extend(window.keys(track).iter().filter(|key| Some(key.first_msn) == next));
    }
    keys.sort_by_key(|key| key.first_msn);
    keys.dedup_by_key(|key| key.first_msn);
    if keys.is_empty() {
        return vec![(None, 0..u64::MAX)];
    }
    let ends = keys.iter().skip(1).map(|key| key.first_msn).chain([u64::MAX]);
    keys.iter().zip(ends).map(|(key, end)| (Some(*key), key.first_msn..end)).collect()
}

/// More may come of this run.
fn goes_on(window: &Window, run: &Run) -> bool {
    !window.is_ended() && window.runs().last().is_some_and(|last| last.number == run.number)
}

fn listed<'a>(window: &'a Window, track: usize, run: &Run) -> impl DoubleEndedIterator<Item = &'a Segment> {
    // Gaps of a track that a later run lacks are still of the run that it had.
    let (number, next) = (run.number, window.runs().find(|later| later.number > run.number));
    let end = next.map_or(u64::MAX, |next| next.first_msn);
    window.listed(track).filter(move |s| s.track.run == number && s.msn < end)
}

/// Presentation time at which a segment begins, in the track's timescale.
fn start(segment: &Segment, run: &Run) -> i64 {
    let since_ms = segment.program_date_time_ms.saturating_sub(run.wall_at_zero_ms);
    segment.pts().unwrap_or_else(|| rescale(since_ms, 1000, segment.track.params.timescale()))
}

/// Length of what a segment has so far, in the track's timescale.
fn length(segment: &Segment) -> i64 {
    let stored = segment.stored.map(|s| s.duration);
    let length = stored.unwrap_or_else(|| segment.parts.iter().map(|p| p.duration).sum());
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn listing(
    window: &Window,
    run: &Run,
    (key, stretch): (Option<&KeyPeriod>, &Range<u64>),
    track: &Arc<RunTrack>,
    ahead: Option<&Ahead<'_>>,
) -> Option<Listing> {
    let index = window.track_index(&track.name)?;
    let listed = |window, index, run| listed(window, index, run).filter(|s| stretch.contains(&s.msn));
    // With the header of its key, which a segment has; it may be in another track only, just now.
    let keyed = || key.and_then(|key| track.keyed(key)).map(Arc::new);
    let track = listed(window, index, run)
        .next()
        .map(|s| s.track.clone())
        .or_else(keyed)
        .unwrap_or_else(|| track.clone());
    let mut listing = Listing { index, track: track.clone(), first_msn: 0, entries: Vec::new() };
    let mut any = ahead.is_some() && key.is_some_and(|key| key.first_msn > run.first_msn);
    for segment in listed(window, index, run) {
        any |= segment.has_media() || segment.is_lost();
        if segment.is_gap() && !segment.is_lost() {
            listing.entries.clear();
        } else if let Some(duration) = segment.duration {
            let duration = i64::try_from(duration).unwrap_or(i64::MAX);
            listing.push(segment.msn, Entry { start: start(segment, run), duration });
        }
    }
    // How long the one became that was open is told nowhere; it is thought to reach the next Period, over the gap
    // behind it.
    let next = window.runs().find(|later| later.number > run.number);
    let lost = listed(window, index, run).next_back().is_some_and(Segment::is_lost);
    if lost {
        listing.entries.pop();
    }
    if let (true, Some(next), Some(last)) = (lost, next, listing.entries.last_mut()) {
        let since_ms = next.start_ms.saturating_sub(run.wall_at_zero_ms);
        let reaches = rescale(since_ms, 1000, track.params.timescale()).saturating_sub(last.start);
        let target =
            i64::try_from(window.target_s()).unwrap_or(1).saturating_mul(i64::from(track.params.timescale()));
        last.duration = reaches.min(target).max(last.duration);
    }
    if let Some(ahead) = ahead.filter(|_| any) {
        ahead.list(&mut listing, stretch);
    }
    (any && !listing.entries.is_empty()).then_some(listing)
}

/// Where the run that goes on will be cut.
struct Ahead<'a> {
    window: &'a Window,
    run: &'a Run,
    /// Index of the track that decides.
    leader: usize,
    /// The leader's open segment, or the one that it is about to open.
    msn: u64,
    /// Presentation times in microseconds at which that one begins, ends, and the one after it ends.
    cuts_us: [i64; 3],
    predicted_us: i64,
}

impl<'a> Ahead<'a> {
    fn of(window: &'a Window, run: &'a Run) -> Self {
        let lead = run.tracks.get(run.leader());
        let leader = lead.and_then(|t| window.track_index(&t.name)).unwrap_or(0);
        let timescale = lead.map_or(1, |t| t.params.timescale());
        let us = |ticks: i64| rescale(ticks, timescale, 1_000_000);
        let msn = window.next(leader).map_or(run.first_msn, |next| next.msn);
        let whole = || listed(window, leader, run).filter(|s| s.duration.is_some() && !s.is_gap());
        let target_us = i64::try_from(window.target_s()).unwrap_or(1).saturating_mul(1_000_000);
        let predicted_us = whole().map(|s| us(length(s))).max().unwrap_or(target_us);
        let run_start_us = run.start_ms.saturating_sub(run.wall_at_zero_ms).saturating_mul(1000);
        let (begins_us, has_us) = match listed(window, leader, run).next_back() {
            Some(open) if open.msn == msn => (us(start(open, run)), us(length(open))),
            Some(last) => {
                let duration = i64::try_from(last.duration.unwrap_or(0)).unwrap_or(0);
                (us(start(last, run).saturating_add(duration)), 0)
            }
            None => (run_start_us, 0),
        };
        let ends_us = begins_us.saturating_add(predicted_us.max(has_us));
        let cuts_us = [begins_us, ends_us, ends_us.saturating_add(predicted_us)];
        Self { window, run, leader, msn, cuts_us, predicted_us }
    }

    /// Where the segment of this number begins, microseconds.
    fn cut_us(&self, msn: u64) -> Option<i64> {
        let Some(beyond) = msn.checked_sub(self.msn) else {
            let segment = listed(self.window, self.leader, self.run).find(|s| s.msn == msn)?;
            let timescale = segment.track.params.timescale();
            return Some(rescale(start(segment, self.run), timescale, 1_000_000));
        };
        self.cuts_us.get(usize::try_from(beyond).ok()?).copied()
    }

    /// Where the segment before this one ends, which another Period lists: `cut_us` at the latest known.
    fn ended(&self, index: usize, msn: u64, cut_us: i64) -> Option<i64> {
        let before = listed(self.window, index, self.run).find(|s| s.msn.saturating_add(1) == msn)?;
        let begun = start(before, self.run);
        let params = &before.track.params;
        let told = before.duration.and_then(|ticks| i64::try_from(ticks).ok());
        let cut = rescale(cut_us, 1_000_000, params.timescale());
        Some(begun.saturating_add(told.unwrap_or_else(|| whole_frames(cut.saturating_sub(begun), params))))
    }

    /// Lists what the track has open, and what follows up to the segment after the leader's open one.
    fn list(&self, listing: &mut Listing, stretch: &Range<u64>) {
        let track = listing.track.clone();
        let params = &track.params;
        let timescale = params.timescale();
        let from = self.window.next(listing.index).map_or(self.msn, |next| next.msn);
        let oldest = self.msn.saturating_sub(self.window.listed_max() as u64);
        for msn in (from.max(oldest)..=self.msn.saturating_add(1)).filter(|msn| stretch.contains(msn)) {
            let (Some(begin), Some(end)) = (self.cut_us(msn), self.cut_us(msn.saturating_add(1))) else {
                continue;
            };
            let open = listed(self.window, listing.index, self.run).find(|s| s.msn == msn);
            let open = open.filter(|s| !s.parts.is_empty());
            let begun = open.map(|s| start(s, self.run)).or(listing.entries.last().map(|e| e.end()));
            let begun = begun.or_else(|| self.ended(listing.index, msn, begin));
            let begun = begun.unwrap_or_else(|| rescale(begin, 1_000_000, timescale));
            let end = rescale(end, 1_000_000, timescale).saturating_sub(begun);
            let duration = whole_frames(end, params).max(open.map_or(0, length));
            listing.push(msn, Entry { start: begun, duration });
        }
    }
}

/// Sound is cut at the frame whose middle is beyond the cut.
fn whole_frames(ticks: i64, params: &Params) -> i64 {
    let Params::Audio(audio) = params else { return ticks };
    let frame = i64::from(audio.frame_samples.max(1));
    // The least number of frames so that half of the next is beyond: ceil(ticks / frame - 1/2).
    let halves = ticks.saturating_mul(2).saturating_sub(frame);
    let frames = halves.div_euclid(frame * 2) + i64::from(halves.rem_euclid(frame * 2) > 0);
    frames.max(1).saturating_mul(frame)
}
