//! Programmes that are mixed of streams: `…/mixes` and `…/mixes/APP/STREAM`.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use nx_contract::mixes::{Mixes, Scene};
use nx_delivery::{Problem, Response};

use crate::desired::{Asked, shown, text, waiting};
use crate::guard;
use crate::serve::{json, no_content};

/// Answers; `rest` is what follows `…/mixes`.
pub(crate) async fn answer<B>(
    mixes: &Arc<dyn Mixes>,
    rest: &str,
    asked: Asked<'_>,
    body: B,
) -> Result<Response, Problem>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Asked { method, headers, who, .. } = asked;
    let name = rest.strip_prefix('/').map(str::to_owned);
    guard::takes(method, if name.is_some() { "GET, HEAD, PUT, DELETE" } else { "GET, HEAD" })?;
    let (Some(stream), &(Method::PUT | Method::DELETE)) = (&name, method) else {
        return shown(mixes.mixes(), name.as_deref(), |mix| &mix.stream);
    };
    who.operator()?;
    let (mixes, stream) = (mixes.clone(), stream.clone());
    if *method == Method::DELETE {
        waiting(move || mixes.remove_mix(&stream)).await?;
        return Ok(no_content());
    }
    let scene: Scene = guard::body(headers, body).await?;
    let (mix, is_new) = waiting(move || mixes.put_mix(&stream, scene)).await?;
    let mut response = json(&text(&mix));
    if is_new {
        *response.status_mut() = StatusCode::CREATED;
    }
    Ok(response)
}
