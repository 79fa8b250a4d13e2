//! How long a peer that takes nothing is waited for.

/// Bounds of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Longest wait in seconds.
    pub(crate) max_s: u32,
    /// Bytes that earn a second.
    pub(crate) rate_min: u32,
}

/// The seconds that a wait may still take. Waiting uses them up, bytes that were taken bring them back: who takes one
/// byte now and then does not wait for ever.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    left_s: u32,
    since_s: Option<u32>,
}

impl Patience {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { left_s: bounds.max_s, since_s: None }
    }

    /// Nothing can be sent.
    pub(crate) fn waits(&mut self, now_s: u32) {
        self.since_s.get_or_insert(now_s);
    }

    /// Nothing is waited for.
    pub(crate) fn goes_on(&mut self, now_s: u32) {
        if let Some(since_s) = self.since_s.take() {
            self.left_s = self.left_s.saturating_sub(now_s.saturating_sub(since_s));
        }
    }

    /// This many bytes were sent.
    pub(crate) fn sent(&mut self, bytes: usize, now_s: u32, bounds: Bounds) {
        self.goes_on(now_s);
        let earned = u32::try_from(bytes).unwrap_or(u32::MAX) / bounds.rate_min.max(1);
        self.left_s = self.left_s.saturating_add(earned).min(bounds.max_s);
    }

    /// When it is at its end, if it is waited.
    pub(crate) fn due_s(self) -> Option<u32> {
        Some(self.since_s?.saturating_add(self.left_s))
    }
}
