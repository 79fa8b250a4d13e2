//! HTTP/3: the handler core over QUIC.
//!
//! Every connection and every request is a task of its own: a fault in the library costs that one. Requests have no
//! bodies here; what a client sends after the head is not read.
//!
//! Spec: RFC 9000, RFC 9114.

mod reply;
mod wire;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h3::error::Code;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, IdleTimeout, ServerConfig, TransportConfig};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::certs::Certs;
use crate::listen::{Handler, Limits, respond};
use crate::upload::Upload;
use wire::{Link, Outlet, lock, varint};

/// Requests of one connection at a time.
const STREAMS_MAX: u32 = 128;
/// Control and table streams of a client at a time; three are needed.
const CONTROLS_MAX: u32 = 8;
/// What a peer may have under way to us: per stream, per connection.
const STREAM_WINDOW: u32 = 32 * 1024;
const WINDOW: u32 = 256 * 1024;
/// Unacknowledged bytes of one connection. They are shared slices of the window, not copies.
const SEND_WINDOW: u64 = 8 << 20;
/// A connection without a packet ends; longer than a request may be held.
const IDLE_S: u64 = 60;
/// Handshakes that run before strangers must show that their address is theirs (a Retry, RFC 9000 §8.1.2).
const SHAKING_MAX: usize = 128;
/// First packets that wait to be looked at; further ones are dropped.
const INCOMING_MAX: usize = 1024;
/// Requests without a readable head before the connection is closed. The library remembers each.
const BROKEN_MAX: usize = 32;
/// Fields of a request, uncompressed as RFC 9114 §4.2.2 counts them.
const FIELDS_BYTES_MAX: u64 = 16 * 1024;

type Connection = h3::server::Connection<Link, Bytes>;
type Resolver = h3::server::RequestResolver<Link, Bytes>;

/// Serves `handler` on `socket` until `stop` turns true; then requests that run are finished, for at most `grace`.
pub(crate) fn serve(
    socket: UdpSocket,
    certs: &Arc<Certs>,
    handler: Arc<dyn Handler>,
    limits: Limits,
    stop: watch::Receiver<bool>,
    grace: Duration,
) -> io::Result<JoinHandle<()>> {
    socket.set_nonblocking(true)?;
    let tls = certs.quic(&[b"h3"]).map_err(io::Error::other)?;
    let crypto = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport()))
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size_total(4 << 20);
    let runtime = Arc::new(quinn::TokioRuntime);
    let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime)?;
    Ok(tokio::spawn(accept_loop(endpoint, Arc::new(Service { handler, limits, stop }), grace)))
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(STREAMS_MAX.into())
        .max_concurrent_uni_streams(CONTROLS_MAX.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(WINDOW.into())
        .send_window(SEND_WINDOW)
        .max_idle_timeout(IdleTimeout::try_from(Duration::from_secs(IDLE_S)).ok())
        .datagram_receive_buffer_size(None)
        .ack_frequency_config(Some(quinn::AckFrequencyConfig::default()));
    transport
}

struct Service {
    handler: Arc<dyn Handler>,
    limits: Limits,
    stop: watch::Receiver<bool>,
}

async fn accept_loop(endpoint: Endpoint, service: Arc<Service>, grace: Duration) {
    let places = Arc::new(Semaphore::new(service.limits.connections_max));
    let shaking = Arc::new(AtomicUsize::new(0));
    let mut stop = service.stop.clone();
    let mut connections = JoinSet::new();
    loop {
        let incoming = tokio::select! {
            () = crate::stopped(&mut stop) => break,
            Some(_) = connections.join_next() => continue,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        if shaking.load(Ordering::Relaxed) >= SHAKING_MAX
            && incoming.may_retry()
            && !incoming.remote_address_validated()
        {
            let _ = incoming.retry();
            continue;
        }
        let Ok(place) = places.clone().try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let (service, shaking) = (service.clone(), Shaking::new(&shaking));
        connections.spawn(async move {
            let _place = place;
            let Ok(connecting) = incoming.accept() else { return };
            let shaken = tokio::time::timeout(service.limits.head_timeout, connecting).await;
            drop(shaking);
            match shaken {
                Ok(Ok(connection)) => Box::pin(service.connection(connection)).await,
                Ok(Err(error)) => tracing::debug!(%error, "no QUIC connection"),
                Err(_) => tracing::debug!("the QUIC handshake took too long"),
            }
        });
    }
    endpoint.set_server_config(None);
    let drained = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(grace, drained).await;
    endpoint.close(varint(Code::H3_NO_ERROR.value()), b"the server stops");
    // The last packets say so to every peer.
    let _ = tokio::time::timeout(Duration::from_millis(300), endpoint.wait_idle()).await;
}

/// Counts a handshake while it runs.
struct Shaking(Arc<AtomicUsize>);

impl Shaking {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Shaking {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Service {
    /// Serves one connection until it ends.
    async fn connection(self: Arc<Self>, quic: quinn::Connection) {
        let peer = quic.remote_address();
        let link = Link::new(quic);
        let newest = link.newest();
        let built = h3::server::builder()
            .max_field_section_size(FIELDS_BYTES_MAX)
            .send_grease(false)
            .build(link)
            .await;
        let mut connection: Connection = match built {
            Ok(connection) => connection,
            Err(error) => return tracing::debug!(%peer, %error, "no HTTP/3 connection"),
        };
        let mut stop = self.stop.clone();
        let mut requests = JoinSet::new();
        let mut broken = 0;
        loop {
            tokio::select! {
                () = crate::stopped(&mut stop) => break,
                Some(done) = requests.join_next() => {
                    broken += usize::from(!matches!(done, Ok(Ending::Answered)));
                    if broken > BROKEN_MAX {
                        tracing::debug!(%peer, "too many requests without a readable head");
                        return;
                    }
                }
                accepted = connection.accept() => match accepted {
                    Ok(Some(request)) => {
                        let Some(outlet) = lock(&newest).take() else { return };
                        requests.spawn(self.clone().request(request, outlet, peer));
                    }
                    Ok(None) => break,
                    Err(error) => return tracing::trace!(%peer, %error, "connection ended"),
                },
            }
        }
        // GOAWAY: what came so far is answered, nothing more is taken. Whoever waits for all of this has a limit.
        let _ = connection.shutdown(0).await;
        while requests.join_next().await.is_some() {}
    }

    async fn request(self: Arc<Self>, request: Resolver, outlet: Outlet, peer: SocketAddr) -> Ending {
        let resolved = tokio::time::timeout(self.limits.head_timeout, request.resolve_request()).await;
        let Ok(Ok((request, mut stream))) = resolved else { return Ending::Broken };
        let asked = request.method().clone();
        let response = respond(&*self.handler, request.map(|()| Upload::None), peer).await;
        let (head, body) = reply::head(&asked, response);
        if stream.send_response(head).await.is_err() {
            return Ending::Answered;
        }
        let taken = lock(&outlet).take();
        if let Some(mut out) = taken {
            reply::send(&mut out, body).await;
        }
        Ending::Answered
    }
}

/// How a request ended.
enum Ending {
    /// The client had its answer, or left.
    Answered,
    /// There was no request in it.
    Broken,
}
