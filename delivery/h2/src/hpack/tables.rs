//! The static table (RFC 7541 appendix A), and what its entries and those of the dynamic table mean in a request.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri};

use super::{ENTRY, STATIC_LEN};

/// A field of a request, read once however often it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Field {
    Method(Method),
    /// `http` or `https`.
    Scheme,
    Authority(HeaderValue),
    Path(Uri),
    Header(HeaderName, HeaderValue),
    /// What no request may have.
    Malformed,
}

/// The name of a field.
#[derive(Debug, Clone)]
pub(super) enum Name {
    Method,
    Scheme,
    Authority,
    Path,
    Header(HeaderName),
    Malformed,
}

impl Name {
    pub(super) fn read(name: &[u8]) -> Self {
        match name {
            b":method" => Self::Method,
            b":scheme" => Self::Scheme,
            b":authority" => Self::Authority,
            b":path" => Self::Path,
            // Capital letters are refused (RFC 9113 §8.2.1), other pseudo-header fields by the colon.
            _ => HeaderName::from_lowercase(name).map_or(Self::Malformed, Self::Header),
        }
    }

    /// The field with a value.
    pub(super) fn with(self, value: Bytes) -> Field {
        let field = match self {
            Self::Method => Method::from_bytes(&value).ok().map(Field::Method),
            Self::Scheme => matches!(&*value, b"http" | b"https").then_some(Field::Scheme),
            Self::Authority => HeaderValue::from_maybe_shared(value).ok().map(Field::Authority),
            Self::Path => path(value).map(Field::Path),
            Self::Header(name) => {
                // No white space at either end (RFC 9113 §8.2.1).
                let edges = [value.first(), value.last()];
                let sound = !edges.into_iter().flatten().any(|b| matches!(b, b' ' | b'\t'));
                let value = HeaderValue::from_maybe_shared(value).ok().filter(|_| sound);
                value.map(|value| Field::Header(name, value))
            }
            Self::Malformed => None,
        };
        field.unwrap_or(Field::Malformed)
    }
}

/// A path with its query, or the star of OPTIONS (RFC 9113 §8.3.1).
fn path(value: Bytes) -> Option<Uri> {
    let sound = value.first() == Some(&b'/') || &*value == b"*";
    let uri = Uri::from_maybe_shared(value).ok().filter(|_| sound)?;
    (uri.scheme().is_none() && uri.authority().is_none()).then_some(uri)
}

/// An entry of a table.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: Name,
    pub(super) name_len: usize,
    pub(super) field: Field,
    /// As RFC 7541 §4.1 counts it.
    pub(super) size: usize,
}

impl Entry {
    pub(super) fn new(name: Name, name_len: usize, value: Bytes) -> Self {
        let size = name_len + value.len() + ENTRY;
        Self { field: name.clone().with(value), name, name_len, size }
    }
}

/// The entry with this index, from 1 on.
pub(super) fn fixed(index: usize) -> Option<&'static Entry> {
    static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
        let entry = |(name, value): &(&'static str, &'static str)| {
            Entry::new(Name::read(name.as_bytes()), name.len(), Bytes::from_static(value.as_bytes()))
        };
        STATIC.iter().map(entry).collect()
    });
    ENTRIES.get(index.checked_sub(1)?)
}

/// Index of a name that answers may have; a few are left out.
pub(super) fn named(name: &HeaderName) -> Option<usize> {
    Some(match name.as_str() {
        "accept-ranges" => 18,
        "access-control-allow-origin" => 20,
        "allow" => 22,
        "cache-control" => 24,
        "content-disposition" => 25,
        "content-encoding" => 26,
        "content-length" => 28,
        "content-range" => 30,
        "content-type" => 31,
        "date" => 33,
        "etag" => 34,
        "expires" => 36,
        "last-modified" => 44,
        "link" => 45,
        "location" => 46,
        "retry-after" => 53,
        "set-cookie" => 55,
        "vary" => 59,
        "www-authenticate" => 61,
        _ => return None,
    })
}

pub(super) const STATIC: [(&str, &str); STATIC_LEN] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];
