//! Byte ranges (RFC 9110 §14): one range per request, the rest of the body untouched.

use std::collections::VecDeque;

use bytes::Bytes;

/// What a `Range` header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    /// Everything: no range, a form we do not serve, or several ranges (§14.2 lets a server ignore them).
    Whole,
    /// From the first to the last of these bytes.
    Part { first: u64, last: u64 },
    /// Beyond the end.
    Unsatisfiable,
}

/// Reads a header value for a body of `len` bytes.
pub(crate) fn parse(header: Option<&str>, len: u64) -> Range {
    let Some((first, last)) = header.and_then(|h| h.strip_prefix("bytes=")).and_then(|r| r.split_once('-'))
    else {
        return Range::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match (first.trim(), last.trim()) {
        ("", suffix) => match number(suffix) {
            Some(0) => Range::Unsatisfiable,
            Some(n) if len > 0 => Range::Part { first: len.saturating_sub(n), last: len - 1 },
            Some(_) => Range::Unsatisfiable,
            None => Range::Whole,
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), _) if first >= len => Range::Unsatisfiable,
            (Some(first), None) if last.is_empty() => Range::Part { first, last: len - 1 },
            (Some(first), Some(last)) if last >= first => Range::Part { first, last: last.min(len - 1) },
            _ => Range::Whole,
        },
    }
}

/// Cuts these bytes out of a row of slices.
#[must_use]
pub fn cut(slices: VecDeque<Bytes>, bytes: std::ops::Range<u64>) -> VecDeque<Bytes> {
    let mut at = 0u64;
    let mut out = VecDeque::new();
    for slice in slices {
        let end = at + slice.len() as u64;
        let from = bytes.start.clamp(at, end) - at;
        let to = bytes.end.clamp(at, end) - at;
        if from < to {
            let index = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(slice.len());
            out.push_back(slice.slice(index(from)..index(to)));
        }
        at = end;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ranges_as_rfc_9110_says() {
        for (header, len, want) in [
            (None, 10, Range::Whole),
            (Some("bytes=0-"), 10, Range::Part { first: 0, last: 9 }),
            (Some("bytes=2-4"), 10, Range::Part { first: 2, last: 4 }),
            (Some("bytes=2-400"), 10, Range::Part { first: 2, last: 9 }),
            (Some("bytes=-3"), 10, Range::Part { first: 7, last: 9 }),
            (Some("bytes=-30"), 10, Range::Part { first: 0, last: 9 }),
            (Some("bytes=10-"), 10, Range::Unsatisfiable),
            (Some("bytes=-0"), 10, Range::Unsatisfiable),
            (Some("bytes=0-"), 0, Range::Unsatisfiable),
            (Some("bytes=4-2"), 10, Range::Whole),
            (Some("bytes=0-1,3-4"), 10, Range::Whole),
            (Some("items=0-1"), 10, Range::Whole),
            (Some("bytes=x-"), 10, Range::Whole),
        ] {
            assert_eq!(parse(header, len), want, "{header:?}");
        }
    }

    #[test]
    fn cuts_across_slices() {
        let all = || VecDeque::from([Bytes::from_static(b"abc"), Bytes::new(), Bytes::from_static(b"defg")]);
        for first in 0..7u64 {
            for last in first..7 {
                let got: Vec<u8> = cut(all(), first..last + 1).into_iter().flatten().collect();
                assert_eq!(got, b"abcdefg"[first as usize..=last as usize], "{first}-{last}");
            }
        }
    }
}
