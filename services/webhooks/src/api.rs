//! `/webhooks`: who is told.

use garde::Validate;
use http::StatusCode;
use nx_chassis::{Api, Body, Caller, Created, Ctx, IfMatch, Json, Path, Problem, Tagged, Time, Tx};
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sign;
use crate::store::{self, Hook};

/// Who may have others told.
const ROLE: &str = "operator";
/// How long messages are signed with the old secret too, after a new one was asked for.
const OLD_KEPT_MS: i64 = 24 * 3_600_000;

/// Adds the routes to those of a service.
pub fn routes(api: Api) -> Api {
    api.get("/webhooks", list)
        .post_once("/webhooks", add)
        .get("/webhooks/{id}", read)
        .put("/webhooks/{id}", change)
        .delete("/webhooks/{id}", remove)
        .post_once("/webhooks/{id}/secret", renew)
}

/// Who is to be told of what.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// `https://…`, `http://…` or `mailto:who@example.org`.
    #[garde(length(bytes, min = 1, max = 2000))]
    url: String,
    /// Kinds of events, as in `cos.platform.issue.new.v1`; all when there are none.
    #[garde(length(max = 50), inner(length(min = 1, max = 200)))]
    #[serde(default)]
    kinds: Vec<String>,
    /// Whether it is told at present.
    #[garde(skip)]
    #[serde(default = "yes")]
    active: bool,
}

fn yes() -> bool {
    true
}

/// An address as it is told of: without its secret, which is shown once.
#[derive(Debug, Serialize, JsonSchema)]
struct Webhook {
    id: String,
    url: String,
    kinds: Vec<String>,
    /// Also false when the other side has said that it is gone (410).
    active: bool,
    version: i64,
}

/// The same with its secret, in answer to who has asked for it.
#[derive(Debug, Serialize, JsonSchema)]
struct Opened {
    #[serde(flatten)]
    webhook: Webhook,
    /// What its messages are signed with (Standard Webhooks).
    secret: String,
    /// Until when the secret before it is used too.
    old_until: Option<Time>,
}

impl From<Hook> for Webhook {
    fn from(hook: Hook) -> Self {
        let Hook { id, url, kinds, active, version, .. } = hook;
        Self { id, url, kinds, active, version }
    }
}

fn opened(hook: Hook) -> Opened {
    Opened { secret: hook.secret.clone(), old_until: hook.old_until, webhook: hook.into() }
}

/// What can be seen to be wrong before anything is sent; where a name leads is looked at with each message.
fn check(wanted: &Wanted) -> Result<(), Problem> {
    let bad =
        || Problem::invalid("/url", "is no address: write https://…, http://… or mailto:who@example.org");
    if let Some(to) = wanted.url.strip_prefix("mailto:") {
        return to.parse::<lettre::message::Mailbox>().map(drop).map_err(|_| bad());
    }
    let url = Url::parse(&wanted.url).map_err(|_| bad())?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(bad());
    }
    Ok(())
}

async fn list(caller: Caller, cx: Ctx) -> Result<Json<Vec<Webhook>>, Problem> {
    caller.must_be(ROLE)?;
    Ok(Json(store::all(&cx).await?.into_iter().map(Webhook::from).collect()))
}

async fn add(
    caller: Caller,
    cx: Ctx,
    mut tx: Tx,
    Body(wanted): Body<Wanted>,
) -> Result<Created<Opened>, Problem> {
    caller.must_be(ROLE)?;
    check(&wanted)?;
    let Wanted { url, kinds, active } = wanted;
    let secret = sign::new_secret().map_err(Problem::internal)?;
    let hook =
        Hook { id: cx.new_id(), url, secret, old_secret: None, old_until: None, active, version: 1, kinds };
    store::add(&mut tx, &hook).await?;
    Ok(Created { location: hook.id.clone(), body: opened(hook) })
}

async fn read(caller: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Tagged<Webhook>, Problem> {
    caller.must_be(ROLE)?;
    let hook = store::find(&cx, &id).await?;
    Ok(Tagged { version: hook.version, body: hook.into() })
}

async fn change(
    caller: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path(id): Path<String>,
    IfMatch(version): IfMatch,
    Body(wanted): Body<Wanted>,
) -> Result<Tagged<Webhook>, Problem> {
    caller.must_be(ROLE)?;
    check(&wanted)?;
    let Wanted { url, kinds, active } = wanted;
    let hook = Hook { url, kinds, active, version, ..store::find(&cx, &id).await? };
    store::replace(&mut tx, &hook).await?;
    let hook = Hook { version: version + 1, ..hook };
    Ok(Tagged { version: hook.version, body: hook.into() })
}

async fn remove(caller: Caller, mut tx: Tx, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    caller.must_be(ROLE)?;
    store::remove(&mut tx, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A new secret; the one before it is used too for a day.
async fn renew(caller: Caller, cx: Ctx, mut tx: Tx, Path(id): Path<String>) -> Result<Json<Opened>, Problem> {
    caller.must_be(ROLE)?;
    let before = store::find(&cx, &id).await?;
    let secret = sign::new_secret().map_err(Problem::internal)?;
    let (old_secret, old_until) = (Some(before.secret.clone()), Some(Time(cx.now_ms() + OLD_KEPT_MS)));
    let hook = Hook { secret, old_secret, old_until, ..before };
    store::replace(&mut tx, &hook).await?;
    let hook = Hook { version: hook.version + 1, ..hook };
    Ok(Json(opened(hook)))
}
