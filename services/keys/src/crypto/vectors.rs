//! Our functions over the vectors of Project Wycheproof in `tests/vectors`: what is valid is taken, what is invalid is not.

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde::Deserialize;
use serde_json::Value;

use super::*;

#[derive(Deserialize)]
struct File {
    file: String,
    columns: Vec<String>,
    tests: Vec<Vec<Value>>,
}

/// One case, by the names of its columns.
struct Case<'a> {
    file: &'a File,
    cells: &'a [Value],
}

impl Case<'_> {
    fn cell(&self, name: &str) -> &Value {
        &self.cells[self.file.columns.iter().position(|column| column == name).unwrap()]
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        BASE64.decode(self.cell(name).as_str().unwrap()).unwrap()
    }
}

/// Runs every case of a file through `taken`, which says whether we take it; how many were valid and how many not.
fn run(name: &str, mut taken: impl FnMut(&Case<'_>) -> bool) -> (usize, usize) {
    let path = format!("{}/tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let file: File = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for cells in &file.tests {
        let case = Case { file: &file, cells };
        let got = taken(&case);
        let wanted = match case.cell("result").as_str().unwrap() {
            "valid" => true,
            "invalid" => false,
            other => panic!("{other}"),
        };
        assert_eq!(got, wanted, "{} {}", file.file, case.cell("id"));
        if wanted { valid += 1 } else { invalid += 1 }
    }
    (valid, invalid)
}

fn aead(name: &str) -> (usize, usize) {
    run(name, |case| {
        let (key, nonce) = (case.bytes("key"), case.bytes("iv"));
        let kind = match (name, key.len()) {
            ("aes_gcm_test", 16) => Kind::Aes128,
            ("aes_gcm_test", 32) => Kind::Aes256,
            _ => Kind::ChaCha20,
        };
        // What other nonces are long is no ciphertext of ours.
        if nonce.len() != 12 {
            return false;
        }
        let sealed = [nonce, case.bytes("ct"), case.bytes("tag")].concat();
        let material = Material::restore(kind, &[vec![0; 32], key].concat(), Vec::new()).unwrap();
        match material.decrypt(&sealed, &case.bytes("aad")) {
            Ok(plain) => *plain == case.bytes("msg"),
            Err(fault) => fault != Fault::Foreign && panic!("{fault}"),
        }
    })
}

fn signatures(name: &str, kind: Kind, scheme: Scheme) -> (usize, usize) {
    let mut public = Vec::new();
    run(name, |case| {
        if !case.cell("public").is_null() {
            public = case.bytes("public");
        }
        let (input, signature) = (case.bytes("msg"), case.bytes("sig"));
        let plain = verify(kind, &public, &scheme, &input, &signature).unwrap();
        if kind != Kind::Ed25519 {
            let hashed = Scheme { prehashed: true, ..scheme };
            let digest = scheme.hash.of(&input);
            assert_eq!(verify(kind, &public, &hashed, digest.as_ref(), &signature).unwrap(), plain);
        }
        plain
    })
}

#[test]
fn aes_gcm() {
    assert_eq!(aead("aes_gcm_test"), (79, 58));
}

#[test]
fn chacha20_poly1305() {
    assert_eq!(aead("chacha20_poly1305_test"), (85, 69));
}

#[test]
fn ed25519() {
    assert_eq!(signatures("ed25519_test", Kind::Ed25519, Scheme::default()), (86, 63));
}

#[test]
fn ecdsa() {
    for (name, kind, hash, form, count) in [
        ("ecdsa_secp256r1_sha256_test", Kind::P256, Hash::Sha256, Form::Asn1, (174, 307)),
        ("ecdsa_secp256r1_sha256_p1363_test", Kind::P256, Hash::Sha256, Form::Jws, (57, 89)),
        ("ecdsa_secp256r1_sha512_test", Kind::P256, Hash::Sha512, Form::Asn1, (40, 103)),
        ("ecdsa_secp384r1_sha256_test", Kind::P384, Hash::Sha256, Form::Asn1, (27, 102)),
        ("ecdsa_secp384r1_sha384_test", Kind::P384, Hash::Sha384, Form::Asn1, (97, 307)),
        ("ecdsa_secp384r1_sha384_p1363_test", Kind::P384, Hash::Sha384, Form::Jws, (32, 87)),
        ("ecdsa_secp521r1_sha512_test", Kind::P521, Hash::Sha512, Form::Asn1, (116, 307)),
        ("ecdsa_secp521r1_sha512_p1363_test", Kind::P521, Hash::Sha512, Form::Jws, (38, 87)),
    ] {
        assert_eq!(signatures(name, kind, Scheme { hash, form, ..Scheme::default() }), count, "{name}");
    }
}

#[test]
fn rsa() {
    let pkcs1 = Scheme { padding: Padding::Pkcs1, ..Scheme::default() };
    assert_eq!(signatures("rsa_pss_2048_sha256_mgf1_32_test", Kind::Rsa2048, Scheme::default()), (31, 45));
    assert_eq!(signatures("rsa_signature_2048_sha256_test", Kind::Rsa2048, pkcs1), (9, 83));
}

/// Those with a label are none of ours: the key takes no `associated_data`.
#[test]
fn rsa_oaep() {
    let mut private = Vec::new();
    let mut labelled = 0;
    run("rsa_oaep_2048_sha256_mgf1sha256_test", |case| {
        if !case.cell("private").is_null() {
            private = [vec![0; 32], case.bytes("private")].concat();
        }
        let material = Material::restore(Kind::Rsa2048, &private, Vec::new()).unwrap();
        let valid = case.cell("result") == "valid";
        let label = case.bytes("label");
        if !label.is_empty() {
            labelled += 1;
            assert!(matches!(material.decrypt(&case.bytes("ct"), &label), Err(Fault::NotBuilt(_))));
            assert_eq!(material.decrypt(&case.bytes("ct"), &[]).err(), Some(Fault::Foreign));
            return valid;
        }
        material.decrypt(&case.bytes("ct"), &[]).is_ok_and(|plain| *plain == case.bytes("msg"))
    });
    assert!(labelled < 10, "{labelled}");
}

#[test]
fn hkdf_sha256() {
    let counts = run("hkdf_sha256_test", |case| {
        let size = case.cell("size").as_u64().unwrap();
        let derived =
            derive(&case.bytes("ikm"), &case.bytes("salt"), &case.bytes("info"), size.try_into().unwrap());
        derived.is_ok_and(|derived| *derived == case.bytes("okm"))
    });
    assert_eq!(counts, (80, 3));
}

#[test]
fn hmac_sha256() {
    let counts = run("hmac_sha256_test", |case| {
        let (key, input, tag) = (case.bytes("key"), case.bytes("msg"), case.bytes("tag"));
        let is = Hash::Sha256.is_mac(&key, &input, &tag).unwrap();
        assert_eq!(Hash::Sha256.mac(&key, &input).unwrap() == tag, is);
        is
    });
    assert_eq!(counts, (33, 54));
}
