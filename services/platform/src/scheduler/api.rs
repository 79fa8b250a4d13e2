//! `/schedules`, their next times and their runs.

use garde::Validate;
use http::StatusCode;
use nx_chassis::{
    Api, Body, Caller, Created, Ctx, IfMatch, Json, List, NewJob, Page, Path, Problem, Tagged, Time, Tx, row,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rules::{self, Missed};
use super::{CALL, store};

/// Who may do anything here. What is posted is posted with the rights of a service, so no less will do.
const ROLE: &str = "operator";
/// Times that are told ahead.
const AHEAD: usize = 10;

pub(super) fn routes() -> Api {
    Api::new()
        .get("/schedules", list)
        .post_once("/schedules", add)
        .get("/schedules/{id}", read)
        .put("/schedules/{id}", change)
        .delete("/schedules/{id}", remove)
        .get("/schedules/{id}/next", next)
        .get("/schedules/{id}/runs", runs)
        .post_once("/schedules/{id}/runs", trigger)
        .get("/runs/{id}", run)
}

/// What somebody wants done: a POST to a service at the times of a cron expression.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Five fields, or six with seconds.
    #[garde(length(min = 1, max = 100))]
    pub(super) cron: String,
    /// The time zone by its name; by default UTC.
    #[garde(length(min = 1, max = 60))]
    #[serde(default = "utc")]
    pub(super) zone: String,
    /// A service of the ring.
    #[garde(length(min = 1, max = 60))]
    pub(super) service: String,
    /// A resource of it, from `/v1/` on.
    #[garde(length(min = 1, max = 500), prefix("/v1/"))]
    pub(super) path: String,
    /// What is posted.
    #[garde(skip)]
    #[serde(default)]
    pub(super) body: Value,
    #[garde(skip)]
    #[serde(default)]
    pub(super) missed: Missed,
    /// Whether it waits until this is false again.
    #[garde(skip)]
    #[serde(default)]
    pub(super) paused: bool,
}

fn utc() -> String {
    "UTC".into()
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Schedule {
    pub(super) id: String,
    pub(super) cron: String,
    pub(super) zone: String,
    pub(super) service: String,
    pub(super) path: String,
    pub(super) body: Value,
    pub(super) missed: Missed,
    pub(super) paused: bool,
    /// Null while paused, or when it never comes again.
    pub(super) next_at: Option<Time>,
    pub(super) version: i64,
}
row!(Schedule { id, cron, zone, service, path, paused, next_at, version } json { body, missed });

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Run {
    pub(super) id: String,
    pub(super) schedule: String,
    pub(super) due_at: Time,
    pub(super) by_hand: bool,
    /// `waiting`, `succeeded`, `failed` or `skipped`.
    pub(super) state: String,
    pub(super) attempts: i64,
    pub(super) error: Option<String>,
    pub(super) ended_at: Option<Time>,
}
row!(Run { id, schedule, due_at, by_hand, state, attempts, error, ended_at });

/// The schedule that is wanted, when it can be.
fn planned(cx: &Ctx, id: String, version: i64, wanted: Wanted) -> Result<Schedule, Problem> {
    let Wanted { cron, zone, service, path, body, missed, paused } = wanted;
    if !cx.knows(&service) {
        return Err(Problem::invalid("/service", "is no service that runs"));
    }
    let first = rules::times(&cron, &zone, cx.now_ms(), 1)?.first().copied();
    let next_at = first.filter(|_| !paused);
    Ok(Schedule { id, cron, zone, service, path, body, missed, paused, next_at, version })
}

async fn list(caller: Caller, cx: Ctx, page: Page) -> Result<List<Schedule>, Problem> {
    caller.must_be(ROLE)?;
    Ok(List::of(&page, store::schedules(&cx, &page).await?, |schedule| &schedule.id))
}

async fn add(
    caller: Caller,
    cx: Ctx,
    mut tx: Tx,
    Body(wanted): Body<Wanted>,
) -> Result<Created<Schedule>, Problem> {
    caller.must_be(ROLE)?;
    let schedule = planned(&cx, cx.new_id(), 1, wanted)?;
    store::add(&mut tx, &schedule).await?;
    Ok(Created { location: schedule.id.clone(), body: schedule })
}

async fn read(caller: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Tagged<Schedule>, Problem> {
    caller.must_be(ROLE)?;
    let body = store::schedule(&cx, &id).await?;
    Ok(Tagged { version: body.version, body })
}

async fn change(
    caller: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path(id): Path<String>,
    IfMatch(version): IfMatch,
    Body(wanted): Body<Wanted>,
) -> Result<Tagged<Schedule>, Problem> {
    caller.must_be(ROLE)?;
    let schedule = planned(&cx, id, version + 1, wanted)?;
    store::replace(&mut tx, &schedule).await?;
    Ok(Tagged { version: schedule.version, body: schedule })
}

async fn remove(caller: Caller, mut tx: Tx, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    caller.must_be(ROLE)?;
    store::remove(&mut tx, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn next(caller: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Vec<Time>>, Problem> {
    caller.must_be(ROLE)?;
    let schedule = store::schedule(&cx, &id).await?;
    Ok(Json(rules::times(&schedule.cron, &schedule.zone, cx.now_ms(), AHEAD)?))
}

async fn runs(caller: Caller, cx: Ctx, Path(id): Path<String>, page: Page) -> Result<List<Run>, Problem> {
    caller.must_be(ROLE)?;
    Ok(List::of(&page, store::runs(&cx, &id, &page).await?, |run| &run.id))
}

/// A run now, beside those of the schedule's times.
async fn trigger(
    caller: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path(id): Path<String>,
) -> Result<Created<Run>, Problem> {
    caller.must_be(ROLE)?;
    let schedule = store::schedule(&cx, &id).await?;
    let run = store::begin_run(&mut tx, &cx, &schedule.id, cx.now_ms(), true).await?;
    tx.enqueue(NewJob::new(CALL, &run.id)).await?;
    Ok(Created { location: run.id.clone(), body: run })
}

async fn run(caller: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Run>, Problem> {
    caller.must_be(ROLE)?;
    store::run(&cx, &id).await.map(Json)
}
