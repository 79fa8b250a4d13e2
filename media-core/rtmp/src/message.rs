//! Messages above the chunk stream: type ids, control messages, commands, metadata and aggregates.
//!
//! Spec: RTMP §5.4, §6.2, §7.1.

use bytes::Bytes;

use crate::amf0::{self, Decoder, Properties, Value};
use crate::chunk::Message;
use crate::{Error, Limits};

/// Message type ids (RTMP §5.4, §7.1).
pub mod kind {
    #![expect(missing_docs, reason = "the names are those of the specification")]
    pub const SET_CHUNK_SIZE: u8 = 1;
    pub const ABORT: u8 = 2;
    pub const ACKNOWLEDGEMENT: u8 = 3;
    pub const USER_CONTROL: u8 = 4;
    pub const WINDOW_ACK_SIZE: u8 = 5;
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    pub const AUDIO: u8 = 8;
    pub const VIDEO: u8 = 9;
    pub const DATA_AMF3: u8 = 15;
    pub const COMMAND_AMF3: u8 = 17;
    pub const DATA_AMF0: u8 = 18;
    pub const COMMAND_AMF0: u8 = 20;
    pub const AGGREGATE: u8 = 22;
}

/// Chunk streams we write on.
pub mod csid {
    #![expect(missing_docs, reason = "each name says what it carries")]
    pub const CONTROL: u8 = 2;
    pub const COMMAND: u8 = 3;
    pub const AUDIO: u8 = 4;
    pub const DATA: u8 = 5;
    pub const VIDEO: u8 = 6;
}

/// User control event types (RTMP §7.1.7).
pub mod user_control {
    #![expect(missing_docs, reason = "the names are those of the specification")]
    pub const STREAM_BEGIN: u16 = 0;
    pub const STREAM_EOF: u16 = 1;
    pub const SET_BUFFER_LENGTH: u16 = 3;
    pub const PING_REQUEST: u16 = 6;
    pub const PING_RESPONSE: u16 = 7;
}

/// A control message the sessions act on; Set Chunk Size and Abort end in the chunk reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Bytes the peer has received so far, modulo 2^32.
    Acknowledgement(u32),
    /// The peer wants an acknowledgement each time it has sent this many bytes.
    WindowAckSize(u32),
    /// The peer asks us to announce this window, bytes.
    SetPeerBandwidth(u32),
    /// Event type and its first value.
    User(u16, u32),
}

impl Control {
    /// Reads a message of type 3 to 6; `None` for every other type.
    ///
    /// # Errors
    ///
    /// [`Error::ShortMessage`].
    pub fn parse(message: &Message) -> Result<Option<Self>, Error> {
        use self::kind::{ACKNOWLEDGEMENT, SET_PEER_BANDWIDTH, USER_CONTROL, WINDOW_ACK_SIZE};
        let (kind, body) = (message.kind, &message.body);
        let short = |expected| Error::ShortMessage { kind, expected, got: body.len() };
        let value = || body.first_chunk::<4>().map(|b| u32::from_be_bytes(*b)).ok_or(short(4));
        Ok(Some(match kind {
            ACKNOWLEDGEMENT => Self::Acknowledgement(value()?),
            WINDOW_ACK_SIZE => Self::WindowAckSize(value()?),
            SET_PEER_BANDWIDTH => Self::SetPeerBandwidth(value()?),
            USER_CONTROL => {
                let (event, rest) = body.split_first_chunk::<2>().ok_or(short(2))?;
                // events of later players carry less than four bytes of value
                let value = rest.first_chunk::<4>().map_or(0, |b| u32::from_be_bytes(*b));
                Self::User(u16::from_be_bytes(*event), value)
            }
            _ => return Ok(None),
        }))
    }
}

/// A command message taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// What to do.
    pub name: String,
    /// Ties an answer to its call; 0 wants none.
    pub transaction: f64,
    /// Command object, usually null.
    pub object: Value,
    /// What follows the object.
    pub args: Vec<Value>,
}

impl Command {
    /// Reads a message of type 20, or of type 17 with its leading zero byte.
    ///
    /// # Errors
    ///
    /// [`Error::Amf`], [`Error::NamelessCommand`].
    ///
    /// Spec: RTMP §7.1.1.
    pub fn parse(message: &Message) -> Result<Self, Error> {
        let (body, _) = amf0_part(message);
        let values = amf0::decode_all(body).map_err(|source| Error::Amf { kind: message.kind, source })?;
        let mut values = values.into_iter();
        let Some(Value::String(name)) = values.next() else { return Err(Error::NamelessCommand) };
        let transaction = values.next().and_then(|v| v.as_number()).unwrap_or(0.0);
        Ok(Self { name, transaction, object: values.next().unwrap_or(Value::Null), args: values.collect() })
    }

    /// Text argument `index`, counted after the command object.
    #[must_use]
    pub fn text(&self, index: usize) -> Option<&str> {
        self.args.get(index)?.as_str()
    }
}

/// Longest language tag taken from metadata, bytes (RFC 5646 §4.4.1).
pub const LANGUAGE_LEN_MAX: usize = 35;

