//! auth-service-v2: apps of others sign people in and speak for them, as far as those let them (OAuth 2.1, OpenID Connect).
//!
//! | file | holds |
//! | --- | --- |
//! | `clients.rs` | who asks: apps that operators have registered |
//! | `authorize.rs`, `consent.rs`, `device.rs` | asking somebody, in a browser or by a code that they type |
//! | `token.rs` | what an app gets for what it shows |
//! | `known.rs`, `logout.rs`, `sessions.rs` | what is known of a token, and how it ends |
//! | `rules.rs` | addresses, scopes, proofs: no I/O |
//! | `form.rs`, `meta.rs` | how it is said |
//!
//! People sign in at auth-service, tokens are made by token-mgr; here is only who may have them. A session of an app is a
//! session of its person, and ends with them. What an app may ask the services for stands in the catalogue, by scope.
//!
//! Never: a code that works twice; somebody sent to an address that was not registered; an app that allows itself something.

mod authorize;
mod clients;
mod consent;
mod device;
mod form;
mod known;
mod logout;
mod meta;
mod person;
mod rules;
mod sessions;
mod token;

use nx_chassis::{Api, Caller, Ctx, Job, Problem, Service, args};
use nx_contract::identity::{SESSION_REVOKED, USER_ERASED, USER_FORGOTTEN};
use nx_webhooks::Sender;

/// An app may ask people from now on. Subject: its id.
const CLIENT_REGISTERED: &str = "cos.identity.client.registered.v1";
/// Somebody lets an app do something. Subject: their id.
const CONSENT_GRANTED: &str = "cos.identity.consent.granted.v1";

/// Ways to ask for tokens.
const CODE: &str = "authorization_code";
const REFRESH: &str = "refresh_token";
const CREDENTIALS: &str = "client_credentials";
const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// How long a code that was used is remembered, so that one that comes again is known for stolen.
const DAY_MS: i64 = 24 * 3_600_000;
/// How long a television is told that its code is over.
const DEVICE_MS: i64 = 600_000;
/// Longer than any session.
const SESSION_MS: i64 = 366 * DAY_MS;

pub(crate) fn service(sender: &Sender) -> Service {
    let sender = sender.clone();
    let api = known::routes(token::routes(device::routes(consent::routes(authorize::routes(
        clients::routes(Api::new()),
    )))));
    Service::new("auth-service-v2")
        .migration(include_str!("0001_init.sql"))
        .migration(include_str!("0002_bound.sql"))
        .api(meta::routes(logout::routes(sessions::routes(person::routes(api)))))
        .emits(CLIENT_REGISTERED)
        .emits(CONSENT_GRANTED)
        .on(SESSION_REVOKED, sessions::over)
        .emits(USER_FORGOTTEN)
        .on(USER_ERASED, sessions::erased)
        .job(sessions::END, sessions::work_end)
        .job(sessions::TELL, move |cx, job| sessions::work_tell(cx, job, sender.clone()))
        .job("sweep", sweep)
        .every("*/10 * * * *", "sweep")
}

/// The session of somebody who asks in person: no app says yes to itself, and no key does.
fn themselves(by: &Caller) -> Result<&str, Problem> {
    let session = by.session.as_deref().filter(|_| by.scope.is_none());
    session.ok_or_else(|| Problem::forbidden("sign in for that: an app, a key or this machine will not do"))
}

async fn sweep(cx: Ctx, _: Job) -> Result<(), Problem> {
    let (mut tx, now_ms) = (cx.begin(), cx.now_ms());
    tx.run("DELETE FROM pushed WHERE ends_ms <= $1", args![now_ms]).await?;
    tx.run("DELETE FROM device WHERE ends_ms <= $1", args![now_ms - DEVICE_MS]).await?;
    tx.run("DELETE FROM app_session WHERE at_ms <= $1", args![now_ms - SESSION_MS]).await?;
    tx.run("DELETE FROM code WHERE ends_ms <= $1", args![now_ms - DAY_MS]).await?;
    Ok(tx.commit().await?)
}
