//! Fields of a store that only the ring can read, and secrets that nobody guesses.
//!
//! `1 | nonce (12) | ciphertext and tag`, AES-256-GCM under a key that comes from the secret of the ring: who has the database
//! alone has nothing. What a field is and whose is bound to it, so that none can be put in another's place.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

use crate::seal::Seal;

/// How a field is written.
const VERSION: u8 = 1;

/// Why a field cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// Another secret, another place, or altered.
    #[error("what is kept in {0} cannot be read: is the secret of the ring another one?")]
    Foreign(String),
    /// There is no randomness.
    #[error("nothing can be encrypted: {0}")]
    Failed(&'static str),
}

/// What one service keeps.
#[derive(Clone)]
pub struct Vault {
    fields: std::sync::Arc<RandomizedNonceKey>,
    tags: hmac::Key,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Vault {
    pub(crate) fn new(seal: &Seal, service: &str) -> Self {
        let fields = RandomizedNonceKey::new(&AES_256_GCM, &seal.key(&format!("fields {service}")));
        let tags = hmac::Key::new(hmac::HMAC_SHA256, &seal.key(&format!("tags {service}")));
        Self { fields: std::sync::Arc::new(fields.expect("a key of AES-256 has 32 bytes")), tags }
    }

    /// A field as it is stored; `place` says what it is and whose.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn close(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut body = plain.to_vec();
        let nonce = self.fields.seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut body);
        let nonce = nonce.map_err(|_| VaultError::Failed("no random nonce"))?;
        Ok([&[VERSION], nonce.as_ref().as_slice(), &body].concat())
    }

    /// The field that was stored for `place`.
    ///
    /// # Errors
    /// [`VaultError::Foreign`].
    pub fn open(&self, place: &str, stored: &[u8]) -> Result<Vec<u8>, VaultError> {
        let foreign = || VaultError::Foreign(place.to_owned());
        let (nonce, body) = stored
            .strip_prefix(&[VERSION])
            .and_then(|rest| rest.split_first_chunk::<NONCE_LEN>())
            .ok_or_else(foreign)?;
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.fields.open_in_place(nonce, Aad::from(place.as_bytes()), &mut body);
        plain.map(|plain| plain.to_vec()).map_err(|_| foreign())
    }

    /// A tag of `text` that only this service can write.
    #[must_use]
    pub fn tag(&self, text: &str) -> String {
        BASE64.encode(hmac::sign(&self.tags, text.as_bytes()).as_ref())
    }

    /// Whether `tag` is the one of `text`; the time it takes does not tell how much of it is right.
    #[must_use]
    pub fn is_tag(&self, text: &str, tag: &str) -> bool {
        BASE64.decode(tag).is_ok_and(|tag| hmac::verify(&self.tags, text.as_bytes(), &tag).is_ok())
    }
}

/// A secret of 256 random bits in URL-safe characters.
///
/// # Errors
/// When there is no randomness.
pub fn fresh() -> Result<String, VaultError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|_| VaultError::Failed("no random bytes"))?;
    Ok(BASE64.encode(secret))
}

#[cfg(test)]
mod tests;
