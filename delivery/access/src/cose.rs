//! What a token is wrapped in: `COSE_Mac0` or `COSE_Sign1`, with or without the tag of a CWT.
//!
//! Spec: RFC 9052 §4.2, §6.2; RFC 8392 §6, §7.

use coset::cbor::Value;
use coset::iana::{self, CoapContentFormat};
use coset::{
    AsCborValue, CoseMac0, CoseMac0Builder, CoseSign1, CoseSign1Builder, Header, HeaderBuilder,
    ProtectedHeader, RegisteredLabelWithPrivate, TaggedCborSerializable,
};

use crate::denial::Denial;
use crate::keys::{Algorithm, Key, Keys};

const CWT: u64 = 61;

/// The payload of a token, once a key has proved it.
pub(crate) fn open(token: &[u8], keys: &Keys) -> Result<Vec<u8>, Denial> {
    let mut rest = token;
    let value: Value = coset::cbor::from_reader(&mut rest).map_err(|_| Denial::Malformed)?;
    let value = match value {
        Value::Tag(CWT, inner) => *inner,
        other => other,
    };
    // One token has one spelling.
    let Value::Tag(tag, message) = value else { return Err(Denial::Malformed) };
    if !rest.is_empty() {
        return Err(Denial::Malformed);
    }
    if tag == CoseMac0::TAG {
        let mac = CoseMac0::from_cbor_value(*message).map_err(|_| Denial::Malformed)?;
        let payload = mac.payload.clone().ok_or(Denial::Malformed)?;
        let proves = |key: &Key| {
            mac.verify_payload_tag(b"", || Denial::Malformed, |proof, data| proved(key, data, proof)).is_ok()
        };
        prove(&mac.protected, &mac.unprotected, keys, proves).map(|()| payload)
    } else if tag == CoseSign1::TAG {
        let sign = CoseSign1::from_cbor_value(*message).map_err(|_| Denial::Malformed)?;
        let payload = sign.payload.clone().ok_or(Denial::Malformed)?;
        let proves = |key: &Key| sign.verify_signature(b"", |proof, data| proved(key, data, proof)).is_ok();
        prove(&sign.protected, &sign.unprotected, keys, proves).map(|()| payload)
    } else {
        Err(Denial::Malformed)
    }
}

fn proved(key: &Key, data: &[u8], proof: &[u8]) -> Result<(), Denial> {
    if key.proves(data, proof) { Ok(()) } else { Err(Denial::Unproven) }
}

fn prove(
    protected: &ProtectedHeader,
    open: &Header,
    keys: &Keys,
    proves: impl Fn(&Key) -> bool,
) -> Result<(), Denial> {
    let head = &protected.header;
    // What must be understood and is not (RFC 9052 §3.1).
    if !head.crit.is_empty() {
        return Err(Denial::Malformed);
    }
    // The key decides how it is proved; what the token says only has to agree.
    let algorithm = match &head.alg {
        Some(RegisteredLabelWithPrivate::Assigned(iana::Algorithm::HMAC_256_256)) => Algorithm::Hs256,
        Some(RegisteredLabelWithPrivate::Assigned(iana::Algorithm::ES256)) => Algorithm::Es256,
        Some(RegisteredLabelWithPrivate::Assigned(iana::Algorithm::EdDSA)) => Algorithm::EdDsa,
        _ => return Err(Denial::Unproven),
    };
    let id = if head.key_id.is_empty() { &open.key_id } else { &head.key_id };
    if keys.fitting(id, algorithm).any(proves) { Ok(()) } else { Err(Denial::Unproven) }
}

/// A token with this payload; `None` when the key can only prove.
pub(crate) fn seal(payload: Vec<u8>, key: &Key) -> Option<Vec<u8>> {
    let algorithm = match key.algorithm() {
        Algorithm::Hs256 => iana::Algorithm::HMAC_256_256,
        Algorithm::Es256 => iana::Algorithm::ES256,
        Algorithm::EdDsa => iana::Algorithm::EdDSA,
    };
    let protected = HeaderBuilder::new().algorithm(algorithm).content_format(CoapContentFormat::Cwt).build();
    let open = HeaderBuilder::new().key_id(key.id().as_bytes().to_vec()).build();
    let (tag, message) = if key.algorithm() == Algorithm::Hs256 {
        let mac = CoseMac0Builder::new().protected(protected).unprotected(open).payload(payload);
        let mac = mac.try_create_tag(b"", |data| key.prove(data).ok_or(())).ok()?.build();
        (CoseMac0::TAG, mac.to_cbor_value().ok()?)
    } else {
        let sign = CoseSign1Builder::new().protected(protected).unprotected(open).payload(payload);
        let sign = sign.try_create_signature(b"", |data| key.prove(data).ok_or(())).ok()?.build();
        (CoseSign1::TAG, sign.to_cbor_value().ok()?)
    };
    let mut token = Vec::new();
    let value = Value::Tag(CWT, Box::new(Value::Tag(tag, Box::new(message))));
    coset::cbor::into_writer(&value, &mut token).ok()?;
    Some(token)
}
