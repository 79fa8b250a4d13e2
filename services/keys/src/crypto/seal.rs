//! Encryption. What comes out is `nonce (12) | ciphertext | tag (16)`, or what RSA-OAEP makes.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use zeroize::Zeroizing;

use super::{Fault, Kind};

fn cipher(kind: Kind, key: &[u8]) -> Result<LessSafeKey, Fault> {
    let algorithm: &'static Algorithm = match kind {
        Kind::Aes128 => &AES_128_GCM,
        Kind::Aes256 => &AES_256_GCM,
        Kind::ChaCha20 => &CHACHA20_POLY1305,
        _ => return Err(Fault::Failed("a cipher")),
    };
    UnboundKey::new(algorithm, key).map(LessSafeKey::new).map_err(|_| Fault::Failed("a cipher"))
}

/// Encrypts under a nonce that is drawn anew each time, so that it comes twice under one key as good as never.
pub(super) fn seal(kind: Kind, key: &[u8], plain: &[u8], aad: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut nonce = [0; NONCE_LEN];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| Fault::Failed("randomness"))?;
    let mut sealed = [&nonce, plain].concat();
    let (_, body) = sealed.split_at_mut(NONCE_LEN);
    let cipher = cipher(kind, key)?;
    let tag = cipher.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), body);
    sealed.extend_from_slice(tag.map_err(|_| Fault::Failed("encryption"))?.as_ref());
    Ok(sealed)
}

/// Decrypts what [`seal`] has made.
pub(super) fn open(kind: Kind, key: &[u8], sealed: &[u8], aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(Fault::Foreign)?;
    let mut body = Zeroizing::new(body.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let plain = cipher(kind, key)?.open_in_place(nonce, Aad::from(aad), &mut body);
    let length = plain.map_err(|_| Fault::Foreign)?.len();
    body.truncate(length);
    Ok(body)
}

/// RSA-OAEP with SHA-256.
pub(super) fn seal_rsa(public: &[u8], plain: &[u8]) -> Result<Vec<u8>, Fault> {
    let failed = |_| Fault::Failed("RSA-OAEP");
    let key = PublicEncryptingKey::from_der(public).map_err(|_| Fault::Failed("a public key"))?;
    let key = OaepPublicEncryptingKey::new(key).map_err(failed)?;
    let most = key.max_plaintext_size(&OAEP_SHA256_MGF1SHA256);
    if plain.len() > most {
        return Err(Fault::wrong(format!(
            "this key encrypts {most} bytes at most: encrypt a data key with it"
        )));
    }
    let mut sealed = vec![0; key.ciphertext_size()];
    key.encrypt(&OAEP_SHA256_MGF1SHA256, plain, &mut sealed, None).map_err(failed)?;
    Ok(sealed)
}

/// The same back. Every failure is the same one.
pub(super) fn open_rsa(private: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let key = PrivateDecryptingKey::from_pkcs8(private).map_err(|_| Fault::Failed("a private key"))?;
    let key = OaepPrivateDecryptingKey::new(key).map_err(|_| Fault::Failed("RSA-OAEP"))?;
    let mut plain = Zeroizing::new(vec![0; key.min_output_size()]);
    let opened = key.decrypt(&OAEP_SHA256_MGF1SHA256, sealed, &mut plain, None);
    let length = opened.map_err(|_| Fault::Foreign)?.len();
    plain.truncate(length);
    Ok(plain)
}
