//! Frames that come.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::Bytes;
use http::StatusCode;

use super::stream::{Stream, Upload, WINDOW, WINDOW_MAX};
use super::{Credit, Event, Server, Wrong, fault};
use crate::draft::{Draft, Flaw, Whole};
use crate::frame::{self, HEAD_LEN, Head, PAYLOAD_MAX, Reason};
use crate::out::Out;
use crate::patience::Patience;

/// What a client says first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a head before it is read, for each byte that its fields may count: a code may make a byte of four.
const BLOCK_RATIO: usize = 2;
/// Frames that a head may go on in.
const CONTINUATIONS_MAX: u32 = 8;

const TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
pub(super) const STREAMS_MAX: u16 = 3;
const WINDOW_NEW: u16 = 4;
const FRAME_MAX: u16 = 5;
pub(super) const FIELDS_MAX: u16 = 6;

/// A whole one; its payload lies where it was read, if it was read in one piece.
type Frame<'a> = (Head, Cow<'a, [u8]>);

/// What was read and is not whole.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Bytes of the preface so far.
    preface: usize,
    /// The first SETTINGS were there.
    greeted: bool,
    /// The beginning of a frame; no longer than that frame.
    rest: Vec<u8>,
    block: Option<Block>,
}

/// A head that goes on in another frame.
#[derive(Debug)]
struct Block {
    stream: u32,
    last: bool,
    bytes: Vec<u8>,
    continuations: u32,
}

impl Reading {
    pub(super) fn is_partial(&self) -> bool {
        !self.greeted || !self.rest.is_empty() || self.block.is_some()
    }

    /// The next frame, when it is whole.
    fn frame<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Frame<'a>>, Wrong> {
        while self.preface < PREFACE.len() {
            let Some((byte, rest)) = input.split_first() else { return Ok(None) };
            if PREFACE.get(self.preface) != Some(byte) {
                return fault(Reason::ProtocolError, "it does not begin like HTTP/2");
            }
            self.preface += 1;
            *input = rest;
        }
        if self.rest.is_empty()
            && let Some((head, rest)) = input.split_first_chunk()
        {
            let head = checked(Head::read(*head))?;
            if let Some((payload, rest)) = rest.split_at_checked(head.len) {
                *input = rest;
                return Ok(Some((head, Cow::Borrowed(payload))));
            }
        }
        self.fill(HEAD_LEN, input);
        let Some(head) = self.rest.first_chunk() else { return Ok(None) };
        let head = checked(Head::read(*head))?;
        self.fill(HEAD_LEN + head.len, input);
        if self.rest.len() < HEAD_LEN + head.len {
            return Ok(None);
        }
        let payload = std::mem::take(&mut self.rest).split_off(HEAD_LEN);
        Ok(Some((head, Cow::Owned(payload))))
    }

    /// Moves bytes to what is not whole until it has this length.
    fn fill(&mut self, len: usize, input: &mut &[u8]) {
        let more = len.saturating_sub(self.rest.len()).min(input.len());
        let (now, later) = input.split_at(more);
        self.rest.extend_from_slice(now);
        *input = later;
    }
}

fn checked(head: Head) -> Result<Head, Wrong> {
    if head.len > PAYLOAD_MAX {
        return fault(Reason::FrameSizeError, "a frame is longer than 16 KiB");
    }
    Ok(head)
}

fn size(right: bool) -> Result<(), Wrong> {
    if right {
        Ok(())
    } else {
        fault(Reason::FrameSizeError, "a frame has a length that its kind cannot have")
    }
}

fn protocol(right: bool, why: &'static str) -> Result<(), Wrong> {
    if right { Ok(()) } else { fault(Reason::ProtocolError, why) }
}

const NOT_OPENED: &str = "a frame is for a stream that was not opened";
const OF_CONNECTION: &str =
    "a frame is for a stream and should be for the connection, or the other way round";

