//! The life of a connection.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Version, header};
use http_body::Body as HttpBody;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::watch;

use super::head::{self, Head, Read, Refusal};
use super::line::{Clock, Line};
use super::write::{self, Framing};
use super::{send, wire::Wire};
use crate::body::Body;
use crate::listen::{Handler, Http, Limits, Response, respond};
use crate::problem::Problem;
use crate::slab::{Chunk, Slab};

/// Read from a socket at a time; also what a client may send ahead before it is answered.
const READ_LEN: usize = 16 << 10;
/// Requests answered in a row from what was sent ahead, before others have their turn.
const TURN: u32 = 32;
/// Longest that a refused client may go on sending, so that it can read why.
pub(super) const LINGER: Duration = Duration::from_secs(2);
/// Most that is read and thrown away meanwhile.
const LINGER_BYTES: usize = 256 << 10;

thread_local! {
    /// What is being read, and the head that is being written: nothing of them outlives a step.
    static SCRATCH: RefCell<(Box<[u8]>, Vec<u8>)> =
        RefCell::new((vec![0; READ_LEN].into_boxed_slice(), Vec::with_capacity(1024)));
}

/// What the connections of a listener share.
pub(crate) struct Context {
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) slab: Slab,
    /// For what is not ours.
    pub(crate) http: Http,
    /// What answers over TLS bear.
    pub(crate) alt_svc: Option<HeaderValue>,
    pub(crate) stop: watch::Receiver<bool>,
    /// The same, to be looked at cheaply.
    pub(crate) stopping: AtomicBool,
    /// Idle connections are closed.
    pub(crate) closing: AtomicBool,
}

/// What comes next on a connection.
enum Next {
    Request(Box<Head>),
    Foreign,
    Refused(Refusal),
    Closed,
}

/// What a request says about the answer's shape.
#[derive(Clone, Copy)]
struct Asked {
    http10: bool,
    head: bool,
    keep_alive: bool,
}

impl Asked {
    fn of(head: &Head) -> Self {
        let http10 = head.request.version() == Version::HTTP_10;
        Self { http10, head: *head.request.method() == Method::HEAD, keep_alive: head.keep_alive }
    }
}

/// What is left of an answer when the socket is full.
struct Left {
    chunks: VecDeque<Chunk>,
    /// A body that comes in pieces, and whether it is chunked.
    stream: Option<(Body, bool)>,
    stays: bool,
}

struct Connection<W> {
    context: Arc<Context>,
    line: Arc<Line>,
    wire: W,
    peer: SocketAddr,
    /// Read and not yet used: a part of a head, or requests sent ahead. Empty while the connection is idle.
    rest: Vec<u8>,
}

/// Serves a connection to its end; then its `place` is free.
pub(crate) async fn run<W: Wire, P: Send>(
    context: Arc<Context>,
    line: Arc<Line>,
    wire: W,
    peer: SocketAddr,
    place: P,
) {
    let _place = place;
    let mut connection = Connection { context, line, wire, peer, rest: Vec::new() };
    match connection.serve().await {
        Ok(false) => {}
        Ok(true) => {
            let Connection { context, line, wire, peer, rest } = connection;
            line.at_ease();
            // In a box: few connections need it, and every one would carry its size.
            Box::pin(wire.go_on(context, peer, Bytes::from(rest))).await;
        }
        Err(error) => {
            tracing::trace!(%peer, %error, "connection ended");
            // What the peer does not take is not kept for it.
            let _ = connection.wire.tcp().set_zero_linger();
        }
    }
}

