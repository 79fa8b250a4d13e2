//! Server session: one accepted connection, for a publisher or a player.
//!
//! ```text
//! bytes from the peer -> handle -> poll* -> Send: write it | Event: decide, then accept_.. or refuse_..
//! ```
//!
//! The peer may send ahead. Events stay queued in order until polled, so a caller that needs time for a
//! decision stops polling at [`Event::Connect`], [`Event::Publish`] or [`Event::Play`], answers, and goes on.
//!
//! Spec: RTMP §7.2.

mod command;
mod reply;

use std::collections::VecDeque;

use bytes::Bytes;

use crate::chunk::Message;
pub use crate::chunk::{MediaKind, media_message};
use crate::handshake::{Handshake, Step};
use crate::link::{Incoming, Link};
use crate::message::{self, kind};
use crate::{Error, Limits, Metadata, NONCE_LEN};

/// An event queue that grew past this many entries gives its memory back when it is empty.
const EVENTS_KEPT: usize = 64;

/// Settings of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// What the peer is held to.
    pub limits: Limits,
    /// Size of the chunks we send, bytes; pass the same one to [`media_message`].
    pub chunk_size_out: u32,
    /// Bytes after which we want an acknowledgement, and give one unless the peer asks otherwise.
    pub window_ack: u32,
    /// Bytes the peer may have unacknowledged.
    pub peer_bandwidth: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            chunk_size_out: 65_536,
            window_ack: 2_500_000,
            peer_bandwidth: 2_500_000,
        }
    }
}

/// What the caller must do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Write these bytes to the peer.
    Send(Bytes),
    /// Something the peer wants or sends.
    Event(Event),
}

/// Something the peer wants or sends.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// `connect`: answer with [`Session::accept_connect`] or [`Session::refuse_connect`].
    Connect {
        /// Application, without its query and without slashes at either end.
        app: String,
        /// What followed the first `?` in the app.
        query: String,
        /// URL the peer dialled, as sent.
        tc_url: String,
        /// The peer's software, as sent.
        flash_ver: String,
        /// Codecs the peer can take, `*` for all: Enhanced RTMP `fourCcList`, and what `videoFourCcInfoMap` and
        /// `audioFourCcInfoMap` say can be decoded or forwarded. Empty when it sent none.
        fourcc: Vec<String>,
        /// Enhanced RTMP `capsEx`, bits of [`crate::caps_ex`].
        caps_ex: u32,
    },
    /// `publish`: answer with [`Session::accept_publish`] or [`Session::refuse_publish`].
    Publish {
        /// Stream name, any text at all: check it before it names anything.
        name: String,
        /// What followed the first `?` in the name.
        query: String,
    },
    /// `play`: answer with [`Session::accept_play`] or [`Session::refuse_play`].
    Play {
        /// Stream name, any text at all.
        name: String,
        /// What followed the first `?` in the name.
        query: String,
    },
    /// `onMetaData` of the published stream.
    Metadata(Metadata),
    /// Audio of the published stream.
    Audio {
        /// Absolute time, milliseconds, wraps at 2^32.
        timestamp_ms: u32,
        /// FLV audio tag body, never empty.
        body: Bytes,
    },
    /// Video of the published stream.
    Video {
        /// Absolute time (decode order), milliseconds, wraps at 2^32.
        timestamp_ms: u32,
        /// FLV video tag body, never empty.
        body: Bytes,
    },
    /// The publisher ended its stream, or took its request back before the answer.
    Unpublish,
    /// The player stopped, or took its request back before the answer.
    StopPlay,
}

/// Why a peer is sent away before it has said what it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectRefusal {
    /// It may not connect, or has to log in first (see [`crate::auth`]).
    Rejected,
    /// There is no such application.
    InvalidApp,
    /// The server is going down.
    Shutdown,
}

/// Why a publisher is sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublishRefusal {
    /// The name is taken or not allowed.
    BadName,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// A rule forbids it.
    Denied,
    /// The server cannot take it now.
    Failed,
}

/// News for a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlayStatus {
    /// A publisher has started.
    PublishNotify,
    /// The publisher has left; another may come.
    UnpublishNotify,
    /// The stream is over.
    Stop,
}

/// How far the connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Before the end of the handshake.
    Handshake,
    /// Waiting for `connect`.
    Connecting,
    /// `connect` waits for an answer.
    ConnectPending,
    /// Connected, neither publishing nor playing.
    Idle,
    /// `publish` waits for an answer.
    PublishPending,
    /// Media comes in.
    Publishing,
    /// `play` waits for an answer.
    PlayPending,
    /// Media may go out.
    Playing,
    /// Refused or failed: send what is queued, then close.
    Closed,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Connecting => "connecting",
            Self::ConnectPending => "connect pending",
            Self::Idle => "idle",
            Self::PublishPending => "publish pending",
            Self::Publishing => "publishing",
            Self::PlayPending => "play pending",
            Self::Playing => "playing",
            Self::Closed => "closed",
        }
    }
}

/// Progress of `connect`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Connect {
    Awaited,
    /// Holds the transaction id to answer.
    Pending(f64),
    Accepted,
    Refused,
}

