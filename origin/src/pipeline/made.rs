//! What is made of a stream and comes back into it: its ladder.

use nx_hls::TrackSpec;
use nx_media::{Sample, TrackId};

use super::{Pipeline, Relay};
use crate::ladder::{Coded, Rungs};

/// Samples that wait for a ladder at most, and for how long, milliseconds; then the stream goes on without it.
const WAITING_MAX: usize = 512;
const PATIENCE_MS: i64 = 1_000;

/// Tracks that are to begin, and their samples with the Unix times at which they came.
pub(super) struct Waiting {
    tracks: Vec<TrackSpec>,
    samples: Vec<(TrackId, Sample, i64)>,
}

impl Waiting {
    pub(super) fn new(tracks: Vec<TrackSpec>) -> Self {
        Self { tracks, samples: Vec::new() }
    }

    pub(super) fn push(&mut self, id: TrackId, sample: Sample, wall_ms: i64) {
        self.samples.push((id, sample, wall_ms));
    }

    fn is_over(&self, wall_ms: i64) -> bool {
        let first = self.samples.first().map_or(wall_ms, |(_, _, wall_ms)| *wall_ms);
        self.samples.len() >= WAITING_MAX || wall_ms - first >= PATIENCE_MS
    }
}

impl Pipeline {
    /// From now on further tracks are made of it.
    pub(crate) fn climb(&mut self, rungs: Rungs) {
        self.rungs = Some(rungs);
        // What covers a pause would begin before anybody knows what is made of it.
        self.lost_ms = None;
    }

    /// What is made of it.
    pub(crate) fn rungs(&mut self) -> Option<&mut Rungs> {
        self.rungs.as_mut()
    }

    /// The tracks that are made here.
    pub(crate) fn made(&self) -> Vec<TrackId> {
        self.rungs.iter().flat_map(Rungs::ids).collect()
    }

    /// See [`Packager::part_due_ms`]: parts of what is made here are due to nobody who reads a publisher.
    pub(crate) fn part_due_ms(&self) -> Option<i64> {
        let made = self.made();
        let sent = self.packager.run_tracks().iter().take_while(|t| !made.contains(&t.id)).count();
        self.packager.part_due_ms(sent)
    }

    /// Once a second: how it stands with the ladder.
    pub(crate) fn look(&mut self) {
        let (live, now_ms) = (&self.live, nx_delivery::wall_ms());
        if let Some(rungs) = &mut self.rungs {
            rungs.look(&|id| live.asked_ms(id).map(|at_ms| (now_ms - at_ms) / 1000));
            live.hide(rungs.hidden());
        }
    }

    /// Whether the source is hidden, of a stream whose source is to be.
    pub(crate) fn hides(&self) -> Option<bool> {
        let rungs = self.rungs.as_ref().filter(|rungs| rungs.hides())?;
        let hidden = rungs.hidden();
        Some(self.live.read(|window| hidden.iter().any(|id| window.is_hidden(id))))
    }

    /// Has the packager go on with these tracks, and those that are made of them, behind them.
    pub(super) fn set_tracks(&mut self, tracks: &[TrackSpec]) {
        let stood = self.still.stands();
        let still = self.still.stand(tracks);
        let made = self.rungs.iter().flat_map(Rungs::specs);
        if let Some(rungs) = &self.rungs {
            self.live.offer(rungs.offered());
            self.live.hide(rungs.hidden());
        }
        let packed: Vec<TrackSpec> = still.into_iter().chain(tracks.iter().cloned()).chain(made).collect();
        if stood || packed != self.tracks() {
            self.packager.set_tracks(&packed);
        }
    }

    /// What waited for a ladder goes on, with what is known of it by now.
    pub(super) fn settle(&mut self, relay: &mut dyn FnMut(Relay<'_>)) {
        let Some(Waiting { tracks, samples }) = self.waiting.take() else { return };
        self.set_tracks(&tracks);
        for (id, sample, wall_ms) in samples {
            self.pack(id, sample, wall_ms, relay);
        }
    }

    /// Takes what the worker has made. Nothing of an encrypted stream is relayed.
    pub(crate) fn take_rungs(&mut self, wall_ms: i64, relay: &mut dyn FnMut(Relay<'_>)) {
        let Some(rungs) = &mut self.rungs else { return };
        let changed = rungs.hear();
        if self.waiting.is_some() {
            if !rungs.is_settled() {
                return;
            }
            if self.keys.is_some() { self.settle(&mut |_| ()) } else { self.settle(relay) }
        } else if changed {
            // From the next key frame on.
            self.dirty = true;
        }
        while let Some(Coded { id, sample, apart }) = self.rungs.as_mut().and_then(Rungs::next) {
            let Some(track) = self.packager.run_tracks().iter().position(|t| t.id == id) else { continue };
            let (bytes, frames) = self.traffic.entry(id).or_default();
            *bytes += sample.payload.len() as u64;
            *frames += 1;
            if apart {
                self.packager.interrupt(track);
            }
            self.packager.push(track, sample, wall_ms);
        }
        self.publish();
    }

    /// The same, when it is known or has waited for long enough.
    pub(super) fn settle_in_time(&mut self, wall_ms: i64, relay: &mut dyn FnMut(Relay<'_>)) {
        if let (Some(waiting), Some(rungs)) = (&self.waiting, &self.rungs)
            && (rungs.is_settled() || waiting.is_over(wall_ms))
        {
            self.settle(relay);
        }
    }
}
