//! What a worker is told about a piece: its ladder, the samples, and that this was all.

use std::io;

use nx_container::index::IndexTrack;
use nx_vod::Found;
use nx_worker_protocol::{Ladder, Request};

/// Bytes that are read at a time, about.
const READ_BYTES: u64 = 4 << 20;

/// See the module.
pub(super) struct Feed {
    found: Found,
    track: IndexTrack,
    /// The next is last.
    waiting: Vec<Request>,
    /// Samples that were read.
    read: usize,
    over: bool,
}

impl Feed {
    /// `track` has the samples of the piece only.
    pub(super) fn new(found: Found, track: IndexTrack, ladder: Ladder) -> Self {
        Self { found, track, waiting: vec![Request::Ladder(Box::new(ladder))], read: 0, over: false }
    }

    /// Reads the next samples.
    fn read(&mut self) -> io::Result<()> {
        let rest = self.track.samples.get(self.read..).unwrap_or_default();
        let mut bytes = 0;
        let few = |place: &&nx_container::index::Place| {
            let fits = bytes < READ_BYTES;
            bytes += u64::from(place.bytes);
            fits
        };
        let places: Vec<_> = rest.iter().take_while(few).copied().collect();
        let samples = nx_vod::samples(&self.found, &self.track, &places).map_err(io::Error::other)?;
        self.read += places.len();
        let kind = self.track.id.kind;
        self.waiting = samples.into_iter().rev().map(|sample| Request::Sample(kind, sample)).collect();
        Ok(())
    }
}

impl Iterator for Feed {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        if self.waiting.is_empty()
            && self.read < self.track.samples.len()
            && let Err(error) = self.read()
        {
            self.over = true;
            tracing::warn!(title = self.found.name, %error, "a piece of a title cannot be read");
            return Some(Err(error));
        }
        let request = self.waiting.pop().unwrap_or_else(|| {
            self.over = true;
            Request::Flush
        });
        Some(request.write().map_err(io::Error::other))
    }
}
