//! Hashes, HMAC (RFC 2104) and HKDF (RFC 5869).

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::hkdf::{self, KeyType};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::Fault;

/// A hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Hash {
    Sha224,
    #[default]
    Sha256,
    Sha384,
    Sha512,
    Sha3_256,
    Sha3_384,
    Sha3_512,
}

impl Hash {
    const ALL: [(Self, &str); 7] = [
        (Self::Sha224, "sha2-224"),
        (Self::Sha256, "sha2-256"),
        (Self::Sha384, "sha2-384"),
        (Self::Sha512, "sha2-512"),
        (Self::Sha3_256, "sha3-256"),
        (Self::Sha3_384, "sha3-384"),
        (Self::Sha3_512, "sha3-512"),
    ];

    /// The hash of this name.
    ///
    /// # Errors
    /// [`Fault::NotBuilt`], with those that there are.
    pub(crate) fn parse(name: &str) -> Result<Self, Fault> {
        let found = Self::ALL.iter().find(|(_, known)| *known == name).map(|(hash, _)| *hash);
        let all = || Self::ALL.map(|(_, name)| name).join(", ");
        found.ok_or_else(|| Fault::NotBuilt(format!("there is no hash {name:.40}; there are {}", all())))
    }

    pub(super) fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha224 => &digest::SHA224,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
            Self::Sha3_256 => &digest::SHA3_256,
            Self::Sha3_384 => &digest::SHA3_384,
            Self::Sha3_512 => &digest::SHA3_512,
        }
    }

    /// The hash of `input`.
    pub(crate) fn of(self, input: &[u8]) -> Digest {
        digest::digest(self.algorithm(), input)
    }

    /// The hash of `input`, or `input` itself when it is one already.
    ///
    /// # Errors
    /// When it is said to be one and has another length.
    pub(crate) fn of_or(self, input: &[u8], prehashed: bool) -> Result<Digest, Fault> {
        if !prehashed {
            return Ok(self.of(input));
        }
        let length = self.algorithm().output_len();
        let told = |_| Fault::wrong(format!("with prehashed, input is a hash of {length} bytes"));
        Digest::import_less_safe(input, self.algorithm()).map_err(told)
    }

    fn keyed(self, key: &[u8]) -> Result<hmac::Key, Fault> {
        let algorithm = match self {
            Self::Sha224 => hmac::HMAC_SHA224,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
            Self::Sha3_256 | Self::Sha3_384 | Self::Sha3_512 => {
                return Err(Fault::NotBuilt("there is no HMAC with SHA-3; take one of SHA-2".into()));
            }
        };
        Ok(hmac::Key::new(algorithm, key))
    }

    /// The HMAC of `input`.
    ///
    /// # Errors
    /// With a hash that it is not built for.
    pub(crate) fn mac(self, key: &[u8], input: &[u8]) -> Result<Vec<u8>, Fault> {
        Ok(hmac::sign(&self.keyed(key)?, input).as_ref().to_vec())
    }

    /// Whether `tag` is the HMAC of `input`, in a time that does not tell how much of it is right.
    ///
    /// # Errors
    /// As [`Hash::mac`].
    pub(crate) fn is_mac(self, key: &[u8], input: &[u8], tag: &[u8]) -> Result<bool, Fault> {
        Ok(hmac::verify(&self.keyed(key)?, input, tag).is_ok())
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// `length` bytes from a secret, by HKDF with SHA-256.
///
/// # Errors
/// When more is wanted than it gives, 255 hashes.
pub(super) fn derive(
    secret: &[u8],
    salt: &[u8],
    info: &[u8],
    length: usize,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut derived = Zeroizing::new(vec![0; length]);
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    let info = [info];
    let expanded = prk.expand(&info, Length(length)).and_then(|okm| okm.fill(&mut derived));
    expanded.map_err(|_| Fault::Failed("HKDF"))?;
    Ok(derived)
}
