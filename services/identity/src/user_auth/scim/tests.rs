//! The grammar of filters and paths, and what changes do, as tables and properties.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::filter::{Filter, Target};
use super::patch;
use super::schema::{GROUPS, USERS};
use super::shape::{conform, whole};
use super::wire::Patch;

fn barbara() -> Map<String, Value> {
    let of = json!({
        "id": "2819c223", "externalId": "bJensen", "userName": "bJensen@example.com", "active": true,
        "name": {"formatted": "Ms. Barbara J Jensen", "familyName": "Jensen", "givenName": "Barbara"},
        "title": "Tour Guide", "userType": "Employee", "profileUrl": "https://example.com/B",
        "emails": [
            {"value": "bjensen@example.com", "type": "work", "primary": true},
            {"value": "babs@jensen.org", "type": "home"},
        ],
        "ims": [{"value": "some \"quoted\" \\ one", "type": "xmpp"}],
        "x509Certificates": [{"value": "TUlJ"}],
        "meta": {"resourceType": "User", "created": "2026-01-23T04:56:22.000Z", "lastModified": "2026-05-13T04:42:34.000Z"},
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":
            {"employeeNumber": "701984", "manager": {"value": "26118915", "displayName": "John Smith"}},
    });
    of.as_object().expect("an object").clone()
}

#[test]
fn filters_pick_what_they_say() {
    let table = include_str!("filters.txt");
    let mut rows = 0;
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (want, filter) = line.split_once(' ').expect("yes or no, and a filter");
        let parsed = Filter::parse(filter).unwrap_or_else(|slip| panic!("{filter}: {slip}"));
        parsed.check(USERS.scope).unwrap_or_else(|why| panic!("{filter}: {why}"));
        assert_eq!(parsed.matches(USERS.scope, &barbara()), want == "yes", "{filter}");
        rows += 1;
    }
    assert!(rows >= 60, "{rows}");
}

#[test]
fn what_is_no_filter_is_refused() {
    let deep = format!("{}title pr{}", "(".repeat(17), ")".repeat(17));
    let long = format!("title eq \"{}\"", "x".repeat(5000));
    let many = vec!["title pr"; 65].join(" or ");
    for filter in [
        "",
        " ",
        "title",
        "title eq",
        "title eq Guide",
        "title eq \"Guide",
        "title eq \"a\" and",
        "title eq \"a\" or or title pr",
        "title is \"a\"",
        "title pr \"a\"",
        "title eq \"a\" \"b\"",
        "(title pr",
        "title pr)",
        "not title pr",
        "and title pr",
        "emails[type eq \"work\"",
        "emails[]",
        "emails[type eq \"work\"].value eq \"x\"",
        "emails[addresses[type eq \"a\"]]",
        "title eq {}",
        "title eq [\"a\"]",
        "title eq 1",
        "title gt true",
        "title gt null",
        "active gt false",
        "active co \"t\"",
        "active eq \"true\"",
        "meta.created gt \"yesterday\"",
        "meta.created gt 5",
        "x509Certificates.value gt \"a\"",
        "name eq \"a\"",
        "addresses eq \"a\"",
        "password eq \"a\"",
        "password pr",
        "nothing eq \"a\"",
        "name.nothing eq \"a\"",
        "title.value eq \"a\"",
        "title[value eq \"a\"]",
        "emails.value.more eq \"a\"",
        "emails[nothing eq \"a\"]",
        "urn:ietf:params:scim:schemas:core:2.0:Group:displayName eq \"a\"",
        "urn:none:of:ours:title eq \"a\"",
        "urn:ietf:params:scim:schemas:core:2.0:User eq \"a\"",
        ".title eq \"a\"",
        "title. eq \"a\"",
        "title eq \"\\u0000\"",
        "title eq \"\\x\"",
        "1 eq 1",
        "titl\u{e9} eq \"a\"",
        &deep,
        &long,
        &many,
    ] {
        let parsed = Filter::parse(filter).map_err(|slip| slip.to_string());
        let checked = parsed.and_then(|filter| filter.check(USERS.scope));
        assert!(checked.is_err(), "{filter}");
    }
}

/// Applies operations to a resource as the store has it; what comes of it, or its `scimType`.
fn patched(of: &Value, operations: &Value) -> Value {
    let mut of = conform(USERS.scope, of.as_object().expect("an object")).expect("a resource");
    let patch: Patch = serde_json::from_value(json!({"Operations": operations})).expect("a patch");
    match patch::apply(USERS.scope, &mut of, &patch.0).and_then(|()| whole(USERS.scope, &of)) {
        Ok(()) => of.into(),
        Err(refusal) => json!(refusal.kind().unwrap_or("none")),
    }
}

#[test]
fn changes_do_what_they_say() {
    let rows: Vec<[Value; 4]> = serde_json::from_str(include_str!("patches.json")).expect("rows");
    assert!(rows.len() >= 45, "{}", rows.len());
    for [name, before, operations, want] in rows {
        let operations = if operations.is_array() { operations } else { json!([operations]) };
        let before = match before {
            Value::Object(mut of) => {
                of.insert("userName".into(), json!("a"));
                of
            }
            _ => panic!("{name}"),
        };
        let mut after = patched(&before.into(), &operations);
        if want.get("userName").is_none() {
            after.as_object_mut().map(|after| after.remove("userName"));
        }
        assert_eq!(after, want, "{name}");
    }
}

