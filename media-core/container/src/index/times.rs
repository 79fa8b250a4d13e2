//! Times of files: what they leave out, and what they break.

use nx_media::{AudioCodec, AudioParams, Params, VIDEO_TIMESCALE, rescale};

use super::Place;

/// Sound is counted in samples as long as its stamps agree within this; milliseconds.
const TOLERANCE_MS: i64 = 45;
/// A picture is shown at most so long after it is decoded; 90 kHz.
const REORDER_MAX: i64 = 10 * 90_000;
/// A step beyond this is a break of the clock; 90 kHz.
const LEAP: i64 = 10 * 90_000;
/// A step back beyond this is one, too; 90 kHz.
const BACK: i64 = 9_000;
/// Breaks beyond these are not followed.
const EPOCHS_MAX: usize = 1 << 12;
/// Breaks that a track may be behind the others.
const EPOCHS_BEHIND: usize = 8;

/// Counts the samples of an audio track, held to its stamps.
#[derive(Debug, Default)]
pub(crate) struct Beat {
    due: Option<i64>,
}

impl Beat {
    /// Where a frame of `samples` goes, in ticks of `rate`; `None` when that is taken.
    pub(crate) fn place(&mut self, stamp: Option<i64>, samples: u32, rate: u32) -> Option<i64> {
        let (due, samples) = (self.due.or(stamp)?, i64::from(samples.max(1)));
        let tolerance = rescale(TOLERANCE_MS, 1000, rate);
        let off = stamp.map_or(0, |stamp| stamp.saturating_sub(due));
        if off < -(tolerance + samples) {
            return None;
        }
        let dts = if off > tolerance { due.saturating_add(off) } else { due };
        self.due = Some(dts.saturating_add(samples));
        Some(dts)
    }
}

/// Gives decode times to samples that have presentation times only, in their `dts`: the same times in rising order,
/// early enough for each. `false` when they are not those of a track.
pub(crate) fn decode_times(samples: &mut [Place]) -> bool {
    let mut times: Vec<i64> = samples.iter().map(|s| s.dts).collect();
    times.sort_unstable();
    let mut floor = i64::MIN;
    for time in &mut times {
        *time = (*time).max(floor);
        floor = time.saturating_add(1);
    }
    let lates = times.iter().zip(samples.iter()).map(|(dts, s)| dts.saturating_sub(s.dts));
    let delay = lates.max().unwrap_or(0).max(0);
    for (time, sample) in times.iter().zip(samples.iter_mut()) {
        let (pts, dts) = (sample.dts, time.saturating_sub(delay));
        let cts = pts.saturating_sub(dts);
        let Some(cts) = i32::try_from(cts).ok().filter(|_| cts <= REORDER_MAX) else { return false };
        (sample.dts, sample.cts) = (dts, cts);
    }
    true
}

/// When the first sample is seen or heard, in the track's timescale.
pub(crate) fn shown(params: &Params, samples: &[Place]) -> Option<i64> {
    let earliest = samples.iter().take(64).map(|s| s.dts.saturating_add(s.cts.into())).min()?;
    let skip = match params {
        // `dOps`: version, channels, pre-skip.
        Params::Audio(AudioParams { codec: AudioCodec::Opus, config, .. }) => match config.get(2..4) {
            Some(&[high, low]) => i64::from(u16::from_be_bytes([high, low])),
            _ => 0,
        },
        _ => 0,
    };
    Some(earliest.saturating_add(skip))
}

/// The clocks of a file whose stamps leap, one behind the other; 90 kHz. Tracks follow each on their own.
#[derive(Debug, Default)]
pub(crate) struct Epochs {
    /// To be added to stamps.
    offsets: Vec<i64>,
    newest: i64,
}

/// Where a track is in them.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Clock90k {
    epoch: usize,
    last: Option<i64>,
}

impl Epochs {
    /// Time of the track's next sample. A leap goes on `step` behind the track's last one.
    pub(crate) fn time(&mut self, track: &mut Clock90k, stamp: i64, step: i64) -> i64 {
        if self.offsets.is_empty() {
            self.offsets.push(0);
            self.newest = stamp;
        }
        let last = track.last;
        let floor = last.unwrap_or(self.newest);
        let latest = floor.max(self.newest).saturating_add(LEAP);
        // Where others leapt already a track may overlap itself: its end and the beginnings of theirs need not agree.
        let near = |epoch: usize, time: i64| {
            let back = if last.is_some() && epoch == track.epoch { BACK } else { LEAP };
            time >= floor.saturating_sub(back) && time <= latest
        };
        let at = |epoch: usize| self.offsets.get(epoch).map(|offset| stamp.saturating_add(*offset));
        let mut found = (track.epoch..).take(EPOCHS_BEHIND).map_while(|e| Some((e, at(e)?)));
        let (epoch, time) = match found.find(|&(epoch, time)| near(epoch, time)) {
            Some(found) => found,
            None if self.offsets.len() >= EPOCHS_MAX => (track.epoch, at(track.epoch).unwrap_or(stamp)),
            None => {
                let time = last.map_or(self.newest, |last| last.saturating_add(step.max(1)));
                self.offsets.push(time.saturating_sub(stamp));
                (self.offsets.len() - 1, time)
            }
        };
        *track = Clock90k { epoch, last: Some(time) };
        self.newest = self.newest.max(time);
        time
    }
}

/// Ticks of 90 kHz in those of a track.
pub(crate) fn from_90k(ticks: i64, timescale: u32) -> i64 {
    rescale(ticks, VIDEO_TIMESCALE, timescale)
}
