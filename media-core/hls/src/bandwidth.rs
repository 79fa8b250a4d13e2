//! Peak and mean bit rate of a track, measured on its segments.

/// Meter of one track.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Meter {
    peak_bps: u64,
    bytes: u64,
    us: u64,
    open_bytes: u64,
    open_us: u64,
}

impl Meter {
    pub(crate) fn part(&mut self, bytes: usize, us: u64) {
        self.open_bytes += bytes as u64;
        self.open_us += us;
    }

    pub(crate) fn segment_end(&mut self) {
        self.peak_bps = self.peak_bps.max(rate(self.open_bytes, self.open_us));
        self.bytes += self.open_bytes;
        self.us += self.open_us;
        (self.open_bytes, self.open_us) = (0, 0);
    }

    /// Highest rate of any segment; of the open one while there is no other. Bits per second.
    pub(crate) fn peak_bps(&self) -> u64 {
        if self.peak_bps > 0 { self.peak_bps } else { rate(self.open_bytes, self.open_us) }
    }

    /// Rate over everything seen. Bits per second.
    pub(crate) fn mean_bps(&self) -> u64 {
        rate(self.bytes + self.open_bytes, self.us + self.open_us)
    }
}

fn rate(bytes: u64, us: u64) -> u64 {
    bytes.saturating_mul(8_000_000).checked_div(us).unwrap_or(0)
}
