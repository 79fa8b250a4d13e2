//! Tokens as they are made, altered and read.

use std::net::IpAddr;

use coset::cbor::Value;
use proptest::prelude::*;

use super::{NOW_S, claims, keys};
use crate::uri::{Match, Part};
use crate::visit::Visit;
use crate::{Algorithm, Claims, Denial, Keys, KeysError, cose, generate};

const VISIT: Visit<'_> = Visit {
    method: "GET",
    scheme: "https",
    host: "tv.example",
    port: "8443",
    path: "/live/cam1/v1/17.m4s",
    query: "a=1",
    address: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)),
    country: Some("DE"),
};

fn encoded(entries: Vec<(Value, Value)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    coset::cbor::into_writer(&Value::Map(entries), &mut bytes).unwrap();
    bytes
}

/// A payload with an end, and one more claim.
fn with(label: i64, value: Value) -> Result<Claims, Denial> {
    Claims::read(&encoded(vec![(4.into(), (NOW_S + 60).into()), (label.into(), value)]))
}

fn list(texts: &[&str]) -> Value {
    Value::Array(texts.iter().map(|t| Value::from(*t)).collect())
}

#[test]
fn every_algorithm_proves_what_it_made_and_nothing_else() {
    for algorithm in [Algorithm::Hs256, Algorithm::Es256, Algorithm::EdDsa] {
        let (private, public) = keys("k", algorithm);
        let token = cose::seal(claims().write(), private.maker(None).unwrap()).unwrap();
        assert_eq!(Claims::read(&cose::open(&token, &public).unwrap()), Ok(claims()), "{algorithm:?}");
        let (other, _) = keys("k", algorithm);
        assert_eq!(cose::open(&token, &other), Err(Denial::Unproven), "another key of the same name");
        let (renamed, _) = keys("l", algorithm);
        assert_eq!(cose::open(&token, &renamed), Err(Denial::Unproven), "a name that nobody knows");
        assert_eq!(
            public.maker(None).is_some(),
            algorithm == Algorithm::Hs256,
            "what is public makes nothing"
        );
    }
}

#[test]
fn no_bit_of_a_token_can_be_changed() {
    for algorithm in [Algorithm::Hs256, Algorithm::Es256] {
        let (private, public) = keys("k", algorithm);
        let token = cose::seal(claims().write(), private.maker(None).unwrap()).unwrap();
        for bit in 0..token.len() * 8 {
            let mut altered = token.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            // What is outside of what is proved may be spelt otherwise; it says the same then.
            if let Ok(payload) = cose::open(&altered, &public) {
                assert_eq!(Claims::read(&payload), Ok(claims()), "bit {bit}");
            }
        }
        for len in 0..token.len() {
            assert!(cose::open(&token[..len], &public).is_err(), "{len} bytes of it");
        }
        assert_eq!(cose::open(&[token.as_slice(), &[0]].concat(), &public), Err(Denial::Malformed));
    }
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let (_, public) = generate("k", Algorithm::Es256).unwrap();
    let set: serde_json::Value = serde_json::from_str(&public).unwrap();
    let x = set["keys"][0]["x"].as_str().unwrap();
    let forger =
        Keys::parse(&format!("{{\"keys\": [{{\"kty\": \"oct\", \"kid\": \"k\", \"k\": \"{x}\"}}]}}"))
            .unwrap();
    let token = cose::seal(claims().write(), forger.maker(None).unwrap()).unwrap();
    assert_eq!(cose::open(&token, &Keys::parse(&public).unwrap()), Err(Denial::Unproven));
}

#[test]
fn a_claim_lets_in_whom_it_is_for() {
    let place = |part, how| Claims { places: vec![(part, how)], ..claims() };
    let nets = |net: &str| Claims { networks: vec![net.parse().unwrap()], ..claims() };
    let text = str::to_owned;
    for (claims, want) in [
        (claims(), Ok(())),
        (Claims { expires_s: NOW_S, ..claims() }, Err(Denial::Expired)),
        (Claims { expires_s: i64::MIN, ..claims() }, Err(Denial::Expired)),
        (Claims { not_before_s: Some(NOW_S + 60), ..claims() }, Ok(())),
        (Claims { not_before_s: Some(NOW_S + 61), ..claims() }, Err(Denial::NotYet)),
        (Claims { not_before_s: Some(i64::MAX), ..claims() }, Err(Denial::NotYet)),
        (place(Part::Path, Match::Prefix(text("/live/cam1/"))), Ok(())),
        (place(Part::Path, Match::Prefix(text("/live/cam2/"))), Err(Denial::Elsewhere)),
        (place(Part::Path, Match::Exact(text("/live/cam1/v1/17.m4s"))), Ok(())),
        (place(Part::Path, Match::Suffix(text(".m4s"))), Ok(())),
        (place(Part::Path, Match::Contains(text("/v2/"))), Err(Denial::Elsewhere)),
        (place(Part::Path, Match::Sha256(vec![0; 32])), Err(Denial::Elsewhere)),
        (place(Part::Scheme, Match::Exact(text("https"))), Ok(())),
        (place(Part::Host, Match::Exact(text("tv.example"))), Ok(())),
        (place(Part::Host, Match::Exact(text("tv.example.evil"))), Err(Denial::Elsewhere)),
        (place(Part::Port, Match::Exact(text("8443"))), Ok(())),
        (place(Part::Query, Match::Exact(text("a=1"))), Ok(())),
        (place(Part::Folder, Match::Exact(text("/live/cam1/v1"))), Ok(())),
        (place(Part::File, Match::Exact(text("17.m4s"))), Ok(())),
        (place(Part::Stem, Match::Exact(text("17"))), Ok(())),
        (place(Part::Extension, Match::Exact(text(".m4s"))), Ok(())),
        (Claims { methods: vec![text("GET")], ..claims() }, Ok(())),
        (Claims { methods: vec![text("HEAD")], ..claims() }, Err(Denial::Method)),
        (nets("192.0.2.0/24"), Ok(())),
        (nets("192.0.3.0/24"), Err(Denial::Place)),
        (nets("2001:db8::/32"), Err(Denial::Place)),
        (Claims { countries: vec![text("FR"), text("de")], ..claims() }, Ok(())),
        (Claims { countries: vec![text("FR")], ..claims() }, Err(Denial::Place)),
    ] {
        assert_eq!(claims.admit(&VISIT, NOW_S), want, "{claims:?}");
        assert_eq!(Claims::read(&claims.write()).as_ref(), Ok(&claims), "there and back");
    }
    let nowhere = Visit { country: None, ..VISIT };
    let of_country = Claims { countries: vec![text("DE")], ..claims() };
    assert_eq!(of_country.admit(&nowhere, NOW_S), Err(Denial::Place), "an unknown country is none");
    let mapped = Visit { address: "::ffff:192.0.2.7".parse().unwrap(), ..VISIT };
    assert_eq!(nets("192.0.2.7/32").admit(&mapped, NOW_S), Ok(()));
}

