//! The client against our server: publish, play, refusals.

use proptest::prelude::*;

use super::*;
use crate::chunk::{ChunkReader, ChunkWriter};
use crate::link::object;
use crate::message::Command;
use crate::server;
use crate::testing::{Answers, Pair};

const CHUNK_SIZES: [u32; 4] = [1, 7, 128, 65_536];
/// Around the 24-bit border and the 32-bit wrap.
const TIMES: [u32; 8] = [0, 1, 0xFF_FFFE, 0xFF_FFFF, 0x100_0000, 0x8000_0000, u32::MAX, 5];

fn statuses(pair: &Pair) -> Vec<&str> {
    let codes = pair.client_events.iter().map(|event| match event {
        Event::Status { code, .. } => code.as_str(),
        Event::Ready => "ready",
        Event::Eof => "eof",
        _ => "media",
    });
    codes.collect()
}

#[test]
fn publishes() {
    for chunk_size in CHUNK_SIZES {
        let mut pair = Pair::ready(Intent::Publish, chunk_size);
        assert_eq!(statuses(&pair), ["NetStream.Publish.Start", "ready"]);
        let requests = pair.heard();
        let server::Event::Connect { app, query, tc_url, fourcc, .. } = &requests[0] else {
            panic!("no connect")
        };
        assert_eq!((app.as_str(), query.as_str(), tc_url.as_str()), ("live", "key=1", "rtmp://h/live"));
        assert!(fourcc.iter().any(|f| f == "hvc1"));
        assert_eq!(requests[1..], [server::Event::Publish { name: "cam1".into(), query: "token=x".into() }]);
        for timestamp_ms in TIMES {
            let body = Bytes::from(vec![9; 500]);
            let bytes =
                [pair.client.write_audio(timestamp_ms, &body), pair.client.write_video(timestamp_ms, &body)];
            pair.deliver(&bytes.concat());
            let want = [
                server::Event::Audio { timestamp_ms, body: body.clone() },
                server::Event::Video { timestamp_ms, body },
            ];
            assert_eq!(pair.heard(), want, "chunk size {chunk_size}");
        }
        pair.client.close();
        assert_eq!(pair.heard(), [server::Event::Unpublish]);
        assert!(pair.client.write_audio(0, b"late").is_empty());
    }
}

#[test]
fn plays() {
    for chunk_size in CHUNK_SIZES {
        let mut pair = Pair::ready(Intent::Play, chunk_size);
        assert_eq!(statuses(&pair), ["NetStream.Play.Reset", "NetStream.Play.Start", "ready"]);
        assert_eq!(pair.heard()[1..], [server::Event::Play { name: "cam1".into(), query: "token=x".into() }]);
        let id = pair.server.stream_id();
        for timestamp_ms in TIMES {
            pair.client_events.clear();
            let body = Bytes::from(vec![7; 500]);
            let audio =
                media_message(MediaKind::Audio, timestamp_ms, id, chunk_size, &[&body[..1], &body[1..]]);
            let video = media_message(MediaKind::Video, timestamp_ms, id, chunk_size, &[&body]);
            pair.client.handle(0, &[audio, video].concat()).unwrap();
            pair.pump();
            let want =
                [Event::Audio { timestamp_ms, body: body.clone() }, Event::Video { timestamp_ms, body }];
            assert_eq!(pair.client_events, want, "chunk size {chunk_size}");
        }
        let meta = amf0::encode_all(&["onMetaData".into(), Value::EcmaArray(vec![("w".into(), 1.0.into())])]);
        pair.client_events.clear();
        pair.client.handle(0, &media_message(MediaKind::Data, 3, id, chunk_size, &[&meta])).unwrap();
        pair.pump();
        assert!(
            matches!(&pair.client_events[..], [Event::Metadata(m)] if m.body == meta && m.timestamp_ms == 3)
        );
        pair.client_events.clear();
        pair.server.play_status(server::PlayStatus::Stop);
        pair.pump();
        assert_eq!(statuses(&pair), ["NetStream.Play.Stop", "eof"]);
    }
}

