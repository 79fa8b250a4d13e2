//! QUIC as the `h3` crate wants it: quinn's streams, with a bound on what a peer may make us keep.
//!
//! `h3` collects a frame until it is whole, however long it says it is; here a stream ends at [`HEAD_BYTES_MAX`] or
//! [`CONTROL_BYTES_MAX`]. The sending half can be taken away once the head is sent, so that bodies go to quinn as they
//! are, without a copy.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use quinn::VarInt;

/// Bytes that a request may have on the wire.
pub(super) const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Bytes that a control stream may have in its life: priorities and settings.
const CONTROL_BYTES_MAX: usize = 256 * 1024;
/// Read at a time.
const READ_BYTES: usize = 2048;

type Coming<T> = Pin<Box<dyn Future<Output = Result<T, quinn::ConnectionError>> + Send + Sync>>;

/// The sending half of a request's stream, until somebody takes it.
pub(super) type Outlet = Arc<Mutex<Option<quinn::SendStream>>>;

/// A connection for `h3`.
pub(super) struct Link {
    connection: quinn::Connection,
    requests: Coming<(quinn::SendStream, quinn::RecvStream)>,
    controls: Coming<quinn::RecvStream>,
    opening: Option<Coming<quinn::SendStream>>,
    /// Outlet of the request that was accepted last.
    newest: Arc<Mutex<Option<Outlet>>>,
}

impl Link {
    pub(super) fn new(connection: quinn::Connection) -> Self {
        let (requests, controls) = (next_request(connection.clone()), next_control(connection.clone()));
        Self { connection, requests, controls, opening: None, newest: Arc::default() }
    }

    /// Where the outlet of each accepted request is found, before the next one is accepted.
    pub(super) fn newest(&self) -> Arc<Mutex<Option<Outlet>>> {
        self.newest.clone()
    }
}

fn next_request(connection: quinn::Connection) -> Coming<(quinn::SendStream, quinn::RecvStream)> {
    Box::pin(async move { connection.accept_bi().await })
}

fn next_control(connection: quinn::Connection) -> Coming<quinn::RecvStream> {
    Box::pin(async move { connection.accept_uni().await })
}

impl quic::Connection<Bytes> for Link {
    type RecvStream = Inlet;
    type OpenStreams = Opener;

    fn poll_accept_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Inlet, ConnectionErrorIncoming>> {
        let stream = ready!(self.controls.as_mut().poll(cx));
        self.controls = next_control(self.connection.clone());
        Poll::Ready(stream.map(|s| Inlet::new(s, CONTROL_BYTES_MAX)).map_err(lost))
    }

    fn poll_accept_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Both, ConnectionErrorIncoming>> {
        let streams = ready!(self.requests.as_mut().poll(cx));
        self.requests = next_request(self.connection.clone());
        let (send, recv) = streams.map_err(lost)?;
        let out = Out::new(send);
        *lock(&self.newest) = Some(out.outlet.clone());
        Poll::Ready(Ok(Both { out, inlet: Inlet::new(recv, HEAD_BYTES_MAX) }))
    }

    fn opener(&self) -> Opener {
        Opener { connection: self.connection.clone(), opening: None }
    }
}

