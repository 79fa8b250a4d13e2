//! The server session: dialogues of real peers, answers, abuse.

use proptest::prelude::*;

use super::*;
use crate::amf0::{self, Value};
use crate::chunk::{ChunkReader, ChunkWriter};
use crate::client::Intent;
use crate::message::{Command, user_control};
use crate::testing::{Pair, chunk, full, hello, serve};

/// A command in chunks of 128 bytes.
fn command(stream_id: u32, values: &[Value]) -> Vec<u8> {
    send(kind::COMMAND_AMF0, stream_id, &amf0::encode_all(values))
}

fn send(kind: u8, stream_id: u32, body: &[u8]) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    ChunkWriter::default().write(&mut out, 3, kind, 0, stream_id, &[body]);
    out.to_vec()
}

fn connect() -> Vec<u8> {
    let object =
        Value::Object(vec![("app".into(), "live/".into()), ("tcUrl".into(), "rtmp://h/live/".into())]);
    command(0, &["connect".into(), 1.0.into(), object])
}

fn publish(name: &str) -> Vec<u8> {
    command(1, &["publish".into(), 0.0.into(), Value::Null, name.into(), "live".into()])
}

fn call(name: &str, args: &[Value]) -> Vec<u8> {
    command(0, &[&[name.into(), 2.0.into(), Value::Null], args].concat())
}

fn after_hello(parts: &[Vec<u8>]) -> Vec<u8> {
    [&hello()[..], &parts.concat()].concat()
}

/// A fresh session that has read `parts` after the handshake, its handshake answer taken.
fn session(parts: &[Vec<u8>]) -> Session {
    let mut session = Session::new(Config { chunk_size_out: 128, ..Config::default() }, [0; NONCE_LEN]);
    session.handle(0, &hello()).unwrap();
    assert!(matches!(session.poll(), Some(Output::Send(_))));
    session.handle(0, &parts.concat()).unwrap();
    session
}

fn publishing() -> Session {
    let mut session = session(&[connect(), publish("cam")]);
    assert!(matches!(session.poll(), Some(Output::Event(Event::Connect { .. }))));
    session.accept_connect();
    assert!(matches!(session.poll(), Some(Output::Send(_))));
    assert!(matches!(session.poll(), Some(Output::Event(Event::Publish { .. }))));
    session.accept_publish();
    assert!(matches!(session.poll(), Some(Output::Send(_))));
    session
}

/// Messages among the bytes the session wants sent; events are dropped. Chunk size must be 128.
fn sent(session: &mut Session) -> Vec<Message> {
    let mut reader = ChunkReader::new(Limits::default());
    let mut out = vec![];
    while let Some(output) = session.poll() {
        if let Output::Send(bytes) = output {
            let mut input = &bytes[..];
            while let Some(message) = reader.read(&mut input).unwrap() {
                out.push(message);
            }
        }
    }
    out
}

/// Names and status codes of the commands among the bytes the session wants sent.
fn replies(session: &mut Session) -> Vec<String> {
    let commands = sent(session).into_iter().filter(|m| m.kind == kind::COMMAND_AMF0);
    let word = |m: Message| {
        let command = Command::parse(&m).unwrap();
        let code = command.args.first().and_then(|info| info.property("code")).and_then(Value::as_str);
        format!("{} {}", command.name, code.unwrap_or("-"))
    };
    commands.map(word).collect()
}

#[test]
fn silent_connections_are_small() {
    assert!(size_of::<Session>() < 1024, "{} bytes", size_of::<Session>());
}

#[test]
fn connect_is_answered_in_order() {
    let mut session = session(&[connect()]);
    assert_eq!(session.phase(), Phase::ConnectPending);
    let Some(Output::Event(Event::Connect { app, tc_url, .. })) = session.poll() else {
        panic!("no connect")
    };
    assert_eq!((app.as_str(), tc_url.as_str()), ("live", "rtmp://h/live/"));
    session.accept_connect();
    session.accept_connect();
    let messages = sent(&mut session);
    let kinds: Vec<u8> = messages.iter().map(|m| m.kind).collect();
    assert_eq!(kinds, [kind::WINDOW_ACK_SIZE, kind::SET_PEER_BANDWIDTH, kind::COMMAND_AMF0]);
    let result = Command::parse(&messages[2]).unwrap();
    assert_eq!((result.name.as_str(), result.transaction), ("_result", 1.0));
    assert_eq!(result.args[0].property("code"), Some(&"NetConnection.Connect.Success".into()));
    assert_eq!(session.phase(), Phase::Idle);
}

