//! What is looked at and changed: projects and their keys, issues, events, releases, monitors.

use axum::extract::{FromRequestParts, Query};
use garde::Validate;
use http::StatusCode;
use http::request::Parts;
use nx_chassis::{
    Api, Body, Caller, Created, Ctx, Describe, IfMatch, Json, List, Operation, Page, Path, Problem, Tagged,
    Tx,
};
use schemars::{JsonSchema, SchemaGenerator};
use serde::Deserialize;
use serde_json::json;

use super::RESOLVED;
use super::store::{self, CheckIn, Event, Hour, Issue, Key, Monitor, Project, ReleaseSeen, Wanted};

/// Who may look at what was reported.
const ROLE: &str = "operator";
/// Hours that counts are told of.
const HOURS_TOLD: i64 = 24 * 14;

pub(super) fn routes() -> Api {
    Api::new()
        .get("/projects", projects)
        .post_once("/projects", add_project)
        .put("/projects/{id}", change_project)
        .get("/projects/{id}", project)
        .get("/projects/{id}/hours", project_hours)
        .get("/projects/{id}/keys", keys)
        .post_once("/projects/{id}/keys", add_key)
        .delete("/projects/{id}/keys/{key}", remove_key)
        .get("/projects/{id}/releases", releases)
        .get("/projects/{id}/monitors", monitors)
        .get("/projects/{id}/monitors/{slug}/check-ins", check_ins)
        .get("/issues", issues)
        .get("/issues/{id}", issue)
        .patch("/issues/{id}", change_issue)
        .get("/issues/{id}/events", events)
        .get("/issues/{id}/hours", issue_hours)
        .get("/events/{id}", event)
}

/// A project as it is wanted.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WantedProject {
    #[garde(length(min = 1, max = 100))]
    name: String,
    #[garde(range(min = 1, max = 365))]
    #[serde(default = "kept_days")]
    kept_days: i64,
    #[garde(range(min = 1, max = 1_000_000))]
    #[serde(default = "events_hour_max")]
    events_hour_max: i64,
}

fn kept_days() -> i64 {
    90
}

fn events_hour_max() -> i64 {
    10_000
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WantedKey {
    /// Who uses it.
    #[garde(length(max = 100))]
    #[serde(default)]
    label: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    Unresolved,
    Resolved,
    Ignored,
}

/// What becomes of an issue.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Change {
    #[garde(skip)]
    state: State,
    /// When it is resolved: the newest release that still has it; by default the newest there is. An event of a newer one
    /// reopens it.
    #[garde(inner(length(min = 1, max = 200)))]
    #[serde(default)]
    release: Option<String>,
}

/// Which issues are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Filter {
    project: Option<i64>,
    state: String,
    level: String,
    release: String,
    query: String,
}

impl<S: Sync> FromRequestParts<S> for Filter {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(filter): Query<Self> =
            Query::try_from_uri(&parts.uri).map_err(|e| Problem::bad_request(e.body_text()))?;
        let texts = [&filter.state, &filter.level, &filter.release, &filter.query];
        if texts.iter().any(|t| t.len() > 200 || t.contains('\0')) {
            return Err(Problem::bad_request("what is searched for has at most 200 bytes, and no NUL"));
        }
        Ok(filter)
    }
}

impl Describe for Filter {
    fn describe(operation: &mut Operation, _: &mut SchemaGenerator) {
        operation.query("project", &json!({"type": "integer"}));
        operation.query("state", &json!({"enum": ["", "unresolved", "resolved", "ignored"]}));
        operation.query("level", &json!({"enum": ["", "fatal", "error", "warning", "info", "debug"]}));
        operation.query("release", &json!({"type": "string", "maxLength": 200}));
        operation.query("query", &json!({"type": "string", "maxLength": 200}));
    }
}

/// Its project, for those who may look at it.
async fn mine(caller: &Caller, cx: &Ctx, id: &str) -> Result<Project, Problem> {
    caller.must_be(ROLE)?;
    store::find_project(cx, id).await?.ok_or_else(|| Problem::not_found("no such project"))
}

async fn projects(caller: Caller, cx: Ctx) -> Result<Json<Vec<Project>>, Problem> {
    caller.must_be(ROLE)?;
    Ok(Json(store::projects(&cx).await?))
}

