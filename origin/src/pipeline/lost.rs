//! The time in which there was no process, shown afterwards.
//!
//! What a killed process listed is listed as gaps, and a short pause behind it too (`nx_hls::Remains`). For a longer one the
//! first picture of the publisher that is back stands still, in a run of its own: a leap of the dates ends players that
//! take the live edge from the clock. A stream with a ladder goes without: its first run would have to begin before the rest
//! of it is known.

use nx_timeline::Arrival;

use super::{Now, Pipeline, Relay, STILL_AFTER_MS};
use crate::ingest::clip::ClipInput;
use crate::media::Media;
use crate::still::{BACK_MAX_MS, PICTURE};

/// Shorter pauses are gaps in lists; milliseconds.
const LISTED_MS: i64 = 2_000;

impl Pipeline {
    /// Covers the pause before a publisher's first frames, the first of this process.
    pub(super) fn cover_lost(&mut self, now: Now, frames: &[Arrival], relay: &mut dyn FnMut(Relay<'_>)) {
        let Some(lost_ms) = self.lost_ms.take() else { return };
        let key = frames.iter().find(|frame| frame.track == PICTURE && frame.key);
        if let (Some(key), Some(params)) = (key, self.declared.get(&PICTURE)) {
            self.still.keep(params, &key.payload);
        }
        let part_us = self.packager.part_target_us();
        let clip = part_us.and_then(|part_us| self.still.clip(&self.declared, self.segment_ms, part_us));
        let covered = (LISTED_MS..self.patience_ms).contains(&(now.ms - lost_ms));
        let Some(clip) = clip.filter(|_| covered) else { return };
        let since_ms = (lost_ms + STILL_AFTER_MS).max(now.ms - BACK_MAX_MS);
        let mut input = ClipInput::since(clip, since_ms);
        let mut covers = Vec::new();
        input.read(now.ms, &mut |_| (), &mut |media| covers.push(media));
        self.timeline.start_session(ClipInput::CLOCK);
        self.apply_tracks(relay);
        self.stand(now.ms);
        for media in covers {
            let Media::Frame(arrival) = media else { continue };
            let late_ms = now.ms - input.came_ms(arrival.stamp);
            let came = Now { ms: now.ms - late_ms, wall_ms: now.wall_ms - late_ms };
            self.place(came, arrival, relay);
        }
        self.settle(relay);
        self.turn_session(self.clock);
    }
}
