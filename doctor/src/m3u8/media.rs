//! The media playlist.
//!
//! Spec: rfc8216bis §4.4.2 to §4.4.5.

use std::sync::Arc;

use bytes::Bytes;

use super::values::{date, micros};
use super::{At, Attributes, Text, tag};

/// Segments that are read.
const SEGMENTS_MAX: usize = 50_000;
/// Parts that are read per segment, and other tags per playlist.
const TAGS_MAX: usize = 2_000;

/// One partial segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) line: u32,
    /// As written; empty when missing.
    pub(crate) uri: String,
    pub(crate) duration_us: u64,
    pub(crate) independent: bool,
    pub(crate) gap: bool,
    /// `BYTERANGE` as written.
    pub(crate) range: Option<String>,
}

/// One segment, or the open end of the playlist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Line of its address; 0 for the open end.
    pub(crate) line: u32,
    /// Line of its `EXTINF`; 0 without one.
    pub(crate) extinf_line: u32,
    /// Media sequence number.
    pub(crate) msn: u64,
    /// Discontinuity sequence number.
    pub(crate) dsn: u64,
    pub(crate) uri: String,
    pub(crate) duration_us: u64,
    /// Line of its `EXT-X-DISCONTINUITY`.
    pub(crate) discontinuity: Option<u32>,
    /// Microseconds since 1970, when stated here.
    pub(crate) date_us: Option<At<i64>>,
    /// Address in the `EXT-X-MAP` that applies, with its byte range.
    pub(crate) map: Option<String>,
    /// The `EXT-X-KEY` that applies, as written.
    pub(crate) key: Option<String>,
    pub(crate) gap: bool,
    /// `EXT-X-BYTERANGE` as written.
    pub(crate) range: Option<String>,
    pub(crate) parts: Vec<Part>,
}

/// An `EXT-X-PRELOAD-HINT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) line: u32,
    pub(crate) kind: String,
    pub(crate) uri: String,
    /// Whether it announces a byte range of a larger resource.
    pub(crate) ranged: bool,
}

/// A media playlist.
#[derive(Debug, Clone)]
pub(crate) struct Media {
    pub(crate) text: Text,
    pub(crate) version: Option<At<u64>>,
    pub(crate) target_s: Option<At<u64>>,
    pub(crate) media_sequence: Option<At<u64>>,
    pub(crate) discontinuity_sequence: Option<At<u64>>,
    pub(crate) playlist_type: Option<At<String>>,
    pub(crate) end_list: Option<u32>,
    pub(crate) i_frames_only: Option<u32>,
    pub(crate) independent_segments: bool,
    pub(crate) part_inf: Option<Attributes>,
    pub(crate) control: Option<Attributes>,
    pub(crate) skip: Option<Attributes>,
    pub(crate) keys: Vec<Attributes>,
    pub(crate) maps: Vec<Attributes>,
    pub(crate) date_ranges: Vec<Attributes>,
    pub(crate) reports: Vec<Attributes>,
    pub(crate) hints: Vec<Hint>,
    /// Complete segments.
    pub(crate) segments: Vec<Segment>,
    /// What follows the last complete segment: the parts of the next.
    pub(crate) open: Segment,
    /// Lines of tags that belong into a multivariant playlist.
    pub(crate) strangers: Vec<u32>,
    /// The first line of what needs each protocol version.
    pub(crate) needs: Vec<(u64, u32, &'static str)>,
}

impl Media {
    /// Reads a text that begins with `#EXTM3U`. `url` is without directives.
    pub(crate) fn parse(url: &Arc<str>, at_us: u64, body: &Bytes) -> Self {
        let mut found = Self {
            text: Text::new(url, at_us, body),
            version: None,
            target_s: None,
            media_sequence: None,
            discontinuity_sequence: None,
            playlist_type: None,
            end_list: None,
            i_frames_only: None,
            independent_segments: false,
            part_inf: None,
            control: None,
            skip: None,
            keys: Vec::new(),
            maps: Vec::new(),
            date_ranges: Vec::new(),
            reports: Vec::new(),
            hints: Vec::new(),
            segments: Vec::new(),
            open: Segment::default(),
            strangers: Vec::new(),
            needs: Vec::new(),
        };
        for (number, line) in found.text.lines() {
            let line = found.text.substitute(line);
            if let Some((name, value)) = tag(&line) {
                if !found.header(number, name, value) && !found.of_segment(number, name, value) {
                    found.other(number, name, value);
                }
            } else if !line.is_empty() && !line.starts_with('#') {
                found.close(number, line);
            }
        }
        found.number();
        found
    }

