//! Targets, sources and publish keys of a stream: `…/streams/APP/STREAM/targets` and the like.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use nx_contract::desired::{Change, Desired, Fault};
use nx_contract::keys::{NewKey, OuterKey};
use nx_contract::sources::NewSource;
use nx_contract::targets::NewTarget;
use nx_delivery::{Problem, Response};
use serde::Serialize;

use crate::guard;
use crate::identity::Who;
use crate::serve::{STREAMS, json, no_content};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// `APP/STREAM`.
    stream: String,
    kind: Kind,
    id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Targets,
    Sources,
    Keys,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Targets => "targets",
            Self::Sources => "sources",
            Self::Keys => "keys",
        }
    }
}

/// Reads what follows `…/streams`; `None` for other resources.
pub(crate) fn route(rest: &str) -> Option<Route> {
    let mut segments = rest.strip_prefix('/')?.split('/');
    let (app, name) = (segments.next()?, segments.next()?);
    let kind = segments.next()?;
    let kind = [Kind::Targets, Kind::Sources, Kind::Keys].into_iter().find(|k| k.name() == kind)?;
    let id = segments.next().map(str::to_owned);
    let sane = |text: &str| !text.is_empty() && !text.contains('%');
    let good = sane(app) && sane(name) && id.as_deref().is_none_or(sane) && segments.next().is_none();
    good.then(|| Route { stream: format!("{app}/{name}"), kind, id })
}

/// A request without its body.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) peer: SocketAddr,
    pub(crate) who: &'a Who,
}

/// Answers; what changes something only whom may do everything.
pub(crate) async fn answer<B>(
    desired: &Arc<dyn Desired>,
    route: Route,
    asked: Asked<'_>,
    body: B,
) -> Result<Response, Problem>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Asked { method, headers, who, .. } = asked;
    let allowed = match (route.id.is_some(), route.kind) {
        (false, _) => "GET, HEAD, POST",
        (true, Kind::Keys) => "GET, HEAD, PUT, DELETE",
        (true, _) => "GET, HEAD, PATCH, DELETE",
    };
    guard::takes(method, allowed)?;
    let reads = matches!(*method, Method::GET | Method::HEAD);
    // Whether a channel has keys, or is there at all, is its owner's to know; so is where it is sent, and where it comes from.
    who.operator()?;
    if reads {
        return read(desired, &route);
    }
    let (desired, once) = (desired.clone(), guard::once(headers)?);
    let Route { stream, kind, id } = route;
    let id = id.unwrap_or_default();
    match (method, kind) {
        (&Method::DELETE, kind) => {
            let remove = move || match kind {
                Kind::Targets => desired.remove_target(&stream, &id),
                Kind::Sources => desired.remove_source(&stream, &id),
                Kind::Keys => desired.remove_key(&stream, &id),
            };
            waiting(remove).await?;
            Ok(no_content())
        }
        (&Method::PUT, _) => {
            let key: OuterKey = guard::body(headers, body).await?;
            Ok(json(&text(&waiting(move || desired.put_key(&stream, &id, key)).await?)))
        }
        (&Method::PATCH, kind) => {
            let change: Change = guard::body(headers, body).await?;
            let text = waiting(move || match kind {
                Kind::Targets => desired.change_target(&stream, &id, change).map(|t| text(&t)),
                _ => desired.change_source(&stream, &id, change).map(|s| text(&s)),
            });
            Ok(json(&text.await?))
        }
        (_, Kind::Targets) => {
            let new: NewTarget = guard::body(headers, body).await?;
            let at = stream.clone();
            let made = waiting(move || desired.add_target(&at, new, once.as_deref())).await?;
            Ok(created(&stream, kind, &made.id, &text(&made)))
        }
        (_, Kind::Sources) => {
            let new: NewSource = guard::body(headers, body).await?;
            let at = stream.clone();
            let made = waiting(move || desired.add_source(&at, new, once.as_deref())).await?;
            Ok(created(&stream, kind, &made.id, &text(&made)))
        }
        (_, Kind::Keys) => {
            let new: NewKey = guard::body(headers, body).await?;
            let at = stream.clone();
            let made = waiting(move || desired.add_key(&at, new, once.as_deref())).await?;
            Ok(created(&stream, kind, &made.about.id, &text(&made)))
        }
    }
}

fn read(desired: &Arc<dyn Desired>, route: &Route) -> Result<Response, Problem> {
    let Route { stream, kind, id } = route;
    let id = id.as_deref();
    match kind {
        Kind::Targets => shown(desired.targets(stream).map_err(problem)?, id, |t| &t.id),
        Kind::Sources => shown(desired.sources(stream).map_err(problem)?, id, |s| &s.id),
        Kind::Keys => shown(desired.keys(stream).map_err(problem)?, id, |k| &k.id),
    }
}

/// All, or the one that is asked for. There are never more than one page.
pub(crate) fn shown<T: Serialize>(
    items: Vec<T>,
    id: Option<&str>,
    id_of: impl Fn(&T) -> &str,
) -> Result<Response, Problem> {
    let Some(id) = id else {
        return Ok(json(&serde_json::json!({"items": items, "next_cursor": null}).to_string()));
    };
    match items.iter().find(|item| id_of(item) == id) {
        Some(item) => Ok(json(&text(item))),
        None => Err(Problem::not_found(format!("nothing here has the id {id:.64}"))),
    }
}

fn created(stream: &str, kind: Kind, id: &str, text: &str) -> Response {
    let mut response = json(text);
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(place) = HeaderValue::from_str(&format!("{STREAMS}/{stream}/{}/{id}", kind.name())) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

pub(crate) fn text(item: &impl Serialize) -> String {
    serde_json::to_string(item).unwrap_or_default()
}

/// Runs what may wait for the disk.
pub(crate) async fn waiting<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(act).await;
    done.unwrap_or_else(|e| Err(Fault::Storage(e.to_string()))).map_err(problem)
}

pub(crate) fn problem(fault: Fault) -> Problem {
    match fault {
        Fault::Invalid(text) => Problem::bad_request(text),
        Fault::NotFound(text) => Problem::not_found(text),
        Fault::Conflict(text) => Problem::new(StatusCode::CONFLICT, "conflict", "Conflict", text),
        Fault::Full(text) => Problem::new(StatusCode::CONFLICT, "full", "Full", text),
        Fault::Storage(_) => Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "storage",
            "Not kept",
            "nothing was changed: it could not be written down; the server's log says why",
        ),
    }
}

#[cfg(test)]
pub(crate) mod tests;