impl Server {
    /// Reads a frame. `None`: there is none; `Some(None)`: nothing follows from it.
    pub(super) fn step(&mut self, input: &mut &[u8], out: &mut Out) -> Result<Option<Option<Event>>, Wrong> {
        let Some((head, payload)) = self.reading.frame(input)? else { return Ok(None) };
        self.frame(head, &payload, out).map(Some)
    }

    fn frame(&mut self, head: Head, payload: &[u8], out: &mut Out) -> Result<Option<Event>, Wrong> {
        let first = std::mem::replace(&mut self.reading.greeted, true);
        protocol(
            first || (head.kind == frame::SETTINGS && !head.is(frame::ACK)),
            "the first frame is not SETTINGS",
        )?;
        if let Some(block) = &self.reading.block {
            let goes_on = head.kind == frame::CONTINUATION && head.stream == block.stream;
            protocol(goes_on, "another frame comes before the end of a head")?;
        }
        match head.kind {
            frame::DATA => return self.data(head, payload, out),
            frame::HEADERS => return self.headers(head, payload, out),
            frame::CONTINUATION => return self.continuation(head, payload, out),
            frame::PRIORITY => {
                self.credit.spend(Credit::FRAME)?;
                protocol(head.stream != 0, OF_CONNECTION)?;
                if payload.len() != 5 {
                    return Err(Wrong::Stream(head.stream, Reason::FrameSizeError));
                }
            }
            frame::RST_STREAM => {
                self.credit.spend(Credit::RESET)?;
                protocol(head.stream != 0, OF_CONNECTION)?;
                size(payload.len() == 4)?;
                protocol(head.stream <= self.newest, NOT_OPENED)?;
                return Ok(self.remove(head.stream, out).map(|s| Event::Reset { stream: s.id }));
            }
            frame::SETTINGS => self.settings(head, payload, out)?,
            frame::PUSH_PROMISE => protocol(false, "a client promises nothing")?,
            frame::PING => {
                self.credit.spend(Credit::FRAME)?;
                protocol(head.stream == 0, OF_CONNECTION)?;
                size(payload.len() == 8)?;
                if !head.is(frame::ACK) {
                    frame::write(&mut out.own, frame::PING, frame::ACK, 0, payload);
                }
            }
            frame::GOAWAY => {
                protocol(head.stream == 0, OF_CONNECTION)?;
                size(payload.len() >= 8)?;
                self.leaving = true;
            }
            frame::WINDOW_UPDATE => self.window_update(head, payload)?,
            // What is not known is not looked at (§4.1).
            _ => self.credit.spend(Credit::FRAME)?,
        }
        Ok(None)
    }

    /// A part of a request's body. The stream's window is not opened again, and the connection's only when the body is
    /// whole: so all that is held of one connection is one window.
    fn data(&mut self, head: Head, payload: &[u8], out: &mut Out) -> Result<Option<Event>, Wrong> {
        self.credit.spend(Credit::FRAME)?;
        protocol(head.stream != 0, OF_CONNECTION)?;
        protocol(head.stream <= self.newest, NOT_OPENED)?;
        self.held += payload.len();
        if self.held > WINDOW as usize {
            return fault(Reason::FlowControlError, "it sends more than its window allows");
        }
        let Some(data) = frame::unpadded(head, payload) else {
            return fault(Reason::ProtocolError, "a frame is padded beyond its length");
        };
        let last = head.is(frame::END_STREAM);
        let Some(upload) = self.streams.find(head.stream).and_then(|s| s.request.as_mut()) else {
            self.give_back(payload.len(), out);
            return Err(Wrong::Stream(head.stream, Reason::StreamClosed));
        };
        upload.held += payload.len();
        upload.body.extend_from_slice(data);
        if !upload.fits(last) {
            return Err(Wrong::Stream(head.stream, Reason::ProtocolError));
        }
        if last {
            return Ok(self.uploaded(head.stream, out));
        }
        if upload.held >= WINDOW as usize {
            self.refuse(head.stream, StatusCode::PAYLOAD_TOO_LARGE, out);
        }
        Ok(None)
    }

