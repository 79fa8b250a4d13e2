//! What access tokens are signed with: Ed25519 (RFC 8037), published as a JSON Web Key Set (RFC 7517).
//!
//! ```text
//!   made ──── published, signs nothing ──── signs ──── successor signs ──── published while tokens hold ──── gone
//!        2 × how long verifiers keep keys
//! ```

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use nx_chassis::{Api, Caller, Ctx, DbError, Job, Json, Problem, Tx, args, row};
use nx_contract::identity::{ACCESS_S, Claims, ISSUER, KEYS_CACHED_S, OPERATOR};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{Done, Person};

/// How long a key is published before it signs, and after it did.
const OVERLAP_MS: i64 = 2 * 1000 * if KEYS_CACHED_S > ACCESS_S { KEYS_CACHED_S } else { ACCESS_S };

pub(super) fn routes(api: Api) -> Api {
    api.get("/.well-known/jwks.json", published).post("/keys/rotate", rotate_now)
}

struct Key {
    kid: String,
    sealed: Vec<u8>,
    public: String,
    signs_from_ms: i64,
}
row!(Key { kid, sealed, public, signs_from_ms });

/// A key as RFC 8037 §2 writes it.
#[derive(Debug, Serialize, JsonSchema)]
struct Published {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    #[serde(rename = "use")]
    purpose: &'static str,
    kid: String,
    x: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct KeySet {
    keys: Vec<Published>,
}

async fn published(cx: Ctx) -> Result<Json<KeySet>, Problem> {
    let keys = all(&cx).await?;
    let keys = if keys.is_empty() { vec![add(&cx, cx.now_ms()).await?] } else { keys };
    let keys = still_good(keys, cx.now_ms()).into_iter().map(|key| Published {
        kty: "OKP",
        crv: "Ed25519",
        alg: "EdDSA",
        purpose: "sig",
        kid: key.kid,
        x: key.public,
    });
    Ok(Json(KeySet { keys: keys.collect() }))
}

/// Every key, oldest first.
async fn all(cx: &Ctx) -> Result<Vec<Key>, DbError> {
    cx.db().all("SELECT * FROM signing_key ORDER BY signs_from_ms, kid", Vec::new()).await
}

/// How many of them, oldest first, no good token is under any more: their successor has signed for long.
fn spent(keys: &[Key], now_ms: i64) -> usize {
    keys.iter().filter(|key| key.signs_from_ms + OVERLAP_MS <= now_ms).count().saturating_sub(1)
}

/// Those under which a token may still be good.
fn still_good(mut keys: Vec<Key>, now_ms: i64) -> Vec<Key> {
    keys.drain(..spent(&keys, now_ms));
    keys
}

/// A token that says who somebody is, for [`ACCESS_S`] seconds.
pub(super) async fn sign(cx: &Ctx, person: &Person, session: &str) -> Result<String, Problem> {
    let now_s = cx.now_ms().div_euclid(1000);
    let claims = Claims {
        iss: ISSUER.into(),
        aud: ISSUER.into(),
        sub: person.id.clone(),
        sid: session.into(),
        roles: person.roles.clone(),
        iat: now_s,
        exp: now_s + ACCESS_S,
    };
    let (kid, key) = signer(cx).await?;
    let header = Header { kid: Some(kid), ..Header::new(Algorithm::EdDSA) };
    jsonwebtoken::encode(&header, &claims, &key).map_err(Problem::internal)
}

/// The newest key that may sign. Without one that can be read, a new one signs at once.
async fn signer(cx: &Ctx) -> Result<(String, EncodingKey), Problem> {
    let now_ms = cx.now_ms();
    for key in all(cx).await?.into_iter().rev().filter(|key| key.signs_from_ms <= now_ms) {
        match cx.vault().open(&place(&key.kid), &key.sealed) {
            Ok(private) => return Ok((key.kid, EncodingKey::from_ed_der(&private))),
            Err(error) => tracing::warn!(%error, "a signing key is passed over"),
        }
    }
    let key = add(cx, now_ms).await?;
    let private = cx.vault().open(&place(&key.kid), &key.sealed)?;
    Ok((key.kid, EncodingKey::from_ed_der(&private)))
}

async fn add(cx: &Ctx, signs_from_ms: i64) -> Result<Key, Problem> {
    let pair = Ed25519KeyPair::generate().map_err(Problem::internal)?;
    let private = pair.to_pkcs8v1().map_err(Problem::internal)?;
    let kid = cx.new_id();
    let sealed = cx.vault().close(&place(&kid), private.as_ref())?;
    let public = BASE64.encode(pair.public_key().as_ref());
    let sql = "INSERT INTO signing_key (kid, sealed, public, signs_from_ms) VALUES ($1, $2, $3, $4)";
    cx.run(sql, args![&kid, sealed.clone(), &public, signs_from_ms]).await?;
    Ok(Key { kid, sealed, public, signs_from_ms })
}

fn place(kid: &str) -> String {
    format!("signing key {kid}")
}

/// Publishes a new key, which signs when everybody can know it, and forgets those under which nothing is good any more.
async fn renew(cx: &Ctx) -> Result<(), Problem> {
    let now_ms = cx.now_ms();
    let keys = all(cx).await?;
    let mut tx: Tx = cx.begin();
    for old in &keys[..spent(&keys, now_ms)] {
        tx.run("DELETE FROM signing_key WHERE kid = $1", args![&old.kid]).await?;
    }
    tx.commit().await?;
    // Another node, or an impatient operator, has done it: one that waits is enough.
    if keys.iter().all(|key| key.signs_from_ms <= now_ms) {
        let from_ms = if keys.is_empty() { now_ms } else { now_ms + OVERLAP_MS };
        add(cx, from_ms).await?;
    }
    Ok(())
}

pub(super) async fn rotate(cx: Ctx, _: Job) -> Result<(), Problem> {
    renew(&cx).await
}

async fn rotate_now(by: Caller, cx: Ctx) -> Result<Json<Done>, Problem> {
    by.must_be(OPERATOR)?;
    renew(&cx).await?;
    Ok(Json(Done {}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kid: &str, signs_from_ms: i64) -> Key {
        Key { kid: kid.into(), sealed: Vec::new(), public: String::new(), signs_from_ms }
    }

    #[test]
    fn a_key_is_known_before_it_signs_and_while_its_tokens_hold() {
        let good = |now_ms| -> Vec<String> {
            let keys = vec![key("a", 0), key("b", 1000 + OVERLAP_MS), key("c", 9 * OVERLAP_MS)];
            still_good(keys, now_ms).into_iter().map(|key| key.kid).collect()
        };
        assert_eq!(good(1000), ["a", "b", "c"]);
        assert_eq!(good(999 + 2 * OVERLAP_MS), ["a", "b", "c"], "tokens of a still hold");
        assert_eq!(good(1000 + 2 * OVERLAP_MS), ["b", "c"]);
        assert_eq!(good(10 * OVERLAP_MS), ["c"], "and the last is never given up");
        assert_eq!(good(100 * OVERLAP_MS), ["c"]);
    }
}
