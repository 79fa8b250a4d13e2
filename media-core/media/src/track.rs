//! Which of a stream's tracks.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Kind;

/// One of a stream's tracks: the `nth` of its kind, from 0. A publisher keeps the numbers for as long as it
/// sends; shown as `v1`, `a2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TrackId {
    /// Video or audio.
    pub kind: Kind,
    /// From 0.
    pub nth: u8,
}

impl TrackId {
    /// The first video track.
    pub const VIDEO: Self = Self::video(0);
    /// The first audio track.
    pub const AUDIO: Self = Self::audio(0);

    /// A video track.
    #[must_use]
    pub const fn video(nth: u8) -> Self {
        Self { kind: Kind::Video, nth }
    }

    /// An audio track.
    #[must_use]
    pub const fn audio(nth: u8) -> Self {
        Self { kind: Kind::Audio, nth }
    }
}

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = if self.kind == Kind::Video { 'v' } else { 'a' };
        write!(f, "{letter}{}", u16::from(self.nth) + 1)
    }
}
