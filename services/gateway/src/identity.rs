//! Who asks: found out once for every request, from what it bears.
//!
//! | it bears | it is |
//! | --- | --- |
//! | `gateway.token` | the operator |
//! | an access token | whoever token-mgr says; proved here with its published keys, asking nobody, and once for each token |
//! | one that is bound to a key | the same, with a proof of that key for this very request (`dpop.rs`) |
//! | an API key | whoever token-mgr says, for ten seconds |
//! | nothing, from this machine | the operator, as long as there is no `gateway.token` and user-auth says that there is no administrator |

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use http::request::Parts;
use http::{Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use nx_chassis::{Caller, RawBody, Ring};
use nx_contract::identity::{API_KEY, Claims, DPOP, ISSUER, KEYS_CACHED_S, KeyBearer};
use nx_delivery::{Problem, wall_ms};
use nx_mesh::beat::HOLDER;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::config::Token;
use crate::dpop::{self, Again, Proof, Seen};
use crate::{cors, guard};

/// How long an answer about an API key is believed, milliseconds.
const KEY_MS: i64 = 10_000;
/// Access tokens that were found good and are not checked again.
const TOKENS_MAX: usize = 10_000;
/// Answers about API keys that are kept.
const KEYS_MAX: usize = 10_000;
/// How often an unknown signing key has the published ones read again, milliseconds.
const UNKNOWN_MS: i64 = 5_000;
/// How long it is believed that there is no administrator, milliseconds.
const NOBODY_MS: i64 = 1_000;
/// Time that a question has; the same in milliseconds.
const ANSWER_MAX: Duration = Duration::from_secs(3);
const ANSWER_MS: &str = "3000";
/// Keys that are asked about at a time.
const ASKING_MAX: usize = 64;
/// Longest API key, bytes.
const KEY_BYTES_MAX: usize = 100;
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How far clocks may be apart, seconds.
const SKEW_S: u64 = 30;

/// Somebody, or why nobody.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    caller: Result<Caller, Problem>,
    /// What services are told of the proof that came along.
    proven: Option<String>,
}

/// The proof that a request bears, or what is wrong with it.
type Shown = Result<Option<Proof>, &'static str>;

impl Who {
    /// Nobody, whom nobody has asked.
    pub(crate) fn unasked() -> Self {
        Self::of(None)
    }

    /// Whoever the ring says it is.
    pub(crate) fn of(caller: Option<Caller>) -> Self {
        Self { caller: caller.ok_or_else(|| guard::unauthorized("nobody has shown who asks")), proven: None }
    }

    /// Who it is.
    ///
    /// # Errors
    /// 401 or 403, with what to do.
    pub(crate) fn caller(&self) -> Result<&Caller, Problem> {
        self.caller.as_ref().map_err(Clone::clone)
    }

    /// The key that was proved, or why none was, as services read it.
    pub(crate) fn proven(&self) -> Option<&str> {
        self.proven.as_deref()
    }

    /// Lets who may do everything pass.
    ///
    /// # Errors
    /// 401 or 403, with what to do.
    pub(crate) fn operator(&self) -> Result<(), Problem> {
        if self.caller()?.is_operator() {
            return Ok(());
        }
        Err(guard::forbidden("only operators may do that: ask who runs it"))
    }
}

/// Finds out.
pub(crate) struct Identity {
    ring: Arc<Ring>,
    token: Option<Token>,
    /// Where people reach the pages.
    url: Option<String>,
    signers: Mutex<Arc<Signers>>,
    /// Held by who reads them anew.
    reading: tokio::sync::Mutex<()>,
    keys: Mutex<HashMap<String, (i64, Option<Caller>)>>,
    /// Held by who asks about a key.
    asking: Semaphore,
    /// Whether there is an administrator, and when that was looked at.
    people: Mutex<(bool, i64)>,
    /// Once there was one, there always is.
    had_people: AtomicBool,
    proofs: Seen,
    how: Validation,
}

