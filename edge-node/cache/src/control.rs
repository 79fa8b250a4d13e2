//! Whether a response may be kept by a cache that many share, and for how long.
//!
//! Spec: RFC 9111 §3, §4.2, §5; RFC 5861. Decisions where it leaves room: a lifetime that cannot be read is none
//! (§4.2.1); of several the least counts; errors are kept for a bounded time whatever they say; `s-maxage`,
//! `must-revalidate` and `proxy-revalidate` forbid what is stale unless a directive allows it in so many words.

use std::time::UNIX_EPOCH;

use http::{HeaderMap, HeaderName, StatusCode, header};

use crate::life::Life;

/// Longest lifetime, seconds: a year.
const LIFETIME_S_MAX: u64 = 365 * 86_400;
/// Longest lifetime that is guessed from `Last-Modified`, milliseconds.
const GUESS_MS_MAX: i64 = 3_600_000;
/// How long it is remembered that something is not there when the origin says no time, milliseconds.
const NOT_THERE_MS: i64 = 1_000;

/// What the operator adds to what origins say. All in milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms {
    /// Errors are kept for at most that long.
    pub error_ms_max: i64,
    /// How long something stale may stand in for an origin that fails, where it does not say.
    pub rescue_ms: i64,
    /// How long something stale may be served while it is asked for anew, where its origin does not say.
    pub spare_ms: i64,
    /// How long what is no error is fresh, whatever its origin says; it cannot make shared what is not to be.
    pub fresh_ms: Option<i64>,
    /// The same of 404 and 410.
    pub not_there_ms: Option<i64>,
}

impl Terms {
    /// How long an answer is fresh, if the operator says so.
    fn ruled_ms(&self, status: StatusCode) -> Option<i64> {
        match status {
            StatusCode::NOT_FOUND | StatusCode::GONE => self.not_there_ms,
            _ if status.is_client_error() => None,
            _ => self.fresh_ms,
        }
    }
}

/// What is to be done with a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Keep it.
    Keep(Life),
    /// An error that is not kept. All who wait for it get it, lest each of them ask an origin that is in trouble.
    Share,
    /// Hand it to who asked, to nobody else; the reason.
    Pass(&'static str),
}

#[derive(Debug, Default)]
struct Said {
    no_store: bool,
    private: bool,
    no_cache: bool,
    strict: bool,
    shared_s: Option<u64>,
    max_s: Option<u64>,
    spare_s: Option<u64>,
    rescue_s: Option<u64>,
}

/// Judges a response to a GET without credentials that was asked for at `asked_ms` and came at `now_ms` (Unix
/// milliseconds).
#[must_use]
pub fn judge(status: StatusCode, headers: &HeaderMap, asked_ms: i64, now_ms: i64, terms: &Terms) -> Verdict {
    let said = Said::read(headers);
    let explicit = said.lifetime_s(headers);
    let error = status.is_client_error();
    let kept = match status.as_u16() {
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 410 => true,
        // About the asker, or about this moment.
        401 | 407 | 408 | 425 | 429 => false,
        302 | 307 | 400..=499 => explicit.is_some(),
        _ => false,
    };
    for (is, reason) in [
        (!kept, "status"),
        (said.no_store, "no-store"),
        (said.private, "private"),
        (headers.contains_key(header::SET_COOKIE), "set-cookie"),
        (headers.contains_key(header::CONTENT_RANGE), "content-range"),
        (!varies_as_we_do(headers), "vary"),
    ] {
        if is {
            let failed = error || status.is_server_error();
            return if failed { Verdict::Share } else { Verdict::Pass(reason) };
        }
    }
    let checked = headers.contains_key(header::ETAG) || headers.contains_key(header::LAST_MODIFIED);
    let ruled = terms.ruled_ms(status);
    let no_cache = said.no_cache && ruled.is_none();
    if no_cache && !checked {
        return if error { Verdict::Share } else { Verdict::Pass("no-cache") };
    }
    let ms = |s: u64| i64::try_from(s.min(LIFETIME_S_MAX)).unwrap_or_default() * 1000;
    let fresh_ms = match (ruled, explicit) {
        (Some(ms), _) => ms,
        _ if no_cache => 0,
        (None, Some(s)) => ms(s),
        (None, None) if error => NOT_THERE_MS,
        (None, None) => guess_ms(headers, now_ms),
    };
    let bound = if error && ruled.is_none() { terms.error_ms_max } else { i64::MAX };
    let shared = said.shared_s.is_some();
    let forbidden = no_cache || said.strict || error;
    let stale = |s: Option<u64>, default: i64| if forbidden { 0 } else { s.map_or(default, ms) };
    Verdict::Keep(Life {
        born_ms: now_ms.saturating_sub(age_ms(headers, asked_ms, now_ms)),
        fresh_ms: fresh_ms.min(bound),
        spare_ms: stale(said.spare_s, terms.spare_ms),
        rescue_ms: stale(said.rescue_s, if shared { 0 } else { terms.rescue_ms }),
    })
}

