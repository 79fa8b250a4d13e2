//! Puts messages back together from chunks, straight from the bytes as they were read.

use bytes::Bytes;

use super::header::{self, Fields, HEADER_LEN_MAX, Header};
use super::{CHUNK_SIZE_DEFAULT, ChunkError, ChunkFault, MESSAGE_LEN_MAX, Message};
use crate::Limits;
use crate::message::kind;

/// First allocation for a message body; it then grows as bytes really come.
const FIRST_ALLOCATION: usize = 64 << 10;
/// A format 3 header that opens a message right after a format 0 one adds that one's time once more, as the
/// spec says and ffmpeg, GStreamer and SRS do. Past this many milliseconds the sum would be absurd and the
/// sender is a librtmp, which means "the same time again".
const REPEATED_TIME_MS_MAX: u32 = 1000;

/// Reader half of one connection.
///
/// Message bodies are copied once, from the input into their buffer; only an incomplete header is kept aside.
#[derive(Debug)]
pub struct ChunkReader {
    limits: Limits,
    chunk_size: u32,
    /// Media may come: before, every message is held to the command limit.
    media: bool,
    lanes: Vec<Lane>,
    /// Lane of the current chunk, and its bytes still to come.
    current: usize,
    chunk_left: u32,
    /// Bytes taken from the input that are not parsed yet.
    stash: [u8; HEADER_LEN_MAX],
    stash_len: usize,
    /// The peer leaves the extended time out of format 3 headers.
    bare_omits_time: bool,
    pending: usize,
    offset: u64,
}

/// State of one chunk stream.
#[derive(Debug)]
struct Lane {
    csid: u32,
    kind: u8,
    stream_id: u32,
    len: u32,
    time: u32,
    /// What a format 3 header that opens a message adds to `time`.
    delta: u32,
    /// The 32-bit time field of the last header that had one.
    extended: Option<u32>,
    /// Bytes the unfinished message still misses; 0 when there is none.
    missing: u32,
    body: Vec<u8>,
}

/// What the bytes at hand allow.
enum Found {
    CutOff,
    Header(Header, usize),
}