/// Stream metadata, as an encoder sends it.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    /// Time of the message, milliseconds.
    pub timestamp_ms: u32,
    /// Properties of the metadata object.
    pub fields: Properties,
    /// AMF0 bytes `"onMetaData"` and the object, as received: the payload of a data message for players.
    pub body: Bytes,
}

impl Metadata {
    /// Reads `onMetaData`, or `@setDataFrame` around it, from a message of type 18 or 15. `None` for other
    /// data messages.
    ///
    /// # Errors
    ///
    /// [`Error::Amf`].
    pub fn parse(message: &Message) -> Result<Option<Self>, Error> {
        let (bytes, skipped) = amf0_part(message);
        let amf = |source| Error::Amf { kind: message.kind, source };
        let mut decoder = Decoder::new(bytes);
        let mut start = 0;
        let mut name = decoder.value().map_err(amf)?;
        if name.as_ref().and_then(Value::as_str) == Some("@setDataFrame") {
            start = decoder.offset();
            name = decoder.value().map_err(amf)?;
        }
        if name.as_ref().and_then(Value::as_str) != Some("onMetaData") {
            return Ok(None);
        }
        let Some(Value::Object(fields) | Value::EcmaArray(fields)) = decoder.value().map_err(amf)? else {
            return Ok(None);
        };
        let body = message.body.slice(skipped + start..skipped + decoder.offset());
        Ok(Some(Self { timestamp_ms: message.timestamp_ms, fields, body }))
    }

    /// Language of a track, as the encoder wrote it: property `language` or `lang` of the track's entry in
    /// `audioTrackIdInfoMap` (or `videoTrackIdInfoMap`), for track 0 also of the metadata itself. `None` when it
    /// is empty or longer than [`LANGUAGE_LEN_MAX`].
    ///
    /// Spec: Enhanced RTMP v2, "Enhancing onMetaData".
    #[must_use]
    pub fn track_language(&self, audio: bool, track: u8) -> Option<String> {
        let map = self.field(if audio { "audioTrackIdInfoMap" } else { "videoTrackIdInfoMap" });
        let entry = map.and_then(|map| map.property(&track.to_string()));
        let own = ["language", "lang"].map(|name| entry.and_then(|entry| entry.property(name)));
        let shared = ["language", "lang"].map(|name| self.field(name).filter(|_| track == 0));
        let texts = own.into_iter().chain(shared).flatten().filter_map(Value::as_str);
        let mut texts = texts.filter(|text| !text.is_empty() && text.len() <= LANGUAGE_LEN_MAX);
        texts.next().map(str::to_owned)
    }

    /// First property called `name`.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }
}

/// The AMF0 part of a command or data message and the bytes before it: AMF3 messages start with a zero byte
/// and then, as every encoder writes them, AMF0 follows.
fn amf0_part(message: &Message) -> (&[u8], usize) {
    match message.body.split_first() {
        Some((0, rest)) if matches!(message.kind, kind::COMMAND_AMF3 | kind::DATA_AMF3) => (rest, 1),
        _ => (&message.body, 0),
    }
}

/// Splits an aggregate into its messages; their times are moved so that the first has the aggregate's time.
/// Parts that are neither audio, video nor data are left out.
///
/// # Errors
///
/// [`Error::ShortMessage`] when a part is cut off.
///
/// Spec: RTMP §7.1.6.
pub fn split_aggregate(message: &Message) -> Result<Vec<Message>, Error> {
    let mut out = vec![];
    let mut base = None;
    let mut at = 0;
    while let Some(tag) = message.body.get(at..).filter(|rest| !rest.is_empty()) {
        let short = |expected| Error::ShortMessage { kind: message.kind, expected, got: message.body.len() };
        let &[kind, l2, l1, l0, t2, t1, t0, t3, _, _, _, ..] = tag else { return Err(short(at + 11)) };
        let len = usize::try_from(u32::from_be_bytes([0, l2, l1, l0])).unwrap_or(usize::MAX);
        let time = u32::from_be_bytes([t3, t2, t1, t0]);
        let (start, end) = (at + 11, at + 11 + len);
        if message.body.len() < end {
            return Err(short(end));
        }
        at = end + 4; // the size of the tag once more; the last one may be left out
        let base = *base.get_or_insert(time);
        if matches!(kind, kind::AUDIO | kind::VIDEO | kind::DATA_AMF0 | kind::DATA_AMF3) {
            out.push(Message {
                kind,
                timestamp_ms: message.timestamp_ms.wrapping_add(time.wrapping_sub(base)),
                stream_id: message.stream_id,
                body: message.body.slice(start..end),
            });
        }
    }
    Ok(out)
}

/// Splits `name?query` at its first question mark.
///
/// # Errors
///
/// [`Error::TooLong`] past `name_bytes_max`; `what` names the field.
pub(crate) fn split_query(
    what: &'static str,
    text: &str,
    limits: &Limits,
) -> Result<(String, String), Error> {
    check_len(what, text, limits)?;
    let (name, query) = text.split_once('?').unwrap_or((text, ""));
    Ok((name.to_owned(), query.to_owned()))
}

pub(crate) fn check_len(what: &'static str, text: &str, limits: &Limits) -> Result<(), Error> {
    let (got, max) = (text.len(), limits.name_bytes_max);
    if got > max { Err(Error::TooLong { what, got, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
