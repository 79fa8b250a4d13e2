//! Cues on their way through the packager.

use std::collections::VecDeque;

use crate::daterange::DateRange;

/// Cues that wait for a run, cues whose cut is due, and cues remembered because they are repeated; each.
const CUES_MAX: usize = 16;

/// What the packager knows of cues.
#[derive(Debug, Default)]
pub(crate) struct Cues {
    /// Came between two runs.
    waiting: VecDeque<DateRange>,
    /// Ids of the newest, and whether they were ends.
    heard: VecDeque<(String, bool)>,
    /// Presentation times, in microseconds, from which on the next key frame begins a segment.
    splices: Vec<i64>,
}

impl Cues {
    /// Keeps a cue for the next run.
    pub(crate) fn wait(&mut self, cue: DateRange) {
        if self.waiting.len() < CUES_MAX {
            self.waiting.push_back(cue);
        }
    }

    /// The cues that waited.
    pub(crate) fn waited(&mut self) -> VecDeque<DateRange> {
        std::mem::take(&mut self.waiting)
    }

    /// Notes a cue of the present run; whether it is news.
    pub(crate) fn hear(&mut self, cue: &DateRange) -> bool {
        let name = (cue.id.clone(), cue.scte35_in.is_some());
        if self.heard.contains(&name) {
            return false;
        }
        if self.heard.len() >= CUES_MAX {
            self.heard.pop_front();
        }
        self.heard.push_back(name);
        if cue.is_splice() && self.splices.len() < CUES_MAX {
            self.splices.push(cue.pts_us);
        }
        true
    }

    /// Whether a key frame at this time is one that a cue waits for.
    pub(crate) fn reach(&mut self, at_us: i64) -> bool {
        let before = self.splices.len();
        self.splices.retain(|&splice| splice > at_us);
        self.splices.len() < before
    }

    /// The run is over, and its times mean nothing any more.
    pub(crate) fn end_run(&mut self) {
        self.splices.clear();
    }
}
