//! Passkeys: a key in a device that somebody unlocks for it, in place of password and code together.
//!
//! | file | holds |
//! | --- | --- |
//! | `party.rs` | where they hold, and what a browser is told that has brought another one's |
//! | `register.rs` | a new one |
//! | `login.rs` | signing in with one |
//! | `store.rs` | their SQL |
//!
//! The library accepts an answer as often as it is asked with the same question. So a question is deleted by whoever takes it,
//! before anything is looked at, and the counter of a passkey is written where it was lower.
//!
//! Spec: Web Authentication Level 3.

mod login;
mod party;
mod register;
mod store;

use std::sync::Arc;

use garde::Validate;
use nx_chassis::{Api, Body, Caller, Ctx, Json, List, Page, Path, Problem, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(super) use party::Party;
pub(super) use store::{end_registration, erase, is_there, of, remove_all, sweep};

use super::api::{confirm, in_session};
use super::factors::Confirm;
use crate::{Done, FACTOR_REMOVED};

/// Time to unlock a device.
const CEREMONY_MS: i64 = 300_000;
/// What these are called in facts and in the list of sessions.
const METHOD: &str = "passkey";
/// Longest id of a credential (§4), bytes.
const ID_BYTES_MAX: usize = 1023;
/// Longest of the other parts of a browser's answer, bytes.
const PART_BYTES_MAX: usize = 16 << 10;

pub(super) fn routes(api: Api, party: &Arc<Party>) -> Api {
    login::routes(register::routes(api, party), party)
        .get("/webauthn/passkeys", list)
        .patch("/webauthn/passkeys/{id}", rename)
        .delete("/webauthn/passkeys/{id}", remove)
}

/// A passkey, as its owner sees it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Passkey {
    id: String,
    name: String,
    created_at: Time,
    used_at: Option<Time>,
    /// Whether it is kept on more devices than one.
    synced: bool,
}

async fn list(by: Caller, cx: Ctx, page: Page) -> Result<List<Passkey>, Problem> {
    let passkeys = store::list(&cx, &by.subject, &page).await?;
    Ok(List::of(&page, passkeys, |passkey: &Passkey| &passkey.id))
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Name {
    #[garde(length(chars, max = 100))]
    name: String,
}

async fn rename(
    by: Caller,
    cx: Ctx,
    Path(id): Path<String>,
    Body(new): Body<Name>,
) -> Result<Json<Passkey>, Problem> {
    in_session(&by)?;
    let name = named(&new.name)?;
    let mut tx = cx.begin();
    let passkey = store::rename(&mut tx, &by.subject, &id, name).await?.ok_or_else(unknown)?;
    tx.commit().await?;
    Ok(Json(passkey))
}

async fn remove(
    by: Caller,
    cx: Ctx,
    Path(id): Path<String>,
    Body(given): Body<Confirm>,
) -> Result<Json<Done>, Problem> {
    in_session(&by)?;
    confirm(&cx, &by, "/password", given.password).await?;
    let mut tx = cx.begin();
    if !store::remove(&mut tx, &by.subject, &id).await? {
        return Err(unknown());
    }
    tx.emit(FACTOR_REMOVED, &by.subject, &json!({"factor": METHOD})).await?;
    tx.commit().await?;
    Ok(Json(Done {}))
}

fn named(name: &str) -> Result<&str, Problem> {
    let name = name.trim();
    if name.is_empty() { Err(Problem::invalid("/name", "is empty: say where it is kept")) } else { Ok(name) }
}

/// Refuses what is longer than any browser's answer, which are of these parts.
fn within(id: &[u8], parts: &[&[u8]]) -> garde::Result {
    if id.len() > ID_BYTES_MAX || parts.iter().any(|part| part.len() > PART_BYTES_MAX) {
        return Err(garde::Error::new("is longer than what browsers send"));
    }
    Ok(())
}

fn unknown() -> Problem {
    Problem::not_found("you have no passkey of that id")
}