#[test]
fn what_is_not_understood_refuses() {
    let map =
        |entries: Vec<(i64, Value)>| Value::Map(entries.into_iter().map(|(k, v)| (k.into(), v)).collect());
    for (label, value) in [
        (308, 1.into()),
        (309, Value::Array(vec![])),
        (310, 2.into()),
        (312, map(vec![(9, map(vec![(0, "x".into())]))])),
        (312, map(vec![(3, map(vec![(4, list(&["re"]))]))])),
        (312, map(vec![(3, map(vec![]))])),
        (312, "x".into()),
        (313, Value::Array(vec![])),
        (311, Value::Array(vec![64500.into()])),
        (314, list(&["h2"])),
        (315, map(vec![])),
        (317, Value::Array(vec![])),
        (319, Value::Bytes(vec![1])),
        (321, map(vec![])),
        (330, 1.into()),
        (8, map(vec![])),
        (9999, 1.into()),
        (282, "u4pr".into()),
    ] {
        assert_eq!(with(label, value), Err(Denial::NotUnderstood(label)), "{label}");
    }
    for (label, value) in [
        (308, 0.into()),
        (310, 1.into()),
        (320, "x".into()),
        (322, map(vec![])),
        (323, map(vec![])),
        (-5, 1.into()),
    ] {
        assert!(with(label, value).is_ok(), "{label}");
    }
    for (label, value) in [
        (1, 1.into()),
        (2, Value::Bytes(vec![])),
        (7, "x".into()),
        (5, "x".into()),
        (3, Value::Array(vec![1.into()])),
    ] {
        assert_eq!(with(label, value), Err(Denial::Malformed), "{label}");
    }
}

#[test]
fn a_token_ends_and_says_each_thing_once() {
    assert_eq!(Claims::read(&encoded(vec![(2.into(), "a".into())])), Err(Denial::Expired), "without an end");
    let twice = encoded(vec![(4.into(), 1.into()), (4.into(), (NOW_S + 60).into())]);
    assert_eq!(Claims::read(&twice), Err(Denial::Malformed));
    assert_eq!(with(4, NOW_S.into()), Err(Denial::Malformed));
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
    let fraction = encoded(vec![(4.into(), Value::Float(NOW_S as f64 + 0.5))]);
    assert_eq!(Claims::read(&fraction).map(|c| c.expires_s), Ok(NOW_S));
    for never in [f64::NAN, f64::INFINITY] {
        assert_eq!(Claims::read(&encoded(vec![(4.into(), Value::Float(never))])), Err(Denial::Malformed));
    }
}

#[test]
fn a_set_of_keys_is_read_or_refused_whole() {
    let oct = |k: &str| format!("{{\"kty\": \"oct\", \"kid\": \"a\", \"k\": \"{k}\"}}");
    let good = "A".repeat(43);
    for (text, want) in [
        ("x".to_owned(), KeysError::Shape),
        ("{\"keys\": []}".into(), KeysError::Count(0)),
        (format!("{{\"keys\": [{}]}}", oct("AAAA")), KeysError::Key(1, "k is shorter than 32 bytes")),
        (format!("{{\"keys\": [{}]}}", oct("?")), KeysError::Key(1, "k is not base64url")),
        (format!("{{\"keys\": [{0}, {0}]}}", oct(&good)), KeysError::Key(2, "another one has the same kid")),
        (
            "{\"keys\": [{\"kty\": \"RSA\"}]}".into(),
            KeysError::Key(1, "is none of oct, EC with P-256, OKP with Ed25519"),
        ),
        (
            "{\"keys\": [{\"kty\": \"EC\", \"crv\": \"P-256\", \"x\": \"AA\"}]}".into(),
            KeysError::Key(1, "x is not 32 bytes"),
        ),
    ] {
        assert_eq!(Keys::parse(&text).err(), Some(want), "{text}");
    }
}

proptest! {
    #[test]
    fn nothing_that_strangers_send_is_taken_or_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (keys, _) = keys("k", Algorithm::Hs256);
        prop_assert!(cose::open(&bytes, &keys).is_err());
        let _ = Claims::read(&bytes);
    }
}