/// What the peer does with its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    PublishPending,
    Publishing,
    PlayPending,
    Playing,
    /// The peer took its request back and the caller does not know yet.
    Cancelled,
}

/// State machine of one accepted connection. It holds no more than a few hundred bytes while the peer is
/// silent.
#[derive(Debug)]
pub struct Session {
    config: Config,
    /// `None` once it is over.
    handshake: Option<Handshake>,
    link: Link,
    connect: Connect,
    /// `capsEx` of a peer that speaks Enhanced RTMP.
    caps_ex: Option<u32>,
    stage: Stage,
    failed: bool,
    stream_id: u32,
    name: String,
    commands: u32,
    streams_created: u32,
    events: VecDeque<Event>,
}

impl Session {
    /// Starts with the handshake. `nonce` is fresh randomness.
    #[must_use]
    pub fn new(config: Config, nonce: [u8; NONCE_LEN]) -> Self {
        Self {
            config,
            handshake: Some(Handshake::server(nonce)),
            link: Link::new(config.limits, config.window_ack),
            connect: Connect::Awaited,
            caps_ex: None,
            stage: Stage::Idle,
            failed: false,
            stream_id: 0,
            name: String::new(),
            commands: 0,
            streams_created: 0,
            events: VecDeque::new(),
        }
    }

    /// Takes bytes from the peer, in any split. `now_ms` is milliseconds since the connection was accepted.
    /// Poll until `None` afterwards.
    ///
    /// # Errors
    ///
    /// [`Error`]: the peer broke the protocol or passed a limit. Send what [`Session::poll`] still gives,
    /// then drop the connection.
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
        if let Some(bytes) = self.link.take_out() {
            return Some(Output::Send(bytes));
        }
        let event = self.events.pop_front();
        if event.is_none() && self.events.capacity() > EVENTS_KEPT {
            self.events = VecDeque::new();
        }
        if matches!(event, Some(Event::Unpublish | Event::StopPlay)) && self.stage == Stage::Cancelled {
            self.stage = Stage::Idle;
        }
        event.map(Output::Event)
    }

    /// Bytes to send and nothing else: events stay in their order for the next [`Session::poll`].
    pub fn poll_send(&mut self) -> Option<Bytes> {
        self.link.take_out()
    }

    /// How far the connection has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match (self.connect, self.stage) {
            _ if self.failed => Phase::Closed,
            (Connect::Refused, _) => Phase::Closed,
            _ if self.handshake.is_some() => Phase::Handshake,
            (Connect::Awaited, _) => Phase::Connecting,
            (Connect::Pending(_), _) => Phase::ConnectPending,
            (Connect::Accepted, Stage::Idle | Stage::Cancelled) => Phase::Idle,
            (Connect::Accepted, Stage::PublishPending) => Phase::PublishPending,
            (Connect::Accepted, Stage::Publishing) => Phase::Publishing,
            (Connect::Accepted, Stage::PlayPending) => Phase::PlayPending,
            (Connect::Accepted, Stage::Playing) => Phase::Playing,
        }
    }

    /// Message stream id of the last publish or play request; pass it to [`media_message`] for a player.
    #[must_use]
    pub fn stream_id(&self) -> u32 {
        self.stream_id
    }

    fn consume(&mut self, now_ms: u32, mut input: &[u8]) -> Result<(), Error> {
        while let Some(handshake) = &mut self.handshake {
            match handshake.advance(now_ms, &mut input)? {
                Step::More => return Ok(()),
                Step::Send(bytes) => self.link.raw(&bytes),
                Step::Done => self.handshake = None,
            }
        }
        // a refused peer is only waiting to be closed: nothing it still says counts
        while self.connect != Connect::Refused
            && let Some(incoming) = self.link.next(&mut input)?
        {
            if let Incoming::Message(message) = incoming {
                self.message(message)?;
            }
        }
        Ok(())
    }

    fn message(&mut self, message: Message) -> Result<(), Error> {
        match message.kind {
            kind::COMMAND_AMF0 | kind::COMMAND_AMF3 => self.command(&message),
            kind::AGGREGATE if self.takes_media() => {
                for part in message::split_aggregate(&message)? {
                    self.media(part)?;
                }
                Ok(())
            }
            _ => self.media(message),
        }
    }

    /// Queues media of the published stream. Everything else is what a peer sends late or for nothing.
    fn media(&mut self, message: Message) -> Result<(), Error> {
        if !self.takes_media() || message.body.is_empty() {
            return Ok(());
        }
        let Message { kind, timestamp_ms, ref body, .. } = message;
        let event = match kind {
            kind::AUDIO => Event::Audio { timestamp_ms, body: body.clone() },
            kind::VIDEO => Event::Video { timestamp_ms, body: body.clone() },
            kind::DATA_AMF0 | kind::DATA_AMF3 => match Metadata::parse(&message)? {
                Some(metadata) => Event::Metadata(metadata),
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        self.events.push_back(event);
        Ok(())
    }

    fn takes_media(&self) -> bool {
        matches!(self.stage, Stage::PublishPending | Stage::Publishing)
    }
}

#[cfg(test)]
mod tests;