/// Keys that access tokens are signed with, and what was found of tokens by them, which goes with them.
#[derive(Default)]
struct Signers {
    /// As they were published.
    set: JwkSet,
    by_name: HashMap<String, DecodingKey>,
    read_ms: i64,
    tried_ms: i64,
    /// By the digest of the whole token; only good ones, so that nobody can fill it who has none.
    proved: Arc<Mutex<HashMap<[u8; 32], Arc<Claims>>>>,
}

impl Signers {
    /// What is known after they were asked for; `None` when nobody answered. As long as they are the same, so is what was
    /// found by them.
    fn after(&self, read: Option<JwkSet>, now_ms: i64) -> Self {
        let read_ms = if read.is_some() { now_ms } else { self.read_ms };
        let (set, by_name, proved) = match read {
            Some(set) if set != self.set => {
                let by_name = by_name(&set);
                (set, by_name, Arc::default())
            }
            _ => (self.set.clone(), self.by_name.clone(), self.proved.clone()),
        };
        Self { set, by_name, read_ms, tried_ms: now_ms, proved }
    }

    /// What a token says that this key has signed. A signature takes longer to check than all else that is done for a
    /// request, so that is done once.
    fn claims(&self, token: &str, key: &DecodingKey, how: &Validation) -> Option<Arc<Claims>> {
        let name = digest(&SHA256, token.as_bytes()).as_ref().first_chunk().copied()?;
        let now_s = wall_ms().div_euclid(1000);
        if let Some(claims) = lock(&self.proved).get(&name) {
            let good = now_s.saturating_sub_unsigned(SKEW_S) <= claims.exp;
            return good.then(|| claims.clone());
        }
        let claims = Arc::new(jsonwebtoken::decode::<Claims>(token, key, how).ok()?.claims);
        let mut proved = lock(&self.proved);
        if proved.len() >= TOKENS_MAX {
            proved.clear();
        }
        proved.insert(name, claims.clone());
        Some(claims)
    }
}

impl Identity {
    pub(crate) fn new(ring: Arc<Ring>, token: Option<Token>, url: Option<String>) -> Self {
        let mut how = Validation::new(Algorithm::EdDSA);
        how.set_audience(&[ISSUER]);
        how.set_issuer(&[ISSUER]);
        how.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        how.leeway = SKEW_S;
        let (signers, reading, keys, people, had_people, proofs) = Default::default();
        let asking = Semaphore::new(ASKING_MAX);
        Self { ring, token, url, signers, reading, keys, asking, people, had_people, proofs, how }
    }

