//! The origin's HTTP face, for edges and third-party CDNs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};

use nx_access::Gate;
use nx_contract::desired::Fault;
use nx_contract::playback::Playback;
use nx_contract::streams::Streams;
use nx_delivery::{Answer, Body, Guest, Handler, Media, Metrics, Problem, Request, Response};

use crate::hub::Hub;

/// Requests that may wait at a time.
const HELD_MAX: u64 = 50_000;
/// Longest body of a request.
const BODY_BYTES_MAX: usize = 4096;
/// How long they wait for something new.
const NEWS: Duration = Duration::from_secs(15);

/// Serves the hub's streams as they are.
pub struct Face {
    hub: Arc<Hub>,
    media: Media,
    gate: Arc<Gate>,
}

impl Face {
    /// The face of `hub`.
    #[must_use]
    pub fn new(hub: Arc<Hub>) -> Self {
        let media = Media::new(hub.clone(), "origin", HELD_MAX);
        let gate = hub.gate.clone();
        Self { hub, media, gate }
    }

    /// What was taken back here, to nodes alone: names of viewers are in it. GET waits for what is not known yet; POST takes
    /// something back, where there is no gateway to ask.
    async fn revocations(&self, mut request: Request, peer: SocketAddr) -> Result<Response, Problem> {
        let guest = Guest::node(&self.gate, &mut request, peer.ip())?;
        let text = match *request.method() {
            Method::GET | Method::HEAD => self.news(request.uri().query().unwrap_or_default()).await,
            Method::POST => self.revoke(request).await?,
            _ => return Err(Problem::method("this is read with GET and written with POST")),
        };
        let mut response = Response::new(Body::from(text));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(guest.answer(response))
    }

    async fn news(&self, query: &str) -> String {
        let value = |name| query.split('&').filter_map(|p| p.split_once('=')).find(|(n, _)| *n == name);
        let log = value("log").map_or("", |(_, log)| log);
        let since = value("since").and_then(|(_, seq)| seq.parse().ok()).unwrap_or(0);
        let mut newest = self.gate.newest();
        let mut page = self.gate.revocations(log, since, usize::MAX);
        if page.log == log && page.newest == since {
            let news = newest.wait_for(|newest| *newest > since);
            let _ = tokio::time::timeout(NEWS, news).await;
            page = self.gate.revocations(log, since, usize::MAX);
        }
        serde_json::to_string(&page).unwrap_or_default()
    }

    async fn revoke(&self, request: Request) -> Result<String, Problem> {
        let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|_| Problem::bad_request("the body did not come whole, or is too long"))?;
        let what = serde_json::from_slice(&body.to_bytes())
            .map_err(|e| Problem::bad_request(format!("the body cannot be used: {e}")))?;
        let hub = self.hub.clone();
        let done = tokio::task::spawn_blocking(move || hub.revoke(what)).await;
        let done = done.unwrap_or_else(|e| Err(Fault::Storage(e.to_string())));
        match done {
            Ok(done) => Ok(serde_json::to_string(&done).unwrap_or_default()),
            Err(fault @ Fault::Storage(_)) => {
                tracing::error!(%fault, "nothing was taken back");
                Err(Problem::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "storage",
                    "Not kept",
                    "nothing was taken back",
                ))
            }
            Err(fault) => Err(Problem::bad_request(fault.to_string())),
        }
    }
}

impl Handler for Face {
    fn handle(&self, mut request: Request, peer: SocketAddr) -> Answer<'_> {
        Box::pin(async move {
            let shown = nx_access::unfold(&mut request);
            if request.uri().path() == nx_access::REVOCATIONS {
                return self.revocations(request, peer).await;
            }
            let guest = Guest::enter(&self.gate, &mut request, shown, (peer.ip(), None))?;
            Ok(nx_delivery::personal(guest, self.media.answer(&request, peer).await?))
        })
    }

    fn ready(&self) -> Result<serde_json::Value, serde_json::Value> {
        Ok(serde_json::json!({"status": "ok", "role": "origin", "streams": self.hub.list().len()}))
    }

    fn metrics(&self, out: &mut Metrics) {
        self.hub.metrics(out);
        self.media.metrics(out);
        nx_delivery::gate_metrics(&self.gate, out);
    }
}
