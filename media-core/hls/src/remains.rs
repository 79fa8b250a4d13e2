//! What is left of a window whose process was killed: enough to list what was lost.
//!
//! Players go on by number, and by time where the number says nothing. A list in which they do not find the segment
//! that they are at ends most of them, so the next process lists what the last one listed, as gaps: no byte of it
//! is there any more. Of tracks nothing is remembered; those of the next run are taken for the same, so that a gap
//! has no `EXT-X-MAP` and a header of the lost run cannot be had.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::event::{Run, RunTrack};
use crate::rendition::{Rendition, Segment};
use crate::window::Window;

/// Players that saw nothing for longer than this have given up; milliseconds.
const PATIENCE_MS: i64 = 60_000;
/// Length of the gap for the segment that was open; the time up to the new run is a gap of its own. hls.js has some parts
/// of the first and so never looks at it again; it crosses only what it knows, from looking, to be a gap.
const OPEN_MS: i64 = 50;
/// Length of the other at most, with the first less than the 2 s that Chromium's own player crosses; beyond, the dates
/// leap.
const REST_MS: i64 = 1_900;

/// A run that follows lost segments leaves out so many numbers: for the gap between them.
pub const GAP_MSNS: u64 = 1;

/// The list of the run that goes on, without its media.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Remains {
    /// [`Run::number`].
    pub run: u32,
    /// [`Run::start_ms`].
    pub start_ms: i64,
    /// [`Run::wall_at_zero_ms`].
    pub wall_at_zero_ms: i64,
    /// Number of the first segment of `begins_ms`.
    pub first_msn: u64,
    /// Unix times in milliseconds at which the listed segments of the run's leader begin, that of the open one last.
    pub begins_ms: Vec<i64>,
    /// [`Window::discontinuities`].
    pub discontinuities: u64,
}

impl Window {
    /// What a window in another process has to know to go on with this one's lists. `next_msn` is the first number
    /// that was not given out.
    #[must_use]
    pub fn remains(&self, next_msn: u64) -> Remains {
        let Some(run) = &self.run else { return self.lost.clone() };
        let mut begins_ms = Vec::new();
        let (mut msn, mut open_ms) = (run.first_msn, run.start_ms);
        for segment in self.listed(self.leader()).filter(|s| s.track.run == run.number) {
            if segment.duration.is_some() {
                begins_ms.push(segment.program_date_time_ms);
                (msn, open_ms) = (segment.msn + 1, segment.end_ms());
            }
        }
        let first_msn = msn.saturating_sub(begins_ms.len() as u64);
        if msn < next_msn {
            begins_ms.push(open_ms);
        }
        Remains {
            run: run.number,
            start_ms: run.start_ms,
            wall_at_zero_ms: run.wall_at_zero_ms,
            first_msn,
            begins_ms,
            discontinuities: self.discontinuities,
        }
    }

    /// Lists the gaps before a run, the first that is seen here.
    pub(crate) fn list_lost(&mut self, next: &Run) {
        let lost = std::mem::take(&mut self.lost);
        let Some(&last_ms) = lost.begins_ms.last() else { return };
        let last_msn = lost.first_msn.saturating_add(lost.begins_ms.len() as u64);
        let reaches = last_msn.checked_add(GAP_MSNS) == Some(next.first_msn);
        if !reaches || !(last_ms..last_ms.saturating_add(PATIENCE_MS)).contains(&next.start_ms) {
            return;
        }
        let open_ms = next.start_ms.min(last_ms.saturating_add(OPEN_MS));
        // It must round to the target duration (RFC 8216bis §4.4.3.1).
        let target_ms = i64::try_from(self.target_s).unwrap_or(1).saturating_mul(1000);
        let longest_ms = REST_MS.min(target_ms.saturating_add(400));
        let rest_ms = next.start_ms.min(open_ms.saturating_add(longest_ms));
        let bounds_ms: Vec<i64> = lost.begins_ms.iter().copied().chain([open_ms, rest_ms]).collect();
        let gaps: Vec<(i64, i64)> =
            bounds_ms.iter().copied().zip(bounds_ms.iter().skip(1).copied()).collect();
        let again = |t: &Arc<RunTrack>| {
            Arc::new(RunTrack { run: lost.run, init: Bytes::new(), ..RunTrack::clone(t) })
        };
        let tracks: Vec<_> = next.tracks.iter().map(again).collect();
        let list = |track| Rendition::lost(track, lost.first_msn, &gaps, lost.discontinuities);
        self.tracks = tracks.iter().map(list).collect();
        self.runs.push_back(Arc::new(Run {
            number: lost.run,
            first_msn: lost.first_msn,
            tracks,
            start_ms: lost.start_ms,
            wall_at_zero_ms: lost.wall_at_zero_ms,
            part_target_us: next.part_target_us,
            keys: Vec::new(),
        }));
    }
}

impl Segment {
    /// It went with an earlier process.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.track.init.is_empty()
    }
}
