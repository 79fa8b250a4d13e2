//! A TLS connection after its handshake, with writes gathered: records are full, and what one turn of the connection
//! makes leaves in one call to the kernel.
//!
//! Hyper writes piece by piece and flushes after each: sealed as they come, there would be short records, and each would
//! be a call of its own. Our HTTP/1.1 and HTTP/2 hand over all of a turn at once and use [`Tls`] as it is.

use std::future::{Future, poll_fn};
use std::io::{self, BufRead, ErrorKind, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// Bytes of a full record (RFC 8446 §5.1).
const RECORD: usize = 16 * 1024;
/// Sealed bytes that wait for the socket before a writer has to; and the most that is taken of one write.
pub(crate) const WAITING_MAX: usize = 64 * 1024;

/// A connection over TLS.
pub(crate) struct Line<S>(Arc<Mutex<Tls<S>>>);

/// The same as HTTP sees it. To flush it does nothing: [`Line::turns`] does.
pub(crate) struct Sealed<S>(Arc<Mutex<Tls<S>>>);

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    pub(crate) fn new(tls: Tls<S>) -> Self {
        Self(Arc::new(Mutex::new(tls)))
    }

    /// Runs what `serve` makes of the connection, and sends what it wrote after each of its turns.
    pub(crate) fn turns<F: Future<Output = ()>>(
        self,
        serve: impl FnOnce(Sealed<S>) -> F,
    ) -> impl Future<Output = ()> {
        let mut served = Box::pin(serve(Sealed(self.0.clone())));
        poll_fn(move |cx| {
            let turn = served.as_mut().poll(cx);
            match lock(&self.0).poll_all(cx) {
                Poll::Ready(Err(_)) => Poll::Ready(()),
                _ => turn,
            }
        })
    }
}

/// A socket and its session.
pub(crate) struct Tls<S> {
    pub(crate) socket: S,
    pub(crate) session: ServerConnection,
    /// Bytes that do not fill a record yet.
    open: Vec<u8>,
    /// Bytes that were sealed and not sent.
    waiting: usize,
    /// Bytes that the socket took so far.
    pub(crate) sent: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Tls<S> {
    /// Takes over after the handshake.
    pub(crate) fn new(stream: TlsStream<S>) -> Self {
        let (socket, mut session) = stream.into_inner();
        // What waits is counted here.
        session.set_buffer_limit(None);
        Self { socket, session, open: Vec::new(), waiting: 0, sent: 0 }
    }

    /// Whether this protocol was agreed on.
    pub(crate) fn speaks(&self, protocol: &[u8]) -> bool {
        self.session.alpn_protocol() == Some(protocol)
    }

    /// Takes bytes, and seals every record that they fill.
    fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if self.open.len() + bytes.len() >= RECORD {
            let (first, rest) = bytes.split_at(RECORD - self.open.len());
            let (full, rest) = rest.split_at(rest.len() / RECORD * RECORD);
            let mut writer = self.session.writer();
            self.waiting += writer.write_vectored(&[IoSlice::new(&self.open), IoSlice::new(first)])?;
            self.waiting += writer.write(full)?;
            self.open.clear();
            bytes = rest;
        }
        self.open.extend_from_slice(bytes);
        Ok(())
    }

    /// Sends everything, full records or not.
    fn poll_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.open.is_empty() {
            // An idle connection keeps no room.
            self.waiting += self.session.writer().write(&std::mem::take(&mut self.open))?;
        }
        self.poll_sealed(cx)
    }

    /// Sends what is sealed.
    pub(crate) fn poll_sealed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let sent = self.session.write_tls(&mut Blocking { socket: &mut self.socket, cx });
            let sent = ready!(polled(sent))?;
            if sent == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.sent += sent as u64;
        }
        self.waiting = 0;
        Poll::Ready(Ok(()))
    }

    /// Waits until there is something to read; how many bytes, none at the end.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            match self.session.reader().fill_buf() {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                bytes => return Poll::Ready(bytes.map(<[u8]>::len)),
            }
            ready!(self.poll_fill(cx))?;
        }
    }

    /// Opens what the socket has, for `session.reader()`. An error leaves an alert that says why, to be sent.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let read = self.session.read_tls(&mut Blocking { socket: &mut self.socket, cx });
        ready!(polled(read))?;
        self.session.process_new_packets().map_err(|e| io::Error::new(ErrorKind::InvalidData, e))?;
        Poll::Ready(Ok(()))
    }

    /// Ends the session and closes our side.
    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_all(cx))?;
        self.session.send_close_notify();
        ready!(self.poll_all(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl Tls<TcpStream> {
    /// Seals as much as one call takes; how many bytes.
    pub(crate) fn seal(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        self.session.writer().write_vectored(bytes)
    }

    /// Sends of what is sealed as much as the socket takes; whether that was all.
    pub(crate) fn try_sealed(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Trying(&self.socket)) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(sent) => self.sent += sent as u64,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tls<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_readable(cx))?;
        let read = self.session.reader().read(buf.initialize_unfilled())?;
        buf.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Sealed<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.0)).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Sealed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.0);
        if state.waiting >= WAITING_MAX {
            ready!(state.poll_sealed(cx))?;
        }
        let mut taken = 0;
        for buf in bufs {
            let bytes = buf.get(..WAITING_MAX - taken).unwrap_or(buf);
            state.take(bytes)?;
            taken += bytes.len();
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.0).poll_close(cx)
    }
}

/// A socket as rustls wants it.
struct Blocking<'a, 'b, S> {
    socket: &'a mut S,
    cx: &'a mut Context<'b>,
}

impl<S: AsyncRead + Unpin> Read for Blocking<'_, '_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(buf);
        blocking(Pin::new(&mut *self.socket).poll_read(self.cx, &mut buf))?;
        Ok(buf.filled().len())
    }
}

impl<S: AsyncWrite + Unpin> Write for Blocking<'_, '_, S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.socket).poll_write(self.cx, buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.socket).poll_write_vectored(self.cx, bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket that is only asked what it takes just now.
struct Trying<'a>(&'a TcpStream);

impl Write for Trying<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn blocking<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

fn polled<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(e) if e.kind() == ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
