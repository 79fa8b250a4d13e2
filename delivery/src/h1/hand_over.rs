//! Connections that are not for our loop go on under hyper, with the bytes already read in front; those that are upgraded go
//! on as tunnels.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll};

use bytes::{Buf, Bytes};
use http::{StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot;

use super::connection::{Context, LINGER, drain};
use super::head::HTTP2;
use crate::listen::respond;
use crate::tunnel;
use crate::upload::Upload;

/// Serves the rest of a connection.
pub(crate) async fn hand_over<S>(context: Arc<Context>, socket: S, peer: SocketAddr, read: Bytes)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (shared, ends) = (context.clone(), Arc::new(Mutex::new(None)));
    let upgraded = ends.clone();
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        let (context, ends) = (shared.clone(), ends.clone());
        async move {
            let client = request.extensions_mut().remove::<OnUpgrade>();
            if client.is_none() {
                // In HTTP/2 there is no such field, and nobody behind us shall take it for one.
                request.headers_mut().remove(header::UPGRADE);
            }
            let mut response = respond(&*context.handler, request.map(Upload::Hyper), peer).await;
            if let Some(alt_svc) = &context.alt_svc {
                response.headers_mut().insert(header::ALT_SVC, alt_svc.clone());
            }
            let service = response.extensions_mut().remove::<OnUpgrade>();
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                *ends.lock().unwrap_or_else(PoisonError::into_inner) = client.zip(service);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let is_h2 = read.starts_with(HTTP2);
    let (back, mut given_back) = oneshot::channel();
    let ended = {
        let socket = TokioIo::new(Rewound { read, socket: Some(socket), back: Some(back) });
        let mut connection = pin!(context.http.serve_connection_with_upgrades(socket, service));
        let mut stop = context.stop.clone();
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = crate::stopped(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%peer, %error, "connection ended");
        // Hyper has let go of it. HTTP/1.1 is cut: a body that ends with the connection shall not look whole.
        if is_h2 && let Ok(socket) = given_back.try_recv() {
            Box::pin(close(socket)).await;
        }
    }
    let ends = upgraded.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(ends) = ends {
        // In a box, as all that waits seldom.
        Box::pin(tunnel::run(ends, context.limits.idle_timeout, context.stop.clone())).await;
    }
}

/// Closes in the order that lets the peer read what was said last: hyper does not look at what comes behind an error.
async fn close<S: AsyncRead + AsyncWrite + Unpin>(mut socket: S) {
    let closed = async {
        // Hyper may have done so.
        if socket.shutdown().await.is_ok() {
            drain(&mut socket).await;
        }
    };
    let _ = tokio::time::timeout(LINGER, closed).await;
}

/// A socket of which some bytes have been read before. Whoever lets go of it gives it back.
struct Rewound<S> {
    read: Bytes,
    /// Here until then.
    socket: Option<S>,
    back: Option<oneshot::Sender<S>>,
}

impl<S> Drop for Rewound<S> {
    fn drop(&mut self) {
        if let (Some(socket), Some(back)) = (self.socket.take(), self.back.take()) {
            // Nobody waits for that of an upgraded connection.
            let _ = back.send(socket);
        }
    }
}

impl<S: Unpin> Rewound<S> {
    fn socket(&mut self) -> io::Result<Pin<&mut S>> {
        self.socket.as_mut().map(Pin::new).ok_or_else(|| ErrorKind::NotConnected.into())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return self.socket()?.poll_read(cx, buf);
        }
        let len = self.read.len().min(buf.remaining());
        buf.put_slice(self.read.get(..len).unwrap_or_default());
        self.read.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.socket()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.socket()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_shutdown(cx)
    }
}
