//! Simulcast targets: servers of others that a channel is sent on to, as long as somebody publishes it.
//!
//! The core sends. An address is told to it by the job that tells it all else, and again when it has forgotten; here it is
//! kept encrypted, for there is a secret in it, and nobody is shown that again.

use std::net::IpAddr;

use garde::Validate;
use nx_chassis::{Api, Body, Caller, Created, Ctx, Json, List, Page, Path, Problem, Time, Tx};
use nx_contract::targets::is_public;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::channels::Channel;
use super::rules::{self, Right};
use super::{channels, core, store};
use crate::Done;

/// Targets that a channel has at most; the core takes 16 for a stream.
const TARGETS_MAX: i64 = 8;

pub(super) fn routes(api: Api) -> Api {
    api.get("/channels/{id}/simulcast-targets", list)
        .post_once("/channels/{id}/simulcast-targets", add)
        .delete("/channels/{id}/simulcast-targets/{target}", remove)
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Target {
    pub(super) id: String,
    pub(super) name: String,
    /// Its secrets are replaced by `***`.
    pub(super) url: String,
    pub(super) created_at: Time,
    /// `waiting` for the core to hear of it, or `refused`; else what the core says: `waiting_for_stream`, `connecting`, `live`,
    /// `retrying`, `stopped`; absent while it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    #[serde(skip)]
    core_id: Option<String>,
}

impl nx_chassis::FromRow for Target {
    fn from_row(row: &nx_chassis::Row) -> Result<Self, nx_chassis::DbError> {
        let state = match row.get::<i64>("told")? {
            0 => Some("waiting".to_owned()),
            1 => None,
            _ => Some("refused".to_owned()),
        };
        Ok(Self {
            id: row.get("id")?,
            name: row.get("name")?,
            url: row.get("shown")?,
            created_at: row.get("at_ms")?,
            state,
            last_error: row.get("fault")?,
            core_id: row.get("core_id")?,
        })
    }
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewTarget {
    /// What people call it.
    #[garde(length(chars, min = 1, max = 100))]
    name: String,
    /// `rtmp://HOST/APP/KEY`, `rtmps://HOST/APP/KEY` or `srt://HOST:PORT?streamid=…&passphrase=…`.
    #[garde(length(min = 1, max = 2048))]
    url: String,
}

/// A target that the core does not know of, or does not know to be gone.
pub(super) struct Untold {
    pub(super) id: String,
    pub(super) stream: String,
    pub(super) sealed: Vec<u8>,
    pub(super) anywhere: bool,
    pub(super) core_id: Option<String>,
    pub(super) deleted: bool,
}
nx_chassis::row!(Untold { id, stream, sealed, anywhere, core_id, deleted });

/// Where an address lies in the vault.
pub(super) fn place(id: &str) -> String {
    format!("target {id}")
}

impl Untold {
    /// The address, secrets and all.
    pub(super) fn url(&self, cx: &Ctx) -> Result<String, Problem> {
        let url = cx.vault().open(&place(&self.id), &self.sealed)?;
        String::from_utf8(url).map_err(Problem::internal)
    }
}

async fn list(by: Caller, cx: Ctx, Path(id): Path<String>, page: Page) -> Result<List<Target>, Problem> {
    let channel = channels::may(&by, &cx, &id, Right::Publish).await?;
    let mut all = store::targets(&cx, &channel.id, &page).await?;
    // Without the core's word there is the list at least.
    let known = match all.iter().any(|target| target.state.is_none()) {
        true => core::targets(&cx, &channel.stream).await.unwrap_or_default(),
        false => Vec::new(),
    };
    for target in all.iter_mut().filter(|target| target.state.is_none()) {
        let it = known.iter().find(|it| it["id"].as_str() == target.core_id.as_deref());
        let text = |at: &str| it.and_then(|it| it[at].as_str()).map(str::to_owned);
        (target.state, target.last_error) = (text("state"), text("last_error"));
    }
    Ok(List::of(&page, all, |target: &Target| &target.id))
}

async fn add(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path(id): Path<String>,
    Body(new): Body<NewTarget>,
) -> Result<Created<Target>, Problem> {
    channels::may(&by, &cx, &id, Right::Manage).await?;
    let NewTarget { name, url } = new;
    let name = rules::line(&name).map_err(|e| Problem::invalid("/name", e))?;
    let (url, shown) = rules::target(&url).map_err(|e| Problem::invalid("/url", e))?;
    // What names lead to is looked at by the core, when it goes there.
    let literal = rules::host(&url).and_then(|host| host.parse().ok());
    if !by.is_operator() && literal.is_some_and(|ip: IpAddr| !is_public(ip)) {
        return Err(Problem::invalid(
            "/url",
            "leads into a network of this server: only operators may send there",
        ));
    }
    let channel = channels::hold(&mut tx, &by, &id, Right::Manage).await?;
    if store::count_targets(&mut tx, &channel.id).await? >= TARGETS_MAX {
        let text = format!("the channel has {TARGETS_MAX} targets: delete one first");
        return Err(Problem::conflict("targets-max", text));
    }
    let target = Target {
        id: cx.new_id(),
        name,
        url: shown,
        created_at: Time(cx.now_ms()),
        state: Some("waiting".into()),
        last_error: None,
        core_id: None,
    };
    let sealed = cx.vault().close(&place(&target.id), url.as_bytes())?;
    store::add_target(&mut tx, &channel, &target, sealed, &by).await?;
    super::tell(&mut tx).await?;
    Ok(Created { location: target.id.clone(), body: target })
}

/// Those of all channels of somebody who may have none any more, and those that they have made elsewhere.
pub(super) async fn delete_all(tx: &mut Tx, owner: &str) -> Result<(), Problem> {
    let gone = store::delete_targets_of(tx, owner).await?;
    deleted(tx, gone).await
}

/// Those that somebody has made on channels of an organisation.
pub(super) async fn delete_made(tx: &mut Tx, org: &str, maker: &str) -> Result<(), Problem> {
    let gone = store::delete_targets_made(tx, org, maker).await?;
    deleted(tx, gone).await
}

/// Those of a channel that have been made by who may have none on it, but by one.
pub(super) async fn delete_strangers(tx: &mut Tx, channel: &Channel, spared: &str) -> Result<(), Problem> {
    let gone = store::delete_targets_of_strangers(tx, channel, spared).await?;
    deleted(tx, gone).await
}

async fn deleted(tx: &mut Tx, gone: u64) -> Result<(), Problem> {
    if gone == 0 { Ok(()) } else { super::tell(tx).await }
}

async fn remove(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path((id, target)): Path<(String, String)>,
) -> Result<Json<Done>, Problem> {
    let channel = channels::may(&by, &cx, &id, Right::Manage).await?;
    if !store::delete_target(&mut tx, &channel.id, &target).await? {
        return Err(Problem::not_found("the channel has no such target"));
    }
    super::tell(&mut tx).await?;
    Ok(Json(Done {}))
}