impl<W: Wire> Connection<W> {
    /// Answers what is ours; true when the rest is for hyper.
    async fn serve(&mut self) -> io::Result<bool> {
        let mut in_a_row = 0;
        let mut first = true;
        loop {
            match self.next(first).await {
                Next::Request(head) => {
                    if !self.answer(head).await? {
                        // What was sent ahead is thrown away, without a reset that overtakes the answer.
                        Box::pin(self.linger(!self.rest.is_empty())).await;
                        return Ok(false);
                    }
                }
                Next::Foreign => return Ok(true),
                Next::Refused(refusal) => {
                    Box::pin(self.refuse(refusal)).await?;
                    return Ok(false);
                }
                Next::Closed => {
                    self.wire.farewell();
                    return Ok(false);
                }
            }
            first = false;
            in_a_row = if self.rest.is_empty() { 0 } else { in_a_row + 1 };
            if in_a_row == TURN {
                in_a_row = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Reads until there is a head.
    async fn next(&mut self, first: bool) -> Next {
        if !self.rest.is_empty()
            && let Some(next) = self.left_over()
        {
            return next;
        }
        let mut timed = None;
        let next = poll_fn(|cx| self.poll_next(cx, first, &mut timed)).await;
        if timed.is_some() {
            self.line.at_ease();
        }
        next
    }

    /// `timed` is the deadline that was set: whether for the rest of a head.
    fn poll_next(&mut self, cx: &mut TaskContext<'_>, first: bool, timed: &mut Option<bool>) -> Poll<Next> {
        loop {
            if let Poll::Ready(read) = self.poll_read(cx) {
                match read {
                    Ok(Some(next)) => return Poll::Ready(next),
                    Ok(None) => continue,
                    Err(_) => return Poll::Ready(Next::Closed),
                }
            }
            let begun = !self.rest.is_empty();
            if !begun && self.context.closing.load(Ordering::Relaxed) {
                return Poll::Ready(Next::Closed);
            }
            if *timed != Some(begun) {
                *timed = Some(begun);
                let limits = &self.context.limits;
                let time = if begun || first { limits.head_timeout } else { limits.idle_timeout };
                self.line.held_by(cx.waker());
                self.line.within(&self.context.clock, time);
            } else if self.line.is_late(&self.context.clock) {
                let why = "the head of the request did not arrive in time";
                let late = Refusal { status: StatusCode::REQUEST_TIMEOUT, why };
                return Poll::Ready(if begun { Next::Refused(late) } else { Next::Closed });
            }
            return Poll::Pending;
        }
    }

    /// Reads once; `None` when more is needed.
    fn poll_read(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<Option<Next>>> {
        SCRATCH.with_borrow_mut(|(buffer, _)| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.wire).poll_read(cx, &mut buffer))?;
            let read = buffer.filled();
            if read.is_empty() {
                return Poll::Ready(Ok(Some(Next::Closed)));
            }
            if !self.rest.is_empty() {
                self.rest.extend_from_slice(read);
                return Poll::Ready(Ok(self.left_over()));
            }
            let (next, used) = next_of(read);
            self.rest = read.get(used..).unwrap_or_default().to_vec();
            Poll::Ready(Ok(next))
        })
    }

    /// The next request of what was read before.
    fn left_over(&mut self) -> Option<Next> {
        let (next, used) = next_of(&self.rest);
        self.rest.drain(..used);
        if self.rest.is_empty() {
            self.rest = Vec::new();
        }
        next
    }

    /// Answers a request; whether the connection stays.
    async fn answer(&mut self, head: Box<Head>) -> io::Result<bool> {
        let asked = Asked::of(&head);
        let context = self.context.clone();
        let mut answer = Box::pin(respond(&*context.handler, head.request, self.peer));
        let mut watching = true;
        let response = poll_fn(|cx| {
            if let Poll::Ready(response) = answer.as_mut().poll(cx) {
                return Poll::Ready(Some(response));
            }
            if watching && let Poll::Ready(gone) = self.wire.poll_gone(cx) {
                watching = false;
                if gone {
                    return Poll::Ready(None);
                }
            }
            Poll::Pending
        });
        let Some(response) = response.await else { return Err(ErrorKind::ConnectionAborted.into()) };
        drop(answer);
        self.send(response, asked).await
    }

    /// Sends an answer; whether the connection stays.
    async fn send(&mut self, response: Response, asked: Asked) -> io::Result<bool> {
        let Left { chunks, stream, stays } = self.at_once(response, asked)?;
        if !chunks.is_empty() || !self.wire.is_flushed() {
            // In a box, as all that waits seldom: an idle connection would carry its size.
            Box::pin(self.flush(chunks)).await?;
        }
        if let Some((body, chunked)) = stream {
            Box::pin(self.stream(body, chunked)).await?;
        }
        Ok(stays)
    }

    /// Sends of an answer what the socket takes.
    fn at_once(&mut self, mut response: Response, asked: Asked) -> io::Result<Left> {
        let body = std::mem::take(response.body_mut());
        if let Some(alt_svc) = &self.context.alt_svc {
            response.headers_mut().insert(header::ALT_SVC, alt_svc.clone());
        }
        let status = response.status();
        let length = if asked.head { None } else { body.size_hint().exact() };
        let bodiless = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        let unknown = length.is_none() && !asked.head && !bodiless;
        if unknown {
            // Never both (RFC 9112 §6.2).
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        let said = response.headers().contains_key(header::CONTENT_LENGTH);
        let later = !asked.head && !bodiless && !matches!(body, Body::Empty | Body::Slices(_));
        let stays = asked.keep_alive
            && !self.context.stopping.load(Ordering::Relaxed)
            && !(unknown && asked.http10)
            && response.headers().get(header::CONNECTION).is_none_or(|c| c != "close");
        let framing = Framing {
            status,
            length: length.filter(|_| !bodiless && !said),
            chunked: unknown && !asked.http10,
            stays: if stays { asked.http10.then_some(true) } else { Some(false) },
            unix_s: self.context.clock.unix_s(),
        };
        let chunks = self.begin(framing, &response, &body)?;
        Ok(Left { chunks, stream: later.then_some((body, framing.chunked)), stays })
    }

    /// Sends the head, and with it the body if that lies in memory; what is left of both.
    fn begin(&mut self, framing: Framing, response: &Response, body: &Body) -> io::Result<VecDeque<Chunk>> {
        static NONE: VecDeque<Bytes> = VecDeque::new();
        let slices = if let Body::Slices(slices) = body { slices } else { &NONE };
        let context = &self.context;
        SCRATCH.with_borrow_mut(|(_, head)| {
            head.clear();
            write::head(head, framing, response.headers());
            if let Some(mut chunks) = context.slab.chunks(slices, context.clock.now_s()) {
                chunks.push_front(Chunk::Memory(Bytes::copy_from_slice(head)));
                self.wire.some(&mut chunks)?;
                return Ok(chunks);
            }
            let sent = self.wire.at_once(head, slices)?;
            if sent == head.len() + slices.iter().map(Bytes::len).sum::<usize>() {
                return Ok(VecDeque::new());
            }
            let head = Chunk::Memory(Bytes::copy_from_slice(head));
            let mut chunks = std::iter::once(head).chain(slices.iter().cloned().map(Chunk::Memory)).collect();
            send::take(&mut chunks, sent);
            Ok(chunks)
        })
    }

    /// Sends what is left, as fast as the peer takes it but not slower than the least rate.
    async fn flush(&mut self, mut chunks: VecDeque<Chunk>) -> io::Result<()> {
        let Limits { drain_timeout, drain_min, .. } = self.context.limits;
        let (line, clock) = (&self.line, &self.context.clock);
        line.within(clock, drain_timeout);
        while !chunks.is_empty() || !self.wire.is_flushed() {
            poll_fn(|cx| {
                line.held_by(cx.waker());
                if line.is_late(clock) {
                    return Poll::Ready(Err(ErrorKind::TimedOut.into()));
                }
                self.wire.tcp().poll_write_ready(cx)
            })
            .await?;
            let sent = self.wire.some(&mut chunks)?;
            let more = u32::try_from(sent).unwrap_or(u32::MAX) / drain_min.max(1);
            line.extend(clock, more, drain_timeout);
        }
        line.at_ease();
        Ok(())
    }

    /// Sends a body as it comes.
    async fn stream(&mut self, mut body: Body, chunked: bool) -> io::Result<()> {
        let mut watching = true;
        loop {
            let frame = poll_fn(|cx| {
                if let Poll::Ready(frame) = Pin::new(&mut body).poll_frame(cx) {
                    return Poll::Ready(Ok(frame));
                }
                if watching && let Poll::Ready(gone) = self.wire.poll_gone(cx) {
                    watching = false;
                    if gone {
                        return Poll::Ready(Err(io::Error::from(ErrorKind::ConnectionAborted)));
                    }
                }
                Poll::Pending
            });
            let Some(frame) = frame.await? else { break };
            // A body that fails is cut off: without its last chunk nobody takes it for whole.
            let frame = frame.map_err(io::Error::other)?;
            let Ok(data) = frame.into_data() else { continue };
            if data.is_empty() {
                continue;
            }
            let mut chunks = VecDeque::from([Chunk::Memory(data)]);
            if chunked {
                let Some(Chunk::Memory(data)) = chunks.front() else { continue };
                let size = Bytes::from(write::chunk_size(data.len()));
                chunks.push_front(Chunk::Memory(size));
                chunks.push_back(Chunk::Memory(Bytes::from_static(b"\r\n")));
            }
            self.push(chunks).await?;
        }
        if chunked {
            self.push(VecDeque::from([Chunk::Memory(Bytes::from_static(b"0\r\n\r\n"))])).await?;
        }
        Ok(())
    }

    async fn push(&mut self, mut chunks: VecDeque<Chunk>) -> io::Result<()> {
        self.wire.some(&mut chunks)?;
        if chunks.is_empty() && self.wire.is_flushed() { Ok(()) } else { self.flush(chunks).await }
    }

    /// Says what is wrong and closes. Nothing that comes behind is looked at.
    async fn refuse(&mut self, refusal: Refusal) -> io::Result<()> {
        let title = refusal.status.canonical_reason().unwrap_or("Refused");
        let problem = Problem::new(refusal.status, "http-refused", title, refusal.why);
        let response = problem.response(&crate::random_id());
        tracing::debug!(peer = %self.peer, status = %refusal.status, why = refusal.why, "refused");
        self.send(response, Asked { http10: false, head: false, keep_alive: false }).await?;
        self.linger(true).await;
        Ok(())
    }

    /// Closes in the order that lets the peer read the answer: our side first, then what it still sends is read
    /// and thrown away for a moment.
    async fn linger(&mut self, unread: bool) {
        let closed = poll_fn(|cx| self.wire.poll_close(cx)).await;
        if !unread || closed.is_err() {
            return;
        }
        self.rest = Vec::new();
        drain(self.wire.tcp()).await;
    }
}

/// Reads and throws away, for a moment, what comes behind the last answer: closing with something unread would reset the
/// connection, and that may overtake the answer.
pub(crate) async fn drain(socket: &mut (impl AsyncRead + Unpin)) {
    let drained = async {
        let mut left = LINGER_BYTES;
        while left > 0 {
            let read = poll_fn(|cx| {
                SCRATCH.with_borrow_mut(|(buffer, _)| {
                    let mut buffer = ReadBuf::new(buffer);
                    ready!(Pin::new(&mut *socket).poll_read(cx, &mut buffer))?;
                    Poll::Ready(io::Result::Ok(buffer.filled().len()))
                })
            });
            match read.await {
                Ok(len) if len > 0 => left = left.saturating_sub(len),
                _ => break,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, Box::pin(drained)).await;
}

/// What stands at the front of these bytes, and how many of them it used.
fn next_of(bytes: &[u8]) -> (Option<Next>, usize) {
    match head::read(bytes) {
        Ok(Read::Partial) => (None, 0),
        Ok(Read::Ours(head, len)) => (Some(Next::Request(head)), len),
        Ok(Read::Foreign) => (Some(Next::Foreign), 0),
        Err(refusal) => (Some(Next::Refused(refusal)), 0),
    }
}
