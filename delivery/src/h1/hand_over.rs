//! Connections that are not for our loop go on under hyper, with the bytes already read in front.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::{Buf, Bytes};
use http::header;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Context;
use crate::listen::respond;
use crate::upload::Upload;

/// Serves the rest of a connection.
pub(crate) async fn hand_over<S>(context: Arc<Context>, socket: S, peer: SocketAddr, read: Bytes)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let shared = context.clone();
    let service = service_fn(move |request: http::Request<Incoming>| {
        let context = shared.clone();
        async move {
            let mut response = respond(&*context.handler, request.map(Upload::Hyper), peer).await;
            if let Some(alt_svc) = &context.alt_svc {
                response.headers_mut().insert(header::ALT_SVC, alt_svc.clone());
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = pin!(context.http.serve_connection(TokioIo::new(Rewound { read, socket }), service));
    let mut stop = context.stop.clone();
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = crate::stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%peer, %error, "connection ended");
    }
}

/// A socket of which some bytes have been read before.
struct Rewound<S> {
    read: Bytes,
    socket: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.socket).poll_read(cx, buf);
        }
        let len = self.read.len().min(buf.remaining());
        buf.put_slice(self.read.get(..len).unwrap_or_default());
        self.read.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