    /// A request with its body.
    fn uploaded(&mut self, id: u32, out: &mut Out) -> Option<Event> {
        let Upload { request, body, held, .. } = *self.streams.find(id)?.request.take()?;
        self.give_back(held, out);
        Some(Event::Request { stream: id, request: Box::new(request.map(|()| body.into())) })
    }

    /// Answers a request that is not looked at.
    fn refuse(&mut self, id: u32, status: StatusCode, out: &mut Out) {
        self.respond(id, status, [], Default::default(), false, out);
    }

    fn headers(&mut self, head: Head, payload: &[u8], out: &mut Out) -> Result<Option<Event>, Wrong> {
        protocol(head.stream % 2 == 1, "a head is for a stream that no client opens")?;
        let Some(mut bytes) = frame::unpadded(head, payload) else {
            return fault(Reason::ProtocolError, "a frame is padded beyond its length");
        };
        if head.is(frame::HAS_PRIORITY) {
            size(bytes.len() >= 5)?;
            bytes = bytes.get(5..).unwrap_or_default();
        }
        let last = head.is(frame::END_STREAM);
        if head.is(frame::END_HEADERS) {
            return self.whole_head(head.stream, last, bytes, out);
        }
        let block = Block { stream: head.stream, last, bytes: bytes.to_vec(), continuations: 0 };
        self.reading.block = Some(block);
        Ok(None)
    }

    fn continuation(&mut self, head: Head, payload: &[u8], out: &mut Out) -> Result<Option<Event>, Wrong> {
        let Some(block) = &mut self.reading.block else {
            return fault(Reason::ProtocolError, "a head goes on that did not begin");
        };
        block.continuations += 1;
        let bytes_max = self.limits.fields_bytes_max as usize * BLOCK_RATIO;
        if block.continuations > CONTINUATIONS_MAX || block.bytes.len() + payload.len() > bytes_max {
            return fault(Reason::EnhanceYourCalm, "a head goes on and on");
        }
        block.bytes.extend_from_slice(payload);
        match self.reading.block.take_if(|_| head.is(frame::END_HEADERS)) {
            Some(block) => self.whole_head(block.stream, block.last, &block.bytes, out),
            None => Ok(None),
        }
    }

    /// Every head is decoded, wanted or not: the tables of both sides have to be the same.
    fn whole_head(
        &mut self,
        id: u32,
        last: bool,
        bytes: &[u8],
        out: &mut Out,
    ) -> Result<Option<Event>, Wrong> {
        let bytes_max = self.limits.fields_bytes_max as usize;
        let mut draft = Draft::default();
        let decoded = self.decoder.decode(bytes, |field, size| draft.add(field, size, bytes_max));
        if decoded.is_err() {
            return fault(Reason::CompressionError, "a head cannot be decoded");
        }
        if id <= self.newest {
            return self.trailer(id, last, &draft, out);
        }
        self.newest = id;
        if self.leaving {
            // The GOAWAY has told that it was not looked at.
            return self.credit.spend(Credit::FRAME).map(|()| None);
        }
        if self.streams.len() >= self.limits.streams_max as usize {
            return Err(Wrong::Stream(id, Reason::RefusedStream));
        }
        let (Whole { request, length }, too_large) = match draft.whole(last, bytes_max) {
            Ok(whole) => (whole, false),
            Err(Flaw::TooLarge) => (Whole::default(), true),
            Err(Flaw::Malformed) => return Err(Wrong::Stream(id, Reason::ProtocolError)),
        };
        let (window, queue) = (self.window_new, VecDeque::new());
        let patience = Patience::new(self.bounds);
        let mut stream = Stream { id, window, request: None, queue, more: true, begun: false, patience };
        if last && !too_large {
            self.streams.push(stream);
            let request = Box::new(request.map(|()| Bytes::new()));
            return Ok(Some(Event::Request { stream: id, request }));
        }
        if !last {
            stream.request = Some(Box::new(Upload { request, length, body: Vec::new(), held: 0 }));
        }
        self.streams.push(stream);
        if too_large {
            self.refuse(id, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, out);
        } else if length.is_some_and(|l| l > WINDOW as u64) {
            self.refuse(id, StatusCode::PAYLOAD_TOO_LARGE, out);
        }
        Ok(None)
    }