#[test]
fn refused_connect_ends_the_session() {
    for (reason, want) in [
        (ConnectRefusal::Rejected, "_error NetConnection.Connect.Rejected"),
        (ConnectRefusal::InvalidApp, "_error NetConnection.Connect.InvalidApp"),
        (ConnectRefusal::Shutdown, "_error NetConnection.Connect.AppShutdown"),
    ] {
        let mut session = session(&[connect(), publish("cam")]);
        session.poll();
        session.refuse_connect(reason, "no such app");
        assert_eq!(replies(&mut session), [want]);
        assert_eq!((session.phase(), session.handle(0, b"anything")), (Phase::Closed, Ok(())));
        assert_eq!(session.poll(), None);
    }
}

/// A `connect` with `fields` of Enhanced RTMP, accepted; its event and the messages of the answer.
fn enhanced(fields: &[(&str, Value)]) -> (Session, Event, Vec<Message>) {
    let object = crate::link::object(&[&[("app", "live".into())], fields].concat());
    let mut session = session(&[command(0, &["connect".into(), 1.0.into(), object])]);
    let Some(Output::Event(event)) = session.poll() else { panic!("no connect") };
    session.accept_connect();
    let messages = sent(&mut session);
    (session, event, messages)
}

#[test]
fn only_enhanced_peers_get_an_enhanced_answer() {
    let list = Value::StrictArray(vec!["hvc1".into()]);
    let map = Value::Object(vec![("hvc1".into(), 3.0.into())]);
    for (fields, codecs, caps) in [
        (vec![], &[][..], 0),
        (vec![("fourCcList", list)], &["hvc1"], 0),
        (vec![("videoFourCcInfoMap", map.clone())], &["hvc1"], 0),
        (vec![("audioFourCcInfoMap", map), ("capsEx", 3.0.into())], &["hvc1"], 3),
    ] {
        let (_, event, messages) = enhanced(&fields);
        let Event::Connect { fourcc, caps_ex, .. } = event else { panic!("{event:?}") };
        assert_eq!(
            (&fourcc[..], caps_ex),
            (&codecs.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>()[..], caps)
        );
        let properties = Command::parse(messages.last().unwrap()).unwrap().object;
        let names: Vec<&str> = properties.properties().unwrap().iter().map(|(n, _)| n.as_str()).collect();
        let old = ["fmsVer", "capabilities", "mode"];
        if fields.is_empty() {
            assert_eq!(names, old);
            continue;
        }
        let new = ["fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"];
        assert_eq!(names, [&old[..], &new].concat());
        assert_eq!(properties.property("capsEx"), Some(&15.0.into()));
        let forwards =
            |map: &str, codec| properties.property(map).unwrap().property(codec) == Some(&4.0.into());
        assert!(forwards("videoFourCcInfoMap", "av01") && forwards("audioFourCcInfoMap", "Opus"));
    }
}

#[test]
fn reconnect_is_asked_of_those_who_can() {
    for (caps, can) in [(None, false), (Some(14.0), false), (Some(1.0), true), (Some(15.0), true)] {
        let fields: Vec<_> = caps.map(|c| ("capsEx", Value::from(c))).into_iter().collect();
        for tc_url in [None, Some("rtmp://b/live")] {
            let (mut session, ..) = enhanced(&fields);
            assert_eq!(session.request_reconnect(tc_url, "update"), can, "{caps:?}");
            let messages = sent(&mut session);
            assert_eq!(messages.len(), usize::from(can));
            let Some(message) = messages.first() else { continue };
            let status = Command::parse(message).unwrap();
            assert_eq!((status.name.as_str(), status.transaction, message.stream_id), ("onStatus", 0.0, 0));
            let field = |name| status.args[0].property(name).and_then(Value::as_str);
            assert_eq!(field("code"), Some("NetConnection.Connect.ReconnectRequest"));
            assert_eq!((field("level"), field("description")), (Some("status"), Some("update")));
            assert_eq!(field("tcUrl"), tc_url);
        }
    }
    let (mut failed, ..) = enhanced(&[("capsEx", 1.0.into())]);
    failed.handle(0, &publish("a")).unwrap();
    failed.handle(0, &publish("b")).unwrap_err();
    assert!(!failed.request_reconnect(None, "too late"));
    let mut early = session(&[connect()]);
    assert!(!early.request_reconnect(None, "too early"));
}

