//! Where browsers fetch streams: a WebTransport listener of their own, apart from that of the nodes.
//!
//! They need no certificate and can publish nothing. What they are shown is a certificate that lives for two weeks at
//! most and is made here: a page that tells its hash is believed, whatever the server's other certificates are.
//!
//! Spec: W3C WebTransport, `serverCertificateHashes`.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use nx_access::{Gate, Pass};
use nx_delivery::{Directory, Metrics, wall_s};
use nx_media::StreamKey;
use quinn::{Endpoint, IdleTimeout, Incoming, TransportConfig, VarInt};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::version::TLS13;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use web_transport_quinn::crypto;

use crate::config::BrowserConfig;
use crate::endpoint;
use crate::figures::One;
use crate::moq::{self, Asked};
use crate::publish::{HANDSHAKE_MAX, accept};
use crate::watch::feed;

/// A browser believes no certificate of more than 14 days. Its clock may be late.
const VALID: Duration = Duration::from_secs(13 * 86_400);
const EARLIER: Duration = Duration::from_secs(3_600);
/// A page connects with what it was told a moment ago, so that the one before need not be known.
const RENEW: Duration = Duration::from_secs(6 * 86_400);
/// How often it is looked whether a token still holds.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Streams of QUIC at a time that a browser opens: its session, and two for each track it asks for.
const QUIC_STREAMS_MAX: u32 = 32;
/// A browser that says nothing for this long has gone, milliseconds.
const SILENT_MS: u32 = 10_000;
const KEEP_ALIVE: Duration = Duration::from_secs(3);
/// Unacknowledged bytes of one connection. They are shared slices of the window, not copies.
const SEND_WINDOW: u64 = 8 << 20;

/// A listener for browsers at work.
pub struct Browsers {
    address: SocketAddr,
    /// SHA-256 of the certificate, hexadecimal.
    hash: RwLock<String>,
    figures: Arc<Watched>,
}

/// A listener, and the task that ends with it.
pub type Started = (Arc<Browsers>, JoinHandle<()>);

/// What it counts.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    sessions: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
}

impl Browsers {
    /// Opens the listener and serves what `directory` finds until `stop` turns true; the handle ends then. Nothing is
    /// opened without `config.listen`.
    ///
    /// # Errors
    /// In words, with what to do: the address cannot be had.
    pub fn start(
        config: &BrowserConfig,
        (directory, gate): (&Arc<dyn Directory>, &Arc<Gate>),
        stop: &watch::Receiver<bool>,
    ) -> Result<Option<Started>, String> {
        let Some(address) = config.listen else { return Ok(None) };
        let (shown, hash) = identity(nx_delivery::wall_ms())?;
        let endpoint = endpoint::listen("edge.moq.listen", address, shown)?;
        let address = endpoint.local_addr().map_err(|e| e.to_string())?;
        let browsers = Arc::new(Self { address, hash: RwLock::new(hash), figures: Arc::default() });
        tokio::spawn(browsers.clone().renew(endpoint.clone(), stop.clone()));
        let (directory, gate, figures) = (directory.clone(), gate.clone(), browsers.figures.clone());
        let serve = move |incoming| serve(incoming, (directory.clone(), gate.clone()), figures.clone());
        let done = tokio::spawn(accept(endpoint, config.sessions_max, stop.clone(), serve));
        Ok(Some((browsers, done)))
    }

    /// Where it listens; the port that was found when 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a page must know to connect.
    #[must_use]
    pub fn told(&self) -> serde_json::Value {
        let hash = self.hash.read().unwrap_or_else(PoisonError::into_inner);
        serde_json::json!({"port": self.address.port(), "sha256": *hash})
    }

    /// Adds its figures to a page of metrics.
    pub fn metrics(&self, out: &mut Metrics) {
        let Watched { sessions, sent_bytes } = &*self.figures;
        for (name, kind, help, value) in [
            ("nexus_moq_sessions", "gauge", "Browsers connected by WebTransport.", sessions),
            ("nexus_moq_sent_bytes_total", "counter", "Bytes of media to them.", sent_bytes),
        ] {
            out.single(name, kind, help, value.load(Ordering::Relaxed));
        }
    }

