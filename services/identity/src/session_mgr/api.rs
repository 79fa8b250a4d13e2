//! Sessions: what people see of their own, and what auth-service begins and ends.

use garde::Validate;
use nx_chassis::{Api, Body, Caller, Created, Ctx, Json, List, Page, Path, Problem, Time, Tx};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::store;
use crate::{Done, SESSION_CREATED};

const DAY_MS: i64 = 24 * 3_600_000;

pub(super) fn routes(days: u32) -> Api {
    let begin = move |by: Caller, cx: Ctx, tx: Tx, body: Body<NewSession>| begin(by, cx, tx, body, days);
    Api::new()
        .get("/sessions", own)
        .post_once("/sessions", begin)
        .get("/sessions/{id}", read)
        .delete("/sessions/{id}", end)
        .post("/sessions/{id}/end", end)
        .get("/users/{id}/sessions", of_user)
        .delete("/users/{id}/sessions", end_all)
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) user_id: String,
    /// What the browser or program calls itself.
    pub(crate) device: String,
    /// The part of its address that says where it is.
    pub(crate) network: String,
    /// How they showed who they are: `password`, `totp`, `recovery`, `passkey`, `invite`.
    pub(crate) method: String,
    pub(crate) created_at: Time,
    pub(crate) seen_at: Time,
    pub(crate) expires_at: Time,
    /// Whether it is the one that asks.
    pub(crate) current: bool,
}

impl nx_chassis::FromRow for Session {
    fn from_row(row: &nx_chassis::Row) -> Result<Self, nx_chassis::DbError> {
        Ok(Self {
            id: row.get("id")?,
            user_id: row.get("user_id")?,
            device: row.get("device")?,
            network: row.get("network")?,
            method: row.get("method")?,
            created_at: row.get("at_ms")?,
            seen_at: row.get("seen_ms")?,
            expires_at: row.get("ends_ms")?,
            current: false,
        })
    }
}

#[derive(Debug, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSession {
    #[garde(length(min = 1, max = 64))]
    pub(crate) user_id: String,
    #[garde(length(max = 200))]
    pub(crate) device: String,
    #[garde(length(max = 64))]
    pub(crate) network: String,
    #[garde(length(min = 1, max = 20))]
    pub(crate) method: String,
}

async fn begin(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Body(new): Body<NewSession>,
    days: u32,
) -> Result<Created<Session>, Problem> {
    by.must_be_service()?;
    let now_ms = cx.now_ms();
    let NewSession { user_id, device, network, method } = new;
    let (created_at, expires_at) = (Time(now_ms), Time(now_ms + i64::from(days) * DAY_MS));
    let (id, seen_at, current) = (cx.new_id(), created_at, false);
    let session = Session { id, user_id, device, network, method, created_at, seen_at, expires_at, current };
    store::begin(&mut tx, &session).await?;
    store::trim(&mut tx, &session.user_id).await?;
    let told = json!({"user_id": session.user_id, "method": session.method});
    tx.emit(SESSION_CREATED, &session.id, &told).await?;
    Ok(Created { location: session.id.clone(), body: session })
}

async fn own(by: Caller, cx: Ctx, page: Page) -> Result<List<Session>, Problem> {
    let user = by.subject.clone();
    listed(&by, &cx, &user, &page).await
}

async fn of_user(by: Caller, cx: Ctx, Path(id): Path<String>, page: Page) -> Result<List<Session>, Problem> {
    by.must_own(&id)?;
    listed(&by, &cx, &id, &page).await
}

async fn listed(by: &Caller, cx: &Ctx, user: &str, page: &Page) -> Result<List<Session>, Problem> {
    let mut sessions = store::list(cx, user, page).await?;
    for session in &mut sessions {
        session.current = by.session.as_ref() == Some(&session.id);
    }
    Ok(List::of(page, sessions, |session| &session.id))
}

async fn read(by: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Session>, Problem> {
    let session = theirs(&by, &cx, &id).await?;
    Ok(Json(Session { current: by.session.as_ref() == Some(&session.id), ..session }))
}

async fn end(by: Caller, cx: Ctx, mut tx: Tx, Path(id): Path<String>) -> Result<Json<Done>, Problem> {
    theirs(&by, &cx, &id).await?;
    store::end(&mut tx, &id, "it was ended").await?;
    Ok(Json(Done {}))
}

async fn end_all(by: Caller, mut tx: Tx, Path(user): Path<String>) -> Result<Json<Done>, Problem> {
    by.must_own(&user)?;
    store::end_all(&mut tx, &user, None, "all were ended").await?;
    Ok(Json(Done {}))
}

/// A session that this caller may see.
async fn theirs(by: &Caller, cx: &Ctx, id: &str) -> Result<Session, Problem> {
    let unknown = || Problem::not_found("there is nothing of that name");
    let session = store::find(cx, id).await?.ok_or_else(unknown)?;
    by.must_own(&session.user_id)?;
    Ok(session)
}
