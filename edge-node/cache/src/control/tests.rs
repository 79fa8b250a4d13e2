//! Tables of responses and what becomes of them.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

const NOW: i64 = 784_111_787_000;
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const TERMS: Terms =
    Terms { error_ms_max: 10_000, rescue_ms: 86_400_000, spare_ms: 0, fresh_ms: None, not_there_ms: None };

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).expect("a name"), HeaderValue::try_from(*value).expect("a value"))
    };
    fields.iter().map(field).collect()
}

fn judged(status: u16, fields: &[(&str, &str)]) -> Judged {
    judged_by(&TERMS, status, fields)
}

fn judged_by(terms: &Terms, status: u16, fields: &[(&str, &str)]) -> Judged {
    let status = StatusCode::from_u16(status).expect("a status");
    match judge(status, &headers(fields), NOW, NOW, terms) {
        Verdict::Keep(life) => Ok((life.fresh_ms / 1000, life.spare_ms / 1000, life.rescue_ms / 1000)),
        Verdict::Share => Err("shared"),
        Verdict::Pass(why) => Err(why),
    }
}

const DAY: i64 = 86_400;

type Fields = &'static [(&'static str, &'static str)];

/// Freshness, spare time and time of rescue in seconds, or why it is passed on.
type Judged = Result<(i64, i64, i64), &'static str>;

/// Name, status and fields of a response, and what becomes of it.
const RESPONSES: &[(&str, u16, Fields, Judged)] = &[
    ("max-age", 200, &[("cache-control", "public, max-age=60")], Ok((60, 0, DAY))),
    ("s-maxage wins and is strict", 200, &[("cache-control", "max-age=60, s-maxage=5")], Ok((5, 0, 0))),
    (
        "s-maxage with leave",
        200,
        &[("cache-control", "s-maxage=5, stale-if-error=9, stale-while-revalidate=7")],
        Ok((5, 7, 9)),
    ),
    (
        "leave",
        200,
        &[("cache-control", "max-age=1,stale-while-revalidate=2,stale-if-error=3")],
        Ok((1, 2, 3)),
    ),
    (
        "leave against strictness",
        200,
        &[("cache-control", "max-age=1, must-revalidate, stale-if-error=3")],
        Ok((1, 0, 0)),
    ),
    ("proxy-revalidate", 200, &[("cache-control", "max-age=1, PROXY-REVALIDATE")], Ok((1, 0, 0))),
    ("quoted", 200, &[("cache-control", "max-age=\"60\"")], Ok((60, 0, DAY))),
    (
        "two lines, the least",
        200,
        &[("cache-control", "max-age=60"), ("cache-control", "max-age=30")],
        Ok((30, 0, DAY)),
    ),
    ("no number", 200, &[("cache-control", "max-age=x")], Ok((0, 0, DAY))),
    ("negative", 200, &[("cache-control", "max-age=-5")], Ok((0, 0, DAY))),
    ("too large", 200, &[("cache-control", "max-age=99999999999999999999999")], Ok((365 * DAY, 0, DAY))),
    ("no-store", 200, &[("cache-control", "max-age=60, no-store")], Err("no-store")),
    ("private", 200, &[("cache-control", "private, max-age=60")], Err("private")),
    (
        "private of a field",
        200,
        &[("cache-control", "private=\"set-cookie, x\", max-age=60")],
        Err("private"),
    ),
    (
        "commas in quotes hide nothing",
        200,
        &[("cache-control", "x=\"a, no-store, b\", max-age=6")],
        Ok((6, 0, DAY)),
    ),
    ("an open quote", 200, &[("cache-control", "x=\"max-age=60")], Ok((0, 0, DAY))),
    ("no-cache without validator", 200, &[("cache-control", "no-cache")], Err("no-cache")),
    ("no-cache", 200, &[("cache-control", "no-cache, max-age=9"), ("etag", "\"a\"")], Ok((0, 0, 0))),
    ("cookie", 200, &[("cache-control", "max-age=60"), ("set-cookie", "a=b")], Err("set-cookie")),
    ("vary on everything", 200, &[("cache-control", "max-age=60"), ("vary", "*")], Err("vary")),
    (
        "vary on the player",
        200,
        &[("cache-control", "max-age=60"), ("vary", "Accept-Encoding, User-Agent")],
        Err("vary"),
    ),
    (
        "vary on what is in the name",
        200,
        &[("cache-control", "max-age=60"), ("vary", "Accept-Encoding, Origin")],
        Ok((60, 0, DAY)),
    ),
    ("expires", 200, &[("date", DATE), ("expires", "Sun, 06 Nov 1994 08:50:37 GMT")], Ok((60, 0, DAY))),
    ("expired", 200, &[("date", DATE), ("expires", "0")], Ok((0, 0, DAY))),
    (
        "max-age before expires",
        200,
        &[("date", DATE), ("expires", "0"), ("cache-control", "max-age=4")],
        Ok((4, 0, DAY)),
    ),
    ("nothing said", 200, &[], Ok((0, 0, DAY))),
    (
        "a tenth of its age",
        200,
        &[("date", DATE), ("last-modified", "Sun, 06 Nov 1994 08:39:37 GMT")],
        Ok((60, 0, DAY)),
    ),
    (
        "an hour at most",
        200,
        &[("date", DATE), ("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT")],
        Ok((3600, 0, DAY)),
    ),
    (
        "changed in the future",
        200,
        &[("date", DATE), ("last-modified", "Sun, 06 Nov 1999 08:39:37 GMT")],
        Ok((0, 0, DAY)),
    ),
    ("not there", 404, &[], Ok((1, 0, 0))),
    ("not there for long", 404, &[("cache-control", "max-age=600, stale-if-error=60")], Ok((10, 0, 0))),
    ("gone", 410, &[("cache-control", "max-age=5")], Ok((5, 0, 0))),
    ("forbidden and said for how long", 403, &[("cache-control", "max-age=5")], Ok((5, 0, 0))),
    ("forbidden", 403, &[], Err("shared")),
    ("who are you", 401, &[("cache-control", "max-age=5")], Err("shared")),
    ("too many", 429, &[("cache-control", "max-age=5")], Err("shared")),
    ("partial", 206, &[("cache-control", "max-age=5")], Err("status")),
    ("not there, not to be kept", 404, &[("cache-control", "no-store")], Err("shared")),
    ("broken", 500, &[("cache-control", "max-age=5")], Err("shared")),
    ("busy", 503, &[("cache-control", "max-age=5")], Err("shared")),
    ("moved", 301, &[("cache-control", "max-age=5")], Ok((5, 0, DAY))),
    ("elsewhere for now", 302, &[], Err("status")),
    (
        "a range that calls itself whole",
        200,
        &[("cache-control", "max-age=5"), ("content-range", "bytes 0-1/2")],
        Err("content-range"),
    ),
    ("unknown words", 200, &[("cache-control", "max-age=5, immutable, whatever=9")], Ok((5, 0, DAY))),
];

