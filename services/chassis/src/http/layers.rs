//! What stands around every request of a service: its id and trace, a place, a deadline, problem documents, figures.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use tracing::Instrument;

use super::{DEADLINE_MS, TRACEPARENT, once, own};
use crate::ctx::Ctx;
use crate::problem::Problem;
use nx_mesh::trace;

/// Time that a request has.
const REQUEST_MAX: Duration = Duration::from_secs(30);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Everything that a service serves.
pub(crate) fn router(cx: &Ctx) -> Router {
    Router::new()
        .nest("/v1", cx.service().api.router())
        .merge(own::routes())
        .fallback(async || Problem::not_found("nothing has this address"))
        .layer(from_fn_with_state(cx.clone(), once::unit_of_work))
        .layer(from_fn_with_state(cx.clone(), frame))
        .with_state(cx.clone())
}

async fn frame(State(cx): State<Ctx>, request: Request, next: Next) -> Response {
    let started_ms = cx.clock().mono_ms();
    let request_id = request_id(text(&request, &REQUEST_ID));
    let trace = trace::id_of(text(&request, &TRACEPARENT));
    let given =
        text(&request, &DEADLINE_MS).and_then(|v| v.parse().ok()).map_or(REQUEST_MAX, Duration::from_millis);
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let (method, matches) = (request.method().clone(), request.headers().get(header::IF_NONE_MATCH).cloned());
    let span = tracing::info_span!("request", service = cx.service().id, request_id, trace, %method, route);
    let done = answer(&cx, request, next, given.min(REQUEST_MAX), trace).instrument(span.clone()).await;
    let mut response = done.unwrap_or_else(axum::response::IntoResponse::into_response);
    span.in_scope(|| explain(&mut response, &request_id));
    unless_known(&mut response, &method, matches.as_ref());
    let took_ms = cx.clock().mono_ms() - started_ms;
    cx.inner().traffic.note(&route, method.as_str(), response.status().as_u16(), took_ms);
    finish(response.headers_mut(), &request_id);
    response
}

/// Runs the request by itself: a panic is an answer, and a caller who leaves does not stop what has begun.
async fn answer(
    cx: &Ctx,
    request: Request,
    next: Next,
    limit: Duration,
    trace: String,
) -> Result<Response, Problem> {
    // PostgreSQL takes no NUL in a text.
    if request.uri().path().contains("%00") {
        return Err(Problem::not_found("nothing has this address"));
    }
    let place = cx.inner().places.clone().try_acquire_owned();
    let place =
        place.map_err(|_| Problem::unavailable("busy", "too many requests run at the same time", 1))?;
    let work = async move {
        let _place = place;
        tokio::time::timeout(limit, next.run(request)).await
    };
    let end_ms = cx.clock().mono_ms() + i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
    match tokio::spawn(trace::within(trace, end_ms, work).in_current_span()).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(_)) => Err(Problem::unavailable("deadline", "it was not done in time", 1)),
        Err(panic) => Err(Problem::internal(panic)),
    }
}

/// Gives every error its document, also those of others, but for one that has a document in the form of another protocol.
fn explain(response: &mut Response, request_id: &str) {
    if response.status().as_u16() < 400 {
        return;
    }
    let status = response.status();
    let problem = response.extensions_mut().remove::<Problem>().unwrap_or_else(|| {
        let slug = match status {
            StatusCode::METHOD_NOT_ALLOWED => "method-not-allowed",
            _ if status.is_client_error() => "bad-request",
            _ => "internal",
        };
        Problem::new(status, slug, "")
    });
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(%problem, "request failed");
    } else if status.is_server_error() {
        tracing::warn!(%problem, "request failed");
    }
    let kind = response.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().ends_with(b"json")) {
        return;
    }
    *response.body_mut() = Body::from(problem.document(request_id).to_string());
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
}

/// 304 for what the caller has.
fn unless_known(response: &mut Response, method: &Method, matches: Option<&HeaderValue>) {
    let tag = response.headers().get(header::ETAG).and_then(|v| v.to_str().ok());
    let given = matches.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let known = tag.is_some_and(|tag| {
        given == "*"
            || given.split(',').any(|g| g.trim().trim_start_matches("W/") == tag.trim_start_matches("W/"))
    });
    if known && response.status() == StatusCode::OK && (method == Method::GET || method == Method::HEAD) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
}

fn finish(headers: &mut HeaderMap, request_id: &str) {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    let keep = if headers.contains_key(header::ETAG) { "no-cache" } else { "no-store" };
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static(keep));
}

fn text<'a>(request: &'a Request, name: &HeaderName) -> Option<&'a str> {
    request.headers().get(name).and_then(|v| v.to_str().ok())
}

/// The caller's id when it is a sane one, else a new one.
fn request_id(given: Option<&str>) -> String {
    let sane = |id: &&str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    given.filter(sane).map_or_else(trace::random::<8>, str::to_owned)
}
