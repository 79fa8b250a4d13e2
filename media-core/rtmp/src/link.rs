//! What both sessions share: the two chunk halves, acknowledgements and pings.

use bytes::{BufMut, Bytes, BytesMut};

use crate::amf0::{self, Value};
use crate::chunk::{ChunkReader, ChunkWriter, Message};
use crate::message::{Control, csid, kind, user_control};
use crate::{Error, Limits};

/// Acknowledgements come at most this often, whatever the peer asks for, bytes.
const WINDOW_MIN: u32 = 4096;

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) reader: ChunkReader,
    writer: ChunkWriter,
    out: BytesMut,
    /// Chunk stream bytes received, modulo 2^32 like the acknowledgement itself.
    received: u32,
    acknowledged: u32,
    /// Bytes after which the peer expects an acknowledgement.
    window: u32,
    /// The window we announced last.
    announced: Option<u32>,
}

impl Link {
    pub(crate) fn new(limits: Limits, window: u32) -> Self {
        Self {
            reader: ChunkReader::new(limits),
            writer: ChunkWriter::default(),
            out: BytesMut::new(),
            received: 0,
            acknowledged: 0,
            window: window.max(WINDOW_MIN),
            announced: None,
        }
    }

    /// The next message that is no control message, out of the front of `input`. `None` when it is used up.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Incoming>, Error> {
        loop {
            let before = input.len();
            let read = self.reader.read(input);
            let taken = u32::try_from(before - input.len()).unwrap_or(u32::MAX);
            self.received = self.received.wrapping_add(taken);
            let Some(message) = read? else { return Ok(None) };
            match Control::parse(&message)? {
                None => return Ok(Some(Incoming::Message(message))),
                Some(Control::User(user_control::STREAM_EOF, _)) => return Ok(Some(Incoming::Eof)),
                Some(Control::User(user_control::PING_REQUEST, time)) => {
                    self.user_control(user_control::PING_RESPONSE, time);
                }
                Some(Control::WindowAckSize(window)) if window > 0 => self.window = window.max(WINDOW_MIN),
                Some(Control::SetPeerBandwidth(window)) if self.announced != Some(window) => {
                    self.window_ack_size(window);
                }
                Some(_) => {}
            }
        }
    }

    /// Writes an acknowledgement when the peer's window is used up; call it once per input.
    pub(crate) fn acknowledge(&mut self) {
        if self.received.wrapping_sub(self.acknowledged) >= self.window {
            self.acknowledged = self.received;
            self.control(kind::ACKNOWLEDGEMENT, &self.received.to_be_bytes());
        }
    }

    /// What was written since the last call.
    pub(crate) fn take_out(&mut self) -> Option<Bytes> {
        if self.out.is_empty() { None } else { Some(std::mem::take(&mut self.out).freeze()) }
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }

    pub(crate) fn set_chunk_size(&mut self, size: u32) {
        let size = size.clamp(1, crate::chunk::MESSAGE_LEN_MAX);
        self.control(kind::SET_CHUNK_SIZE, &size.to_be_bytes());
        self.writer = ChunkWriter::new(size);
    }

    pub(crate) fn window_ack_size(&mut self, window: u32) {
        self.announced = Some(window);
        self.control(kind::WINDOW_ACK_SIZE, &window.to_be_bytes());
    }

    /// Asks the peer to announce `window`; the limit type is "dynamic".
    pub(crate) fn peer_bandwidth(&mut self, window: u32) {
        let [a, b, c, d] = window.to_be_bytes();
        self.control(kind::SET_PEER_BANDWIDTH, &[a, b, c, d, 2]);
    }

    pub(crate) fn user_control(&mut self, event: u16, value: u32) {
        let ([a, b], [c, d, e, f]) = (event.to_be_bytes(), value.to_be_bytes());
        self.control(kind::USER_CONTROL, &[a, b, c, d, e, f]);
    }

    /// Tells the server how much the player buffers, milliseconds.
    pub(crate) fn set_buffer_length(&mut self, stream_id: u32, buffer_ms: u32) {
        let mut body = user_control::SET_BUFFER_LENGTH.to_be_bytes().to_vec();
        body.extend(stream_id.to_be_bytes());
        body.extend(buffer_ms.to_be_bytes());
        self.control(kind::USER_CONTROL, &body);
    }

    pub(crate) fn command(&mut self, stream_id: u32, values: &[Value]) {
        let body = amf0::encode_all(values);
        self.writer.write(&mut self.out, csid::COMMAND, kind::COMMAND_AMF0, 0, stream_id, &[&body]);
    }

    pub(crate) fn data(&mut self, stream_id: u32, values: &[Value]) {
        let body = amf0::encode_all(values);
        self.writer.write(&mut self.out, csid::DATA, kind::DATA_AMF0, 0, stream_id, &[&body]);
    }

    fn control(&mut self, kind: u8, body: &[u8]) {
        self.writer.write(&mut self.out, csid::CONTROL, kind, 0, 0, &[body]);
    }
}

/// What the link hands up.
#[derive(Debug)]
pub(crate) enum Incoming {
    Message(Message),
    /// The peer says that the stream is over.
    Eof,
}

/// An object literal.
pub(crate) fn object(fields: &[(&str, Value)]) -> Value {
    Value::Object(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

/// The information object of `onStatus`, `_result` and `_error`.
pub(crate) fn status(level: &str, code: &str, description: &str) -> Value {
    object(&[("level", level.into()), ("code", code.into()), ("description", description.into())])
}
