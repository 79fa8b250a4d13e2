//! Work for transcoders on other machines: `…/work` and `…/work/LEASE`.
//!
//! ```text
//! POST …/work            201, Location: …/work/LEASE, what the transcoder is told; 204 when there is nothing to do
//! PUT …/work/LEASE       what it says, while it says it; 204 when the chunk is whole and on the disk
//! ```
//!
//! A worker whose request breaks off has lost its chunk; nothing else has to be said.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use nx_contract::titles::{Coded, Taken, Work};
use nx_delivery::{Body, Problem, Response};
use tokio::sync::mpsc;

use crate::desired::{Asked, waiting};
use crate::serve::{WORK, no_content};

/// Longest silence of a worker.
const SILENCE: Duration = Duration::from_secs(30);
/// Samples that wait for a slow worker.
const AHEAD: usize = 16;
/// Longest name of a worker, bytes.
const NAME_BYTES_MAX: usize = 64;

/// Answers; `rest` is what follows `…/work`.
pub(crate) async fn answer<B>(
    work: &Arc<dyn Work>,
    rest: &str,
    asked: Asked<'_>,
    body: B,
) -> Result<Response, Problem>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Asked { method, headers, peer, who, .. } = asked;
    who.operator()?;
    let work = work.clone();
    match (method, rest.strip_prefix('/')) {
        (&Method::POST, None) => {
            let worker = worker(headers).unwrap_or_else(|| peer.ip().to_string());
            let taken = waiting(move || work.take(&worker)).await?;
            Ok(taken.map_or_else(no_content, given))
        }
        (&Method::PUT, Some(lease)) => {
            let lease = lease.to_owned();
            let coded = waiting(move || work.hear(&lease)).await?;
            hear(coded, body).await?;
            Ok(no_content())
        }
        (_, None) => Err(Problem::method("a chunk is taken with POST")),
        (_, Some(_)) => Err(Problem::method("what was made of a chunk is sent with PUT")),
    }
}

/// What a worker calls itself.
fn worker(headers: &HeaderMap) -> Option<String> {
    let name = headers.get("nexus-worker")?.to_str().ok()?;
    (1..=NAME_BYTES_MAX).contains(&name.len()).then(|| name.to_owned())
}

fn given(taken: Taken) -> Response {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let Taken { lease, input } = taken;
    tokio::task::spawn_blocking(move || {
        // One that breaks off lacks its last word, so that nobody takes it for whole.
        for frame in input {
            let Ok(frame) = frame else { return };
            if sender.blocking_send(frame.into()).is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(Body::Channel(receiver));
    *response.status_mut() = StatusCode::CREATED;
    let place = HeaderValue::from_str(&format!("{WORK}/{lease}"));
    place.into_iter().for_each(|place| drop(response.headers_mut().insert(header::LOCATION, place)));
    response
}

/// Each piece is passed on as it comes: that somebody works at the chunk is known by it.
async fn hear<B>(mut coded: Box<dyn Coded>, body: B) -> Result<(), Problem>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut body = std::pin::pin!(body);
    loop {
        let frame = tokio::time::timeout(SILENCE, body.frame()).await;
        match frame.map_err(|_| Problem::bad_request("nothing came for half a minute"))? {
            None => return waiting(move || coded.confirm()).await,
            Some(Err(_)) => return Err(Problem::bad_request("the body broke off")),
            Some(Ok(frame)) => {
                let bytes = frame.into_data().unwrap_or_default();
                coded = waiting(move || coded.write(&bytes).map(|()| coded)).await?;
            }
        }
    }
}
