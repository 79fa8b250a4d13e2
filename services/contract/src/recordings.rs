//! What is kept of streams.

use serde::{Deserialize, Serialize};

/// A stretch of time that a stream was on and is kept of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// `APP/STREAM`.
    pub stream: String,
    /// RFC 3339.
    pub begins_at: String,
    /// RFC 3339; null while it goes on.
    pub ends_at: Option<String>,
    /// From its beginning to the end of its newest segment, pauses included; milliseconds.
    pub duration_ms: u64,
    /// Size on disk.
    pub bytes: u64,
    /// Where it is played as HLS, on an edge or origin.
    pub hls_path: String,
    /// Where it is played as DASH.
    pub dash_path: String,
    /// Where it is had as one MP4.
    pub mp4_path: String,
}

/// Who knows.
pub trait Recordings: Send + Sync {
    /// Every recording, the newest first.
    fn recordings(&self) -> Vec<Recording>;
}
