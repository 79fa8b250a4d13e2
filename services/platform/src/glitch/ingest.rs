//! What an SDK sends is taken: whole and stored before it is told so, or refused in a way that SDKs understand.
//!
//! An SDK hears 200, 4xx or 429 with `X-Sentry-Rate-Limits`, whatever happens here: it must not harm who uses it.

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use nx_chassis::{Api, Caller, Ctx, Describe, Json, Operation, Path, Problem, RawBody, Tx};
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use tokio::sync::Semaphore;

use super::event::{Report, event_id};
use super::releases::{Release, has_come_back};
use super::store::{self, Issue, Project};
use super::wire::{self, WireError};
use super::{NEW, REGRESSED, monitors};

/// Bodies that are unpacked and read at the same time: what they take in memory is bounded by it.
static PLACES: Semaphore = Semaphore::const_new(8);
/// Seconds that an SDK is asked to wait when something here is broken.
const PAUSE_S: u32 = 60;
const RATE_LIMITS: HeaderName = HeaderName::from_static("x-sentry-rate-limits");

/// The routes of the SDKs, which know them by these names.
pub(super) fn routes(api: Api) -> Api {
    api.post("/api/{project}/envelope/", envelope).post("/api/{project}/store/", store_event)
}

/// A request with its body unread.
struct Sent(Request);

impl FromRequest<Ctx> for Sent {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Ctx) -> Result<Self, Problem> {
        Ok(Self(request))
    }
}

impl Describe for Sent {
    fn describe(operation: &mut Operation, _: &mut SchemaGenerator) {
        operation.takes_bytes("application/octet-stream");
    }
}

/// What was taken.
#[derive(Serialize, JsonSchema)]
struct Taken {
    /// Of the event; empty when there was none.
    id: String,
}

/// What an SDK is told.
struct Reply(Result<Taken, Problem>);

impl Describe for Reply {
    fn describe(operation: &mut Operation, schemas: &mut SchemaGenerator) {
        <Json<Taken>>::describe(operation, schemas);
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = match self.0 {
            Ok(taken) => Json(taken).into_response(),
            Err(problem) => {
                let problem = softened(problem);
                let wait_s = problem.retry_after_s;
                let mut response = problem.into_response();
                if let Some(wait_s) = wait_s
                    && let Ok(limits) =
                        HeaderValue::from_str(&format!("{wait_s}:error;default:project:quota"))
                {
                    response.headers_mut().insert(RATE_LIMITS, limits);
                }
                response
            }
        };
        // Pages elsewhere report too. What they are told is no secret.
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("x-sentry-rate-limits, retry-after"),
        );
        response
    }
}

/// A fault of ours as an SDK takes it: come again later.
fn softened(problem: Problem) -> Problem {
    if !problem.status.is_server_error() {
        return problem;
    }
    tracing::warn!(%problem, "a report was not taken");
    too_many("reports cannot be taken now", PAUSE_S)
}

fn too_many(detail: &str, wait_s: u32) -> Problem {
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many", detail);
    Problem { retry_after_s: Some(wait_s), ..problem }
}

async fn envelope(cx: Ctx, mut tx: Tx, Path(project): Path<String>, sent: Sent) -> Reply {
    Reply(take(&cx, &mut tx, &project, sent, false).await)
}

async fn store_event(cx: Ctx, mut tx: Tx, Path(project): Path<String>, sent: Sent) -> Reply {
    Reply(take(&cx, &mut tx, &project, sent, true).await)
}

async fn take(cx: &Ctx, tx: &mut Tx, project: &str, sent: Sent, is_event: bool) -> Result<Taken, Problem> {
    let (head, body) = sent.0.into_parts();
    let project = admitted(cx, project, &head).await?;
    let packed = read(body).await?;
    // Who sends slowly has no place meanwhile.
    let _place = PLACES.acquire().await.map_err(Problem::internal)?;
    let coding = wire::header_text(&head.headers, header::CONTENT_ENCODING.as_str());
    let body = wire::unpack(coding, &packed).map_err(refused)?;
    let mut taken = Taken { id: String::new() };
    if is_event {
        let id = cx.new_id();
        taken.id = event(cx, tx, &project, &body, &id).await?;
        return Ok(taken);
    }
    let (head, items) = wire::envelope(&body).map_err(refused)?;
    // An envelope has one event; its id may stand in the head only.
    let mut id = head.event_id.as_deref().and_then(event_id);
    for item in items {
        match item.kind.as_str() {
            "event" => {
                let id = id.take().unwrap_or_else(|| cx.new_id());
                taken.id = event(cx, tx, &project, item.payload, &id).await?;
            }
            "check_in" => {
                spend(tx, &project, cx.now_ms()).await?;
                monitors::check_in(cx, tx, project.id, item.payload).await?;
            }
            // Taken, so that nobody sends it again, and forgotten.
            _ => {}
        }
    }
    Ok(taken)
}

