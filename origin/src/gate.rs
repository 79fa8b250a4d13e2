//! Holds the first frames of a session until it is clear which tracks there are.

use std::collections::BTreeMap;

use nx_media::{Kind, Params, TrackId};
use nx_timeline::Arrival;

use crate::media::Expect;

/// Frames and bytes held at most; beyond, the session starts with the tracks that are known.
const HELD_MAX: usize = 2_048;
const HELD_BYTES_MAX: usize = 8 << 20;
/// How long a track that was not announced is waited for; milliseconds.
const PATIENCE_MS: i64 = 500;
/// The same for one that the stream had before: its viewers are there still.
const KNOWN_PATIENCE_MS: i64 = 3_000;

/// Closed until every expected track has told its parameters, or has been waited for long enough.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    since_ms: Option<i64>,
    /// Tracks of the session before.
    known: Vec<TrackId>,
    expect: Option<Expect>,
    /// The first picture has to be among what is held.
    pictured: bool,
    held: Vec<Arrival>,
    bytes: usize,
}

impl Gate {
    /// A session of a stream that had these tracks.
    pub(crate) fn again(known: Vec<TrackId>) -> Self {
        Self { known, ..Self::default() }
    }

    /// Holds until there is a picture too, if there are pictures.
    pub(crate) fn pictured(self, pictured: bool) -> Self {
        Self { pictured, ..self }
    }

    pub(crate) fn expect(&mut self, expect: Expect) {
        self.expect = Some(expect);
    }

    /// Takes a frame; gives all that were held when the gate opens.
    pub(crate) fn push(
        &mut self,
        now_ms: i64,
        arrival: Arrival,
        declared: &BTreeMap<TrackId, Params>,
    ) -> Option<Vec<Arrival>> {
        let since_ms = *self.since_ms.get_or_insert(now_ms);
        let full = self.held.len() >= HELD_MAX || self.bytes >= HELD_BYTES_MAX;
        if !full {
            self.bytes += arrival.payload.len();
            self.held.push(arrival);
        }
        let open = !declared.is_empty() && (full || self.complete(now_ms - since_ms, declared));
        open.then(|| std::mem::take(&mut self.held))
    }

    fn complete(&self, waited_ms: i64, declared: &BTreeMap<TrackId, Params>) -> bool {
        let exact = self.expect.as_ref().is_some_and(|e| e.exact);
        let awaited = self.pictured && declared.contains_key(&TrackId::VIDEO);
        let seen = || self.held.iter().any(|frame| frame.track == TrackId::VIDEO && frame.key);
        if awaited && waited_ms < KNOWN_PATIENCE_MS && !seen() {
            return false;
        }
        let back = self.known.iter().all(|id| declared.contains_key(id));
        if !back && !exact && waited_ms < KNOWN_PATIENCE_MS {
            return false;
        }
        let Some(expect) = &self.expect else {
            let both = [Kind::Video, Kind::Audio].iter().all(|k| declared.keys().any(|id| id.kind == *k));
            return both || waited_ms >= PATIENCE_MS;
        };
        let patience_ms =
            |id: &TrackId| if id.kind == Kind::Video { expect.video_ms } else { expect.audio_ms };
        expect.tracks.iter().all(|id| declared.contains_key(id) || waited_ms >= patience_ms(id))
    }
}
