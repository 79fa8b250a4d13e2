//! The life of a connection.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, BufRead, ErrorKind, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body::Body as _;
use nx_h2::{Event, Fault, Out, Server};
use tokio::net::TcpStream;

use super::jobs::{Job, Jobs};
use crate::body::Body;
use crate::h1::write::date;
use crate::h1::{Context, Line, drain};
use crate::listen::{Limits, Response, respond};
use crate::sealed::Tls;
use crate::upload::Upload;

/// Requests at a time.
const STREAMS_MAX: u32 = 128;
/// Fields of a request, as RFC 9113 §6.5.2 counts them.
const FIELDS_BYTES_MAX: u32 = 16 * 1024;
/// Of bodies, what is sealed at a time: all of it goes to the socket before more is.
const BATCH: usize = 64 * 1024;
/// Rounds of reading and writing before other connections have their turn.
const ROUNDS: u32 = 16;

thread_local! {
    /// What is to be sent, while a turn lasts: nothing of it outlives one.
    static SCRATCH: Cell<Out> = Cell::default();
}

/// What came of a job.
enum Done {
    /// An answer, and whether it is to HEAD.
    Answer(Response, bool),
    /// The next piece of a body, and the body.
    Piece(Body, Option<io::Result<Bytes>>),
}

/// What has to happen by the deadline.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// The socket takes what is sealed.
    Socket,
    /// The rest of a head comes.
    Head,
    /// Another request comes.
    Request,
    /// A window is opened, if one is waited for.
    Window,
}

/// How a connection ends, once everything is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// There is nothing left to do, or nobody to do it for.
    Over,
    /// The peer was told what it did; what it still says is not looked at.
    Refused,
}

struct Connection {
    tls: Tls<TcpStream>,
    server: Server,
    work: Work,
    line: Arc<Line>,
    waits: Option<Waits>,
    /// The session may have something that was opened and not looked at: at first, when a request came with the last
    /// words of the handshake.
    opened: bool,
    end: Option<End>,
}

/// What is made for the streams.
struct Work {
    context: Arc<Context>,
    peer: SocketAddr,
    jobs: Jobs<Done>,
    /// Bodies that go on once what was made of them has been sent.
    bodies: Vec<(u32, Body)>,
}

/// Serves a connection to its end.
pub(crate) async fn run(context: Arc<Context>, line: Arc<Line>, tls: Tls<TcpStream>, peer: SocketAddr) {
    let mut out = SCRATCH.take();
    let server = Server::new(limits(&context.limits), &mut out);
    let work = Work { context, peer, jobs: Jobs::new(), bodies: Vec::new() };
    let mut connection = Connection { tls, server, work, line, waits: None, opened: true, end: None };
    let greeted = connection.seal(&mut out);
    SCRATCH.set(out);
    let ended = match greeted {
        Ok(()) => poll_fn(|cx| connection.poll(cx)).await,
        Err(error) => Err(error),
    };
    match ended {
        Ok(end) => Box::pin(connection.close(end)).await,
        Err(error) => {
            tracing::trace!(%peer, %error, "connection ended");
            // What the peer does not take is not kept for it.
            let _ = connection.tls.socket.set_zero_linger();
        }
    }
}

fn limits(limits: &Limits) -> nx_h2::Limits {
    nx_h2::Limits {
        streams_max: STREAMS_MAX,
        fields_bytes_max: FIELDS_BYTES_MAX,
        drain_min: limits.drain_min,
        drain_timeout_s: u32::try_from(limits.drain_timeout.as_secs()).unwrap_or(u32::MAX),
    }
}

impl Connection {
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<End>> {
        self.line.held_by(cx.waker());
        let mut out = SCRATCH.take();
        let ended = self.rounds(cx, &mut out);
        out.clear();
        SCRATCH.set(out);
        ended
    }

