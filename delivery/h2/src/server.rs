//! A connection: what comes is read here, `send.rs` has what goes.

mod receive;
mod send;
mod stream;

use bytes::Bytes;
use http::Request;

use crate::frame::{self, Reason};
use crate::hpack::{Decoder, Encoder};
use crate::out::Out;
use crate::patience::{Bounds, Patience};
use stream::{Stream, Streams, WINDOW};

/// Bounds of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests at a time; a further one is refused.
    pub streams_max: u32,
    /// Fields of a request, as RFC 9113 §6.5.2 counts them; more are answered with 431.
    pub fields_bytes_max: u32,
    /// Bytes per second that a peer has to let through while something waits for its windows; a stream that is slower
    /// is reset after `drain_timeout_s`, and so is a connection.
    pub drain_min: u32,
    /// How long a peer may let through less than `drain_min`.
    pub drain_timeout_s: u32,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// To be answered with [`Server::respond`].
    Request {
        /// Names it.
        stream: u32,
        /// Its head, with one `Host`, and its body: at most 65 535 bytes, else the answer was 413.
        request: Box<Request<Bytes>>,
    },
    /// Nobody waits any more for the answer on this stream.
    Reset {
        /// The stream that is gone.
        stream: u32,
    },
}

/// The end of a connection, and why. A GOAWAY says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("HTTP/2 ended by {reason:?}: {why}")]
pub struct Fault {
    /// What GOAWAY says.
    pub reason: Reason,
    /// What the peer did.
    pub why: &'static str,
}

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    Connection(Fault),
    Stream(u32, Reason),
}

const fn fault<T>(reason: Reason, why: &'static str) -> Result<T, Wrong> {
    Err(Wrong::Connection(Fault { reason, why }))
}

/// One connection.
#[derive(Debug)]
pub struct Server {
    limits: Limits,
    bounds: Bounds,
    reading: receive::Reading,
    decoder: Decoder,
    encoder: Encoder,
    streams: Streams,
    /// Highest stream that the peer has opened.
    newest: u32,
    /// What the peer lets us send: on the connection, on a new stream.
    window: i64,
    window_new: i64,
    patience: Patience,
    /// What bodies have taken of the window that the peer has.
    held: usize,
    credit: Credit,
    /// Whose turn it is, as a place among the streams.
    turn: usize,
    /// No new requests are taken.
    leaving: bool,
}

impl Server {
    /// A connection that begins. Our settings are put into `out`.
    #[must_use]
    pub fn new(limits: Limits, out: &mut Out) -> Self {
        let bounds = Bounds { max_s: limits.drain_timeout_s, rate_min: limits.drain_min };
        let mut settings = Vec::with_capacity(12);
        for (key, value) in
            [(receive::STREAMS_MAX, limits.streams_max), (receive::FIELDS_MAX, limits.fields_bytes_max)]
        {
            settings.extend_from_slice(&u16::to_be_bytes(key));
            settings.extend_from_slice(&value.to_be_bytes());
        }
        frame::write(&mut out.own, frame::SETTINGS, 0, 0, &settings);
        Self {
            limits,
            bounds,
            reading: receive::Reading::default(),
            decoder: Decoder::new(),
            encoder: Encoder::new(),
            streams: Streams::default(),
            newest: 0,
            window: WINDOW,
            window_new: WINDOW,
            patience: Patience::new(bounds),
            held: 0,
            credit: Credit(Credit::MAX),
            turn: 0,
            leaving: false,
        }
    }

    /// Reads on in `input`, up to what happens next. Without an event all of it was read; what is left of an event comes
    /// with the next call.
    ///
    /// # Errors
    /// The connection is over: `out` is still to be sent.
    pub fn next(&mut self, input: &mut &[u8], out: &mut Out) -> Result<Option<Event>, Fault> {
        loop {
            let done = match self.step(input, out) {
                Ok(None) => return Ok(None),
                Ok(Some(done)) => Ok(done),
                Err(wrong) => Err(wrong),
            };
            if let Some(event) = self.settle(done, out)? {
                return Ok(Some(event));
            }
        }
    }

    /// Takes no further request; those that run are finished.
    pub fn leave(&mut self, out: &mut Out) {
        if !self.leaving {
            self.leaving = true;
            self.goaway(Reason::NoError, out);
        }
    }

