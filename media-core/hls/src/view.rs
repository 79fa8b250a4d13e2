//! What other manifests than playlists are written from.

use std::sync::Arc;

use crate::event::{KeyPeriod, Run};
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
}
