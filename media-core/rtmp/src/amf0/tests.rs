//! Values both ways, every cut of a golden vector, and input made to hurt.

use proptest::prelude::*;

use super::*;

/// One of each type.
const GOLDEN: &[u8] = &[
    0x03, 0, 1, b'n', 0x00, 0x40, 0x08, 0, 0, 0, 0, 0, 0, // n: 3.0
    0, 1, b'b', 0x01, 1, // b: true
    0, 1, b's', 0x02, 0, 2, b'h', b'i', // s: "hi"
    0, 1, b'l', 0x0C, 0, 0, 0, 1, b'L', // l: long "L"
    0, 1, b'e', 0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0, 1, b'k', 0x05, 0, 0,
    0x09, // e: [k: null], count is a lie
    0, 1, b'a', 0x0A, 0, 0, 0, 2, 0x06, 0x01, 0, // a: [undefined, false]
    0, 1, b'd', 0x0B, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFE, // d: 1970, zone -2
    0, 0, 0x09,
];

fn golden() -> Value {
    let named = |fields: Vec<(&str, Value)>| fields.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
    Value::Object(named(vec![
        ("n", 3.0.into()),
        ("b", true.into()),
        ("s", "hi".into()),
        ("l", "L".into()),
        ("e", Value::EcmaArray(named(vec![("k", Value::Null)]))),
        ("a", Value::StrictArray(vec![Value::Undefined, false.into()])),
        ("d", Value::Date { ms: 0.0, zone: -2 }),
    ]))
}

#[test]
fn golden_decodes_and_no_prefix_does() {
    assert_eq!(decode_all(GOLDEN), Ok(vec![golden()]));
    for end in 1..GOLDEN.len() {
        assert!(decode_all(&GOLDEN[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn hostile_input_is_refused() {
    let deep: Vec<u8> = [0x03, 0, 1, b'a'].repeat(60_000);
    let deep_arrays: Vec<u8> = [0x0A, 0, 0, 0, 1].repeat(60_000);
    let many: Vec<u8> = [0x05].repeat(NODES_MAX + 1);
    let rows: &[(&str, &[u8], Error)] = &[
        ("60 000 objects deep", &deep, Error::Depth { offset: 64 }),
        ("60 000 arrays deep", &deep_arrays, Error::Depth { offset: 80 }),
        ("too many values", &many, Error::Nodes { offset: NODES_MAX }),
        (
            "array of 2^32-1",
            &[0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 5],
            Error::Count { offset: 5, claimed: u32::MAX, got: 1 },
        ),
        ("typed object", &[0x10, 0, 0], Error::Marker { offset: 0, marker: 0x10 }),
        ("reference", &[0x07, 0, 0], Error::Marker { offset: 0, marker: 0x07 }),
        (
            "4 GiB string",
            &[0x0C, 0xFF, 0xFF, 0xFF, 0xFF, 1],
            Error::Truncated { offset: 5, expected: 0xFFFF_FFFF, got: 1 },
        ),
        ("ecma array, then cut", &[0x08, 0, 0, 0, 1, 0], Error::Truncated { offset: 5, expected: 2, got: 1 }),
    ];
    for (name, bytes, want) in rows {
        assert_eq!(decode_all(bytes).as_ref(), Err(want), "{name}");
    }
}

#[test]
fn ecma_array_may_end_with_the_input() {
    let bytes = [0x08, 0, 0, 0, 1, 0, 1, b'k', 0x01, 1];
    assert_eq!(decode_all(&bytes), Ok(vec![Value::EcmaArray(vec![("k".into(), true.into())])]));
}

#[test]
fn bad_utf8_is_replaced() {
    assert_eq!(decode_all(&[2, 0, 1, 0xFF]), Ok(vec!["\u{FFFD}".into()]));
}

#[test]
fn encoder_cuts_what_could_not_be_read_back() {
    let mut deep = Value::Null;
    for _ in 0..100 {
        deep = Value::StrictArray(vec![deep]);
    }
    let object = Value::Object(vec![("é".repeat(40_000), deep)]);
    let bytes = encode_all(&[object]);
    let again = decode_all(&bytes).unwrap();
    assert_eq!(encode_all(&again), bytes);
    assert_eq!(again[0].properties().unwrap()[0].0.len(), 65_534);
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<f64>().prop_filter("NaN differs from itself", |n| !n.is_nan()).prop_map(Value::Number),
        any::<bool>().prop_map(Value::Bool),
        ".{0,40}".prop_map(Value::String),
        Just(Value::String("x".repeat(70_000))),
        Just(Value::Null),
        Just(Value::Undefined),
        any::<(i32, i16)>().prop_map(|(ms, zone)| Value::Date { ms: f64::from(ms), zone }),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let pairs = proptest::collection::vec((".{0,8}", inner.clone()), 0..6);
        prop_oneof![
            pairs.clone().prop_map(Value::Object),
            pairs.prop_map(Value::EcmaArray),
            proptest::collection::vec(inner, 0..6).prop_map(Value::StrictArray),
        ]
    })
}

proptest! {
    #[test]
    fn round_trip(values in proptest::collection::vec(values(), 0..4)) {
        prop_assert_eq!(decode_all(&encode_all(&values)), Ok(values));
    }

    #[test]
    fn fuzz_body_holds(data in proptest::collection::vec(prop_oneof![0u8..13, any::<u8>()], 0..300)) {
        crate::fuzz::amf0(&data);
    }
}
