//! Client session: dials a server to publish or to play one stream.
//!
//! It writes the handshake by itself: call [`Session::poll`] right after [`Session::new`].
//!
//! Spec: RTMP §7.2.

mod dialogue;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::amf0::{self, Value};
use crate::chunk::{MediaKind, Message, media_message};
use crate::handshake::{Handshake, Step};
use crate::link::{Incoming, Link};
use crate::message::{self, kind};
use crate::{Error, Limits, Metadata, NONCE_LEN};

/// Bytes after which a server may expect an acknowledgement when it names no window.
const WINDOW_ACK: u32 = 2_500_000;

/// What to do with the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Intent {
    /// Send it.
    Publish,
    /// Receive it.
    Play,
}

/// Settings of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Application, with its query if any.
    pub app: String,
    /// Stream name, with its query if any.
    pub stream: String,
    /// `rtmp://host[:port]/app`.
    pub tc_url: String,
    /// Publish or play.
    pub intent: Intent,
    /// Size of the chunks we send, bytes.
    pub chunk_size_out: u32,
    /// What the server is held to.
    pub limits: Limits,
}

/// What the caller must do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Write these bytes to the server.
    Send(Bytes),
    /// News.
    Event(Event),
}

/// News from the server.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The server accepted: media may be written, or will come.
    Ready,
    /// Any status, good or bad; level `error` ends what the session wanted.
    Status {
        /// For example `NetStream.Publish.BadName`.
        code: String,
        /// `status`, `warning` or `error`.
        level: String,
        /// Text for a person.
        description: String,
    },
    /// Audio.
    Audio {
        /// Absolute time, milliseconds, wraps at 2^32.
        timestamp_ms: u32,
        /// FLV audio tag body, never empty.
        body: Bytes,
    },
    /// Video.
    Video {
        /// Absolute time, milliseconds, wraps at 2^32.
        timestamp_ms: u32,
        /// FLV video tag body, never empty.
        body: Bytes,
    },
    /// `onMetaData`.
    Metadata(Metadata),
    /// The server asks for another connection, made at the next key frame, in place of this one. It serves this
    /// one until we close it.
    ReconnectRequest {
        /// Where to, absolute or relative to [`Config::tc_url`]; `None` means there.
        tc_url: Option<String>,
        /// Text for a person, maybe empty.
        description: String,
    },
    /// The server says that the stream is over.
    Eof,
}

/// Where the dialogue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Handshake,
    Connect,
    CreateStream,
    Request,
    Ready,
    Over,
}

/// State machine of one dialled connection.
#[derive(Debug)]
pub struct Session {
    config: Config,
    handshake: Option<Handshake>,
    link: Link,
    stage: Stage,
    failed: bool,
    stream_id: u32,
    events: VecDeque<Event>,
}

impl Session {
    /// Starts with C0 C1, which the first [`Session::poll`] gives. `nonce` is fresh randomness.
    #[must_use]
    pub fn new(config: Config, nonce: [u8; NONCE_LEN]) -> Self {
        let mut link = Link::new(config.limits, WINDOW_ACK);
        let mut handshake = Handshake::client(nonce);
        if config.intent == Intent::Play {
            link.reader.allow_media();
        }
        if let Ok(Step::Send(hello)) = handshake.advance(0, &mut &[][..]) {
            link.raw(&hello);
        }
        Self {
            config,
            handshake: Some(handshake),
            link,
            stage: Stage::Handshake,
            failed: false,
            stream_id: 0,
            events: VecDeque::new(),
        }
    }

    /// Takes bytes from the server, in any split. `now_ms` is milliseconds since the connection was opened.
    /// Poll until `None` afterwards.
    ///
    /// # Errors
    ///
    /// [`Error`]: the server broke the protocol or passed a limit; drop the connection.
    pub fn handle(&mut self, now_ms: u32, input: &[u8]) -> Result<(), Error> {
        if self.failed {
            return Err(Error::Closed);
        }
        let result = self.consume(now_ms, input);
        self.failed = result.is_err();
        self.link.acknowledge();
        result
    }

