//! Proofs that who sends a request holds a key (RFC 9449): a token that is bound to the key is nothing to whoever stole it.
//!
//! A proof is good for one request: for its method, its address, for a minute, and, where a token comes with it, for that
//! token and once. What was shown with no token is not remembered: it is worth nothing by itself, and anybody could send it.

use std::collections::{HashMap, HashSet};
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
/// Proofs that are remembered in two minutes, of one key and of all: some hundred requests a second by one, and 50 MiB.
const OF_KEY_MAX: usize = 20_000;
const ALL_MAX: usize = 300_000;

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
    /// A request that was sent to `site`, if it is set under which we are reached, and there to `place` before its path.
    pub(crate) fn of(
        head: &'a Parts,
        site: Option<&str>,
        place: &str,
        token: Option<&'a str>,
        now_s: i64,
    ) -> Self {
        let path = head.uri.path();
        let url = match site {
            Some(site) => format!("{site}{place}{path}"),
            None => format!("{}{path}", guard::authority(&head.headers, &head.uri)),
        };
        Self { method: head.method.as_str(), url, token, now_s }
    }

    /// Under a name that others may have too, whoever gets a request may have passed it on from theirs.
    fn is_here(&self) -> bool {
        let address = Address::of(&self.url);
        address.scheme.is_some() || guard::is_own_name(address.authority)
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
    // Nothing else looks at it.
    if asked.token.is_none() && !["/token", "/par"].iter().any(|end| head.uri.path().ends_with(end)) {
        return Ok(None);
    }
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
    let claims: Claims = serde_json::from_slice(&claims.map_err(|_| none)?)
        .map_err(|_| "the proof lacks jti, htm, htu or iat")?;
    // What costs least comes first: anybody may send this.
    is_of(&claims, asked)?;
    let (way, public, key) = head.jwk.read(&head.alg)?;
    let verified = UnparsedPublicKey::new(way, public).verify(text.as_bytes(), &signature.map_err(|_| none)?);
    verified.map_err(|_| "the proof is not signed by its key")?;
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
    if !asked.is_here() {
        return Err("proofs hold where gateway.identity.url says that we are reached, and it is not set");
    }
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
pub(crate) struct Seen(Mutex<Generations>);

/// What is remembered for one span at least, and for two at most: then it goes, all at once.
#[derive(Default)]
struct Generations {
    now: HashSet<[u8; 32]>,
    before: HashSet<[u8; 32]>,
    /// How many each key has in `now`.
    of_key: HashMap<String, usize>,
    since_s: i64,
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
        let name = sha256(&format!("{} {}", proof.key, proof.name));
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // It is too old before it is forgotten, whatever the clock of who made it says.
        if !(0..=AGE_S + 2 * SKEW_S).contains(&(now_s - seen.since_s)) {
            let now = std::mem::take(&mut seen.now);
            *seen = Generations { before: now, since_s: now_s, ..Generations::default() };
        }
        if seen.now.contains(&name) || seen.before.contains(&name) {
            return Err(Again::Known);
        }
        let of_key = seen.of_key.get(&proof.key).copied().unwrap_or_default();
        if seen.now.len() >= ALL_MAX || of_key >= OF_KEY_MAX {
            return Err(Again::Full);
        }
        seen.now.insert(name);
        seen.of_key.insert(proof.key.clone(), of_key + 1);
        Ok(())
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
