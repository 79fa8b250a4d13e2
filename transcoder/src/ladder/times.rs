//! The times of the source's pictures, kept beside the decoder: what comes out of it has exactly those.

use std::collections::BTreeMap;

use nx_media::Sample;

/// Pictures that a decoder may hold; the oldest is forgotten first.
const WAITING_MAX: usize = 256;

/// What is known of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// 90 kHz.
    pub(crate) pts: i64,
    /// The rungs have a key frame here.
    pub(crate) key: bool,
    /// Until the next picture, and until the one behind it, or the next key frame; 90 kHz.
    pub(crate) durations: [Option<u32>; 2],
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Times {
    waiting: BTreeMap<i64, (Option<u32>, bool)>,
    last: Option<i64>,
    /// A key frame did not come out: the next picture is one.
    key_due: bool,
}

impl Times {
    /// A sample goes into the decoder.
    pub(crate) fn put(&mut self, sample: &Sample) {
        if self.waiting.len() >= WAITING_MAX
            && let Some((_, (_, key))) = self.waiting.pop_first()
        {
            self.key_due |= key;
        }
        self.waiting.insert(sample.pts, (sample.duration, sample.key));
    }

    /// A picture comes out. `None` when it has no sample's time, or time went back.
    pub(crate) fn take(&mut self, pts: i64) -> Option<Stamp> {
        if self.last.is_some_and(|last| pts <= last) {
            return None;
        }
        let (told, mut key) = self.waiting.remove(&pts)?;
        let later = self.waiting.split_off(&pts);
        let lost = std::mem::replace(&mut self.waiting, later);
        key |= std::mem::take(&mut self.key_due) || lost.values().any(|(_, key)| *key);
        self.last = Some(pts);
        let until = |(next, _): (&i64, _)| u32::try_from(next.saturating_sub(pts)).unwrap_or(u32::MAX);
        let mut next = self.waiting.iter();
        let (first, second) = (next.next(), next.next());
        let at_key = first.filter(|(_, (_, key))| *key);
        // Between two that are known there may be one that is still to come.
        let sooner = |told: Option<u32>, known: Option<u32>| told.into_iter().chain(known).min();
        let one = sooner(told, first.map(until));
        let two = sooner(told.map(|ticks| ticks.saturating_mul(2)), at_key.or(second).map(until));
        Some(Stamp { pts, key, durations: [one, two] })
    }

    /// A run is over, or the decoder was emptied.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn put(times: &mut Times, (pts, duration, key): (i64, u32, bool)) {
        times.put(&Sample { dts: 0, pts, duration: Some(duration), key, payload: Bytes::new() });
    }

    #[test]
    fn pictures_get_the_times_of_their_samples() {
        let mut times = Times::default();
        // I0 P30 B10 B20, then a key frame 15 later.
        let samples = [(0, 10, true), (30, 15, false), (10, 10, false), (20, 10, false)];
        samples.into_iter().take(3).for_each(|sample| put(&mut times, sample));
        let stamp = |pts, key, one, two| Some(Stamp { pts, key, durations: [Some(one), Some(two)] });
        assert_eq!(times.take(0), stamp(0, true, 10, 20), "B20 is still to come");
        put(&mut times, samples[3]);
        assert_eq!(times.take(10), stamp(10, false, 10, 20));
        assert_eq!(times.take(5), None, "back");
        assert_eq!(times.take(15), None, "no sample's");
        assert_eq!(times.take(20), stamp(20, false, 10, 20));
        [(45, 10, true), (55, 10, false)].into_iter().for_each(|sample| put(&mut times, sample));
        assert_eq!(times.take(30), stamp(30, false, 15, 15), "every second picture ends at a key frame");
        assert_eq!(times.take(55), stamp(55, true, 10, 20), "the key frame was lost");
    }

    #[test]
    fn a_decoder_that_gives_nothing_costs_little() {
        let mut times = Times::default();
        (0..100_000).for_each(|pts| put(&mut times, (pts, 1, pts == 0)));
        assert!(times.waiting.len() <= WAITING_MAX);
        assert_eq!(times.take(99_999).map(|stamp| stamp.key), Some(true));
        times.clear();
        assert_eq!(times.take(99_999), None);
    }
}
