//! A tolerant reader of HLS playlists. It keeps line numbers, so that findings can show them, and reads on after a
//! mistake, so that one mistake does not hide another.
//!
//! Spec: draft-pantos-hls-rfc8216bis §4.

mod attributes;
mod media;
mod multivariant;
mod values;

use std::sync::Arc;

use bytes::Bytes;

pub(crate) use attributes::Attributes;
pub(crate) use media::{Media, Part, Segment};
pub(crate) use multivariant::{Multivariant, Variant};
pub(crate) use values::{date, seconds};

use crate::report::{Finding, Line};

/// Longest playlist that is read, in bytes; the watcher cuts longer ones.
pub(crate) const BYTES_MAX: usize = 8 << 20;
/// Lines that are read; the rest is not judged.
const LINES_MAX: usize = 200_000;
/// Mistakes of syntax that are kept per playlist.
const FAULTS_MAX: usize = 32;

/// A value and the line it stands on, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At<T> {
    pub(crate) line: u32,
    pub(crate) value: T,
}

/// The text of one playlist, and when it was seen.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    /// Address that relative ones in it are resolved against.
    pub(crate) url: Arc<str>,
    /// When its last byte arrived, in microseconds since the watch began.
    pub(crate) at_us: u64,
    body: Bytes,
    /// Mistakes of syntax: line and what is wrong.
    pub(crate) faults: Vec<At<String>>,
    /// Variables of `EXT-X-DEFINE`.
    variables: Vec<(String, String)>,
}

impl Text {
    pub(crate) fn new(url: &Arc<str>, at_us: u64, body: &Bytes) -> Self {
        Self { url: Arc::clone(url), at_us, body: body.clone(), faults: Vec::new(), variables: Vec::new() }
    }

    /// Lines with their numbers, ends and trailing blanks removed. Bytes that are not UTF-8 are replaced.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (u32, String)> + use<> {
        let body = self.body.clone();
        let mut from = 0;
        (1_u32..).take(LINES_MAX).map_while(move |number| {
            let rest = body.get(from..).filter(|rest| !rest.is_empty())?;
            let length = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
            from += length + 1;
            let line = String::from_utf8_lossy(rest.get(..length)?).into_owned();
            Some((number, line.trim_end().to_owned()))
        })
    }

    /// A finding about these lines; 0 is no line.
    pub(crate) fn finding(&self, lines: &[u32], what: impl Into<String>) -> Finding {
        let mut wanted: Vec<u32> = lines.iter().copied().filter(|n| *n > 0).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let shown = if wanted.is_empty() {
            Vec::new()
        } else {
            self.lines().filter(|(n, _)| wanted.contains(n)).map(|(n, text)| Line::new(n, &text)).collect()
        };
        Finding { url: self.url.to_string(), lines: shown, what: what.into(), at_us: self.at_us }
    }

    /// The address that `uri` means here; `None` when it is none.
    pub(crate) fn resolve(&self, uri: &str) -> Option<String> {
        resolve(&self.url, uri)
    }

    fn fault(&mut self, line: u32, what: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(At { line, value: what.into() });
        }
    }

    /// Reads the attribute list of a tag, noting what is wrong with it.
    fn attributes(&mut self, line: u32, list: &str) -> Attributes {
        let (attributes, wrong) = Attributes::parse(line, list);
        wrong.into_iter().for_each(|what| self.fault(line, what));
        attributes
    }

    /// Takes an `EXT-X-DEFINE`. An imported variable is not known here; its name stays in the text.
    fn define(&mut self, line: u32, list: &str) {
        let attributes = self.attributes(line, list);
        let pair = match (attributes.get("NAME"), attributes.get("QUERYPARAM")) {
            (Some(name), _) => attributes.get("VALUE").map(|value| (name.to_owned(), value.to_owned())),
            (None, Some(name)) => query(&self.url, name).map(|value| (name.to_owned(), value)),
            (None, None) if attributes.get("IMPORT").is_some() => return,
            (None, None) => None,
        };
        match pair {
            Some(pair) => self.variables.push(pair),
            None => self.fault(line, "EXT-X-DEFINE defines nothing"),
        }
    }

    /// Replaces `{$name}` by its value.
    fn substitute(&self, line: String) -> String {
        if !line.contains("{$") {
            return line;
        }
        self.variables.iter().fold(line, |line, (name, value)| line.replace(&format!("{{${name}}}"), value))
    }
}

/// The address that `uri` means in a document at `base`.
pub(crate) fn resolve(base: &str, uri: &str) -> Option<String> {
    reqwest::Url::parse(base).ok()?.join(uri).ok().map(String::from)
}

/// First value of a query parameter of `url`.
pub(crate) fn query(url: &str, name: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).ok()?;
    url.query_pairs().find(|(n, _)| n == name).map(|(_, value)| value.into_owned())
}

/// What a text claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Does not begin with `#EXTM3U`.
    None,
    Media,
    Multivariant,
}

/// Tells by the tags what a text is; an empty playlist is a media playlist.
pub(crate) fn kind(body: &[u8]) -> Kind {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if !body.starts_with(b"#EXTM3U") {
        return Kind::None;
    }
    let lines = || body.split(|b| *b == b'\n').take(LINES_MAX);
    let multivariant = lines().any(|l| l.starts_with(b"#EXT-X-STREAM-INF"));
    let media = lines().any(|l| l.starts_with(b"#EXTINF") || l.starts_with(b"#EXT-X-TARGETDURATION"));
    let names =
        lines().any(|l| l.starts_with(b"#EXT-X-MEDIA:") || l.starts_with(b"#EXT-X-I-FRAME-STREAM-INF"));
    if multivariant || (names && !media) { Kind::Multivariant } else { Kind::Media }
}

/// Splits `#NAME:value` into the name without `#` and the value.
fn tag(line: &str) -> Option<(&str, &str)> {
    let tag = line.strip_prefix('#').filter(|rest| rest.starts_with("EXT"))?;
    Some(tag.split_once(':').unwrap_or((tag, "")))
}

#[cfg(test)]
mod tests;
