//! What every service serves beside its own: health, figures, its description, what failed.

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::ctx::Ctx;
use crate::problem::Problem;
use crate::{args, row};
use nx_db::Time;

/// Most that is listed of what failed.
const DEAD_MAX: i64 = 200;

pub(super) fn routes() -> Router<Ctx> {
    Router::new()
        .route("/health", get(ready))
        .route("/health/ready", get(ready))
        .route("/health/live", get(async || Json(json!({"status": "up"}))))
        .route("/metrics", get(metrics))
        .route(
            "/openapi.json",
            get(async |State(cx): State<Ctx>| Json(cx.service().api.document(cx.service().id, ""))),
        )
        .route("/jobs/{id}", get(job))
        .route("/dead-letters", get(dead))
        .route("/dead-letters/{id}/replay", post(replay))
}

async fn ready(State(cx): State<Ctx>) -> (StatusCode, Json<Value>) {
    let (ready, document) = cx.health().await;
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(document))
}

async fn metrics(State(cx): State<Ctx>) -> Result<([(header::HeaderName, HeaderValue); 1], String), Problem> {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], cx.figures().await?))
}

impl Ctx {
    /// Whether the service can work, and a document with the state of what it needs.
    pub(crate) async fn health(&self) -> (bool, Value) {
        let sql = "SELECT COUNT(*) AS n FROM chassis_migration";
        let store = self.db().one::<i64>(sql, Vec::new()).await.is_ok();
        let needs = self.needs();
        let whole = needs.iter().all(|(_, state)| *state == "up");
        let needs: serde_json::Map<_, _> = needs.into_iter().map(|(n, s)| (n.to_owned(), s.into())).collect();
        let status = match (store, whole) {
            (false, _) => "down",
            (true, true) => "up",
            (true, false) => "degraded",
        };
        let up = if store { "up" } else { "down" };
        (store, json!({"service": self.service().id, "status": status, "store": up, "needs": needs}))
    }

    /// The service's figures as Prometheus text.
    pub(crate) async fn figures(&self) -> Result<String, Problem> {
        let (mut text, service) = (String::new(), self.service().id);
        self.inner().traffic.write(service, &mut text);
        for (name, help, sql) in [
            ("outbox", "Events to be handed on.", "SELECT COUNT(*) AS n FROM chassis_outbox"),
            ("inbox", "Events to be heard.", "SELECT COUNT(*) AS n FROM chassis_inbox WHERE state = 0"),
            ("jobs", "Jobs to be done.", "SELECT COUNT(*) AS n FROM chassis_job WHERE state = 0"),
            ("dead_letters", "Events and jobs laid aside.", DEAD_COUNT),
        ] {
            let name = format!("nexus_service_{name}");
            let count: i64 = self.db().one(sql, Vec::new()).await?.unwrap_or_default();
            text += &format!(
                "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{{service=\"{service}\"}} {count}\n"
            );
        }
        Ok(text)
    }
}

const DEAD_COUNT: &str = "SELECT (SELECT COUNT(*) FROM chassis_inbox WHERE state = 2) + \
                          (SELECT COUNT(*) FROM chassis_job WHERE state = 2) AS n";

/// A job as it stands.
#[derive(Serialize)]
struct Progress {
    id: String,
    kind: String,
    state: String,
    attempts: i64,
    progress: i64,
    due_at: Time,
    error: Option<String>,
}
row!(Progress { id, kind, state, attempts, progress, due_at, error });

async fn job(
    caller: Caller,
    State(cx): State<Ctx>,
    Path(id): Path<String>,
) -> Result<Json<Progress>, Problem> {
    caller.must_be("operator")?;
    let sql = "SELECT id, kind, attempts, progress, due_ms AS due_at, error, \
               CASE state WHEN 0 THEN 'waiting' WHEN 1 THEN 'done' ELSE 'dead' END AS state \
               FROM chassis_job WHERE id = $1";
    let found = cx.db().one(sql, args![id]).await?;
    found.map(Json).ok_or_else(|| Problem::not_found("no such job"))
}

/// What failed for good: an event that we heard, or a job.
#[derive(Serialize)]
struct Dead {
    id: String,
    what: String,
    body: String,
    attempts: i64,
    error: Option<String>,
}
row!(Dead { id, what, body, attempts, error });

async fn dead(caller: Caller, State(cx): State<Ctx>) -> Result<Json<Value>, Problem> {
    caller.must_be("operator")?;
    let sql = "SELECT id, 'event' AS what, body, attempts, error FROM chassis_inbox WHERE state = 2 UNION ALL \
               SELECT id, 'job' AS what, body, attempts, error FROM chassis_job WHERE state = 2 ORDER BY id LIMIT $1";
    let items: Vec<Dead> = cx.db().all(sql, args![DEAD_MAX]).await?;
    Ok(Json(json!({"items": items, "next_cursor": null})))
}

async fn replay(
    caller: Caller,
    State(cx): State<Ctx>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.must_be("operator")?;
    let mut found = 0;
    for sql in [
        "UPDATE chassis_inbox SET state = 0, attempts = 0, due_ms = 0 WHERE id = $1 AND state = 2",
        "UPDATE chassis_job SET state = 0, attempts = 0, due_ms = 0 WHERE id = $1 AND state = 2",
    ] {
        found += cx.run(sql, args![&id]).await?;
    }
    if found > 0 { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("no dead letter of this id")) }
}
