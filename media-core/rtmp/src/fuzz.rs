//! Bodies of the fuzz targets: each asserts a property for any input. Not part of the public promise.

use crate::chunk::{ChunkError, ChunkReader, Message};
use crate::{Limits, NONCE_LEN, amf0, client, handshake, server};

/// The same bytes in two reads and in one give the same messages and the same error. The first byte of
/// `data` says where to cut.
///
/// # Panics
///
/// When they differ, or when more is held than the limits say.
pub fn chunk_stream(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else { return };
    let at = usize::from(*cut) * bytes.len() / 255;
    let (head, tail) = bytes.split_at(at.min(bytes.len()));
    assert_eq!(read_all(&[bytes]), read_all(&[head, tail]), "cut at {at}");
}

fn read_all(reads: &[&[u8]]) -> (Vec<Message>, Option<ChunkError>) {
    let mut reader = ChunkReader::new(Limits::default());
    reader.allow_media();
    let mut messages = vec![];
    for read in reads {
        let mut input = *read;
        loop {
            match reader.read(&mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(input.is_empty(), "input is used up");
        assert!(reader.pending_bytes() <= Limits::default().pending_bytes_max, "pending is bounded");
    }
    (messages, None)
}

/// What decodes also encodes, to bytes that decode to the same again.
///
/// # Panics
///
/// When it does not.
pub fn amf0(data: &[u8]) {
    let Ok(values) = amf0::decode_all(data) else { return };
    let once = amf0::encode_all(&values);
    // compared as bytes: NaN is not equal to itself
    let again = amf0::decode_all(&once).map(|values| amf0::encode_all(&values));
    assert_eq!(again.as_deref(), Ok(&once[..]), "round trip");
}

/// A server session behind a valid handshake takes anything; every request is accepted.
///
/// # Panics
///
/// When the answers are out of proportion to the input.
pub fn server_session(data: &[u8]) {
    let mut session = server::Session::new(server::Config::default(), [7; NONCE_LEN]);
    let (head, tail) = data.split_at(data.len() / 2);
    let mut sent = 0;
    for read in [&hello()[..], head, tail] {
        let result = session.handle(0, read);
        while let Some(output) = session.poll() {
            match output {
                server::Output::Send(bytes) => sent += bytes.len(),
                server::Output::Event(event) => answer(&mut session, &event),
            }
        }
        if result.is_err() {
            assert_eq!(session.phase(), server::Phase::Closed, "an error is final");
            break;
        }
    }
    assert!(sent <= 64 * 1024 + 64 * data.len(), "answers {sent} bytes to {}", data.len());
}

/// A client session behind a valid handshake takes anything; the first byte of `data` says whether it plays.
///
/// # Panics
///
/// When what it sends is out of proportion to the input.
pub fn client_session(data: &[u8]) {
    let Some((play, data)) = data.split_first() else { return };
    let config = client::Config {
        app: "live?key=1".into(),
        stream: "cam".into(),
        tc_url: "rtmp://h/live".into(),
        intent: if play & 1 == 1 { client::Intent::Play } else { client::Intent::Publish },
        chunk_size_out: 4096,
        limits: Limits::default(),
    };
    let mut session = client::Session::new(config, [7; NONCE_LEN]);
    let (head, tail) = data.split_at(data.len() / 2);
    let mut sent = 0;
    for read in [&hello()[..], head, tail] {
        let result = session.handle(0, read);
        while let Some(output) = session.poll() {
            if let client::Output::Send(bytes) = output {
                sent += bytes.len();
            }
        }
        sent += session.write_video(0, b"frame").len();
        if result.is_err() {
            assert!(!session.is_ready(), "an error is final");
            break;
        }
    }
    assert!(sent <= 64 * 1024 + 64 * data.len(), "sends {sent} bytes to {}", data.len());
}

/// C0 C1 C2, or S0 S1 S2, of zeros.
fn hello() -> Vec<u8> {
    let mut hello = vec![0; 1 + 2 * handshake::PACKET_LEN];
    if let Some(version) = hello.first_mut() {
        *version = 3;
    }
    hello
}

fn answer(session: &mut server::Session, event: &server::Event) {
    match event {
        server::Event::Connect { .. } => {
            session.accept_connect();
            session.request_reconnect(None, "");
        }
        server::Event::Publish { .. } => session.accept_publish(),
        server::Event::Play { .. } => session.accept_play(),
        _ => {}
    }
}