#[test]
fn media_sent_ahead_waits_for_the_answer() {
    let audio = chunk(0, 4, &[&full(0, 2, 8), b"aa"]);
    let mut session = session(&[connect(), audio.clone(), publish("cam?t=1"), audio.clone()]);
    session.poll();
    session.accept_connect();
    sent_one(&mut session);
    let want = Event::Publish { name: "cam".into(), query: "t=1".into() };
    assert_eq!(session.poll(), Some(Output::Event(want)));
    assert_eq!(session.phase(), Phase::PublishPending);
    session.accept_publish();
    sent_one(&mut session);
    let want = Event::Audio { timestamp_ms: 0, body: Bytes::from_static(b"aa") };
    assert_eq!(session.poll(), Some(Output::Event(want)), "the one before publish is dropped");
    assert_eq!(session.poll(), None);
}

fn sent_one(session: &mut Session) {
    assert!(matches!(session.poll(), Some(Output::Send(_))));
}

#[test]
fn refused_publish_drops_what_was_sent_ahead_and_allows_another() {
    let audio = chunk(0, 4, &[&full(0, 2, 8), b"aa"]);
    let mut session = session(&[connect(), publish("a"), audio]);
    session.poll();
    session.accept_connect();
    sent_one(&mut session);
    session.poll();
    session.refuse_publish(PublishRefusal::Unauthorized, "bad token");
    assert_eq!(replies(&mut session), ["onStatus NetStream.Publish.Unauthorized"]);
    assert_eq!(session.poll(), None);
    session.handle(0, &publish("b")).unwrap();
    assert_eq!(session.phase(), Phase::PublishPending);
}

#[test]
fn ends_of_a_publisher() {
    let rows = [
        ("FCUnpublish", call("FCUnpublish", &["cam".into()]), true),
        ("deleteStream", call("deleteStream", &[1.0.into()]), true),
        ("deleteStream of another", call("deleteStream", &[7.0.into()]), false),
        ("closeStream", command(1, &["closeStream".into(), 0.0.into(), Value::Null]), true),
        ("closeStream of another", command(2, &["closeStream".into(), 0.0.into(), Value::Null]), false),
    ];
    for (name, bytes, ends) in rows {
        let mut session = publishing();
        session.handle(0, &[&bytes[..], &bytes].concat()).unwrap();
        let mut events = vec![];
        while let Some(output) = session.poll() {
            events.extend(if let Output::Event(event) = output { Some(event) } else { None });
        }
        assert_eq!(events, if ends { vec![Event::Unpublish] } else { vec![] }, "{name}");
        assert_eq!(session.phase(), if ends { Phase::Idle } else { Phase::Publishing }, "{name}");
    }
}

#[test]
fn a_request_taken_back_needs_no_answer() {
    let delete = call("deleteStream", &[1.0.into()]);
    let mut session = session(&[connect()]);
    session.poll();
    session.accept_connect();
    sent_one(&mut session);
    session.handle(0, &[publish("a"), delete].concat()).unwrap();
    assert!(matches!(session.poll(), Some(Output::Event(Event::Publish { .. }))));
    session.accept_publish();
    assert_eq!(session.poll(), Some(Output::Event(Event::Unpublish)), "nothing was sent");
    assert_eq!(session.phase(), Phase::Idle);
    session.handle(0, &publish("b")).unwrap();
    assert!(matches!(session.poll(), Some(Output::Event(Event::Publish { .. }))));
}

#[test]
fn polite_answers() {
    let rows: [(&str, &[Value], &[&str]); 8] = [
        ("releaseStream", &["cam".into()], &["_result -"]),
        ("FCPublish", &["cam".into()], &["_result -"]),
        ("createStream", &[], &["_result -"]),
        ("_checkbw", &[], &["_result -"]),
        ("getStreamLength", &["cam".into()], &["_result -"]),
        ("FCSubscribe", &["cam".into()], &["_result -", "onFCSubscribe NetStream.Play.Start"]),
        ("play2", &[], &[]),
        ("fooBar", &[], &["_error -"]),
    ];
    for (name, args, want) in rows {
        let mut session = publishing();
        session.handle(0, &call(name, args)).unwrap();
        let want = if name == "fooBar" { &["_error NetConnection.Call.Failed"] } else { want };
        assert_eq!(replies(&mut session), want, "{name}");
    }
}

