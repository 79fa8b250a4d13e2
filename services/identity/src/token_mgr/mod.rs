//! token-mgr: what people and programs show.
//!
//! | file | holds |
//! | --- | --- |
//! | `keys.rs` | what access tokens are signed with, and who may know: a key signs only when everybody can know it |
//! | `families.rs` | refresh tokens: each works once, its successor is always the same one |
//! | `api_keys.rs` | keys for programs, of which only a hash is kept |
//! | `apps.rs` | what auth-service-v2 gives to apps of others: less than their people have |
//!
//! Never: a family that forks; a key that signs before it is published for as long as verifiers keep what they have read; an
//! API key in the store.

mod api_keys;
mod apps;
mod families;
mod keys;

use nx_chassis::{Api, Event, Problem, Service, Tx};

use crate::{
    CREDENTIAL_CHANGED, Changed, PersonNow, SESSION_REVOKED, TOKENS_REFRESHED, TOKENS_REUSED, USER_CHANGED,
    USER_ERASED, USER_FORGOTTEN, forgotten,
};

pub(crate) use apps::{App, AppTokens, Known, NewAccess, Refresh, Sign, Signed, Signer, Token};
pub(crate) use families::NewFamily;
pub(crate) use keys::Alg;

pub(crate) fn service() -> Service {
    Service::new("token-mgr")
        .migration(include_str!("0001_init.sql"))
        .migration(include_str!("0002_apps.sql"))
        .migration(include_str!("0003_bound.sql"))
        .api(apps::routes(api_keys::routes(families::routes(keys::routes(Api::new())))))
        .emits(TOKENS_REFRESHED)
        .emits(TOKENS_REUSED)
        .on(SESSION_REVOKED, revoked)
        .on(USER_CHANGED, changed)
        .on(CREDENTIAL_CHANGED, new_password)
        .emits(USER_FORGOTTEN)
        .on(USER_ERASED, erased)
        .job("rotate", keys::rotate)
        .every("17 3 * * 1", "rotate")
        .job("sweep", families::sweep)
        .every("29 * * * *", "sweep")
}

async fn revoked(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    families::end_of_session(tx, &event.subject).await
}

/// A password that was lost and given anew ends keys too: who knows who had it. One that its owner has changed does not.
async fn new_password(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    match event.data::<Changed>()?.keep {
        Some(_) => Ok(()),
        // Families first: who makes a key at this moment holds on to one.
        None => {
            families::end_of_person(tx, &event.subject).await?;
            api_keys::erase(tx, &event.subject).await?;
            Ok(())
        }
    }
}

async fn changed(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    let now: PersonNow = event.data()?;
    families::changed(tx, &now).await?;
    api_keys::changed(tx, &now).await
}

async fn erased(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    let rows = families::end_of_person(tx, &event.subject).await?;
    let rows = rows + api_keys::erase(tx, &event.subject).await?;
    forgotten(tx, &event, rows).await
}
