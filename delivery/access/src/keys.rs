//! Keys that tokens are proved and made with: a JSON Web Key Set (RFC 7517) with `oct`, `EC` (P-256) and `OKP` (Ed25519).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    UnparsedPublicKey,
};
use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use zeroize::Zeroizing;

/// Most keys of a set.
const KEYS_MAX: usize = 64;
/// Keys that are tried for a token that names none.
const TRIED_MAX: usize = 4;
/// Shortest shared secret, bytes: as long as what it makes (RFC 7518 §3.2).
const SECRET_BYTES_MIN: usize = 32;

/// How a token is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256: who proves can make.
    Hs256,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// One key.
pub struct Key {
    id: String,
    material: Material,
}

enum Material {
    Secret(Box<hmac::Key>),
    Ec { public: Vec<u8>, pair: Option<EcdsaKeyPair> },
    Ed { public: Vec<u8>, pair: Option<Ed25519KeyPair> },
}

/// Why a set of keys is none. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// It is not JSON, or not of this shape.
    #[error("is no JSON Web Key Set: {{\"keys\": [{{\"kty\": \"oct\", \"kid\": \"…\", \"k\": \"…\"}}]}}")]
    Shape,
    /// One of the keys cannot be used.
    #[error("key {0}: {1}")]
    Key(usize, &'static str),
    /// There is none, or there are too many.
    #[error("has {0} keys; 1 to {KEYS_MAX} are allowed")]
    Count(usize),
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    kid: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    k: Zeroizing<String>,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
    #[serde(default)]
    d: Zeroizing<String>,
}

/// Keys by their ids.
pub struct Keys(Vec<Key>);

impl Keys {
    /// Reads a set.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let set: Set = serde_json::from_str(text).map_err(|_| KeysError::Shape)?;
        if set.keys.is_empty() || set.keys.len() > KEYS_MAX {
            return Err(KeysError::Count(set.keys.len()));
        }
        let mut keys: Vec<Key> = Vec::with_capacity(set.keys.len());
        for (nth, jwk) in (1..).zip(&set.keys) {
            let key = Key::read(jwk).map_err(|why| KeysError::Key(nth, why))?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(KeysError::Key(nth, "another one has the same kid"));
            }
            keys.push(key);
        }
        Ok(Self(keys))
    }

    /// No key at all.
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    /// Those that a token may have been made with: the one that it names, else the first few of its kind.
    pub(crate) fn fitting(&self, id: &[u8], algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        let fits =
            move |key: &&Key| key.algorithm() == algorithm && (id.is_empty() || key.id.as_bytes() == id);
        self.0.iter().filter(fits).take(TRIED_MAX)
    }

    /// The key with this id, or the first that can make tokens.
    #[must_use]
    pub fn maker(&self, id: Option<&str>) -> Option<&Key> {
        self.0.iter().find(|key| id.map_or_else(|| key.can_make(), |id| key.id == id))
    }
}

