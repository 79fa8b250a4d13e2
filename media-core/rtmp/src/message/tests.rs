//! Control messages, metadata and aggregates.

use super::*;

fn message(kind: u8, timestamp_ms: u32, body: &[u8]) -> Message {
    Message { kind, timestamp_ms, stream_id: 1, body: Bytes::copy_from_slice(body) }
}

/// An aggregate part: kind, time, body, back pointer.
fn part(kind: u8, time: u32, body: &[u8]) -> Vec<u8> {
    let [t3, t2, t1, t0] = time.to_be_bytes();
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    let head = [kind, len[1], len[2], len[3], t2, t1, t0, t3, 0, 0, 0];
    [&head[..], body, &(u32::try_from(body.len()).unwrap() + 11).to_be_bytes()].concat()
}

#[test]
fn aggregate_times_are_moved() {
    let body =
        [part(8, 0x0100_0000, b"a"), part(9, 0x0100_0028, b"vv"), part(22, 0, b"no"), part(18, 0, b"d")];
    let parts = split_aggregate(&message(kind::AGGREGATE, u32::MAX - 9, &body.concat())).unwrap();
    let got: Vec<_> = parts.iter().map(|m| (m.kind, m.timestamp_ms, &m.body[..])).collect();
    let rebased = (u32::MAX - 9).wrapping_sub(0x0100_0000);
    assert_eq!(got, [(8, u32::MAX - 9, &b"a"[..]), (9, 30, b"vv"), (18, rebased, b"d")]);
}

#[test]
fn cut_aggregates_end_or_fail() {
    let body = [part(8, 0, b"a"), part(9, 40, b"vv")].concat();
    for end in 0..body.len() {
        let got = split_aggregate(&message(kind::AGGREGATE, 0, &body[..end])).map(|parts| parts.len());
        let want = match end {
            0 => Ok(0),
            12..=16 => Ok(1),
            29.. => Ok(2),
            1..=11 => Err(if end < 11 { 11 } else { 12 }),
            _ => Err(if end < 27 { 27 } else { 29 }),
        };
        let got = got.map_err(|e| if let Error::ShortMessage { expected, .. } = e { expected } else { 0 });
        assert_eq!(got, want, "cut at {end}");
    }
}

#[test]
fn metadata_keeps_the_bytes_for_players() {
    let object = Value::EcmaArray(vec![("width".into(), 1920.0.into())]);
    let plain = amf0::encode_all(&["onMetaData".into(), object.clone()]);
    let wrapped = amf0::encode_all(&["@setDataFrame".into(), "onMetaData".into(), object]);
    let amf3 = [&[0], &wrapped[..]].concat();
    let rows = [
        ("plain", kind::DATA_AMF0, &plain),
        ("wrapped", kind::DATA_AMF0, &wrapped),
        ("amf3", kind::DATA_AMF3, &amf3),
    ];
    for (name, kind, body) in rows {
        let metadata = Metadata::parse(&message(kind, 9, body)).unwrap().unwrap();
        assert_eq!(metadata.body, plain, "{name}");
        assert_eq!(metadata.field("width"), Some(&Value::Number(1920.0)), "{name}");
        assert_eq!(metadata.timestamp_ms, 9, "{name}");
    }
    let others = [
        amf0::encode_all(&["onTextData".into(), Value::Null]),
        amf0::encode_all(&["@clearDataFrame".into(), "onMetaData".into()]),
        amf0::encode_all(&["onMetaData".into(), Value::Null]),
        vec![],
    ];
    for body in others {
        assert_eq!(Metadata::parse(&message(kind::DATA_AMF0, 0, &body)), Ok(None));
    }
    assert!(Metadata::parse(&message(kind::DATA_AMF0, 0, &plain[..plain.len() - 5])).is_err());
}