#[test]
fn directives_mean_what_the_specification_says() {
    for (name, status, fields, want) in RESPONSES {
        assert_eq!(judged(*status, fields), *want, "{name}");
    }
}

#[test]
fn it_is_as_old_as_the_most_pessimistic_says() {
    let cases: [(&str, Fields, i64, i64); 5] = [
        ("new", &[("date", DATE)], 784_111_777_400, 0),
        ("by its date", &[("date", DATE)], 784_111_787_000, 10_000),
        ("by what it says", &[("date", DATE), ("age", "60")], 784_111_777_000, 60_000),
        ("an age that is none", &[("age", "x")], 784_111_777_000, 0),
        ("a date in the future", &[("date", "Sun, 06 Nov 1999 08:49:37 GMT")], 784_111_777_000, 0),
    ];
    for (name, fields, now, want) in cases {
        assert_eq!(age_ms(&headers(fields), now, now), want, "{name}");
    }
    // The time on the way counts as age.
    assert_eq!(age_ms(&headers(&[("age", "60")]), NOW - 500, NOW), 60_500);
}

proptest! {
    #[test]
    fn whatever_is_said_lifetimes_are_bounded(said in "[ -~]{0,80}", age in "[ -~]{0,12}", status in 100u16..600) {
        let status = StatusCode::from_u16(status).expect("a status");
        let fields = headers(&[("cache-control", &said), ("age", &age)]);
        if let Verdict::Keep(life) = judge(status, &fields, NOW, NOW, &TERMS) {
            let year = 365 * 86_400_000;
            for span in [life.fresh_ms, life.spare_ms, life.rescue_ms] {
                prop_assert!((0..=year).contains(&span));
            }
            prop_assert!(life.born_ms <= NOW);
            let words = said.to_ascii_lowercase();
            let quoted = words.contains('"');
            prop_assert!(quoted || !words.split(',').any(|w| ["no-store", "private"].contains(&w.trim())));
        }
    }
}

#[test]
fn a_rule_of_the_operator_says_how_long_and_never_shares_what_is_not_to_be() {
    let terms = Terms {
        spare_ms: 4_000,
        fresh_ms: Some(30_000),
        not_there_ms: Some(20_000),
        rescue_ms: 9_000,
        ..TERMS
    };
    let told: [(&str, u16, Fields, Judged); 9] = [
        ("says less", 200, &[("cache-control", "max-age=1")], Ok((30, 4, 9))),
        ("says more", 200, &[("cache-control", "max-age=99, stale-while-revalidate=1")], Ok((30, 1, 9))),
        ("says to ask each time", 200, &[("cache-control", "no-cache")], Ok((30, 4, 9))),
        ("says to be strict", 200, &[("cache-control", "max-age=1, must-revalidate")], Ok((30, 0, 0))),
        ("is not there", 404, &[("cache-control", "max-age=1")], Ok((20, 0, 0))),
        ("another error", 403, &[("cache-control", "max-age=99")], Ok((10, 0, 0))),
        ("private", 200, &[("cache-control", "private, max-age=60")], Err("private")),
        ("not to be stored", 200, &[("cache-control", "no-store")], Err("no-store")),
        ("a cookie", 200, &[("set-cookie", "a=b")], Err("set-cookie")),
    ];
    for (name, status, fields, want) in told {
        assert_eq!(judged_by(&terms, status, fields), want, "{name}");
    }
}
