//! What the reader of a protocol hands to a stream: the same for RTMP, SRT and files.

use bytes::Bytes;
use nx_container::scte35::Splice;
use nx_media::{Params, TrackId};
use nx_timeline::Arrival;

/// One thing that a publisher sent.
#[derive(Debug, Clone)]
pub(crate) enum Media {
    /// The tracks that will come, as far as the publisher tells.
    Expect(Expect),
    /// Decoder parameters of a track.
    Params(TrackId, Params),
    /// A frame with its time on the wire.
    Frame(Arrival),
    /// RTMP metadata, for RTMP players.
    Metadata(Bytes),
    /// An SCTE-35 cue.
    Cue(Splice),
}

/// Announced tracks, and how long the first frame waits for their parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expect {
    pub(crate) tracks: Vec<TrackId>,
    /// Milliseconds, for video.
    pub(crate) video_ms: i64,
    /// Milliseconds, for audio.
    pub(crate) audio_ms: i64,
    /// These and no others: tracks that are not among them have ended.
    pub(crate) exact: bool,
}
