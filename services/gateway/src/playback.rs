//! Playback tokens: `…/playback-tokens` makes them, `…/revocations` takes them back.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use nx_contract::playback::{MadeToken, NewToken, Playback, Revocation};
use nx_delivery::{Problem, Response};
use serde::Serialize;

use crate::api::Paging;
use crate::desired::{Asked, text, waiting};
use crate::guard;
use crate::serve::{CORE, json};

/// What of it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Tokens,
    Revocations,
}

/// Reads a path.
pub(crate) fn route(path: &str) -> Option<Route> {
    match path.strip_prefix(CORE)? {
        "/playback-tokens" => Some(Route::Tokens),
        "/revocations" => Some(Route::Revocations),
        _ => None,
    }
}

/// A token, and where it opens something.
#[derive(Serialize)]
struct Made {
    #[serde(flatten)]
    made: MadeToken,
    /// For one stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    urls: Option<Urls>,
}

#[derive(Serialize)]
struct Urls {
    hls: String,
    dash: String,
    watch: String,
}

/// Answers who may do everything: names of viewers are in it. `edge` is where viewers go.
pub(crate) async fn answer<B>(
    playback: &Arc<dyn Playback>,
    edge: &str,
    route: Route,
    asked: Asked<'_>,
    body: B,
) -> Result<Response, Problem>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Asked { method, uri, headers, who, .. } = asked;
    guard::takes(method, if route == Route::Tokens { "POST" } else { "GET, HEAD, POST" })?;
    who.operator()?;
    let playback = playback.clone();
    if *method != Method::POST {
        let paging = Paging::parse(uri.query().unwrap_or_default())?;
        let after = paging.after().and_then(|seq| seq.parse().ok()).unwrap_or(0);
        let items = playback.revoked(after, paging.limit());
        let more = items.last().filter(|_| items.len() == paging.limit()).map(|last| last.seq.to_string());
        return Ok(json(&serde_json::json!({"items": items, "next_cursor": more}).to_string()));
    }
    let made = match route {
        Route::Tokens => {
            let wish: NewToken = guard::body(headers, body).await?;
            let stream = wish.stream.clone();
            let made = waiting(move || playback.make_token(&wish)).await?;
            text(&Made { urls: urls(edge, &stream, &made.token), made })
        }
        Route::Revocations => {
            let what: Revocation = guard::body(headers, body).await?;
            text(&waiting(move || playback.revoke(what)).await?)
        }
    };
    let mut response = json(&made);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

fn urls(edge: &str, stream: &str, token: &str) -> Option<Urls> {
    let at = |rest: &str| format!("{edge}/token={token}/{rest}");
    (!stream.ends_with('*')).then(|| Urls {
        hls: at(&format!("{stream}/index.m3u8")),
        dash: at(&format!("{stream}/manifest.mpd")),
        watch: at(&format!("watch/{stream}")),
    })
}
