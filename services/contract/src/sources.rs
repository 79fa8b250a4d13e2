//! Where a stream is fetched from: `/api/streamcore/v1/streams/APP/STREAM/sources`.

use serde::{Deserialize, Serialize};

use crate::desired::{Held, Status};
use crate::targets::yes;

/// A place that the stream is fetched from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    /// `UUIDv7`.
    pub id: String,
    /// `APP/STREAM`.
    pub stream: String,
    /// Its secrets are replaced by `***`.
    pub url: String,
    /// Which of the stream's inputs it feeds.
    pub input: InputRole,
    /// Whether it runs.
    pub enabled: bool,
    /// RFC 3339.
    pub created_at: String,
    /// Who wants it.
    pub origin: Held,
    /// What it is doing.
    #[serde(flatten)]
    pub status: Status,
    /// Since the server started.
    pub bytes_received: u64,
    /// UDP: packets that there was no room for. Since the server started.
    pub packets_dropped: u64,
}

/// One of a stream's two inputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputRole {
    /// The one on air while it is there.
    #[default]
    Primary,
    /// The one that stands by.
    Backup,
}

/// A source to be.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSource {
    /// `srt://HOST:PORT?streamid=…`, `udp://ADDRESS:PORT`, or `http(s)://…` of an HLS playlist (`.m3u8`) or an
    /// endless MPEG transport stream.
    pub url: String,
    /// Which of the stream's inputs it feeds.
    #[serde(default)]
    pub input: InputRole,
    /// Whether it runs.
    #[serde(default = "yes")]
    pub enabled: bool,
}
