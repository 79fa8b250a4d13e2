//! The trace that a request belongs to (W3C Trace Context), passed on with every call.

use std::time::Duration;

use crate::hex;

tokio::task_local! {
    /// The request that this task answers: its trace, and when it must be done, on the monotonic clock.
    static REQUEST: (String, i64);
}

/// Runs `work` as part of a request of this trace that must be done at `end_ms`.
pub async fn within<F: Future>(trace: String, end_ms: i64, work: F) -> F::Output {
    REQUEST.scope((trace, end_ms), work).await
}

/// Time that the request of this task has left.
pub fn left(now_ms: i64) -> Option<Duration> {
    let end_ms = REQUEST.try_with(|(_, end_ms)| *end_ms).ok()?;
    Some(Duration::from_millis(u64::try_from(end_ms - now_ms).unwrap_or_default()))
}

/// The 32 digits of a trace, from a `traceparent` header.
pub fn id_of(parent: Option<&str>) -> String {
    let given = parent.and_then(|p| p.split('-').nth(1));
    let sane = |id: &&str| {
        id.len() == 32
            && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            && id.bytes().any(|b| b != b'0')
    };
    given.filter(sane).map_or_else(random::<16>, str::to_owned)
}

/// The `traceparent` of a call that the request of this task makes.
pub fn child() -> String {
    let trace = REQUEST.try_with(|(trace, _)| trace.clone()).unwrap_or_else(|_| random::<16>());
    format!("00-{trace}-{}-01", random::<8>())
}

/// So many random bytes in hexadecimal digits.
pub fn random<const N: usize>() -> String {
    let mut bytes = [1; N];
    let _ = getrandom::fill(&mut bytes);
    hex(&bytes)
}

#[cfg(test)]
mod tests;
