//! session-mgr: where people are signed in, and how many streams they watch at a time.
//!
//! Never: more leases at a time than somebody has, in whatever order they are asked for; a lease that outlives a player that
//! crashed by more than its minute; a session that goes on when its person is shut out.

mod api;
mod leases;
mod person;
mod store;

use nx_chassis::{Event, Problem, Service, Tx};
use nx_contract::identity::Config;

use crate::{
    CREDENTIAL_CHANGED, Changed, LEASE_ENDED, LEASE_GRANTED, PersonNow, SESSION_CREATED, SESSION_REVOKED,
    TOKENS_REFRESHED, TOKENS_REUSED, USER_CHANGED, USER_ERASED, USER_FORGOTTEN, forgotten,
};

pub(crate) use api::{NewSession, Session};

pub(crate) fn service(config: &Config) -> Service {
    Service::new("session-mgr")
        .migration(include_str!("0001_init.sql"))
        .api(leases::routes(person::routes(api::routes(config.session_days)), config.streams_max))
        .emits(SESSION_CREATED)
        .emits(SESSION_REVOKED)
        .emits(LEASE_GRANTED)
        .emits(LEASE_ENDED)
        .on(USER_CHANGED, changed)
        .emits(USER_FORGOTTEN)
        .on(USER_ERASED, erased)
        .on(CREDENTIAL_CHANGED, other_password)
        .on(TOKENS_REFRESHED, seen)
        .on(TOKENS_REUSED, stolen)
        .job("sweep", store::sweep)
        .every("*/5 * * * *", "sweep")
}

async fn changed(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    if event.data::<PersonNow>()?.disabled {
        store::end_all(tx, &event.subject, None, "the account was disabled").await?;
    }
    Ok(())
}

async fn erased(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    let rows = store::erase(tx, &event.subject).await?;
    forgotten(tx, &event, rows).await
}

async fn other_password(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    let keep = event.data::<Changed>()?.keep;
    store::end_all(tx, &event.subject, keep.as_deref(), "the password was changed").await
}

async fn seen(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    store::seen(tx, &event.subject).await
}

async fn stolen(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    store::end(tx, &event.subject, "a refresh token of it was used twice").await
}
