//! Reads media playlists as a player does, and finds what RFC 8216bis forbids in one of them alone.

/// A segment as a playlist lists it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Listed {
    pub(super) seconds: f64,
    pub(super) uri: String,
    pub(super) gap: bool,
    /// Discontinuities up to here, those that left the list included.
    pub(super) discontinuity: u64,
    pub(super) date_ms: i64,
}

/// A media playlist.
#[derive(Debug, Default)]
pub(super) struct Playlist {
    pub(super) target: u64,
    pub(super) part_target: f64,
    /// Number of the first segment.
    pub(super) first: u64,
    pub(super) discontinuity_sequence: u64,
    pub(super) segments: Vec<Listed>,
    /// URI and length of every part listed, those of the open segment included.
    pub(super) parts: Vec<(String, f64)>,
    pub(super) independent: bool,
}

fn value<'a>(line: &'a str, tag: &str) -> Option<&'a str> {
    line.strip_prefix(tag)?.strip_prefix(':')
}

fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, list) = line.split_once(':')?;
    let value = list.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches('"'))
}

fn number<T: std::str::FromStr>(line: &str, tag: &str) -> Option<T> {
    value(line, tag).map(|v| v.trim_end_matches(',').parse().ok().expect(tag))
}

/// Unix milliseconds of `2026-11-21T04:00:00.000Z`.
fn date_ms(text: &str) -> i64 {
    let fields: Vec<i64> =
        text.trim_end_matches('Z').split(['-', 'T', ':', '.']).map(|f| f.parse().expect(text)).collect();
    let [y, m, d, hour, min, s, ms] = fields[..] else { panic!("a date: {text}") };
    // Days from civil, with years that begin in March.
    let (y, m) = if m > 2 { (y, m - 3) } else { (y - 1, m + 9) };
    let (era, yoe) = (y.div_euclid(400), y.rem_euclid(400));
    let days = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + (153 * m + 2) / 5 + d - 1 - 719_468;
    ((days * 24 + hour) * 60 + min) * 60_000 + s * 1000 + ms
}

/// Reads a playlist; panics where it is not one.
pub(super) fn read(text: &str) -> Playlist {
    let mut list = Playlist::default();
    let (mut discontinuity, mut gap, mut date, mut seconds) = (0, false, 0, None);
    let (mut sum, mut parts, mut clipped) = (0.0, 0, false);
    assert!(text.starts_with("#EXTM3U\n"), "{text}");
    for line in text.lines() {
        list.target = number(line, "#EXT-X-TARGETDURATION").unwrap_or(list.target);
        list.first = number(line, "#EXT-X-MEDIA-SEQUENCE").unwrap_or(list.first);
        if let Some(sequence) = number(line, "#EXT-X-DISCONTINUITY-SEQUENCE") {
            (list.discontinuity_sequence, discontinuity) = (sequence, sequence);
        }
        if line.starts_with("#EXT-X-PART-INF") {
            list.part_target = attribute(line, "PART-TARGET").expect(line).parse().expect(line);
        } else if line.starts_with("#EXT-X-PART:") {
            let duration: f64 = attribute(line, "DURATION").expect(line).parse().expect(line);
            assert!(
                duration <= list.part_target + 5e-6,
                "a part is longer than the part target: {line}\n{text}"
            );
            list.parts.push((attribute(line, "URI").expect(line).to_owned(), duration));
            (sum, parts) = (sum + duration, parts + 1);
            // A frame that reaches over missing ones makes a part longer than may be said.
            clipped |= duration == list.part_target;
        } else if line == "#EXT-X-DISCONTINUITY" {
            discontinuity += 1;
        } else if line == "#EXT-X-GAP" {
            gap = true;
        } else if line == "#EXT-X-INDEPENDENT-SEGMENTS" {
            list.independent = true;
        } else if let Some(at) = value(line, "#EXT-X-PROGRAM-DATE-TIME") {
            date = date_ms(at);
        } else if let Some(length) = number::<f64>(line, "#EXTINF") {
            seconds = Some(length);
        } else if !line.starts_with('#') {
            let seconds = seconds.take().expect("EXTINF before each URI");
            assert!(seconds > 0.0, "an empty segment: {line}\n{text}");
            assert!(
                seconds.round() <= list.target as f64,
                "{line} is longer than the target: {seconds}\n{text}"
            );
            let msn = list.first + list.segments.len() as u64;
            assert!(line.starts_with(&format!("{msn}.")), "{line} has number {msn}\n{text}");
            assert!(
                parts == 0 || (sum - seconds).abs() < 1e-3 || clipped && sum < seconds,
                "{line}: parts {sum}, whole {seconds}\n{text}"
            );
            let uri = line.to_owned();
            list.segments.push(Listed { seconds, uri, gap, discontinuity, date_ms: date });
            (gap, sum, parts, clipped) = (false, 0.0, 0, false);
        }
    }
    list
}
