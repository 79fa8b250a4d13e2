//! The trace that a request belongs to (W3C Trace Context), passed on with every call.

use crate::clock::hex;

tokio::task_local! {
    /// The trace of the request that this task answers.
    static TRACE: String;
}

/// Runs `work` as part of the trace of `parent`, a `traceparent` header; of a new one when that is none.
pub(crate) async fn within<F: Future>(trace: String, work: F) -> F::Output {
    TRACE.scope(trace, work).await
}

/// The 32 digits of a trace, from a `traceparent` header.
pub(crate) fn id_of(parent: Option<&str>) -> String {
    let given = parent.and_then(|p| p.split('-').nth(1));
    let sane = |id: &&str| {
        id.len() == 32
            && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            && id.bytes().any(|b| b != b'0')
    };
    given.filter(sane).map_or_else(random::<16>, str::to_owned)
}

/// The `traceparent` of a call that the request of this task makes.
pub(crate) fn child() -> String {
    let trace = TRACE.try_with(String::clone).unwrap_or_else(|_| random::<16>());
    format!("00-{trace}-{}-01", random::<8>())
}

/// So many random bytes in hexadecimal digits.
pub(crate) fn random<const N: usize>() -> String {
    let mut bytes = [1; N];
    let _ = getrandom::fill(&mut bytes);
    hex(&bytes)
}

#[cfg(test)]
mod tests;
