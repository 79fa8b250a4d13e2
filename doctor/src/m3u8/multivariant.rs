//! The multivariant playlist.
//!
//! Spec: rfc8216bis §4.4.6.

use std::sync::Arc;

use bytes::Bytes;

use super::{At, Attributes, Text, tag};

/// Variants, renditions and I-frame lists that are read, each.
const ENTRIES_MAX: usize = 1_000;

/// One `EXT-X-STREAM-INF` and its address.
#[derive(Debug, Clone)]
pub(crate) struct Variant {
    pub(crate) attributes: Attributes,
    /// As written; empty when the line is missing.
    pub(crate) uri: At<String>,
}

/// A multivariant playlist.
#[derive(Debug, Clone)]
pub(crate) struct Multivariant {
    pub(crate) text: Text,
    pub(crate) variants: Vec<Variant>,
    /// `EXT-X-I-FRAME-STREAM-INF`.
    pub(crate) i_frames: Vec<Attributes>,
    /// `EXT-X-MEDIA`.
    pub(crate) renditions: Vec<Attributes>,
    /// `EXT-X-SESSION-KEY`.
    pub(crate) keys: Vec<Attributes>,
    /// `EXT-X-CONTENT-STEERING`.
    pub(crate) steering: Option<Attributes>,
    pub(crate) independent_segments: bool,
    /// Lines of tags that belong into a media playlist.
    pub(crate) strangers: Vec<u32>,
}

impl Multivariant {
    /// Reads a text that begins with `#EXTM3U`.
    pub(crate) fn parse(url: &Arc<str>, at_us: u64, body: &Bytes) -> Self {
        let mut found = Self {
            text: Text::new(url, at_us, body),
            variants: Vec::new(),
            i_frames: Vec::new(),
            renditions: Vec::new(),
            keys: Vec::new(),
            steering: None,
            independent_segments: false,
            strangers: Vec::new(),
        };
        let mut open: Option<Attributes> = None;
        for (number, line) in found.text.lines() {
            let line = found.text.substitute(line);
            if let Some((name, value)) = tag(&line) {
                if name == "EXT-X-STREAM-INF" {
                    if let Some(lost) = open.replace(found.text.attributes(number, value)) {
                        found.text.fault(lost.line, "no address follows this EXT-X-STREAM-INF");
                    }
                } else {
                    found.tag(number, name, value);
                }
            } else if !line.is_empty() && !line.starts_with('#') {
                match open.take() {
                    Some(attributes) if found.variants.len() < ENTRIES_MAX => {
                        found.variants.push(Variant { attributes, uri: At { line: number, value: line } });
                    }
                    Some(_) => {}
                    None => found.text.fault(number, "an address without EXT-X-STREAM-INF"),
                }
            }
        }
        if let Some(lost) = open {
            found.text.fault(lost.line, "no address follows this EXT-X-STREAM-INF");
        }
        found
    }

    fn tag(&mut self, number: u32, name: &str, value: &str) {
        match name {
            "EXT-X-MEDIA" if self.renditions.len() < ENTRIES_MAX => {
                let attributes = self.text.attributes(number, value);
                self.renditions.push(attributes);
            }
            "EXT-X-I-FRAME-STREAM-INF" if self.i_frames.len() < ENTRIES_MAX => {
                let attributes = self.text.attributes(number, value);
                self.i_frames.push(attributes);
            }
            "EXT-X-SESSION-KEY" if self.keys.len() < ENTRIES_MAX => {
                let attributes = self.text.attributes(number, value);
                self.keys.push(attributes);
            }
            "EXT-X-CONTENT-STEERING" => self.steering = Some(self.text.attributes(number, value)),
            "EXT-X-INDEPENDENT-SEGMENTS" => self.independent_segments = true,
            "EXT-X-DEFINE" => self.text.define(number, value),
            "EXTINF"
            | "EXT-X-TARGETDURATION"
            | "EXT-X-MEDIA-SEQUENCE"
            | "EXT-X-DISCONTINUITY-SEQUENCE"
            | "EXT-X-ENDLIST"
            | "EXT-X-PLAYLIST-TYPE"
            | "EXT-X-I-FRAMES-ONLY"
            | "EXT-X-PART-INF"
            | "EXT-X-PART"
            | "EXT-X-SERVER-CONTROL"
            | "EXT-X-BYTERANGE"
            | "EXT-X-DISCONTINUITY"
            | "EXT-X-KEY"
            | "EXT-X-MAP"
            | "EXT-X-PROGRAM-DATE-TIME"
            | "EXT-X-GAP" => self.strangers.push(number),
            _ => {}
        }
    }

    /// Renditions of a group, `kind` being `AUDIO`, `VIDEO`, `SUBTITLES` or `CLOSED-CAPTIONS`.
    pub(crate) fn group<'a>(&'a self, kind: &'a str, id: &'a str) -> impl Iterator<Item = &'a Attributes> {
        self.renditions.iter().filter(move |r| r.get("TYPE") == Some(kind) && r.get("GROUP-ID") == Some(id))
    }
}