    /// Target duration in microseconds, 0 when missing.
    pub(crate) fn target_us(&self) -> u64 {
        self.target_s.as_ref().map_or(0, |t| t.value.saturating_mul(1_000_000))
    }

    /// Part target in microseconds.
    pub(crate) fn part_target_us(&self) -> Option<u64> {
        self.part_inf.as_ref()?.micros("PART-TARGET").filter(|us| *us > 0)
    }

    /// Whether it still grows.
    pub(crate) fn is_live(&self) -> bool {
        self.end_list.is_none() && self.playlist_type.as_ref().is_none_or(|t| t.value != "VOD")
    }

    /// Number of segments that a delta update left out.
    pub(crate) fn skipped(&self) -> u64 {
        self.skip.as_ref().and_then(|s| s.integer("SKIPPED-SEGMENTS")).unwrap_or(0)
    }

    /// Media sequence number of the first segment, skipped ones included.
    pub(crate) fn first_msn(&self) -> u64 {
        self.media_sequence.as_ref().map_or(0, |m| m.value)
    }

    /// The live edge: sequence number of the last segment with content, and the index of its last part. Without
    /// parts in an open segment it is the last complete one.
    pub(crate) fn edge(&self) -> Option<(u64, Option<u64>)> {
        let index = |s: &Segment| u64::try_from(s.parts.len()).ok()?.checked_sub(1);
        if !self.open.parts.is_empty() {
            return Some((self.open.msn, index(&self.open)));
        }
        self.segments.last().map(|s| (s.msn, index(s)))
    }

    /// Whether both were written when as much was there. A segment with all its parts may still be open.
    pub(crate) fn is_of_the_time_of(&self, other: &Self) -> bool {
        self.edge() == other.edge() && self.open.parts.is_empty() == other.open.parts.is_empty()
    }

    /// Sequence number and index of the part that a `PRELOAD-HINT` announces.
    pub(crate) fn next_part(&self) -> (u64, u64) {
        (self.open.msn, u64::try_from(self.open.parts.len()).unwrap_or(u64::MAX))
    }

    /// Duration of the listed segments, in microseconds.
    pub(crate) fn duration_us(&self) -> u64 {
        self.segments.iter().fold(0, |sum, s| sum.saturating_add(s.duration_us))
    }

    /// Whether it lists content up to the segment, or the part, asked for.
    pub(crate) fn contains(&self, msn: u64, part: Option<u64>) -> bool {
        let complete = self.segments.last().is_some_and(|s| s.msn >= msn);
        let open = part.is_some_and(|part| {
            let next = self.next_part();
            self.open.msn > msn || (self.open.msn == msn && next.1 > part)
        });
        complete || open
    }

    /// The segment with this number, if listed.
    pub(crate) fn segment(&self, msn: u64) -> Option<&Segment> {
        let first = self.segments.first()?.msn;
        self.segments.get(usize::try_from(msn.checked_sub(first)?).ok()?)
    }

    /// Segments, and what follows them.
    pub(crate) fn with_open(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().chain(std::iter::once(&self.open))
    }