async fn project(caller: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Tagged<Project>, Problem> {
    let body = mine(&caller, &cx, &id).await?;
    Ok(Tagged { version: body.version, body })
}

fn planned(id: i64, version: i64, wanted: WantedProject) -> Project {
    let WantedProject { name, kept_days, events_hour_max } = wanted;
    Project { id, name, kept_days, events_hour_max, version }
}

async fn add_project(
    caller: Caller,
    mut tx: Tx,
    Body(wanted): Body<WantedProject>,
) -> Result<Created<Project>, Problem> {
    caller.must_be(ROLE)?;
    let body = store::add_project(&mut tx, &planned(0, 1, wanted)).await?;
    Ok(Created { location: body.id.to_string(), body })
}

async fn change_project(
    caller: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path(id): Path<String>,
    IfMatch(version): IfMatch,
    Body(wanted): Body<WantedProject>,
) -> Result<Tagged<Project>, Problem> {
    let id = mine(&caller, &cx, &id).await?.id;
    let body = store::change_project(&mut tx, &planned(id, version, wanted)).await?;
    Ok(Tagged { version: body.version, body })
}

async fn keys(caller: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Vec<Key>>, Problem> {
    let project = mine(&caller, &cx, &id).await?;
    Ok(Json(store::keys(&cx, project.id).await?))
}

async fn add_key(
    caller: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path(id): Path<String>,
    Body(wanted): Body<WantedKey>,
) -> Result<Created<Key>, Problem> {
    let project = mine(&caller, &cx, &id).await?.id;
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(Problem::internal)?;
    let key = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let body = Key { key, project, label: wanted.label };
    store::add_key(&mut tx, &body).await?;
    Ok(Created { location: body.key.clone(), body })
}

async fn remove_key(
    caller: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path((id, key)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let project = mine(&caller, &cx, &id).await?;
    store::remove_key(&mut tx, project.id, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn releases(
    caller: Caller,
    cx: Ctx,
    Path(id): Path<String>,
) -> Result<Json<Vec<ReleaseSeen>>, Problem> {
    let project = mine(&caller, &cx, &id).await?;
    Ok(Json(store::releases(&cx, project.id).await?))
}

async fn monitors(caller: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Vec<Monitor>>, Problem> {
    let project = mine(&caller, &cx, &id).await?;
    Ok(Json(store::monitors(&cx, project.id).await?))
}

async fn check_ins(
    caller: Caller,
    cx: Ctx,
    Path((id, slug)): Path<(String, String)>,
    page: Page,
) -> Result<List<CheckIn>, Problem> {
    let project = mine(&caller, &cx, &id).await?;
    let rows = store::check_ins(&cx, project.id, &slug, &page).await?;
    Ok(List::of(&page, rows, |check_in| &check_in.id))
}

async fn issues(caller: Caller, cx: Ctx, filter: Filter, page: Page) -> Result<List<Issue>, Problem> {
    caller.must_be(ROLE)?;
    let Filter { project, state, level, release, query: words } = filter;
    let wanted = Wanted { project, state, level, release, words };
    Ok(List::of(&page, store::issues(&cx, &wanted, &page).await?, |issue| &issue.rank))
}

async fn issue(caller: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Tagged<Issue>, Problem> {
    caller.must_be(ROLE)?;
    let body = store::issue(&cx, &id).await?;
    Ok(Tagged { version: body.version, body })
}

async fn change_issue(
    caller: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path(id): Path<String>,
    IfMatch(version): IfMatch,
    Body(change): Body<Change>,
) -> Result<Tagged<Issue>, Problem> {
    caller.must_be(ROLE)?;
    let issue = Issue { version, ..store::issue(&cx, &id).await? };
    let body = match change.state {
        State::Resolved => {
            let newest = store::releases(&cx, issue.project).await?.into_iter().next().map(|r| r.version);
            let release = change.release.or(newest);
            let resolved = store::set_state(&mut tx, &issue, "resolved", release.as_deref()).await?;
            tx.emit(RESOLVED, &resolved.id, &resolved).await?;
            resolved
        }
        State::Ignored => store::set_state(&mut tx, &issue, "ignored", None).await?,
        State::Unresolved => store::set_state(&mut tx, &issue, "unresolved", None).await?,
    };
    Ok(Tagged { version: body.version, body })
}

async fn events(caller: Caller, cx: Ctx, Path(id): Path<String>, page: Page) -> Result<List<Event>, Problem> {
    caller.must_be(ROLE)?;
    Ok(List::of(&page, store::events(&cx, &id, &page).await?, |event| &event.id))
}

async fn event(caller: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Event>, Problem> {
    caller.must_be(ROLE)?;
    store::event(&cx, &id).await.map(Json)
}

async fn project_hours(caller: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Vec<Hour>>, Problem> {
    let project = mine(&caller, &cx, &id).await?;
    told(&cx, project.id, "").await
}

async fn issue_hours(caller: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Vec<Hour>>, Problem> {
    caller.must_be(ROLE)?;
    let issue = store::issue(&cx, &id).await?;
    told(&cx, issue.project, &issue.id).await
}

async fn told(cx: &Ctx, project: i64, issue: &str) -> Result<Json<Vec<Hour>>, Problem> {
    Ok(Json(store::hours(cx, project, issue, cx.now_ms() - HOURS_TOLD * 3_600_000).await?))
}
