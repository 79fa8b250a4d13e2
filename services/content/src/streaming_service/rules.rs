//! What channels may be called, and where they are.

use nx_media::{CHANNELS, MEMBERS};

/// Characters of a channel's name.
const HANDLE: std::ops::RangeInclusive<usize> = 3..=30;

/// A channel's name as it is kept: 3 to 30 of `a-z 0-9 -`, a letter or digit at both ends. It is part of every address of the
/// channel.
///
/// # Errors
/// In words, with what to do.
pub(super) fn handle(given: &str) -> Result<String, String> {
    let handle = given.trim().to_ascii_lowercase();
    let fine = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = handle.as_bytes();
    let good = HANDLE.contains(&bytes.len())
        && bytes.iter().all(|&c| fine(c) || c == b'-')
        && bytes.first().is_some_and(|&c| fine(c))
        && bytes.last().is_some_and(|&c| fine(c));
    if good {
        return Ok(handle);
    }
    Err("has 3 to 30 characters of a-z 0-9 - and begins and ends with a letter or digit".into())
}

/// The stream of a channel.
pub(super) fn stream(handle: &str, members_only: bool) -> String {
    format!("{}/{handle}", if members_only { MEMBERS } else { CHANNELS })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_addresses() {
        for (given, want) in [
            (" Show-1 ", Some("show-1")),
            ("abc", Some("abc")),
            ("ab", None),
            ("-abc", None),
            ("abc-", None),
            ("a/c", None),
            ("a.c", None),
            ("a*c", None),
            ("show?key=x", None),
            ("caf\u{e9}", None),
            (&"x".repeat(31), None),
        ] {
            assert_eq!(handle(given).ok().as_deref(), want, "{given}");
            if let Ok(handle) = handle(given) {
                for members_only in [false, true] {
                    let key = nx_media::StreamKey::parse(&stream(&handle, members_only)).unwrap();
                    assert_eq!((key.is_channel(), key.is_for_members()), (true, members_only));
                }
            }
        }
    }
}
