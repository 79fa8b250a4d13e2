//! Settings of TLS: the configured certificates, or one that is made in the data folder and kept.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::certs::{Certs, Pair};

/// Section `tls`: certificates of every listener that speaks TLS.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// PEM file with the certificate chain. Without one, a self-signed certificate is made in the data folder.
    pub cert: Option<PathBuf>,
    /// PEM file with its private key.
    pub key: Option<PathBuf>,
    /// Certificates for clients that ask for one of their names.
    pub more: Vec<TlsPair>,
}

/// One of `tls.more`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsPair {
    /// PEM file with the certificate chain.
    pub cert: PathBuf,
    /// PEM file with its private key.
    pub key: PathBuf,
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

    /// Reads the certificates, or makes one in `data`.
    ///
    /// # Errors
    /// In words, with what to do.
    pub fn certs(&self, data: &Path) -> Result<Arc<Certs>, String> {
        let (cert, key) = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => (cert.clone(), key.clone()),
            _ => self_signed(&data.join("tls")).map_err(|e| {
                format!(
                    "no self-signed certificate can be made in {}: {e}; set tls.cert and tls.key",
                    data.display()
                )
            })?,
        };
        let more = self.more.iter().map(|p| Pair { cert: p.cert.clone(), key: p.key.clone() });
        Certs::read(std::iter::once(Pair { cert, key }).chain(more).collect())
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
