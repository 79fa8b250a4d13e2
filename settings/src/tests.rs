//! Texts with mistakes, and what is said of them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Fault, Kind, fit, json, toml};

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sample {
    name: String,
    port: u16,
    inner: BTreeMap<String, u8>,
    part: Vec<Part>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    size: u8,
    #[serde(default)]
    tags: Vec<u8>,
}

/// What is said, as `LINE: KEY: …`.
fn told(text: &str) -> Vec<String> {
    let (value, lines) = match toml(text) {
        Ok(read) => read,
        Err(fault) => return vec![fault.to_string()],
    };
    let with_line = |fault: Fault| Fault { line: lines.of(&fault.key), ..fault }.to_string();
    fit::<Sample>(value).faults.into_iter().map(with_line).collect()
}

#[test]
fn every_mistake_is_told_with_line_and_remedy() {
    for (text, expected) in [
        ("", &[] as &[&str]),
        ("name = 7", &["1: name: invalid type: integer `7`, expected a string; write a string"]),
        ("\nnamee = \"x\"", &["2: namee: there is no such key; write `name`"]),
        ("\nwhatever = 1", &["2: whatever: there is no such key; known here: name, port, inner, part"]),
        (
            "port = 70000\n[inner]\na = 300\nb = 2",
            &[
                "3: inner.a: invalid value: integer `300`, expected u8; write u8",
                "1: port: invalid value: integer `70000`, expected u16; write u16",
            ],
        ),
        (
            "[[part]]\n[[part]]\nsize = 1\n[[part]]\nsise = 1\n[[part]]\nsize = 2\ntags = [1, 999, 2]",
            &[
                "1: part[0].size: is missing; it has no default: write it",
                "5: part[2].sise: there is no such key; write `size`",
                "4: part[2].size: is missing; it has no default: write it",
                "8: part[3].tags[1]: invalid value: integer `999`, expected u8; write u8",
            ],
        ),
        ("a = = 1", &["1: is not TOML: "]),
    ] {
        let told = told(text);
        assert_eq!(told.len(), expected.len(), "{text}: {told:#?}");
        assert!(told.iter().zip(expected).all(|(told, begin)| told.starts_with(begin)), "{text}: {told:#?}");
    }
}

#[test]
fn what_fits_is_there_whatever_does_not() {
    let fitted =
        fit::<Sample>(toml("name = \"x\"\nport = \"y\"\n[[part]]\n[[part]]\nsize = 9").expect("TOML").0);
    let part = vec![Part { size: 9, tags: Vec::new() }];
    assert_eq!(fitted.value, Some(Sample { name: "x".into(), part, ..Sample::default() }));
    assert_eq!(fitted.taken.original("part[0].size"), "part[1].size");
}

#[test]
fn what_is_far_too_much_is_refused() {
    let many: String = (0..1_000).map(|n| format!("k{n} = 1\n")).collect();
    let fitted = fit::<Sample>(toml(&many).expect("TOML").0);
    assert_eq!((fitted.value, fitted.faults.len()), (None, 100));
    assert_eq!(toml(&"#".repeat(5 << 20)).expect_err("too long").kind, Kind::Syntax);
    for text in ["", "[]", "7", "{", "nan"] {
        assert_eq!(json(text).expect_err(text).kind, Kind::Syntax);
    }
}

#[test]
fn a_list_for_people_has_every_key_and_nobodys_password() {
    let value = serde_json::json!({
        "a": {"b": 1, "none": null, "empty": {}},
        "deep": [[{"url": "http://me:secret@h/"}], []],
        "list": [{"url": "http://me:se@cret@h:1/x"}, {"url": "http://h/?q=secret#secret"}],
        "plain": ["amqp://u:p@h", "who@example.org"],
        "some": {"hook": {"url": "http://h:1/secret?q"}},
    });
    let all = crate::flat(value);
    let all: Vec<_> = all.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    let want = [
        "a.b = 1",
        "a.empty = {}",
        "a.none = null",
        "deep[0][0].url = \"http://***@h/\"",
        "deep[1] = []",
        "list[0].url = \"http://***@h:1/x\"",
        "list[1].url = \"http://h/?***\"",
        "plain = [\"amqp://***@h\",\"who@example.org\"]",
        "some.hook.url = \"http://h:1/***\"",
    ];
    assert_eq!(all, want);
}

#[test]
fn addresses_are_shown_without_what_may_be_secret() {
    let shown = |key: &str, text: &str| {
        let all = crate::flat(serde_json::json!({ key: text }));
        all[0].1.as_str().expect("a text").to_owned()
    };
    for (text, want) in [
        ("http://h:1/x/y", "http://h:1/x/y"),
        ("http://[::1]:80", "http://[::1]:80"),
        ("srt://h:1?passphrase=secret", "srt://h:1?***"),
        ("rtmp://u@h/app", "rtmp://***@h/app"),
        ("http://h/#secret", "http://h/#***"),
        // A password with a sign that ends the host, a list, an address in words.
        ("http://u:se/cret@h/", "***"),
        ("http://u:se?cret@h/", "***"),
        ("http://h/?q=a@b", "***"),
        ("amqp://u:secret@h1,amqp://u:secret@h2", "***"),
        ("u:secret@ http://h", "***"),
        ("/a/folder?x", "/a/folder?x"),
        ("", ""),
    ] {
        assert_eq!(shown("key", text), want, "{text}");
    }
    for (text, want) in [
        ("http://h/", "http://h/"),
        ("http://h", "http://h"),
        ("https://h/in/secret", "https://h/***"),
        ("https://h?secret", "https://h/***"),
        ("", ""),
    ] {
        assert_eq!(shown("hook.url", text), want, "{text}");
    }
}
