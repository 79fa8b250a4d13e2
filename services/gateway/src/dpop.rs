//! Proofs that who sends a request holds a key (RFC 9449): a token that is bound to the key is nothing to whoever stole it.
//!
//! A proof is good for one request: for its method, its address, for a minute, and, where a token comes with it, for that
//! token and once. What was shown with no token is not remembered: it is worth nothing by itself, and anybody could send it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use http::request::Parts;
use nx_contract::identity::{DPOP, PROVEN_FAULT};
use serde::Deserialize;
use serde_json::Value;

use crate::guard;

/// How old a proof may be, and how far clocks may be apart, seconds.
const AGE_S: i64 = 60;
const SKEW_S: i64 = 30;
/// Longest proof, and longest name of one, bytes.
const BYTES_MAX: usize = 4096;
const NAME_BYTES_MAX: usize = 256;
/// Proofs that are remembered, of one key and of all: some hundred requests a second by one, and 50 MiB.
const OF_KEY_MAX: usize = 50_000;
const ALL_MAX: usize = 500_000;

/// What a proof shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    /// The thumbprint of the key (RFC 7638, SHA-256).
    pub(crate) key: String,
    name: String,
}

/// A request, as its proof has to name it.
pub(crate) struct Asked<'a> {
    method: &'a str,
    /// Without what follows `?`; perhaps without a scheme, where who asks may have come by either.
    url: String,
    /// What comes with it as `Authorization: DPoP`.
    token: Option<&'a str>,
    now_s: i64,
}

impl<'a> Asked<'a> {
    /// A request that was sent to `site`, if it is set under which we are reached.
    pub(crate) fn of(head: &'a Parts, site: Option<&str>, token: Option<&'a str>, now_s: i64) -> Self {
        let base = match site {
            Some(site) => site.to_owned(),
            None => guard::authority(&head.headers, &head.uri),
        };
        Self { method: head.method.as_str(), url: format!("{base}{}", head.uri.path()), token, now_s }
    }

    fn is_at(&self, htu: &str) -> bool {
        let (ours, theirs) = (Address::of(&self.url), Address::of(htu));
        theirs.scheme.is_some()
            && ours.scheme.is_none_or(|scheme| theirs.scheme.is_some_and(|s| s.eq_ignore_ascii_case(scheme)))
            && ours.host().eq_ignore_ascii_case(theirs.host())
            && ours.path == theirs.path
    }
}

struct Address<'a> {
    scheme: Option<&'a str>,
    authority: &'a str,
    path: &'a str,
}

impl<'a> Address<'a> {
    fn of(url: &'a str) -> Self {
        let url = url.split(['?', '#']).next().unwrap_or_default();
        let (scheme, rest) = url.split_once("://").map_or((None, url), |(scheme, rest)| (Some(scheme), rest));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        Self { scheme, authority, path }
    }

    /// Without the port that the scheme has by itself.
    fn host(&self) -> &'a str {
        let usual = match self.scheme {
            Some(scheme) if scheme.eq_ignore_ascii_case("https") => ":443",
            _ => ":80",
        };
        self.authority.strip_suffix(usual).unwrap_or(self.authority)
    }
}

#[derive(Deserialize)]
struct Head {
    typ: String,
    alg: String,
    jwk: Jwk,
    crit: Option<Value>,
}

/// A public key, and what none has.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<Value>,
    k: Option<Value>,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: i64,
    ath: Option<String>,
}

