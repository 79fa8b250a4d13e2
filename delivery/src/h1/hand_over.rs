//! Connections that are not for our loop go on under hyper, with the bytes already read in front; those that are upgraded go
//! on as tunnels.

use std::convert::Infallible;
use std::io;
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
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Context;
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
    let socket = TokioIo::new(Rewound { read, socket });
    let mut connection = pin!(context.http.serve_connection_with_upgrades(socket, service));
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
    let ends = upgraded.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(ends) = ends {
        // In a box, as all that waits seldom.
        Box::pin(tunnel::run(ends, context.limits.idle_timeout, context.stop.clone())).await;
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