impl ChunkReader {
    /// Starts with chunks of [`CHUNK_SIZE_DEFAULT`] bytes and the command limit for every message.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            chunk_size: CHUNK_SIZE_DEFAULT,
            media: false,
            lanes: vec![],
            current: 0,
            chunk_left: 0,
            stash: [0; HEADER_LEN_MAX],
            stash_len: 0,
            bare_omits_time: false,
            pending: 0,
            offset: 0,
        }
    }

    /// From now on audio, video and aggregates may have `message_bytes_max` bytes.
    pub fn allow_media(&mut self) {
        self.media = true;
    }

    /// Bytes held for unfinished messages.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.pending
    }

    /// Consumes from the front of `input`, in any split, up to the end of the next message. `None` means the
    /// input is used up. Set Chunk Size and Abort are carried out here and not returned.
    ///
    /// # Errors
    ///
    /// [`ChunkError`]: the reader has lost its place and the connection must be dropped.
    ///
    /// Spec: RTMP §5.3.1.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, ChunkError> {
        loop {
            if self.chunk_left == 0 {
                let start = self.offset;
                let Some(header) = self.next_header(input) else { return Ok(None) };
                self.open_chunk(header).map_err(|fault| ChunkError { offset: start, fault })?;
            } else if !self.read_payload(input) {
                return Ok(None);
            }
            if let Some(message) = self.finished() {
                let offset = self.offset;
                if !self.control(&message).map_err(|fault| ChunkError { offset, fault })? {
                    return Ok(Some(message));
                }
            }
        }
    }

    /// Parses one header out of stash and input. When it is cut off, all of the input goes to the stash.
    fn next_header(&mut self, input: &mut &[u8]) -> Option<Header> {
        let mut window = self.stash;
        let room = window.get_mut(self.stash_len..).unwrap_or_default();
        let fresh = room.len().min(input.len());
        for (to, from) in room.iter_mut().zip(input.iter()) {
            *to = *from;
        }
        let seen = self.stash_len + fresh;
        match self.find_header(window.get(..seen).unwrap_or_default()) {
            Found::CutOff => {
                self.stash = window;
                self.stash_len = seen;
                advance(input, fresh);
                None
            }
            Found::Header(header, len) => {
                self.offset += len as u64;
                if len >= self.stash_len {
                    advance(input, len - self.stash_len);
                    self.stash_len = 0;
                } else {
                    self.drop_stash(len);
                }
                Some(header)
            }
        }
    }

    fn find_header(&mut self, window: &[u8]) -> Found {
        let Some(header) = header::parse(window) else { return Found::CutOff };
        let lane = self.lanes.iter().find(|lane| lane.csid == header.csid);
        let (Fields::Bare, Some(lane), false) = (header.fields, lane, self.bare_omits_time) else {
            return Found::Header(header, header.len);
        };
        let Some(field) = lane.extended else { return Found::Header(header, header.len) };
        // ffmpeg and OBS repeat the field here, others go on with the payload: only the bytes can tell
        let next = window.get(header.len..).unwrap_or_default();
        let next = next.get(..4).unwrap_or(next);
        if !field.to_be_bytes().starts_with(next) && !lane.time.to_be_bytes().starts_with(next) {
            self.bare_omits_time = true;
            Found::Header(header, header.len)
        } else if next.len() < 4 {
            Found::CutOff
        } else {
            Found::Header(header, header.len + 4)
        }
    }

    fn drop_stash(&mut self, len: usize) {
        self.stash.copy_within(len.min(HEADER_LEN_MAX).., 0);
        self.stash_len = self.stash_len.saturating_sub(len);
    }

    /// Gives the header its meaning and starts the chunk, and the message where it opens one.
    fn open_chunk(&mut self, header: Header) -> Result<(), ChunkFault> {
        let index = self.lane(header)?;
        let bounds = (self.limits, self.media);
        let Some(lane) = self.lanes.get_mut(index) else { return Ok(()) };
        if lane.missing == 0 {
            lane.open_message(header);
            lane.check_len(bounds)?;
            lane.missing = lane.len;
        } else if header.fields != Fields::Bare {
            return Err(ChunkFault::Unfinished { csid: lane.csid, missing: lane.missing });
        }
        self.current = index;
        self.chunk_left = lane.missing.min(self.chunk_size);
        let got = self.pending.saturating_add(to_usize(self.chunk_left));
        let max = self.limits.pending_bytes_max;
        if got > max { Err(ChunkFault::Pending { got, max }) } else { Ok(()) }
    }

    fn lane(&mut self, header: Header) -> Result<usize, ChunkFault> {
        let csid = header.csid;
        if let Some(index) = self.lanes.iter().position(|lane| lane.csid == csid) {
            return Ok(index);
        }
        match header.fields {
            Fields::Full { .. } | Fields::Medium { .. } => {}
            Fields::Short { .. } => return Err(ChunkFault::NoContext { csid, format: 2 }),
            Fields::Bare => return Err(ChunkFault::NoContext { csid, format: 3 }),
        }
        let max = self.limits.chunk_streams_max;
        if self.lanes.len() >= max {
            return Err(ChunkFault::ChunkStreams { csid, max });
        }
        self.lanes.push(Lane::new(csid));
        Ok(self.lanes.len() - 1)
    }

    /// Moves payload bytes into the current message; `false` when there are none at hand.
    fn read_payload(&mut self, input: &mut &[u8]) -> bool {
        let Some(lane) = self.lanes.get_mut(self.current) else { return false };
        let want = to_usize(self.chunk_left);
        let taken = if self.stash_len > 0 {
            let len = want.min(self.stash_len);
            lane.append(self.stash.get(..len).unwrap_or_default());
            self.drop_stash(len);
            len
        } else {
            let len = want.min(input.len());
            lane.append(input.get(..len).unwrap_or_default());
            advance(input, len);
            len
        };
        self.pending += taken;
        self.offset += taken as u64;
        self.chunk_left -= u32::try_from(taken).unwrap_or(self.chunk_left);
        taken > 0
    }

    /// The current message, when its last byte has come.
    fn finished(&mut self) -> Option<Message> {
        let lane = self.lanes.get_mut(self.current)?;
        if lane.missing > 0 {
            return None;
        }
        let body = Bytes::from(std::mem::take(&mut lane.body));
        self.pending -= body.len();
        Some(Message { kind: lane.kind, timestamp_ms: lane.time, stream_id: lane.stream_id, body })
    }

    /// Carries out the messages that change how chunks are read; `false` for all others.
    fn control(&mut self, message: &Message) -> Result<bool, ChunkFault> {
        if !matches!(message.kind, kind::SET_CHUNK_SIZE | kind::ABORT) {
            return Ok(false);
        }
        let Some(&value) = message.body.first_chunk::<4>() else {
            return Err(ChunkFault::ShortControl { kind: message.kind, got: message.body.len() });
        };
        let value = u32::from_be_bytes(value);
        if message.kind == kind::ABORT {
            if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.csid == value) {
                lane.missing = 0;
                self.pending -= std::mem::take(&mut lane.body).len();
            }
            return Ok(true);
        }
        let max = self.limits.chunk_size_max;
        if value == 0 || value > 0x7FFF_FFFF || value.min(MESSAGE_LEN_MAX) > max {
            return Err(ChunkFault::ChunkSize { got: value, max });
        }
        self.chunk_size = value.min(MESSAGE_LEN_MAX);
        Ok(true)
    }
}