    /// Tags that stand once and hold for the whole playlist. False for others.
    fn header(&mut self, number: u32, name: &str, value: &str) -> bool {
        let twice = match name {
            "EXT-X-VERSION" => self.integer(number, name, value, |m| &mut m.version),
            "EXT-X-TARGETDURATION" => self.integer(number, name, value, |m| &mut m.target_s),
            "EXT-X-MEDIA-SEQUENCE" => {
                self.not_behind_segments(number, name);
                self.integer(number, name, value, |m| &mut m.media_sequence)
            }
            "EXT-X-DISCONTINUITY-SEQUENCE" => {
                self.not_behind_segments(number, name);
                self.integer(number, name, value, |m| &mut m.discontinuity_sequence)
            }
            "EXT-X-PLAYLIST-TYPE" => {
                if !["EVENT", "VOD"].contains(&value) {
                    self.text.fault(number, "EXT-X-PLAYLIST-TYPE is neither EVENT nor VOD");
                }
                self.playlist_type.replace(At { line: number, value: value.to_owned() }).is_some()
            }
            "EXT-X-ENDLIST" => self.end_list.replace(number).is_some(),
            "EXT-X-I-FRAMES-ONLY" => {
                self.need(4, number, "EXT-X-I-FRAMES-ONLY");
                self.i_frames_only.replace(number).is_some()
            }
            "EXT-X-INDEPENDENT-SEGMENTS" => std::mem::replace(&mut self.independent_segments, true),
            "EXT-X-PART-INF" => {
                let attributes = self.text.attributes(number, value);
                self.part_inf.replace(attributes).is_some()
            }
            "EXT-X-SERVER-CONTROL" => {
                let attributes = self.text.attributes(number, value);
                self.control.replace(attributes).is_some()
            }
            "EXT-X-SKIP" => {
                let attributes = self.text.attributes(number, value);
                let removed = attributes.get("RECENTLY-REMOVED-DATERANGES").is_some();
                self.need(if removed { 10 } else { 9 }, number, "EXT-X-SKIP");
                self.skip.replace(attributes).is_some()
            }
            _ => return false,
        };
        if twice {
            self.text.fault(number, format!("{name} stands twice"));
        }
        true
    }

    /// Tags that apply to a segment, or from a segment on. False for others.
    fn of_segment(&mut self, number: u32, name: &str, value: &str) -> bool {
        match name {
            "EXTINF" => self.extinf(number, value),
            "EXT-X-DISCONTINUITY" => self.open.discontinuity = Some(number),
            "EXT-X-GAP" => self.open.gap = true,
            "EXT-X-BYTERANGE" => {
                self.need(4, number, "EXT-X-BYTERANGE");
                self.open.range = Some(value.to_owned());
            }
            "EXT-X-PROGRAM-DATE-TIME" => match date(value) {
                Some(us) => self.open.date_us = Some(At { line: number, value: us }),
                None => self.text.fault(number, "EXT-X-PROGRAM-DATE-TIME is not a date of ISO 8601"),
            },
            "EXT-X-MAP" => {
                let attributes = self.text.attributes(number, value);
                match attributes.get("URI") {
                    Some(uri) => {
                        self.open.map = Some(format!("{uri} {}", attributes.get("BYTERANGE").unwrap_or("")));
                    }
                    None => self.text.fault(number, "EXT-X-MAP has no URI"),
                }
                self.need(if self.i_frames_only.is_some() { 5 } else { 6 }, number, "EXT-X-MAP");
                push(&mut self.maps, attributes);
            }
            "EXT-X-KEY" => {
                let attributes = self.text.attributes(number, value);
                self.open.key = Some(value.to_owned());
                push(&mut self.keys, attributes);
            }
            "EXT-X-PART" => {
                let attributes = self.text.attributes(number, value);
                self.part(&attributes);
            }
            _ => return false,
        }
        true
    }

    fn other(&mut self, number: u32, name: &str, value: &str) {
        match name {
            "EXT-X-DATERANGE" => {
                let attributes = self.text.attributes(number, value);
                push(&mut self.date_ranges, attributes);
            }
            "EXT-X-RENDITION-REPORT" => {
                let attributes = self.text.attributes(number, value);
                push(&mut self.reports, attributes);
            }
            "EXT-X-PRELOAD-HINT" => {
                let attributes = self.text.attributes(number, value);
                for name in ["TYPE", "URI"] {
                    if attributes.get(name).is_none() {
                        self.text.fault(number, format!("EXT-X-PRELOAD-HINT has no {name}"));
                    }
                }
                let text = |name| attributes.get(name).unwrap_or_default().to_owned();
                let ranged =
                    ["BYTERANGE-START", "BYTERANGE-LENGTH"].iter().any(|n| attributes.get(n).is_some());
                push(&mut self.hints, Hint { line: number, kind: text("TYPE"), uri: text("URI"), ranged });
            }
            "EXT-X-DEFINE" => {
                self.need(8, number, "EXT-X-DEFINE");
                self.text.define(number, value);
            }
            "EXT-X-STREAM-INF"
            | "EXT-X-I-FRAME-STREAM-INF"
            | "EXT-X-MEDIA"
            | "EXT-X-SESSION-DATA"
            | "EXT-X-SESSION-KEY"
            | "EXT-X-CONTENT-STEERING" => self.strangers.push(number),
            _ => {}
        }
    }

