//! Tokens: golden ones made with OpenSSL, and all that is wrong with others.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::*;
use crate::{Input, Limits};
use RefusalKind::{BadToken, ExpiredToken};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// `{"sub":"live/show","act":"publish","exp":2000}`, signed with the secret above by Python's hmac.
const HS256: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJsaXZlL3Nob3ciLCJhY3QiOiJwdWJsaXNoIiwiZXhwIjoyMDA\
    wfQ.VY-AjSaEqQeJkn9lNm-NM5SZfbFXUkTLWG_Pj9WCKYI";
/// The same, signed with the private half of the key below by OpenSSL; so the next.
const EDDSA: &str = "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJsaXZlL3Nob3ciLCJhY3QiOiJwdWJsaXNoIiwiZXhwIjoyMDA\
    wfQ.O9fOarij2rIe3Ervd6ywea6iP8S2mj_DGzagPCLNQecH8RFaLSu-CVWvkQ3DXOMNT1hYj3xe-mMzI9B2EQWBCw";
const ED_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA82POJWwnRbcjEMrEjQdB+/vSJonamLcebOyj4FECQd0=
-----END PUBLIC KEY-----
";
const RS256: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJsaXZlL3Nob3ciLCJhY3QiOiJwdWJsaXNoIiwiZXhwIjoyMDA\
    wfQ.XaB6Ro51vqBM_1Fm4O0GCgawvWmdiT-E5ttRSxO1dQCsaZ_xOK0X0xBO6mkLkWGFBxMM0EwhFvGZ0I5IgBfQrhuwYudK\
    RIqodMhWI43wGRhgzJgnNI99G_hNjVzBMQQYXe-1NQrogc7M9T1las78fIaYz731h5WgpakieuOd7KGQooDWaIgFzkVgpEV2\
    DJhVw2wGlqrFeT82Yv6l19mX5foVEQGYeThVkJ9EkCPsgfA0Nt95GoXLOGdOfmcRi0VtWt7hWlr-85p7_ZjvIVaIhrZ4bFFm\
    ytdyqyx3db5IPrpHjtej3jLMMG4NYulkBnHK5VKQp9Glf8ZkHE3t3Txl_A";
const RSA_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAikd15RgvUg0ENBYfD3d4
dRy+hSsubmi7f74YPxFhKBnjVWf8BrvZoehj/TFRsKQZdpnCfDf1aqP40VIoBBL2
6dewnAo5Usy/NB5fy8tj84r9x8wmdq62KdP17sSiuivaz0Ay5K9rOI3q47cbVcmk
HXPkyfFoN2qO4uGZBhtphYavD3DS/OrHtkf02z4qhySkRyriaSJn6mSkVEvXjIHJ
pmfTqqwZyV0eFD60MCm+0ISAv056obH2gCogjhMjhg3JSq46OoTiHZdz8lkfa01v
50cfB4a3iimjHHnjr20Z2x/XCu3Av91ddHQBnMjXhJGAxLWr6AxCTThwtbypQfUN
YwIDAQAB
-----END PUBLIC KEY-----
";

fn with_secret(more: &str) -> Admission {
    admission(&format!("[tokens]\nsecret = '{SECRET}'\n{more}"))
}

fn with_public(name: &str, pem: &str) -> Admission {
    let file = TempFile::new(name, pem);
    admission(&format!("[tokens]\npublic_key_file = '{}'", file.path()))
}

