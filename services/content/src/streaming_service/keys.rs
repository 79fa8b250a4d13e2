//! Stream keys: what a channel is published with. Shown once, kept as a hash, here and in the core.

use garde::Validate;
use nx_chassis::{Api, Body, Caller, Created, Ctx, Json, List, Page, Path, Problem, ShownOnce, Time, Tx};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::channels::Channel;
use super::rules::Right;
use super::{KEY_CREATED, KEY_DELETED, channels, store};
use crate::Done;

/// Keys that a channel has at most; the core takes 64 for a stream.
const KEYS_MAX: i64 = 16;

pub(super) fn routes(api: Api) -> Api {
    api.get("/channels/{id}/stream-keys", list)
        .post_once("/channels/{id}/stream-keys", add)
        .delete("/channels/{id}/stream-keys/{key}", remove)
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Key {
    pub(super) id: String,
    /// What it is for.
    pub(super) name: String,
    /// Whether it opens the input that stands by.
    pub(super) backup: bool,
    pub(super) created_at: Time,
    /// Whether the core lets in by it already.
    pub(super) ready: bool,
}

impl nx_chassis::FromRow for Key {
    fn from_row(row: &nx_chassis::Row) -> Result<Self, nx_chassis::DbError> {
        Ok(Self {
            id: row.get("id")?,
            name: row.get("name")?,
            backup: row.get("backup")?,
            created_at: row.get("at_ms")?,
            ready: row.get("told")?,
        })
    }
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewKey {
    /// What it is for.
    #[garde(length(chars, min = 1, max = 100))]
    name: String,
    /// Whether it opens the input that stands by.
    #[garde(skip)]
    #[serde(default)]
    backup: bool,
}

/// A key as its maker gets it.
#[derive(Serialize, JsonSchema)]
struct Made {
    #[serde(flatten)]
    about: Key,
    /// Publish as `STREAM?key=…`; it is not shown again.
    key: String,
}

async fn list(by: Caller, cx: Ctx, Path(id): Path<String>, page: Page) -> Result<List<Key>, Problem> {
    let channel = channels::may(&by, &cx, &id, Right::Publish).await?;
    Ok(List::of(&page, store::keys(&cx, &channel.id, &page).await?, |key: &Key| &key.id))
}

async fn add(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path(id): Path<String>,
    Body(new): Body<NewKey>,
) -> Result<ShownOnce<Created<Made>>, Problem> {
    channels::may(&by, &cx, &id, Right::Publish).await?;
    let channel = channels::hold(&mut tx, &by, &id, Right::Publish).await?;
    if store::count_keys(&mut tx, &channel.id).await? >= KEYS_MAX {
        let text = format!("the channel has {KEYS_MAX} keys: delete those that nothing uses");
        return Err(Problem::conflict("keys-max", text));
    }
    let key = nx_chassis::fresh()?;
    let hash = nx_chassis::hex(&Sha256::digest(key.as_bytes()));
    let NewKey { name, backup } = new;
    let about = Key { id: cx.new_id(), name, backup, created_at: Time(cx.now_ms()), ready: false };
    store::add_key(&mut tx, &channel, &about, &hash, &by.subject).await?;
    tx.emit(KEY_CREATED, &about.id, &json!({"channel_id": channel.id, "name": about.name})).await?;
    super::tell(&mut tx).await?;
    let location = about.id.clone();
    Ok(ShownOnce(Created { location, body: Made { about, key } }))
}

/// Those of all channels of somebody who may have none any more, and those that they have made elsewhere.
pub(super) async fn delete_all(tx: &mut Tx, owner: &str) -> Result<(), Problem> {
    let gone = store::delete_keys_of(tx, owner).await?;
    deleted(tx, &gone).await
}

/// Those that somebody has made on channels of an organisation.
pub(super) async fn delete_made(tx: &mut Tx, org: &str, maker: &str) -> Result<(), Problem> {
    let gone = store::delete_keys_made(tx, org, maker).await?;
    deleted(tx, &gone).await
}

/// Those of a channel that have been made by who may not publish it, but by one.
pub(super) async fn delete_strangers(tx: &mut Tx, channel: &Channel, spared: &str) -> Result<(), Problem> {
    let gone = store::delete_keys_of_strangers(tx, channel, spared).await?;
    deleted(tx, &gone).await
}

async fn deleted(tx: &mut Tx, gone: &[store::Untold]) -> Result<(), Problem> {
    for key in gone {
        tx.emit(KEY_DELETED, &key.id, &json!({"stream": key.stream})).await?;
    }
    if gone.is_empty() { Ok(()) } else { super::tell(tx).await }
}

/// Whoever publishes by it is sent away as soon as the core has heard.
async fn remove(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path((id, key)): Path<(String, String)>,
) -> Result<Json<Done>, Problem> {
    let channel = channels::may(&by, &cx, &id, Right::Manage).await?;
    if !store::delete_key(&mut tx, &channel.id, &key).await? {
        return Err(Problem::not_found("the channel has no such key"));
    }
    tx.emit(KEY_DELETED, &key, &json!({"channel_id": channel.id})).await?;
    super::tell(&mut tx).await?;
    Ok(Json(Done {}))
}
