//! What addresses, keys and policy decide.

use super::*;
use crate::Input;
use RefusalKind::{Address, BadToken, NoCredential, NotAllowed, WrongKey};

const KEYED: &str = r#"
[[streams]]
name = "live/show"
keys = [{ key = "one", input = "primary" }, { key = "two", input = "backup" }, { key = "any" }]
[[streams]]
name = "live/*"
keys = [{ key = "both", input = "primary" }, { key = "both", input = "backup" }]
[[streams]]
name = "live/free"
[[streams]]
name = "srt/*"
passphrase = "0123456789"
"#;

#[tokio::test]
async fn keys_open_their_streams_and_no_others() {
    let open = format!("publish = 'open'\n{KEYED}");
    for (closed, stream, query, want) in [
        (true, "live/show", "key=one", Ok("key")),
        (true, "live/show", "key=any", Ok("key")),
        (true, "live/show", "", Err(NoCredential)),
        (true, "live/show", "key=", Err(NoCredential)),
        (true, "live/show", "key=One", Err(WrongKey)),
        (true, "live/show", "key=both", Err(WrongKey)),
        (true, "live/other", "key=both", Ok("key")),
        (true, "live/other", "key=one", Err(WrongKey)),
        (true, "live/free", "key=both", Err(NotAllowed)),
        (true, "other/x", "", Err(NotAllowed)),
        (true, "other/x", "token=a.b.c", Err(BadToken)),
        (true, "live/show", "token=a.b.c", Err(NoCredential)),
        (true, "live/show", "key=one&token=a.b.c", Ok("key")),
        (true, "srt/x", "key=one", Err(NotAllowed)),
        (false, "live/show", "", Err(NoCredential)),
        (false, "live/show", "key=wrong", Err(WrongKey)),
        (false, "live/free", "", Ok("open")),
        (false, "live/free", "key=leftover", Ok("open")),
        (false, "other/x", "token=leftover", Ok("open")),
        (false, "srt/x", "", Err(NotAllowed)),
    ] {
        let admission = admission(if closed { KEYED } else { &open });
        assert_eq!(by(&admission, &of(stream, query)).await, want, "closed {closed} {stream} {query}");
    }
}

#[tokio::test]
async fn refusals_tell_what_to_do() {
    let admission = admission(KEYED);
    for (stream, query, want) in [
        ("live/show", "", "live/show asks for a key: add ?key=… to the stream name"),
        ("live/show", "key=x", "the key is not one of live/show: check it for typing errors and for its end"),
        ("a/b", "", "a/b may not be published: check the name, or add it to origin.admission.streams"),
        ("srt/b", "", "srt/b takes SRT with its passphrase only: publish by SRT, or add keys to its rule"),
    ] {
        assert_eq!(decide(&admission, &of(stream, query)).await.unwrap_err().to_string(), want);
    }
    let long = format!("{}/{}", "a".repeat(128), "b".repeat(128));
    let text = decide(&admission, &of(&long, "")).await.unwrap_err().text;
    assert!(text.starts_with("aaa") && text.ends_with("origin.admission.streams"), "{text}");
}

#[tokio::test]
async fn the_input_is_the_keys_or_else_the_publishers() {
    let admission = admission(KEYED);
    for (stream, query, want) in [
        ("live/show", "key=one", Input::Primary),
        ("live/show", "key=two", Input::Backup),
        ("live/show", "key=one&input=backup", Input::Primary),
        ("live/show", "key=two&input=primary", Input::Backup),
        ("live/show", "key=any", Input::Primary),
        ("live/show", "key=any&input=backup", Input::Backup),
        ("live/x", "key=both", Input::Primary),
        ("live/x", "key=both&input=primary", Input::Primary),
        ("live/x", "key=both&input=backup", Input::Backup),
    ] {
        assert_eq!(decide(&admission, &of(stream, query)).await.unwrap().input, want, "{stream} {query}");
    }
}

