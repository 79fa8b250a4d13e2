//! The picture of a stream that waits for its publisher.
//!
//! Without a slate the last picture stands still, with silence, from the last frame on until somebody sends again or the
//! stream ends. It is an input like a slate, and gives way to any other one's first key frame.

use crate::claims::{Claim, Role};
use crate::hub::Hub;
use crate::ingest::clip::ClipInput;
use crate::ingest::input::{About, End, Input, Wire};
use crate::ingest::stream::Stream;
use crate::still::BACK_MAX_MS;

/// A publisher that is back by then was never away. Less than what players hold back, so that none of them stalls;
/// milliseconds.
const AFTER_MS: i64 = 500;
/// Players cross a pause of this length: a stream that waits no longer just ends. Seconds.
const SHORT_S: u32 = 1;

impl Stream {
    /// The last picture stands still.
    pub(super) fn stands(&self) -> bool {
        self.input_of(Role::Slate).is_some_and(Input::is_still)
    }

    /// Nobody sends any more.
    pub(super) fn plan_still(&mut self, hub: &Hub, alone: bool, now_ms: i64) {
        let wanted = alone && !self.stands() && hub.config.stream.reconnect_s > SHORT_S;
        self.still_due_ms = wanted.then_some(now_ms + AFTER_MS);
    }

    /// Has the last picture stand still when that is due.
    pub(crate) fn show_still(&mut self, now_ms: i64) {
        if self.still_due_ms.take_if(|due| *due <= now_ms).is_none() || self.ended {
            return;
        }
        let Some((clip, since_ms)) = self.pipeline.still(now_ms, nx_delivery::wall_ms()) else { return };
        let since_ms = since_ms.max(now_ms - BACK_MAX_MS);
        let wire = Wire::Clip(Box::new(ClipInput::since(clip, since_ms)));
        self.put_input(Input::new(usize::MAX - 1, About::still(), Claim::new(None, now_ms), wire, now_ms));
    }

    /// Somebody sends.
    pub(super) fn drop_still(&mut self, hub: &Hub, now_ms: i64) {
        self.still_due_ms = None;
        if self.stands()
            && let Some(still) = self.take_input(Role::Slate)
        {
            self.stop(hub, still, &End::Left("somebody sends again".into()), now_ms);
        }
    }
}
