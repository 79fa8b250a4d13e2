//! The key of one version.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use zeroize::Zeroizing;

use super::{Fault, Hash, Kind, Scheme, hash, seal, sign};

/// Bytes of the key that every version has for HMAC.
const MAC_BYTES: usize = 32;

/// The key of one version, in memory. Every one has a key for HMAC beside it, so that no key serves two algorithms.
pub(crate) struct Material {
    kind: Kind,
    /// What encrypts or signs: the key itself, the seed of Ed25519, PKCS #8 of others; nothing for HMAC.
    secret: Zeroizing<Vec<u8>>,
    mac: Zeroizing<Vec<u8>>,
    /// 32 bytes of Ed25519, SubjectPublicKeyInfo in DER of others; empty where nothing is public.
    public: Vec<u8>,
}

fn random(length: usize) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Fault::Failed("randomness"))?;
    Ok(bytes)
}

/// Private and public half of a new RSA key.
fn rsa(size: KeySize) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), Fault> {
    let failed = |_| Fault::Failed("making an RSA key");
    let pair = PrivateDecryptingKey::generate(size).map_err(failed)?;
    let private: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(failed)?;
    Ok((Zeroizing::new(private.as_ref().to_vec()), public.as_ref().to_vec()))
}

/// The public half of a seed.
fn ed25519(seed: &[u8]) -> Result<Vec<u8>, Fault> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| Fault::Failed("an Ed25519 key"))?;
    Ok(pair.public_key().as_ref().to_vec())
}

impl Material {
    /// A new key.
    ///
    /// # Errors
    /// When there is no randomness.
    pub(crate) fn generate(kind: Kind) -> Result<Self, Fault> {
        let (secret, public) = match kind {
            Kind::Hmac => (Zeroizing::default(), Vec::new()),
            Kind::Ed25519 => {
                let seed = random(32)?;
                let public = ed25519(&seed)?;
                (seed, public)
            }
            Kind::P256 | Kind::P384 | Kind::P521 => {
                let failed = |_| Fault::Failed("making an ECDSA key");
                let pair = EcdsaKeyPair::generate(sign::made_by(kind)?).map_err(failed)?;
                let private = pair.to_pkcs8v1().map_err(failed)?;
                let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(failed)?;
                (Zeroizing::new(private.as_ref().to_vec()), public.as_ref().to_vec())
            }
            Kind::Rsa2048 => rsa(KeySize::Rsa2048)?,
            Kind::Rsa3072 => rsa(KeySize::Rsa3072)?,
            Kind::Rsa4096 => rsa(KeySize::Rsa4096)?,
            Kind::Aes128 | Kind::Aes256 | Kind::ChaCha20 => {
                (random(kind.symmetric_bytes().unwrap_or_default())?, Vec::new())
            }
        };
        Ok(Self { kind, secret, mac: random(MAC_BYTES)?, public })
    }

    /// Everything secret of it, to be kept: `key for HMAC (32) | key`.
    pub(crate) fn secrets(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([self.mac.as_slice(), &self.secret].concat())
    }

    /// What was kept.
    ///
    /// # Errors
    /// When it was not kept by us.
    pub(crate) fn restore(kind: Kind, secrets: &[u8], public: Vec<u8>) -> Result<Self, Fault> {
        let (mac, secret) = secrets.split_at_checked(MAC_BYTES).ok_or(Fault::Failed("reading a key"))?;
        Ok(Self { kind, secret: Zeroizing::new(secret.to_vec()), mac: Zeroizing::new(mac.to_vec()), public })
    }

    /// The key of one context.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn derived(&self, context: &[u8]) -> Result<Self, Fault> {
        let secret = hash::derive(&self.secret, &[], context, self.secret.len())?;
        let public = if self.kind == Kind::Ed25519 { ed25519(&secret)? } else { Vec::new() };
        Ok(Self { kind: self.kind, secret, mac: self.mac.clone(), public })
    }

    /// The public half as it is kept; empty where nothing is public.
    pub(crate) fn public(&self) -> &[u8] {
        &self.public
    }

    /// Encrypts; `aad` is not in the ciphertext and must be shown to decrypt it.
    ///
    /// # Errors
    /// When the key does not, or not that.
    pub(crate) fn encrypt(&self, plain: &[u8], aad: &[u8]) -> Result<Vec<u8>, Fault> {
        match self.kind.is_rsa() {
            true => {
                no_aad(aad)?;
                seal::seal_rsa(&self.public, plain)
            }
            false => seal::seal(self.kind, &self.secret, plain, aad),
        }
    }

    /// Decrypts.
    ///
    /// # Errors
    /// [`Fault::Foreign`].
    pub(crate) fn decrypt(&self, sealed: &[u8], aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        match self.kind.is_rsa() {
            true => {
                no_aad(aad)?;
                seal::open_rsa(&self.secret, sealed)
            }
            false => seal::open(self.kind, &self.secret, sealed, aad),
        }
    }

    /// Signs.
    ///
    /// # Errors
    /// When the key does not, or not so.
    pub(crate) fn sign(&self, scheme: &Scheme, input: &[u8]) -> Result<Vec<u8>, Fault> {
        sign::sign(self.kind, &self.secret, scheme, input)
    }

    /// Whether it has signed this.
    ///
    /// # Errors
    /// As [`Material::sign`].
    pub(crate) fn verify(&self, scheme: &Scheme, input: &[u8], signature: &[u8]) -> Result<bool, Fault> {
        sign::verify(self.kind, &self.public, scheme, input, signature)
    }

    /// The HMAC of `input`.
    ///
    /// # Errors
    /// With a hash that it is not built for.
    pub(crate) fn mac(&self, hash: Hash, input: &[u8]) -> Result<Vec<u8>, Fault> {
        hash.mac(&self.mac, input)
    }

    /// Whether `tag` is the HMAC of `input`.
    ///
    /// # Errors
    /// As [`Material::mac`].
    pub(crate) fn is_mac(&self, hash: Hash, input: &[u8], tag: &[u8]) -> Result<bool, Fault> {
        hash.is_mac(&self.mac, input, tag)
    }

    /// The key as text, for keys that may leave: bytes in base64, PKCS #8 in PEM of ECDSA and RSA.
    pub(crate) fn export(&self) -> Zeroizing<String> {
        Zeroizing::new(match self.kind {
            // As Go writes it: the seed, and the public half behind it.
            Kind::Ed25519 => BASE64.encode(Zeroizing::new([self.secret.as_slice(), &self.public].concat())),
            kind if kind.is_ecdsa() || kind.is_rsa() => pem("PRIVATE KEY", &self.secret),
            _ => BASE64.encode(&self.secret),
        })
    }

    /// The key for HMAC as text.
    pub(crate) fn export_mac(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64.encode(&self.mac))
    }
}

fn no_aad(aad: &[u8]) -> Result<(), Fault> {
    match aad.is_empty() {
        true => Ok(()),
        false => Err(Fault::NotBuilt("RSA takes no associated_data".into())),
    }
}

/// A public half as text.
pub(crate) fn public_text(kind: Kind, public: &[u8]) -> String {
    if kind == Kind::Ed25519 { BASE64.encode(public) } else { pem("PUBLIC KEY", public) }
}

/// RFC 7468.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = Zeroizing::new(BASE64.encode(der));
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|&byte| char::from(byte)));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}