#[test]
fn refusals_are_told() {
    let rows = [
        (Intent::Publish, Answers::RefuseConnect, "NetConnection.Connect.InvalidApp", "no such app"),
        (Intent::Publish, Answers::RefuseRequest, "NetStream.Publish.BadName", "taken"),
        (Intent::Play, Answers::RefuseRequest, "NetStream.Play.StreamNotFound", "not live"),
    ];
    for (intent, answers, code, description) in rows {
        let mut pair = Pair::new(intent, 128);
        pair.answers = answers;
        pair.pump();
        let want =
            Event::Status { code: code.into(), level: "error".into(), description: description.into() };
        assert_eq!(pair.client_events, [want]);
        assert!(!pair.client.is_ready());
        assert!(pair.client.write_video(0, b"x").is_empty());
    }
}

#[test]
fn a_request_to_reconnect_is_told() {
    for intent in [Intent::Publish, Intent::Play] {
        for tc_url in [None, Some("//192.0.2.1/live")] {
            let mut pair = Pair::ready(intent, 128);
            pair.client_events.clear();
            assert!(pair.server.request_reconnect(tc_url, "update"));
            pair.pump();
            let (tc_url, description) = (tc_url.map(str::to_owned), "update".to_owned());
            assert_eq!(pair.client_events, [Event::ReconnectRequest { tc_url, description }]);
            assert!(pair.client.is_ready(), "the old connection still serves");
        }
    }
    let mut pair = Pair::ready(Intent::Publish, 128);
    assert!(pair.server.request_reconnect(Some(&"x".repeat(5000)), ""));
    let Some(server::Output::Send(bytes)) = pair.server.poll() else { panic!("nothing sent") };
    let text = pair.client.handle(0, &bytes).unwrap_err().to_string();
    assert_eq!(text, "RTMP tcUrl has 5000 bytes, at most 4096 are accepted");
}

/// A command of a server, in chunks of 128 bytes.
fn say(stream_id: u32, values: &[Value]) -> Bytes {
    let mut out = BytesMut::new();
    let body = amf0::encode_all(values);
    ChunkWriter::default().write(&mut out, 3, kind::COMMAND_AMF0, 0, stream_id, &[&body]);
    out.freeze()
}

/// Messages the client sends from chunk stream position `reader` on; events are dropped.
fn sent(client: &mut Session, reader: &mut ChunkReader) -> Vec<Message> {
    let mut out = vec![];
    while let Some(output) = client.poll() {
        if let Output::Send(bytes) = output {
            let mut input = &bytes[..];
            while let Some(message) = reader.read(&mut input).unwrap() {
                out.push(message);
            }
        }
    }
    out
}

#[test]
fn any_stream_id_of_the_server_is_used() {
    for (answer, want) in [
        (Value::Number(7.0), 7),
        (Value::Number(0.0), 0),
        (Value::Number(f64::from(u32::MAX)), u32::MAX),
        (Value::Number(-5.0), 0),
        (Value::Number(f64::INFINITY), u32::MAX),
        (Value::Null, 1),
    ] {
        let mut client = Pair::new(Intent::Publish, 128).client;
        let mut reader = ChunkReader::new(Limits::default());
        reader.allow_media();
        while client.poll().is_some() {}
        client.handle(0, &crate::testing::hello()).unwrap();
        let Some(Output::Send(bytes)) = client.poll() else { panic!("no C2 and connect") };
        let mut connect = &bytes[crate::handshake::PACKET_LEN..];
        assert!(reader.read(&mut connect).unwrap().is_some());
        let result = |id: f64, value: Value| say(0, &["_result".into(), id.into(), Value::Null, value]);
        client.handle(0, &result(1.0, Value::Null)).unwrap();
        client.handle(0, &result(4.0, answer)).unwrap();
        let publish = sent(&mut client, &mut reader).pop().unwrap();
        assert_eq!((Command::parse(&publish).unwrap().name.as_str(), publish.stream_id), ("publish", want));
        let info = object(&[("level", "status".into()), ("code", "NetStream.Publish.Start".into())]);
        client.handle(0, &say(want, &["onStatus".into(), 0.0.into(), Value::Null, info])).unwrap();
        assert_eq!((client.is_ready(), client.stream_id()), (true, want));
        let bytes =
            [client.write_audio(1, b"a"), client.write_video(2, b"v"), client.write_metadata(3, b"m")];
        let media: Vec<Message> = bytes.iter().map(|b| reader.read(&mut &b[..]).unwrap().unwrap()).collect();
        let got: Vec<_> = media.iter().map(|m| (m.kind, m.timestamp_ms, m.stream_id)).collect();
        assert_eq!(got, [(kind::AUDIO, 1, want), (kind::VIDEO, 2, want), (kind::DATA_AMF0, 3, want)]);
    }
}

