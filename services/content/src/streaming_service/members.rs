//! Members: who may watch a channel that is not for everybody.

use garde::Validate;
use nx_chassis::{Api, Body, Caller, Ctx, Json, List, Page, Path, Problem, Time, Tx};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::rules::Right;
use super::{MEMBER_ADDED, MEMBER_REMOVED, channels, store};
use crate::Done;

/// Members that a channel has at most.
const MEMBERS_MAX: i64 = 10_000;

pub(super) fn routes(api: Api) -> Api {
    api.get("/channels/{id}/members", list)
        .post("/channels/{id}/members", add)
        .delete("/channels/{id}/members/{user}", remove)
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Member {
    pub(super) user_id: String,
    pub(super) handle: String,
    pub(super) name: String,
    pub(super) since: Time,
}

impl nx_chassis::FromRow for Member {
    fn from_row(row: &nx_chassis::Row) -> Result<Self, nx_chassis::DbError> {
        Ok(Self {
            user_id: row.get("user_id")?,
            handle: row.get("handle")?,
            name: row.get("name")?,
            since: row.get("at_ms")?,
        })
    }
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewMember {
    /// Who, by the name that they sign in with.
    #[garde(length(min = 1, max = 100))]
    handle: String,
}

/// What user-auth says of somebody.
#[derive(Deserialize)]
struct Found {
    id: String,
    handle: String,
    name: String,
}

async fn list(by: Caller, cx: Ctx, Path(id): Path<String>, page: Page) -> Result<List<Member>, Problem> {
    let channel = channels::may(&by, &cx, &id, Right::Manage).await?;
    Ok(List::of(&page, store::members(&cx, &channel.id, &page).await?, |m: &Member| &m.user_id))
}

/// Who is one already stays one.
async fn add(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path(id): Path<String>,
    Body(new): Body<NewMember>,
) -> Result<Json<Member>, Problem> {
    let channel = channels::may(&by, &cx, &id, Right::Manage).await?;
    if !channel.members_only {
        let text = "everybody watches this channel: make one for members";
        return Err(Problem::conflict("open-channel", text));
    }
    let handle = new.handle.trim().to_ascii_lowercase();
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let unknown = || Problem::invalid("/handle", "nobody is called that here");
    let found: Option<Found> = match !handle.is_empty() && handle.chars().all(plain) {
        true => cx.call("user-auth")?.get(&format!("/v1/handles/{handle}")).await?,
        false => None,
    };
    let Found { id: user_id, handle, name } = found.ok_or_else(unknown)?;
    let member = Member { user_id, handle, name, since: Time(cx.now_ms()) };
    channels::hold(&mut tx, &by, &channel.id, Right::Manage).await?;
    if store::count_members(&mut tx, &channel.id).await? >= MEMBERS_MAX {
        return Err(Problem::conflict(
            "members-max",
            format!("the channel has {MEMBERS_MAX} members, and room for no more"),
        ));
    }
    if store::add_member(&mut tx, &channel.id, &member).await? {
        tx.emit(MEMBER_ADDED, &channel.id, &json!({"user_id": member.user_id})).await?;
    }
    Ok(Json(member))
}

/// Whoever watches is cut off as soon as the core has heard.
async fn remove(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path((id, user)): Path<(String, String)>,
) -> Result<Json<Done>, Problem> {
    let channel = channels::may(&by, &cx, &id, Right::Manage).await?;
    store::hold(&mut tx, &channel.id).await?;
    if !store::remove_member(&mut tx, &channel.id, &user).await? {
        return Err(Problem::not_found("the channel has no such member"));
    }
    store::end_member(&mut tx, &channel.id, &user, "no member any more").await?;
    tx.emit(MEMBER_REMOVED, &channel.id, &json!({"user_id": user})).await?;
    Ok(Json(Done {}))
}
