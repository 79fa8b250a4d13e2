//! QUIC endpoints whose both sides show a certificate of the plane's authority.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Endpoint, EndpointConfig, IdleTimeout, TokioRuntime, TransportConfig, VarInt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::config::Config;
use crate::moq::VERSION;

/// Silence after which a node is taken for dead, milliseconds; half of what a viewer waits at the shortest.
const SILENT_MS: u32 = 2_000;
const KEEP_ALIVE: Duration = Duration::from_millis(500);
/// Streams of QUIC at a time; a stream of media takes two, and one for each group under way.
const QUIC_STREAMS_MAX: u32 = 4_096;
/// What may be under way on one stream, and on a connection: 8 MiB in 150 ms are 450 Mbit/s. Bytes.
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;
/// What is sent before the line is known, bytes: a window has megabytes, and every doubling costs a round trip.
const INITIAL_WINDOW: u64 = 512 << 10;

/// What a node shows and whom it believes.
pub(crate) struct Identity {
    authority: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads the files of a validated configuration.
    pub(crate) fn read(config: &Config) -> Result<Self, String> {
        let need =
            |path: &Option<PathBuf>, key| path.clone().ok_or_else(|| format!("plane.{key} is not set"));
        let (ca, cert, key) =
            (need(&config.ca, "ca")?, need(&config.cert, "cert")?, need(&config.key, "key")?);
        let mut authority = RootCertStore::empty();
        for root in certificates(&ca)? {
            authority.add(root).map_err(|e| unusable(&ca, &e))?;
        }
        let secret = PrivateKeyDer::from_pem_file(&key).map_err(|e| unusable(&key, &e))?;
        Ok(Self { authority: Arc::new(authority), chain: certificates(&cert)?, key: secret })
    }

    /// An endpoint that takes connections of nodes.
    pub(crate) fn listen(&self, address: SocketAddr) -> Result<Endpoint, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(self.authority.clone(), provider.clone());
        let verifier = verifier.build().map_err(|e| e.to_string())?;
        let tls = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
        let tls = tls.map_err(|e| e.to_string())?.with_client_cert_verifier(verifier);
        let tls = tls
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(|e| format!("plane.cert and plane.key do not go together: {e}"))?;
        listen("plane.listen", address, server(tls, VERSION, transport())?)
    }

    /// An endpoint that connects to nodes.
    pub(crate) fn dial(&self) -> Result<Endpoint, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
        let tls = tls.map_err(|e| e.to_string())?.with_root_certificates(self.authority.clone());
        let mut tls = tls
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .map_err(|e| format!("plane.cert and plane.key do not go together: {e}"))?;
        tls.alpn_protocols = vec![VERSION.into()];
        let quic = QuicClientConfig::try_from(tls).map_err(|e| e.to_string())?;
        let mut config = quinn::ClientConfig::new(Arc::new(quic));
        config.transport_config(Arc::new(transport()));
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let endpoint =
            Endpoint::client(any).or_else(|_| Endpoint::client(SocketAddr::from(([0, 0, 0, 0], 0))));
        let mut endpoint = endpoint.map_err(|e| format!("no UDP socket can be had: {e}"))?;
        endpoint.set_default_client_config(config);
        Ok(endpoint)
    }
}

/// QUIC over that TLS for the server's side, one protocol.
pub(crate) fn server(
    mut tls: ServerConfig,
    alpn: &str,
    transport: TransportConfig,
) -> Result<quinn::ServerConfig, String> {
    tls.alpn_protocols = vec![alpn.into()];
    let quic = QuicServerConfig::try_from(tls).map_err(|e| e.to_string())?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(quic));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// Takes connections at an address; `key` is the setting that names it.
pub(crate) fn listen(
    key: &str,
    address: SocketAddr,
    config: quinn::ServerConfig,
) -> Result<Endpoint, String> {
    let socket =
        nx_delivery::listen_udp(key, address).map_err(|e| nx_delivery::cannot_listen(key, address, &e))?;
    let runtime = Arc::new(TokioRuntime);
    Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime).map_err(|e| e.to_string())
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    let mut congestion = CubicConfig::default();
    congestion.initial_window(INITIAL_WINDOW);
    transport
        .congestion_controller_factory(Arc::new(congestion))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(SILENT_MS))))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_uni_streams(VarInt::from_u32(QUIC_STREAMS_MAX))
        .max_concurrent_bidi_streams(VarInt::from_u32(QUIC_STREAMS_MAX))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(u64::from(CONNECTION_WINDOW));
    transport
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let read = read.map_err(|e| unusable(path, &e))?;
    if read.is_empty() { Err(unusable(path, &"there is no certificate in it")) } else { Ok(read) }
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> String {
    format!("{} cannot be used: {why}", path.display())
}