impl quic::OpenStreams<Bytes> for Link {
    type BidiStream = Both;
    type SendStream = Out;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<Both, StreamErrorIncoming>> {
        Poll::Ready(Err(never()))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<Out, StreamErrorIncoming>> {
        poll_open(&self.connection, &mut self.opening, cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.connection.close(varint(code.value()), reason);
    }
}

/// Opens the control streams of a connection.
pub(super) struct Opener {
    connection: quinn::Connection,
    opening: Option<Coming<quinn::SendStream>>,
}

impl quic::OpenStreams<Bytes> for Opener {
    type BidiStream = Both;
    type SendStream = Out;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<Both, StreamErrorIncoming>> {
        Poll::Ready(Err(never()))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<Out, StreamErrorIncoming>> {
        poll_open(&self.connection, &mut self.opening, cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.connection.close(varint(code.value()), reason);
    }
}

fn poll_open(
    connection: &quinn::Connection,
    opening: &mut Option<Coming<quinn::SendStream>>,
    cx: &mut Context<'_>,
) -> Poll<Result<Out, StreamErrorIncoming>> {
    let connection = connection.clone();
    let open = opening.get_or_insert_with(|| Box::pin(async move { connection.open_uni().await }));
    let stream = ready!(open.as_mut().poll(cx));
    *opening = None;
    let broken = |e| StreamErrorIncoming::ConnectionErrorIncoming { connection_error: lost(e) };
    Poll::Ready(stream.map(Out::new).map_err(broken))
}

/// A request's stream.
pub(super) struct Both {
    out: Out,
    inlet: Inlet,
}

impl quic::SendStream<Bytes> for Both {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.out.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.out.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.out.poll_finish(cx)
    }

    fn reset(&mut self, code: u64) {
        self.out.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.out.send_id()
    }
}

impl quic::RecvStream for Both {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.inlet.poll_data(cx)
    }

    fn stop_sending(&mut self, code: u64) {
        self.inlet.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.inlet.recv_id()
    }
}

/// A sending half; after it was taken away everything here does nothing.
pub(super) struct Out {
    outlet: Outlet,
    id: StreamId,
    waiting: Option<WriteBuf<Bytes>>,
}

impl Out {
    fn new(stream: quinn::SendStream) -> Self {
        let id = stream_id(stream.id());
        Self { outlet: Arc::new(Mutex::new(Some(stream))), id, waiting: None }
    }
}

impl quic::SendStream<Bytes> for Out {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        let mut outlet = lock(&self.outlet);
        if let (Some(data), Some(stream)) = (&mut self.waiting, outlet.as_mut()) {
            while data.has_remaining() {
                let written = ready!(Pin::new(&mut *stream).poll_write(cx, data.chunk()));
                data.advance(written.map_err(|e| match e {
                    quinn::WriteError::Stopped(code) => {
                        StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }
                    }
                    quinn::WriteError::ConnectionLost(e) => {
                        StreamErrorIncoming::ConnectionErrorIncoming { connection_error: lost(e) }
                    }
                    other => StreamErrorIncoming::Unknown(Box::new(other)),
                })?);
            }
        }
        self.waiting = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.waiting = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        // An end that was said twice is no fault.
        let _ = lock(&self.outlet).as_mut().map(quinn::SendStream::finish);
        Poll::Ready(Ok(()))
    }

    fn reset(&mut self, code: u64) {
        let _ = lock(&self.outlet).as_mut().map(|s| s.reset(varint(code)));
    }

    fn send_id(&self) -> StreamId {
        self.id
    }
}

/// A receiving half that ends with an error after `left` bytes.
pub(super) struct Inlet {
    stream: quinn::RecvStream,
    left: usize,
}

impl Inlet {
    fn new(stream: quinn::RecvStream, left: usize) -> Self {
        Self { stream, left }
    }
}

impl quic::RecvStream for Inlet {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        let mut buffer = [0; READ_BYTES];
        let read = ready!(self.stream.poll_read(cx, &mut buffer));
        let read = read.map_err(|e| match e {
            quinn::ReadError::Reset(code) => {
                StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }
            }
            quinn::ReadError::ConnectionLost(e) => {
                StreamErrorIncoming::ConnectionErrorIncoming { connection_error: lost(e) }
            }
            other => StreamErrorIncoming::Unknown(Box::new(other)),
        })?;
        let Some(left) = self.left.checked_sub(read) else {
            self.stop_sending(Code::H3_EXCESSIVE_LOAD.value());
            return Poll::Ready(Err(StreamErrorIncoming::Unknown("more than a request may have".into())));
        };
        self.left = left;
        Poll::Ready(Ok(buffer.get(..read).filter(|b| !b.is_empty()).map(Bytes::copy_from_slice)))
    }

    fn stop_sending(&mut self, code: u64) {
        let _ = self.stream.stop(varint(code));
    }

    fn recv_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

impl Drop for Inlet {
    /// A body that nobody reads is stopped in HTTP/3's terms (RFC 9114 §4.1), not in quinn's.
    fn drop(&mut self) {
        let _ = self.stream.stop(varint(Code::H3_NO_ERROR.value()));
    }
}

fn lost(error: quinn::ConnectionError) -> ConnectionErrorIncoming {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into_inner() }
        }
        quinn::ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        other => ConnectionErrorIncoming::Undefined(Arc::new(other)),
    }
}

fn never() -> StreamErrorIncoming {
    let why = "a server opens no request".to_owned();
    StreamErrorIncoming::ConnectionErrorIncoming {
        connection_error: ConnectionErrorIncoming::InternalError(why),
    }
}

fn stream_id(id: quinn::StreamId) -> StreamId {
    VarInt::from(id).into_inner().try_into().expect("both are 62 bits")
}

pub(super) fn varint(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
