//! Services of identity: who people are, that they are it, where they are signed in, and what they show for it.
//!
//! ```text
//! log-in ─► auth-service ─► user-auth     who is it, with which roles; may they
//!                        ─► session-mgr   a session, which ends when it is ended or has run out
//!                        ─► token-mgr     an access token for five minutes, and one to get the next with
//! ```
//!
//! What changes in one of them the others hear as a fact: a person who is shut out loses sessions, tokens and keys without
//! anybody asking.

mod answer;
mod auth_service;
mod auth_service_v2;
mod client;
mod here;
mod proven;
mod session_mgr;
mod token_mgr;
mod user_auth;

use std::net::{Ipv4Addr, SocketAddr};

use nx_chassis::{Caller, Event, Problem, RawBody, Ring, Service, Tx};
use nx_contract::identity::{
    CREDENTIAL_CHANGED, Config, Erasing, FACTOR_REMOVED, Forgotten, LEASE_ENDED, Person, PersonNow,
    SESSION_REVOKED, USER_CHANGED, USER_ERASED, USER_FORGOTTEN,
};
use nx_webhooks::Sender;
use sha2::{Digest, Sha256};

use auth_service::{NewTicket, password_rule};

/// A person is there. Subject: their id.
const USER_CREATED: &str = "cos.identity.user.created.v1";
/// They have one more thing to show who they are: an app, a passkey. Subject: their id.
const FACTOR_ADDED: &str = "cos.identity.factor.added.v1";
/// A passkey was shown whose counter went back: there may be a copy of it. Subject: its owner's id.
const PASSKEY_CLONED: &str = "cos.identity.passkey.cloned.v1";
/// Somebody signed in. Subject: their id.
const SIGNED_IN: &str = "cos.identity.login.succeeded.v1";
/// A session began. Subject: its id.
const SESSION_CREATED: &str = "cos.identity.session.created.v1";
/// Tokens of a session were made anew. Subject: its id.
const TOKENS_REFRESHED: &str = "cos.identity.tokens.refreshed.v1";
/// A refresh token came that had been used long before: somebody has stolen it. Subject: the session.
const TOKENS_REUSED: &str = "cos.identity.tokens.reused.v1";
/// Somebody may watch a stream. Subject: the lease.
const LEASE_GRANTED: &str = "cos.identity.lease.granted.v1";

/// Those that are built.
#[must_use]
pub fn services(config: &Config, sender: &Sender) -> Vec<Service> {
    vec![
        auth_service::service(config, sender),
        auth_service_v2::service(sender),
        user_auth::service(),
        session_mgr::service(config),
        token_mgr::service(),
    ]
}

/// The link that makes whoever opens it the first administrator, while there is none, on the gateway at `address`. It is for
/// the terminal and for no log; every start makes another.
pub async fn first_invite(ring: &Ring, address: SocketAddr) -> Option<String> {
    let request = http::Request::post("/v1/first-invite").extension(Caller::service("process"));
    let answer = ring.answer("auth-service", request.body(RawBody::empty()).ok()?).await.ok()?;
    let made = axum::body::to_bytes(answer.into_body(), 4096).await.ok()?;
    let made: serde_json::Value = serde_json::from_slice(&made).ok()?;
    let host = if address.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { address.ip() };
    let here = SocketAddr::new(host, address.port());
    Some(format!("http://{here}/account#invite={}", made.get("token")?.as_str()?))
}

/// A directory has given a password to somebody. Subject: their id. Data: [`GivenPassword`].
const PASSWORD_GIVEN: &str = "cos.identity.password.given.v1";

/// Nothing is left of somebody anywhere. Subject: the erasure's id.
const ERASURE_DONE: &str = "cos.identity.erasure.done.v1";
/// A day has passed, and services have not said that they have forgotten somebody. Subject: the erasure's id.
const ERASURE_LATE: &str = "cos.identity.erasure.late.v1";

/// What [`PASSWORD_GIVEN`] tells: under which ticket auth-service has what it made of the password.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct GivenPassword {
    ticket: String,
    handle: String,
}

/// What [`CREDENTIAL_CHANGED`] tells: the session in which it was done goes on.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Changed {
    keep: Option<String>,
}

/// Says that nothing of somebody is left here, where there were so many rows.
async fn forgotten(tx: &mut Tx, event: &Event, rows: u64) -> Result<(), Problem> {
    tx.forget(&event.subject).await?;
    tx.emit(USER_FORGOTTEN, &event.data::<Erasing>()?.erasure, &Forgotten { rows }).await
}

/// It is done, and there is nothing to say of it.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema, garde::Validate)]
#[garde(allow_unvalidated)]
struct Done {}

/// What is kept of a secret that has 256 random bits: who reads the store cannot show it.
fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

/// Something that nobody is to be told more about.
fn gone(detail: &str) -> Problem {
    Problem::new(http::StatusCode::GONE, "gone", detail)
}

#[cfg(test)]
mod tests;
