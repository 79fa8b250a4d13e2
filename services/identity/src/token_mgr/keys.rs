//! What tokens are signed with, published as a JSON Web Key Set (RFC 7517): Ed25519 (RFC 8037), and RSA for what apps get to
//! read that take nothing else.
//!
//! ```text
//!   made ──── published, signs nothing ──── signs ──── successor signs ──── published while tokens hold ──── gone
//!        2 × how long verifiers keep keys
//! ```

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as BASE64};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use nx_chassis::{Api, Caller, Ctx, DbError, Job, Json, Problem, Tx, args, row};
use nx_contract::identity::{ACCESS_S, KEYS_CACHED_S, OPERATOR};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Done;

/// How long a key is published before it signs, and after it did.
const OVERLAP_MS: i64 = 2 * 1000 * if KEYS_CACHED_S > ACCESS_S { KEYS_CACHED_S } else { ACCESS_S };

pub(super) fn routes(api: Api) -> Api {
    api.get("/.well-known/jwks.json", published).post("/keys/rotate", rotate_now)
}

/// How something is signed (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Alg {
    #[serde(rename = "EdDSA")]
    EdDsa,
    #[default]
    #[serde(rename = "RS256")]
    Rs256,
}

impl Alg {
    const ALL: [Self; 2] = [Self::EdDsa, Self::Rs256];

    fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    fn algorithm(self) -> Algorithm {
        match self {
            Self::EdDsa => Algorithm::EdDSA,
            Self::Rs256 => Algorithm::RS256,
        }
    }
}

struct Key {
    kid: String,
    alg: String,
    sealed: Vec<u8>,
    /// The public key, or the modulus.
    public: String,
    signs_from_ms: i64,
}
row!(Key { kid, alg, sealed, public, signs_from_ms });

/// What every RSA key of ours has for its exponent: 65537.
const EXPONENT: &str = "AQAB";

/// A key as RFC 7518 §6.3 and RFC 8037 §2 write it.
#[derive(Debug, Serialize, JsonSchema)]
struct Published {
    alg: &'static str,
    #[serde(rename = "use")]
    purpose: &'static str,
    kid: String,
    #[serde(flatten)]
    parts: Parts,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "kty")]