#[tokio::test]
async fn addresses_are_looked_at_before_credentials() {
    let admission = admission(
        "allow = ['192.0.2.0/24', '::1']
        [[streams]]\nname = 'live/show'\nkeys = 'k'\nallow = ['192.0.2.7']",
    );
    for (stream, action, peer, want) in [
        ("live/show", Action::Publish, "192.0.2.7", Ok("key")),
        ("live/show", Action::Publish, "::ffff:192.0.2.7", Ok("key")),
        ("live/show", Action::Publish, "192.0.2.8", Err(Address)),
        ("live/show", Action::Publish, "198.51.100.1", Err(Address)),
        ("live/show", Action::Publish, "::1", Err(Address)),
        ("a/b", Action::Publish, "198.51.100.1", Err(Address)),
        ("a/b", Action::Publish, "::1", Err(NotAllowed)),
        ("live/show", Action::Play, "198.51.100.1", Ok("key")),
        ("a/b", Action::Play, "198.51.100.1", Ok("open")),
    ] {
        let ask = Ask { peer: peer.parse().unwrap(), action, ..of(stream, "key=k") };
        assert_eq!(by(&admission, &ask).await, want, "{stream} {action:?} {peer}");
    }
    let guess = Ask { peer: "198.51.100.1".parse().unwrap(), ..ask("key=wrong") };
    assert_eq!(by(&admission, &guess).await, Err(Address), "outsiders learn nothing about keys");
    let outside = Ask { peer: "198.51.100.1".parse().unwrap(), ..of("a/b", "") };
    let text = decide(&admission, &outside).await.unwrap_err().text;
    assert_eq!(text, "a/b may not be published from 198.51.100.1: add the address to origin.admission.allow");
}

#[tokio::test]
async fn protocols_differ_only_where_they_must() {
    let admission = admission(KEYED);
    for (protocol, stream, query, want, passphrase) in [
        (Protocol::Rtmps, "live/show", "key=one", Ok("key"), false),
        (Protocol::Srt, "live/show", "key=one", Ok("key"), false),
        (Protocol::Srt, "live/show", "", Err(NoCredential), false),
        (Protocol::Srt, "srt/x", "", Ok("passphrase"), true),
        (Protocol::Rtmp, "srt/x", "", Err(NotAllowed), false),
        (Protocol::Pull, "live/show", "", Ok("pull"), false),
        (Protocol::Pull, "live/show", "key=wrong", Err(WrongKey), false),
        (Protocol::Pull, "other/x", "", Ok("pull"), false),
    ] {
        let ask = Ask { protocol, ..of(stream, query) };
        assert_eq!(by(&admission, &ask).await, want, "{protocol:?} {stream} {query}");
        if let Ok(grant) = decide(&admission, &ask).await {
            assert_eq!(grant.passphrase_required, passphrase, "{protocol:?} {stream}");
        }
    }
    assert_eq!(admission.passphrase(&key("srt/x")), Some(Secret::new("0123456789")));
    assert_eq!(admission.passphrase(&key("live/show")), None);
}

#[tokio::test]
async fn players_come_in_freely_unless_playing_is_closed() {
    let closed = format!("play = 'closed'\n{KEYED}");
    for (toml, stream, query, want) in [
        (KEYED, "live/show", "", Ok("open")),
        (KEYED, "live/show", "key=wrong", Err(WrongKey)),
        (KEYED, "other/x", "key=leftover", Ok("open")),
        (&closed, "live/show", "", Err(NoCredential)),
        (&closed, "live/show", "key=one", Ok("key")),
        (&closed, "other/x", "key=leftover", Err(NoCredential)),
    ] {
        let ask = Ask { action: Action::Play, ..of(stream, query) };
        assert_eq!(by(&admission(toml), &ask).await, want, "{stream} {query}");
    }
}

#[tokio::test]
async fn limits_come_with_the_grant_of_publishers() {
    let admission = admission(
        "[[streams]]\nname = 'live/*'\nkeys = 'k'\nlimits = { bitrate_bps = 5, concurrent = 2 }\n[[streams]]\nname = 'live/free'\nkeys = 'k'",
    );
    let limits = decide(&admission, &of("live/a", "key=k")).await.unwrap().limits;
    assert_eq!((limits.bitrate_bps, limits.concurrent), (Some(5), Some(2)));
    let free = decide(&admission, &of("live/free", "key=k")).await.unwrap();
    assert_eq!(free.limits, crate::Limits::default(), "only the longest rule holds");
    let player = Ask { action: Action::Play, ..of("live/a", "") };
    assert_eq!(decide(&admission, &player).await.unwrap().limits, crate::Limits::default());
}
