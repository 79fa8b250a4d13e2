//! The table of nights when clocks change.

use super::*;

fn ms(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).expect("a time").timestamp_millis()
}

/// Where engines differ: what comes after a moment on a night when clocks change.
#[test]
fn the_nights_when_clocks_change() {
    for (cron, zone_name, after, want) in [
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"][..],
        ),
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        ),
        (
            "30 1 * * *",
            "America/New_York",
            "2026-10-31T12:00:00Z",
            &["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"],
        ),
        (
            "0 * * * *",
            "America/New_York",
            "2026-11-01T04:30:00Z",
            &["2026-11-01T05:00:00Z", "2026-11-01T06:00:00Z", "2026-11-01T07:00:00Z"],
        ),
        (
            "30 0 * * *",
            "Africa/Cairo",
            "2026-04-23T12:00:00Z",
            &["2026-04-23T22:00:00Z", "2026-04-24T21:30:00Z"],
        ),
        ("*/15 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", &["2026-03-30T00:00:00Z"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", &["2026-10-03T15:30:00Z"]),
        ("0 0 31 * *", "UTC", "2026-01-31T00:00:00Z", &["2026-03-31T00:00:00Z"]),
        ("0 0 L 2 *", "UTC", "2026-01-01T00:00:00Z", &["2026-02-28T00:00:00Z", "2027-02-28T00:00:00Z"]),
    ] {
        let (parsed, zone) = (cron.parse::<Cron>().expect(cron), zone(zone_name).expect(zone_name));
        let mut after = ms(after);
        for want in want {
            after = parsed.next_after(after, zone).expect(cron);
            let got = Utc.timestamp_millis_opt(after).single().expect("a time").to_rfc3339();
            assert_eq!(after, ms(want), "{cron} {zone_name}: {got}, not {want}");
        }
    }
}

#[test]
fn what_is_no_cron_expression_is_refused() {
    for bad in ["", "* * * *", "61 * * * *", "x", &"*".repeat(101)] {
        assert!(bad.parse::<Cron>().is_err(), "{bad}");
    }
    assert!(zone("Europe/Atlantis").is_err());
}
