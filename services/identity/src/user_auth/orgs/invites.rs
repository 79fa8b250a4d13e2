//! Invitations: who may be in an organisation as soon as they say yes.

use garde::Validate;
use nx_chassis::{Api, Body, Caller, Ctx, Json, List, Page, Path, Problem, Time, Tx};
use nx_contract::identity::{OPERATOR, ORG_MEMBER_ADDED, OrgRole};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::Org;
use super::{BELONGS_MAX, MEMBERS_MAX, at_least, store, turn};
use crate::Done;

/// How long an invitation holds, milliseconds: 30 days.
const HOLDS_MS: i64 = 30 * 86_400_000;

pub(super) fn routes(api: Api) -> Api {
    api.get("/orgs/invites", mine)
        .post("/orgs/invites/{id}/accept", accept)
        .delete("/orgs/invites/{id}", decline)
        .get("/orgs/{id}/invites", list)
        .post("/orgs/{id}/invites", add)
        .delete("/orgs/{id}/invites/{user}", withdraw)
}

/// Somebody who is invited.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OrgInvite")]
pub(super) struct Invite {
    pub(super) user_id: String,
    pub(super) handle: String,
    pub(super) name: String,
    pub(super) role: OrgRole,
    pub(super) invited_at: Time,
}

/// An organisation that somebody is invited to.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OrgInvitation")]
pub(super) struct Invitation {
    pub(super) org_id: String,
    pub(super) handle: String,
    pub(super) name: String,
    pub(super) role: OrgRole,
    pub(super) invited_at: Time,
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewOrgInvite")]
struct NewInvite {
    /// Who, by the name that they sign in with.
    #[garde(length(min = 1, max = 100))]
    handle: String,
    #[garde(skip)]
    role: OrgRole,
}

/// What somebody is there who looks after invitations.
async fn manager(by: &Caller, cx: &Ctx, id: &str) -> Result<OrgRole, Problem> {
    let org = store::find(cx, by, id).await?.ok_or_else(super::unknown)?;
    at_least(if by.is_operator() { Some(OrgRole::Owner) } else { org.role }, OrgRole::Manager)
}

async fn list(by: Caller, cx: Ctx, Path(id): Path<String>, page: Page) -> Result<List<Invite>, Problem> {
    manager(&by, &cx, &id).await?;
    Ok(List::of(&page, store::invites(&cx, &id, &page).await?, |invite: &Invite| &invite.user_id))
}

/// Nobody gives more than they have. Who is invited again may have another role.
async fn add(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path(id): Path<String>,
    Body(new): Body<NewInvite>,
) -> Result<Json<Invite>, Problem> {
    super::signed_in(&by)?;
    // Who may not learns nothing of who is called what, and keeps nobody waiting.
    at_least(Some(manager(&by, &cx, &id).await?), new.role)?;
    let handle = new.handle.trim().to_ascii_lowercase();
    let found = store::hold_called(&mut tx, &handle).await?;
    let who = found.ok_or_else(|| Problem::invalid("/handle", "nobody is called that here"))?;
    let mine = at_least(Some(turn(&mut tx, &by, &id, OrgRole::Manager).await?), new.role)?;
    // Another in its place takes it back.
    if let Some(role) = store::invited_as(&mut tx, &id, &who.id).await? {
        at_least(Some(mine), role)?;
    }
    if store::member(&mut tx, &id, &who.id).await?.is_some() {
        return Err(Problem::conflict("member", "they are in it already: an owner gives them another role"));
    }
    if store::count(&mut tx, &id).await? >= MEMBERS_MAX {
        let text =
            format!("the organisation has {MEMBERS_MAX} members and invitations, and room for no more");
        return Err(Problem::conflict("members-max", text));
    }
    let invited_at = Time(cx.now_ms());
    let invite = Invite { user_id: who.id, handle: who.handle, name: who.name, role: new.role, invited_at };
    store::invite(&mut tx, &id, &invite, &by.subject).await?;
    Ok(Json(invite))
}

/// An owner takes back any, a manager those that they could make.
async fn withdraw(
    by: Caller,
    mut tx: Tx,
    Path((id, user)): Path<(String, String)>,
) -> Result<Json<Done>, Problem> {
    super::signed_in(&by)?;
    let mine = turn(&mut tx, &by, &id, OrgRole::Manager).await?;
    let taken = store::take_invite(&mut tx, &id, &user).await?.ok_or_else(none)?;
    at_least(Some(mine), taken.role)?;
    Ok(Json(Done {}))
}

/// Those of who asks.
async fn mine(by: Caller, cx: Ctx, page: Page) -> Result<List<Invitation>, Problem> {
    let all = store::invited(&cx, &by.subject, &page.after, page.rows()).await?;
    Ok(List::of(&page, all, |invite: &Invitation| &invite.org_id))
}

async fn accept(by: Caller, cx: Ctx, mut tx: Tx, Path(id): Path<String>) -> Result<Json<Org>, Problem> {
    super::signed_in(&by)?;
    if !store::is_invited(&cx, &id, &by.subject).await? {
        return Err(none());
    }
    if !store::hold_person(&mut tx, &by.subject).await? {
        return Err(Problem::forbidden("you are shut out"));
    }
    room(&mut tx, &by.subject).await?;
    store::touch(&mut tx, &id).await?;
    let taken = store::take_invite(&mut tx, &id, &by.subject).await?.ok_or_else(none)?;
    let role = taken.role;
    if taken.at_ms <= cx.now_ms() - HOLDS_MS || !still_invites(&mut tx, &id, &taken).await? {
        return Err(none());
    }
    store::add_member(&mut tx, &id, &by.subject, role).await?;
    super::tell(&mut tx, ORG_MEMBER_ADDED, &id, Some(&by.subject)).await?;
    store::find_in(&mut tx, &by, &id).await?.map(Json).ok_or_else(super::unknown)
}

/// Whether who has made an invitation could make it now. This machine always can.
async fn still_invites(tx: &mut Tx, org: &str, taken: &store::Taken) -> Result<bool, Problem> {
    if taken.invited_by == OPERATOR || store::is_operator_now(tx, &taken.invited_by).await? {
        return Ok(true);
    }
    let now = store::role(tx, org, &taken.invited_by).await?;
    Ok(now.is_some_and(|now| now >= taken.role.max(OrgRole::Manager)))
}

/// Keeps no invitation that holds no more.
pub(super) async fn sweep(tx: &mut Tx) -> Result<(), Problem> {
    let past_ms = tx.now_ms() - HOLDS_MS;
    Ok(store::drop_invites_before(tx, past_ms).await?)
}

async fn decline(by: Caller, mut tx: Tx, Path(id): Path<String>) -> Result<Json<Done>, Problem> {
    store::take_invite(&mut tx, &id, &by.subject).await?.ok_or_else(none)?;
    Ok(Json(Done {}))
}

/// Whether somebody may be in one more.
pub(super) async fn room(tx: &mut Tx, person: &str) -> Result<(), Problem> {
    if store::count_of(tx, person).await? >= BELONGS_MAX {
        let text = format!("you are in {BELONGS_MAX} organisations: leave one first");
        return Err(Problem::conflict("orgs-max", text));
    }
    Ok(())
}

fn none() -> Problem {
    Problem::not_found("there is no such invitation, or it was taken back")
}
