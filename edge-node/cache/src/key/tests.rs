//! Names: what counts, what does not, what never meets.

use proptest::prelude::*;

use super::*;

#[test]
fn only_what_counts_is_in_a_name() {
    let named = |names: &[&str]| Query::Named(names.iter().map(|n| (*n).to_owned()).collect());
    for (rule, query, want) in [
        (Query::All, "", "/a"),
        (Query::All, "b=2&a=1", "/a?b=2&a=1"),
        (Query::All, "a=1&CMCD=bl%3D2&c", "/a?a=1&c"),
        (Query::All, "CMCD=x", "/a"),
        (Query::All, "&&a=1&", "/a?a=1"),
        (named(&["start", "end"]), "end=2&x=9&start=1", "/a?start=1&end=2"),
        (named(&["start"]), "start=1&start=2", "/a?start=1"),
        (named(&["start"]), "started=1", "/a"),
        (named(&[]), "a=1", "/a"),
    ] {
        assert_eq!(rule.target("/a", query), want, "{rule:?} {query}");
    }
}

#[test]
fn text_is_had_compressed_and_media_as_they_are() {
    for (path, accept, want) in [
        ("/v/index.m3u8", Some("gzip, br"), Coding::Gzip),
        ("/v/index.M3U8", Some("br;q=1, GZIP;q=0.5"), Coding::Gzip),
        ("/v/index.m3u8", Some("gzip;q=0, br"), Coding::Identity),
        ("/v/index.m3u8", Some("br"), Coding::Identity),
        ("/v/index.m3u8", None, Coding::Identity),
        ("/v/1.m4s", Some("gzip"), Coding::Identity),
        ("/v.m3u8/1", Some("gzip"), Coding::Identity),
    ] {
        assert_eq!(Coding::of(path, accept), want, "{path} {accept:?}");
    }
}

#[test]
fn paths_that_lead_elsewhere_are_not_plain() {
    for (path, want) in [
        ("/a/b.c/d..e/.f", true),
        ("/a/%20b", true),
        ("/", true),
        ("a", false),
        ("/a/../b", false),
        ("/a/./b", false),
        ("/a/..", false),
        ("/a/%2e%2E/b", false),
        ("/a/.%2e/b", false),
        ("/a%2f..%2Fb", false),
        ("/a/..\\b", false),
        ("/a%5cb", false),
        ("/a/%252e%252e/b", false),
        ("/100%25.mp4", true),
        // Another spelling of /vod/film.mp4 is not taken for a path of another route.
        ("/%76od/film.mp4", false),
        ("/%2576od/film.mp4", false),
        ("//vod/film.mp4", false),
        ("/vod/film%2Dtwo.mp4", false),
        ("/vod/a%20film.mp4", true),
        ("/vod/%E6%98%A0%E7%94%BB.mp4", true),
        ("/vod/%zz", false),
        ("/vod/film%2", false),
        ("/a%00", false),
    ] {
        assert_eq!(is_plain(path), want, "{path}");
    }
}

proptest! {
    #[test]
    fn names_are_as_different_as_what_they_name(
        a in ("[a-z]{1,3}", 0..2usize, "/[a-z?]{0,3}"), b in ("[a-z]{1,3}", 0..2usize, "/[a-z?]{0,3}")
    ) {
        let key = |(up, coding, target): &(String, usize, String)| Key::new(up, Coding::ALL[*coding], target);
        prop_assert_eq!(key(&a) == key(&b), a == b);
        let one = key(&a);
        prop_assert_eq!(
            (one.upstream(), one.coding(), one.target()),
            (a.0.as_str(), Coding::ALL[a.1], a.2.as_str())
        );
        prop_assert_eq!(Key::from_text(one.text()), Some(one.clone()));
    }
}
