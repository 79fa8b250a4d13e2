//! Organisations: people who have channels in common, and what each of them is there.
//!
//! ```text
//! made by a creator, who is its owner ─► people are invited ─► each says yes, and is publisher, manager or owner
//! ```
//!
//! Whatever changes one waits for its turn: its version grows first. So nobody gives, takes or leaves by what was true a moment
//! ago, and each fact that is told has a number.
//!
//! Never: a member who has not said yes; a role that somebody gives themselves; an organisation seen by who is not in it; one whose
//! last owner goes, or is made less; an invitation that who made it could not make now. Where the last owner is forgotten or shut out, operators decide about it; with its last member
//! it ends.

mod api;
mod invites;
mod members;
mod store;

use nx_chassis::{Api, Caller, Ctx, DbError, Problem, Tx};
use nx_contract::identity::{ORG_DELETED, ORG_MEMBER_REMOVED, OrgNow, OrgRole, ROWS_GIVEN_MAX};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use store::Kept;

/// People in an organisation at most, with those who are invited.
const MEMBERS_MAX: i64 = 200;
/// Organisations that somebody is in at most.
const BELONGS_MAX: i64 = 100;

pub(super) fn routes(api: Api) -> Api {
    invites::routes(members::routes(api::routes(api)))
}

/// An organisation that somebody is in, and what they are there.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Belongs {
    id: String,
    handle: String,
    name: String,
    role: OrgRole,
}

/// Those that somebody is in.
pub(super) async fn of(cx: &Ctx, person: &str) -> Result<Vec<Belongs>, DbError> {
    store::of(cx, person, BELONGS_MAX).await
}

/// Keeps no invitation that holds no more.
pub(super) async fn sweep(tx: &mut Tx) -> Result<(), Problem> {
    invites::sweep(tx).await
}

/// What there is of somebody, to be given out.
pub(super) async fn given(cx: &Ctx, person: &str) -> Result<Value, DbError> {
    let invited = store::invited(cx, person, "", ROWS_GIVEN_MAX).await?;
    Ok(json!({"member_of": of(cx, person).await?, "invited_to": invited}))
}

/// Forgets somebody; how many rows there were. Nobody else decides about them meanwhile.
pub(super) async fn erase(tx: &mut Tx, person: &str) -> Result<u64, Problem> {
    store::hold_person(tx, person).await?;
    let mut rows = 0;
    for org in store::orgs_of(tx, person).await? {
        store::touch(tx, &org).await?;
        rows += store::remove_anyhow(tx, &org, person).await?;
        left(tx, &org, person).await?;
    }
    Ok(rows + store::erase(tx, person).await?)
}

/// Tells that somebody belongs to it no more; when that was the last, it ends. Whom they have invited nobody has, then.
async fn left(tx: &mut Tx, org: &str, person: &str) -> Result<(), Problem> {
    store::drop_invites_by(tx, org, person).await?;
    if store::members(tx, org).await?.is_empty() {
        return end(tx, org).await;
    }
    tell(tx, ORG_MEMBER_REMOVED, org, Some(person)).await
}

/// Ends it, and keeps no name of it.
async fn end(tx: &mut Tx, org: &str) -> Result<(), Problem> {
    store::end(tx, org).await?;
    tx.emit(ORG_DELETED, org, &()).await
}

/// Tells the other services how it is now.
async fn tell(tx: &mut Tx, kind: &'static str, org: &str, about: Option<&str>) -> Result<(), Problem> {
    let Kept { id, handle, name, version } = store::now(tx, org).await?.ok_or_else(unknown)?;
    let now = OrgNow {
        version,
        handle,
        name,
        members: store::members(tx, org).await?,
        about: about.map(str::to_owned),
    };
    tx.emit(kind, &id, &now).await
}

/// Takes the turn at an organisation, for who is at least this there; what they are. An operator may what owners may.
///
/// # Errors
/// 404 for who is not in it, 403 for who is less.
async fn turn(tx: &mut Tx, by: &Caller, org: &str, least: OrgRole) -> Result<OrgRole, Problem> {
    if !store::touch_as(tx, org, by).await? {
        return Err(unknown());
    }
    // Asked after the turn has come: what was found before may have changed.
    let role = match store::is_operator(tx, by).await? {
        true => Some(OrgRole::Owner),
        false => store::role(tx, org, &by.subject).await?,
    };
    at_least(role, least)
}

fn at_least(role: Option<OrgRole>, least: OrgRole) -> Result<OrgRole, Problem> {
    let role = role.ok_or_else(unknown)?;
    if role >= least {
        return Ok(role);
    }
    let text = format!("only who is {} there may do that: you are {}", least.name(), role.name());
    Err(Problem::forbidden(text))
}

/// Lets only those decide who are signed in: a key that somebody has lost gives away no organisation.
fn signed_in(by: &Caller) -> Result<(), Problem> {
    if by.session.is_some() || !by.is_person() {
        return Ok(());
    }
    Err(Problem::forbidden("sign in for that: a key will not do"))
}

fn unknown() -> Problem {
    Problem::not_found("there is no such organisation, or you are not in it")
}