    /// What stands behind a body. There is nothing in it for us.
    fn trailer(&mut self, id: u32, last: bool, draft: &Draft, out: &mut Out) -> Result<Option<Event>, Wrong> {
        self.credit.spend(Credit::FRAME)?;
        let request = draft.is_request();
        let Some(stream) = self.streams.find(id) else {
            // It may have been under way when we reset the stream; a request was not.
            return if request { fault(Reason::StreamClosed, "a stream is opened again") } else { Ok(None) };
        };
        match &stream.request {
            None => Err(Wrong::Stream(id, Reason::StreamClosed)),
            Some(upload) if last && !request && upload.fits(true) => Ok(self.uploaded(id, out)),
            Some(_) => Err(Wrong::Stream(id, Reason::ProtocolError)),
        }
    }

    fn settings(&mut self, head: Head, payload: &[u8], out: &mut Out) -> Result<(), Wrong> {
        self.credit.spend(Credit::SETTINGS)?;
        protocol(head.stream == 0, OF_CONNECTION)?;
        if head.is(frame::ACK) {
            return size(payload.is_empty());
        }
        let (settings, rest) = payload.as_chunks::<6>();
        size(rest.is_empty())?;
        for &[k, l, a, b, c, d] in settings {
            let value = u32::from_be_bytes([a, b, c, d]);
            match u16::from_be_bytes([k, l]) {
                TABLE_SIZE => self.encoder.limit(value),
                ENABLE_PUSH => protocol(value <= 1, "SETTINGS_ENABLE_PUSH is neither 0 nor 1")?,
                WINDOW_NEW => self.window_for_new(value)?,
                // No frame of ours is longer than what everybody takes.
                FRAME_MAX => protocol(
                    (16_384..=16_777_215).contains(&value),
                    "SETTINGS_MAX_FRAME_SIZE is out of range",
                )?,
                _ => {}
            }
        }
        frame::write(&mut out.own, frame::SETTINGS, frame::ACK, 0, &[]);
        Ok(())
    }

    /// Windows of streams change by as much as the one that new ones get; they may fall below 0 (§6.9.2).
    fn window_for_new(&mut self, window: u32) -> Result<(), Wrong> {
        let change = i64::from(window) - self.window_new;
        let largest = self.streams.iter().map(|s| s.window + change).max();
        if i64::from(window).max(largest.unwrap_or(0)) > WINDOW_MAX {
            return fault(Reason::FlowControlError, "SETTINGS_INITIAL_WINDOW_SIZE makes a window too large");
        }
        self.window_new = i64::from(window);
        self.streams.iter_mut().for_each(|s| s.window += change);
        Ok(())
    }

    fn window_update(&mut self, head: Head, payload: &[u8]) -> Result<(), Wrong> {
        self.credit.spend(Credit::WINDOW)?;
        let Ok(bytes) = payload.try_into() else { return size(false) };
        let more = i64::from(frame::number(bytes));
        if head.stream == 0 {
            protocol(more > 0, "the window is opened by nothing")?;
            if self.window + more > WINDOW_MAX {
                return fault(Reason::FlowControlError, "the window is opened too wide");
            }
            self.window += more;
            return Ok(());
        }
        protocol(head.stream <= self.newest, NOT_OPENED)?;
        // One for a stream that is gone was under way.
        let Some(stream) = self.streams.find(head.stream) else { return Ok(()) };
        if more == 0 {
            return Err(Wrong::Stream(head.stream, Reason::ProtocolError));
        }
        if stream.window + more > WINDOW_MAX {
            return Err(Wrong::Stream(head.stream, Reason::FlowControlError));
        }
        stream.window += more;
        Ok(())
    }
}
