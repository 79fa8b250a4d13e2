//! Keys that come while the server runs, and quotas.

use super::*;
use crate::{Action, Input, KeyInfo, Limits, Lock, Protocol};
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
async fn what_belongs_to_channels_is_shut_without_a_key_and_does_not_tell_whether_it_is_there() {
    for (settings, query, want) in [
        ("", "", Err(NoCredential)),
        ("publish = 'open'", "", Err(NoCredential)),
        ("", "key=anything", Err(WrongKey)),
        ("", "input=backup", Err(NoCredential)),
        ("[[streams]]\nname = 'members/*'\nkeys = 'own'", "key=own", Ok("key")),
        ("[[streams]]\nname = 'members/*'\npassphrase = '0123456789'", "", Err(NoCredential)),
    ] {
        let admission = admission(settings);
        for protocol in [Protocol::Rtmp, Protocol::Srt] {
            let ask = Ask { protocol, ..of("members/show", query) };
            assert_eq!(by(&admission, &ask).await, want, "{settings} {query}");
        }
        let other = Ask { action: Action::Play, ..of("channels/show", "") };
        assert_eq!(by(&admission, &other).await, Ok("open"), "{settings}");
    }
    let admission = admission("");
    let refusal = async |key: &str| decide(&admission, &of("channels/show", key)).await.unwrap_err().text;
    let before = (refusal("").await, refusal("key=x").await);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"hunter2").as_ref().try_into();
    let lock = Lock::Sha256(hash.unwrap());
    admission.add_key(key("channels/show"), "k1", lock, Input::Primary, Limits::default());
    assert_eq!((refusal("").await, refusal("key=x").await), before);
    let grant = decide(&admission, &of("channels/show", "key=hunter2")).await.unwrap();
    assert_eq!((grant.by, grant.key.as_deref()), ("key", Some("k1")));
    assert_eq!(admission.adobe_password("channels", "k1"), None, "nobody here knows it");
    assert!(admission.has_key("k1") && !admission.has_key("k2"));
}

#[tokio::test]
async fn an_empty_key_opens_nothing() {
    let admission = admission("");
    admission.add_key(key("live/show"), "k1", Secret::default(), Input::Primary, Limits::default());
    let empty = Ask { key: Some(Secret::default()), ..ask("") };
    assert_eq!(by(&admission, &empty).await, Err(WrongKey));
    // The SHA-256 of nothing.
    let nothing: [u8; 32] =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"").as_ref().try_into().unwrap();
    admission.add_key(key("live/show"), "k2", Lock::Sha256(nothing), Input::Primary, Limits::default());
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
