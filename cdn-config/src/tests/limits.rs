//! Token buckets.

use std::net::IpAddr;

use proptest::prelude::*;

use crate::{Buckets, Limit, Throttled};

fn limit(text: &str) -> Limit {
    toml::from_str(&format!("name = \"l\"\n{text}")).expect("a limit")
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// How many of `asked` requests at that time are admitted.
fn admitted(buckets: &mut Buckets, limit: &Limit, from: &str, asked: usize, now_ms: i64) -> usize {
    (0..asked).filter(|_| buckets.ask(limit, address(from), "live/a", now_ms).is_ok()).count()
}

#[test]
fn a_second_holds_as_many_requests_as_it_says_and_the_next_are_told_when() {
    let (mut buckets, limit) = (Buckets::default(), limit("requests_per_s = 5"));
    assert_eq!(admitted(&mut buckets, &limit, "10.0.0.1", 9, 1_000), 5);
    assert_eq!(
        buckets.ask(&limit, address("10.0.0.1"), "live/b", 1_000),
        Err(Throttled { key: "requests_per_s", retry_s: 1 }),
        "whatever is asked for"
    );
    assert_eq!(admitted(&mut buckets, &limit, "10.0.0.2", 9, 1_000), 5, "another address");
    assert_eq!(admitted(&mut buckets, &limit, "::ffff:10.0.0.2", 9, 1_000), 0, "the same, written otherwise");
    // A fifth of a second is one request, whatever came between.
    for (now_ms, more) in [(1_199, 0), (1_200, 1), (1_399, 0), (1_400, 1), (60_000, 5), (59_000, 0)] {
        assert_eq!(admitted(&mut buckets, &limit, "10.0.0.1", 9, now_ms), more, "{now_ms}");
    }
}

#[test]
fn a_network_of_64_bits_is_one_viewer() {
    let (mut buckets, limit) = (Buckets::default(), limit("requests_per_s = 2"));
    let taken = [("2001:db8::1", 1), ("2001:db8::ffff:1", 1), ("2001:db8::2", 0), ("2001:db8:0:1::1", 1)];
    for (from, more) in taken {
        assert_eq!(admitted(&mut buckets, &limit, from, 1, 0), more, "{from}");
    }
}

#[test]
fn what_was_sent_is_paid_off_before_more_is() {
    // A megabyte a second: lumps of ten.
    let (mut buckets, limit) = (Buckets::default(), limit("bandwidth_bps = 8_000_000"));
    let here = address("10.0.0.1");
    let mut ask = |now_ms| {
        buckets.ask(&limit, here, "live/a", now_ms).map(|()| {
            buckets.sent(&limit, here, "live/a", 9_000_000, now_ms);
        })
    };
    assert_eq!((ask(0), ask(0)), (Ok(()), Ok(())), "8 MB too much are borne");
    assert_eq!(ask(0), Err(Throttled { key: "bandwidth_bps", retry_s: 9 }));
    assert_eq!(ask(7_000), Err(Throttled { key: "bandwidth_bps", retry_s: 2 }));
    assert_eq!(ask(8_001), Ok(()));
}

#[test]
fn a_body_of_any_length_costs_others_no_more_than_a_full_bucket() {
    let (mut buckets, limit) = (Buckets::default(), limit("stream_bandwidth_bps = 8_000_000"));
    buckets.sent(&limit, address("10.0.0.1"), "live/a", u64::MAX, 0);
    let refused = buckets.ask(&limit, address("10.0.0.2"), "live/a", 0).expect_err("owed");
    assert!(refused.retry_s <= 11, "{refused:?}");
    assert_eq!(buckets.ask(&limit, address("10.0.0.2"), "live/a", 10_001), Ok(()));
}

#[test]
fn viewers_of_one_stream_share_its_limit() {
    let (mut buckets, limit) = (Buckets::default(), limit("stream_requests_per_s = 3"));
    let from = |nth: u8| IpAddr::from([10, 0, 0, nth]);
    assert!((0..3).all(|nth| buckets.ask(&limit, from(nth), "live/a", 0).is_ok()));
    let refused = buckets.ask(&limit, from(9), "live/a", 0);
    assert_eq!(refused, Err(Throttled { key: "stream_requests_per_s", retry_s: 1 }));
    assert_eq!(buckets.ask(&limit, from(9), "live/b", 0), Ok(()));
}

#[test]
fn who_has_not_come_for_longest_is_forgotten_first() {
    let (mut buckets, limit) = (Buckets::default(), limit("requests_per_s = 1"));
    let from = |nth: u32| IpAddr::from(nth.to_be_bytes());
    let mut ask = |nth: u32| buckets.ask(&limit, from(nth), "live/a", 0).is_ok();
    assert!(ask(1) && ask(2) && !ask(1));
    // Two generations of strangers; one of the two comes now and then.
    for nth in 10..200_000 {
        assert!(ask(nth));
        assert!(nth % 1_000 != 0 || !ask(1), "it is remembered");
    }
    assert!(ask(2), "it is not");
    assert!(buckets.len() <= 2 * 65_536);
}

proptest! {
    /// Over any stretch of time nobody gets more than the lump and what the rate gives.
    #[test]
    fn nobody_gets_more_than_his_rate(rate in 1u32..50, steps in prop::collection::vec(0i64..500, 1..200)) {
        let (mut buckets, limit) = (Buckets::default(), limit(&format!("requests_per_s = {rate}")));
        let (mut now_ms, mut got) = (0, 0i64);
        for step in steps {
            now_ms += step;
            got += i64::try_from(admitted(&mut buckets, &limit, "10.0.0.1", 3, now_ms)).expect("few");
            prop_assert!(got * 1000 <= i64::from(rate) * (now_ms + 1000));
        }
    }
}
