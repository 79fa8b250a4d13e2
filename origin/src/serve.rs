//! The origin's HTTP face, for edges and third-party CDNs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, header};

use nx_access::Gate;
use nx_contract::streams::Streams;
use nx_delivery::{Answer, Body, Guest, Handler, Media, Metrics, Problem, Request, Response};

use crate::hub::Hub;

/// Requests that may wait at a time.
const HELD_MAX: u64 = 50_000;
/// Where edges ask what was taken back.
const REVOCATIONS: &str = "/revocations";
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

    /// What was taken back here, to nodes alone: names of viewers are in it. Waits for what is not known yet.
    async fn revocations(&self, request: &mut Request, peer: SocketAddr) -> Result<Response, Problem> {
        let guest = Guest::node(&self.gate, request, peer.ip())?;
        let query = request.uri().query().unwrap_or_default();
        let value = |name| query.split('&').filter_map(|p| p.split_once('=')).find(|(n, _)| *n == name);
        let log = value("log").map_or("", |(_, log)| log);
        let since = value("since").and_then(|(_, seq)| seq.parse().ok()).unwrap_or(0);
        let mut newest = self.gate.newest();
        let mut page = self.gate.revocations(log, since);
        if page.log == log && page.items.is_empty() {
            let news = newest.wait_for(|newest| *newest > since);
            let _ = tokio::time::timeout(NEWS, news).await;
            page = self.gate.revocations(log, since);
        }
        let text = serde_json::to_string(&page).map_err(|e| Problem::bad_request(e.to_string()))?;
        let mut response = Response::new(Body::from(text));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(guest.answer(response))
    }
}

impl Handler for Face {
    fn handle(&self, mut request: Request, peer: SocketAddr) -> Answer<'_> {
        Box::pin(async move {
            let shown = nx_access::unfold(&mut request);
            if request.uri().path() == REVOCATIONS {
                return self.revocations(&mut request, peer).await;
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
