//! Where a stream is sent to: `/api/streamcore/v1/streams/APP/STREAM/targets`.

use serde::{Deserialize, Serialize};

use crate::desired::{Held, Status};

/// Another server that gets the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// `UUIDv7`.
    pub id: String,
    /// `APP/STREAM`.
    pub stream: String,
    /// Its secrets are replaced by `***`.
    pub url: String,
    /// Whether it runs.
    pub enabled: bool,
    /// Its certificate is not checked.
    pub tls_insecure: bool,
    /// RFC 3339.
    pub created_at: String,
    /// Who wants it.
    pub origin: Held,
    /// What it is doing.
    #[serde(flatten)]
    pub status: Status,
    /// Since the server started.
    pub bytes_sent: u64,
    /// Frames of the leading track that it was too slow for, since the server started.
    pub frames_dropped: u64,
}

/// A target to be.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTarget {
    /// `rtmp://HOST/APP/KEY`, `rtmps://HOST/APP/KEY` or
    /// `srt://HOST:PORT?streamid=…&passphrase=…&latency=MILLISECONDS`.
    pub url: String,
    /// Whether it runs.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Takes any certificate, for servers with one of their own.
    #[serde(default)]
    pub tls_insecure: bool,
}

pub(crate) fn yes() -> bool {
    true
}
