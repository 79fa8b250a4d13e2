//! A private key where it is, and what can be done with it from outside.

use std::sync::Mutex;

use aws_lc_rs::aead::NONCE_LEN;
use nx_chassis::Problem;
use rcgen::{PublicKeyData, SignatureAlgorithm, SigningKey};
use zeroize::Zeroizing;

use super::hsm::Hsm;
use crate::crypto::{Fault, Form, Hash, Kind, Material, Scheme};

/// Kinds that both places can hold.
pub(super) const KINDS: [Kind; 4] = [Kind::P256, Kind::P384, Kind::Ed25519, Kind::Aes256];

/// The hardware of this process: a library of PKCS #11 has one state for all of it.
static HARDWARE: Mutex<Option<Hsm>> = Mutex::new(None);

/// Has new keys made in hardware from now on.
pub(super) fn use_hardware(hsm: Hsm) {
    if let Ok(mut hardware) = HARDWARE.lock() {
        *hardware = Some(hsm);
    }
}

pub(super) fn hardware() -> Option<Hsm> {
    HARDWARE.lock().ok()?.clone()
}

/// The hash that goes with a curve.
fn hash(kind: Kind) -> Hash {
    if kind == Kind::P384 { Hash::Sha384 } else { Hash::Sha256 }
}

/// Bytes of the public half as X.509 has it: Ed25519's own, or an uncompressed point.
pub(super) fn point_bytes(kind: Kind) -> usize {
    match kind {
        Kind::Ed25519 => 32,
        Kind::P384 => 97,
        _ => 65,
    }
}

/// Where the private half is. What it does may wait for hardware: never on a thread that others wait for.
pub(super) enum Place {
    /// In our store, sealed.
    Store(Material),
    /// In hardware, under this id.
    Hardware(Hsm, String),
}

/// A key that can be used.
pub(super) struct Private {
    pub(super) kind: Kind,
    pub(super) place: Place,
    /// Nothing of a symmetric one.
    pub(super) public: Vec<u8>,
}

/// Runs what may wait.
pub(super) async fn waiting<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Problem> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(Problem::internal)??)
}

impl Private {
    /// Makes a key, in hardware if there is some.
    pub(super) fn generate(kind: Kind, id: &str, name: &str) -> Result<Self, Fault> {
        if let Some(hsm) = hardware() {
            let public = hsm.generate(kind, id, name)?;
            return Ok(Self { kind, place: Place::Hardware(hsm, id.to_owned()), public });
        }
        let material = Material::generate(kind)?;
        // The point ends the SubjectPublicKeyInfo.
        let known = material.public();
        let public = known[known.len().saturating_sub(point_bytes(kind))..].to_vec();
        Ok(Self { kind, place: Place::Store(material), public })
    }

    /// Signs `input`, or the hash that it is.
    ///
    /// # Errors
    /// When the key signs nothing, or the hardware is away.
    pub(super) fn signature(&self, input: &[u8], prehashed: bool, form: Form) -> Result<Vec<u8>, Fault> {
        if !self.kind.signs() {
            return Err(Fault::wrong("this key wraps: make another one to sign with"));
        }
        let scheme = Scheme { hash: hash(self.kind), prehashed, form, ..Scheme::default() };
        match &self.place {
            Place::Store(material) => material.sign(&scheme, input),
            Place::Hardware(hsm, id) if self.kind == Kind::Ed25519 => {
                scheme.no_prehash()?;
                hsm.sign(self.kind, id, input.to_vec())
            }
            Place::Hardware(hsm, id) => {
                let digest = scheme.hash.of_or(input, prehashed)?;
                let signature = hsm.sign(self.kind, id, digest.as_ref().to_vec())?;
                if signature.len() + 1 != point_bytes(self.kind) {
                    return Err(Fault::Failed("signing in hardware"));
                }
                Ok(if form == Form::Jws { signature } else { der(&signature) })
            }
        }
    }

    /// Encrypts: `nonce | ciphertext | tag`.
    ///
    /// # Errors
    /// When the key only signs, or the hardware is away.
    pub(super) fn seal(&self, plain: &[u8], aad: &[u8]) -> Result<Vec<u8>, Fault> {
        self.must_wrap()?;
        match &self.place {
            Place::Store(material) => material.encrypt(plain, aad),
            Place::Hardware(hsm, id) => {
                let mut nonce = [0; NONCE_LEN];
                aws_lc_rs::rand::fill(&mut nonce).map_err(|_| Fault::Failed("randomness"))?;
                hsm.seal(id, nonce, plain, aad)
            }
        }
    }

    /// Decrypts it again.
    ///
    /// # Errors
    /// [`Fault::Foreign`], or as [`Private::seal`].
    pub(super) fn open(&self, sealed: &[u8], aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        self.must_wrap()?;
        match &self.place {
            Place::Store(material) => material.decrypt(sealed, aad),
            Place::Hardware(hsm, id) => {
                let (nonce, body) = sealed.split_first_chunk().ok_or(Fault::Foreign)?;
                hsm.open(id, *nonce, body, aad)
            }
        }
    }

    fn must_wrap(&self) -> Result<(), Fault> {
        let told = || Fault::wrong("this key signs: make one of type aes256-gcm96 to wrap with");
        if self.kind.encrypts() { Ok(()) } else { Err(told()) }
    }
}

impl PublicKeyData for Private {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        algorithm(self.kind)
    }
}

impl SigningKey for Private {
    fn sign(&self, input: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.signature(input, false, Form::Asn1).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

/// How certificates name what a key signs with.
pub(super) fn algorithm(kind: Kind) -> &'static SignatureAlgorithm {
    match kind {
        Kind::Ed25519 => &rcgen::PKCS_ED25519,
        Kind::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        _ => &rcgen::PKCS_ECDSA_P256_SHA256,
    }
}

/// Both numbers of an ECDSA signature as DER has them.
///
/// Spec: RFC 3279 §2.2.3, X.690 §8.3.
fn der(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(signature.len() / 2);
    tagged(0x30, &[integer(r), integer(s)].concat())
}

fn integer(number: &[u8]) -> Vec<u8> {
    let significant = number.iter().position(|&byte| byte != 0).map_or(&[0][..], |first| &number[first..]);
    // A first bit that is set would be a sign.
    let sign: &[u8] = if significant[0] >= 0x80 { &[0] } else { &[] };
    tagged(0x02, &[sign, significant].concat())
}

/// Lengths are below 128: two numbers of P-384 are 104 bytes at most.
fn tagged(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).unwrap_or_default();
    [&[tag, length], body].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What hardware would give, from our own keys: verified in the form that certificates take.
        #[test]
        fn numbers_in_der_are_the_same_signature(input: Vec<u8>, p384: bool) {
            let kind = if p384 { Kind::P384 } else { Kind::P256 };
            let key = Private::generate(kind, "id", "name").expect("a key");
            let numbers = key.signature(&input, false, Form::Jws).expect("signed");
            let Place::Store(material) = &key.place else { panic!("no hardware here") };
            let scheme = Scheme { hash: hash(kind), form: Form::Asn1, ..Scheme::default() };
            prop_assert!(material.verify(&scheme, &input, &der(&numbers)).expect("verified"));
        }
    }
}
