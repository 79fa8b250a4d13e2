//! An RTMP publisher's connection, and when it is worth reading.
//!
//! Nobody needs a frame before the part that it completes, unless somebody plays the stream over RTMP. So a
//! publisher is read when its next part is due, and every now and then so that the kernel's buffer does not
//! fill; that is a tenth of the system calls and wake-ups that reading every packet costs.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use mio::net::TcpStream;
use nx_rtmp::server::{Output, Session};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::claims::Claim;

/// Longest time between two reads of a publisher that sends; milliseconds.
const LAZY_MS: i64 = 100;
/// What may gather in the kernel's buffer between two reads; bytes.
const LAZY_BYTES: i64 = 48 << 10;
/// Time between two looks when a part is overdue; milliseconds.
pub(crate) const TICK_MS: i64 = 4;
/// Reads in a row before others get their turn.
const READS_MAX: usize = 4;
/// Answers (acknowledgements, pongs) that a publisher may leave unread; bytes.
const ANSWERS_MAX: usize = 64 << 10;

pub(crate) struct Publisher {
    pub(crate) socket: TcpStream,
    pub(crate) session: Session,
    pub(crate) claim: Arc<Claim>,
    pub(crate) peer: SocketAddr,
    pub(crate) client: String,
    pub(crate) connected_wall_ms: i64,
    pub(crate) connected_ms: i64,
    since: Instant,
    answers: VecDeque<Bytes>,
    pace: Pace,
    watched: bool,
    /// A read stopped before the socket was empty; readiness will not tell again.
    unfinished: bool,
    pub(crate) bytes_in: u64,
    _place: OwnedSemaphorePermit,
}

/// How reading ended for this time.
pub(crate) enum Reading {
    /// Everything that was there.
    Drained,
    /// More is waiting; others first.
    More,
    /// The connection is over; the reason is for the log.
    Closed(String),
}

/// A connection on its way into a shard.
pub(crate) struct Arriving {
    pub(crate) socket: TcpStream,
    pub(crate) session: Session,
    pub(crate) claim: Arc<Claim>,
    pub(crate) peer: SocketAddr,
    pub(crate) client: String,
    pub(crate) since: Instant,
    pub(crate) place: OwnedSemaphorePermit,
}

impl Publisher {
    pub(crate) fn new(arriving: Arriving, now_ms: i64) -> Self {
        let Arriving { socket, session, claim, peer, client, since, place } = arriving;
        Self {
            socket,
            session,
            claim,
            peer,
            client,
            connected_wall_ms: nx_delivery::wall_ms(),
            connected_ms: now_ms,
            since,
            answers: VecDeque::new(),
            pace: Pace::default(),
            watched: false,
            unfinished: false,
            bytes_in: 0,
            _place: place,
        }
    }

    /// Reads; `event` gets what the session makes of it.
    pub(crate) fn read(&mut self, scratch: &mut [u8], now_ms: i64, event: &mut dyn FnMut(Output)) -> Reading {
        self.unfinished = false;
        for _ in 0..READS_MAX {
            let n = match self.socket.read(scratch) {
                Ok(0) => return Reading::Closed("the publisher closed the connection".into()),
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Reading::Drained,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Reading::Closed(e.to_string()),
            };
            self.claim.heard(now_ms);
            self.bytes_in += n as u64;
            self.pace.took(n, now_ms);
            let since_ms = u32::try_from(self.since.elapsed().as_millis()).unwrap_or(u32::MAX);
            let result = self.session.handle(since_ms, scratch.get(..n).unwrap_or_default());
            if let Err(reason) = self.drain(event) {
                return Reading::Closed(reason);
            }
            if let Err(error) = result {
                return Reading::Closed(error.to_string());
            }
            if n < scratch.len() {
                return Reading::Drained;
            }
        }
        Reading::More
    }

    /// Hands out what the session has, sends its answers.
    pub(crate) fn drain(&mut self, event: &mut dyn FnMut(Output)) -> Result<(), String> {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Send(bytes) => self.answers.push_back(bytes),
                other => event(other),
            }
        }
        self.flush()
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

    /// Whether the socket's readiness is waited for, rather than the clock.
    pub(crate) fn is_watched(&self) -> bool {
        self.watched && !self.unfinished
    }

    /// When the clock says to read.
    pub(crate) fn due_ms(&self) -> i64 {
        self.pace.due_ms
    }

    /// The last read left something behind.
    pub(crate) fn read_again(&mut self, now_ms: i64) {
        self.unfinished = true;
        self.pace.due_ms = now_ms;
    }

    /// Watches the socket from now on, or leaves it to the clock.
    pub(crate) fn watch(&mut self, registry: &mio::Registry, token: mio::Token, wanted: bool) {
        let done = match (wanted, self.watched) {
            (true, false) => registry.register(&mut self.socket, token, mio::Interest::READABLE),
            (false, true) => registry.deregister(&mut self.socket),
            _ => return,
        };
        // A socket that cannot be watched is read by the clock: later, never not.
        self.watched = wanted && done.is_ok();
    }

    pub(crate) fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }
}

/// When to read next.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Arrival minus stream time of the freshest frames: the least of late, rising slowly. Milliseconds.
    lag_ms: Option<i64>,
    /// When the lag was last let rise.
    risen_ms: i64,
    /// Measured rate, bytes per second.
    bytes_per_s: i64,
    window: (i64, i64),
    /// The socket is to be read at this time, unless it is watched.
    due_ms: i64,
}

impl Pace {
    fn took(&mut self, n: usize, now_ms: i64) {
        let (since, bytes) = &mut self.window;
        *bytes += i64::try_from(n).unwrap_or(0);
        let passed = now_ms - *since;
        if passed >= 1_000 {
            self.bytes_per_s = *bytes * 1000 / passed;
            self.window = (now_ms, 0);
        }
    }

    /// A frame of this stream time was the newest of a read.
    pub(crate) fn saw(&mut self, time_ms: i64, now_ms: i64) {
        let lag = now_ms - time_ms;
        self.lag_ms = Some(match self.lag_ms {
            // Most reads find frames that have waited a little: only the least says when they come.
            Some(known) if lag > known && lag < known + 1_000 => {
                let rise = now_ms - self.risen_ms >= 1_000;
                if rise {
                    self.risen_ms = now_ms;
                }
                known + i64::from(rise)
            }
            _ => lag,
        });
    }

    /// Sets the next read by the stream time of the frame that completes the next part.
    pub(crate) fn schedule(&mut self, part_due_ms: Option<i64>, now_ms: i64) {
        let patience = (LAZY_BYTES * 1000 / self.bytes_per_s.max(1)).clamp(TICK_MS, LAZY_MS);
        let latest = now_ms + patience;
        self.due_ms = match (part_due_ms, self.lag_ms) {
            (Some(part), Some(lag)) if part + lag >= now_ms => (part + lag).min(latest),
            // Overdue: it may come any moment.
            (Some(part), Some(lag)) if now_ms - (part + lag) < 200 => now_ms + TICK_MS,
            _ => latest.min(now_ms + 4 * TICK_MS),
        };
    }
}