#[test]
fn metadata_tells_the_language_of_a_track() {
    let text = |name: &str, value: &str| (name.to_owned(), Value::from(value));
    let entry = |id: &str, fields| (id.to_owned(), Value::Object(fields));
    let long = "x".repeat(LANGUAGE_LEN_MAX + 1);
    let audio = Value::EcmaArray(vec![
        entry("1", vec![text("language", "fra")]),
        entry("2", vec![text("lang", "de-AT")]),
        entry("3", vec![text("language", "")]),
        entry("4", vec![text("language", &long)]),
        ("5".into(), 5.0.into()),
        entry("255", vec![text("language", &long[1..])]),
    ]);
    let video = Value::Object(vec![entry("0", vec![text("language", "spa")])]);
    let fields = vec![
        ("audioTrackIdInfoMap".into(), audio),
        ("videoTrackIdInfoMap".into(), video),
        text("lang", "eng"),
    ];
    let metadata = Metadata { timestamp_ms: 0, fields, body: Bytes::new() };
    for (audio, track, want) in [
        (true, 0, Some("eng")),
        (true, 1, Some("fra")),
        (true, 2, Some("de-AT")),
        (true, 3, None),
        (true, 4, None),
        (true, 5, None),
        (true, 6, None),
        (true, 255, Some(&long[1..])),
        (false, 0, Some("spa")),
        (false, 1, None),
    ] {
        assert_eq!(metadata.track_language(audio, track).as_deref(), want, "{audio} {track}");
    }
    let empty = Metadata { fields: vec![], ..metadata };
    assert_eq!(empty.track_language(true, 0), None);
}

#[test]
fn controls_and_their_truncations() {
    let parse = |kind, body: &[u8]| Control::parse(&message(kind, 0, body));
    let body = [0, 6, 0, 0, 0, 9];
    assert_eq!(parse(kind::USER_CONTROL, &body), Ok(Some(Control::User(6, 9))));
    assert_eq!(parse(kind::USER_CONTROL, &body[..2]), Ok(Some(Control::User(6, 0))));
    assert_eq!(parse(kind::WINDOW_ACK_SIZE, &[0, 0, 1, 0]), Ok(Some(Control::WindowAckSize(256))));
    assert_eq!(parse(kind::SET_PEER_BANDWIDTH, &[0, 0, 1, 0, 2]), Ok(Some(Control::SetPeerBandwidth(256))));
    assert_eq!(parse(kind::ACKNOWLEDGEMENT, &[0, 0, 0, 1]), Ok(Some(Control::Acknowledgement(1))));
    assert_eq!(parse(kind::AUDIO, &[]), Ok(None));
    for kind in [kind::ACKNOWLEDGEMENT, kind::WINDOW_ACK_SIZE, kind::SET_PEER_BANDWIDTH] {
        assert_eq!(parse(kind, &[0; 3]), Err(Error::ShortMessage { kind, expected: 4, got: 3 }));
    }
}

#[test]
fn command_needs_a_name() {
    let body = amf0::encode_all(&[1.0.into()]);
    assert_eq!(Command::parse(&message(kind::COMMAND_AMF0, 0, &body)), Err(Error::NamelessCommand));
    let body = [&[0], &amf0::encode_all(&["play".into(), 4.0.into(), Value::Null, "s".into()])[..]].concat();
    let command = Command::parse(&message(kind::COMMAND_AMF3, 0, &body)).unwrap();
    assert_eq!((command.name.as_str(), command.transaction, command.text(0)), ("play", 4.0, Some("s")));
}

#[test]
fn names_split_at_the_first_question_mark() {
    let limits = Limits { name_bytes_max: 8, ..Limits::default() };
    let rows = [("cam", ("cam", "")), ("cam?a?b", ("cam", "a?b")), ("?a", ("", "a")), ("", ("", ""))];
    for (text, (name, query)) in rows {
        assert_eq!(split_query("name", text, &limits), Ok((name.into(), query.into())), "{text}");
    }
    let long = Error::TooLong { what: "name", got: 9, max: 8 };
    assert_eq!(split_query("name", "123456789", &limits), Err(long));
}
