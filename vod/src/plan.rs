//! Where a title is cut into segments: at key frames of the leader, everything else at the same times.

use nx_container::index::{IndexTrack, Place};
use nx_media::{Kind, rescale};

/// Segments of a title at most: what a window lists.
const SEGMENTS_MAX: usize = 1 << 20;
/// A segment is at least so long where key frames allow, microseconds.
const LENGTH_US: i64 = 4_000_000;
/// A segment without a key frame to cut at is cut here, microseconds.
const LENGTH_MAX_US: i64 = 30_000_000;
/// Or when the leader has so many bytes in it.
const BYTES_MAX: u64 = 32 << 20;
/// Length where the leader has nothing, microseconds.
const ALONE_US: i64 = 6_000_000;
/// Key frames of further pictures this near are as good as at the cut, microseconds.
const NEAR_US: i64 = 500_000;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Whole seconds that every time is later in the segments than in the index, so that none is negative.
    pub(crate) late_s: i64,
    /// Of each track: the first sample of each segment, and behind them the number of samples.
    firsts: Vec<Vec<u32>>,
}

impl Plan {
    pub(crate) fn of(tracks: &[IndexTrack]) -> Self {
        let earliest = |t: &IndexTrack| {
            let first = t.samples.first()?;
            let before = first.dts.min(pts(first)).min(0).unsigned_abs();
            i64::try_from(before.div_ceil(scale(t).unsigned_abs())).ok()
        };
        let late_s = tracks.iter().filter_map(earliest).max().unwrap_or(0);
        let Some((at, leader)) = tracks.iter().enumerate().min_by_key(|(_, t)| t.id) else {
            return Self { late_s, firsts: Vec::new() };
        };
        let (own, mut firsts) = cut(leader);
        let begins = tracks.iter().filter_map(begins_us).min().unwrap_or(0);
        let ends = tracks.iter().filter_map(ends_us).max().unwrap_or(0);
        // Others may begin long before the leader: they are cut alone then.
        let first = own.first().copied().unwrap_or(0);
        let back = |at: &i64| Some(at.saturating_sub(ALONE_US));
        let alone = std::iter::successors(back(&first), back).take_while(|at| *at > begins);
        let mut cuts: Vec<i64> = alone.collect();
        if !cuts.is_empty() {
            cuts.push(begins);
            cuts.reverse();
        }
        let alone = cuts.len();
        cuts.extend(own);
        let led = cuts.len();
        let mut next = ends_us(leader).unwrap_or(0).saturating_add(NEAR_US);
        while next < ends && cuts.len() < SEGMENTS_MAX {
            cuts.push(next);
            next = next.saturating_add(ALONE_US);
        }
        let count = count(&leader.samples);
        firsts.splice(0..0, std::iter::repeat_n(0, alone));
        firsts.extend(std::iter::repeat_n(count, cuts.len() - led + 1));
        let of = |(nth, track): (usize, &IndexTrack)| {
            if nth == at { firsts.clone() } else { follow(track, &cuts) }
        };
        Self { late_s, firsts: tracks.iter().enumerate().map(of).collect() }
    }

    /// Whether the tracks of another plan are the first of this one, cut at the same places.
    pub(crate) fn begins_as(&self, other: &Self) -> bool {
        let same = |(own, others): (&Vec<u32>, &Vec<u32>)| own.starts_with(others);
        self.late_s == other.late_s && self.firsts.iter().zip(&other.firsts).all(same)
    }

    /// How many segments there are.
    pub(crate) fn segments(&self) -> usize {
        self.firsts.first().map_or(0, |f| f.len().saturating_sub(1))
    }

    /// The samples of a track in a segment; none when it has nothing there.
    pub(crate) fn samples<'a>(&self, track: usize, of: &'a IndexTrack, nth: usize) -> &'a [Place] {
        let place = |nth: usize| {
            let first = self.firsts.get(track).and_then(|firsts| firsts.get(nth));
            first.and_then(|first| usize::try_from(*first).ok())
        };
        let range = place(nth).zip(nth.checked_add(1).and_then(place));
        range.and_then(|(from, to)| of.samples.get(from..to)).unwrap_or_default()
    }
}

pub(crate) fn scale(track: &IndexTrack) -> i64 {
    i64::from(track.params.timescale()).max(1)
}

pub(crate) fn pts(sample: &Place) -> i64 {
    sample.dts.saturating_add(sample.cts.into())
}

fn us(track: &IndexTrack, ticks: i64) -> i64 {
    rescale(ticks, track.params.timescale(), 1_000_000)
}

fn begins_us(track: &IndexTrack) -> Option<i64> {
    track.samples.first().map(|first| us(track, pts(first)))
}

fn ends_us(track: &IndexTrack) -> Option<i64> {
    track.samples.last().map(|last| us(track, last.dts.saturating_add(last.duration.into())))
}

fn count(samples: &[Place]) -> u32 {
    u32::try_from(samples.len()).unwrap_or(u32::MAX)
}

/// Where the leader is cut: presentation times in microseconds, and the samples that begin there.
fn cut(leader: &IndexTrack) -> (Vec<i64>, Vec<u32>) {
    let (mut cuts, mut firsts) = (Vec::new(), Vec::new());
    let (mut from_us, mut bytes, mut shift) = (0, 0_u64, 0);
    for (nth, sample) in (0..).zip(&leader.samples) {
        if sample.key {
            shift = i64::from(sample.cts);
        }
        let dts_us = us(leader, sample.dts);
        let long = dts_us.saturating_sub(from_us);
        let due = (sample.key && long >= LENGTH_US) || long >= LENGTH_MAX_US;
        let heavy = bytes.saturating_add(sample.bytes.into()) > BYTES_MAX;
        let room = cuts.len() < SEGMENTS_MAX / 2;
        if cuts.is_empty() || ((due || heavy) && room) {
            cuts.push(us(leader, sample.dts.saturating_add(shift)));
            firsts.push(nth);
            (from_us, bytes) = (dts_us, 0);
        }
        bytes = bytes.saturating_add(sample.bytes.into());
    }
    (cuts, firsts)
}

/// Cuts a track where the leader was: between the two samples whose middles are on both sides; further pictures at a
/// key frame if one is near.
fn follow(track: &IndexTrack, cuts: &[i64]) -> Vec<u32> {
    let middle = |s: &Place| us(track, pts(s).saturating_add(i64::from(s.duration) / 2));
    let mut firsts = vec![0];
    let mut at = 0_usize;
    for cut in cuts.iter().skip(1) {
        let rest = track.samples.get(at..).unwrap_or_default();
        // Pictures are not in the order of their times: those between key frames count by when they are decoded.
        let mut shift = 0;
        let mut key = None;
        let found = rest.iter().enumerate().find_map(|(nth, s)| {
            if track.id.kind == Kind::Audio {
                return (middle(s) >= *cut).then_some(nth);
            }
            shift = if s.key { i64::from(s.cts) } else { shift };
            let shown = us(track, s.dts.saturating_add(shift));
            if s.key && shown >= cut.saturating_sub(NEAR_US) {
                key = key.or(Some(nth));
            }
            (shown >= cut.saturating_add(NEAR_US) || (s.key && shown >= *cut)).then(|| key.unwrap_or(nth))
        });
        at = at.saturating_add(found.unwrap_or(rest.len()));
        firsts.push(u32::try_from(at).unwrap_or(u32::MAX));
    }
    firsts.push(count(&track.samples));
    firsts
}
