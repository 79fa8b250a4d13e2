//! An RTMP publisher's connection: bytes in, media out, answers back.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};

use bytes::{Buf, Bytes};
use nx_rtmp::server::{Event, Output, PublishRefusal, Session};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::ingest::flv_reader::{FlvReader, FrameError};
use crate::ingest::input::{End, Reading};
use crate::ingest::socket::Socket;
use crate::media::Media;

/// Reads in a row before others get their turn.
const READS_MAX: usize = 4;
/// Answers (acknowledgements, pongs) that a publisher may leave unread; bytes.
const ANSWERS_MAX: usize = 64 << 10;
/// Damaged frames in a row after which a publisher is turned away.
const DAMAGED_MAX: u32 = 300;

pub(crate) struct RtmpInput {
    socket: Socket,
    session: Session,
    since: Instant,
    reader: FlvReader,
    answers: VecDeque<Bytes>,
    damaged: u32,
    watched: bool,
    /// A read stopped before the socket was empty; readiness will not tell again.
    unfinished: bool,
    _place: OwnedSemaphorePermit,
}

impl RtmpInput {
    pub(crate) fn new(socket: Socket, session: Session, since: Instant, place: OwnedSemaphorePermit) -> Self {
        Self {
            socket,
            session,
            since,
            reader: FlvReader::default(),
            answers: VecDeque::new(),
            damaged: 0,
            watched: false,
            // TLS may have read ahead.
            unfinished: true,
            _place: place,
        }
    }

    /// Reads what is there; `took` hears how much.
    pub(crate) fn read(
        &mut self,
        scratch: &mut [u8],
        took: &mut dyn FnMut(usize),
        sink: &mut dyn FnMut(Media),
    ) -> Reading {
        self.unfinished = false;
        for _ in 0..READS_MAX {
            let n = match self.socket.read(scratch) {
                Ok(0) => return Reading::Closed(End::Left("the publisher closed the connection".into())),
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Reading::Drained,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Reading::Closed(End::Left(e.to_string())),
            };
            took(n);
            let since_ms = u32::try_from(self.since.elapsed().as_millis()).unwrap_or(u32::MAX);
            let result = self.session.handle(since_ms, scratch.get(..n).unwrap_or_default());
            if let Err(end) = self.drain(sink) {
                return Reading::Closed(end);
            }
            if let Err(error) = result {
                return Reading::Closed(End::Refused(error.to_string()));
            }
            if n < scratch.len() {
                return Reading::Drained;
            }
        }
        self.unfinished = true;
        Reading::More
    }

    /// Hands out what the session has, sends its answers.
    pub(crate) fn drain(&mut self, sink: &mut dyn FnMut(Media)) -> Result<(), End> {
        let mut end = Ok(());
        while let Some(output) = self.session.poll() {
            match output {
                Output::Send(bytes) => self.answers.push_back(bytes),
                Output::Event(event) if end.is_ok() => end = self.event(event, sink),
                Output::Event(_) => {}
            }
        }
        self.flush().map_err(End::Left)?;
        end
    }

    fn event(&mut self, event: Event, sink: &mut dyn FnMut(Media)) -> Result<(), End> {
        let result = match event {
            Event::Metadata(metadata) => {
                self.reader.metadata(&metadata, sink);
                return Ok(());
            }
            Event::Video { timestamp_ms, body } => self.reader.video(timestamp_ms, &body, sink),
            Event::Audio { timestamp_ms, body } => self.reader.audio(timestamp_ms, &body, sink),
            Event::Unpublish => return Err(End::Left("unpublished".into())),
            _ => return Ok(()),
        };
        self.damage(result)
    }

    fn damage(&mut self, result: Result<(), FrameError>) -> Result<(), End> {
        let Err(error) = result else {
            self.damaged = 0;
            return Ok(());
        };
        if error.is_final() {
            return Err(End::Refused(error.to_string()));
        }
        self.damaged += 1;
        if self.damaged == 1 {
            tracing::warn!(%error, "damaged frame left out");
        }
        if self.damaged < DAMAGED_MAX {
            return Ok(());
        }
        Err(End::Refused(format!("{DAMAGED_MAX} damaged frames in a row: {error}")))
    }

    fn flush(&mut self) -> Result<(), String> {
        while let Some(first) = self.answers.front_mut() {
            match self.socket.write(first) {
                Ok(n) => {
                    first.advance(n);
                    if first.is_empty() {
                        self.answers.pop_front();
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e.to_string()),
            }
        }
        if self.answers.iter().map(Bytes::len).sum::<usize>() > ANSWERS_MAX {
            return Err("the publisher does not read its answers".into());
        }
        Ok(())
    }

    /// The last words: why it is sent away.
    pub(crate) fn refuse(&mut self, reason: &str) {
        self.session.refuse_publish(PublishRefusal::Denied, reason);
        let _ = self.drain(&mut |_| {});
    }

    /// Asks an encoder that can to come back, before this process stops.
    pub(crate) fn ask_to_reconnect(&mut self) {
        if self.session.request_reconnect(None, "the server restarts; please connect again") {
            let _ = self.drain(&mut |_| {});
        }
    }

    /// Whether the socket's readiness is waited for, rather than the clock.
    pub(crate) fn is_watched(&self) -> bool {
        self.watched && !self.unfinished
    }

    /// Watches the socket from now on, or leaves it to the clock.
    pub(crate) fn watch(&mut self, registry: &mio::Registry, token: mio::Token, wanted: bool) {
        let done = match (wanted, self.watched) {
            (true, false) => registry.register(self.socket.source(), token, mio::Interest::READABLE),
            (false, true) => registry.deregister(self.socket.source()),
            _ => return,
        };
        // A socket that cannot be watched is read by the clock: later, never not.
        self.watched = wanted && done.is_ok();
    }
}
