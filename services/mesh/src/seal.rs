//! Who asks, from process to process: a short text under the secret of the ring, which nobody outside can write.
//!
//! `BASE64URL(claims) "." UNIX_MS "." BASE64URL(HMAC-SHA256)` over what stands before it and the service that it is for.

use std::io::Write;
use std::path::Path;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

/// How long a seal is good, and how far clocks may be apart.
const GOOD_MS: i64 = 60_000;
/// Longest text that is looked at, bytes.
const TEXT_BYTES_MAX: usize = 8192;
/// Random bytes of a secret that is made.
const SECRET_BYTES: usize = 32;

/// The secret that the processes of a ring share.
#[derive(Clone)]
pub struct Seal(hmac::Key);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Seal {
    /// From a secret.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// From a file, which is made when it is not there: processes with one data folder know each other.
    ///
    /// # Errors
    /// When it can be neither read nor made.
    pub fn in_file(path: &Path) -> std::io::Result<Self> {
        if !path.exists() {
            let mut secret = [0; SECRET_BYTES];
            getrandom::fill(&mut secret).map_err(|e| std::io::Error::other(e.to_string()))?;
            let own = path.with_extension(std::process::id().to_string());
            // Of a process with this number that was killed.
            let _ = std::fs::remove_file(&own);
            let mut file = private(&own)?;
            file.write_all(crate::hex(&secret).as_bytes())?;
            file.sync_all()?;
            // Whole or not at all, and the first of several who make it wins.
            let linked = std::fs::hard_link(&own, path);
            std::fs::remove_file(&own)?;
            match linked {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        let secret = std::fs::read(path)?;
        if secret.trim_ascii().len() < 2 * SECRET_BYTES {
            let why = format!("{} is not whole: delete it, and a new one is made", path.display());
            return Err(std::io::Error::other(why));
        }
        Ok(Self::new(&secret))
    }

    /// A key of its own for one purpose, the same in every process of the ring.
    pub(crate) fn key(&self, purpose: &str) -> [u8; 32] {
        // No service has an empty name, so no seal is a key.
        let tag = hmac::sign(&self.0, &bound("", &format!("key\n{purpose}")));
        let mut key = [0; 32];
        key.copy_from_slice(tag.as_ref());
        key
    }

    /// Seals `claims` for a service.
    #[must_use]
    pub fn seal(&self, service: &str, claims: &[u8], now_ms: i64) -> String {
        let text = format!("{}.{now_ms}", BASE64.encode(claims));
        let tag = hmac::sign(&self.0, &bound(service, &text));
        format!("{text}.{}", BASE64.encode(tag.as_ref()))
    }

    /// The claims of a text that was sealed for this service a moment ago.
    #[must_use]
    pub fn open(&self, service: &str, sealed: &str, now_ms: i64) -> Option<Vec<u8>> {
        let (text, tag) = sealed.rsplit_once('.').filter(|_| sealed.len() <= TEXT_BYTES_MAX)?;
        hmac::verify(&self.0, &bound(service, text), &BASE64.decode(tag).ok()?).ok()?;
        let (claims, at_ms) = text.split_once('.')?;
        let age_ms = now_ms.saturating_sub(at_ms.parse().ok()?);
        if !(-GOOD_MS..GOOD_MS).contains(&age_ms) {
            return None;
        }
        BASE64.decode(claims).ok()
    }
}

/// What the tag is over; a service's name has no line end.
fn bound(service: &str, text: &str) -> Vec<u8> {
    [service.as_bytes(), b"\n", text.as_bytes()].concat()
}

/// A new file that only its owner reads.
fn private(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests;
