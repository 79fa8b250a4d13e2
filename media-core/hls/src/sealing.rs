//! Which key a stream is encrypted with, and that nothing leaves without one.

use std::sync::Arc;

use bytes::Bytes;
use nx_crypt::{Key, NotEncryptable, Protection};
use nx_media::{Kind, Params, TrackId};

use crate::event::RunTrack;

/// Bits of an IV that number samples of a segment, and that number the segment; above them is the track.
const SAMPLE_BITS: u32 = 20;
const SEGMENT_BITS: u32 = 35;

/// Why a stream that must be encrypted puts nothing out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Hindrance {
    /// It has no key yet.
    #[error("the stream is to be encrypted and there is no key yet: nothing is shown in the clear")]
    NoKey,
    /// A track's codec has no rule.
    #[error("{0}: nothing is shown in the clear")]
    Codec(#[from] NotEncryptable),
    /// A track's header is of no known form.
    #[error("the header of {0} cannot be protected: nothing is shown in the clear")]
    Header(TrackId),
}

/// Keeps the keys of a stream.
#[derive(Debug, Default)]
pub(crate) struct Vault {
    shut: bool,
    next: Option<Key>,
    used: Option<Arc<Sealing>>,
}

/// How a segment is encrypted.
#[derive(Debug)]
pub(crate) struct Sealing {
    key: Key,
    /// The run began with another key: parts say their own, for who has still the header of the one before.
    own: bool,
}

impl Sealing {
    /// A part of a track, whose segment has so many samples before it, encrypted; `None` when it cannot be.
    ///
    /// An IV of `cenc` is track, segment and place in it. No number of a segment is ever given twice, so no two samples
    /// of a stream have the same; a key of its own is what two streams need ([`nx_crypt::Scheme::Cenc`]).
    pub(crate) fn seal(
        &self,
        part: &Bytes,
        params: &Params,
        id: TrackId,
        msn: u64,
        samples: u32,
    ) -> Option<Bytes> {
        let track = u64::from(id.nth) | (u64::from(id.kind == Kind::Audio) << 8);
        let segment = msn & ((1 << SEGMENT_BITS) - 1);
        let first = (track << (SEGMENT_BITS + SAMPLE_BITS)) | (segment << SAMPLE_BITS) | u64::from(samples);
        nx_crypt::seal(part, params, &self.key, first, self.own).ok()
    }
}

impl Vault {
    pub(crate) fn shut(&mut self) {
        self.shut = true;
    }

    pub(crate) fn put(&mut self, key: Key) {
        self.shut = true;
        let same = |of: &Key| of.told.key_id == key.told.key_id;
        if !self.next.as_ref().or(self.used.as_ref().map(|used| &used.key)).is_some_and(same) {
            self.next = Some(key);
        }
    }

    pub(crate) fn has_key(&self) -> bool {
        !self.shut || self.next.is_some() || self.used.is_some()
    }

    pub(crate) fn hindrance(&self, tracks: &[Arc<RunTrack>]) -> Option<Hindrance> {
        if !self.shut {
            return None;
        }
        let Some(key) = self.next.as_ref().or(self.used.as_ref().map(|used| &used.key)) else {
            return Some(Hindrance::NoKey);
        };
        let hinders = |track: &Arc<RunTrack>| match nx_crypt::check(&track.params) {
            Err(codec) => Some(Hindrance::Codec(codec)),
            Ok(()) => {
                let header = nx_crypt::protect(&track.init, track.params.kind(), &key.told);
                header.is_none().then_some(Hindrance::Header(track.id))
            }
        };
        tracks.iter().find_map(hinders)
    }

    /// A run begins; gives its first key.
    pub(crate) fn begin_run(&mut self) -> Option<Arc<Protection>> {
        let key = self.next.take().or_else(|| self.used.as_ref().map(|used| used.key.clone()))?;
        let told = key.told.clone();
        self.used = Some(Arc::new(Sealing { key, own: false }));
        Some(told)
    }

    /// A segment begins; gives its key if that is another.
    pub(crate) fn turn(&mut self) -> Option<Arc<Protection>> {
        let key = self.next.take()?;
        let told = key.told.clone();
        self.used = Some(Arc::new(Sealing { key, own: true }));
        Some(told)
    }

    pub(crate) fn sealing(&self) -> Option<Arc<Sealing>> {
        self.used.clone()
    }
}
