//! Who asks: found out once for every request, from what it bears.
//!
//! | it bears | it is |
//! | --- | --- |
//! | `gateway.token` | the operator |
//! | an access token | whoever token-mgr says; proved here with its published keys, asking nobody |
//! | an API key | whoever token-mgr says, for ten seconds |
//! | nothing, from this machine | the operator, as long as there is no `gateway.token` and no administrator |

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::request::Parts;
use http::{Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use nx_chassis::{Caller, RawBody, Ring};
use nx_contract::identity::{API_KEY, Claims, ISSUER, KEYS_CACHED_S, KeyBearer};
use nx_delivery::{Problem, wall_ms};
use nx_mesh::beat::HOLDER;
use serde::de::DeserializeOwned;

use crate::config::Token;
use crate::guard;

/// How long an answer about an API key is believed, milliseconds.
const KEY_MS: i64 = 10_000;
/// Answers about API keys that are kept.
const KEYS_MAX: usize = 10_000;
/// How often an unknown signing key has the published ones read again, milliseconds.
const UNKNOWN_MS: i64 = 5_000;
/// How long it is believed that there is no administrator, milliseconds.
const NOBODY_MS: i64 = 1_000;
/// Time that a question has, milliseconds.
const ANSWER_MS: &str = "3000";
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How far clocks may be apart, seconds.
const SKEW_S: u64 = 30;

/// Somebody, or why nobody.
#[derive(Debug, Clone)]
pub(crate) struct Who(Result<Caller, Problem>);

impl Who {
    /// Who it is.
    ///
    /// # Errors
    /// 401 or 403, with what to do.
    pub(crate) fn caller(&self) -> Result<&Caller, Problem> {
        self.0.as_ref().map_err(Clone::clone)
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
    signers: tokio::sync::Mutex<Arc<Signers>>,
    keys: Mutex<HashMap<String, (i64, Option<Caller>)>>,
    /// Whether there is an administrator, and when that was looked at. Once there is one, there always is.
    people: Mutex<(bool, i64)>,
    how: Validation,
}

/// Keys that access tokens are signed with.
#[derive(Default)]
struct Signers {
    by_name: HashMap<String, DecodingKey>,
    read_ms: i64,
    tried_ms: i64,
}

impl Identity {
    pub(crate) fn new(ring: Arc<Ring>, token: Option<Token>) -> Self {
        let mut how = Validation::new(Algorithm::EdDSA);
        how.set_audience(&[ISSUER]);
        how.set_issuer(&[ISSUER]);
        how.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        how.leeway = SKEW_S;
        let (signers, keys, people) = Default::default();
        Self { ring, token, signers, keys, people, how }
    }

    /// Who sends this.
    pub(crate) async fn find_out(&self, head: &Parts, peer: SocketAddr) -> Who {
        Who(self.caller(head, peer).await)
    }

    async fn caller(&self, head: &Parts, peer: SocketAddr) -> Result<Caller, Problem> {
        guard::same_site(&head.headers, &head.uri)?;
        let given = head.headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        let given = given.and_then(|v| v.split_once(' '));
        let Some((_, given)) = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
            return self.nobody(head, peer).await;
        };
        let given = given.trim();
        match &self.token {
            Some(token) if token.is(given) => Ok(Caller::operator()),
            _ if given.starts_with(API_KEY) => self.by_key(given).await,
            _ => self.by_token(given).await,
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

    /// Whether there is an administrator. When that cannot be found out where it should be known, there is.
    async fn has_people(&self) -> bool {
        let now_ms = wall_ms();
        let (known, at_ms) = *lock(&self.people);
        if known || (at_ms..at_ms + NOBODY_MS).contains(&now_ms) {
            return known;
        }
        let here = self.ring.here().any(|service| service == "user-auth");
        if !here && !self.ring.mesh().knows("user-auth") {
            return false;
        }
        match self.ask::<bool>("user-auth", Method::GET, "/v1/operators", String::new()).await {
            Ok(people) => {
                *lock(&self.people) = (people, now_ms);
                people
            }
            Err(_) => true,
        }
    }

    async fn by_token(&self, token: &str) -> Result<Caller, Problem> {
        let wrong = |_| guard::unauthorized("the token is none of ours, or not good any more: sign in again");
        let name = jsonwebtoken::decode_header(token).map_err(wrong)?.kid.unwrap_or_default();
        let signers = self.signers(&name).await;
        let Some(key) = signers.by_name.get(&name) else {
            return match signers.by_name.is_empty() {
                true => Err(away("token-mgr is away, and nobody else knows who signs tokens")),
                false => {
                    Err(guard::unauthorized("the token was signed by nobody whom we know: sign in again"))
                }
            };
        };
        let claims = jsonwebtoken::decode::<Claims>(token, key, &self.how).map_err(wrong)?.claims;
        Ok(Caller { subject: claims.sub, roles: claims.roles, session: Some(claims.sid) })
    }

    /// The published keys: read again when they are old, or do not have this one. While nobody answers, the last ones hold.
    async fn signers(&self, name: &str) -> Arc<Signers> {
        let mut signers = self.signers.lock().await;
        let now_ms = wall_ms();
        let fresh = now_ms - signers.read_ms < KEYS_CACHED_S * 1000 && signers.by_name.contains_key(name);
        if fresh || (now_ms - signers.tried_ms).abs() < UNKNOWN_MS {
            return signers.clone();
        }
        let path = "/v1/.well-known/jwks.json";
        let read = self.ask::<JwkSet>("token-mgr", Method::GET, path, String::new()).await;
        let last = |signers: &Signers| (signers.by_name.clone(), signers.read_ms);
        let (by_name, read_ms) = read.map_or_else(|_| last(&signers), |set| (by_name(&set), now_ms));
        *signers = Arc::new(Signers { by_name, read_ms, tried_ms: now_ms });
        signers.clone()
    }

    async fn by_key(&self, key: &str) -> Result<Caller, Problem> {
        let unknown = || guard::unauthorized("the API key is not known, was taken back, or has run out");
        let now_ms = wall_ms();
        let kept = lock(&self.keys).get(key).filter(|(until_ms, _)| *until_ms > now_ms).cloned();
        if let Some((_, caller)) = kept {
            return caller.ok_or_else(unknown);
        }
        let body = serde_json::json!({"key": key}).to_string();
        let bearer: Option<KeyBearer> =
            self.ask("token-mgr", Method::POST, "/v1/api-keys/verify", body).await?;
        let caller = bearer.map(|KeyBearer { subject, roles }| Caller { subject, roles, session: None });
        let mut keys = lock(&self.keys);
        if keys.len() >= KEYS_MAX {
            keys.clear();
        }
        keys.insert(key.to_owned(), (now_ms + KEY_MS, caller.clone()));
        caller.ok_or_else(unknown)
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
        let answer = self.ring.ask(service, request).await.map_err(|error| {
            tracing::warn!(service, %error, "nobody says who asks");
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