#[test]
fn pings_and_acknowledgements() {
    let mut session = publishing();
    let ping = [&user_control::PING_REQUEST.to_be_bytes()[..], &[1, 2, 3, 4]].concat();
    let window = send(kind::WINDOW_ACK_SIZE, 0, &5000u32.to_be_bytes());
    session.handle(0, &[send(kind::USER_CONTROL, 0, &ping), window].concat()).unwrap();
    let messages = sent(&mut session);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].body[..], [0, 7, 1, 2, 3, 4]);
    let audio = chunk(0, 4, &[&full(0, 100, 8), &[1; 100]]);
    let mut acknowledged = 0;
    for _ in 0..100 {
        session.handle(0, &audio).unwrap();
        acknowledged += sent(&mut session).iter().filter(|m| m.kind == kind::ACKNOWLEDGEMENT).count();
    }
    assert_eq!(acknowledged, 2, "11 200 bytes and the dialogue, each 5000");
}

#[test]
fn player_hears_the_usual_sequence() {
    let mut pair = Pair::ready(Intent::Play, 128);
    assert_eq!(pair.server.phase(), Phase::Playing);
    pair.server.handle(0, &call("pause", &[true.into(), 0.0.into()])).unwrap();
    assert_eq!(replies(&mut pair.server), ["onStatus NetStream.Pause.Notify"]);
    pair.server.handle(0, &call("seek", &[5.0.into()])).unwrap();
    assert_eq!(replies(&mut pair.server), ["onStatus NetStream.Seek.Failed"]);
    pair.server.play_status(PlayStatus::UnpublishNotify);
    assert_eq!(replies(&mut pair.server), ["onStatus NetStream.Play.UnpublishNotify"]);
    pair.server.handle(0, &call("deleteStream", &[1.0.into()])).unwrap();
    assert_eq!(pair.server.poll(), Some(Output::Event(Event::StopPlay)));
    pair.server.play_status(PlayStatus::Stop);
    assert_eq!(pair.server.poll(), None, "nothing while it does not play");
}

#[test]
fn abuse_is_an_error() {
    let deep: Vec<u8> = [&[2u8, 0, 1, b'x'][..], &[3, 0, 1, b'a'].repeat(15_000)].concat();
    let count = [2, 0, 1, b'x', 0x0A, 0xFF, 0xFF, 0xFF, 0xFF];
    let big = "x".repeat(5000);
    let object = |app: &str| Value::Object(vec![("app".into(), app.into())]);
    let rows: Vec<(&str, Vec<Vec<u8>>, &str)> = vec![
        ("publish first", vec![publish("a")], "\"publish\" is out of order in phase connecting"),
        ("createStream first", vec![call("createStream", &[])], "\"createStream\" is out of order"),
        ("connect twice", vec![connect(), connect()], "\"connect\" is out of order"),
        ("publish twice", vec![connect(), publish("a"), publish("b")], "out of order in phase"),
        ("nested", vec![send(kind::COMMAND_AMF0, 0, &deep)], "nested deeper"),
        ("array count", vec![send(kind::COMMAND_AMF0, 0, &count)], "array claims 4294967295"),
        ("no name", vec![send(kind::COMMAND_AMF0, 0, &[5])], "without a name"),
        ("long name", vec![connect(), publish(&big)], "stream name has 5000 bytes"),
        ("long app", vec![command(0, &["connect".into(), 1.0.into(), object(&big)])], "app has 5000 bytes"),
        ("many commands", [vec![connect()], vec![call("a", &[]); 64]].concat(), "more than 64 commands"),
        (
            "many streams",
            [vec![connect()], vec![call("createStream", &[]); 9]].concat(),
            "more than 8 createStream",
        ),
        ("big video before publish", vec![chunk(0, 6, &[&full(0, 1 << 20, 9)])], "claims 1048576 bytes"),
        ("chunk size 0", vec![send(kind::SET_CHUNK_SIZE, 0, &[0; 4])], "chunk size 0"),
        ("short window", vec![send(kind::WINDOW_ACK_SIZE, 0, &[0; 2])], "has 2 bytes, needs 4"),
    ];
    for (name, parts, want) in rows {
        let (_, result) = serve(&[&after_hello(&parts)]);
        let text = result.map_err(|e| e.to_string()).unwrap_err();
        assert!(text.contains(want), "{name}: {text}");
    }
    let (_, result) = serve(&[b"GET / HTTP/1.1\r\n"]);
    assert!(result.unwrap_err().to_string().contains("HTTP"));
}