/// The project, when who reports has a key of it or is known to the gateway.
async fn admitted(cx: &Ctx, id: &str, head: &Parts) -> Result<Project, Problem> {
    let key = wire::key(&head.headers, &head.uri);
    let is_ours = head.extensions.get::<Caller>().is_some_and(|by| by.must_be_service().is_ok());
    if key.is_none() && !is_ours {
        return Err(Problem::unauthorized(
            "send the key of a DSN: X-Sentry-Auth, or sentry_key in the query",
        ));
    }
    let found = match key {
        Some(key) => store::project_of(cx, id, &key).await?,
        None => store::find_project(cx, id).await?,
    };
    found.ok_or_else(|| Problem::forbidden("the key is none of this project"))
}

/// The body as it is sent.
async fn read(body: RawBody) -> Result<Bytes, Problem> {
    match Limited::new(body, wire::SENT_BYTES_MAX).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(refused(WireError::TooLarge)),
        Err(_) => Err(Problem::bad_request("the body did not come whole")),
    }
}

fn refused(error: WireError) -> Problem {
    let told = |status, slug| Problem::new(status, slug, error.to_string());
    match error {
        WireError::TooLarge => told(StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
        WireError::Coding => told(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type"),
        _ => Problem::bad_request(error.to_string()),
    }
}

/// An event: its issue, its release, its place in the counts, and who is to be told of it. Its id.
async fn event(cx: &Ctx, tx: &mut Tx, project: &Project, json: &[u8], id: &str) -> Result<String, Problem> {
    let now_ms = cx.now_ms();
    let mut report = Report::read(json, now_ms, id).map_err(Problem::bad_request)?;
    if store::has_event(tx, project.id, &report.event_id).await? {
        return Ok(report.event_id);
    }
    spend(tx, project, now_ms).await?;
    let mut issue = store::note_issue(tx, cx, project.id, &report).await?;
    if issue.events == 1 && store::is_full(tx, project.id).await? {
        // So many kinds of errors are no help to anybody: further ones are one.
        store::forget_issue(tx, &issue.id).await?;
        store::overflow(&mut report);
        issue = store::note_issue(tx, cx, project.id, &report).await?;
    }
    store::add_event(tx, cx, project.id, &issue.id, &report).await?;
    if let Some(release) = &report.release {
        store::note_release(tx, project.id, release, now_ms).await?;
    }
    if issue.events == 1 {
        tell(cx, tx, NEW, &issue).await?;
    } else if issue.state == "resolved" && is_back(tx, project.id, &issue, &report).await? {
        let issue = store::reopen(tx, &issue.id, now_ms).await?;
        tell(cx, tx, REGRESSED, &issue).await?;
    }
    Ok(report.event_id)
}

/// Counts a report, unless the project has had its share of this hour.
async fn spend(tx: &mut Tx, project: &Project, now_ms: i64) -> Result<(), Problem> {
    if store::count(tx, project.id, "", now_ms).await? <= project.events_hour_max {
        return Ok(());
    }
    let left_s = 3600 - (now_ms / 1000).rem_euclid(3600);
    Err(too_many("this project has reported enough in this hour", u32::try_from(left_s).unwrap_or(PAUSE_S)))
}

async fn is_back(tx: &mut Tx, project: i64, issue: &Issue, report: &Report) -> Result<bool, Problem> {
    let (resolved_in, seen_in) = (issue.resolved_in.as_deref(), report.release.as_deref());
    let resolved_ms = store::release_seen(tx, project, resolved_in).await?;
    let seen_ms = store::release_seen(tx, project, seen_in).await?;
    let release = |version, first_seen_ms| Release { version, first_seen_ms };
    Ok(has_come_back(
        resolved_in.map(|version| release(version, resolved_ms)),
        seen_in.map(|version| release(version, seen_ms)),
    ))
}

/// Tells the services and whoever has asked to be told.
async fn tell(cx: &Ctx, tx: &mut Tx, kind: &'static str, issue: &Issue) -> Result<(), Problem> {
    tx.emit(kind, &issue.id, issue).await?;
    nx_webhooks::send(cx, tx, kind, &issue.title, issue).await
}
