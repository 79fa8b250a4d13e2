//! What a connection of HTTP/1.1 stands on: a socket, or a session of TLS over one.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::{Context, hand_over::hand_over, send};
use crate::sealed::{self, Tls, WAITING_MAX};
use crate::slab::Chunk;

/// Bytes in order, both ways. Nothing here waits but what is polled.
pub(crate) trait Wire: AsyncRead + Send + Unpin + 'static {
    /// The socket below.
    fn tcp(&mut self) -> &mut TcpStream;
    /// Whether the peer has hung up, as soon as something comes from it.
    fn poll_gone(&mut self, cx: &mut TaskContext<'_>) -> Poll<bool>;
    /// Takes of a head and slices as many bytes as it can just now; how many.
    fn at_once(&mut self, head: &[u8], slices: &VecDeque<Bytes>) -> io::Result<usize>;
    /// Takes chunks away from the front as far as it can; how many bytes the socket took.
    fn some(&mut self, chunks: &mut VecDeque<Chunk>) -> io::Result<usize>;
    /// Whether everything that was taken is with the socket.
    fn is_flushed(&self) -> bool;
    /// Says, if there is a way to, that nothing follows, to a peer that is not waited for.
    fn farewell(&mut self);
    /// Closes our side.
    fn poll_close(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>>;
    /// Serves the rest of the connection by hyper; `read` has been read before.
    fn go_on(self, context: Arc<Context>, peer: SocketAddr, read: Bytes) -> impl Future<Output = ()> + Send;
}

impl Wire for TcpStream {
    fn tcp(&mut self) -> &mut TcpStream {
        self
    }

    fn poll_gone(&mut self, cx: &mut TaskContext<'_>) -> Poll<bool> {
        let mut byte = [0; 1];
        self.poll_peek(cx, &mut ReadBuf::new(&mut byte)).map(|read| !matches!(read, Ok(1..)))
    }

    fn at_once(&mut self, head: &[u8], slices: &VecDeque<Bytes>) -> io::Result<usize> {
        send::at_once(self, head, slices)
    }

    fn some(&mut self, chunks: &mut VecDeque<Chunk>) -> io::Result<usize> {
        send::some(self, chunks)
    }

    fn is_flushed(&self) -> bool {
        true
    }

    fn farewell(&mut self) {}

    fn poll_close(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(self).poll_shutdown(cx)
    }

    fn go_on(self, context: Arc<Context>, peer: SocketAddr, read: Bytes) -> impl Future<Output = ()> + Send {
        hand_over(context, self, peer, read)
    }
}

impl Wire for Tls<TcpStream> {
    fn tcp(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// What comes is opened: a farewell is not to be seen from outside.
    fn poll_gone(&mut self, cx: &mut TaskContext<'_>) -> Poll<bool> {
        self.poll_readable(cx).map(|read| !matches!(read, Ok(1..)))
    }

    fn at_once(&mut self, head: &[u8], slices: &VecDeque<Bytes>) -> io::Result<usize> {
        let vectors = std::iter::once(head).chain(slices.iter().map(|s| &**s));
        let taken = self.seal(&send::vectors(vectors, WAITING_MAX))?;
        self.try_sealed()?;
        Ok(taken)
    }

    fn some(&mut self, chunks: &mut VecDeque<Chunk>) -> io::Result<usize> {
        let before = self.sent;
        while self.try_sealed()? && !chunks.is_empty() {
            let vectors = chunks.iter().map_while(Chunk::memory);
            let taken = self.seal(&send::vectors(vectors, WAITING_MAX))?;
            if taken == 0 {
                // The kernel cannot seal what lies in a file.
                return Err(ErrorKind::Unsupported.into());
            }
            send::take(chunks, taken);
        }
        Ok(usize::try_from(self.sent.wrapping_sub(before)).unwrap_or(usize::MAX))
    }

    fn is_flushed(&self) -> bool {
        !self.session.wants_write()
    }

    fn farewell(&mut self) {
        self.session.send_close_notify();
        let _ = self.try_sealed();
    }

    fn poll_close(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Self::poll_close(self, cx)
    }

    fn go_on(self, context: Arc<Context>, peer: SocketAddr, read: Bytes) -> impl Future<Output = ()> + Send {
        sealed::Line::new(self).turns(move |sealed| hand_over(context, sealed, peer, read))
    }
}