impl Key {
    fn read(jwk: &Jwk) -> Result<Self, &'static str> {
        let bytes = |text: &str, why| URL_SAFE_NO_PAD.decode(text).map_err(|_| why);
        let half = |text: &str, why| bytes(text, why).and_then(|b| <[u8; 32]>::try_from(b).map_err(|_| why));
        let material = match (jwk.kty.as_str(), jwk.crv.as_str()) {
            ("oct", _) => {
                let secret = Zeroizing::new(bytes(&jwk.k, "k is not base64url")?);
                if secret.len() < SECRET_BYTES_MIN {
                    return Err("k is shorter than 32 bytes");
                }
                Material::Secret(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &secret)))
            }
            ("EC", "P-256") => {
                let (x, y) = (half(&jwk.x, "x is not 32 bytes")?, half(&jwk.y, "y is not 32 bytes")?);
                let public = [&[4][..], &x, &y].concat();
                let pair = |d: &[u8]| {
                    EcdsaKeyPair::from_private_key_and_public_key(
                        &ECDSA_P256_SHA256_FIXED_SIGNING,
                        d,
                        &public,
                    )
                };
                let pair = match jwk.d.as_str() {
                    "" => None,
                    d => Some(
                        pair(&*Zeroizing::new(half(d, "d is not 32 bytes")?))
                            .map_err(|_| "d is not x and y's")?,
                    ),
                };
                Material::Ec { public, pair }
            }
            ("OKP", "Ed25519") => {
                let public = half(&jwk.x, "x is not 32 bytes")?.to_vec();
                let pair = |d: &[u8]| Ed25519KeyPair::from_seed_and_public_key(d, &public);
                let pair = match jwk.d.as_str() {
                    "" => None,
                    d => Some(
                        pair(&*Zeroizing::new(half(d, "d is not 32 bytes")?)).map_err(|_| "d is not x's")?,
                    ),
                };
                Material::Ed { public, pair }
            }
            _ => return Err("is none of oct, EC with P-256, OKP with Ed25519"),
        };
        Ok(Self { id: jwk.kid.clone(), material })
    }

    /// Its `kid`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it is for.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Secret(_) => Algorithm::Hs256,
            Material::Ec { .. } => Algorithm::Es256,
            Material::Ed { .. } => Algorithm::EdDsa,
        }
    }

    /// Whether tokens can be made with it, not only proved.
    #[must_use]
    pub fn can_make(&self) -> bool {
        match &self.material {
            Material::Secret(_) => true,
            Material::Ec { pair, .. } => pair.is_some(),
            Material::Ed { pair, .. } => pair.is_some(),
        }
    }

    pub(crate) fn proves(&self, data: &[u8], proof: &[u8]) -> bool {
        match &self.material {
            Material::Secret(key) => hmac::verify(key, data, proof).is_ok(),
            Material::Ec { public, .. } => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public).verify(data, proof).is_ok()
            }
            Material::Ed { public, .. } => {
                UnparsedPublicKey::new(&ED25519, public).verify(data, proof).is_ok()
            }
        }
    }

    pub(crate) fn prove(&self, data: &[u8]) -> Option<Vec<u8>> {
        match &self.material {
            Material::Secret(key) => Some(hmac::sign(key, data).as_ref().to_vec()),
            Material::Ec { pair, .. } => {
                let signed = pair.as_ref()?.sign(&rand::SystemRandom::new(), data).ok()?;
                Some(signed.as_ref().to_vec())
            }
            Material::Ed { pair, .. } => Some(pair.as_ref()?.sign(data).as_ref().to_vec()),
        }
    }
}

/// A new set with one key, as text: who holds it can make tokens. With it the set for those who only prove them, which is
/// the same for [`Algorithm::Hs256`].
///
/// # Errors
/// Without randomness.
pub fn generate(
    id: &str,
    algorithm: Algorithm,
) -> Result<(Zeroizing<String>, Zeroizing<String>), aws_lc_rs::error::Unspecified> {
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let set = |key: &str| {
        let id = serde_json::Value::from(id);
        Zeroizing::new(format!("{{\"keys\": [{{\"kid\": {id}, {key}}}]}}\n"))
    };
    let mut seed = Zeroizing::new([0; 32]);
    rand::fill(&mut *seed)?;
    Ok(match algorithm {
        Algorithm::Hs256 => {
            let set = set(&format!("\"kty\": \"oct\", \"alg\": \"HS256\", \"k\": \"{}\"", text(&*seed)));
            (set.clone(), set)
        }
        Algorithm::Es256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
            let (x, y) =
                pair.public_key().as_ref().get(1..).ok_or(aws_lc_rs::error::Unspecified)?.split_at(32);
            let open = format!(
                "\"kty\": \"EC\", \"crv\": \"P-256\", \"alg\": \"ES256\", \"x\": \"{}\", \"y\": \"{}\"",
                text(x),
                text(y)
            );
            let private =
                aws_lc_rs::encoding::AsBigEndian::<aws_lc_rs::encoding::EcPrivateKeyBin<'_>>::as_be_bytes(
                    &pair.private_key(),
                )?;
            (set(&format!("{open}, \"d\": \"{}\"", text(private.as_ref()))), set(&open))
        }
        Algorithm::EdDsa => {
            let pair =
                Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| aws_lc_rs::error::Unspecified)?;
            let public = text(pair.public_key().as_ref());
            let open =
                format!("\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"alg\": \"EdDSA\", \"x\": \"{public}\"");
            (set(&format!("{open}, \"d\": \"{}\"", text(&*seed))), set(&open))
        }
    })
}
