//! Buckets against the plain reading of the words: so many at once, then so many a minute.

use super::*;

const WHO: Name = [1; 16];

fn rate(per_minute: u32, burst: u32) -> Rate {
    Rate { per_minute, burst: Some(burst) }
}

#[test]
fn a_burst_then_one_by_one() {
    let (buckets, rate) = (Buckets::default(), rate(60, 3));
    let take = |now_ms| {
        let Verdict { admitted, remaining, full_ms, retry_ms } = buckets.take(&WHO, rate, now_ms);
        (admitted, remaining, full_ms, retry_ms)
    };
    for (now_ms, want) in [
        (0, (true, 2, 1_000, 0)),
        (0, (true, 1, 2_000, 0)),
        (0, (true, 0, 3_000, 0)),
        (0, (false, 0, 3_000, 1_000)),
        (999, (false, 0, 2_001, 1)),
        (1_000, (true, 0, 3_000, 0)),
        (1_500, (false, 0, 2_500, 500)),
        (60_000, (true, 2, 1_000, 0)),
        // A clock that was set back gives nothing away, and takes nothing but time.
        (59_000, (true, 0, 3_000, 0)),
    ] {
        assert_eq!(take(now_ms), want, "at {now_ms} ms");
    }
}

#[test]
fn at_any_rate_and_any_pattern_what_passes_is_what_the_words_say() {
    for (nth, (per_minute, burst)) in
        [(7, 1), (100, 100), (1_000, 50), (60_000, 1), (1, 5)].into_iter().enumerate()
    {
        let (buckets, rate) = (Buckets::default(), rate(per_minute, burst));
        // Requests at times that a small generator makes up; tokens as a fraction, added and taken.
        let (mut seed, mut now_ms, mut tokens, mut last_ms) =
            (nth as u64 + 1, 0_i64, f64::from(burst), 0_i64);
        let (mut passed, mut should) = (0_i32, 0_i32);
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            now_ms += i64::try_from((seed >> 33) % 40).expect("small");
            tokens =
                (tokens + (now_ms - last_ms) as f64 * f64::from(per_minute) / 60_000.0).min(f64::from(burst));
            last_ms = now_ms;
            if tokens >= 1.0 - 1e-6 {
                tokens -= 1.0;
                should += 1;
            }
            passed += i32::from(buckets.take(&WHO, rate, now_ms).admitted);
        }
        let apart = f64::from((passed - should).abs()) / f64::from(should);
        assert!(apart < 0.002, "{per_minute} a minute: {passed} passed, {should} should");
    }
}

#[test]
fn too_many_askers_share_one_bucket_until_others_are_full_again() {
    let (buckets, rate) = (Buckets::default(), rate(60, 1));
    let name = |nth: usize| {
        let mut name = [2; 16];
        name[..8].copy_from_slice(&nth.to_be_bytes());
        name
    };
    for nth in 0..BUCKETS_MAX {
        assert!(buckets.take(&name(nth), rate, 10_000).admitted);
    }
    assert!(buckets.take(&name(BUCKETS_MAX), rate, 10_000).admitted, "the first of those that are too many");
    assert!(!buckets.take(&name(BUCKETS_MAX + 1), rate, 10_000).admitted, "who shares with it");
    assert!(!buckets.take(&name(3), rate, 10_000).admitted, "who has a bucket has it");
    assert!(buckets.take(&name(BUCKETS_MAX + 1), rate, 11_001).admitted);
    assert_eq!(buckets.0.lock().expect("a lock").full_at_us.len(), 1, "full ones were forgotten");
}
