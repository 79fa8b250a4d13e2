//! Reads playlists as a player does, and finds what RFC 8216bis forbids.

use std::collections::HashMap;

use crate::{Ask, Skip, Window};

/// A segment as a media playlist lists it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Listed {
    pub(super) seconds: f64,
    pub(super) gap: bool,
    pub(super) discontinuity: u64,
    pub(super) date: String,
    /// What it says of breaks.
    pub(super) marks: Vec<String>,
    pub(super) parts: Vec<f64>,
}

/// A media playlist.
#[derive(Debug, Default)]
pub(super) struct Playlist {
    pub(super) segments: Vec<(u64, Listed)>,
    pub(super) dates: Vec<String>,
    pub(super) independent: bool,
}

/// Remembers what was listed before: a segment never changes.
#[derive(Debug, Default)]
pub(super) struct Validator {
    known: HashMap<(String, u64), Listed>,
    /// How much longer than another track's a segment may be, seconds.
    drift: Option<f64>,
}

fn value<'a>(line: &'a str, tag: &str) -> Option<&'a str> {
    line.strip_prefix(tag)?.strip_prefix(':')
}

/// The text of an attribute, quotes left out.
pub(super) fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = line.split([',', ':']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    let from = rest.as_ptr() as usize - line.as_ptr() as usize;
    match line[from..].strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => line[from..].split(',').next(),
    }
}

/// Reads a media playlist and checks it by itself.
pub(super) fn read(text: &str) -> Playlist {
    let mut list = Playlist::default();
    let number = |line: &str, tag| -> Option<u64> { value(line, tag).map(|v| v.parse().expect(tag)) };
    let (mut target, mut part_target, mut msn, mut discontinuity) = (None, None, 0, 0);
    let (mut gap, mut date, mut marks, mut parts, mut seconds) =
        (false, String::new(), Vec::new(), Vec::new(), None);
    assert!(text.starts_with("#EXTM3U\n"), "{text}");
    for line in text.lines() {
        target = target.or(number(line, "#EXT-X-TARGETDURATION"));
        msn = number(line, "#EXT-X-MEDIA-SEQUENCE").unwrap_or(msn);
        discontinuity = number(line, "#EXT-X-DISCONTINUITY-SEQUENCE").unwrap_or(discontinuity);
        if line.starts_with("#EXT-X-PART-INF") {
            part_target = attribute(line, "PART-TARGET").map(|v| v.parse::<f64>().expect("a number"));
        } else if line.starts_with("#EXT-X-PART:") {
            let duration: f64 = attribute(line, "DURATION").expect("a duration").parse().expect("a number");
            assert!(duration <= part_target.expect("a part target") + 5e-6, "{line}\n{text}");
            parts.push(duration);
        } else if line == "#EXT-X-DISCONTINUITY" {
            discontinuity += 1;
        } else if line == "#EXT-X-GAP" {
            gap = true;
        } else if line == "#EXT-X-INDEPENDENT-SEGMENTS" {
            list.independent = true;
        } else if let Some(at) = value(line, "#EXT-X-PROGRAM-DATE-TIME") {
            at.clone_into(&mut date);
        } else if line.starts_with("#EXT-X-CUE-") {
            marks.push(line.to_owned());
        } else if line.starts_with("#EXT-X-DATERANGE") {
            list.dates.push(line.to_owned());
        } else if let Some(length) = value(line, "#EXTINF") {
            seconds = Some(length.trim_end_matches(',').parse::<f64>().expect("a number"));
        } else if !line.starts_with('#') {
            let seconds = seconds.take().expect("EXTINF before each URI");
            let target = f64::from(u32::try_from(target.expect("a target duration")).unwrap());
            assert!(seconds.round() <= target && seconds > 0.0, "{line}: {seconds}\n{text}");
            assert!(line.starts_with(&format!("{msn}.")), "{line} is number {msn}\n{text}");
            let sum: f64 = parts.iter().sum();
            assert!(parts.is_empty() || (sum - seconds).abs() < 1e-3, "{line}: {sum} {seconds}\n{text}");
            let (marks, parts) = (std::mem::take(&mut marks), std::mem::take(&mut parts));
            let listed = Listed { seconds, gap, discontinuity, date: date.clone(), marks, parts };
            list.segments.push((msn, listed));
            (gap, msn) = (false, msn + 1);
        }
    }
    list
}

impl Validator {
    /// Allows so many seconds between the lengths of one segment in two tracks, the first segment aside.
    pub(super) fn within(seconds: f64) -> Self {
        Self { drift: Some(seconds), ..Self::default() }
    }

    /// Checks every playlist of the window, and each against the others and the past.
    pub(super) fn check(&mut self, window: &Window) {
        let mut lists: Vec<Playlist> = Vec::new();
        let mut names: Vec<String> = window.tracks().map(|t| t.name.clone()).collect();
        names.extend(window.vanished().map(|t| t.name.clone()));
        names.push("ts".into());
        for (index, name) in names.iter().enumerate() {
            let ask = if name == "ts" { Ask::Ts } else { Ask::Track(index) };
            let Some(text) = window.media_playlist(ask, Skip::None) else { continue };
            let list = read(&text);
            for (msn, listed) in &list.segments {
                // Parts of old segments are not listed any more.
                let now = Listed { parts: Vec::new(), ..listed.clone() };
                let before = self.known.entry((name.clone(), *msn)).or_insert_with(|| now.clone());
                assert_eq!(*before, now, "{name} {msn}\n{text}");
            }
            lists.push(list);
        }
        let Some((first, others)) = lists.split_first() else { return };
        for other in others {
            for (msn, listed) in &other.segments {
                let Some((_, same)) = first.segments.iter().find(|(m, _)| m == msn) else { continue };
                assert_eq!(same.discontinuity, listed.discontinuity, "{msn} of {names:?}");
                assert_eq!(same.marks, listed.marks, "{msn} of {names:?}");
                let drift = (same.seconds - listed.seconds).abs();
                assert!(
                    *msn == 100 || self.drift.is_none_or(|max| drift <= max),
                    "{msn} of {names:?}: {drift}"
                );
            }
        }
    }
}