    fn integer(
        &mut self,
        number: u32,
        name: &str,
        value: &str,
        place: fn(&mut Self) -> &mut Option<At<u64>>,
    ) -> bool {
        match value.trim().parse() {
            Ok(value) => place(self).replace(At { line: number, value }).is_some(),
            Err(_) => {
                self.text.fault(number, format!("{name} is not a decimal integer"));
                false
            }
        }
    }

    fn not_behind_segments(&mut self, number: u32, name: &str) {
        if !self.segments.is_empty() || !self.open.parts.is_empty() {
            self.text.fault(number, format!("{name} stands behind the first segment"));
        }
    }

    fn extinf(&mut self, number: u32, value: &str) {
        let duration = value.split(',').next().unwrap_or_default().trim();
        if duration.contains('.') {
            self.need(3, number, "a decimal EXTINF");
        }
        if self.open.extinf_line > 0 {
            self.text.fault(self.open.extinf_line, "no address follows this EXTINF");
        }
        self.open.extinf_line = number;
        match micros(duration) {
            Some(us) => self.open.duration_us = us,
            None => self.text.fault(number, "EXTINF has no duration in decimal seconds"),
        }
    }

    fn part(&mut self, attributes: &Attributes) {
        let line = attributes.line;
        let duration_us = attributes.micros("DURATION");
        if duration_us.is_none() {
            self.text.fault(line, "EXT-X-PART has no DURATION in decimal seconds");
        }
        if attributes.get("URI").is_none() {
            self.text.fault(line, "EXT-X-PART has no URI");
        }
        let part = Part {
            line,
            uri: attributes.get("URI").unwrap_or_default().to_owned(),
            duration_us: duration_us.unwrap_or(0),
            independent: attributes.yes("INDEPENDENT"),
            gap: attributes.yes("GAP"),
            range: attributes.get("BYTERANGE").map(str::to_owned),
        };
        push(&mut self.open.parts, part);
    }

    /// The line of a segment's address ends the segment.
    fn close(&mut self, number: u32, uri: String) {
        if self.open.extinf_line == 0 {
            self.text.fault(number, "an address without EXTINF");
        }
        let (map, key) = (self.open.map.clone(), self.open.key.clone());
        let mut segment = std::mem::replace(&mut self.open, Segment { map, key, ..Segment::default() });
        segment.line = number;
        segment.uri = uri;
        if self.segments.len() < SEGMENTS_MAX {
            self.segments.push(segment);
        }
    }

    /// Gives each segment its numbers.
    fn number(&mut self) {
        let mut msn = self.first_msn().saturating_add(self.skipped());
        let mut dsn = self.discontinuity_sequence.as_ref().map_or(0, |d| d.value);
        for segment in self.segments.iter_mut().chain(std::iter::once(&mut self.open)) {
            dsn = dsn.saturating_add(u64::from(segment.discontinuity.is_some()));
            (segment.msn, segment.dsn) = (msn, dsn);
            msn = msn.saturating_add(1);
        }
        if self.open.extinf_line > 0 {
            let line = self.open.extinf_line;
            self.text.fault(line, "no address follows this EXTINF");
        }
    }

    fn need(&mut self, version: u64, line: u32, what: &'static str) {
        if !self.needs.iter().any(|(v, ..)| *v == version) {
            self.needs.push((version, line, what));
        }
    }
}

/// Appends unless the list is full.
fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() < TAGS_MAX {
        list.push(item);
    }
}
