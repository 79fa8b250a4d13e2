//! How long caches may keep answers (RFC 8216bis appendix B.1), in one place.
//!
//! Decisions: a name that means the same bytes for ever is kept for an hour, not for six target durations; an
//! answer that may become another before the stream has gone on by a segment is not kept, so that nobody can
//! poison a cache by asking for what comes next.

use std::sync::LazyLock;

use http::HeaderValue;

/// What is kept, and so for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The name always means these bytes.
    Forever,
    /// A playlist that shows what its directives asked for: it will always have shown that.
    Shown,
    /// A playlist as it is now.
    Now,
    /// The present playlist, after a hold that ended early: to be asked for again.
    Check,
    /// True at this moment only.
    Never,
}

impl Keep {
    /// The value of `Cache-Control` for a stream of this target duration.
    pub(crate) fn header(self, target_s: u64) -> HeaderValue {
        let seconds = match self {
            Self::Forever => return HeaderValue::from_static("public, max-age=3600, immutable"),
            Self::Never => return HeaderValue::from_static("no-store"),
            Self::Check => return HeaderValue::from_static("public, no-cache"),
            Self::Shown => target_s.saturating_mul(6),
            Self::Now => (target_s / 2).max(1),
        };
        max_age(seconds)
    }
}

/// `public, max-age=…`.
pub(crate) fn max_age(seconds: u64) -> HeaderValue {
    /// Those of nearly all playlists, written once.
    static SHORT: LazyLock<[HeaderValue; 64]> = LazyLock::new(|| std::array::from_fn(|s| written(s as u64)));
    let short = usize::try_from(seconds).ok().and_then(|s| SHORT.get(s));
    short.cloned().unwrap_or_else(|| written(seconds))
}

fn written(seconds: u64) -> HeaderValue {
    HeaderValue::try_from(format!("public, max-age={seconds}"))
        .unwrap_or(HeaderValue::from_static("no-store"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_those_of_appendix_b_1() {
        for (keep, target_s, want) in [
            (Keep::Forever, 2, "public, max-age=3600, immutable"),
            (Keep::Shown, 2, "public, max-age=12"),
            (Keep::Shown, 6, "public, max-age=36"),
            (Keep::Now, 6, "public, max-age=3"),
            (Keep::Now, 2, "public, max-age=1"),
            (Keep::Now, 1, "public, max-age=1"),
            (Keep::Check, 6, "public, no-cache"),
        ] {
            assert_eq!(keep.header(target_s), want, "{keep:?} {target_s}");
        }
    }
}
