//! What the cache counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nx_delivery::Metrics;

use super::Cache;

/// One figure that only grows.
#[derive(Debug, Clone, Default)]
pub(super) struct Counter(Arc<AtomicU64>);

impl Counter {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    pub(super) coalesced: Counter,
    pub(super) passed: Counter,
    pub(super) failed: Counter,
    pub(super) fetches: Counter,
    pub(super) checked: Counter,
    pub(super) rescued: Counter,
    pub(super) broken: Counter,
    pub(super) ahead: Counter,
    pub(super) disk_hits: Counter,
    pub(super) bytes: Counter,
    pub(super) fetched_bytes: Counter,
    pub(super) purged: Counter,
}

impl Cache {
    /// Adds to `/metrics`.
    pub(crate) fn metrics(&self, out: &mut Metrics) {
        let c = &self.counters;
        out.family("nexus_cache_requests_total", "counter", "Requests, by what became of them.");
        for (result, counter) in [
            ("hit", &c.hits),
            ("miss", &c.misses),
            ("coalesced", &c.coalesced),
            ("passed", &c.passed),
            ("failed", &c.failed),
        ] {
            out.value("nexus_cache_requests_total", &[("result", result)], counter.value());
        }
        for (name, help, counter) in [
            ("nexus_cache_bytes_total", "Bytes of bodies sent to viewers.", &c.bytes),
            ("nexus_cache_fetched_bytes_total", "Bytes of bodies that came from origins.", &c.fetched_bytes),
            ("nexus_cache_fetches_total", "Fetches, from origins or disk.", &c.fetches),
            ("nexus_cache_fetches_failed_total", "Fetches that came to nothing.", &c.broken),
            (
                "nexus_cache_checked_total",
                "Stale objects that their origin said are still right.",
                &c.checked,
            ),
            ("nexus_cache_stale_served_total", "Stale objects served in place of an origin.", &c.rescued),
            ("nexus_cache_prefetches_total", "Fetches of what was not asked for yet.", &c.ahead),
            ("nexus_cache_disk_hits_total", "Objects read from disk.", &c.disk_hits),
            ("nexus_cache_purged_total", "Objects that were purged.", &c.purged),
        ] {
            out.single(name, "counter", help, counter.value());
        }
        let [objects, bytes, evicted] = self.ram.figures();
        let disk = self.disk.as_ref().map(|disk| (disk.figures(), disk.is_up()));
        let ([disk_objects, disk_bytes, disk_evicted, written, failed, corrupt, skipped], up) =
            disk.unwrap_or_default();
        for (name, kind, help, of) in [
            ("nexus_cache_objects", "gauge", "Objects kept.", [objects, disk_objects]),
            ("nexus_cache_kept_bytes", "gauge", "Bytes kept.", [bytes, disk_bytes]),
            (
                "nexus_cache_evictions_total",
                "counter",
                "Objects that had to make room.",
                [evicted, disk_evicted],
            ),
        ] {
            out.family(name, kind, help);
            out.value(name, &[("tier", "ram")], of[0]);
            out.value(name, &[("tier", "disk")], of[1]);
        }
        for (name, kind, help, value) in [
            ("nexus_cache_filling_bytes", "gauge", "Bytes of what is being fetched.", self.budget.held()),
            ("nexus_cache_disk_up", "gauge", "Whether the disk takes objects.", u64::from(up)),
            ("nexus_cache_disk_writes_total", "counter", "Objects written to disk.", written),
            ("nexus_cache_disk_errors_total", "counter", "Writes that failed.", failed),
            ("nexus_cache_disk_corrupt_total", "counter", "Files that were damaged.", corrupt),
            (
                "nexus_cache_disk_skipped_total",
                "counter",
                "Objects not written: too many at a time.",
                skipped,
            ),
        ] {
            out.single(name, kind, help, value);
        }
        out.family("nexus_cache_origins_up", "gauge", "Origins that are asked, by upstream.");
        for upstream in self.upstreams().iter() {
            out.value("nexus_cache_origins_up", &[("upstream", upstream.name.as_str())], upstream.up());
        }
    }
}
