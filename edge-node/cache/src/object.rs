//! What is kept: the head of a response and its body.

use std::collections::VecDeque;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::life::Life;

/// Most tags of an object that are read; further ones are not known to a purge.
const TAGS_MAX: usize = 64;
/// Longest tag, bytes.
const TAG_BYTES_MAX: usize = 128;

/// Status and fields, as they came, and what was made of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// Status.
    pub status: StatusCode,
    /// Fields that are passed on.
    pub headers: HeaderMap,
    /// Bytes of the body, where that is known before they are all there.
    pub length: Option<u64>,
    /// How long it may be used; of what is not kept, not at all.
    pub life: Life,
    /// For who asked alone.
    pub alone: bool,
    /// Where it was had from.
    pub from: Source,
}

/// Where something was had from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// An origin sent it now.
    Origin,
    /// It was there, and an origin said that it is still right.
    Checked,
    /// It was there, and is stale; no origin answered.
    Rescue,
    /// It was on disk.
    Disk,
}

/// Something whole.
#[derive(Debug, Clone)]
pub struct Object {
    /// Status and fields; the length is known.
    pub head: Head,
    /// The body.
    pub body: VecDeque<Bytes>,
}

impl Object {
    /// Bytes of the body.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.body.iter().map(|b| b.len() as u64).sum()
    }

    /// Whether there is no body.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About what it takes of memory, bytes.
    #[must_use]
    pub fn weight(&self) -> u64 {
        let fields = |h: &HeaderMap| h.iter().map(|(n, v)| n.as_str().len() + v.len() + 64).sum::<usize>();
        self.len() + fields(&self.head.headers) as u64 + 512
    }
}

/// The tags of a response, by which it can be purged: `Cache-Tag` parts them by commas, `Surrogate-Key` by spaces.
pub fn tags(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let of = |name: &'static str, parts: char| {
        let values = headers.get_all(name).into_iter().filter_map(|v| v.to_str().ok());
        values.flat_map(move |v| v.split(parts)).map(str::trim)
    };
    of("cache-tag", ',')
        .chain(of("surrogate-key", ' '))
        .filter(|tag| (1..=TAG_BYTES_MAX).contains(&tag.len()))
        .take(TAGS_MAX)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn tags_are_read_from_both_fields_and_bounded() {
        let mut headers = HeaderMap::new();
        headers.append("cache-tag", HeaderValue::from_static("film-1, season 2,,"));
        headers.append("surrogate-key", HeaderValue::from_static("a b  c"));
        assert_eq!(tags(&headers).collect::<Vec<_>>(), ["film-1", "season 2", "a", "b", "c"]);
        let many = HeaderValue::from_str(&"x,".repeat(1_000)).unwrap();
        headers.insert("cache-tag", many);
        assert_eq!(tags(&headers).count(), TAGS_MAX);
    }
}
