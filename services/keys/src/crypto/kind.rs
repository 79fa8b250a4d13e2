//! Types of keys, under the names that Vault's transit engine gives them.

use super::Fault;

/// What a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Aes128,
    Aes256,
    ChaCha20,
    Ed25519,
    P256,
    P384,
    P521,
    Rsa2048,
    Rsa3072,
    Rsa4096,
    Hmac,
}

impl Kind {
    pub(crate) const ALL: [(Self, &str); 11] = [
        (Self::Aes128, "aes128-gcm96"),
        (Self::Aes256, "aes256-gcm96"),
        (Self::ChaCha20, "chacha20-poly1305"),
        (Self::Ed25519, "ed25519"),
        (Self::P256, "ecdsa-p256"),
        (Self::P384, "ecdsa-p384"),
        (Self::P521, "ecdsa-p521"),
        (Self::Rsa2048, "rsa-2048"),
        (Self::Rsa3072, "rsa-3072"),
        (Self::Rsa4096, "rsa-4096"),
        (Self::Hmac, "hmac"),
    ];

    /// The type of this name.
    ///
    /// # Errors
    /// [`Fault::NotBuilt`], with those that there are.
    pub(crate) fn parse(name: &str) -> Result<Self, Fault> {
        let found = Self::ALL.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind);
        let all = || Self::ALL.map(|(_, name)| name).join(", ");
        found.ok_or_else(|| {
            Fault::NotBuilt(format!("there are no keys of type {name:.40}; there are {}", all()))
        })
    }

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// Bytes of a key that encrypts by itself; `None` for all others.
    pub(crate) fn symmetric_bytes(self) -> Option<usize> {
        match self {
            Self::Aes128 => Some(16),
            Self::Aes256 | Self::ChaCha20 => Some(32),
            _ => None,
        }
    }

    pub(crate) fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096)
    }

    pub(crate) fn is_ecdsa(self) -> bool {
        matches!(self, Self::P256 | Self::P384 | Self::P521)
    }

    pub(crate) fn encrypts(self) -> bool {
        self.symmetric_bytes().is_some() || self.is_rsa()
    }

    pub(crate) fn signs(self) -> bool {
        self == Self::Ed25519 || self.is_ecdsa() || self.is_rsa()
    }

    /// Whether there can be a key of its own for every context.
    pub(crate) fn derives(self) -> bool {
        self.symmetric_bytes().is_some() || self == Self::Ed25519
    }
}
