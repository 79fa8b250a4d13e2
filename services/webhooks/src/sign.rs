//! Signatures of Standard Webhooks 1.0: HMAC-SHA256 over id, time and body.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// Bytes of a new secret; the specification asks for 24 to 64.
const SECRET_BYTES: usize = 32;

/// A new secret, as both sides keep it.
pub(crate) fn new_secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{PREFIX}{}", BASE64_STANDARD.encode(bytes)))
}

/// The value of `webhook-signature`: one signature for each secret, so that a receiver may change over.
pub(crate) fn signatures(secrets: &[&str], id: &str, unix_s: i64, body: &str) -> String {
    let one = |secret: &&str| {
        let key = BASE64_STANDARD.decode(secret.strip_prefix(PREFIX).unwrap_or(secret)).ok()?;
        let mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
        let sum = mac.chain_update(format!("{id}.{unix_s}.")).chain_update(body).finalize();
        Some(format!("v1,{}", BASE64_STANDARD.encode(sum.into_bytes())))
    };
    secrets.iter().filter_map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_signed_as_it_says() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signed =
            signatures(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let both = signatures(&[secret, &new_secret().expect("randomness")], "m", 1, "");
        assert_eq!(both.split(' ').filter(|s| s.starts_with("v1,")).count(), 2);
    }
}