#[test]
fn parts_make_the_same_message_as_the_whole() {
    let mut pair = Pair::ready(Intent::Publish, 128);
    let parts = pair.client.write(MediaKind::Video, 40, &[b"\x93hvc1", &[7; 300]]);
    let whole = [&b"\x93hvc1"[..], &[7; 300]].concat();
    assert_eq!(parts, pair.client.write_video(40, &whole));
    pair.client.close();
    assert!(pair.client.write(MediaKind::Video, 40, &[b"late"]).is_empty());
}

/// Everything a server says to a publisher or player, after the handshake.
fn dialogue(intent: Intent) -> Vec<u8> {
    let mut pair = Pair::new(intent, 128);
    let mut said = vec![];
    loop {
        let mut up = vec![];
        while let Some(output) = pair.client.poll() {
            if let Output::Send(bytes) = output {
                up.extend(bytes);
            }
        }
        if up.is_empty() {
            pair.server.request_reconnect(Some("rtmp://b/live"), "update");
        }
        let mut down = vec![];
        pair.server.handle(0, &up).unwrap();
        while let Some(output) = pair.server.poll() {
            match output {
                server::Output::Send(bytes) => down.extend(bytes),
                server::Output::Event(server::Event::Connect { .. }) => pair.server.accept_connect(),
                server::Output::Event(server::Event::Publish { .. }) => pair.server.accept_publish(),
                server::Output::Event(server::Event::Play { .. }) => pair.server.accept_play(),
                server::Output::Event(_) => {}
            }
        }
        pair.client.handle(0, &down).unwrap();
        said.extend(down);
        if up.is_empty() {
            return said.split_off(1 + 2 * crate::handshake::PACKET_LEN);
        }
    }
}

#[test]
fn every_truncation_of_a_dialogue_is_harmless() {
    for intent in [Intent::Publish, Intent::Play] {
        let bytes = dialogue(intent);
        let events = |end: usize| {
            let mut client = Pair::new(intent, 128).client;
            client.handle(0, &crate::testing::hello()).unwrap();
            client.handle(0, &bytes[..end]).unwrap();
            let outputs = std::iter::from_fn(|| client.poll());
            outputs.filter_map(|o| if let Output::Event(e) = o { Some(e) } else { None }).collect::<Vec<_>>()
        };
        let whole = events(bytes.len());
        assert!(matches!(whole[..], [.., Event::Ready, Event::ReconnectRequest { .. }]), "{whole:?}");
        for end in 0..bytes.len() {
            assert!(whole.starts_with(&events(end)), "cut at {end}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_flipped_byte_is_harmless(play: bool, at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut bytes = dialogue(if play { Intent::Play } else { Intent::Publish });
        let at = at.index(bytes.len());
        bytes[at] = value;
        crate::fuzz::client_session(&[&[u8::from(play)], &bytes[..]].concat());
    }

    #[test]
    fn fuzz_body_holds(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        crate::fuzz::client_session(&data);
        let reconnect = object(&[("code", "NetConnection.Connect.ReconnectRequest".into())]);
        let valid = say(0, &["onStatus".into(), 0.0.into(), Value::Null, reconnect]);
        crate::fuzz::client_session(&[&[1], &valid[..], &data].concat());
    }
}

#[test]
fn a_server_of_another_kind_is_an_error() {
    let pair = Pair::new(Intent::Play, 128);
    let mut client = pair.client;
    assert!(client.handle(0, b"HTTP/1.1 400 Bad Request\r\n").unwrap_err().to_string().contains("HTTP"));
    assert_eq!(client.handle(0, &[3]), Err(Error::Closed));
}