/// The proof that a request bears, if it bears any.
///
/// # Errors
/// In words, what is wrong with it.
pub(crate) fn shown(head: &Parts, asked: &Asked<'_>) -> Result<Option<Proof>, &'static str> {
    let mut given = head.headers.get_all(DPOP).iter();
    let (Some(proof), None) = (given.next(), given.next()) else {
        return match head.headers.contains_key(DPOP) {
            true => Err("there is more than one proof"),
            false => Ok(None),
        };
    };
    read(proof.to_str().map_err(|_| "the proof is no token")?, asked).map(Some)
}

/// Spec: RFC 9449 §4.3.
fn read(proof: &str, asked: &Asked<'_>) -> Result<Proof, &'static str> {
    let none = "the proof is no token";
    let (text, signature) = proof.rsplit_once('.').filter(|_| proof.len() <= BYTES_MAX).ok_or(none)?;
    let (head, claims) = text.split_once('.').ok_or(none)?;
    let [head, claims, signature] = [head, claims, signature].map(|part| BASE64.decode(part));
    let head: Head = serde_json::from_slice(&head.map_err(|_| none)?)
        .map_err(|_| "the proof has no typ, no alg or no jwk")?;
    if !head.typ.eq_ignore_ascii_case("dpop+jwt") || head.crit.is_some() {
        return Err("the proof's typ is not dpop+jwt, or it asks for what is not known here");
    }
    let (way, public, key) = head.jwk.read(&head.alg)?;
    let verified = UnparsedPublicKey::new(way, public).verify(text.as_bytes(), &signature.map_err(|_| none)?);
    verified.map_err(|_| "the proof is not signed by its key")?;
    let claims: Claims = serde_json::from_slice(&claims.map_err(|_| none)?)
        .map_err(|_| "the proof lacks jti, htm, htu or iat")?;
    is_of(&claims, asked)?;
    Ok(Proof { key, name: claims.jti })
}

impl Jwk {
    /// How it verifies, its bytes, and its thumbprint (RFC 7638 §3, RFC 8037 §2).
    fn read(&self, alg: &str) -> Result<(&'static dyn VerificationAlgorithm, Vec<u8>, String), &'static str> {
        if self.d.is_some() || self.k.is_some() {
            return Err("the proof shows a key that is to be kept");
        }
        let bytes = |text: &Option<String>| {
            let bytes = text.as_ref().and_then(|text| BASE64.decode(text).ok()).filter(|b| b.len() == 32);
            bytes.ok_or("the proof's jwk is no key that is taken")
        };
        let of = |text: String| BASE64.encode(sha256(&text));
        match (alg, self.kty.as_str(), self.crv.as_deref()) {
            ("ES256", "EC", Some("P-256")) => {
                let (x, y) = (bytes(&self.x)?, bytes(&self.y)?);
                let [by_x, by_y] = [&x, &y].map(|part| BASE64.encode(part));
                let text = format!(r#"{{"crv":"P-256","kty":"EC","x":"{by_x}","y":"{by_y}"}}"#);
                Ok((&ECDSA_P256_SHA256_FIXED, [vec![4], x, y].concat(), of(text)))
            }
            ("EdDSA" | "Ed25519", "OKP", Some("Ed25519")) => {
                let x = bytes(&self.x)?;
                let text = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, BASE64.encode(&x));
                Ok((&ED25519, x, of(text)))
            }
            _ => Err("the proof is signed in a way that is not taken: take ES256, EdDSA or Ed25519"),
        }
    }
}

/// Whether a proof is one of this request.
fn is_of(claims: &Claims, asked: &Asked<'_>) -> Result<(), &'static str> {
    if claims.htm != asked.method || !asked.is_at(&claims.htu) {
        return Err("the proof is of another request: htm or htu");
    }
    let age_s = asked.now_s.saturating_sub(claims.iat);
    if !(-SKEW_S..=AGE_S + SKEW_S).contains(&age_s) {
        return Err("the proof is too old, or of a clock that goes wrong: iat");
    }
    if !(1..=NAME_BYTES_MAX).contains(&claims.jti.len()) {
        return Err("the proof's jti is empty or too long");
    }
    let of_token = |token: &str| claims.ath.as_deref() == Some(BASE64.encode(sha256(token)).as_str());
    match asked.token.is_none_or(of_token) {
        true => Ok(()),
        false => Err("the proof is of another token: ath"),
    }
}

/// Proofs that came with a token that is good.
#[derive(Default)]
pub(crate) struct Seen(Mutex<Kept>);

/// Until when a proof is remembered, by the digest of its name, by key.
#[derive(Default)]
struct Kept {
    by_key: HashMap<String, HashMap<[u8; 32], i64>>,
    count: usize,
    swept_s: i64,
}

/// Why a proof opens nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// It came before.
    Known,
    /// There is no room to remember it.
    Full,
}

impl Seen {
    /// Remembers a proof, which must not have been seen.
    pub(crate) fn first(&self, proof: &Proof, now_s: i64) -> Result<(), Again> {
        let name = sha256(&proof.name);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.by_key.get(&proof.key).and_then(|names| names.get(&name));
        if known.is_some_and(|&until_s| until_s > now_s) {
            return Err(Again::Known);
        }
        kept.sweep(&proof.key, now_s);
        let names = kept.by_key.get(&proof.key).map_or(0, HashMap::len);
        if kept.count >= ALL_MAX || names >= OF_KEY_MAX {
            return Err(Again::Full);
        }
        // It is too old before it is forgotten, whatever the clock of who made it says.
        let until_s = now_s + AGE_S + 2 * SKEW_S + 1;
        if kept.by_key.entry(proof.key.clone()).or_default().insert(name, until_s).is_none() {
            kept.count += 1;
        }
        Ok(())
    }
}

impl Kept {
    /// Makes room where there is none for one more of `key`, once a second at most.
    fn sweep(&mut self, key: &str, now_s: i64) {
        let names = self.by_key.get(key).map_or(0, HashMap::len);
        if (self.count < ALL_MAX && names < OF_KEY_MAX) || self.swept_s == now_s {
            return;
        }
        self.swept_s = now_s;
        self.by_key.values_mut().for_each(|names| names.retain(|_, until_s| *until_s > now_s));
        self.by_key.retain(|_, names| !names.is_empty());
        self.count = self.by_key.values().map(HashMap::len).sum();
    }
}

fn sha256(text: &str) -> [u8; 32] {
    let digest = digest(&SHA256, text.as_bytes());
    digest.as_ref().try_into().unwrap_or_default()
}

/// What a service is told of a proof.
pub(crate) fn told(shown: &Result<Option<Proof>, &'static str>) -> Option<String> {
    match shown {
        Ok(proof) => proof.as_ref().map(|proof| proof.key.clone()),
        Err(why) => Some(format!("{PROVEN_FAULT}{why}")),
    }
}

#[cfg(test)]
mod tests;
