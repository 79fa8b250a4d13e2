//! Who is in an organisation, and what they are there.

use garde::Validate;
use nx_chassis::{Api, Body, Caller, Ctx, Json, List, Page, Path, Problem, Time, Tx};
use nx_contract::identity::{ORG_MEMBER_CHANGED, OrgRole};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{store, turn};
use crate::Done;

pub(super) fn routes(api: Api) -> Api {
    api.get("/orgs/{id}/members", list)
        .put("/orgs/{id}/members/{user}", change)
        .delete("/orgs/{id}/members/{user}", remove)
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OrgMember")]
pub(super) struct Member {
    pub(super) user_id: String,
    pub(super) handle: String,
    pub(super) name: String,
    pub(super) role: OrgRole,
    /// Whether they are shut out.
    pub(super) disabled: bool,
    pub(super) since: Time,
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OrgMemberRole")]
struct Change {
    #[garde(skip)]
    role: OrgRole,
}

/// For everybody in it.
async fn list(by: Caller, cx: Ctx, Path(id): Path<String>, page: Page) -> Result<List<Member>, Problem> {
    let org = store::find(&cx, &by, &id).await?.ok_or_else(super::unknown)?;
    Ok(List::of(&page, store::list_members(&cx, &org.id, &page).await?, |m: &Member| &m.user_id))
}

async fn change(
    by: Caller,
    mut tx: Tx,
    Path((id, user)): Path<(String, String)>,
    Body(Change { role }): Body<Change>,
) -> Result<Json<Done>, Problem> {
    super::signed_in(&by)?;
    turn(&mut tx, &by, &id, OrgRole::Owner).await?;
    let was = store::member(&mut tx, &id, &user).await?.ok_or_else(nobody)?;
    if was == role {
        return Ok(Json(Done {}));
    }
    if !store::set_role(&mut tx, &id, &user, role).await? {
        return Err(last_owner());
    }
    // What they have promised in another role.
    store::drop_invites_by(&mut tx, &id, &user).await?;
    super::tell(&mut tx, ORG_MEMBER_CHANGED, &id, Some(&user)).await?;
    Ok(Json(Done {}))
}

/// Whoever is in it leaves it so; owners take out others.
async fn remove(
    by: Caller,
    mut tx: Tx,
    Path((id, user)): Path<(String, String)>,
) -> Result<Json<Done>, Problem> {
    super::signed_in(&by)?;
    let least = if user == by.subject { OrgRole::Publisher } else { OrgRole::Owner };
    turn(&mut tx, &by, &id, least).await?;
    store::member(&mut tx, &id, &user).await?.ok_or_else(nobody)?;
    if !store::remove(&mut tx, &id, &user).await? {
        return Err(last_owner());
    }
    super::left(&mut tx, &id, &user).await?;
    Ok(Json(Done {}))
}

fn nobody() -> Problem {
    Problem::not_found("the organisation has no such member")
}

fn last_owner() -> Problem {
    let text =
        "nobody would be left who may decide about it: make somebody else its owner first, or delete it";
    Problem::conflict("last-owner", text)
}
