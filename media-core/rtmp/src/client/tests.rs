//! The client against our server: publish, play, refusals.

use super::*;
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
        (Intent::Publish, Answers::RefuseConnect, "NetConnection.Connect.Rejected", "no such app"),
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
fn a_server_of_another_kind_is_an_error() {
    let pair = Pair::new(Intent::Play, 128);
    let mut client = pair.client;
    assert!(client.handle(0, b"HTTP/1.1 400 Bad Request\r\n").unwrap_err().to_string().contains("HTTP"));
    assert_eq!(client.handle(0, &[3]), Err(Error::Closed));
}