    /// The next thing to do, `None` when there is nothing. Bytes come before events.
    pub fn poll(&mut self) -> Option<Output> {
        match self.link.take_out() {
            Some(bytes) => Some(Output::Send(bytes)),
            None => self.events.pop_front().map(Output::Event),
        }
    }

    /// The server accepted and nothing has ended yet.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.stage == Stage::Ready && !self.failed
    }

    /// Message stream id the server gave us; 0 before.
    #[must_use]
    pub fn stream_id(&self) -> u32 {
        self.stream_id
    }

    /// Audio message to send; `body` is an FLV audio tag body. Empty unless [`Session::is_ready`].
    #[must_use]
    pub fn write_audio(&mut self, timestamp_ms: u32, body: &[u8]) -> Bytes {
        self.write(MediaKind::Audio, timestamp_ms, &[body])
    }

    /// Video message to send; `body` is an FLV video tag body. Empty unless [`Session::is_ready`].
    #[must_use]
    pub fn write_video(&mut self, timestamp_ms: u32, body: &[u8]) -> Bytes {
        self.write(MediaKind::Video, timestamp_ms, &[body])
    }

    /// Metadata message to send; `body` is AMF0 `"onMetaData"` and the object, as in [`Metadata::body`].
    /// Empty unless [`Session::is_ready`].
    #[must_use]
    pub fn write_metadata(&mut self, timestamp_ms: u32, body: &[u8]) -> Bytes {
        let mut prefix = BytesMut::with_capacity(16);
        amf0::encode(&mut prefix, &Value::from("@setDataFrame"));
        self.write(MediaKind::Data, timestamp_ms, &[&prefix, body])
    }

    /// Message to send, its body in parts that are written one behind the other, such as a tag header and its
    /// payload. Empty unless [`Session::is_ready`].
    #[must_use]
    pub fn write(&self, media: MediaKind, timestamp_ms: u32, parts: &[&[u8]]) -> Bytes {
        if !self.is_ready() {
            return Bytes::new();
        }
        media_message(media, timestamp_ms, self.stream_id, self.config.chunk_size_out, parts)
    }

    /// Ends the stream politely; send what [`Session::poll`] gives, then close.
    pub fn close(&mut self) {
        let begun = matches!(self.stage, Stage::Request | Stage::Ready);
        self.stage = Stage::Over;
        if begun {
            self.say_goodbye();
        }
    }

    fn consume(&mut self, now_ms: u32, mut input: &[u8]) -> Result<(), Error> {
        while let Some(handshake) = &mut self.handshake {
            match handshake.advance(now_ms, &mut input)? {
                Step::More => return Ok(()),
                Step::Send(bytes) => self.link.raw(&bytes),
                Step::Done => {
                    self.handshake = None;
                    self.stage = Stage::Connect;
                    self.call_connect();
                }
            }
        }
        while let Some(incoming) = self.link.next(&mut input)? {
            match incoming {
                Incoming::Message(message) => self.message(&message)?,
                Incoming::Eof => self.events.push_back(Event::Eof),
            }
        }
        Ok(())
    }

    fn message(&mut self, message: &Message) -> Result<(), Error> {
        let Message { kind, timestamp_ms, ref body, .. } = *message;
        match kind {
            kind::COMMAND_AMF0 | kind::COMMAND_AMF3 => return self.command(message),
            kind::AGGREGATE => {
                for part in message::split_aggregate(message)? {
                    self.message(&part)?; // parts are never aggregates or commands
                }
            }
            _ if body.is_empty() => {}
            kind::AUDIO => self.events.push_back(Event::Audio { timestamp_ms, body: body.clone() }),
            kind::VIDEO => self.events.push_back(Event::Video { timestamp_ms, body: body.clone() }),
            kind::DATA_AMF0 | kind::DATA_AMF3 => {
                self.events.extend(Metadata::parse(message)?.map(Event::Metadata));
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
