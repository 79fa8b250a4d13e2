//! Proofs, right and wrong.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;

use super::*;

const NOW_S: i64 = 1_800_000_000;

/// Who holds a key.
struct Holder(EcdsaKeyPair);

impl Holder {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn jwk(&self) -> Value {
        let point = self.0.public_key().as_ref().get(1..).unwrap();
        let (x, y) = point.split_at(32);
        json!({"kty": "EC", "crv": "P-256", "x": BASE64.encode(x), "y": BASE64.encode(y)})
    }

    fn signs(&self, head: &Value, claims: &Value) -> String {
        let text = format!("{}.{}", BASE64.encode(head.to_string()), BASE64.encode(claims.to_string()));
        let signature = self.0.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", BASE64.encode(signature))
    }

    fn head(&self) -> Value {
        json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk()})
    }
}

fn claims() -> Value {
    json!({"jti": "one", "htm": "POST", "htu": "https://a.example/api/x", "iat": NOW_S})
}

fn asked(token: Option<&str>) -> Asked<'_> {
    Asked { method: "POST", url: "https://a.example/api/x".into(), token, now_s: NOW_S }
}

fn with(mut what: Value, key: &str, value: Value) -> Value {
    what[key] = value;
    what
}

#[test]
fn the_thumbprint_is_that_of_the_specification() {
    // RFC 9449 §6.1 has the key, its proof and its thumbprint.
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
                     "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"});
    let jwk: Jwk = serde_json::from_value(jwk).unwrap();
    let (_, public, thumbprint) = jwk.read("ES256").unwrap();
    assert_eq!((public.len(), thumbprint.as_str()), (65, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"));
    // RFC 8037, appendix A.3.
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let jwk: Jwk = serde_json::from_value(jwk).unwrap();
    for alg in ["EdDSA", "Ed25519"] {
        assert_eq!(jwk.read(alg).unwrap().2, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
    assert!(jwk.read("ES256").is_err());
}

#[test]
fn a_proof_is_of_one_request_and_one_token() {
    let holder = Holder::new();
    let right = holder.signs(&holder.head(), &claims());
    let proof = read(&right, &asked(None)).unwrap();
    assert_eq!((proof.name.as_str(), proof.key.len()), ("one", 43));
    assert_eq!(read(&right, &asked(Some("token"))), Err("the proof is of another token: ath"));
    // As RFC 9449 §7.1 has it.
    let (token, ath) =
        ("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU", "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
    let of_token = holder.signs(&holder.head(), &with(claims(), "ath", ath.into()));
    assert_eq!(read(&of_token, &asked(Some(token))), Ok(proof.clone()));
    assert!(read(&of_token, &asked(Some("token"))).is_err());
    for (htu, is) in [
        ("https://a.example/api/x?q=1#f", true),
        ("HTTPS://A.example:443/api/x", true),
        ("http://a.example/api/x", false),
        ("https://a.example:444/api/x", false),
        ("https://a.example/api/X", false),
        ("https://b.example/api/x", false),
        ("a.example/api/x", false),
        ("", false),
    ] {
        let proof = holder.signs(&holder.head(), &with(claims(), "htu", htu.into()));
        assert_eq!(read(&proof, &asked(None)).is_ok(), is, "{htu}");
    }
    // Where it is not set how we are reached, a name of this machine will do, and either scheme.
    for (host, is) in [("127.0.0.1:3000", true), ("localhost", true), ("a.example", false)] {
        let bare = Asked { url: format!("{host}/api/x"), ..asked(None) };
        for scheme in ["http", "https"] {
            let htu = format!("{scheme}://{host}/api/x");
            let proof = holder.signs(&holder.head(), &with(claims(), "htu", htu.clone().into()));
            assert_eq!(read(&proof, &bare).is_ok(), is, "{htu}");
        }
    }
    for (iat, is) in [(-90, true), (-91, false), (0, true), (30, true), (31, false), (i64::MIN / 2, false)] {
        let proof = holder.signs(&holder.head(), &with(claims(), "iat", (NOW_S.saturating_add(iat)).into()));
        assert_eq!(read(&proof, &asked(None)).is_ok(), is, "{iat}");
    }
}

#[test]
fn what_is_no_proof_opens_nothing() {
    let (holder, other) = (Holder::new(), Holder::new());
    let (head, own) = (holder.head(), claims());
    let wrong = [
        ("another's key", holder.signs(&other.head(), &own)),
        ("a token of another kind", holder.signs(&with(head.clone(), "typ", "JWT".into()), &own)),
        ("no key", holder.signs(&json!({"typ": "dpop+jwt", "alg": "ES256"}), &own)),
        ("a key that is to be kept", {
            let jwk = with(holder.jwk(), "d", "AAAA".into());
            holder.signs(&with(head.clone(), "jwk", jwk), &own)
        }),
        ("a secret as key", {
            let jwk = json!({"kty": "oct", "k": "AAAA"});
            holder.signs(&with(with(head.clone(), "alg", "HS256".into()), "jwk", jwk), &own)
        }),
        ("a key of another kind", {
            let jwk = with(holder.jwk(), "crv", "P-384".into());
            holder.signs(&with(head.clone(), "jwk", jwk), &own)
        }),
        ("a short key", {
            let jwk = with(holder.jwk(), "x", "AAAA".into());
            holder.signs(&with(head.clone(), "jwk", jwk), &own)
        }),
        ("no signature", holder.signs(&with(head.clone(), "alg", "none".into()), &own)),
        ("what is not known", holder.signs(&with(head.clone(), "crit", json!(["x"])), &own)),
        ("another method", holder.signs(&head, &with(own.clone(), "htm", "GET".into()))),
        ("no name", holder.signs(&head, &with(own.clone(), "jti", "".into()))),
        ("a long name", holder.signs(&head, &with(own.clone(), "jti", "x".repeat(257).into()))),
        ("a number for a name", holder.signs(&head, &with(own.clone(), "jti", 1.into()))),
        ("too long", holder.signs(&head, &with(own, "more", "x".repeat(BYTES_MAX).into()))),
        ("nothing", String::new()),
        ("dots", "..".into()),
    ];
    for (what, proof) in wrong {
        assert!(read(&proof, &asked(None)).is_err(), "{what}");
    }
}

#[test]
fn a_proof_is_good_once_and_takes_bounded_room() {
    let (seen, of) = (Seen::default(), |key: usize, name: usize| Proof {
        key: format!("key {key}"),
        name: format!("name {name}"),
    });
    assert_eq!(seen.first(&of(0, 0), NOW_S), Ok(()));
    assert_eq!(seen.first(&of(0, 0), NOW_S + 100), Err(Again::Known));
    assert_eq!(seen.first(&of(1, 0), NOW_S), Ok(()), "another key's");
    for name in 1..OF_KEY_MAX {
        assert_eq!(seen.first(&of(0, name), NOW_S), Ok(()));
    }
    assert_eq!(seen.first(&of(0, OF_KEY_MAX), NOW_S), Err(Again::Full));
    assert_eq!(seen.first(&of(1, 1), NOW_S), Ok(()), "one key takes no room from others");
    // A proof that is taken yet is known yet: the greatest age, and clocks apart both ways.
    let old_s = NOW_S + AGE_S + 2 * SKEW_S;
    assert_eq!(seen.first(&of(0, 0), old_s), Err(Again::Known));
    assert_eq!(seen.first(&of(0, OF_KEY_MAX), old_s + 1), Ok(()));
    assert_eq!(seen.first(&of(0, 0), old_s + 1), Err(Again::Known), "for two spans at most");
    assert_eq!(seen.first(&of(2, 0), old_s + 200), Ok(()));
    let seen = seen.0.lock().unwrap();
    assert_eq!((seen.now.len(), seen.before.len()), (1, 1), "what is too old is forgotten");
}