enum Parts {
    #[serde(rename = "OKP")]
    Okp { crv: &'static str, x: String },
    #[serde(rename = "RSA")]
    Rsa { n: String, e: &'static str },
}

#[derive(Debug, Serialize, JsonSchema)]
struct KeySet {
    keys: Vec<Published>,
}

async fn published(cx: Ctx) -> Result<Json<KeySet>, Problem> {
    let mut keys = Vec::new();
    for alg in Alg::ALL {
        let mut all = all(&cx, alg).await?;
        // Apps that take nothing but RSA may never come.
        if all.is_empty() && alg == Alg::EdDsa {
            all.push(add(&cx, alg, cx.now_ms()).await?);
        }
        keys.extend(still_good(all, cx.now_ms()).into_iter().map(|key| Published {
            alg: alg.name(),
            purpose: "sig",
            kid: key.kid,
            parts: match alg {
                Alg::EdDsa => Parts::Okp { crv: "Ed25519", x: key.public },
                Alg::Rs256 => Parts::Rsa { n: key.public, e: EXPONENT },
            },
        }));
    }
    Ok(Json(KeySet { keys }))
}

/// Every key of a kind, oldest first.
async fn all(cx: &Ctx, alg: Alg) -> Result<Vec<Key>, DbError> {
    let sql = "SELECT * FROM signing_key WHERE alg = $1 ORDER BY signs_from_ms, kid";
    cx.db().all(sql, args![alg.name()]).await
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

/// Claims under a signature; `kind` is what the token says that it is (RFC 8725 §3.11).
pub(super) async fn sign(
    cx: &Ctx,
    alg: Alg,
    kind: &str,
    claims: &(impl Serialize + Sync),
) -> Result<String, Problem> {
    let (kid, private) = signer(cx, alg).await?;
    let key = match alg {
        Alg::EdDsa => EncodingKey::from_ed_der(&private),
        Alg::Rs256 => {
            let pem = format!(
                "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
                BASE64_STANDARD.encode(private)
            );
            EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(Problem::internal)?
        }
    };
    let header = Header { kid: Some(kid), typ: Some(kind.into()), ..Header::new(alg.algorithm()) };
    jsonwebtoken::encode(&header, claims, &key).map_err(Problem::internal)
}

/// The claims of a token that one of our keys has signed, whenever it runs out.
pub(super) async fn read(cx: &Ctx, token: &str) -> Result<Option<Map<String, Value>>, Problem> {
    let Ok(header) = jsonwebtoken::decode_header(token) else { return Ok(None) };
    let sql = "SELECT * FROM signing_key WHERE kid = $1";
    let Some(key) = cx.db().one::<Key>(sql, args![header.kid.unwrap_or_default()]).await? else {
        return Ok(None);
    };
    let (alg, key) = if key.alg == Alg::EdDsa.name() {
        (Alg::EdDsa, DecodingKey::from_ed_components(&key.public))
    } else {
        (Alg::Rs256, DecodingKey::from_rsa_components(&key.public, EXPONENT))
    };
    // Of which kind it is and how long it holds is the caller's to look at.
    let mut how = Validation::new(alg.algorithm());
    (how.validate_exp, how.validate_aud) = (false, false);
    how.required_spec_claims.clear();
    let read = jsonwebtoken::decode::<Map<String, Value>>(token, &key.map_err(Problem::internal)?, &how);
    Ok(read.ok().map(|token| token.claims))
}

/// The newest key that may sign. Without one that can be read, a new one signs at once.
pub(super) async fn signer(cx: &Ctx, alg: Alg) -> Result<(String, Vec<u8>), Problem> {
    let now_ms = cx.now_ms();
    for key in all(cx, alg).await?.into_iter().rev().filter(|key| key.signs_from_ms <= now_ms) {
        match cx.vault().open(&place(&key.kid), &key.sealed) {
            Ok(private) => return Ok((key.kid, private)),
            Err(error) => tracing::warn!(%error, "a signing key is passed over"),
        }
    }
    let key = add(cx, alg, now_ms).await?;
    let private = cx.vault().open(&place(&key.kid), &key.sealed)?;
    Ok((key.kid, private))
}

async fn add(cx: &Ctx, alg: Alg, signs_from_ms: i64) -> Result<Key, Problem> {
    let (private, public) = match alg {
        Alg::EdDsa => {
            let pair = Ed25519KeyPair::generate().map_err(Problem::internal)?;
            let private = pair.to_pkcs8v1().map_err(Problem::internal)?;
            (private.as_ref().to_vec(), BASE64.encode(pair.public_key().as_ref()))
        }
        // It takes a good part of a second.
        Alg::Rs256 => tokio::task::spawn_blocking(new_rsa)
            .await
            .map_err(Problem::internal)?
            .map_err(Problem::internal)?,
    };
    let kid = cx.new_id();
    let sealed = cx.vault().close(&place(&kid), &private)?;
    let sql = "INSERT INTO signing_key (kid, alg, sealed, public, signs_from_ms) VALUES ($1, $2, $3, $4, $5)";
    cx.run(sql, args![&kid, alg.name(), sealed.clone(), &public, signs_from_ms]).await?;
    Ok(Key { kid, alg: alg.name().into(), sealed, public, signs_from_ms })
}

/// A private key as PKCS #8, and its modulus.
fn new_rsa() -> Result<(Vec<u8>, String), aws_lc_rs::error::Unspecified> {
    let pair = rsa::KeyPair::generate(KeySize::Rsa2048)?;
    let private: Pkcs8V1Der<'_> = pair.as_der()?;
    let modulus = pair.public_key().modulus().big_endian_without_leading_zero().to_vec();
    Ok((private.as_ref().to_vec(), BASE64.encode(modulus)))
}

fn place(kid: &str) -> String {
    format!("signing key {kid}")
}

/// Publishes a new key, which signs when everybody can know it, and forgets those under which nothing is good any more.
async fn renew(cx: &Ctx) -> Result<(), Problem> {
    let now_ms = cx.now_ms();
    for alg in Alg::ALL {
        let keys = all(cx, alg).await?;
        let mut tx: Tx = cx.begin();
        for old in &keys[..spent(&keys, now_ms)] {
            tx.run("DELETE FROM signing_key WHERE kid = $1", args![&old.kid]).await?;
        }
        tx.commit().await?;
        // Another node, or an impatient operator, has done it: one that waits is enough. The first of all is made when it is needed.
        if !keys.is_empty() && keys.iter().all(|key| key.signs_from_ms <= now_ms) {
            add(cx, alg, now_ms + OVERLAP_MS).await?;
        }
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
        Key { kid: kid.into(), alg: String::new(), sealed: Vec::new(), public: String::new(), signs_from_ms }
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
