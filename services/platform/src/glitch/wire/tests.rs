//! Bodies as the SDKs were seen to send them, cut off anywhere, changed anywhere, packed to be large.

use std::io::Write;

use proptest::prelude::*;

use super::*;

fn key(uri: &str, headers: &[(&str, &str)]) -> Option<String> {
    let mut request = http::Request::post(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(()).expect("a request");
    super::key(request.headers(), request.uri())
}

#[test]
fn the_key_is_found_in_both_dialects() {
    let python = "Sentry sentry_key=abc123, sentry_version=7, sentry_client=sentry.python/2.75.0";
    for (name, uri, headers, found) in [
        ("Python", "/", vec![("x-sentry-auth", python)], Some("abc123")),
        ("Authorization", "/", vec![("authorization", python)], Some("abc123")),
        ("Node", "/?sentry_version=7&sentry_key=abc123&sentry_client=x", vec![], Some("abc123")),
        ("another scheme", "/", vec![("authorization", "Bearer sentry_key=abc123")], None),
        ("none", "/", vec![], None),
        ("odd letters", "/?sentry_key=ab%00c", vec![], None),
        ("empty", "/?sentry_key=", vec![], None),
    ] {
        assert_eq!(key(uri, &headers).as_deref(), found, "{name}");
    }
}

/// As captured: Python gives lengths, Node gives none; the attachment has a newline in it.
const MIXED: &[u8] =
    b"{\"event_id\":\"9ec79c33ec9942ab8353589fcb2e04dc\",\"sent_at\":\"2026-01-01T00:00:00Z\"}\n\
    {\"type\":\"event\",\"length\":7,\"content_type\":\"application/json\"}\n{\"a\":1}\n\
    {\"type\":\"attachment\",\"length\":8,\"filename\":\"x\"}\nhi\nthere\n\
    {\"type\":\"check_in\"}\n{\"b\":2}\n{\"type\":\"log\",\"item_count\":1}\n{}";

#[test]
fn items_are_read_by_length_or_by_line() {
    let (head, items) = envelope(MIXED).expect("an envelope");
    assert_eq!(head.event_id.as_deref(), Some("9ec79c33ec9942ab8353589fcb2e04dc"));
    let items: Vec<_> = items.iter().map(|i| (i.kind.as_str(), i.payload)).collect();
    assert_eq!(
        items,
        [
            ("event", &b"{\"a\":1}"[..]),
            ("attachment", b"hi\nthere"),
            ("check_in", b"{\"b\":2}"),
            ("log", b"{}")
        ]
    );
}

#[test]
fn what_is_no_envelope_is_refused() {
    for (name, body, error) in [
        ("nothing", &b""[..], WireError::Header),
        ("no JSON", b"hello\n", WireError::Header),
        ("no type", b"{}\n{\"length\":1}\nx", WireError::Item(0)),
        ("cut off", b"{}\n{\"type\":\"event\",\"length\":9}\nx", WireError::Item(0)),
        ("longer than told", b"{}\n{\"type\":\"event\",\"length\":1}\nxy\n", WireError::Item(0)),
        ("a length of no size", b"{}\n{\"type\":\"event\",\"length\":-1}\nx", WireError::Item(0)),
    ] {
        assert_eq!(envelope(body), Err(error), "{name}");
    }
    assert_eq!(envelope(b"{}\n\n\n").expect("empty").1, []);
}

#[test]
fn a_cut_envelope_never_gives_an_item_that_was_not_sent() {
    let whole = envelope(MIXED).expect("an envelope").1;
    for end in 0..MIXED.len() {
        let Ok((_, items)) = envelope(&MIXED[..end]) else { continue };
        for (item, sent) in items.iter().zip(&whole) {
            assert!(sent.kind == item.kind && sent.payload.starts_with(item.payload), "cut at {end}");
        }
        assert!(items.len() <= whole.len());
    }
}

fn packed(coding: &str, body: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::best();
    match coding {
        "gzip" => {
            let mut to = flate2::write::GzEncoder::new(Vec::new(), level);
            to.write_all(body).expect("memory");
            to.finish().expect("memory")
        }
        "deflate" => {
            let mut to = flate2::write::ZlibEncoder::new(Vec::new(), level);
            to.write_all(body).expect("memory");
            to.finish().expect("memory")
        }
        _ => body.to_vec(),
    }
}

#[test]
fn packed_bodies_are_unpacked_and_bombs_are_not() {
    for coding in ["", "identity", "gzip", "deflate"] {
        assert_eq!(unpack(coding, &packed(coding, MIXED)), Ok(MIXED.to_vec()), "{coding}");
    }
    // RFC 7932, of `printf 'hello' | brotli`: one uncompressed meta-block.
    assert_eq!(unpack("br", b"\x0b\x02\x80hello\x03"), Ok(b"hello".to_vec()));
    let bomb = packed("gzip", &vec![0; BODY_BYTES_MAX + 1]);
    assert!(bomb.len() < 64 << 10);
    assert_eq!(unpack("gzip", &bomb), Err(WireError::TooLarge));
    assert_eq!(unpack("zstd", b""), Err(WireError::Coding));
    assert_eq!(unpack("gzip", MIXED), Err(WireError::Packed));
    let cut = packed("gzip", MIXED);
    for end in 1..cut.len() {
        assert_eq!(unpack("gzip", &cut[..end]), Err(WireError::Packed), "cut at {end}");
    }
}

proptest! {
    #[test]
    fn changed_bytes_never_panic(at in 0..MIXED.len(), byte: u8, coding in "gzip|deflate|br|") {
        let mut body = MIXED.to_vec();
        body[at] = byte;
        if let Ok((_, items)) = envelope(&body) {
            prop_assert!(items.iter().map(|i| i.payload.len()).sum::<usize>() <= body.len());
        }
        let mut body = packed(&coding, MIXED);
        let at = at % body.len();
        body[at] = byte;
        prop_assert!(unpack(&coding, &body).map_or(true, |b| b.len() <= BODY_BYTES_MAX));
    }
}
