//! Listeners with TLS: HTTP/1.1 and HTTP/2 over TCP, HTTP/3 beside them on the same port over UDP.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::certs::Certs;
use crate::h1::{self, Context};
use crate::listen::{Handler, Limits, Listening, accept_loop, context, http};
use crate::sealed::Tls;
use crate::{h2, h3, upgrade};

/// How often a free port is looked for that UDP has too.
const TRIES: usize = 16;
/// Bytes that the kernel may keep for the UDP socket in each direction; less where the system allows less.
const UDP_BUFFER_BYTES: usize = 4 << 20;

/// Sockets of a listener with TLS.
#[derive(Debug)]
pub struct Pair {
    tcp: Arc<TcpListener>,
    /// For HTTP/3, on the same port.
    udp: Option<UdpSocket>,
}

/// Takes a port for TCP and, with `http3`, for UDP; `key` is the setting that names the address. See `upgrade.rs`.
///
/// # Errors
/// When one of them is taken; the message says which.
pub async fn bind_pair(key: &str, address: SocketAddr, http3: bool) -> io::Result<Pair> {
    let named = |what: &str, e: &io::Error| io::Error::new(e.kind(), format!("{what}: {e}"));
    let mut tries = if address.port() == 0 { TRIES } else { 1 };
    loop {
        tries -= 1;
        let tcp = upgrade::listen(key, address).await.map_err(|e| named("TCP", &e))?;
        if !http3 {
            return Ok(Pair { tcp, udp: None });
        }
        match upgrade::listen_udp(key, tcp.local_addr()?) {
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
    let tls = TlsAcceptor::from(certs.server(&[b"h2", b"http/1.1"]).map_err(io::Error::other)?);
    // A session takes its bytes from memory.
    let limits = Limits { slab_bytes_max: 0, ..limits };
    let mut context = context(handler.clone(), limits, http(limits).http1_only(), stop.clone());
    let mut http3 = None;
    if let Some(udp) = pair.udp {
        let socket = socket2::SockRef::from(&udp);
        // Best effort: the system may allow less, and it works with less.
        let _ = socket.set_recv_buffer_size(UDP_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(UDP_BUFFER_BYTES);
        http3 = Some(h3::serve(udp, certs, handler, limits, stop, grace)?);
        context.alt_svc = HeaderValue::from_str(&format!("h3=\":{}\"; ma=86400", address.port())).ok();
    }
    let certs = certs.clone();
    let serve = move |context: Arc<Context>, line, socket, peer, place| {
        // On the heap for as long as it takes: an idle connection shall not keep room for its handshake.
        let shaking = Box::pin(shake(tls.accept(socket), context.limits.head_timeout, peer));
        let certs = certs.clone();
        tokio::spawn(async move {
            let _place = place;
            let Some(tls) = shaking.await else { return };
            if !certs.admits(tls.session.protocol_version()) {
                tracing::debug!(%peer, "not TLS 1.3");
                return;
            }
            if tls.speaks(b"h2") {
                h2::run(context, line, tls, peer).await;
            } else {
                h1::run(context, line, tls, peer, ()).await;
            }
        });
    };
    let done = tokio::spawn(async move {
        accept_loop(pair.tcp, context, grace, serve).await;
        if let Some(http3) = http3 {
            let _ = http3.await;
        }
    });
    Ok(Listening { address, done })
}

/// The connection after its handshake; `None`, with a word in the log, when there is none in time.
async fn shake(shaking: Accept<TcpStream>, limit: Duration, peer: SocketAddr) -> Option<Tls<TcpStream>> {
    match tokio::time::timeout(limit, shaking).await {
        Ok(Ok(stream)) => return Some(Tls::new(stream)),
        Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS connection"),
        Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
    }
    None
}
