//! How long caches may keep an answer.
//!
//! Spec: rfc8216bis B.1: blocking answers six target durations, plain ones half of one.

use crate::evidence::Fetch;
use crate::m3u8::seconds;
use crate::report::{Report, Rule, rules};

use super::about;

rules! {
    PLAIN: "HLS-49a", Warning, "a live playlist is cached for less than a target duration", "rfc8216bis B.1",
        "send Cache-Control: max-age of half a target duration, or no-cache";
    BLOCKING: "HLS-49b", Warning, "answers to blocking reloads can be cached", "rfc8216bis B.1",
        "send Cache-Control: max-age of six target durations: the address says which version it is";
    SEGMENT: "HLS-49c", Warning, "segments can be cached for six target durations", "rfc8216bis B.1",
        "send Cache-Control: max-age of at least six target durations";
    MISSING: "HLS-49d", Warning, "that something is missing is cached for at most a target duration",
        "rfc8216bis B.1", "send Cache-Control: max-age of one target duration with 404";
    LAST_MODIFIED: "HLS-21c", Warning, "Last-Modified of a live playlist is close to Date", "Apple 8.24",
        "set Last-Modified to the time of the last change";
}

/// Seconds that a shared cache may keep it; `None` when nothing is said.
fn lifetime_s(fetch: &Fetch) -> Option<u64> {
    let control = fetch.header("cache-control")?.to_ascii_lowercase();
    let directive = |name: &str| {
        control
            .split(',')
            .find_map(|d| d.trim().strip_prefix(name)?.strip_prefix('=')?.trim_matches('"').parse().ok())
    };
    let never = ["no-cache", "no-store", "private"].iter().any(|n| control.contains(n));
    if never { Some(0) } else { directive("s-maxage").or_else(|| directive("max-age")) }
}

fn tell(rule: &'static Rule, fetch: &Fetch, target_us: u64, report: &mut Report) {
    let said = fetch
        .header("cache-control")
        .map_or("no Cache-Control".to_owned(), |c| format!("Cache-Control: {c}"));
    report.add(rule, about(fetch, format!("{said}, target duration {}", seconds(target_us))));
}

/// A live playlist, plain or blocking.
pub(crate) fn playlist(fetch: &Fetch, blocking: bool, target_us: u64, report: &mut Report) {
    let target_s = target_us / 1_000_000;
    match lifetime_s(fetch) {
        Some(s) if blocking && s < target_s => tell(&BLOCKING, fetch, target_us, report),
        None if blocking => tell(&BLOCKING, fetch, target_us, report),
        Some(s) if !blocking && s > target_s => tell(&PLAIN, fetch, target_us, report),
        None => tell(&PLAIN, fetch, target_us, report),
        Some(_) => {}
    }
    let date = |name| fetch.header(name).and_then(http_date_s);
    if let (Some(modified), Some(now)) = (date("last-modified"), date("date"))
        && now.saturating_sub(modified) > i64::try_from(target_s.saturating_mul(3)).unwrap_or(i64::MAX)
    {
        report.add(&LAST_MODIFIED, about(fetch, format!("Last-Modified is {} s old", now - modified)));
    }
}

/// A segment, part or map.
pub(crate) fn segment(fetch: &Fetch, target_us: u64, report: &mut Report) {
    if lifetime_s(fetch).is_none_or(|s| s < (target_us / 1_000_000).saturating_mul(6)) {
        tell(&SEGMENT, fetch, target_us, report);
    }
}

/// The answer to a request for something that does not exist.
pub(crate) fn missing(fetch: &Fetch, target_us: u64, report: &mut Report) {
    if lifetime_s(fetch).is_some_and(|s| s > target_us / 1_000_000) {
        tell(&MISSING, fetch, target_us, report);
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` as seconds since 1970.
fn http_date_s(text: &str) -> Option<i64> {
    let mut words = text.split_whitespace().skip(1);
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|m| *m == month)? + 1;
    crate::m3u8::date(&format!("{year}-{month:02}-{day}T{time}Z")).map(|us| us / 1_000_000)
}
