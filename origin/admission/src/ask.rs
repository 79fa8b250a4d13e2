//! The question: who wants to do what with which stream.

use std::fmt::Write as _;
use std::net::IpAddr;

use nx_media::StreamKey;
use serde::{Deserialize, Serialize};

use crate::Secret;

/// What a peer wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Send the stream.
    Publish,
    /// Receive the stream.
    Play,
}

/// The protocol it came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RTMP.
    Rtmp,
    /// RTMP over TLS.
    Rtmps,
    /// SRT.
    Srt,
    /// A source that this server fetches itself, because its operator said so.
    Pull,
}

impl Protocol {
    /// The name as in logs and the hook's question.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Rtmps => "rtmps",
            Self::Srt => "srt",
            Self::Pull => "pull",
        }
    }
}

/// Which of a stream's two inputs a publisher feeds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// The one on air while it is there.
    #[default]
    Primary,
    /// The one that stands by.
    Backup,
}

impl Input {
    /// The name as in configuration and queries.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Backup => "backup",
        }
    }
}

/// A request for admission.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The stream.
    pub stream: StreamKey,
    /// What is wanted.
    pub action: Action,
    /// How the peer came.
    pub protocol: Protocol,
    /// Its address.
    pub peer: IpAddr,
    /// A stream key, or the password of [`user`](Self::user).
    pub key: Option<Secret>,
    /// A signed token.
    pub token: Option<Secret>,
    /// A user name; only the hook makes something of it.
    pub user: Option<String>,
    /// The input that the peer named.
    pub input: Option<Input>,
    /// The peer's software, as it calls itself.
    pub client: String,
}

impl Ask {
    /// An ask without credentials.
    #[must_use]
    pub fn new(stream: StreamKey, action: Action, protocol: Protocol, peer: IpAddr) -> Self {
        Self {
            stream,
            action,
            protocol,
            peer,
            key: None,
            token: None,
            user: None,
            input: None,
            client: String::new(),
        }
    }

    /// An ask with what the queries say, as `key=…&token=…&input=backup` or `user=…&pass=…`. Encoders put them
    /// behind the stream name (OBS: stream key `show?key=…`) or behind the application; the stream's query wins.
    /// `%XX` is decoded, `+` is a plus: keys are often pasted as they are.
    #[must_use]
    pub fn from_query(
        stream: StreamKey,
        action: Action,
        protocol: Protocol,
        peer: IpAddr,
        name_query: &str,
        app_query: &str,
    ) -> Self {
        let mut ask = Self::new(stream, action, protocol, peer);
        for query in [name_query, app_query] {
            for pair in query.trim_start_matches('?').split('&') {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                ask.set(name, &percent_decoded(value));
            }
        }
        ask
    }

    /// Notes one named value, unless it is empty or was given before; what has another name is passed over. Also
    /// for the fields of an SRT stream id, whose user is `u`.
    pub fn set(&mut self, name: &str, value: &str) {
        fn once<T>(place: &mut Option<T>, value: T) {
            place.get_or_insert(value);
        }
        match name {
            _ if value.is_empty() => {}
            "key" | "pass" => once(&mut self.key, Secret::new(value)),
            "token" => once(&mut self.token, Secret::new(value)),
            "user" | "u" => once(&mut self.user, value.to_owned()),
            "input" if value == "primary" => once(&mut self.input, Input::Primary),
            "input" if value == "backup" => once(&mut self.input, Input::Backup),
            _ => {}
        }
    }
}

/// Undoes `%XX`; a percent sign that begins nothing of the kind stays.
#[must_use]
pub fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = |b: &u8| char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let escape = match (first, tail) {
            (b'%', [high, low, ..]) => hex(high).zip(hex(low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        bytes.push(escape.unwrap_or(first));
        rest = tail.get(if escape.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
