//! Connections that stop being HTTP: bytes both ways, between a client and what a handler has found for it (RFC 9110 §7.8).
//!
//! A handler says so with 101 and the other end among the answer's extensions. Nothing is kept but one buffer each way: who
//! does not read has the other side wait.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};
use tokio::sync::watch;

/// Bytes that wait each way.
const BUFFER_LEN: usize = 8 << 10;
/// Without a byte for so long, a tunnel is closed when the listener stops.
const LULL: Duration = Duration::from_secs(1);
/// A tunnel is open no longer, busy or not: who asked for it was found out when it opened, and may have been shut out since.
const OPEN_MAX: Duration = Duration::from_secs(3600);

/// Both ends, once the answer is sent.
pub(crate) type Ends = (OnUpgrade, OnUpgrade);

/// Carries bytes until one side breaks off or both have ended; see [`between`].
pub(crate) async fn run((client, service): Ends, idle: Duration, stop: watch::Receiver<bool>) {
    match tokio::try_join!(client, service) {
        Ok((client, service)) => between(TokioIo::new(client), TokioIo::new(service), idle, stop).await,
        Err(error) => tracing::debug!(%error, "nothing came of an upgrade"),
    }
}

/// Ends also after `idle` to twice that without a byte of either side, in the first [`LULL`] once `stop` is true, and after
/// [`OPEN_MAX`].
async fn between<C, S>(client: C, mut service: S, idle: Duration, mut stop: watch::Receiver<bool>)
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let moves = AtomicU64::new(0);
    // Each compares with what it saw itself.
    let still = async |period: Duration| {
        let mut seen = moves.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(period).await;
            let now = moves.load(Ordering::Relaxed);
            if now == seen {
                return;
            }
            seen = now;
        }
    };
    let mut client = Noted { inner: client, moves: &moves };
    tokio::select! {
        _ = copy_bidirectional_with_sizes(&mut client, &mut service, BUFFER_LEN, BUFFER_LEN) => {}
        () = tokio::time::sleep(OPEN_MAX) => {}
        () = still(idle) => {}
        () = async {
            crate::stopped(&mut stop).await;
            still(LULL).await;
        } => {}
    }
}

/// One end, where it is counted whenever bytes pass, whichever way.
struct Noted<'a, T> {
    inner: T,
    moves: &'a AtomicU64,
}

impl<T> Noted<'_, T> {
    fn note<R>(&self, done: &Poll<io::Result<R>>) {
        if let Poll::Ready(Ok(_)) = done {
            self.moves.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Noted<'_, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.note(&read);
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Noted<'_, T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.note(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