impl Lane {
    fn new(csid: u32) -> Self {
        Self {
            csid,
            kind: 0,
            stream_id: 0,
            len: 0,
            time: 0,
            delta: 0,
            extended: None,
            missing: 0,
            body: vec![],
        }
    }

    fn open_message(&mut self, header: Header) {
        match header.fields {
            Fields::Full { time, len, kind, stream_id } => {
                self.time = time;
                self.delta = if time <= REPEATED_TIME_MS_MAX { time } else { 0 };
                self.extended = header.extended.then_some(time);
                (self.len, self.kind, self.stream_id) = (len, kind, stream_id);
            }
            Fields::Medium { delta, len, kind } => {
                self.add(delta, header.extended);
                (self.len, self.kind) = (len, kind);
            }
            Fields::Short { delta } => self.add(delta, header.extended),
            Fields::Bare => self.time = self.time.wrapping_add(self.delta),
        }
    }

    fn add(&mut self, delta: u32, extended: bool) {
        self.time = self.time.wrapping_add(delta);
        self.delta = delta;
        self.extended = extended.then_some(delta);
    }

    fn check_len(&self, (limits, media): (Limits, bool)) -> Result<(), ChunkFault> {
        let is_media = matches!(self.kind, kind::AUDIO | kind::VIDEO | kind::AGGREGATE);
        let max = if media && is_media { limits.message_bytes_max } else { limits.command_bytes_max };
        if to_usize(self.len) > max {
            return Err(ChunkFault::MessageLength {
                csid: self.csid,
                kind: self.kind,
                claimed: self.len,
                max,
            });
        }
        Ok(())
    }

    /// Adds bytes of the body; never more than are missing. The buffer ends up exactly as long as the body.
    fn append(&mut self, bytes: &[u8]) {
        let (used, whole) = (self.body.len(), to_usize(self.len));
        let needed = used + bytes.len();
        if needed > self.body.capacity() {
            let target = whole.min(needed.max(FIRST_ALLOCATION).max(self.body.capacity() * 2));
            self.body.reserve_exact(target.saturating_sub(used));
        }
        self.body.extend_from_slice(bytes);
        self.missing = self.missing.saturating_sub(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    }
}

fn advance(input: &mut &[u8], len: usize) {
    *input = input.get(len..).unwrap_or_default();
}

fn to_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
