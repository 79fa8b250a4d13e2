//! The certificates in use: read from files, read again when the files change, swapped under running listeners.

mod validity;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ProtocolVersion, ServerConfig};
use tokio::sync::watch;

use crate::metrics::Metrics;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// From this long before it runs out, a certificate is warned of; seconds.
const WARN_S: i64 = 14 * 86_400;
/// Between two warnings; seconds.
const WARN_EVERY_S: i64 = 86_400;

/// Two files that belong together.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// What a pair held when it was read.
struct Identity {
    name: String,
    key: Arc<CertifiedKey>,
    /// Unix time in seconds.
    not_after: i64,
}

/// Size and time of change of every file.
type Stamp = Vec<Option<(u64, SystemTime)>>;

/// Certificates of every listener that speaks TLS. New files are taken over for new connections, those that run go
/// on; files that cannot be used are logged, and the ones before stay.
pub struct Certs {
    pairs: Vec<Pair>,
    held: RwLock<Arc<Vec<Identity>>>,
    /// Clients that do not speak TLS 1.3 are refused.
    tls13: AtomicBool,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Certs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certs").field("pairs", &self.pairs).finish_non_exhaustive()
    }
}

impl Certs {
    /// Reads the pairs; the first one is for clients that name none of the others.
    ///
    /// # Errors
    /// In words, with what to do.
    pub(crate) fn read(pairs: Vec<Pair>) -> Result<Arc<Self>, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let held = read_all(&pairs, &provider)?;
        let held = RwLock::new(Arc::new(held));
        Ok(Arc::new(Self { pairs, held, tls13: AtomicBool::new(false), provider }))
    }

    /// Whether new connections have to be TLS 1.3.
    pub fn require_tls13(&self, required: bool) {
        self.tls13.store(required, Ordering::Relaxed);
    }

    /// Whether a session of this version may go on. Some who speak only 1.2 offer suites of 1.3 all the same.
    #[must_use]
    pub(crate) fn admits(&self, version: Option<ProtocolVersion>) -> bool {
        !self.tls13.load(Ordering::Relaxed) || version == Some(ProtocolVersion::TLSv1_3)
    }

    /// Whether there is a certificate for this host.
    #[must_use]
    pub fn has(&self, host: &str) -> bool {
        ServerName::try_from(host).is_ok_and(|name| self.held().iter().any(|identity| identity.is_for(&name)))
    }

    /// The server side of TLS 1.2 and 1.3 with the protocols of `alpn`. Every suite is forward secret; sessions resume
    /// by tickets, early data is off.
    ///
    /// # Errors
    /// In words; the crypto library has no ticket key.
    pub fn server(self: &Arc<Self>, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, String> {
        self.config(alpn, rustls::DEFAULT_VERSIONS).map(Arc::new)
    }

    /// The same for QUIC, which is TLS 1.3 alone.
    pub(crate) fn quic(self: &Arc<Self>, alpn: &[&[u8]]) -> Result<ServerConfig, String> {
        self.config(alpn, &[&rustls::version::TLS13])
    }

    fn config(
        self: &Arc<Self>,
        alpn: &[&[u8]],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Result<ServerConfig, String> {
        let builder = ServerConfig::builder_with_provider(self.provider.clone());
        let builder = builder.with_protocol_versions(versions).map_err(|e| e.to_string())?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(self.clone());
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|e| e.to_string())?;
        // A browser keeps one connection; each ticket costs as much as a request.
        config.send_tls13_tickets = 1;
        Ok(config)
    }

    /// Reads the files again, changed or not.
    pub fn reload(&self) {
        match read_all(&self.pairs, &self.provider) {
            Ok(new) => {
                for identity in &new {
                    tracing::info!(
                        certificate = identity.name,
                        "certificate read, in use for new connections"
                    );
                }
                *self.held.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
            }
            Err(why) => tracing::error!("certificates not taken over, those before stay in use: {why}"),
        }
    }

    /// Takes over files that change, and warns of certificates that run out, until `stop` turns true.
    pub async fn watch(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let (mut seen, mut warned) = (stamp(&self.pairs), i64::MIN);
        loop {
            let now = crate::wall_ms() / 1000;
            if now.saturating_sub(warned) >= WARN_EVERY_S && self.warn(now) {
                warned = now;
            }
            tokio::select! {
                () = crate::stopped(&mut stop) => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let stamp = stamp(&self.pairs);
            if stamp != seen {
                seen = stamp;
                self.reload();
            }
        }
    }

    /// Whether there was anything to warn of.
    fn warn(&self, now: i64) -> bool {
        let held = self.held();
        let ending = held.iter().filter(|i| i.not_after.saturating_sub(now) < WARN_S);
        let mut any = false;
        for identity in ending {
            any = true;
            let days = identity.not_after.saturating_sub(now) / 86_400;
            tracing::warn!(
                certificate = identity.name,
                days,
                "the certificate runs out; put a new one in its place"
            );
        }
        any
    }

    /// When each certificate runs out.
    pub fn metrics(&self, out: &mut Metrics) {
        let name = "nexus_tls_certificate_not_after_seconds";
        out.family(name, "gauge", "End of the certificate's validity, Unix time.");
        for identity in self.held().iter() {
            out.value(name, &[("certificate", &identity.name)], identity.not_after);
        }
    }

    fn held(&self) -> Arc<Vec<Identity>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Certs {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Who speaks 1.3 offers its suites, and no others belong to it (RFC 8446 §4.1.2).
        let speaks = || hello.cipher_suites().iter().any(|suite| is_tls13(*suite));
        if self.tls13.load(Ordering::Relaxed) && !speaks() {
            return None;
        }
        let held = self.held();
        let named = match hello.server_name().map(ServerName::try_from) {
            Some(Ok(name)) if held.len() > 1 => held.iter().find(|i| i.is_for(&name)),
            _ => None,
        };
        named.or(held.first()).map(|i| i.key.clone())
    }
}

fn is_tls13(suite: CipherSuite) -> bool {
    [
        CipherSuite::TLS13_AES_128_GCM_SHA256,
        CipherSuite::TLS13_AES_256_GCM_SHA384,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ]
    .contains(&suite)
}

impl Identity {
    fn is_for(&self, name: &ServerName<'_>) -> bool {
        let Some(cert) = self.key.cert.first() else { return false };
        ParsedCertificate::try_from(cert).is_ok_and(|cert| verify_server_name(&cert, name).is_ok())
    }
}

fn read_all(pairs: &[Pair], provider: &CryptoProvider) -> Result<Vec<Identity>, String> {
    pairs.iter().map(|pair| read(pair, provider)).collect()
}

fn read(pair: &Pair, provider: &CryptoProvider) -> Result<Identity, String> {
    let unusable = |path: &Path, e: &dyn fmt::Display| format!("{} cannot be used: {e}", path.display());
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&pair.cert).and_then(Iterator::collect);
    let chain = chain.map_err(|e| unusable(&pair.cert, &e))?;
    let first = chain.first().ok_or_else(|| unusable(&pair.cert, &"there is no certificate in it"))?;
    let not_after = validity::not_after(first)
        .ok_or_else(|| unusable(&pair.cert, &"it does not say until when it is valid"))?;
    let secret = PrivateKeyDer::from_pem_file(&pair.key).map_err(|e| unusable(&pair.key, &e))?;
    let key = CertifiedKey::from_der(chain, secret, provider)
        .map_err(|e| format!("{} and {} do not go together: {e}", pair.cert.display(), pair.key.display()))?;
    Ok(Identity { name: pair.cert.display().to_string(), key: Arc::new(key), not_after })
}

fn stamp(pairs: &[Pair]) -> Stamp {
    let of = |path: &PathBuf| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.len(), meta.modified().ok()?))
    };
    pairs.iter().flat_map(|pair| [of(&pair.cert), of(&pair.key)]).collect()
}

#[cfg(test)]
mod tests;