    /// Shows new connections another certificate long before the last one runs out.
    async fn renew(self: Arc<Self>, endpoint: Endpoint, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = nx_delivery::stopped(&mut stop) => return,
                () = tokio::time::sleep(RENEW) => {}
            }
            match identity(nx_delivery::wall_ms()) {
                Ok((shown, hash)) => {
                    endpoint.set_server_config(Some(shown));
                    *self.hash.write().unwrap_or_else(PoisonError::into_inner) = hash;
                }
                Err(error) => tracing::error!(error, "no new certificate for browsers"),
            }
        }
    }
}

/// A new certificate as a listener shows it, and its hash.
fn identity(now_ms: i64) -> Result<(quinn::ServerConfig, String), String> {
    let now = Duration::from_millis(u64::try_from(now_ms).unwrap_or(0));
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let key = KeyPair::generate().map_err(|e| e.to_string())?;
    let mut params = CertificateParams::new(["localhost".to_owned()]).map_err(|e| e.to_string())?;
    params.not_before = epoch + now.saturating_sub(EARLIER);
    params.not_after = epoch + now + VALID;
    let cert = params.self_signed(&key).map_err(|e| e.to_string())?.der().clone();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut hash = String::new();
    for byte in crypto::sha256(&provider, &cert).as_ref() {
        let _ = write!(hash, "{byte:02x}");
    }
    let tls = rustls::ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
    let tls = tls.map_err(|e| e.to_string())?.with_no_client_auth();
    let tls = tls.with_single_cert(vec![cert], PrivateKeyDer::Pkcs8(key.serialize_der().into()));
    let tls = tls.map_err(|e| e.to_string())?;
    Ok((endpoint::server(tls, web_transport_quinn::ALPN, transport())?, hash))
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(SILENT_MS))))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_uni_streams(VarInt::from_u32(QUIC_STREAMS_MAX))
        .max_concurrent_bidi_streams(VarInt::from_u32(QUIC_STREAMS_MAX))
        .send_window(SEND_WINDOW);
    transport
}

/// Serves one browser until its connection ends.
async fn serve(
    incoming: Incoming,
    (directory, gate): (Arc<dyn Directory>, Arc<Gate>),
    figures: Arc<Watched>,
) {
    let peer = incoming.remote_address();
    let enter = |key: &StreamKey, token: Option<&str>| gate.play(key, token, ("https", peer.ip()), wall_s());
    let greeting = async {
        let connection = incoming.await.map_err(|e| e.to_string())?;
        moq::welcome(connection, enter).await.map_err(|e| e.to_string())
    };
    let (session, own, pass) = match tokio::time::timeout(HANDSHAKE_MAX, greeting).await {
        Ok(Ok(welcome)) => welcome,
        Ok(Err(error)) => return tracing::debug!(%peer, error, "a browser was turned away"),
        Err(_) => return tracing::debug!(%peer, "a browser was turned away: it took too long to greet"),
    };
    let counted = figures.clone();
    let _session = One::of(&counted.sessions);
    // Who was let in for one stream gets that one.
    let feed = move |key: StreamKey, asked: Asked| feed(directory.clone(), figures.clone(), key, asked);
    tokio::select! {
        offered = moq::offer(session, Some(&own), feed) => if let Err(error) = offered {
            tracing::debug!(%peer, %error, "the session of a browser is over");
        },
        () = ends(&gate, pass.as_ref()) => tracing::debug!(%peer, "the token of a browser has ended"),
    }
}

/// Returns when who was let in must leave.
async fn ends(gate: &Gate, pass: Option<&Pass>) {
    let Some(pass) = pass else { return std::future::pending().await };
    while gate.holds(pass, wall_s()) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
