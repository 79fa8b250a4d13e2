//! A device with one passkey, as far as the specification goes and no browser stands between: it can also lie.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Flags of authenticator data (§6.1).
const PRESENT: u8 = 1;
const VERIFIED: u8 = 4;
const BACKED_UP: u8 = 8 | 16;
const ATTESTED: u8 = 64;

pub(super) struct Device {
    pub(super) origin: String,
    pub(super) site: String,
    /// What it answers when it is asked for the user.
    pub(super) user: Option<Vec<u8>>,
    /// Grows with every answer, unless it is none.
    pub(super) counter: Option<u32>,
    /// Whether it is unlocked.
    pub(super) verified: bool,
    id: Vec<u8>,
    key: EcdsaKeyPair,
}

impl Device {
    pub(super) fn new() -> Self {
        Self {
            origin: "http://localhost:3000".into(),
            site: "localhost".into(),
            user: None,
            counter: Some(0),
            verified: true,
            id: Sha256::digest(nx_chassis::new_id(0)).to_vec(),
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key"),
        }
    }

    /// What a browser sends that was asked to make a passkey.
    pub(super) fn makes(&mut self, options: &Value) -> Value {
        self.user = Some(BASE64.decode(options["user"]["id"].as_str().expect("an id")).expect("bytes"));
        let mut data = self.data(ATTESTED | BACKED_UP);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.id.len()).expect("short").to_be_bytes());
        data.extend(&self.id);
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        // {1: 2, 3: -7, -1: 1, -2: x, -3: y}: ES256 on P-256 (RFC 9053 §7.1.1), in CBOR.
        data.extend([0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32].iter().chain(x));
        data.extend([0x22, 0x58, 32].iter().chain(y));
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59".to_vec();
        object.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
        object.extend(data);
        let client = self.client("webauthn.create", options);
        self.answer(
            &json!({"attestationObject": BASE64.encode(object), "clientDataJSON": BASE64.encode(client)}),
        )
    }

    /// What a browser sends that was asked to show one.
    pub(super) fn shows(&mut self, options: &Value) -> Value {
        self.counter = self.counter.map(|counter| counter + 1);
        let data = self.data(BACKED_UP);
        let client = self.client("webauthn.get", options);
        let signed = [data.clone(), Sha256::digest(&client).to_vec()].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).expect("a signature");
        self.answer(&json!({
            "authenticatorData": BASE64.encode(data),
            "clientDataJSON": BASE64.encode(client),
            "signature": BASE64.encode(signature),
            "userHandle": self.user.as_ref().map(|user| BASE64.encode(user)),
        }))
    }

    fn data(&self, flags: u8) -> Vec<u8> {
        let verified = if self.verified { VERIFIED } else { 0 };
        let mut data = Sha256::digest(&self.site).to_vec();
        data.push(flags | PRESENT | verified);
        data.extend(self.counter.unwrap_or_default().to_be_bytes());
        data
    }

    fn client(&self, kind: &str, options: &Value) -> String {
        json!({"type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": false})
            .to_string()
    }

    fn answer(&self, response: &Value) -> Value {
        let id = BASE64.encode(&self.id);
        json!({"id": id, "rawId": id, "type": "public-key", "clientExtensionResults": {}, "response": response})
    }
}
