//! What the packager says and a window understands.

use std::sync::Arc;

use bytes::Bytes;
use nx_crypt::Protection;
use nx_media::{Params, TrackId};
use serde::{Deserialize, Serialize};

use crate::daterange::DateRange;
use crate::text::{Captions, TextCue};

/// A stretch of the stream with one set of tracks and one clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Number of this run within the stream, from 0.
    pub number: u32,
    /// Media sequence number of its first segment, the same in every track.
    pub first_msn: u64,
    /// Its tracks.
    pub tracks: Vec<Arc<RunTrack>>,
    /// Unix time in milliseconds at which its first segment begins.
    pub start_ms: i64,
    /// Unix time in milliseconds of presentation time 0.
    pub wall_at_zero_ms: i64,
    /// Longest part, in microseconds; the same in every run of a stream.
    pub part_target_us: u32,
    /// Its keys as far as they are known, oldest first; none when it is not encrypted. Further ones come as
    /// [`Event::Key`].
    pub keys: Vec<KeyPeriod>,
}

/// From a segment on, every track of the run is encrypted with this key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyPeriod {
    /// The first segment.
    pub first_msn: u64,
    /// When it begins in the track that decides where segments are cut, Unix milliseconds.
    pub begins_ms: i64,
    /// What is told of the key.
    pub told: Arc<Protection>,
}

impl Run {
    /// Index of the track that decides where segments are cut: the video with the lowest number, else the sound
    /// with the lowest.
    #[must_use]
    pub fn leader(&self) -> usize {
        leader(&self.tracks)
    }

    /// A track as a segment of the run has it: with the header of the segment's key, if there is one.
    #[must_use]
    pub fn track_at(&self, index: usize, msn: u64) -> Option<Arc<RunTrack>> {
        let track = self.tracks.get(index)?;
        let keyed = |period: &KeyPeriod| track.keyed(period).map(Arc::new);
        KeyPeriod::at(&self.keys, msn).map_or_else(|| Some(track.clone()), keyed)
    }
}

impl KeyPeriod {
    /// Of some, oldest first, the one that a segment belongs to.
    pub(crate) fn at(periods: &[Self], msn: u64) -> Option<&Self> {
        periods.iter().rfind(|period| period.first_msn <= msn).or(periods.first())
    }
}

pub(crate) fn leader(tracks: &[Arc<RunTrack>]) -> usize {
    tracks.iter().enumerate().min_by_key(|(_, t)| t.id).map_or(0, |(index, _)| index)
}

/// One track during one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunTrack {
    /// Which of the stream's tracks; stays the same from run to run.
    pub id: TrackId,
    /// Name in URLs, the id as text: `v1`, `a2`.
    pub name: String,
    /// Run that it belongs to.
    pub run: u32,
    /// Decoder parameters.
    pub params: Params,
    /// CMAF header: `ftyp` and `moov`.
    pub init: Bytes,
    /// The key that the header names; segments of an encrypted run have one, [`Run::tracks`] have none.
    pub key: Option<KeyPeriod>,
}

impl RunTrack {
    /// The track with the header of a key period; `None` when its header cannot be protected.
    #[must_use]
    pub fn keyed(&self, period: &KeyPeriod) -> Option<Self> {
        let init = nx_crypt::protect(&self.init, self.params.kind(), &period.told)?;
        Some(Self { init, key: Some(period.clone()), ..self.clone() })
    }

    /// What its header is called in URLs: `init-RUN.mp4`, with a key `init-RUN.MSN.mp4`.
    #[must_use]
    pub fn init_name(&self) -> String {
        match &self.key {
            None => format!("init-{}.mp4", self.run),
            Some(key) => format!("init-{}.{}.mp4", self.run, key.first_msn),
        }
    }

    /// What tells its header from others of the track: run, and first segment of the key.
    pub(crate) fn header(&self) -> (u32, Option<u64>) {
        (self.run, self.key.as_ref().map(|key| key.first_msn))
    }
}

/// A piece of a segment that players may fetch as soon as it is there (RFC 8216bis §4.4.4.9).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Segment that it belongs to.
    pub msn: u64,
    /// Place in the segment, from 0.
    pub index: u32,
    /// Decode time of the first sample, in the track's timescale.
    pub dts: i64,
    /// Earliest presentation time of its samples, in the track's timescale.
    pub pts: i64,
    /// In the track's timescale.
    pub duration: u64,
    /// Decoding can start with its first sample.
    pub independent: bool,
    /// One CMAF chunk: `emsg` and `prft` (pictures only), `moof` and `mdat`. Whoever writes a part down puts them
    /// elsewhere.
    #[serde(skip)]
    pub bytes: Bytes,
}

/// A whole segment whose bytes lie elsewhere: it is listed, and fetched by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Media sequence number that it had when it was made, and has in its name.
    pub msn: u64,
    /// Unix time in milliseconds of its first picture or sound.
    pub begins_ms: i64,
    /// Earliest presentation time of its samples, in the track's timescale.
    pub pts: i64,
    /// In the track's timescale.
    pub duration: u64,
    /// Size.
    pub bytes: usize,
    /// Decoding can start with its first sample.
    pub independent: bool,
    /// See [`crate::Segment::i_frame_bytes`].
    pub i_frame_bytes: Option<usize>,
    /// Its name tells the run, as in DASH: segments of other runs have the same numbers.
    pub named_by_run: bool,
}

/// One step in the life of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// What follows belongs to this run; viewers see a discontinuity if there was another before.
    Run(Arc<Run>),
    /// From a segment of the run on there is another key.
    Key(KeyPeriod),
    /// A part of a track is complete.
    Part {
        /// Index into [`Run::tracks`].
        track: usize,
        /// The part.
        part: Part,
    },
    /// A segment of a track has got all its parts. One without any is a gap (RFC 8216bis §4.4.4.7).
    SegmentEnd {
        /// Index into [`Run::tracks`].
        track: usize,
        /// Which segment.
        msn: u64,
        /// In the track's timescale.
        duration: u64,
    },
    /// A segment of a track is in the store. For windows onto the past ([`crate::Window::past`]), in place of its parts
    /// and its end.
    Stored {
        /// Index into [`Run::tracks`].
        track: usize,
        /// The segment.
        segment: Stored,
    },
    /// Something is announced about a stretch of the run's time.
    DateRange(DateRange),
    /// A range that has not begun is taken back.
    Withdraw {
        /// [`DateRange::id`].
        id: String,
    },
    /// There is text, or other text than before; replaces what the last one said.
    Captions(Captions),
    /// Text is shown.
    Text {
        /// Index into [`Captions::renditions`].
        rendition: usize,
        /// The cue.
        cue: TextCue,
    },
    /// The stream is over.
    End,
}
