//! What a process has used, from `/proc`.

use std::fs;
use std::time::Instant;

use super::server::cpu_ms;

/// Counters at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    at: Instant,
    cpu_ms: f64,
    switches: u64,
}

/// What was used between two moments, per second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    pub(crate) seconds: f64,
    pub(crate) cpu_ms: f64,
    /// Context switches, of both sorts.
    pub(crate) switches: f64,
}

impl Usage {
    /// Reads the counters of all threads that live.
    pub(crate) fn of(pid: u32) -> Self {
        Self { at: Instant::now(), cpu_ms: cpu_ms(pid), switches: switches(pid) }
    }

    /// Rates since an earlier moment.
    pub(crate) fn since(&self, before: &Self) -> Rates {
        let seconds = (self.at - before.at).as_secs_f64();
        let switches = self.switches.saturating_sub(before.switches) as f64 / seconds;
        Rates { seconds, cpu_ms: (self.cpu_ms - before.cpu_ms) / seconds, switches }
    }
}

fn switches(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of = |status: String| -> u64 {
        let counts = status.lines().filter(|l| l.contains("_ctxt_switches:"));
        counts.filter_map(|l| l.rsplit('\t').next()?.parse::<u64>().ok()).sum()
    };
    tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok()).map(of).sum()
}

/// Proportional share of memory in KiB: pages that several processes map count in part.
pub(crate) fn pss_kib(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|l| l.strip_prefix("Pss:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}
