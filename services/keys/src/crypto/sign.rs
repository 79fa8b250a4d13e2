//! Signatures.

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self as lc, EcdsaKeyPair, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, Ed25519KeyPair, RsaKeyPair,
    RsaParameters, RsaSignatureEncoding, UnparsedPublicKey,
};

use super::{Fault, Hash, Kind};

/// How the two numbers of an ECDSA signature are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Form {
    /// DER.
    #[default]
    Asn1,
    /// One behind the other, as in a JSON Web Signature.
    Jws,
}

/// How RSA pads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Padding {
    /// With a salt as long as the hash.
    #[default]
    Pss,
    Pkcs1,
}

/// How something is signed, as far as the key leaves that open.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scheme {
    pub(crate) hash: Hash,
    /// The input is the hash already.
    pub(crate) prehashed: bool,
    pub(crate) form: Form,
    pub(crate) padding: Padding,
}

/// A curve with the hash that `aws-lc-rs` binds to it, in one form.
struct Curve {
    signs: &'static EcdsaSigningAlgorithm,
    verifies: &'static EcdsaVerificationAlgorithm,
    digest: &'static digest::Algorithm,
}

fn curve(kind: Kind, form: Form) -> Result<Curve, Fault> {
    let curve = |signs, verifies, digest| Ok(Curve { signs, verifies, digest });
    match (kind, form) {
        (Kind::P256, Form::Asn1) => {
            curve(&lc::ECDSA_P256_SHA256_ASN1_SIGNING, &lc::ECDSA_P256_SHA256_ASN1, &digest::SHA256)
        }
        (Kind::P256, Form::Jws) => {
            curve(&lc::ECDSA_P256_SHA256_FIXED_SIGNING, &lc::ECDSA_P256_SHA256_FIXED, &digest::SHA256)
        }
        (Kind::P384, Form::Asn1) => {
            curve(&lc::ECDSA_P384_SHA384_ASN1_SIGNING, &lc::ECDSA_P384_SHA384_ASN1, &digest::SHA384)
        }
        (Kind::P384, Form::Jws) => {
            curve(&lc::ECDSA_P384_SHA384_FIXED_SIGNING, &lc::ECDSA_P384_SHA384_FIXED, &digest::SHA384)
        }
        (Kind::P521, Form::Asn1) => {
            curve(&lc::ECDSA_P521_SHA512_ASN1_SIGNING, &lc::ECDSA_P521_SHA512_ASN1, &digest::SHA512)
        }
        (Kind::P521, Form::Jws) => {
            curve(&lc::ECDSA_P521_SHA512_FIXED_SIGNING, &lc::ECDSA_P521_SHA512_FIXED, &digest::SHA512)
        }
        _ => Err(Fault::Failed("a curve")),
    }
}

/// What a curve's own algorithm is to be made from.
pub(super) fn made_by(kind: Kind) -> Result<&'static EcdsaSigningAlgorithm, Fault> {
    curve(kind, Form::Asn1).map(|curve| curve.signs)
}

impl Curve {
    /// A hash of any length as one of the length that the curve's algorithm takes. ECDSA makes a number of the leftmost bits of
    /// a hash, as many as the order of the curve has: what is cut off or put in front changes nothing of it.
    ///
    /// Spec: FIPS 186-5 §6.4.1.
    fn fit(&self, hash: &Digest) -> Result<Digest, Fault> {
        let (hash, length) = (hash.as_ref(), self.digest.output_len());
        let kept = &hash[..hash.len().min(length)];
        let fitted = [&vec![0; length - kept.len()], kept].concat();
        Digest::import_less_safe(&fitted, self.digest).map_err(|_| Fault::Failed("a hash"))
    }
}

