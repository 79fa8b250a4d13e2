//! What is remembered of access tokens.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

use super::*;

fn keys() -> (Ed25519KeyPair, DecodingKey) {
    let pair = Ed25519KeyPair::generate().expect("random bytes");
    let public = DecodingKey::from_ed_der(pair.public_key().as_ref());
    (pair, public)
}

fn token(pair: &Ed25519KeyPair, exp: i64) -> String {
    let claims =
        serde_json::json!({"iss": ISSUER, "aud": ISSUER, "sub": "ada", "roles": [], "iat": 0, "exp": exp});
    let text = [r#"{"alg":"EdDSA"}"#, &claims.to_string()].map(|part| BASE64.encode(part)).join(".");
    let signature = BASE64.encode(pair.sign(text.as_bytes()).as_ref());
    format!("{text}.{signature}")
}

#[test]
fn a_token_that_was_proved_holds_until_it_runs_out_and_a_wrong_one_is_not_remembered() {
    let how = Identity::new(Arc::default(), None, None).how;
    let ((pair, key), signers) = (keys(), Signers::default());
    let now_s = wall_ms().div_euclid(1000);
    let good = token(&pair, now_s + 60);
    let who =
        |token: &str, key: &DecodingKey| signers.claims(token, key, &how).map(|claims| claims.sub.clone());
    assert_eq!(who(&good, &keys().1), None, "of another key");
    let mut altered = good.clone();
    altered.replace_range(altered.len() - 4.., "AAAA");
    assert_eq!(who(&altered, &key), None, "altered");
    assert_eq!(who(&token(&pair, now_s - 60), &key), None, "old");
    assert!(lock(&signers.proved).is_empty());
    assert_eq!(who(&good, &key).as_deref(), Some("ada"));
    // By what was found, whatever the key.
    assert_eq!(who(&good, &keys().1).as_deref(), Some("ada"));
    assert_eq!(who(&altered, &key), None);
    for claims in lock(&signers.proved).values_mut() {
        *claims = Arc::new(Claims { exp: now_s - 60, ..(**claims).clone() });
    }
    assert_eq!(who(&good, &key), None, "it ran out");
}

#[test]
fn what_was_proved_stays_as_long_as_the_keys_do() {
    let set = |pair: &Ed25519KeyPair| {
        let x = BASE64.encode(pair.public_key().as_ref());
        let key = serde_json::json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "a", "x": x});
        serde_json::from_value::<JwkSet>(serde_json::json!({"keys": [key]})).expect("a set")
    };
    let how = Identity::new(Arc::default(), None, None).how;
    let (pair, _) = keys();
    let first = Signers::default().after(Some(set(&pair)), 1);
    let token = token(&pair, wall_ms().div_euclid(1000) + 60);
    first.claims(&token, &first.by_name["a"], &how).expect("a good token");
    let proved = |signers: &Signers| lock(&signers.proved).len();
    let same = first.after(Some(set(&pair)), 2);
    assert_eq!((proved(&same), same.read_ms, same.tried_ms), (1, 2, 2));
    let silent = same.after(None, 3);
    assert_eq!((proved(&silent), silent.read_ms, silent.tried_ms), (1, 2, 3));
    assert!(silent.by_name.contains_key("a"), "the last ones hold");
    let other = silent.after(Some(set(&keys().0)), 4);
    assert_eq!((proved(&other), proved(&first)), (0, 1), "by keys that are not published any more");
    assert!(other.claims(&token, &other.by_name["a"], &how).is_none());
}
