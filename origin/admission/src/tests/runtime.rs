//! Keys that come while the server runs, and quotas.

use super::*;
use crate::{Input, KeyInfo, Limits};
use RefusalKind::{NoCredential, TooMany, WrongKey};

#[tokio::test]
async fn a_runtime_key_opens_and_shuts_its_stream() {
    let admission = admission("");
    assert_eq!(by(&admission, &ask("")).await, Ok("open"));
    let limits = Limits { bitrate_bps: Some(9), ..Limits::default() };
    admission.add_key(key("live/show"), "k1", Secret::new("old"), Input::Primary, Limits::default());
    admission.add_key(key("live/show"), "k1", Secret::new("hunter2"), Input::Backup, limits);
    assert_eq!(by(&admission, &ask("")).await, Err(NoCredential));
    assert_eq!(by(&admission, &ask("key=old")).await, Err(WrongKey), "it was replaced");
    assert_eq!(by(&admission, &of("live/other", "")).await, Ok("open"), "other streams stay as they were");
    let grant = decide(&admission, &ask("key=hunter2")).await.unwrap();
    assert_eq!((grant.by, grant.input, grant.limits), ("key", Input::Backup, limits));
    let info = KeyInfo { id: "k1".into(), stream: key("live/show"), input: Input::Backup, limits };
    assert_eq!(admission.keys(), [info]);
    assert!(!format!("{:?}", admission.keys()).contains("hunter"));
    assert_eq!((admission.remove_key("k1"), admission.remove_key("k1")), (true, false));
    assert_eq!(by(&admission, &ask("")).await, Ok("open"));
}

#[tokio::test]
async fn an_empty_key_opens_nothing() {
    let admission = admission("");
    admission.add_key(key("live/show"), "k1", Secret::default(), Input::Primary, Limits::default());
    let empty = Ask { key: Some(Secret::default()), ..ask("") };
    assert_eq!(by(&admission, &empty).await, Err(WrongKey));
}

#[tokio::test]
async fn a_runtime_key_stands_beside_those_of_the_rule_and_within_its_limits() {
    let admission =
        admission("[[streams]]\nname = 'live/*'\nkeys = 'static'\nlimits = { bitrate_bps = 5, width = 7 }");
    let wide = Limits { bitrate_bps: Some(9), height: Some(8), ..Limits::default() };
    admission.add_key(key("live/show"), "k1", Secret::new("held"), Input::Primary, wide);
    assert_eq!(by(&admission, &ask("key=static")).await, Ok("key"));
    let want = Limits { bitrate_bps: Some(5), width: Some(7), height: Some(8), ..Limits::default() };
    assert_eq!(decide(&admission, &ask("key=held")).await.unwrap().limits, want);
}

#[test]
fn adobe_users_are_key_ids_and_inputs_of_the_application() {
    let admission = admission(
        "[[streams]]\nname = 'live/*'\nkeys = [{ key = 'p', input = 'primary' }, 'any']
        [[streams]]\nname = 'one/show'\nkeys = [{ key = 'q', input = 'primary' }]",
    );
    admission.add_key(key("live/show"), "k1", Secret::new("held"), Input::Primary, Limits::default());
    for (app, user, want) in [
        ("live", "k1", Some("held")),
        ("other", "k1", None),
        ("live", "primary", Some("p")),
        ("live", "backup", None),
        ("one", "primary", None),
    ] {
        assert_eq!(admission.adobe_password(app, user), want.map(Secret::new), "{app} {user}");
    }
}

#[tokio::test]
async fn a_quota_counts_inputs_on_air_and_is_given_back() {
    let admission = admission("[[streams]]\nname = 'live/*'\nlimits = { concurrent = 2 }");
    let first = decide(&admission, &of("live/a", "")).await.unwrap();
    let second = decide(&admission, &of("live/a", "input=backup")).await.unwrap();
    let refusal = decide(&admission, &of("live/b", "")).await.unwrap_err();
    assert_eq!(refusal.kind, TooMany);
    assert_eq!(refusal.text, "live/b: 2 already there and no more allowed: stop one, or raise concurrent");
    let back =
        decide(&admission, &of("live/a", "")).await.expect("the same input comes back and is not counted");
    drop(first);
    assert_eq!(by(&admission, &of("live/b", "")).await, Err(TooMany));
    drop(back);
    assert_eq!(by(&admission, &of("live/b", "")).await, Ok("open"));
    drop(second);
    assert!(
        decide(&admission, &of("other/b", "")).await.unwrap().lease.is_none(),
        "no quota, nothing to hold"
    );
}

#[tokio::test]
async fn players_of_a_key_are_counted_one_by_one_and_apart_from_publishers() {
    let admission = admission("");
    let one = Limits { concurrent: Some(1), ..Limits::default() };
    admission.add_key(key("live/show"), "k1", Secret::new("held"), Input::Primary, one);
    let _publisher = decide(&admission, &ask("key=held")).await.unwrap();
    let player = Ask { action: Action::Play, ..ask("key=held") };
    let first = decide(&admission, &player).await.unwrap();
    assert_eq!(by(&admission, &player).await, Err(TooMany));
    drop(first);
    assert_eq!(by(&admission, &player).await, Ok("key"));
}