#[test]
fn a_failed_session_stays_closed() {
    let mut session = session(&[]);
    assert!(session.handle(0, &[0xC4]).is_err());
    assert_eq!(session.phase(), Phase::Closed);
    assert_eq!(session.handle(0, &connect()), Err(Error::Closed));
}

#[test]
fn amf3_data_and_aggregates_reach_the_caller() {
    let mut session = publishing();
    let object = Value::EcmaArray(vec![("width".into(), 1.0.into())]);
    let data = [&[0], &amf0::encode_all(&["@setDataFrame".into(), "onMetaData".into(), object])[..]].concat();
    let part = |kind, time| [&[kind, 0, 0, 1, 0, 0, time, 0, 0, 0, 0, 0x77][..], &[0, 0, 0, 12]].concat();
    let aggregate = [part(8, 5), part(9, 9)].concat();
    let len = u32::try_from(aggregate.len()).unwrap();
    let aggregate = chunk(0, 4, &[&full(100, len, kind::AGGREGATE), &aggregate]);
    let input = [send(kind::DATA_AMF3, 1, &data), aggregate, chunk(0, 7, &[&full(0, 0, 9)])].concat();
    session.handle(0, &input).unwrap();
    let Some(Output::Event(Event::Metadata(metadata))) = session.poll() else { panic!("no metadata") };
    assert_eq!(metadata.field("width"), Some(&Value::Number(1.0)));
    let body = Bytes::from_static(&[0x77]);
    assert_eq!(session.poll(), Some(Output::Event(Event::Audio { timestamp_ms: 100, body: body.clone() })));
    assert_eq!(session.poll(), Some(Output::Event(Event::Video { timestamp_ms: 104, body })));
    assert_eq!(session.poll(), None, "an empty body is no frame");
}

/// A whole dialogue: publish, metadata, media around every awkward time, goodbye.
fn recording(chunk_size: u32) -> Vec<u8> {
    let mut pair = Pair::ready(Intent::Publish, chunk_size);
    let object = Value::EcmaArray(vec![("encoder".into(), "x".into())]);
    let bytes = pair.client.write_metadata(0, &amf0::encode_all(&["onMetaData".into(), object]));
    pair.deliver(&bytes);
    for (i, time) in [0, 40, 0xFF_FFFE, 0xFF_FFFF, 0x100_0000, u32::MAX, 3].into_iter().enumerate() {
        let bytes = [
            pair.client.write_audio(time, &[0xC4; 150]),
            pair.client.write_video(time, &vec![1; 300 * i + 1]),
        ];
        pair.deliver(&bytes.concat());
    }
    pair.client.close();
    pair.pump();
    pair.recorded
}

#[test]
fn every_truncation_of_a_dialogue_is_harmless() {
    let bytes = recording(65_536);
    let (whole, result) = serve(&[&bytes]);
    assert_eq!((whole.len(), result), (18, Ok(())), "connect, publish, metadata, 14 frames, unpublish");
    for end in (0..bytes.len()).step_by(7) {
        let (events, result) = serve(&[&bytes[..end]]);
        assert_eq!((&events[..], result), (&whole[..events.len()], Ok(())), "cut at {end}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_gives_the_same_events(
        chunk_size in prop_oneof![1u32..5, Just(128), Just(65_536)],
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let bytes = recording(chunk_size);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let reads: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        prop_assert_eq!(serve(&reads), serve(&[&bytes]));
    }

    #[test]
    fn any_flipped_byte_is_harmless(at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut bytes = recording(128).split_off(hello().len());
        let at = at.index(bytes.len());
        bytes[at] = value;
        crate::fuzz::server_session(&bytes);
    }

    #[test]
    fn fuzz_body_holds(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        crate::fuzz::server_session(&data);
        crate::fuzz::server_session(&[&connect()[..], &publish("a"), &data].concat());
    }
}
