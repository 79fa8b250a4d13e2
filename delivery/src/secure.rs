//! Listeners with TLS: HTTP/1.1 and HTTP/2 over TCP, HTTP/3 beside them on the same port over UDP.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::{Accept, TlsAcceptor};

use crate::certs::Certs;
use crate::h3;
use crate::listen::{Handler, Limits, Listening, http, prepared, serve_stream};
use crate::sealed::Line;

/// How often a free port is looked for that UDP has too.
const TRIES: usize = 16;
/// Bytes that the kernel may keep for the UDP socket in each direction; less where the system allows less.
const UDP_BUFFER_BYTES: usize = 4 << 20;

/// Sockets of a listener with TLS.
#[derive(Debug)]
pub struct Pair {
    tcp: TcpListener,
    /// For HTTP/3, on the same port.
    udp: Option<UdpSocket>,
}

/// Takes a port for TCP and, with `http3`, for UDP.
///
/// # Errors
/// When one of them is taken; the message says which.
pub async fn bind_pair(address: SocketAddr, http3: bool) -> io::Result<Pair> {
    let named = |what: &str, e: &io::Error| io::Error::new(e.kind(), format!("{what}: {e}"));
    let mut tries = if address.port() == 0 { TRIES } else { 1 };
    loop {
        tries -= 1;
        let tcp = TcpListener::bind(address).await.map_err(|e| named("TCP", &e))?;
        if !http3 {
            return Ok(Pair { tcp, udp: None });
        }
        match UdpSocket::bind(tcp.local_addr()?) {
            Ok(udp) => return Ok(Pair { tcp, udp: Some(udp) }),
            Err(e) if tries == 0 => return Err(named("UDP, for HTTP/3", &e)),
            Err(_) => {}
        }
    }
}

/// Serves `handler` over TLS, and over HTTP/3 when the pair has a socket for it, until `stop` turns true; then requests
/// that run are finished, for at most `grace`. Each of both has its own `limits.connections_max`.
///
/// # Errors
/// When the sockets cannot be used, or TLS cannot be set up.
pub fn serve_secure(
    pair: Pair,
    certs: &Arc<Certs>,
    handler: Arc<dyn Handler>,
    limits: Limits,
    stop: watch::Receiver<bool>,
    grace: Duration,
) -> io::Result<Listening> {
    let address = pair.tcp.local_addr()?;
    let tls = certs.server(&[b"h2", b"http/1.1"]).map_err(io::Error::other)?;
    let mut alt_svc = None;
    let mut http3 = None;
    if let Some(udp) = pair.udp {
        let socket = socket2::SockRef::from(&udp);
        // Best effort: the system may allow less, and it works with less.
        let _ = socket.set_recv_buffer_size(UDP_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(UDP_BUFFER_BYTES);
        http3 = Some(h3::serve(udp, certs, handler.clone(), limits, stop.clone(), grace)?);
        alt_svc = HeaderValue::from_str(&format!("h3=\":{}\"; ma=86400", address.port())).ok();
    }
    let door = Door { listener: pair.tcp, tls: TlsAcceptor::from(tls), handler, alt_svc, limits };
    let done = tokio::spawn(async move {
        door.accept(stop, grace).await;
        if let Some(http3) = http3 {
            let _ = http3.await;
        }
    });
    Ok(Listening { address, done })
}

struct Door {
    listener: TcpListener,
    tls: TlsAcceptor,
    handler: Arc<dyn Handler>,
    alt_svc: Option<HeaderValue>,
    limits: Limits,
}

impl Door {
    async fn accept(self, mut stop: watch::Receiver<bool>, grace: Duration) {
        let places = Arc::new(Semaphore::new(self.limits.connections_max));
        let graceful = GracefulShutdown::new();
        let [one, two] = [http(self.limits).http1_only(), http(self.limits).http2_only()].map(Arc::new);
        loop {
            let accepted = async {
                let place = places.clone().acquire_owned().await.ok()?;
                Some((self.listener.accept().await, place))
            };
            let (socket, peer, place) = tokio::select! {
                () = crate::stopped(&mut stop) => break,
                accepted = accepted => match accepted {
                    Some((Ok((socket, peer)), place)) => (prepared(socket), peer, place),
                    Some((Err(error), _)) => {
                        tracing::warn!(%error, "accept failed, trying again in 100 ms");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                    None => break,
                },
            };
            // On the heap for as long as it takes: an idle connection shall not keep room for its handshake.
            let shaking = Box::pin(shake(self.tls.accept(socket), self.limits.head_timeout, peer));
            let (one, two, watcher) = (one.clone(), two.clone(), graceful.watcher());
            let (handler, alt_svc) = (self.handler.clone(), self.alt_svc.clone());
            tokio::spawn(async move {
                let _place = place;
                let Some(connection) = shaking.await else { return };
                let http = if connection.speaks(b"h2") { two } else { one };
                connection.turns(|sealed| serve_stream(&http, sealed, handler, peer, alt_svc, watcher)).await;
            });
        }
        drop(self.listener);
        let _ = tokio::time::timeout(grace, graceful.shutdown()).await;
    }
}

/// The connection after its handshake; `None`, with a word in the log, when there is none in time.
async fn shake(shaking: Accept<TcpStream>, limit: Duration, peer: SocketAddr) -> Option<Line<TcpStream>> {
    match tokio::time::timeout(limit, shaking).await {
        Ok(Ok(stream)) => return Some(Line::new(stream)),
        Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS connection"),
        Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
    }
    None
}
