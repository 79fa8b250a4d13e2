//! What the live plane counts.

use std::sync::atomic::{AtomicU64, Ordering};

use nx_delivery::Metrics;

/// Figures of one node; a node that only publishes, or only fetches, leaves the others at 0.
#[derive(Debug, Default)]
pub struct Figures {
    /// Nodes that are connected to fetch.
    pub(crate) edges: AtomicU64,
    /// Streams that are sent, once for each node that fetches them.
    pub(crate) feeds: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
    pub(crate) received_bytes: AtomicU64,
    /// Windows that were sent or taken over.
    pub(crate) catch_ups: AtomicU64,
    /// Connections to origins that were lost.
    pub(crate) reconnects: AtomicU64,
    /// Feeds that ended because the other side could not keep up, or what came could not be used.
    pub(crate) dropped: AtomicU64,
}

impl Figures {
    /// Adds them to a page of metrics.
    pub fn metrics(&self, out: &mut Metrics) {
        for (name, kind, help, value) in [
            ("nexus_plane_edges", "gauge", "Nodes connected to fetch streams.", &self.edges),
            ("nexus_plane_feeds", "gauge", "Streams sent, once per node.", &self.feeds),
            ("nexus_plane_sent_bytes_total", "counter", "Bytes of streams to other nodes.", &self.sent_bytes),
            (
                "nexus_plane_received_bytes_total",
                "counter",
                "Bytes of streams from origins.",
                &self.received_bytes,
            ),
            ("nexus_plane_catch_ups_total", "counter", "Windows sent or taken over.", &self.catch_ups),
            ("nexus_plane_reconnects_total", "counter", "Connections to origins lost.", &self.reconnects),
            ("nexus_plane_dropped_total", "counter", "Feeds that fell behind or broke.", &self.dropped),
        ] {
            out.single(name, kind, help, value.load(Ordering::Relaxed));
        }
    }
}

/// Counts one more for as long as it lives.
pub(crate) struct One<'a>(&'a AtomicU64);

impl<'a> One<'a> {
    pub(crate) fn of(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for One<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) fn add(count: &AtomicU64, more: usize) {
    count.fetch_add(more as u64, Ordering::Relaxed);
}
