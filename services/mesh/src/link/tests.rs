//! How often is asked, counted.

use std::cell::Cell;
use std::time::Duration;

use super::*;

/// Asks a service that always answers so; how often it was asked.
async fn asked(link: &Link, clock: &Clock, tries: u32, went: Asked) -> Result<u32, i64> {
    let count = Cell::new(0);
    link.ask(clock, tries, async |_| count.set(count.get() + 1), |()| went).await.map(|()| count.get())
}

#[tokio::test]
async fn only_what_failed_is_tried_again_within_the_budget_and_through_an_open_breaker_nothing_is() {
    let (link, clock) = (Link::default(), Clock::manual(0));
    assert_eq!(asked(&link, &clock, 2, Asked::Good).await, Ok(1));
    assert_eq!(asked(&link, &clock, 2, Asked::Late).await, Ok(1));
    for _ in 0..9 {
        assert_eq!(asked(&link, &clock, 2, Asked::Nobody).await, Ok(1));
    }
    assert_eq!(link.state(&clock), "up", "nobody has failed");
    assert_eq!(asked(&link, &clock, 1, Asked::Bad).await, Ok(1), "may not be repeated");
    assert_eq!(asked(&link, &clock, 2, Asked::Bad).await, Ok(2));
    // The fifth failure in a row is the first try of this one.
    assert_eq!(asked(&link, &clock, 2, Asked::Bad).await, Err(30_000), "it opens between two tries");
    assert_eq!((asked(&link, &clock, 2, Asked::Good).await, link.state(&clock)), (Err(30_000), "down"));
    clock.advance(Duration::from_secs(30));
    for _ in 0..3 {
        assert_eq!(asked(&link, &clock, 2, Asked::Good).await, Ok(1));
    }
    assert_eq!(link.state(&clock), "up");
}

#[tokio::test]
async fn a_tenth_of_the_calls_may_be_repeated_in_the_long_run() {
    let (link, clock) = (Link::default(), Clock::manual(0));
    let (mut calls, mut tries) = (0, 0);
    while calls < 1000 {
        // Two good ones between, so that the breaker stays closed.
        for went in [Asked::Bad, Asked::Good, Asked::Good] {
            tries += asked(&link, &clock, 2, went).await.expect("closed");
            calls += 1;
        }
    }
    let repeated = tries - calls;
    assert!((100..=111).contains(&repeated), "{repeated} of {calls}: ten saved up, and a tenth");
}
