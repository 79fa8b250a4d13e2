//! How long a video frame lasts: declared by the bitstream, confirmed or corrected by what comes in.

use nx_media::{FrameRate, VIDEO_TIMESCALE};

/// Frame distances looked at.
const WINDOW: usize = 16;
/// Distances needed before a measured rate is believed.
const ENOUGH: usize = 6;
/// Contradictions in a row that end the belief in a rate.
const DOUBTS_MAX: u8 = 3;
/// A millisecond stamp is off by up to one in each end of a distance; 90 kHz ticks.
const ROUNDING: i64 = 180;

/// Estimator of the frame duration, in 90 kHz ticks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cadence {
    recent: [i64; WINDOW],
    filled: usize,
    next: usize,
    believed: Option<u32>,
    doubts: u8,
}

impl Cadence {
    pub(crate) fn declared(rate: Option<FrameRate>) -> Self {
        Self { believed: rate.map(|r| r.frame_ticks(VIDEO_TIMESCALE)), ..Self::default() }
    }

    /// Duration of the next frame, when it can be foretold.
    pub(crate) fn frame_ticks(&self) -> Option<u32> {
        self.believed
    }

    /// Learns from the distance between two frames as they came.
    pub(crate) fn observe(&mut self, distance: i64) {
        if distance <= 0 {
            return;
        }
        if let Some(slot) = self.recent.get_mut(self.next) {
            *slot = distance;
        }
        self.next = (self.next + 1) % WINDOW;
        self.filled = (self.filled + 1).min(WINDOW);
        match self.believed {
            Some(ticks) if near(distance, i64::from(ticks)) => self.doubts = 0,
            Some(_) => {
                self.doubts += 1;
                if self.doubts >= DOUBTS_MAX {
                    self.believed = None;
                    self.filled = self.filled.min(usize::from(DOUBTS_MAX));
                    self.doubts = 0;
                }
            }
            None => self.believed = self.measure(),
        }
    }

    fn measure(&self) -> Option<u32> {
        if self.filled < ENOUGH {
            return None;
        }
        let last =
            (0..self.filled).filter_map(|back| self.recent.get((self.next + WINDOW - 1 - back) % WINDOW));
        let (sum, count) = last.clone().fold((0i64, 0i64), |(s, n), d| (s + d, n + 1));
        let mean = sum / count.max(1);
        let steady = last.clone().all(|&d| near(d, mean));
        steady.then(|| whole_rate(mean))
    }
}

fn near(distance: i64, ticks: i64) -> bool {
    (distance - ticks).abs() <= (ticks / 8).max(ROUNDING)
}

/// The duration of the whole frame rate within half a percent, else the mean itself.
fn whole_rate(mean: i64) -> u32 {
    let fps = (i64::from(VIDEO_TIMESCALE) + mean / 2) / mean.max(1);
    let exact = i64::from(VIDEO_TIMESCALE) / fps.max(1);
    let ticks = if fps > 0 && (exact - mean).abs() * 200 <= mean { exact } else { mean };
    u32::try_from(ticks).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn believes_the_bitstream_until_it_is_contradicted() {
        let mut c = Cadence::declared(Some(FrameRate { num: 30, den: 1 }));
        assert_eq!(c.frame_ticks(), Some(3000));
        for _ in 0..2 {
            c.observe(6000);
        }
        assert_eq!(c.frame_ticks(), Some(3000), "two long frames are no new rate");
        c.observe(6000);
        assert_eq!(c.frame_ticks(), None);
        for _ in 0..6 {
            c.observe(6000);
        }
        assert_eq!(c.frame_ticks(), Some(6000));
    }

    #[test]
    fn measures_a_rate_out_of_rounded_milliseconds() {
        for (name, fps, want) in [("30", 30, 3000), ("25", 25, 3600), ("60", 60, 1500), ("24", 24, 3750)] {
            let mut c = Cadence::default();
            let stamp = |i: u32| i64::from((i * 2000 + fps) / (2 * fps)) * 90;
            (1..=16).for_each(|i| c.observe(stamp(i) - stamp(i - 1)));
            assert_eq!(c.frame_ticks(), Some(want), "{name}");
        }
    }

    #[test]
    fn does_not_believe_in_irregular_frames() {
        let mut c = Cadence::default();
        (0..40).for_each(|i| c.observe(if i % 2 == 0 { 1500 } else { 90_000 }));
        assert_eq!(c.frame_ticks(), None);
    }
}
