//! Which of two releases is newer, and whether an issue has come back.

use std::cmp::Ordering;

use semver::Version;

/// A release, and when it was first heard of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Release<'a> {
    pub(super) version: &'a str,
    pub(super) first_seen_ms: Option<i64>,
}

/// Whether an issue that was resolved in one release has come back with an event of another. Who resolves it says that
/// what runs now still has it: the same release and older ones may still be out there.
pub(super) fn has_come_back(resolved_in: Option<Release>, seen_in: Option<Release>) -> bool {
    match (resolved_in, seen_in) {
        (Some(resolved), Some(seen)) => is_newer(seen, resolved),
        _ => true,
    }
}

/// By their numbers (`name@1.2.3`, Semantic Versioning) where both have some, else by when they came.
fn is_newer(one: Release, other: Release) -> bool {
    if one.version == other.version {
        return false;
    }
    let number = |r: Release| Version::parse(r.version.rsplit('@').next().unwrap_or_default()).ok();
    match (number(one), number(other)) {
        (Some(one), Some(other)) => one.cmp_precedence(&other) == Ordering::Greater,
        _ => one.first_seen_ms > other.first_seen_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issue_comes_back_with_a_newer_release_only() {
        for (resolved, seen, back) in [
            (Some(("app@1.2.0", 5)), Some(("app@1.10.0", 1)), true),
            (Some(("app@1.2.0", 1)), Some(("app@1.1.9", 5)), false),
            (Some(("app@1.2.0", 1)), Some(("app@1.2.0", 1)), false),
            (Some(("app@2.0.0", 1)), Some(("app@2.0.0-rc.1", 5)), false),
            (Some(("app@1.2.0+a", 1)), Some(("app@1.2.0+b", 5)), false),
            (Some(("3f2a1b9c", 1)), Some(("99aa00bb", 5)), true),
            (Some(("3f2a1b9c", 5)), Some(("99aa00bb", 1)), false),
            (None, Some(("app@1.0.0", 1)), true),
            (Some(("app@1.0.0", 1)), None, true),
        ] {
            let release = |r: Option<(&'static str, i64)>| {
                r.map(|(version, at)| Release { version, first_seen_ms: Some(at) })
            };
            assert_eq!(has_come_back(release(resolved), release(seen)), back, "{resolved:?} {seen:?}");
        }
    }
}
