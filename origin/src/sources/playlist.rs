//! HLS playlists as a source reads them, and which segments come next. No I/O.
//!
//! Spec: RFC 8216.

use std::collections::VecDeque;
use std::time::Duration;

/// Largest picture that is taken where there is a choice; pixels high.
const HEIGHT_MAX: u32 = 1_080;
/// Entries of a playlist that are read; further ones are left out.
const ENTRIES_MAX: usize = 10_000;
/// Segments before the end of a live playlist at which to begin (RFC 8216 §6.3.3).
const BEHIND: usize = 3;
/// Target durations that are believed; seconds.
const TARGET_S: std::ops::RangeInclusive<u64> = 1..=60;

/// What a playlist is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Playlist {
    /// Names others: the one to take.
    Multivariant(String),
    Media(Media),
}

/// A list of segments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Media {
    pub(crate) target_s: u64,
    pub(crate) sequence: u64,
    pub(crate) segments: Vec<Segment>,
    pub(crate) ended: bool,
}

/// One of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) uri: String,
    pub(crate) duration: Duration,
    pub(crate) discontinuity: bool,
    /// There is nothing behind the URI.
    pub(crate) gap: bool,
}

/// A playlist that a source cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlaylistError {
    #[error("what came is no HLS playlist: check the URL")]
    NotOne,
    #[error("the playlist names no variant that can be taken: give the URL of a media playlist")]
    NoVariant,
    #[error(
        "the segments are fragmented MP4: only playlists of MPEG-TS segments are fetched; ask for one of these"
    )]
    Fmp4,
    #[error("the segments are encrypted ({0}): only playlists without encryption are fetched")]
    Encrypted(String),
    #[error("the segments are byte ranges of files: only playlists with a file per segment are fetched")]
    ByteRanges,
}

impl PlaylistError {
    /// Whether it will be the same the next time.
    pub(crate) fn is_final(&self) -> bool {
        !matches!(self, Self::NotOne)
    }
}

/// Reads a playlist.
pub(crate) fn parse(text: &str) -> Result<Playlist, PlaylistError> {
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|l| !l.is_empty());
    if lines.next() != Some("#EXTM3U") {
        return Err(PlaylistError::NotOne);
    }
    if text.contains("#EXT-X-STREAM-INF") {
        return variant(lines).map(Playlist::Multivariant);
    }
    media(lines).map(Playlist::Media)
}

/// The URI of the best variant that is not too large; of the smallest when all are.
fn variant<'a>(lines: impl Iterator<Item = &'a str>) -> Result<String, PlaylistError> {
    let mut variants: Vec<(u32, u64, &str)> = Vec::new();
    let mut pending = None;
    for line in lines.take(ENTRIES_MAX) {
        if let Some(attributes) = line.strip_prefix("#EXT-X-STREAM-INF:") {
            let height = attribute(attributes, "RESOLUTION").and_then(|r| r.split_once('x')?.1.parse().ok());
            let bandwidth = attribute(attributes, "BANDWIDTH").and_then(|b| b.parse().ok());
            pending = Some((height.unwrap_or(0), bandwidth.unwrap_or(0)));
        } else if !line.starts_with('#')
            && let Some((height, bandwidth)) = pending.take()
        {
            variants.push((height, bandwidth, line));
        }
    }
    let fits = variants.iter().filter(|v| v.0 <= HEIGHT_MAX).max_by_key(|v| (v.0, v.1));
    let best = fits.or_else(|| variants.iter().min_by_key(|v| (v.0, v.1)));
    best.map(|v| v.2.to_owned()).ok_or(PlaylistError::NoVariant)
}

fn media<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Media, PlaylistError> {
    let mut list = Media { target_s: 6, ..Media::default() };
    let mut next = Segment::default();
    for line in lines {
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        match tag {
            "#EXTINF" => {
                let seconds: f64 = value.split(',').next().unwrap_or_default().trim().parse().unwrap_or(0.0);
                next.duration = Duration::try_from_secs_f64(seconds).unwrap_or_default();
            }
            "#EXT-X-TARGETDURATION" => {
                list.target_s = value.trim().parse().unwrap_or(6).clamp(*TARGET_S.start(), *TARGET_S.end());
            }
            "#EXT-X-MEDIA-SEQUENCE" => list.sequence = value.trim().parse().unwrap_or(0),
            "#EXT-X-DISCONTINUITY" => next.discontinuity = true,
            "#EXT-X-GAP" => next.gap = true,
            "#EXT-X-ENDLIST" => list.ended = true,
            "#EXT-X-MAP" => return Err(PlaylistError::Fmp4),
            "#EXT-X-BYTERANGE" => return Err(PlaylistError::ByteRanges),
            "#EXT-X-KEY" => match attribute(value, "METHOD").unwrap_or("unknown") {
                "NONE" => {}
                method => return Err(PlaylistError::Encrypted(method.chars().take(20).collect())),
            },
            _ if line.starts_with('#') => {}
            _ => {
                next.uri = line.to_owned();
                if list.segments.len() < ENTRIES_MAX {
                    list.segments.push(std::mem::take(&mut next));
                }
            }
        }
    }
    let path = |s: &Segment| s.uri.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let is_fmp4 = |s: &Segment| [".m4s", ".mp4", ".cmfv", ".cmfa"].iter().any(|e| path(s).ends_with(e));
    if list.segments.iter().any(is_fmp4) {
        return Err(PlaylistError::Fmp4);
    }
    Ok(list)
}

/// The value of an attribute, without quotes.
fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = list;
    while let Some((key, tail)) = rest.split_once('=') {
        let (value, after) = match tail.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => tail.split_at(tail.find(',').unwrap_or(tail.len())),
        };
        if key.trim().trim_start_matches(',').trim() == name {
            return Some(value);
        }
        rest = after;
    }
    None
}

/// Which segments of a playlist are still to be fetched.
#[derive(Debug, Default)]
pub(crate) struct Following {
    /// First media sequence number that has not been handed out.
    next: Option<u64>,
    waiting: VecDeque<Segment>,
}

impl Following {
    /// Takes a new version of the playlist; gives the time until the next reload, `None` when the list is complete.
    pub(crate) fn update(&mut self, list: &Media) -> Option<Duration> {
        let count = list.segments.len() as u64;
        let end = list.sequence.saturating_add(count);
        let begin =
            if list.ended { list.sequence } else { end.saturating_sub(BEHIND as u64).max(list.sequence) };
        let next = match self.next {
            None => begin,
            // A source that was restarted counts from elsewhere.
            Some(next) if next > end => begin,
            // What has left the list is lost.
            Some(next) => next.max(list.sequence),
        };
        let is_behind = self.next.is_some_and(|old| old != next);
        let skip = usize::try_from(next - list.sequence).unwrap_or(usize::MAX);
        let mut fresh = list.segments.iter().skip(skip).cloned();
        if let Some(mut first) = fresh.next() {
            first.discontinuity |= is_behind;
            self.waiting.push_back(first);
            self.waiting.extend(fresh);
        }
        let news = self.next != Some(end);
        self.next = Some(end);
        let target = Duration::from_secs(list.target_s);
        // RFC 8216 §6.3.4: half of it when there was nothing new.
        (!list.ended).then_some(if news { target } else { target / 2 })
    }

    /// Segments that are known and have not been handed out.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The next segment to fetch.
    pub(crate) fn next(&mut self) -> Option<Segment> {
        let segment = self.waiting.pop_front()?;
        if segment.gap { self.next() } else { Some(segment) }
    }
}

#[cfg(test)]
mod tests;
