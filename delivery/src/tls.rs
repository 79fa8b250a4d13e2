//! Certificates: the configured one, or one that is made in the data folder and kept.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

/// Section `tls`: one certificate for every listener that speaks TLS.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// PEM file with the certificate chain. Without one, a self-signed certificate is made in the data folder.
    pub cert: Option<PathBuf>,
    /// PEM file with its private key.
    pub key: Option<PathBuf>,
}

impl TlsConfig {
    /// What is wrong, as key within the section and a sentence that says what to do.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let text = "goes with the other one: set both tls.cert and tls.key, or neither for a self-signed certificate";
        match (&self.cert, &self.key) {
            (Some(_), None) => vec![("cert".into(), text.into())],
            (None, Some(_)) => vec![("key".into(), text.into())],
            _ => Vec::new(),
        }
    }

    /// The server side of TLS, with the protocols of `alpn`.
    ///
    /// # Errors
    /// In words, with what to do.
    pub fn server(&self, data: &Path, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, String> {
        let (cert, key) = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => (cert.clone(), key.clone()),
            _ => self_signed(&data.join("tls")).map_err(|e| {
                format!(
                    "no self-signed certificate can be made in {}: {e}; set tls.cert and tls.key",
                    data.display()
                )
            })?,
        };
        let unusable =
            |path: &Path, e: &dyn std::fmt::Display| format!("{} cannot be used: {e}", path.display());
        let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&cert).and_then(Iterator::collect);
        let chain = chain.map_err(|e| unusable(&cert, &e))?;
        let secret = PrivateKeyDer::from_pem_file(&key).map_err(|e| unusable(&key, &e))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|e| e.to_string())?.with_no_client_auth();
        let mut config = builder.with_single_cert(chain, secret).map_err(|e| unusable(&cert, &e))?;
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

/// The kept pair, made when there is none. The key can be read by its owner only.
fn self_signed(folder: &Path) -> Result<(PathBuf, PathBuf), Box<dyn std::error::Error>> {
    let (cert, key) = (folder.join("self-signed.pem"), folder.join("self-signed.key"));
    if cert.exists() && key.exists() {
        return Ok((cert, key));
    }
    fs::create_dir_all(folder)?;
    let names = ["localhost", "127.0.0.1", "::1"].map(String::from).into_iter().chain(host_name());
    let made = rcgen::generate_simple_self_signed(names.collect::<Vec<_>>())?;
    let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&key)?;
    file.write_all(made.signing_key.serialize_pem().as_bytes())?;
    fs::write(&cert, made.cert.pem())?;
    tracing::info!(certificate = %cert.display(), "made a self-signed certificate; set tls.cert and tls.key for a real one");
    Ok((cert, key))
}

fn host_name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?.trim().to_owned();
    (!name.is_empty() && name != "localhost").then_some(name)
}
