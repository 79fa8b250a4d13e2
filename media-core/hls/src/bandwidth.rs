//! Peak and mean bit rate of a track, measured on its segments.

use serde::{Deserialize, Serialize};

/// Stretches that were measured before the peak is believed.
const YOUNG: u32 = 8;

/// Meter of one track.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Meter {
    peak_bps: u64,
    stretches: u32,
    bytes: u64,
    us: u64,
    open_bytes: u64,
    open_us: u64,
}

impl Meter {
    pub(crate) fn add(&mut self, bytes: usize, us: u64) {
        self.open_bytes += bytes as u64;
        self.open_us += us;
    }

    /// A segment is over. One shorter than `least_us` counts together with the next: a peak is that of half a target
    /// duration or more (RFC 8216bis §4.1, "peak segment bit rate").
    pub(crate) fn segment_end(&mut self, least_us: u64) {
        if self.open_us < least_us {
            return;
        }
        self.peak_bps = self.peak_bps.max(rate(self.open_bytes, self.open_us));
        self.stretches = self.stretches.saturating_add(1);
        self.bytes += self.open_bytes;
        self.us += self.open_us;
        (self.open_bytes, self.open_us) = (0, 0);
    }

    /// Highest rate of any segment; of the open one while there is no other. Bits per second.
    ///
    /// A quarter more while only few were measured: a rate that is told must hold for the whole stream, to a quarter
    /// (Apple authoring rules 1.28), and what is seen first is seldom the most.
    pub(crate) fn peak_bps(&self) -> u64 {
        let peak = if self.peak_bps > 0 { self.peak_bps } else { rate(self.open_bytes, self.open_us) };
        if self.stretches < YOUNG { peak.saturating_add(peak / 4) } else { peak }
    }

    /// Rate over everything seen. Bits per second.
    pub(crate) fn mean_bps(&self) -> u64 {
        rate(self.bytes + self.open_bytes, self.us + self.open_us)
    }
}

fn rate(bytes: u64, us: u64) -> u64 {
    bytes.saturating_mul(8_000_000).checked_div(us).unwrap_or(0)
}