/// How RSA signs, and how that is verified.
fn rsa(
    padding: Padding,
    hash: Hash,
) -> Result<(&'static RsaSignatureEncoding, &'static RsaParameters), Fault> {
    Ok(match (padding, hash) {
        (Padding::Pss, Hash::Sha256) => (&lc::RSA_PSS_SHA256, &lc::RSA_PSS_2048_8192_SHA256),
        (Padding::Pss, Hash::Sha384) => (&lc::RSA_PSS_SHA384, &lc::RSA_PSS_2048_8192_SHA384),
        (Padding::Pss, Hash::Sha512) => (&lc::RSA_PSS_SHA512, &lc::RSA_PSS_2048_8192_SHA512),
        (Padding::Pkcs1, Hash::Sha256) => (&lc::RSA_PKCS1_SHA256, &lc::RSA_PKCS1_2048_8192_SHA256),
        (Padding::Pkcs1, Hash::Sha384) => (&lc::RSA_PKCS1_SHA384, &lc::RSA_PKCS1_2048_8192_SHA384),
        (Padding::Pkcs1, Hash::Sha512) => (&lc::RSA_PKCS1_SHA512, &lc::RSA_PKCS1_2048_8192_SHA512),
        _ => return Err(Fault::NotBuilt("RSA signs with sha2-256, sha2-384 and sha2-512".into())),
    })
}

impl Scheme {
    /// Refuses a hash in place of the input.
    ///
    /// # Errors
    /// [`Fault::NotBuilt`].
    pub(crate) fn no_prehash(&self) -> Result<(), Fault> {
        match self.prehashed {
            true => Err(Fault::NotBuilt("Ed25519 signs the input itself; send it without prehashed".into())),
            false => Ok(()),
        }
    }
}

/// Signs with the private half of a key: the seed of Ed25519, PKCS #8 of others.
pub(super) fn sign(kind: Kind, private: &[u8], scheme: &Scheme, input: &[u8]) -> Result<Vec<u8>, Fault> {
    let (rejected, failed) = (|_| Fault::Failed("a private key"), |_| Fault::Failed("signing"));
    if kind == Kind::Ed25519 {
        scheme.no_prehash()?;
        let pair = Ed25519KeyPair::from_seed_unchecked(private).map_err(rejected)?;
        return Ok(pair.sign(input).as_ref().to_vec());
    }
    if kind.is_rsa() {
        let (how, _) = rsa(scheme.padding, scheme.hash)?;
        let pair = RsaKeyPair::from_pkcs8(private).map_err(rejected)?;
        let mut signature = vec![0; pair.public_modulus_len()];
        let signed = match scheme.prehashed {
            true => pair.sign_digest(how, &scheme.hash.of_or(input, true)?, &mut signature),
            false => pair.sign(how, &SystemRandom::new(), input, &mut signature),
        };
        signed.map_err(failed)?;
        return Ok(signature);
    }
    let curve = curve(kind, scheme.form)?;
    let digest = curve.fit(&scheme.hash.of_or(input, scheme.prehashed)?)?;
    let pair = EcdsaKeyPair::from_pkcs8(curve.signs, private).map_err(rejected)?;
    Ok(pair.sign_digest(&digest).map_err(failed)?.as_ref().to_vec())
}

/// Whether a signature is of this input and the owner of `public`: 32 bytes of Ed25519, SubjectPublicKeyInfo in DER of others.
///
/// # Errors
/// When the key knows no such signatures.
pub(crate) fn verify(
    kind: Kind,
    public: &[u8],
    scheme: &Scheme,
    input: &[u8],
    signature: &[u8],
) -> Result<bool, Fault> {
    if kind == Kind::Ed25519 {
        scheme.no_prehash()?;
        return Ok(UnparsedPublicKey::new(&lc::ED25519, public).verify(input, signature).is_ok());
    }
    if kind.is_rsa() {
        let (_, how) = rsa(scheme.padding, scheme.hash)?;
        let digest = scheme.hash.of_or(input, scheme.prehashed)?;
        return Ok(UnparsedPublicKey::new(how, public).verify_digest(&digest, signature).is_ok());
    }
    let curve = curve(kind, scheme.form)?;
    let digest = curve.fit(&scheme.hash.of_or(input, scheme.prehashed)?)?;
    Ok(UnparsedPublicKey::new(curve.verifies, public).verify_digest(&digest, signature).is_ok())
}