    /// Whether there is nothing left to do, and never will be.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.leaving && self.streams.is_empty()
    }

    /// Whether no request is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.streams.is_empty()
    }

    /// Whether a frame, a request or the preface has begun and is not whole.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.reading.is_partial() || self.streams.iter().any(|s| s.request.is_some())
    }

    /// When [`Server::expire`] has something to do, in the seconds that [`Server::transmit`] was told.
    #[must_use]
    pub fn due_s(&self) -> Option<u32> {
        let streams = self.streams.iter().filter_map(|s| s.patience.due_s());
        streams.chain(self.patience.due_s()).min()
    }

    /// Resets a stream that has waited too long for its window; to be called until there is none.
    ///
    /// # Errors
    /// The whole connection has: `out` is still to be sent.
    pub fn expire(&mut self, now_s: u32, out: &mut Out) -> Result<Option<Event>, Fault> {
        let is_late = |patience: Patience| patience.due_s().is_some_and(|due| due <= now_s);
        let done = if is_late(self.patience) {
            fault(Reason::EnhanceYourCalm, "it takes nothing of what it asked for")
        } else {
            let late = self.streams.iter().find(|s| is_late(s.patience)).map(|s| s.id);
            late.map_or(Ok(None), |id| Err(Wrong::Stream(id, Reason::Cancel)))
        };
        self.settle(done, out)
    }

    /// Does what has to follow from something wrong.
    fn settle(&mut self, done: Result<Option<Event>, Wrong>, out: &mut Out) -> Result<Option<Event>, Fault> {
        let ended = match done {
            Ok(event) => return Ok(event),
            Err(Wrong::Connection(fault)) => Err(fault),
            Err(Wrong::Stream(id, reason)) => {
                frame::write(&mut out.own, frame::RST_STREAM, 0, id, &reason.code());
                let cost = match reason {
                    Reason::RefusedStream | Reason::StreamClosed => Credit::UNAWARE,
                    _ => Credit::RESET,
                };
                match self.credit.spend(cost) {
                    Ok(()) => Ok(self.remove(id, out).map(|_| Event::Reset { stream: id })),
                    Err(Wrong::Connection(fault)) => Err(fault),
                    Err(Wrong::Stream(..)) => Ok(None),
                }
            }
        };
        ended.inspect_err(|fault| self.goaway(fault.reason, out))
    }

    /// Takes a stream away, and lets the peer send as much again as its body has taken.
    fn remove(&mut self, id: u32, out: &mut Out) -> Option<Stream> {
        let stream = self.streams.remove(id)?;
        self.give_back(stream.request.as_ref().map_or(0, |upload| upload.held), out);
        Some(stream)
    }

    fn give_back(&mut self, held: usize, out: &mut Out) {
        self.held = self.held.saturating_sub(held);
        if let Ok(more @ 1..) = u32::try_from(held) {
            frame::write(&mut out.own, frame::WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        }
    }

    fn goaway(&self, reason: Reason, out: &mut Out) {
        let [a, b, c, d] = self.newest.to_be_bytes();
        let [e, f, g, h] = reason.code();
        frame::write(&mut out.own, frame::GOAWAY, 0, 0, &[a, b, c, d, e, f, g, h]);
    }
}

/// Frames that bring no request cost something, answers that are taken earn it back; without any left the connection
/// ends. So nobody keeps us busy for nothing: by resets (CVE-2023-44487, CVE-2025-8671), pings, settings, empty frames, or
/// windows that are opened byte by byte (CVE-2019-9511 to 9518).
#[derive(Debug)]
struct Credit(u32);

impl Credit {
    const MAX: u32 = 1024;
    /// A stream that is reset, by either side.
    const RESET: u32 = 32;
    /// One stream too many, or a frame for one that is gone: a client that has not read what we said cannot know.
    const UNAWARE: u32 = 4;
    const SETTINGS: u32 = 4;
    const WINDOW: u32 = 2;
    const FRAME: u32 = 1;
    /// An answer that was sent to its end.
    const ANSWER: u32 = 8;
    /// Bytes of a body that earn 1.
    const BYTES: usize = 512;

    fn spend(&mut self, cost: u32) -> Result<(), Wrong> {
        let Some(left) = self.0.checked_sub(cost) else {
            return fault(Reason::EnhanceYourCalm, "too many frames that ask for nothing");
        };
        self.0 = left;
        Ok(())
    }

    fn earn(&mut self, more: u32) {
        self.0 = self.0.saturating_add(more).min(Self::MAX);
    }

    /// A DATA frame was sent.
    fn earn_data(&mut self, bytes: usize) {
        self.earn(1 + u32::try_from(bytes / Self::BYTES).unwrap_or(Self::MAX));
    }
}

#[cfg(test)]
mod tests;