    fn rounds(&mut self, cx: &mut TaskContext<'_>, out: &mut Out) -> Poll<io::Result<End>> {
        self.look(out)?;
        self.seal(out)?;
        for _ in 0..ROUNDS {
            // First of all what was sealed before: nothing is read for a peer that takes nothing.
            let Poll::Ready(()) = self.flush(cx)? else { return Poll::Pending };
            let read = self.end.is_none() && self.read(cx, out)?;
            let made = self.end.is_none() && self.make(cx, out);
            self.seal(out)?;
            let Poll::Ready(()) = self.flush(cx)? else { return Poll::Pending };
            if let Some(end) = self.end.or(self.server.is_over().then_some(End::Over)) {
                return Poll::Ready(Ok(end));
            }
            if !made && !read {
                self.wait();
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Looks whether the listener stops, and at the deadline.
    fn look(&mut self, out: &mut Out) -> io::Result<()> {
        let context = self.work.context.clone();
        if context.stopping.load(Ordering::Relaxed) {
            self.server.leave(out);
        }
        if !self.line.is_late(&context.clock) {
            return Ok(());
        }
        match self.waits.take() {
            Some(Waits::Socket | Waits::Head) => return Err(ErrorKind::TimedOut.into()),
            Some(Waits::Request) => self.server.leave(out),
            Some(Waits::Window) | None => loop {
                match self.server.expire(context.clock.now_s(), out) {
                    Ok(Some(Event::Reset { stream })) => self.work.forget(stream),
                    Ok(_) => break,
                    Err(fault) => {
                        self.refuse(fault);
                        break;
                    }
                }
            },
        }
        Ok(())
    }

    /// Reads once, and begins what is asked for; whether there may be more to read.
    fn read(&mut self, cx: &mut TaskContext<'_>, out: &mut Out) -> io::Result<bool> {
        if !std::mem::take(&mut self.opened) {
            match self.tls.poll_fill(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) if error.kind() == ErrorKind::InvalidData => {
                    // The session has an alert to send.
                    tracing::debug!(peer = %self.work.peer, %error, "refused");
                    self.end = Some(End::Refused);
                    return Ok(false);
                }
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        loop {
            let mut reader = self.tls.session.reader();
            let bytes = match reader.fill_buf() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Ok(bytes) if !bytes.is_empty() => bytes,
                // The peer has closed its side: nobody reads answers.
                _ => {
                    self.end = Some(End::Over);
                    return Ok(false);
                }
            };
            let (len, mut rest) = (bytes.len(), bytes);
            loop {
                match self.server.next(&mut rest, out) {
                    Ok(Some(event)) => {
                        // The time between requests begins anew.
                        self.waits = None;
                        self.work.event(event, &mut self.server, cx, out);
                    }
                    Ok(None) => break,
                    Err(fault) => {
                        self.refuse(fault);
                        return Ok(false);
                    }
                }
            }
            reader.consume(len);
        }
    }

    fn refuse(&mut self, fault: Fault) {
        tracing::debug!(peer = %self.work.peer, %fault, "refused");
        self.end = Some(End::Refused);
    }

    /// Makes frames of what is there; whether more can be made at once.
    fn make(&mut self, cx: &mut TaskContext<'_>, out: &mut Out) -> bool {
        while let Some((stream, done)) = self.work.jobs.next() {
            self.work.done(stream, done, &mut self.server, cx, out);
        }
        let full = self.server.transmit(out, BATCH, self.work.context.clock.now_s());
        self.work.go_on(&mut self.server, cx, out) || full
    }

    /// Seals everything in as few records as it fits in.
    fn seal(&mut self, out: &mut Out) -> io::Result<()> {
        if !out.is_empty() {
            let slices = out.slices();
            let len: usize = slices.iter().map(|s| s.len()).sum();
            let sealed = self.tls.session.writer().write_vectored(&slices)?;
            debug_assert_eq!(sealed, len, "the session has no limit");
            out.clear();
        }
        Ok(())
    }

    /// Sends what is sealed; while it cannot, that has its deadline.
    fn flush(&mut self, cx: &mut TaskContext<'_>) -> io::Result<Poll<()>> {
        let (before, sent) = (self.tls.sent, self.tls.poll_sealed(cx)?);
        if sent.is_pending() {
            let Limits { drain_timeout, drain_min, .. } = self.work.context.limits;
            let clock = &self.work.context.clock;
            if self.waits.replace(Waits::Socket) == Some(Waits::Socket) {
                let more = self.tls.sent.wrapping_sub(before) / u64::from(drain_min.max(1));
                self.line.extend(clock, u32::try_from(more).unwrap_or(u32::MAX), drain_timeout);
            } else {
                self.line.within(clock, drain_timeout);
            }
        }
        Ok(sent)
    }

    /// Notes by when something has to come.
    fn wait(&mut self) {
        let Context { limits, clock, .. } = &*self.work.context;
        let waits = match () {
            () if self.server.is_partial() => Waits::Head,
            () if self.server.is_idle() => Waits::Request,
            () => Waits::Window,
        };
        let as_before = self.waits.replace(waits) == Some(waits);
        match waits {
            // None of them is put off by what comes meanwhile.
            Waits::Window => match self.server.due_s() {
                Some(due_s) => self.line.by(due_s),
                None => self.line.at_ease(),
            },
            Waits::Head if !as_before => self.line.within(clock, limits.head_timeout),
            Waits::Request if !as_before => self.line.within(clock, limits.idle_timeout),
            _ => {}
        }
    }

    /// Closes in the order that lets the peer read what was said last.
    async fn close(mut self, end: End) {
        let limit = self.work.context.limits.head_timeout;
        let closed = tokio::time::timeout(limit, poll_fn(|cx| self.tls.poll_close(cx))).await;
        if matches!((closed, end), (Ok(Ok(())), End::Refused)) {
            drain(&mut self.tls.socket).await;
        }
    }
}

impl Work {
    fn event(&mut self, event: Event, server: &mut Server, cx: &mut TaskContext<'_>, out: &mut Out) {
        match event {
            Event::Request { stream, request } => {
                let job = answer(self.context.clone(), self.peer, request);
                self.start(stream, job, server, cx, out);
            }
            Event::Reset { stream } => self.forget(stream),
        }
    }

    /// Begins a job; whether it is done.
    fn start(
        &mut self,
        stream: u32,
        job: Job<Done>,
        server: &mut Server,
        cx: &mut TaskContext<'_>,
        out: &mut Out,
    ) -> bool {
        let done = self.jobs.start(stream, job, cx);
        done.map(|done| self.done(stream, done, server, cx, out)).is_some()
    }

    fn done(
        &mut self,
        stream: u32,
        done: Done,
        server: &mut Server,
        cx: &mut TaskContext<'_>,
        out: &mut Out,
    ) {
        match done {
            Done::Answer(mut response, head) => {
                let bodiless = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
                let body = std::mem::take(response.body_mut());
                let said = head || bodiless || response.headers().contains_key(header::CONTENT_LENGTH);
                let length = body.size().filter(|_| !said).map(HeaderValue::from);
                let (slices, rest) = match body {
                    _ if head || bodiless => (VecDeque::new(), None),
                    Body::Empty => (VecDeque::new(), None),
                    Body::Slices(slices) => (slices, None),
                    body => (VecDeque::new(), Some(body)),
                };
                let date = date(self.context.clock.unix_s());
                // Of what was made elsewhere, the date is when it was made.
                let dated = response.headers().contains_key(header::DATE);
                let ours = [
                    (&header::DATE, Some(&date).filter(|_| !dated)),
                    (&header::CONTENT_LENGTH, length.as_ref()),
                    (&header::ALT_SVC, self.context.alt_svc.as_ref()),
                ];
                let ours = ours.into_iter().filter_map(|(name, value)| Some((name, value?)));
                let fields = response.headers().iter().chain(ours);
                server.respond(stream, response.status(), fields, slices, rest.is_some(), out);
                if let Some(body) = rest {
                    self.start(stream, piece(body), server, cx, out);
                }
            }
            Done::Piece(body, Some(Ok(data))) => {
                server.push(stream, data, true);
                self.bodies.push((stream, body));
            }
            Done::Piece(_, None) => server.push(stream, Bytes::new(), false),
            // Cut off: nobody shall take a part for the whole.
            Done::Piece(_, Some(Err(error))) => {
                tracing::debug!(%error, "a body failed");
                server.fail(stream, out);
            }
        }
    }

    /// Makes more of the bodies of which everything was sent; whether there is something new to send.
    fn go_on(&mut self, server: &mut Server, cx: &mut TaskContext<'_>, out: &mut Out) -> bool {
        let mut any = false;
        for (stream, body) in std::mem::take(&mut self.bodies) {
            if server.is_hungry(stream) {
                any |= self.start(stream, piece(body), server, cx, out);
            } else {
                self.bodies.push((stream, body));
            }
        }
        any
    }

    fn forget(&mut self, stream: u32) {
        self.jobs.forget(stream);
        self.bodies.retain(|(of, _)| *of != stream);
    }
}

/// The answer to a request, as every listener gives it.
fn answer(context: Arc<Context>, peer: SocketAddr, request: Box<Request<Bytes>>) -> Job<Done> {
    Box::pin(async move {
        let head = *request.method() == Method::HEAD;
        let response = respond(&*context.handler, request.map(Upload::Whole), peer).await;
        Done::Answer(response, head)
    })
}

/// The next piece of a body that comes by and by.
fn piece(mut body: Body) -> Job<Done> {
    Box::pin(async move {
        loop {
            let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            let Some(frame) = frame else { return Done::Piece(body, None) };
            match frame.map(|frame| frame.into_data()) {
                Ok(Ok(data)) if data.is_empty() => {}
                Ok(Ok(data)) => return Done::Piece(body, Some(Ok(data))),
                // Trailers: there are none.
                Ok(Err(_)) => {}
                Err(error) => return Done::Piece(body, Some(Err(error))),
            }
        }
    })
}
