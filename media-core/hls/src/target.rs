//! How long a part is to be.

use nx_media::Params;

/// A part that is not the last of its segment has at least this much of the target (RFC 8216bis §4.4.3.7).
const LEAST_PERCENT: u64 = 85;

/// Length of a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    ticks: u64,
    timescale: u64,
}

impl Frame {
    pub(crate) fn new(ticks: u32, timescale: u32) -> Option<Self> {
        (ticks > 0).then(|| Self { ticks: ticks.into(), timescale: timescale.max(1).into() })
    }

    /// What the parameters tell.
    pub(crate) fn nominal(params: &Params) -> Option<Self> {
        let scale = params.timescale();
        let ticks = match params {
            Params::Video(v) => v.frame_rate.map(|rate| rate.frame_ticks(scale)),
            Params::Audio(a) => Some(a.frame_samples),
        };
        ticks.and_then(|ticks| Self::new(ticks, scale))
    }

    /// Whole milliseconds that hold `count` frames, rounded up as playlists do.
    fn ms(self, count: u64) -> u64 {
        (count * self.ticks * 1000).div_ceil(self.timescale)
    }

    /// Whether the whole frames that fit into `ms` fill it well enough.
    fn fills(self, ms: u64) -> bool {
        let fit = ms * self.timescale / 1000 / self.ticks;
        fit * self.ticks * 1000 * 100 >= ms * self.timescale * LEAST_PERCENT
    }
}

/// Part target in microseconds: whole milliseconds that hold whole frames of the leader and suit the others,
/// nearest to `part_ms`. When the leader's frames are not known or not regular, `part_ms` and one more: what was
/// rounded down to milliseconds, such as a third of a second, still holds its frames.
pub(crate) fn choose(part_ms: u32, lead: Option<Frame>, others: &[Frame]) -> u32 {
    let Some(lead) = lead else { return part_ms.saturating_add(1).saturating_mul(1000) };
    let wanted = u64::from(part_ms);
    let nearest = ((wanted * lead.timescale + lead.ticks * 500) / (lead.ticks * 1000)).max(1);
    // Half a target up and down is far enough: beyond, frames that do not fit are the lesser evil.
    let around = (0..=nearest / 2).flat_map(|step| [nearest - step, nearest + step]);
    let suits = |&count: &u64| count > 0 && others.iter().all(|f| f.fills(lead.ms(count)));
    let count = around.into_iter().find(suits).unwrap_or(nearest);
    u32::try_from(lead.ms(count) * 1000).unwrap_or(u32::MAX)
}
