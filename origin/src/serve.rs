//! The origin's HTTP face, for edges and third-party CDNs.

use std::net::SocketAddr;
use std::sync::Arc;

use nx_contract::streams::Streams;
use nx_delivery::{Answer, Handler, Media, Metrics, Request};

use crate::hub::Hub;

/// Requests that may wait at a time.
const HELD_MAX: u64 = 50_000;

/// Serves the hub's streams as they are.
pub struct Face {
    hub: Arc<Hub>,
    media: Media,
}

impl Face {
    /// The face of `hub`.
    #[must_use]
    pub fn new(hub: Arc<Hub>) -> Self {
        let media = Media::new(hub.clone(), "origin", HELD_MAX);
        Self { hub, media }
    }
}

impl Handler for Face {
    fn handle(&self, request: Request, peer: SocketAddr) -> Answer<'_> {
        Box::pin(async move { self.media.answer(&request, peer).await })
    }

    fn ready(&self) -> Result<serde_json::Value, serde_json::Value> {
        Ok(serde_json::json!({"status": "ok", "role": "origin", "streams": self.hub.list().len()}))
    }

    fn metrics(&self, out: &mut Metrics) {
        self.hub.metrics(out);
        self.media.metrics(out);
    }
}
