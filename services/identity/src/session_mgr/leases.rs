//! Leases: who watches what at this moment, as many at a time as somebody may.
//!
//! A player takes one, says every twenty seconds that it is still there, and gives it back. One that says nothing for a minute
//! has given it back.

use garde::Validate;
use nx_chassis::{Api, Body, Caller, Created, Ctx, Json, Path, Problem, Time, Tx};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::store;
use crate::{Done, LEASE_GRANTED};

/// How long a lease holds without a word.
const HOLDS_MS: i64 = 60_000;

pub(super) fn routes(api: Api, max: u32) -> Api {
    let grant = move |by: Caller, cx: Ctx, tx: Tx, body: Body<NewLease>| grant(by, cx, tx, body, max);
    api.get("/playback-leases", list)
        .post_once("/playback-leases", grant)
        .put("/playback-leases/{id}", beat)
        .delete("/playback-leases/{id}", release)
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Lease {
    pub(crate) id: String,
    pub(crate) user_id: String,
    /// In which they are signed in.
    pub(crate) session_id: Option<String>,
    pub(crate) stream: String,
    pub(crate) granted_at: Time,
    /// Unless it is put again before.
    pub(crate) expires_at: Time,
}

impl nx_chassis::FromRow for Lease {
    fn from_row(row: &nx_chassis::Row) -> Result<Self, nx_chassis::DbError> {
        Ok(Self {
            id: row.get("id")?,
            user_id: row.get("user_id")?,
            session_id: row.get("session_id")?,
            stream: row.get("stream")?,
            granted_at: row.get("at_ms")?,
            expires_at: row.get("ends_ms")?,
        })
    }
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewLease {
    /// `APP/STREAM`.
    #[garde(length(min = 3, max = 200))]
    stream: String,
    /// For whom; services and operators alone ask for others.
    #[garde(length(min = 1, max = 64))]
    #[serde(default)]
    user_id: Option<String>,
    /// How many that person may have, where their plan says so; services and operators alone say it.
    #[garde(range(min = 1, max = 1000))]
    #[serde(default)]
    streams_max: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Leases {
    items: Vec<Lease>,
    next_cursor: Option<String>,
}

async fn grant(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Body(new): Body<NewLease>,
    max: u32,
) -> Result<Created<Lease>, Problem> {
    let user_id = new.user_id.unwrap_or_else(|| by.subject.clone());
    by.must_own(&user_id)?;
    let max = match new.streams_max {
        Some(_) if !by.is_operator() => {
            return Err(Problem::forbidden("how many streams somebody may watch is not theirs to say"));
        }
        wanted => wanted.unwrap_or(max),
    };
    store::lock(&mut tx, &user_id).await?;
    let live = store::live(&mut tx, &user_id).await?;
    if live.len() >= max as usize {
        let watched: Vec<_> = live.iter().map(|lease| lease.stream.as_str()).collect();
        let text =
            format!("{max} streams are watched already: {}; end one of them first", watched.join(", "));
        return Err(Problem::conflict("streams-max", text));
    }
    let now_ms = cx.now_ms();
    let lease = Lease {
        id: cx.new_id(),
        // Who takes one for somebody else keeps out of it.
        session_id: by.session.filter(|_| by.subject == user_id),
        user_id,
        stream: new.stream,
        granted_at: Time(now_ms),
        expires_at: Time(now_ms + HOLDS_MS),
    };
    store::grant(&mut tx, &lease).await?;
    let told = json!({"user_id": lease.user_id, "stream": lease.stream});
    tx.emit(LEASE_GRANTED, &lease.id, &told).await?;
    Ok(Created { location: lease.id.clone(), body: lease })
}

async fn list(by: Caller, mut tx: Tx) -> Result<Json<Leases>, Problem> {
    Ok(Json(Leases { items: store::live(&mut tx, &by.subject).await?, next_cursor: None }))
}

async fn beat(by: Caller, cx: Ctx, mut tx: Tx, Path(id): Path<String>) -> Result<Json<Lease>, Problem> {
    theirs(&by, &cx, &id).await?;
    let ends_ms = cx.now_ms() + HOLDS_MS;
    store::beat(&mut tx, &id, ends_ms).await?.map(Json).ok_or_else(unknown)
}

async fn release(by: Caller, cx: Ctx, mut tx: Tx, Path(id): Path<String>) -> Result<Json<Done>, Problem> {
    theirs(&by, &cx, &id).await?;
    store::release(&mut tx, &id).await?;
    Ok(Json(Done {}))
}

async fn theirs(by: &Caller, cx: &Ctx, id: &str) -> Result<(), Problem> {
    let lease = store::lease(cx, id).await?.ok_or_else(unknown)?;
    by.must_own(&lease.user_id)
}

fn unknown() -> Problem {
    Problem::not_found("there is no such lease, or it has run out: take another")
}
