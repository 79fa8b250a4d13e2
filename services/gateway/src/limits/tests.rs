//! Who is counted with whom, what is said, and what several gateways admit together.

use std::sync::Arc;

use nx_chassis::test::Redis;

use super::*;

fn rate(per_minute: u32, burst: u32) -> Option<Rate> {
    Some(Rate { per_minute, burst: Some(burst) })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

#[test]
fn who_shares_a_bucket() {
    let (mut one, mut two) = (HeaderMap::new(), HeaderMap::new());
    one.insert("authorization", HeaderValue::from_static("Bearer one"));
    two.insert("authorization", HeaderValue::from_static("Bearer two"));
    let name = |limit, peer: &str, headers, user| {
        who(limit, Asker { peer: peer.parse().expect("an address"), headers, user })
    };
    let same = |limit, a: (&str, _, _), b: (&str, _, _)| {
        let (a, b) = (name(limit, a.0, a.1, a.2), name(limit, b.0, b.1, b.2));
        a.is_some() && a == b
    };
    for (what, got, want) in [
        ("ports", same("address", ("10.0.0.1:1", &one, None), ("10.0.0.1:2", &two, None)), true),
        ("addresses", same("address", ("10.0.0.1:1", &one, None), ("10.0.0.2:1", &one, None)), false),
        (
            "one network",
            same("address", ("[2001:db8::1]:1", &one, None), ("[2001:db8::ffff:2]:1", &one, None)),
            true,
        ),
        (
            "two networks",
            same("address", ("[2001:db8::1]:1", &one, None), ("[2001:db8:0:1::1]:1", &one, None)),
            false,
        ),
        ("mapped", same("address", ("[::ffff:10.0.0.1]:1", &one, None), ("10.0.0.1:1", &one, None)), true),
        ("one key", same("key", ("10.0.0.1:1", &one, None), ("10.0.0.2:1", &one, None)), true),
        ("two keys", same("key", ("10.0.0.1:1", &one, None), ("10.0.0.1:1", &two, None)), false),
        ("one user", same("user", ("10.0.0.1:1", &one, Some("a")), ("10.0.0.2:1", &two, Some("a"))), true),
        ("two users", same("user", ("10.0.0.1:1", &one, Some("a")), ("10.0.0.1:1", &one, Some("b"))), false),
    ] {
        assert_eq!(got, want, "{what}");
    }
    let none = HeaderMap::new();
    assert_eq!(
        (name("key", "10.0.0.1:1", &none, None), name("user", "10.0.0.1:1", &none, None)),
        (None, None)
    );
    assert_ne!(name("key", "1.1.1.1:1", &one, None), name("user", "1.1.1.1:1", &one, Some("Bearer one")));
}

#[tokio::test]
async fn the_nearest_limit_is_told_and_the_one_that_is_reached_is_429() {
    let config = Config { address: rate(60, 10), user: rate(600, 2), ..Config::default() };
    let (limits, headers) = (Limits::new(config).expect("limits"), HeaderMap::new());
    let peer = "127.0.0.1:9".parse().expect("an address");
    let ask = async |user, now_ms| {
        limits.count(Asker { peer, headers: &headers, user }, now_ms).await.expect("a limit")
    };
    let mut told = HeaderMap::new();
    ask(None, 0).await.write(&mut told);
    assert_eq!(
        (text(&told, "ratelimit-policy"), text(&told, "ratelimit")),
        ("\"address\";q=60;w=60", "\"address\";r=9;t=1")
    );
    ask(Some("a"), 0).await.write(&mut told);
    assert_eq!(text(&told, "ratelimit"), "\"user\";r=1;t=1");
    assert!(ask(Some("a"), 0).await.refusal().is_none());
    let refused = ask(Some("a"), 0).await.refusal().expect("too many");
    assert_eq!((refused.status().as_u16(), text(refused.headers(), "retry-after")), (429, "1"));
    assert_eq!(text(refused.headers(), "content-type"), "application/problem+json");
    assert_eq!(text(refused.headers(), "ratelimit"), "\"user\";r=0;t=1");
    assert!(ask(Some("b"), 0).await.refusal().is_none(), "another");
    assert!(ask(Some("a"), 100).await.refusal().is_none(), "a little later");
}

#[test]
fn what_cannot_be_is_named() {
    let config =
        Config { address: rate(0, 1), key: rate(1, 0), redis: Some(Secret::new("x")), ..Config::default() };
    let keys: Vec<String> = config.validate().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["address", "key", "redis"]);
}

/// Two gateways that are asked far more than is allowed, from one moment at which the bucket is empty to another: what passed
/// between is what flowed in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_with_one_redis_admit_what_one_would_and_alone_without_it() {
    let redis = Redis::start();
    let config =
        || Config { user: rate(12_000, 400), redis: Some(Secret::new(&redis.url())), ..Config::default() };
    let gateways: [_; 2] = std::array::from_fn(|_| Arc::new(Limits::new(config()).expect("limits")));
    let peer: SocketAddr = "127.0.0.1:9".parse().expect("an address");
    // Asks until it is refused after that moment: how many passed, and when it was refused.
    let ask = |limits: Arc<Limits>, until_ms: i64| async move {
        let (mut passed, headers) = (0_u32, HeaderMap::new());
        loop {
            let asker = Asker { peer, headers: &headers, user: Some("a") };
            let standing = limits.count(asker, nx_delivery::wall_ms()).await.expect("a limit");
            let (refused, now_ms) = (standing.refusal().is_some(), nx_delivery::wall_ms());
            passed += u32::from(!refused);
            if refused && now_ms >= until_ms {
                return (passed, now_ms);
            }
        }
    };
    let (burst, began) = ask(gateways[0].clone(), 0).await;
    assert!(burst >= 400, "{burst} at once");
    let [one, two] = gateways.clone().map(|limits| tokio::spawn(ask(limits, began + 4_000)));
    let (one, two) = (one.await.expect("one"), two.await.expect("two"));
    assert_eq!(gateways.each_ref().map(|g| g.shared()), [Some(true); 2], "Redis has counted all of it");
    let (passed, took_ms) = (one.0 + two.0, one.1.max(two.1) - began);
    let should = took_ms as f64 * 12_000.0 / 60_000.0;
    let apart = (f64::from(passed) - should).abs() / should;
    assert!(apart <= 0.02, "{passed} passed in {took_ms} ms, {should} should");
    drop(redis);
    let (headers, now_ms) = (HeaderMap::new(), nx_delivery::wall_ms());
    let asker = Asker { peer, headers: &headers, user: Some("a") };
    let standing = gateways[0].count(asker, now_ms).await.expect("a limit");
    assert!(standing.refusal().is_none() && gateways[0].shared() == Some(false), "it counts for itself");
}