    /// Where people reach the pages, as the settings have it.
    pub(crate) fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// Who sends this; `place` is what the gateway has in front of a path here, such as `/api/NAME`.
    pub(crate) async fn find_out(&self, head: &Parts, peer: SocketAddr, place: &str) -> Who {
        let given = head.headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        let given = given.and_then(|v| v.split_once(' ')).map(|(scheme, token)| (scheme, token.trim()));
        let by = |name| given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(name)).map(|(_, token)| token);
        let (bearer, bound) = (by("bearer"), by(DPOP));
        // Most bear none, and have no address written out.
        let shown = match head.headers.contains_key(DPOP) {
            true => {
                let now_s = wall_ms().div_euclid(1000);
                dpop::shown(head, &dpop::Asked::of(head, self.url(), place, bound, now_s))
            }
            false => Ok(None),
        };
        let proven = dpop::told(&shown);
        // A browser adds no token by itself, so what has one is said by the page itself.
        let foreign = match bearer.or(bound).is_some() && cors::is_open(head.uri.path()) {
            true => Ok(()),
            false => guard::same_site(&head.headers, &head.uri),
        };
        let caller = match (foreign, bearer, bound) {
            (Err(problem), ..) => Err(problem),
            (_, Some(token), _) => self.by_bearer(token).await,
            (_, None, Some(token)) => self.by_token(token, Some(shown)).await,
            (_, None, None) => self.nobody(head, peer).await,
        };
        Who { caller, proven }
    }

    async fn by_bearer(&self, given: &str) -> Result<Caller, Problem> {
        match &self.token {
            Some(token) if token.is(given) => Ok(Caller::operator()),
            _ if given.starts_with(API_KEY) => self.by_key(given).await,
            _ => self.by_token(given, None).await,
        }
    }

    /// Who bears nothing.
    async fn nobody(&self, head: &Parts, peer: SocketAddr) -> Result<Caller, Problem> {
        let signed_out = "sign in at /account, or send an API key or gateway.token as Authorization: Bearer";
        if self.token.is_some() || self.has_people().await {
            return Err(guard::unauthorized(signed_out));
        }
        guard::local(&head.headers, &head.uri, peer).map(|()| Caller::operator())
    }

    /// Whether there is an administrator. While nobody says so, there is.
    async fn has_people(&self) -> bool {
        let now_ms = wall_ms();
        let (known, at_ms) = *lock(&self.people);
        if self.had_people.load(Ordering::Relaxed) {
            return true;
        }
        if (at_ms..at_ms + NOBODY_MS).contains(&now_ms) {
            return known;
        }
        if !self.ring.has("user-auth") {
            return false;
        }
        let people = self.ask::<bool>("user-auth", Method::GET, "/v1/operators", String::new()).await;
        self.had_people.fetch_or(matches!(people, Ok(true)), Ordering::Relaxed);
        let people = people.unwrap_or(true);
        *lock(&self.people) = (people, now_ms);
        people
    }

    /// Whoever a token names, if the key that it is bound to was proved.
    async fn by_token(&self, token: &str, shown: Option<Shown>) -> Result<Caller, Problem> {
        let wrong = || guard::unauthorized("the token is none of ours, or not good any more: sign in again");
        let name = jsonwebtoken::decode_header(token).map_err(|_| wrong())?.kid.unwrap_or_default();
        let signers = self.signers(&name).await;
        let Some(key) = signers.by_name.get(&name) else {
            return match signers.by_name.is_empty() {
                true => Err(away("token-mgr is away, and nobody else knows who signs tokens")),
                false => {
                    Err(guard::unauthorized("the token was signed by nobody whom we know: sign in again"))
                }
            };
        };
        let claims = signers.claims(token, key, &self.how).ok_or_else(wrong)?;
        self.held(claims.cnf.as_ref().map(|of| of.jkt.as_str()), shown)?;
        // Every token of an app says so, whatever else it says: without scopes it may do nothing.
        let scope = claims.client_id.as_ref().map(|_| claims.scope.clone().unwrap_or_default());
        let Claims { sub, roles, sid, .. } = &*claims;
        Ok(Caller { subject: sub.clone(), roles: roles.clone(), session: sid.clone(), scope })
    }

    /// Whether who shows a token bound to `key` has proved that they hold it.
    fn held(&self, key: Option<&str>, shown: Option<Shown>) -> Result<(), Problem> {
        let no = |why: &str| Err(guard::unauthorized(why));
        match (key, shown) {
            (None, None) => Ok(()),
            (None, Some(_)) => no("the token is bound to no key: send it as Authorization: Bearer"),
            (Some(_), Some(Err(why))) => no(why),
            (Some(key), Some(Ok(Some(proof)))) if proof.key == key => {
                match self.proofs.first(&proof, wall_ms().div_euclid(1000)) {
                    Ok(()) => Ok(()),
                    Err(Again::Known) => no("the proof came before: each request needs one of its own"),
                    Err(Again::Full) => Err(away("too many proofs come at this moment")),
                }
            }
            (Some(_), _) => {
                no("the token is bound to a key: send it as Authorization: DPoP, with a proof by that key")
            }
        }
    }

    /// The published keys: read anew when they are old, or do not have this one. Whoever has theirs does not wait for that, and
    /// while nobody answers, the last ones hold.
    async fn signers(&self, name: &str) -> Arc<Signers> {
        let known = lock(&self.signers).clone();
        let has = known.by_name.contains_key(name);
        let due = |known: &Signers| {
            let now_ms = wall_ms();
            let old = !(0..KEYS_CACHED_S * 1000).contains(&(now_ms - known.read_ms));
            (old || !known.by_name.contains_key(name)) && (now_ms - known.tried_ms).abs() >= UNKNOWN_MS
        };
        if !due(&known) {
            return known;
        }
        let _turn = match self.reading.try_lock() {
            Ok(turn) => turn,
            Err(_) if has => return known,
            Err(_) => self.reading.lock().await,
        };
        let known = lock(&self.signers).clone();
        if !due(&known) {
            return known;
        }
        let path = "/v1/.well-known/jwks.json";
        let read = self.ask::<JwkSet>("token-mgr", Method::GET, path, String::new()).await;
        let now = Arc::new(known.after(read.ok(), wall_ms()));
        *lock(&self.signers) = now.clone();
        now
    }

    async fn by_key(&self, key: &str) -> Result<Caller, Problem> {
        let unknown = || guard::unauthorized("the API key is not known, was taken back, or has run out");
        if key.len() > KEY_BYTES_MAX {
            return Err(unknown());
        }
        if let Some(caller) = self.kept(key) {
            return caller.ok_or_else(unknown);
        }
        let turn = tokio::time::timeout(ANSWER_MAX, self.asking.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(away("too many keys are looked up at this moment"));
        };
        // Another request with it may have asked meanwhile.
        if let Some(caller) = self.kept(key) {
            return caller.ok_or_else(unknown);
        }
        let body = serde_json::json!({"key": key}).to_string();
        let bearer: Option<KeyBearer> =
            self.ask("token-mgr", Method::POST, "/v1/api-keys/verify", body).await?;
        let caller =
            bearer.map(|KeyBearer { subject, roles }| Caller { subject, roles, session: None, scope: None });
        let now_ms = wall_ms();
        let mut keys = lock(&self.keys);
        if keys.len() >= KEYS_MAX {
            // Those that are none go first: anybody can think of one.
            keys.retain(|_, (until_ms, caller)| caller.is_some() && *until_ms > now_ms);
        }
        if keys.len() >= KEYS_MAX {
            keys.clear();
        }
        keys.insert(key.to_owned(), (now_ms + KEY_MS, caller.clone()));
        caller.ok_or_else(unknown)
    }

    /// What is still believed of a key.
    fn kept(&self, key: &str) -> Option<Option<Caller>> {
        let keys = lock(&self.keys);
        let (until_ms, caller) = keys.get(key)?;
        (*until_ms > wall_ms()).then(|| caller.clone())
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        service: &str,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<T, Problem> {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-deadline-ms", ANSWER_MS)
            .extension(Caller::service(HOLDER))
            .body(RawBody::from(body));
        let told = || away(&format!("{service} is away, which says who you are"));
        let request = request.map_err(|_| told())?;
        let answer = tokio::time::timeout(ANSWER_MAX, self.ring.ask(service, request)).await;
        let answer = answer.map_err(|_| told())?.map_err(|error| {
            tracing::debug!(service, %error, "nobody says who asks");
            told()
        })?;
        if !answer.status().is_success() {
            return Err(told());
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|_| told())?;
        serde_json::from_slice(&body.to_bytes()).map_err(|_| told())
    }
}

fn by_name(set: &JwkSet) -> HashMap<String, DecodingKey> {
    let named = set
        .keys
        .iter()
        .filter_map(|key| Some((key.common.key_id.clone()?, DecodingKey::from_jwk(key).ok()?)));
    named.collect()
}

fn away(detail: &str) -> Problem {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "dependency", "Not answered", detail);
    Problem { retry_after_s: Some(5), ..problem }
}

fn lock<T>(what: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
