//! Cues on their way through the packager.

use std::collections::VecDeque;

use crate::daterange::DateRange;

/// Cues that wait for a run, cues whose cut is due, and cues remembered because they are repeated; each.
const CUES_MAX: usize = 16;

/// A presentation time from which on the next key frame begins a segment.
#[derive(Debug)]
struct Splice {
    id: String,
    at_us: i64,
}

/// What the packager knows of cues.
#[derive(Debug, Default)]
pub(crate) struct Cues {
    /// Came between two runs; and whether they count even if they were heard before.
    waiting: VecDeque<(DateRange, bool)>,
    /// Ids of the newest, and whether they were ends.
    heard: VecDeque<(String, bool)>,
    splices: Vec<Splice>,
}

impl Cues {
    /// Keeps a cue for the next run.
    pub(crate) fn wait(&mut self, cue: DateRange, anew: bool) {
        if self.waiting.len() < CUES_MAX {
            self.waiting.push_back((cue, anew));
        }
    }

    /// The cues that waited.
    pub(crate) fn waited(&mut self) -> VecDeque<(DateRange, bool)> {
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
        true
    }

    /// Notes where the stream is to be cut for a cue.
    pub(crate) fn cut_for(&mut self, cue: &DateRange) {
        let begins = cue.is_splice().then_some(cue.pts_us);
        for at_us in begins.into_iter().chain(cue.return_us()) {
            if self.splices.len() < CUES_MAX {
                self.splices.push(Splice { id: cue.id.clone(), at_us });
            }
        }
    }

    /// A cue is taken back: nothing is cut for it any more.
    pub(crate) fn withdraw(&mut self, id: &str) {
        self.waiting.retain(|(cue, _)| cue.id != id);
        self.splices.retain(|splice| splice.id != id);
    }

    /// Whether a key frame at this time is one that a cue waits for.
    pub(crate) fn reach(&mut self, at_us: i64) -> bool {
        let before = self.splices.len();
        self.splices.retain(|splice| splice.at_us > at_us);
        self.splices.len() < before
    }

    /// The run is over, and its times mean nothing any more.
    pub(crate) fn end_run(&mut self) {
        self.splices.clear();
    }
}
