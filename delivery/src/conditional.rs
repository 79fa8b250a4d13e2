//! Conditional requests (RFC 9110 §13): what the client has already is not sent again.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::rendered::Changed;

/// What may be compared with what the client has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Validators<'a> {
    /// Entity tag, with its quotes; empty when there is none.
    pub(crate) etag: &'a str,
    /// Time of the newest change, of what changes.
    pub(crate) changed: Option<Changed>,
}

impl Validators<'_> {
    /// Whether 304 is the answer. `If-None-Match` decides alone when it is there (§13.1.3).
    pub(crate) fn not_modified(&self, request: &HeaderMap) -> bool {
        let mut tags = request.get_all(header::IF_NONE_MATCH).iter().peekable();
        if tags.peek().is_some() {
            return tags.any(|value| value.to_str().is_ok_and(|list| lists(list, self.etag)));
        }
        let (Some(since), Some(changed)) = (text(request, header::IF_MODIFIED_SINCE), self.changed) else {
            return false;
        };
        // A playlist changes several times a second: only a second with one text proves anything.
        date(since).is_some_and(|since| changed.at_s < since || (changed.at_s == since && changed.alone))
    }

    /// Whether a range may be served: without `If-Range`, or when it names these very bytes (§13.1.5). A date
    /// never does.
    pub(crate) fn range_holds(&self, request: &HeaderMap) -> bool {
        let strong = self.etag.starts_with('"');
        !request.contains_key(header::IF_RANGE)
            || (strong && text(request, header::IF_RANGE) == Some(self.etag))
    }
}

fn text(request: &HeaderMap, name: HeaderName) -> Option<&str> {
    request.get(name)?.to_str().ok().map(str::trim)
}

/// Whether a list of tags has this one, by weak comparison (§8.8.3.2). Our tags hold no commas; one of somebody else
/// that does is not found.
fn lists(list: &str, etag: &str) -> bool {
    fn opaque(tag: &str) -> &str {
        tag.trim().strip_prefix("W/").unwrap_or(tag.trim())
    }
    list.trim() == "*" || (!etag.is_empty() && list.split(',').any(|t| opaque(t) == opaque(etag)))
}

impl Changed {
    /// What `Last-Modified` of something says that changes seldom.
    pub(crate) fn of(field: &HeaderValue) -> Option<Self> {
        Some(Self { at_s: date(field.to_str().ok()?.trim())?, alone: true })
    }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// Unix seconds as `Sun, 06 Nov 1994 08:49:37 GMT` (§5.6.7).
pub(crate) struct HttpDate(pub(crate) i64);

impl fmt::Display for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let iso = nx_hls::Rfc3339(self.0.saturating_mul(1000)).to_string();
        let part = |at: std::ops::Range<usize>| iso.get(at).unwrap_or_default();
        let index = |len: i64| usize::try_from(self.0.div_euclid(86_400).rem_euclid(len)).unwrap_or(0);
        let month: usize = part(5..7).parse().unwrap_or(1);
        let month = MONTHS.get(month - 1).unwrap_or(&"Jan");
        let day = DAYS.get(index(7)).unwrap_or(&"Thu");
        write!(f, "{day}, {} {month} {} {} GMT", part(8..10), part(0..4), part(11..19))
    }
}

/// Reads the one form of date that is written today; the two old ones count as none.
fn date(text: &str) -> Option<i64> {
    let mut words = text.split_once(", ")?.1.split(' ');
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let mut clock = words.next()?.split(':').map(|n| n.parse::<i64>().ok());
    if words.next()? != "GMT" || words.next().is_some() {
        return None;
    }
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let in_range = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
    let day: i64 = day.parse().ok().filter(|d| (1..=31).contains(d))?;
    let year: i64 = year.parse().ok().filter(|y| (1900..10_000).contains(y))?;
    let month = i64::try_from(MONTHS.iter().position(|m| *m == month)?).ok()? + 1;
    // Day number of a civil date, with years that begin in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, yoe) = (y.div_euclid(400), y.rem_euclid(400));
    let doy = (153 * m + 2) / 5 + day - 1;
    let days = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468;
    in_range.then_some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_specification() {
        // The example of RFC 9110 §5.6.7, and two that `date -u` gave.
        for (text, unix) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
            ("Sat, 21 Nov 2026 10:40:04 GMT", 1_795_257_604),
        ] {
            assert_eq!((HttpDate(unix).to_string().as_str(), date(text)), (text, Some(unix)));
            for cut in 0..text.len() {
                assert_eq!(date(&text[..cut]), None, "{}", &text[..cut]);
            }
        }
        for nonsense in
            ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 25:49:37 GMT"]
        {
            assert_eq!(date(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn answers_304_exactly_when_the_client_has_it() {
        let alone = Changed { at_s: 784_111_777, alone: true };
        let crowded = Changed { at_s: 784_111_777, alone: false };
        let (same, before, after) = (
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:36 GMT",
            "Sun, 06 Nov 1994 08:49:38 GMT",
        );
        let (none, since) = ("if-none-match", "if-modified-since");
        type Case<'a> = (&'a [(&'static str, &'a str)], Option<Changed>, bool);
        let cases: [Case<'_>; 14] = [
            (&[], Some(alone), false),
            (&[(none, "\"a\"")], None, true),
            (&[(none, "W/\"a\"")], None, true),
            (&[(none, "\"x\", \"a\"")], None, true),
            (&[(none, "\"x\""), (none, "\"a\"")], None, true),
            (&[(none, "*")], None, true),
            (&[(none, "\"b\"")], None, false),
            (&[(since, same)], Some(alone), true),
            (&[(since, after)], Some(crowded), true),
            (&[(since, same)], Some(crowded), false),
            (&[(since, before)], Some(alone), false),
            (&[(since, same)], None, false),
            (&[(since, "yesterday")], Some(alone), false),
            (&[(none, "\"b\""), (since, same)], Some(alone), false),
        ];
        for (fields, changed, want) in cases {
            let mut request = HeaderMap::new();
            fields.iter().for_each(|(name, value)| {
                request.append(*name, value.parse().unwrap());
            });
            for etag in ["\"a\"", "W/\"a\""] {
                assert_eq!(Validators { etag, changed }.not_modified(&request), want, "{fields:?}");
            }
            let any = fields.iter().any(|(_, value)| *value == "*");
            let told = fields.iter().any(|(name, _)| *name == none);
            assert_eq!(
                Validators { etag: "", changed }.not_modified(&request),
                if told { any } else { want }
            );
        }
    }

    #[test]
    fn a_range_holds_for_these_very_bytes_only() {
        for (if_range, want) in [
            (None, true),
            (Some("\"a\""), true),
            (Some("W/\"a\""), false),
            (Some("\"b\""), false),
            (Some("Sun, 06 Nov 1994 08:49:37 GMT"), false),
        ] {
            let mut request = HeaderMap::new();
            if let Some(value) = if_range {
                request.insert(header::IF_RANGE, value.parse().unwrap());
            }
            let holds = |etag| Validators { etag, changed: None }.range_holds(&request);
            assert_eq!(holds("\"a\""), want, "{if_range:?}");
            assert_eq!(holds("W/\"a\""), if_range.is_none(), "a weak tag proves nothing: {if_range:?}");
        }
    }
}
