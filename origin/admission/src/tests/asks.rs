//! Reading the question from the queries of encoders.

use super::*;
use crate::Input;

#[test]
fn queries_are_read_as_encoders_write_them() {
    // Query of the name, of the application, then key, token, user, input.
    type Want = (Option<&'static str>, Option<&'static str>, Option<&'static str>, Option<Input>);
    let table: &[(&str, &str, Want)] = &[
        ("", "", (None, None, None, None)),
        ("key=abc", "", (Some("abc"), None, None, None)),
        ("?key=abc", "", (Some("abc"), None, None, None)),
        ("", "key=abc&token=t.o.k", (Some("abc"), Some("t.o.k"), None, None)),
        ("key=name", "key=app&user=bob", (Some("name"), None, Some("bob"), None)),
        ("key=first&key=second", "", (Some("first"), None, None, None)),
        ("user=bob&pass=pw", "", (Some("pw"), None, Some("bob"), None)),
        ("u=bob", "", (None, None, Some("bob"), None)),
        ("input=backup&key=", "", (None, None, None, Some(Input::Backup))),
        ("input=primary", "", (None, None, None, Some(Input::Primary))),
        ("input=third", "input=backup", (None, None, None, Some(Input::Backup))),
        ("key=a%2Bb%26c", "", (Some("a+b&c"), None, None, None)),
        ("key=a+b==", "", (Some("a+b=="), None, None, None)),
        ("key=100%", "", (Some("100%"), None, None, None)),
        ("key=%zz%4", "", (Some("%zz%4"), None, None, None)),
        ("key=%41%", "", (Some("A%"), None, None, None)),
        ("key=%ff", "", (Some("\u{fffd}"), None, None, None)),
        ("&&=&key", "other=1", (None, None, None, None)),
    ];
    for (name, app, want) in table {
        let peer = "::1".parse().unwrap();
        let got = Ask::from_query(key("live/show"), Action::Publish, Protocol::Rtmp, peer, name, app);
        let text = |secret: &Option<Secret>| secret.as_ref().map(|s| s.reveal().to_owned());
        let got = (text(&got.key), text(&got.token), got.user, got.input);
        let want = (want.0.map(str::to_owned), want.1.map(str::to_owned), want.2.map(str::to_owned), want.3);
        assert_eq!(got, want, "{name} {app}");
    }
}

#[test]
fn no_query_is_too_odd() {
    let golden = "?key=a%2Bb&token=x.y.z&user=%C3%A9&pass=p&input=backup";
    for end in 0..=golden.len() {
        ask(golden.get(..end).unwrap());
    }
    for at in 0..golden.len() {
        for byte in 0..128u8 {
            let mut bytes = golden.as_bytes().to_vec();
            bytes[at] = byte;
            ask(std::str::from_utf8(&bytes).unwrap());
        }
    }
}

#[test]
fn an_ask_prints_no_secret() {
    let text = format!("{:?}", ask("key=hunter2&token=hunter3&user=bob"));
    assert!(!text.contains("hunter") && text.contains("bob"), "{text}");
}
