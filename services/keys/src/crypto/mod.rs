//! What is done with keys: bytes in, bytes out. No store, no clock, no wire; every primitive is of `aws-lc-rs`.
//!
//! | file | holds |
//! | --- | --- |
//! | `kind.rs` | types of keys, and what each can do |
//! | `material.rs` | the key of one version: made, kept, derived, told, exported |
//! | `seal.rs` | encryption: AES-GCM and ChaCha20-Poly1305 under random nonces, RSA-OAEP |
//! | `sign.rs` | signatures: Ed25519, ECDSA, RSA |
//! | `hash.rs` | hashes, HMAC, HKDF |

mod hash;
mod kind;
mod material;
mod seal;
mod sign;

pub(crate) use hash::Hash;
#[cfg(test)]
use hash::derive;
pub(crate) use kind::Kind;
pub(crate) use material::{Material, pem, public_text};
#[cfg(test)]
pub(crate) use sign::verify;
pub(crate) use sign::{Form, Padding, Scheme};

/// Why something cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Fault {
    /// Altered, or encrypted under another key, context or associated data. It is not told which.
    #[error("it cannot be decrypted: it was altered, or belongs to another key, context or associated_data")]
    Foreign,
    /// The request makes no sense with this key.
    #[error("{0}")]
    Wrong(String),
    /// It makes sense, and is not in this version.
    #[error("{0}")]
    NotBuilt(String),
    /// Who has the key does not answer, or refuses.
    #[error("{0}")]
    Away(String),
    /// A primitive failed that does not.
    #[error("{0} failed")]
    Failed(&'static str),
}

impl Fault {
    pub(crate) fn wrong(what: impl Into<String>) -> Self {
        Self::Wrong(what.into())
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