/// Its age when it came (RFC 9111 §4.2.3).
fn age_ms(headers: &HeaderMap, asked_ms: i64, now_ms: i64) -> i64 {
    let apparent = date_ms(headers, header::DATE).map_or(0, |date| now_ms.saturating_sub(date).max(0));
    // Dates are whole seconds: less than one is no age.
    let apparent = if apparent < 1000 { 0 } else { apparent };
    let told = headers.get(header::AGE).and_then(|v| v.to_str().ok()).and_then(seconds);
    let told = told.map_or(0, |s| i64::try_from(s.min(LIFETIME_S_MAX)).unwrap_or_default() * 1000);
    apparent.max(told.saturating_add(now_ms.saturating_sub(asked_ms).max(0)))
}

/// A tenth of the time since it was changed (RFC 9111 §4.2.2).
fn guess_ms(headers: &HeaderMap, now_ms: i64) -> i64 {
    let date = date_ms(headers, header::DATE).unwrap_or(now_ms);
    let changed = date_ms(headers, header::LAST_MODIFIED);
    changed.map_or(0, |changed| (date.saturating_sub(changed) / 10).clamp(0, GUESS_MS_MAX))
}

/// Whether the answer depends on nothing but what is in the name (see [`Coding`](crate::Coding)). Pages of all sites
/// get the same answer from us, and origins never learn which site asked.
fn varies_as_we_do(headers: &HeaderMap) -> bool {
    headers.get_all(header::VARY).iter().all(|value| {
        let known = |name: &str| {
            let name = name.trim();
            name.is_empty()
                || ["accept-encoding", "origin"].iter().any(|known| name.eq_ignore_ascii_case(known))
        };
        value.to_str().is_ok_and(|list| list.split(',').all(known))
    })
}

fn date_ms(headers: &HeaderMap, name: HeaderName) -> Option<i64> {
    let date = httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()?;
    let since = date.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

/// `delta-seconds` (RFC 9111 §1.2.2); what is too large is the largest.
fn seconds(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(LIFETIME_S_MAX))
}

impl Said {
    fn read(headers: &HeaderMap) -> Self {
        let mut said = Self::default();
        for value in headers.get_all(header::CACHE_CONTROL) {
            // What is not text may be the directive that forbids.
            let Ok(mut rest) = value.to_str() else {
                said.no_store = true;
                continue;
            };
            while !rest.is_empty() {
                let (directive, after) = first(rest);
                said.take(directive);
                rest = after;
            }
        }
        said
    }

    fn take(&mut self, directive: &str) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let value = value.trim().trim_matches('"');
        let least = |held: Option<u64>, value: Option<u64>| match (held, value) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (held, value) => held.or(value),
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" => self.no_store = true,
            "private" => self.private = true,
            "no-cache" => self.no_cache = true,
            "must-revalidate" | "proxy-revalidate" => self.strict = true,
            "s-maxage" => self.shared_s = least(self.shared_s, Some(seconds(value).unwrap_or(0))),
            "max-age" => self.max_s = least(self.max_s, Some(seconds(value).unwrap_or(0))),
            "stale-while-revalidate" => self.spare_s = least(self.spare_s, seconds(value)),
            "stale-if-error" => self.rescue_s = least(self.rescue_s, seconds(value)),
            _ => {}
        }
    }

    /// How long it is fresh, where that is said (RFC 9111 §4.2.1).
    fn lifetime_s(&self, headers: &HeaderMap) -> Option<u64> {
        let expires = || {
            headers.contains_key(header::EXPIRES).then(|| {
                let times = date_ms(headers, header::EXPIRES).zip(date_ms(headers, header::DATE));
                times.map_or(0, |(end, date)| u64::try_from(end.saturating_sub(date)).unwrap_or(0) / 1000)
            })
        };
        self.shared_s.or(self.max_s).or_else(expires)
    }
}

/// The first directive of a list, and what follows its comma. Commas within quotes do not part.
fn first(list: &str) -> (&str, &str) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in list.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                return (list.get(..at).unwrap_or_default(), list.get(at + 1..).unwrap_or_default());
            }
            _ => {}
        }
    }
    (list, "")
}

#[cfg(test)]
mod tests;
