//! Exact counts on a clock of the tests.

use super::*;

#[test]
fn opens_after_5_waits_30_s_and_closes_after_3() {
    let breaker = Breaker::default();
    let call = |now, good| breaker.permit(now).map(|p| p.end(good, now));
    for _ in 0..4 {
        assert_eq!(call(0, false), Ok(()));
    }
    assert_eq!(call(0, true), Ok(()), "a success begins the count anew");
    for _ in 0..5 {
        assert_eq!((breaker.name(0), call(0, false)), ("up", Ok(())));
    }
    assert_eq!((breaker.name(0), call(0, true)), ("down", Err(30_000)));
    assert_eq!(call(29_999, true), Err(1));
    for nth in 0..3 {
        assert_eq!((breaker.name(30_000), call(30_000, true)), ("degraded", Ok(())), "{nth}");
    }
    assert_eq!(breaker.name(30_000), "up");
    for _ in 0..4 {
        assert_eq!(call(30_000, false), Ok(()), "closed, and the count is at 0");
    }
    assert_eq!(breaker.name(30_000), "up");
}

#[test]
fn three_probes_at_a_time_one_that_fails_opens_it_again_one_given_up_is_given_back() {
    let breaker = Breaker::default();
    for _ in 0..5 {
        breaker.permit(0).expect("closed").end(false, 0);
    }
    let probes: Vec<_> = (0..3).map(|_| breaker.permit(30_000).expect("a probe")).collect();
    assert!(breaker.permit(30_000).is_err(), "a fourth");
    drop(probes);
    breaker.permit(30_000).expect("given back").end(true, 30_000);
    breaker.permit(30_000).expect("a probe").end(false, 31_000);
    assert_eq!(breaker.permit(60_999).map(|_| ()), Err(1));
    assert!(breaker.permit(61_000).is_ok());
}
