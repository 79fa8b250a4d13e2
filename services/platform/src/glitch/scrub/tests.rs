//! A table of secrets that must go, and of texts that must stay as they are.

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn secrets_in_texts_go_and_the_rest_stays() {
    for (name, given, want) in [
        ("a query", "GET /x?user=ann&password=hunter2&page=3", "GET /x?user=ann&password=[Filtered]&page=3"),
        ("JSON", r#"{"api_key": "abc def", "n": 1}"#, r#"{"api_key": "[Filtered]", "n": 1}"#),
        ("a dict of Python", "{'secret': 'abc', 'n': 1}", "{'secret': '[Filtered]', 'n': 1}"),
        ("a header", "Authorization: Bearer abcdef and more", "Authorization: [Filtered] and more"),
        ("a bearer", "sent bearer abcdefghijklmnop!", "sent bearer [Filtered]"),
        ("a bearer of bad news", "the bearer of bad news", "the bearer of bad news"),
        ("an address", "at https://ann:hunter2@example.org/x?a=1", "at https://[Filtered]@example.org/x?a=1"),
        ("an address without", "at https://example.org/@ann", "at https://example.org/@ann"),
        ("a JWT", "got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln ok", "got [Filtered] ok"),
        ("a key of AWS", "id AKIAIOSFODNN7EXAMPLE", "id [Filtered]"),
        (
            "a private key",
            "a -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- b",
            "a [Filtered] b",
        ),
        ("half a private key", "a -----BEGIN PRIVATE KEY-----\nMIIE", "a [Filtered]"),
        ("a certificate", "-----BEGIN CERTIFICATE-----\nMIIE", "-----BEGIN CERTIFICATE-----\nMIIE"),
        ("a card", "card 4242 4242 4242 4242, please", "card [Filtered], please"),
        ("a card in one", "x4000-0025-0000-3155", "x[Filtered]"),
        ("no check digit", "order 4242424242424241", "order 4242424242424241"),
        ("milliseconds", "at 1767225600000", "at 1767225600000"),
        ("words", "the author wrote no token of it", "the author wrote no token of it"),
        ("letters of others", "пароль: ключ — naïve", "пароль: ключ — naïve"),
    ] {
        assert_eq!(text(given), want, "{name}");
    }
}

#[test]
fn fields_are_hidden_by_name_wherever_they_are() {
    let mut event = json!({
        "request": {"headers": [["Cookie", "a=b"], ["Accept", "*/*"]], "data": {"X-Api-Key": 17, "has_token": true}},
        "extra": {"deep": [{"PASSWORD": {"a": 1}}], "amount": 12, "card": 4_242_424_242_424_242_u64},
    });
    scrub(&mut event);
    let want = json!({
        "request": {"headers": [["Cookie", FILTERED], ["Accept", "*/*"]], "data": {"X-Api-Key": FILTERED, "has_token": true}},
        "extra": {"deep": [{"PASSWORD": FILTERED}], "amount": 12, "card": FILTERED},
    });
    assert_eq!(event, want);
}

proptest! {
    #[test]
    fn a_value_behind_a_secret_name_is_never_there(before in "\\PC{0,20}", secret in "[a-zA-Z0-9]{8,40}", after in "[ ,&]\\PC{0,20}") {
        prop_assume!(!before.contains(&secret) && !after.contains(&secret));
        let out = text(&format!("{before} password={secret}{after}"));
        prop_assert!(!out.contains(&secret), "{out}");
    }

    #[test]
    fn any_text_ends(any in "\\PC*") {
        let _ = text(&any);
    }
}
