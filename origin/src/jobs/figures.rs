//! Renditions of titles for Prometheus.

use std::sync::atomic::{AtomicU64, Ordering};

use nx_contract::titles::LadderState;
use nx_delivery::Metrics;

use super::Jobs;
use super::job::At;
use crate::hub::lock;

/// Counters since the start.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) done: AtomicU64,
    pub(super) failed: AtomicU64,
}

impl Jobs {
    pub(crate) fn metrics(&self, out: &mut Metrics) {
        let now_ms = self.clock.ms();
        let (states, chunks) = {
            let state = lock(&self.state);
            let states: Vec<LadderState> = state.iter().map(|job| job.told(now_ms).state).collect();
            let mut chunks = [("waiting", 0_u64), ("taken", 0), ("done", 0)];
            for step in state.iter().filter(|job| job.failed.is_none()).flat_map(|job| &job.steps) {
                let [waiting, taken, done] = &mut chunks;
                match step.at {
                    At::Waiting => waiting.1 += 1,
                    At::Taken { .. } => taken.1 += 1,
                    At::Done => done.1 += 1,
                }
            }
            (states, chunks)
        };
        out.family("nexus_jobs", "gauge", "Titles whose renditions are made, or were given up.");
        for (name, of) in [
            ("waiting", LadderState::Waiting),
            ("running", LadderState::Running),
            ("checking", LadderState::Checking),
            ("failed", LadderState::Failed),
        ] {
            let count = states.iter().filter(|state| **state == of).count();
            out.value("nexus_jobs", &[("state", name)], count);
        }
        out.family("nexus_jobs_chunks", "gauge", "Pieces of titles that are worked at.");
        for (name, count) in chunks {
            out.value("nexus_jobs_chunks", &[("state", name)], count);
        }
        for (name, help, total) in [
            ("nexus_jobs_chunks_done_total", "Pieces that were made.", &self.totals.done),
            ("nexus_jobs_chunks_failed_total", "Pieces that have to be made again.", &self.totals.failed),
        ] {
            out.single(name, "counter", help, total.load(Ordering::Relaxed));
        }
    }
}
