//! What names may look like, and what roles allow.

use nx_contract::identity::{CREATOR, OPERATOR, ROLES, VIEWER};

/// Characters of a handle.
const HANDLE: std::ops::RangeInclusive<usize> = 3..=30;

/// A handle as it is kept: 3 to 30 of `a-z 0-9 . _ -`, a letter or digit at both ends.
///
/// # Errors
/// In words, with what to do.
pub(crate) fn handle(given: &str) -> Result<String, String> {
    let handle = given.trim().to_ascii_lowercase();
    let fine = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let edge = |c: Option<&u8>| c.is_some_and(|&c| fine(c));
    let bytes = handle.as_bytes();
    let good = HANDLE.contains(&bytes.len())
        && bytes.iter().all(|&c| fine(c) || b"._-".contains(&c))
        && edge(bytes.first())
        && edge(bytes.last());
    if good {
        return Ok(handle);
    }
    Err("has 3 to 30 characters of a-z 0-9 . _ - and begins and ends with a letter or digit".into())
}

/// What of a handle people see at a glance: those that are equal are taken for each other.
pub(crate) fn skeleton(handle: &str) -> String {
    let plain: String = handle
        .chars()
        .filter(|c| !"._-".contains(*c))
        .map(|c| match c {
            '0' => 'o',
            '1' | 'i' => 'l',
            '5' => 's',
            c => c,
        })
        .collect();
    plain.replace("rn", "m").replace("vv", "w")
}

/// Roles as they are kept: in one order, each once.
///
/// # Errors
/// In words, when one is unknown.
pub(crate) fn roles(given: &[String]) -> Result<Vec<String>, String> {
    if let Some(unknown) = given.iter().find(|r| !ROLES.contains(&r.as_str())) {
        return Err(format!("{unknown:.40} is no role; there are: {}", ROLES.join(", ")));
    }
    Ok(ROLES.iter().filter(|r| given.iter().any(|g| g == *r)).map(|r| (*r).to_owned()).collect())
}

/// What somebody with these roles may do.
pub(crate) fn permissions(roles: &[String]) -> Vec<&'static str> {
    let of = |role: &str| match role {
        OPERATOR => &["*"][..],
        CREATOR => &["channels.write", "streams.publish", "streams.watch"],
        VIEWER => &["streams.watch"],
        _ => &[],
    };
    let mut all: Vec<_> = roles.iter().flat_map(|role| of(role)).copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn handles_are_plain() {
        for (given, want) in [
            ("Ada", Some("ada")),
            (" ada.l-1 ", Some("ada.l-1")),
            ("ab", None),
            ("-ada", None),
            ("ada.", None),
            ("ad a", None),
            ("adа", None),
            ("", None),
        ] {
            assert_eq!(handle(given).ok().as_deref(), want, "{given}");
        }
        assert!(handle(&"a".repeat(30)).is_ok() && handle(&"a".repeat(31)).is_err());
    }

    #[test]
    fn names_that_look_alike_are_one() {
        for (a, b) in [
            ("paul", "pau1"),
            ("paul", "paui"),
            ("bob", "b0b"),
            ("modern", "modem"),
            ("a.d.a", "ada"),
            ("vvim", "wim"),
            ("s5s", "sss"),
        ] {
            assert_eq!(skeleton(a), skeleton(b), "{a} {b}");
        }
        assert_ne!(skeleton("ada"), skeleton("ava"));
    }

    #[test]
    fn roles_are_known_ones() {
        let given = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        let kept = roles(&given(&["viewer", "operator", "viewer"]));
        assert_eq!(kept, Ok(given(&["operator", "viewer"])));
        assert!(roles(&given(&["service"])).is_err(), "which services alone have");
        assert_eq!(permissions(&given(&["viewer"])), ["streams.watch"]);
    }

    proptest! {
        #[test]
        fn any_text_has_a_skeleton_and_a_handle_is_its_own(text in ".{0,40}") {
            let _ = skeleton(&text);
            if let Ok(kept) = handle(&text) {
                prop_assert_eq!(handle(&kept), Ok(kept.clone()));
            }
        }
    }
}
