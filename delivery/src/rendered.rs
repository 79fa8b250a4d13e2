//! Texts rendered once per version and compressed at most once per coding, whoever asks.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::OnceLock;

use bytes::Bytes;
use http::HeaderValue;

use crate::conditional::HttpDate;
use crate::encoding::Coding;

/// A text with its codings as far as somebody wanted them.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) text: Bytes,
    /// When it changed last.
    pub(crate) changed: Changed,
    /// The same for `Last-Modified`.
    pub(crate) last_modified: HeaderValue,
    /// Strong entity tag (RFC 9110 §8.8.3): a function of the bytes, so that every node gives the same.
    tag: HeaderValue,
    /// The same of the codings.
    coded_tags: [HeaderValue; Coding::COMPRESSING.len()],
    coded: [OnceLock<Option<Bytes>>; Coding::COMPRESSING.len()],
}

/// The time of a text's newest change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Changed {
    /// Unix seconds.
    pub(crate) at_s: i64,
    /// No other text had this second: who has seen it has seen this text.
    pub(crate) alone: bool,
}

impl Rendered {
    /// A new text that takes the place of `before`.
    pub(crate) fn new(text: String, changed_ms: i64, before: Option<&Self>) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let at_s = changed_ms.div_euclid(1000);
        let alone = before.is_none_or(|b| b.changed.at_s < at_s);
        let hash = hasher.finish();
        Self {
            text: text.into(),
            changed: Changed { at_s, alone },
            last_modified: value(HttpDate(at_s).to_string()),
            tag: value(format!("\"{hash:016x}\"")),
            coded_tags: Coding::COMPRESSING.map(|c| value(format!("\"{hash:016x}-{}\"", c.token()))),
            coded: Default::default(),
        }
    }

    /// The text in a coding, or as it is when that gains too little. The first who asks compresses; the others wait
    /// for it. Not to be called under the stream's lock.
    pub(crate) fn coded(&self, coding: Coding) -> (Coding, Bytes) {
        let place = Coding::COMPRESSING.iter().position(|c| *c == coding).and_then(|at| self.coded.get(at));
        let coded = place.and_then(|place| place.get_or_init(|| coding.encode(&self.text)).clone());
        coded.map_or_else(|| (Coding::Identity, self.text.clone()), |bytes| (coding, bytes))
    }

    /// The entity tag of the text in a coding.
    pub(crate) fn etag(&self, coding: Coding) -> &HeaderValue {
        let place = Coding::COMPRESSING.iter().position(|c| *c == coding);
        place.and_then(|at| self.coded_tags.get(at)).unwrap_or(&self.tag)
    }
}

/// Text of ours is visible ASCII.
fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_has_the_same_tag_and_each_coding_its_own() {
        let text = "#EXTM3U\n".repeat(100);
        let (a, b) = (Rendered::new(text.clone(), 5_000, None), Rendered::new(text.clone(), 9_000, None));
        let codings = [Coding::Identity, Coding::Gzip, Coding::Brotli, Coding::Zstd];
        let tags = codings.map(|c| a.etag(c));
        assert_eq!(tags, codings.map(|c| b.etag(c)));
        assert!((1..4).all(|n| !tags[..n].contains(&tags[n])), "{tags:?}");
        assert_ne!(a.etag(Coding::Identity), Rendered::new(text + "x", 5_000, None).etag(Coding::Identity));
    }

    #[test]
    fn each_coding_is_made_once() {
        let rendered = Rendered::new("#EXTM3U\n".repeat(100), 0, None);
        for coding in Coding::COMPRESSING {
            let (first, second) = (rendered.coded(coding), rendered.coded(coding));
            assert_eq!((first.0, first.1.as_ptr()), (coding, second.1.as_ptr()));
        }
        let short = Rendered::new("#EXTM3U\n".into(), 0, None);
        assert_eq!(short.coded(Coding::Brotli), (Coding::Identity, short.text.clone()));
    }

    #[test]
    fn a_second_that_saw_two_texts_names_neither() {
        let first = Rendered::new("a".into(), 1_200, None);
        let second = Rendered::new("b".into(), 1_900, Some(&first));
        let third = Rendered::new("c".into(), 2_100, Some(&second));
        assert_eq!([first.changed.alone, second.changed.alone, third.changed.alone], [true, false, true]);
    }
}