#[test]
fn ten_thousand_members_are_all_and_one_is_found_among_them() {
    let members = |range: std::ops::Range<usize>| -> Value {
        range.map(|nth| json!({"value": format!("{nth}")})).collect()
    };
    let mut of = Map::from_iter([("displayName".to_owned(), json!("all"))]);
    let apply = |of: &mut Map<String, Value>, operations: Value| {
        let patch: Patch = serde_json::from_value(json!({"Operations": [operations]})).expect("a patch");
        patch::apply(GROUPS.scope, of, &patch.0).map_err(|refusal| refusal.kind())
    };
    let add = |value: Value| json!({"op": "add", "path": "members", "value": value});
    assert_eq!(apply(&mut of, add(members(0..9_999))), Ok(()));
    assert_eq!(apply(&mut of, add(members(9_000..10_000))), Ok(()));
    assert_eq!(apply(&mut of, add(members(10_000..10_001))), Err(Some("invalidValue")));
    of["members"].as_array_mut().expect("members").truncate(10_000);
    let one = json!({"op": "remove", "path": "members[value eq \"9999\"]"});
    assert_eq!(apply(&mut of, one), Ok(()));
    let two = json!({"op": "Remove", "path": "members", "value": [{"value": "1"}, {"value": "none"}]});
    assert_eq!(apply(&mut of, two), Ok(()));
    assert_eq!(of["members"].as_array().map(Vec::len), Some(9_998));
    let fixed = json!({"op": "replace", "path": "members[value eq \"2\"].value", "value": "3"});
    assert_eq!(apply(&mut of, fixed), Err(Some("mutability")));
}

/// A filter that is one, as text.
fn some_filter() -> impl Strategy<Value = String> {
    let term = prop_oneof![
        Just("title pr".to_owned()),
        "(eq|ne|co|sw|ew|gt|ge|lt|le) \"[a-z ()\\[\\]]{0,6}\"".prop_map(|rest| format!("userName {rest}")),
        "emails\\[type (eq|NE) \"(work|home)\"( AND value co \"b\")?\\]".prop_map(|text| text),
        Just("active eq true".to_owned()),
        Just("urn:ietf:params:scim:schemas:core:2.0:User:name.familyName sw \"J\"".to_owned()),
    ];
    term.prop_recursive(4, 24, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            two.clone().prop_map(|(a, b)| format!("{a} and {b}")),
            two.prop_map(|(a, b)| format!("({a}) Or {b}")),
            inner.prop_map(|a| format!("not ({a})")),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_a_filter_or_none_and_so_is_each_part_of_one(text in "\\PC{0,60}", filter in some_filter()) {
        let _ = Filter::parse(&text).map(|filter| filter.check(USERS.scope));
        let _ = Target::parse(&text);
        for at in (0..filter.len()).filter(|&at| filter.is_char_boundary(at)) {
            let _ = Filter::parse(&filter[..at]);
            let _ = Target::parse(&filter[..at]);
        }
    }

    #[test]
    fn what_is_not_such_is_such_by_not(filter in some_filter()) {
        let such = Filter::parse(&filter).expect("a filter");
        let not = Filter::parse(&format!("not ({filter})")).expect("a filter");
        prop_assert!(such.check(USERS.scope).is_ok(), "{}", filter);
        prop_assert_ne!(such.matches(USERS.scope, &barbara()), not.matches(USERS.scope, &barbara()));
    }

    #[test]
    fn what_is_kept_is_kept_as_it_is(text in "\\PC{0,12}", flag: bool, nth in 0usize..3) {
        let given = json!({
            "USERNAME": text, "active": flag, "roles": [{"value": "creator", "primary": flag}], "id": text,
            "emails": [{"value": text, "primary": nth == 0}, {"value": "b", "Primary": nth == 1}, {}],
        });
        let once = conform(USERS.scope, given.as_object().expect("an object")).expect("good types");
        for unknown in ["id", "USERNAME"] {
            prop_assert!(!once.contains_key(unknown));
        }
        prop_assert_eq!(conform(USERS.scope, &once).expect("good types"), once);
    }

    #[test]
    fn no_change_leaves_two_that_are_primary(kinds in prop::collection::vec(0usize..5, 1..8), flags in prop::collection::vec(any::<bool>(), 8)) {
        let mut of = conform(USERS.scope, &barbara()).expect("a resource");
        for (nth, (kind, primary)) in kinds.iter().zip(&flags).enumerate() {
            let value = json!({"value": format!("{nth}@x"), "type": "other", "primary": primary});
            let change = match kind {
                0 => json!({"op": "add", "path": "emails", "value": value}),
                1 => json!({"op": "add", "value": {"emails": [value]}}),
                2 => json!({"op": "replace", "path": "emails[type eq \"home\"].primary", "value": primary}),
                3 => json!({"op": "replace", "path": "emails[type eq \"work\"]", "value": value}),
                _ => json!({"op": "remove", "path": "emails[type eq \"work\"]"}),
            };
            let patch: Patch = serde_json::from_value(json!({"Operations": [change]})).expect("a patch");
            let before = of.clone();
            if patch::apply(USERS.scope, &mut of, &patch.0).is_err() {
                of = before;
            }
            let emails = of.get("emails").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            prop_assert!(emails.iter().filter(|email| email["primary"] == true).count() <= 1, "{:?}", of);
        }
    }
}
