//! Answers as HTTP: media types, cross-origin access, caching.

use super::dash::Teller;
use super::dash_rules as rule;
use crate::evidence::Fetch;
use crate::mpd::Mpd;

/// What came instead of a good answer.
pub(crate) fn answer(fetch: &Fetch) -> String {
    match &fetch.failure {
        Some(failure) => failure.clone(),
        None if fetch.cut => format!("longer than {} bytes", fetch.body.len()),
        None => format!("status {}", fetch.status),
    }
}

pub(crate) fn manifest(mpd: &Mpd, teller: &mut Teller<'_>) {
    let fetch = teller.fetch;
    if fetch.mime().as_deref() != Some("application/dash+xml") {
        let what = format!("Content-Type: {}", fetch.header("content-type").unwrap_or("(none)"));
        teller.tell(&rule::MIME, 0, what);
    }
    cross_origin(teller);
    if let Some(update_s) = mpd.update_s.filter(|_| mpd.dynamic) {
        // A period of 0 means: whenever a segment is announced.
        let limit_s = update_s.max(1.0);
        match max_age(fetch) {
            Some(age) if age as f64 > limit_s => {
                teller.tell(
                    &rule::MANIFEST_CACHED,
                    0,
                    format!("max-age={age}, the update period is {update_s} s"),
                );
            }
            Some(_) => {}
            None => {
                teller.tell(&rule::MANIFEST_CACHED, 0, "no Cache-Control: caches guess a lifetime".into())
            }
        }
    }
}

/// A segment or initialization segment of a representation of type `claimed`.
pub(crate) fn segment(teller: &mut Teller<'_>, claimed: Option<&str>) {
    let fetch = teller.fetch;
    if !fetch.is_good() {
        return;
    }
    let mime = fetch.mime();
    let fits = match (mime.as_deref(), claimed) {
        (Some(mime), Some(claimed)) => {
            mime == claimed
                || (mime == "video/mp4" && claimed.ends_with("/mp4"))
                || mime == "video/iso.segment"
        }
        (mime, None) => mime.is_some(),
        (None, _) => false,
    };
    if !fits {
        let what = format!("Content-Type: {}", fetch.header("content-type").unwrap_or("(none)"));
        teller.tell(&rule::MIME, 0, what);
    }
    cross_origin(teller);
    if max_age(fetch) == Some(0) {
        let what = format!("Cache-Control: {}", fetch.header("cache-control").unwrap_or_default());
        teller.tell(&rule::SEGMENT_UNCACHED, 0, what);
    }
}

fn cross_origin(teller: &mut Teller<'_>) {
    if teller.fetch.header("access-control-allow-origin").is_none() {
        teller.tell(&rule::CORS, 0, "no Access-Control-Allow-Origin".into());
    }
}

/// For how long a shared cache may keep an answer, in seconds; `None` when it is not said.
fn max_age(fetch: &Fetch) -> Option<u64> {
    let value = fetch.header("cache-control")?.to_ascii_lowercase();
    let directives = || value.split(',').map(str::trim);
    if directives().any(|d| matches!(d, "no-store" | "no-cache" | "private")) {
        return Some(0);
    }
    let find = |name: &str| directives().find_map(|d| d.strip_prefix(name)?.strip_prefix('=')?.parse().ok());
    find("s-maxage").or_else(|| find("max-age"))
}
