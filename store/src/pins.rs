//! What may be dropped of a stream, and what may not.

use std::fmt::Debug;

use nx_media::StreamKey;

use crate::log::Log;
use crate::volume::Volume;

/// Says what of each stream is held; asked each time that something may be dropped. Not to take long.
pub trait Terms: Debug + Send + Sync {
    /// What of a stream is held.
    fn hold(&self, key: &StreamKey) -> Hold;
}

/// What of a stream is held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hold {
    /// How long any of it is kept, milliseconds.
    pub keep_ms: i64,
    /// Stretches that stay however old they are and whatever they weigh: from, and to. Unix milliseconds.
    pub pins: Vec<(i64, i64)>,
}

impl Hold {
    fn pins(&self, volume: &Volume) -> bool {
        self.pins.iter().any(|(from, to)| volume.begins_ms < *to && volume.ends_ms > *from)
    }
}

/// What a stream weighs on the disk, bytes, and what of it could go.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weight {
    pub(crate) bytes: u64,
    /// Of them, those that are pinned.
    pub(crate) pinned: u64,
    /// The oldest volume there that is neither pinned nor being written.
    pub(crate) droppable: Option<Volume>,
}

impl Log {
    pub(crate) fn weight(&self, hold: &Hold) -> Weight {
        let mut weight = Weight::default();
        for volume in self.volumes().iter().filter(|v| !v.away) {
            weight.bytes += volume.bytes;
            weight.pinned += if hold.pins(volume) { volume.bytes } else { 0 };
        }
        Weight { droppable: self.droppable(hold, |v| !v.away), ..weight }
    }

    /// The oldest volume `of` these that is neither pinned nor being written.
    pub(crate) fn droppable(&self, hold: &Hold, of: impl Fn(&Volume) -> bool) -> Option<Volume> {
        self.closed().into_iter().find(|v| of(v) && !hold.pins(v))
    }
}
