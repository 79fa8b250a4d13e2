//! What was seen on the wire: one record per request, with times, headers and bytes.

use std::sync::Arc;

use bytes::Bytes;

/// Why a resource was asked for; says which rules judge the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The address given, when it turned out to be a multivariant playlist.
    Multivariant,
    /// A media playlist, as a player asks for it: plain, blocking or delta, by the directives in its address.
    Playlist,
    /// A playlist with directives that no server may accept.
    BadDirectives,
    /// A playlist with an unknown query parameter, or with its directives in another order.
    Reordered,
    /// A playlist, with `Accept-Encoding: gzip`.
    Compressed,
    /// The first bytes of a playlist by `Range`.
    PlaylistRange,
    /// What `EXT-X-MAP` names.
    Init,
    /// A segment.
    Segment {
        /// Its media sequence number.
        msn: u64,
    },
    /// A segment that has left the playlist a moment ago.
    Removed,
    /// The inclusive byte range of a resource that was fetched whole before.
    Range {
        /// First byte.
        first: u64,
        /// Last byte.
        last: u64,
    },
    /// A partial segment that is listed.
    Part {
        /// Media sequence number of its segment.
        msn: u64,
        /// Index in the segment.
        part: u64,
    },
    /// A partial segment that `EXT-X-PRELOAD-HINT` announced, asked for before it was listed.
    Hint {
        /// Media sequence number of the segment it will belong to.
        msn: u64,
        /// Index in the segment.
        part: u64,
    },
    /// A resource that does not exist.
    Missing,
    /// A DASH manifest.
    Manifest,
}

/// One request and its answer.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// The address asked for, with its query.
    pub url: Arc<str>,
    /// The media playlist that named this resource, or its own address without directives.
    pub playlist: Arc<str>,
    /// Why it was asked for.
    pub role: Role,
    /// When the request went out, in microseconds since the watch began.
    pub asked_us: u64,
    /// When the head of the answer was there, same clock.
    pub first_byte_us: u64,
    /// When the answer was complete, same clock.
    pub done_us: u64,
    /// Status code; 0 when there was no answer.
    pub status: u16,
    /// Headers, names in lower case, in the order received.
    pub headers: Vec<(String, String)>,
    /// The body as sent, or its beginning when it was longer than the limit.
    pub body: Bytes,
    /// Whether `body` ends early because of our limit.
    pub cut: bool,
    /// Address of the last redirection, if there was one.
    pub redirect: Option<String>,
    /// Whether the connection spoke HTTP/2 or newer.
    pub http2: bool,
    /// What went wrong when there was no answer, or only half of one.
    pub failure: Option<String>,
}

impl Fetch {
    /// First value of a header; `name` in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Whether the answer is complete and of status 200 or 206.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failure.is_none() && matches!(self.status, 200 | 206)
    }

    /// Media type of the answer, in lower case, without parameters.
    #[must_use]
    pub fn mime(&self) -> Option<String> {
        let value = self.header("content-type")?;
        Some(value.split(';').next().unwrap_or(value).trim().to_ascii_lowercase())
    }
}
