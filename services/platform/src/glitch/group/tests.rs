//! Pairs of events that are one issue, and pairs that are two.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn thrown(kind: &str, value: &str, frames: Value) -> Value {
    json!({"exception": {"values": [{"type": kind, "value": value, "stacktrace": {"frames": frames}}]}})
}

fn at(function: &str, line: i64, in_app: bool) -> Value {
    json!({"module": "shop.cart", "function": function, "lineno": line, "in_app": in_app})
}

fn told(message: &str) -> Value {
    json!({"logentry": {"formatted": message}})
}

#[test]
fn what_is_the_same_is_one_issue() {
    let library = |name: &str| json!({"module": "lib", "function": name, "in_app": false});
    for (name, one, other) in [
        (
            "another line",
            thrown("E", "x", json!([at("pay", 1, true)])),
            thrown("E", "x", json!([at("pay", 9, true)])),
        ),
        (
            "another value",
            thrown("E", "id 7", json!([at("pay", 1, true)])),
            thrown("E", "id 8", json!([at("pay", 1, true)])),
        ),
        (
            "another library around it",
            thrown("E", "x", json!([library("a"), at("pay", 1, true)])),
            thrown("E", "x", json!([library("b"), at("pay", 1, true), library("c")])),
        ),
        (
            "deeper recursion",
            thrown("E", "x", json!([at("walk", 1, true), at("walk", 1, true)])),
            thrown("E", "x", json!([at("walk", 1, true), at("walk", 1, true), at("walk", 1, true)])),
        ),
        ("numbers", told("user 17 not found after 1.5 s"), told("user 9 not found after 22 s")),
        (
            "ids",
            told("no 0b50f6b2-6c29-4d2e-9a3c-111111111111!"),
            told("no 9c1f6b2a-0000-4d2e-9a3c-222222222222!"),
        ),
        ("addresses", told("10.0.0.7:80 is away"), told("[::1]:99 is away")),
        ("mail", told("to <ann@example.org>"), told("to <bob@example.com>")),
        ("checksums", told("object 9f86d081884c7d65 lost"), told("object 0x2c26b46b68ffc68f lost")),
        ("times", told("since 2026-01-01T00:00:00Z"), told("since 2026-02-03T04:05:06.7Z")),
        (
            "a template",
            json!({"logentry": {"message": "user %s", "formatted": "user ann"}}),
            json!({"logentry": {"message": "user %s", "formatted": "user bob"}}),
        ),
        (
            "a fingerprint",
            json!({"fingerprint": ["db"], "message": "one"}),
            json!({"fingerprint": ["db"], "message": "other"}),
        ),
        (
            "the default said",
            json!({"fingerprint": ["{{ default }}"], "message": "one"}),
            json!({"message": "one"}),
        ),
        (
            "a bundle",
            thrown("E", "x", json!([{"filename": "https://a/app.3f2a1b9c.js", "function": "f"}])),
            thrown("E", "x", json!([{"filename": "https://b/v2/app.99aa00bb.js?x", "function": "f"}])),
        ),
        (
            "a hash of the compiler",
            thrown("E", "x", json!([{"function": "nx::run::h0123456789abcdef"}])),
            thrown("E", "x", json!([{"function": "nx::run::hfedcba9876543210"}])),
        ),
    ] {
        assert_eq!(hash(&one), hash(&other), "{name}");
    }
}

#[test]
fn what_differs_is_two_issues() {
    for (name, one, other) in [
        (
            "type",
            thrown("E", "x", json!([at("pay", 1, true)])),
            thrown("F", "x", json!([at("pay", 1, true)])),
        ),
        (
            "function",
            thrown("E", "x", json!([at("pay", 1, true)])),
            thrown("E", "x", json!([at("buy", 1, true)])),
        ),
        (
            "value without a trace",
            thrown("E", "disk full", json!([])),
            thrown("E", "no such host", json!([])),
        ),
        ("words", told("user 7 not found"), told("order 7 not found")),
        (
            "fingerprint",
            json!({"fingerprint": ["a"], "message": "m"}),
            json!({"fingerprint": ["b"], "message": "m"}),
        ),
        (
            "a part of the default",
            json!({"fingerprint": ["{{ default }}", "eu"], "message": "m"}),
            json!({"fingerprint": ["{{ default }}", "us"], "message": "m"}),
        ),
        (
            "the cause of it",
            json!({"exception": {"values": [{"type": "A", "value": "a"}, {"type": "C", "value": "c"}]}}),
            json!({"exception": {"values": [{"type": "B", "value": "b"}, {"type": "C", "value": "c"}]}}),
        ),
        ("parts that run together", json!({"fingerprint": ["ab", "c"]}), json!({"fingerprint": ["a", "bc"]})),
    ] {
        assert_ne!(hash(&one), hash(&other), "{name}");
    }
}

#[test]
fn messages_keep_their_words() {
    for (given, want) in [
        ("GET /users/17 took 1.5ms", "GET /users/<n> took <n>ms"),
        ("at 0x7ffe12 of h264", "at <n> of h<n>"),
        ("see https://a.b/c?d=1, then", "see <url>, then"),
        ("deadbeef is a word", "deadbeef is a word"),
        ("naïve: 3", "naïve: <n>"),
    ] {
        assert_eq!(plain(given), want);
    }
}

proptest! {
    #[test]
    fn any_message_is_taken_and_numbers_never_split(text in "\\PC{0,80}", a: u32, b: u32) {
        let _ = plain(&text);
        prop_assert_eq!(plain(&format!("item {a} gone")), plain(&format!("item {b} gone")));
    }
}
