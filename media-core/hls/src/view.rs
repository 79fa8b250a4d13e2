//! What other manifests than playlists are written from, and other nodes' windows.

use std::sync::Arc;

use crate::event::{KeyPeriod, Part, Run};
use crate::rendition::{Rendition, Segment};
use crate::window::Window;

impl Window {
    /// The newest runs, oldest first; the last is the one that goes on.
    pub fn runs(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.runs.iter()
    }

    /// Segments of a track that a manifest lists, oldest first; the last may be open.
    pub fn listed(&self, track: usize) -> impl DoubleEndedIterator<Item = &Segment> {
        self.tracks.get(track).into_iter().flat_map(Rendition::listed)
    }

    /// Keys of a track's run that its segments have, or will have, oldest first.
    #[must_use]
    pub fn keys(&self, track: usize) -> &[KeyPeriod] {
        self.tracks.get(track).map_or(&[], Rendition::keys)
    }

    /// Segments that a manifest lists at most.
    #[must_use]
    pub fn listed_max(&self) -> usize {
        self.listed_max
    }

    /// Highest bit rate of any segment of a track, bits per second.
    #[must_use]
    pub fn peak_bps(&self, track: usize) -> u64 {
        self.tracks.get(track).map_or(0, |t| t.meter.peak_bps())
    }

    /// Every part that is held, track by track, oldest first.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.tracks.iter().flat_map(|t| &t.segments).flat_map(|s| &s.parts)
    }

    /// The same, to put their bytes back into a window that was read from where they are not.
    pub fn parts_mut(&mut self) -> impl Iterator<Item = &mut Part> {
        self.tracks.iter_mut().flat_map(|t| &mut t.segments).flat_map(|s| &mut s.parts)
    }

    /// Whether it counts right what it holds: one that was read must be asked before it is used.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let running = self.run.as_ref().map_or(0, |run| run.tracks.len());
        self.listed_max >= 3 && running <= self.tracks.len() && self.tracks.iter().all(Rendition::is_sound)
    }
}
