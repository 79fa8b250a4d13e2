//! What the timeline had to mend: counted by kind, the last few in words.

use std::collections::VecDeque;

/// Repairs kept in words.
const RECENT_MAX: usize = 8;
/// A kind that repeats within this time is counted, not described again.
const QUIET_MS: i64 = 1_000;

/// What was wrong with the incoming time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairKind {
    /// The 32-bit millisecond counter went round.
    Wrap,
    /// The publisher's clock leapt; the stream's did not.
    Jump,
    /// Nothing came for a while and time went on: viewers see a discontinuity.
    Stall,
    /// Frames are missing; the neighbour was stretched or silence put in.
    Gap,
    /// A time stamp lay before its predecessor and was moved up.
    Backward,
    /// Sound and picture clocks drifted apart and were brought together in small steps.
    Drift,
    /// A sample could not be placed any more and was left out.
    Dropped,
    /// An impossible composition offset was ignored.
    Composition,
    /// Nobody sent: the last picture stood still.
    Still,
}

impl RepairKind {
    /// Every kind, in the order of [`Repairs::counts`].
    pub const ALL: [Self; 9] = [
        Self::Wrap,
        Self::Jump,
        Self::Stall,
        Self::Gap,
        Self::Backward,
        Self::Drift,
        Self::Dropped,
        Self::Composition,
        Self::Still,
    ];

    /// Stable name for metrics and the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Wrap => "wrap",
            Self::Jump => "jump",
            Self::Stall => "stall",
            Self::Gap => "gap",
            Self::Backward => "backward",
            Self::Drift => "drift",
            Self::Dropped => "dropped",
            Self::Composition => "composition",
            Self::Still => "still",
        }
    }
}

/// One repair in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// When, on the caller's clock, in milliseconds.
    pub at_ms: i64,
    /// What kind.
    pub kind: RepairKind,
    /// Such as `video jumped +9800.000 s, re-stamped`.
    pub text: String,
}

/// All repairs of one stream.
#[derive(Debug, Clone, Default)]
pub struct Repairs {
    counts: [u64; RepairKind::ALL.len()],
    recent: VecDeque<Repair>,
    fresh: usize,
}

impl Repairs {
    /// Counts a repair, and describes it unless its kind was described just now.
    pub fn note(&mut self, at_ms: i64, kind: RepairKind, text: impl FnOnce() -> String) {
        if let Some(count) = self.counts.get_mut(kind as usize) {
            *count += 1;
        }
        let told = |r: &&Repair| r.kind == kind && at_ms - r.at_ms < QUIET_MS;
        if self.recent.iter().rev().find(told).is_some() {
            return;
        }
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(Repair { at_ms, kind, text: text() });
        self.fresh = (self.fresh + 1).min(RECENT_MAX);
    }

    /// Kind and number, kinds that never happened left out.
    pub fn counts(&self) -> impl Iterator<Item = (RepairKind, u64)> + '_ {
        RepairKind::ALL.into_iter().zip(self.counts).filter(|&(_, n)| n > 0)
    }

    /// How many repairs there were in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The last few in words, oldest first.
    pub fn recent(&self) -> impl Iterator<Item = &Repair> {
        self.recent.iter()
    }

    /// Repairs described since the last call, for the log.
    pub fn take_fresh(&mut self) -> impl Iterator<Item = &Repair> {
        let fresh = std::mem::take(&mut self.fresh);
        self.recent.iter().skip(self.recent.len().saturating_sub(fresh))
    }
}
