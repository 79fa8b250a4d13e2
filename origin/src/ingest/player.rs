//! An RTMP player: pre-cut messages in, bytes out, a bounded queue in between.

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::SocketAddr;

use bytes::Bytes;
use nx_rtmp::server::{Event, Output, Session};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::ingest::socket::Socket;
use crate::ingest::viewer::Viewer;

/// Slices handed to the kernel in one call.
const SLICES_MAX: usize = 64;
/// A player that takes nothing for this long is closed; milliseconds.
const STUCK_MS: i64 = 30_000;

/// A message as every player of the stream gets it.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) bytes: Bytes,
    /// A video key frame, or any frame of a stream without video: a player that skipped may come in here.
    pub(crate) entry: bool,
    /// Metadata or decoder parameters: never skipped.
    pub(crate) vital: bool,
    /// `FourCC` that a player must have announced to be sent this.
    pub(crate) needs: Option<&'static str>,
}

pub(crate) struct Player {
    pub(crate) socket: Socket,
    pub(crate) peer: SocketAddr,
    session: Session,
    /// `FourCC`s that it announced.
    codecs: Vec<String>,
    since: Instant,
    queue: VecDeque<Bytes>,
    /// Bytes of the first slice that are gone already.
    sent: usize,
    queued: usize,
    /// Lost its place: waits for the next key frame.
    skipping: bool,
    progress_ms: i64,
    viewer: Viewer,
    _place: OwnedSemaphorePermit,
}

/// The connection is over; the reason is for the log.
pub(crate) struct Closed(pub(crate) String);

impl Player {
    pub(crate) fn new(
        (socket, peer): (Socket, SocketAddr),
        session: Session,
        codecs: Vec<String>,
        (since, now_ms): (Instant, i64),
        (viewer, place): (Viewer, OwnedSemaphorePermit),
    ) -> Self {
        Self {
            socket,
            peer,
            session,
            codecs,
            since,
            queue: VecDeque::new(),
            sent: 0,
            queued: 0,
            skipping: false,
            progress_ms: now_ms,
            viewer,
            _place: place,
        }
    }

    /// Whether what let it in still does.
    pub(crate) fn may_stay(&self) -> bool {
        self.viewer.may_stay()
    }

    pub(crate) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Whether it can take what needs this `FourCC`.
    pub(crate) fn takes(&self, needs: Option<&str>) -> bool {
        needs.is_none_or(|needs| self.codecs.iter().any(|c| c == needs || c == "*"))
    }

    /// Queues a message for the next [`Self::flush`], or lets the player lose its place.
    pub(crate) fn deliver(&mut self, message: &Message, bytes_max: usize) {
        if !self.takes(message.needs) {
            return;
        }
        if self.skipping && !message.vital {
            if !message.entry {
                return;
            }
            self.skipping = false;
        }
        if self.queued > bytes_max && !message.vital {
            self.skip();
        } else {
            self.push(message.bytes.clone());
        }
    }

    /// Drops everything that has not begun to leave.
    fn skip(&mut self) {
        let keep = usize::from(self.sent > 0);
        self.queue.truncate(keep);
        self.queued = self.queue.iter().map(Bytes::len).sum::<usize>() - self.sent;
        self.skipping = true;
    }

    pub(crate) fn push(&mut self, bytes: Bytes) {
        self.queued += bytes.len();
        self.queue.push_back(bytes);
    }

    pub(crate) fn flush(&mut self, now_ms: i64) -> Result<(), Closed> {
        while self.queued > 0 {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut count = 0;
            for (slot, bytes) in slices.iter_mut().zip(&self.queue) {
                let from = if count == 0 { self.sent } else { 0 };
                *slot = IoSlice::new(bytes.get(from..).unwrap_or_default());
                count += 1;
            }
            let result = match slices.get(..count) {
                Some([one]) => self.socket.write(one),
                several => self.socket.write_vectored(several.unwrap_or_default()),
            };
            match result {
                Ok(n) => {
                    self.progress_ms = now_ms;
                    self.advance(n);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return self.check_stuck(now_ms),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(Closed(e.to_string())),
            }
        }
        match self.socket.flush() {
            Err(e) if e.kind() != ErrorKind::WouldBlock => Err(Closed(e.to_string())),
            _ => Ok(()),
        }
    }

    fn check_stuck(&self, now_ms: i64) -> Result<(), Closed> {
        if now_ms - self.progress_ms < STUCK_MS {
            return Ok(());
        }
        Err(Closed(format!("took nothing for {} s", STUCK_MS / 1000)))
    }

    fn advance(&mut self, mut n: usize) {
        self.queued -= n;
        while let Some(first) = self.queue.front() {
            let left = first.len() - self.sent;
            if n < left {
                self.sent += n;
                return;
            }
            n -= left;
            self.sent = 0;
            self.queue.pop_front();
        }
    }

    /// Reads what the player says: acknowledgements, pause, goodbye.
    pub(crate) fn read(&mut self, scratch: &mut [u8], now_ms: i64) -> Result<(), Closed> {
        loop {
            let n = match self.socket.read(scratch) {
                Ok(0) => return Err(Closed("closed by the player".into())),
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(Closed(e.to_string())),
            };
            let since_ms = u32::try_from(self.since.elapsed().as_millis()).unwrap_or(u32::MAX);
            let input = scratch.get(..n).unwrap_or_default();
            self.session.handle(since_ms, input).map_err(|e| Closed(e.to_string()))?;
            self.answer()?;
        }
        self.flush(now_ms)
    }

    /// Queues the session's answers.
    pub(crate) fn answer(&mut self) -> Result<(), Closed> {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Send(bytes) => self.push(bytes),
                Output::Event(Event::StopPlay) => return Err(Closed("stopped by the player".into())),
                Output::Event(_) => {}
            }
        }
        Ok(())
    }
}
