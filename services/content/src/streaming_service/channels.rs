//! Channels: whose they are, and who sees them.

use garde::Validate;
use http::HeaderMap;
use nx_chassis::{
    Api, Body, Caller, Created, Ctx, IfMatch, Json, List, Page, Path, Problem, Tagged, Time, Tx,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::core::{self, Standing};
use super::{CHANNEL_CHANGED, CHANNEL_CREATED, CHANNEL_DELETED, broadcasts, policy, rules, store};
use crate::Done;

/// Channels that one person makes at most: names of those that are deleted are nobody's again.
const CHANNELS_MAX: i64 = 50;

pub(super) fn routes(api: Api) -> Api {
    api.get("/channels", list)
        .post_once("/channels", add)
        .get("/channels/{id}", read)
        .patch("/channels/{id}", change)
        .delete("/channels/{id}", remove)
        .get("/channels/{id}/live", live)
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct Channel {
    pub(super) id: String,
    pub(super) owner_id: String,
    /// Its name in addresses, for ever.
    pub(super) handle: String,
    pub(super) title: String,
    /// Whether only members watch it, for ever.
    pub(super) members_only: bool,
    /// `APP/STREAM` in the core and on edges.
    pub(super) stream: String,
    pub(super) created_at: Time,
    pub(super) version: i64,
    /// From where members watch; anywhere, when none is named.
    #[serde(skip)]
    pub(super) networks: Vec<String>,
    /// How long a token of theirs holds, seconds.
    #[serde(skip)]
    pub(super) token_s: u32,
}

impl nx_chassis::FromRow for Channel {
    fn from_row(row: &nx_chassis::Row) -> Result<Self, nx_chassis::DbError> {
        let (handle, members_only): (String, bool) = (row.get("handle")?, row.get("members_only")?);
        Ok(Self {
            stream: rules::stream(&handle, members_only),
            id: row.get("id")?,
            owner_id: row.get("owner_id")?,
            handle,
            title: row.get("title")?,
            members_only,
            created_at: row.get("at_ms")?,
            version: row.get("version")?,
            networks: row.json("networks")?,
            token_s: u32::try_from(row.get::<i64>("token_s")?).unwrap_or(policy::TOKEN_S),
        })
    }
}

/// A channel as somebody sees it.
#[derive(Debug, Serialize, JsonSchema)]
struct Seen {
    #[serde(flatten)]
    channel: Channel,
    /// Whether who asks may change it.
    mine: bool,
    /// Whether somebody publishes it; absent while the core does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<bool>,
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewChannel {
    /// 3 to 30 of `a-z 0-9 -`.
    #[garde(length(max = 100))]
    handle: String,
    /// What people read; by default the handle.
    #[garde(length(chars, max = 100))]
    #[serde(default)]
    title: String,
    /// Whether only members watch it.
    #[garde(skip)]
    #[serde(default)]
    members_only: bool,
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Change {
    #[garde(length(chars, min = 1, max = 100))]
    title: String,
}

/// Open channels, those of which who asks is a member, and their own; operators see all.
async fn list(by: Caller, cx: Ctx, page: Page) -> Result<List<Seen>, Problem> {
    let channels = store::seen(&cx, &by.subject, by.is_operator(), &page).await?;
    let on = core::on(&cx).await.ok();
    let seen = |channel: Channel| Seen {
        mine: is_mine(&by, &channel),
        live: on.as_ref().map(|on| on.contains(&channel.stream)),
        channel,
    };
    let all = channels.into_iter().map(seen).collect();
    Ok(List::of(&page, all, |seen: &Seen| &seen.channel.id))
}

async fn add(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Body(new): Body<NewChannel>,
) -> Result<Created<Channel>, Problem> {
    super::may_create(&mut tx, &by).await?;
    let handle = rules::handle(&new.handle).map_err(|e| Problem::invalid("/handle", e))?;
    if !by.is_operator() && store::count(&mut tx, &by.subject).await? >= CHANNELS_MAX {
        let text =
            format!("you have made {CHANNELS_MAX} channels, with those that are deleted: ask an operator");
        return Err(Problem::conflict("channels-max", text));
    }
    let title = Some(new.title.trim()).filter(|t| !t.is_empty()).unwrap_or(&handle).to_owned();
    let channel = Channel {
        id: cx.new_id(),
        owner_id: by.subject,
        stream: rules::stream(&handle, new.members_only),
        handle,
        title,
        members_only: new.members_only,
        created_at: Time(cx.now_ms()),
        version: 1,
        networks: Vec::new(),
        token_s: policy::TOKEN_S,
    };
    store::add(&mut tx, &channel).await?;
    tx.emit(CHANNEL_CREATED, &channel.id, &channel).await?;
    Ok(Created { location: channel.id.clone(), body: channel })
}

async fn read(by: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Tagged<Channel>, Problem> {
    let channel = visible(&by, &cx, &id).await?;
    Ok(Tagged { version: channel.version, body: channel })
}

async fn change(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path(id): Path<String>,
    IfMatch(version): IfMatch,
    Body(change): Body<Change>,
) -> Result<Tagged<Channel>, Problem> {
    let channel = mine(&by, &cx, &id).await?;
    let channel = store::rename(&mut tx, &channel.id, version, change.title.trim()).await?;
    tx.emit(CHANNEL_CHANGED, &channel.id, &channel).await?;
    Ok(Tagged { version: channel.version, body: channel })
}

async fn remove(by: Caller, cx: Ctx, mut tx: Tx, Path(id): Path<String>) -> Result<Json<Done>, Problem> {
    let channel = mine(&by, &cx, &id).await?;
    delete(&mut tx, &channel).await?;
    Ok(Json(Done {}))
}

/// Ends a channel with its keys, members, viewers, broadcasts and targets. Its name is nobody's again: what was recorded under it stays.
pub(super) async fn delete(tx: &mut Tx, channel: &Channel) -> Result<(), Problem> {
    store::delete(tx, &channel.id).await?;
    store::end_all(tx, &channel.id, "the channel was deleted").await?;
    broadcasts::delete_all(tx, &channel.id).await?;
    tx.emit(CHANNEL_DELETED, &channel.id, &json!({"stream": channel.stream})).await?;
    super::tell(tx).await
}

/// Where it is published and how that goes, for its owner.
async fn live(
    by: Caller,
    cx: Ctx,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Standing>, Problem> {
    let channel = mine(&by, &cx, &id).await?;
    core::standing(&cx, &channel.stream, &headers).await.map(Json)
}

pub(super) fn is_mine(by: &Caller, channel: &Channel) -> bool {
    by.subject == channel.owner_id || by.is_operator()
}

/// A channel that this caller may change. Of those they may not even see they learn nothing.
pub(super) async fn mine(by: &Caller, cx: &Ctx, id: &str) -> Result<Channel, Problem> {
    let channel = visible(by, cx, id).await?;
    if is_mine(by, &channel) {
        return Ok(channel);
    }
    Err(Problem::forbidden("this channel is somebody else's"))
}

/// A channel that this caller may watch.
pub(super) async fn visible(by: &Caller, cx: &Ctx, id: &str) -> Result<Channel, Problem> {
    let unknown = || Problem::not_found("there is no such channel, or it is not for you");
    let channel = store::find(cx, id).await?.ok_or_else(unknown)?;
    let open = !channel.members_only || is_mine(by, &channel);
    if open || store::is_member(cx, &channel.id, &by.subject).await? { Ok(channel) } else { Err(unknown()) }
}
