//! Encoders that send to a packager: frame rates, key frames, B-frames, skew, pauses.

use bytes::Bytes;
use nx_media::{Kind, Params, Sample, rescale};

use super::Rig;
use super::validator::Validator;

/// An encoder's track. Times are counted from 1 s of stream time, so that nothing is negative.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) params: Params,
    /// Ticks of a frame.
    pub(super) frame: u32,
    /// Frames from key frame to key frame.
    pub(super) gop: u32,
    /// B-frames between two others.
    pub(super) b: u32,
    /// First key frame after so many frames.
    pub(super) phase: u32,
    /// Arrives so much later than it should, milliseconds.
    pub(super) late_ms: i64,
    /// Sends in these stretches only, milliseconds.
    pub(super) on: Vec<(i64, i64)>,
}

impl Source {
    pub(super) fn new(params: Params) -> Self {
        let frame = if params.kind() == Kind::Video { 3000 } else { 1024 };
        let gop = if params.kind() == Kind::Video { 60 } else { 1 };
        Self { params, frame, gop, b: 0, phase: 0, late_ms: 0, on: vec![(0, i64::MAX)] }
    }

    /// Place in presentation order of the frame at a place in decode order; groups of pictures are closed.
    fn shown(&self, decoded: u32) -> u32 {
        let (base, nth) = (decoded - decoded % self.gop, decoded % self.gop);
        if nth == 0 || self.b == 0 {
            return decoded;
        }
        let group = (nth - 1) / (self.b + 1) * (self.b + 1);
        match (nth - 1) % (self.b + 1) {
            0 => base + (group + self.b + 1).min(self.gop - 1),
            back => base + group + back,
        }
    }

    fn sample(&self, nth: u32) -> Sample {
        let start = i64::from(self.params.timescale());
        let frame = i64::from(self.frame);
        // The first group starts in the middle when key frames have a phase.
        let decoded = nth + (self.gop - self.phase % self.gop) % self.gop;
        let shift = i64::from(self.shown(decoded)) - i64::from(decoded) + i64::from(self.b > 0);
        let dts = start + i64::from(nth) * frame;
        let key = decoded.is_multiple_of(self.gop);
        let payload = Bytes::from(vec![0u8; if key { 400 } else { 40 }]);
        Sample { dts, pts: dts + shift * frame, duration: Some(self.frame), key, payload }
    }

    /// Frames that arrive before `until_ms`, with the time at which each arrives in microseconds.
    fn frames(&self, until_ms: i64) -> Vec<(i64, Sample)> {
        let scale = self.params.timescale();
        let all =
            (0..).map(|nth| self.sample(nth)).map(|s| (rescale(s.dts, scale, 1_000_000) - 1_000_000, s));
        let sent = all.take_while(|(us, _)| *us < until_ms * 1000);
        let is_on =
            |us: i64| self.on.iter().any(|&(from, to)| from * 1000 <= us && us < to.saturating_mul(1000));
        sent.filter(|(us, _)| is_on(*us)).map(|(us, s)| (us + self.late_ms * 1000, s)).collect()
    }
}

/// Sends everything in the order of arrival; every playlist on the way is checked.
pub(super) fn send(rig: &mut Rig, sources: &[Source], until_ms: i64, validator: &mut Validator) {
    resume(rig, sources, i64::MIN, until_ms, validator);
}

/// Sends what arrives from a time on.
pub(super) fn resume(
    rig: &mut Rig,
    sources: &[Source],
    from_ms: i64,
    until_ms: i64,
    validator: &mut Validator,
) {
    let mut frames: Vec<(i64, usize, Sample)> = Vec::new();
    for (track, source) in sources.iter().enumerate() {
        let news = source.frames(until_ms).into_iter().filter(|(us, _)| *us >= from_ms.saturating_mul(1000));
        frames.extend(news.map(|(us, sample)| (us, track, sample)));
    }
    frames.sort_by_key(|(us, ..)| *us);
    for (nth, (us, track, sample)) in frames.into_iter().enumerate() {
        let wall_ms = rig.wall_ms + us / 1000;
        rig.packager.push(track, sample, wall_ms);
        rig.settle();
        if nth % 16 == 0 {
            validator.check(&rig.window);
        }
    }
    validator.check(&rig.window);
}

/// Everything in the order of arrival.
pub(super) fn arrivals(sources: &[Source], until_ms: i64) -> Vec<(usize, Sample)> {
    let of = |(track, source): (usize, &Source)| {
        source.frames(until_ms).into_iter().map(move |(us, sample)| (us, track, sample)).collect::<Vec<_>>()
    };
    let mut frames: Vec<_> = sources.iter().enumerate().flat_map(of).collect();
    frames.sort_by_key(|(us, ..)| *us);
    frames.into_iter().map(|(_, track, sample)| (track, sample)).collect()
}

/// A rig whose tracks are the sources'.
pub(super) fn rig(sources: &[Source]) -> Rig {
    Rig::new(&sources.iter().map(|s| s.params.clone()).collect::<Vec<_>>())
}
