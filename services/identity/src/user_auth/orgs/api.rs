//! Organisations themselves.

use garde::Validate;
use nx_chassis::{
    Api, Body, Caller, Created, Ctx, IfMatch, Json, List, Page, Path, Problem, Tagged, Time, Tx,
};
use nx_contract::identity::{CREATOR, ORG_CHANGED, ORG_CREATED, OrgRole};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{store, turn};
use crate::Done;
use crate::user_auth::rules;

/// Organisations that one person makes at most, with those that are deleted.
const ORGS_MAX: i64 = 10;

pub(super) fn routes(api: Api) -> Api {
    api.get("/orgs", list)
        .post_once("/orgs", add)
        .get("/orgs/{id}", read)
        .patch("/orgs/{id}", rename)
        .delete("/orgs/{id}", remove)
}

/// An organisation as somebody sees it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Org {
    pub(super) id: String,
    /// Its name for ever.
    pub(super) handle: String,
    pub(super) name: String,
    /// What who asks is there; absent for operators who are not in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<OrgRole>,
    /// Owners who are not shut out. Where there are none, operators decide.
    pub(super) owners: i64,
    pub(super) created_at: Time,
    pub(super) version: i64,
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewOrg {
    /// 3 to 30 of `a-z 0-9 . _ -`.
    #[garde(length(max = 100))]
    handle: String,
    /// What people read; by default the handle.
    #[garde(length(chars, max = 100))]
    #[serde(default)]
    name: String,
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OrgRename")]
struct Rename {
    #[garde(length(chars, min = 1, max = 100))]
    name: String,
}

/// A name as it is kept: who reads it in a line of others reads those as they are.
fn named(given: &str) -> Result<String, Problem> {
    // What ends a line, and what turns the writing of what follows.
    let turns = |c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let name = given.trim();
    if name.is_empty() || name.contains(|c: char| c.is_control() || turns(c)) {
        return Err(Problem::invalid("/name", "is some text on one line"));
    }
    Ok(name.to_owned())
}

/// Those that who asks is in; operators see all.
async fn list(by: Caller, cx: Ctx, page: Page) -> Result<List<Org>, Problem> {
    Ok(List::of(&page, store::list(&cx, &by, &page).await?, |org: &Org| &org.id))
}

async fn add(by: Caller, cx: Ctx, mut tx: Tx, Body(new): Body<NewOrg>) -> Result<Created<Org>, Problem> {
    by.must_be(CREATOR)?;
    super::signed_in(&by)?;
    let handle = rules::handle(&new.handle).map_err(|e| Problem::invalid("/handle", e))?;
    let name = if new.name.trim().is_empty() { handle.clone() } else { named(&new.name)? };
    // What their token says is some minutes old.
    if !store::hold_creator(&mut tx, &by.subject).await? {
        return Err(Problem::forbidden("an organisation has an owner: sign in as somebody who is a creator"));
    }
    if store::count_made(&mut tx, &by.subject).await? >= ORGS_MAX {
        let text =
            format!("you have made {ORGS_MAX} organisations, with those that are deleted: ask an operator");
        return Err(Problem::conflict("orgs-max", text));
    }
    super::invites::room(&mut tx, &by.subject).await?;
    let (id, created_at) = (cx.new_id(), Time(cx.now_ms()));
    let org = Org { id, handle, name, role: Some(OrgRole::Owner), owners: 1, created_at, version: 1 };
    store::add(&mut tx, &by.subject, &org).await?;
    super::tell(&mut tx, ORG_CREATED, &org.id, Some(&by.subject)).await?;
    Ok(Created { location: org.id.clone(), body: org })
}

async fn read(by: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Tagged<Org>, Problem> {
    let body = store::find(&cx, &by, &id).await?.ok_or_else(super::unknown)?;
    Ok(Tagged { version: body.version, body })
}

async fn rename(
    by: Caller,
    mut tx: Tx,
    Path(id): Path<String>,
    IfMatch(version): IfMatch,
    Body(new): Body<Rename>,
) -> Result<Tagged<Org>, Problem> {
    super::signed_in(&by)?;
    let name = named(&new.name)?;
    turn(&mut tx, &by, &id, OrgRole::Owner).await?;
    if !store::rename(&mut tx, &id, version, &name).await? {
        return Err(Problem::stale());
    }
    super::tell(&mut tx, ORG_CHANGED, &id, None).await?;
    let body = store::find_in(&mut tx, &by, &id).await?.ok_or_else(super::unknown)?;
    Ok(Tagged { version: body.version, body })
}

/// Its channels end with it.
async fn remove(by: Caller, mut tx: Tx, Path(id): Path<String>) -> Result<Json<Done>, Problem> {
    super::signed_in(&by)?;
    turn(&mut tx, &by, &id, OrgRole::Owner).await?;
    super::end(&mut tx, &id).await?;
    Ok(Json(Done {}))
}