fn signed(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

fn bearing(token: &str) -> Ask {
    Ask { token: Some(Secret::new(token)), ..ask("") }
}

/// Claims of a good token, with changes; `null` takes a claim out.
fn claims(changes: Value) -> Value {
    let mut claims = json!({ "sub": "live/show", "act": "publish", "exp": 2000 });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

#[tokio::test]
async fn tokens_of_other_makers_are_understood() {
    let kinds = [
        (with_secret(""), HS256),
        (with_public("ed", ED_PUBLIC), EDDSA),
        (with_public("rsa", RSA_PUBLIC), RS256),
    ];
    for (at, (admission, _)) in kinds.iter().enumerate() {
        for (of, (_, token)) in kinds.iter().enumerate() {
            let want = if at == of { Ok("token") } else { Err(BadToken) };
            assert_eq!(by(admission, &bearing(token)).await, want, "verifier {at}, token {of}");
        }
    }
    let grant = decide(&kinds[0].0, &bearing(HS256)).await.unwrap();
    assert_eq!((grant.expires_at_s, grant.input, grant.lease.is_none()), (Some(2000), Input::Primary, true));
}

#[tokio::test]
async fn the_token_does_not_choose_its_algorithm() {
    // The public key is public: as a secret of HS256 it must not open anything.
    let rsa = with_public("confused", RSA_PUBLIC);
    let good = claims(json!({}));
    for secret in [RSA_PUBLIC, RSA_PUBLIC.trim_end()] {
        assert_eq!(by(&rsa, &bearing(&signed(Algorithm::HS256, secret, &good))).await, Err(BadToken));
    }
    let hs = with_secret("");
    let none = "eyJhbGciOiJub25lIn0"; // {"alg":"none"}
    let [_, body, signature] = HS256.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    for token in [
        format!("{none}.{body}."),
        format!("{none}.{body}"),
        format!("{none}.{body}.{signature}"),
        signed(Algorithm::HS384, SECRET, &good),
        signed(Algorithm::HS512, SECRET, &good),
        signed(Algorithm::HS256, "another-secret-another-secret-another", &good),
    ] {
        assert_eq!(by(&hs, &bearing(&token)).await, Err(BadToken), "{token}");
    }
}

#[tokio::test]
async fn each_claim_is_looked_at() {
    let admission = with_secret("");
    for (changes, want) in [
        (json!({}), Ok("token")),
        (json!({ "sub": "live/*" }), Ok("token")),
        (json!({ "sub": "*" }), Ok("token")),
        (json!({ "sub": "live/other" }), Err(BadToken)),
        (json!({ "sub": "live/sho" }), Err(BadToken)),
        (json!({ "sub": "" }), Err(BadToken)),
        (json!({ "sub": null }), Err(BadToken)),
        (json!({ "act": "play" }), Err(BadToken)),
        (json!({ "act": "own" }), Err(BadToken)),
        (json!({ "act": null }), Err(BadToken)),
        (json!({ "exp": 1001 }), Ok("token")),
        (json!({ "exp": 1001.5 }), Ok("token")),
        (json!({ "exp": 1000 }), Err(ExpiredToken)),
        (json!({ "exp": 0 }), Err(ExpiredToken)),
        (json!({ "exp": -5 }), Err(BadToken)),
        (json!({ "exp": "2000" }), Err(BadToken)),
        (json!({ "exp": null }), Err(BadToken)),
        (json!({ "nbf": 1060 }), Ok("token")),
        (json!({ "nbf": 1061 }), Err(BadToken)),
        (json!({ "ip": "192.0.2.7" }), Ok("token")),
        (json!({ "ip": "192.0.2.0/24" }), Ok("token")),
        (json!({ "ip": "192.0.2.8" }), Err(BadToken)),
        (json!({ "ip": "here" }), Err(BadToken)),
        (json!({ "aud": "somebody" }), Err(BadToken)),
        (json!({ "input": "third" }), Err(BadToken)),
        (json!({ "limits": { "bitrate": 1 } }), Err(BadToken)),
        (json!({ "name": "claims nobody knows are passed over" }), Ok("token")),
    ] {
        let token = signed(Algorithm::HS256, SECRET, &claims(changes.clone()));
        assert_eq!(by(&admission, &bearing(&token)).await, want, "{changes}");
    }
    let play = signed(Algorithm::HS256, SECRET, &claims(json!({ "act": "play" })));
    assert_eq!(by(&admission, &Ask { action: Action::Play, ..bearing(&play) }).await, Ok("token"));
    assert_eq!(by(&admission, &Ask { action: Action::Play, ..bearing(HS256) }).await, Err(BadToken));
    assert_eq!(by(&admission, &ask("")).await, Err(RefusalKind::NoCredential));
    assert_eq!(by(&admission, &ask("key=leftover")).await, Err(RefusalKind::NoCredential));
}

#[tokio::test]
async fn issuer_and_audience_are_asked_for_when_set() {
    let admission = with_secret("issuer = 'me'\naudience = 'you'");
    for (changes, want) in [
        (json!({ "iss": "me", "aud": "you" }), Ok("token")),
        (json!({ "iss": "me", "aud": ["them", "you"] }), Ok("token")),
        (json!({ "iss": "me" }), Err(BadToken)),
        (json!({ "aud": "you" }), Err(BadToken)),
        (json!({ "iss": "it", "aud": "you" }), Err(BadToken)),
        (json!({ "iss": "me", "aud": "them" }), Err(BadToken)),
    ] {
        let token = signed(Algorithm::HS256, SECRET, &claims(changes.clone()));
        assert_eq!(by(&admission, &bearing(&token)).await, want, "{changes}");
    }
}

#[tokio::test]
async fn a_token_may_name_the_input_and_tighten_limits() {
    let admission = with_secret("[[streams]]\nname = 'live/show'\nlimits = { width = 5, height = 5 }");
    let changes =
        json!({ "sub": "live/*", "input": "backup", "limits": { "width": 9, "height": 2, "concurrent": 1 } });
    let token = bearing(&signed(Algorithm::HS256, SECRET, &claims(changes)));
    let grant = decide(&admission, &token).await.unwrap();
    let want = Limits { width: Some(5), height: Some(2), concurrent: Some(1), ..Limits::default() };
    assert_eq!((grant.input, grant.limits), (Input::Backup, want));
    let other = Ask { stream: key("live/other"), ..token };
    assert_eq!(by(&admission, &other).await, Err(RefusalKind::TooMany));
    drop(grant);
    assert_eq!(by(&admission, &other).await, Ok("token"));
}

#[tokio::test]
async fn broken_tokens_are_refused() {
    let admission = with_secret("");
    for end in 0..HS256.len() {
        let cut = HS256.get(..end).unwrap();
        assert_eq!(by(&admission, &bearing(cut)).await, Err(BadToken), "{end}");
    }
    for at in 0..HS256.len() {
        let mut bytes = HS256.as_bytes().to_vec();
        // Another digit of the same alphabet.
        bytes[at] = if bytes[at].is_ascii_lowercase() { b'-' } else { b'q' };
        let token = String::from_utf8(bytes).unwrap();
        assert_eq!(by(&admission, &bearing(&token)).await, Err(BadToken), "{at}");
    }
    assert_eq!(by(&admission, &bearing(&"a".repeat(100_000))).await, Err(BadToken));
}
