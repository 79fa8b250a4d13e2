//! Helpers of the tests: a client and a server wired back to back, and a hand-written chunk encoder.

use crate::{Error, Limits, NONCE_LEN, client, server};

/// A chunk as its bytes: basic header of one byte, the rest as given.
pub(crate) fn chunk(format: u8, csid: u8, rest: &[&[u8]]) -> Vec<u8> {
    [&[format << 6 | csid][..], &rest.concat()].concat()
}

/// Message header of format 0: time, length, kind, stream 1.
pub(crate) fn full(time: u32, len: u32, kind: u8) -> Vec<u8> {
    [&medium(time, len, kind)[..], &[1, 0, 0, 0]].concat()
}

/// Message header of format 1.
pub(crate) fn medium(time: u32, len: u32, kind: u8) -> Vec<u8> {
    [&time.to_be_bytes()[1..], &len.to_be_bytes()[1..], &[kind]].concat()
}

/// How the server of a pair answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    Accept,
    RefuseConnect,
    RefuseRequest,
}

/// Both sessions and what they have said.
pub(crate) struct Pair {
    pub(crate) client: client::Session,
    pub(crate) server: server::Session,
    pub(crate) answers: Answers,
    pub(crate) client_events: Vec<client::Event>,
    pub(crate) server_events: Vec<server::Event>,
    /// Everything the client sent.
    pub(crate) recorded: Vec<u8>,
}

impl Pair {
    pub(crate) fn new(intent: client::Intent, chunk_size: u32) -> Self {
        let config = client::Config {
            app: "live?key=1".into(),
            stream: "cam1?token=x".into(),
            tc_url: "rtmp://h/live".into(),
            intent,
            chunk_size_out: chunk_size,
            limits: Limits::default(),
        };
        let server = server::Config { chunk_size_out: chunk_size, ..server::Config::default() };
        Self {
            client: client::Session::new(config, [1; NONCE_LEN]),
            server: server::Session::new(server, [2; NONCE_LEN]),
            answers: Answers::Accept,
            client_events: vec![],
            server_events: vec![],
            recorded: vec![],
        }
    }

    /// A pair past its dialogue.
    pub(crate) fn ready(intent: client::Intent, chunk_size: u32) -> Self {
        let mut pair = Self::new(intent, chunk_size);
        pair.pump();
        assert!(pair.client.is_ready(), "{:?} {:?}", pair.client_events, pair.server.phase());
        pair
    }

    /// Carries bytes until both sides are silent.
    pub(crate) fn pump(&mut self) {
        loop {
            let (mut up, mut down) = (vec![], vec![]);
            while let Some(output) = self.client.poll() {
                match output {
                    client::Output::Send(bytes) => up.extend(bytes),
                    client::Output::Event(event) => self.client_events.push(event),
                }
            }
            self.deliver(&up);
            while let Some(output) = self.server.poll() {
                match output {
                    server::Output::Send(bytes) => down.extend(bytes),
                    server::Output::Event(event) => {
                        answer(&mut self.server, self.answers, &event);
                        self.server_events.push(event);
                    }
                }
            }
            self.client.handle(0, &down).unwrap();
            if up.is_empty() && down.is_empty() {
                return;
            }
        }
    }

    /// Media the client wrote.
    pub(crate) fn deliver(&mut self, bytes: &[u8]) {
        self.recorded.extend(bytes);
        self.server.handle(0, bytes).unwrap();
    }

    /// Takes the server's events.
    pub(crate) fn heard(&mut self) -> Vec<server::Event> {
        self.pump();
        std::mem::take(&mut self.server_events)
    }
}

fn answer(server: &mut server::Session, answers: Answers, event: &server::Event) {
    match event {
        server::Event::Connect { .. } if answers == Answers::RefuseConnect => {
            server.refuse_connect(server::ConnectRefusal::InvalidApp, "no such app")
        }
        server::Event::Connect { .. } => server.accept_connect(),
        server::Event::Publish { .. } if answers == Answers::Accept => server.accept_publish(),
        server::Event::Publish { .. } => server.refuse_publish(server::PublishRefusal::BadName, "taken"),
        server::Event::Play { .. } if answers == Answers::Accept => server.accept_play(),
        server::Event::Play { .. } => server.refuse_play("not live"),
        _ => {}
    }
}

/// Feeds `reads` to a fresh server that accepts everything; its events and how it ended.
pub(crate) fn serve(reads: &[&[u8]]) -> (Vec<server::Event>, Result<(), Error>) {
    let mut session = server::Session::new(server::Config::default(), [2; NONCE_LEN]);
    let mut events = vec![];
    for read in reads {
        let result = session.handle(0, read);
        while let Some(output) = session.poll() {
            if let server::Output::Event(event) = output {
                answer(&mut session, Answers::Accept, &event);
                events.push(event);
            }
        }
        if result.is_err() {
            return (events, result);
        }
    }
    (events, Ok(()))
}

/// C0 C1 C2 of a client that says nothing else.
pub(crate) fn hello() -> Vec<u8> {
    let mut hello = vec![0; 1 + 2 * crate::handshake::PACKET_LEN];
    hello[0] = 3;
    hello
}
