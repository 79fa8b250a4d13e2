//! The edge's HTTP face: streams, and the page that plays them.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Method;
use nx_delivery::{Answer, Certs, Directory, Handler, Media, Metrics, Problem, Request, Response};
use nx_media::StreamKey;
use nx_web::Page;

use crate::config::Config;

/// Serves viewers.
pub(crate) struct Face {
    media: Media,
    certs: Arc<Certs>,
}

impl Face {
    /// An edge that serves what `directory` finds.
    pub(crate) fn new(directory: Arc<dyn Directory>, config: &Config, certs: Arc<Certs>) -> Self {
        Self { media: Media::new(directory, "edge", config.http.held_max), certs }
    }
}

impl Handler for Face {
    fn handle(&self, request: Request, peer: SocketAddr) -> Answer<'_> {
        Box::pin(async move {
            match page(&request) {
                Some(answer) => answer,
                None => self.media.answer(&request, peer).await,
            }
        })
    }

    fn ready(&self) -> Result<serde_json::Value, serde_json::Value> {
        let mut ready = serde_json::json!({"status": "ok", "role": "edge"});
        if let (Some(ready), Some(plane)) = (ready.as_object_mut(), self.media.health()) {
            ready.insert("plane".into(), plane);
        }
        Ok(ready)
    }

    fn metrics(&self, out: &mut Metrics) {
        self.media.metrics(out);
        self.certs.metrics(out);
    }
}

/// Pages and their parts; `None` when the path is not one of theirs.
fn page(request: &Request) -> Option<Result<Response, Problem>> {
    let path = request.uri().path();
    let asset = if let Some(name) = path.strip_prefix("/watch/") {
        let key = name.split_once('/').and_then(|(app, stream)| StreamKey::new(app, stream).ok());
        if key.is_none() {
            return Some(Err(Problem::not_found(
                "a watch page is /watch/APP/STREAM, such as /watch/live/cam1",
            )));
        }
        nx_web::page(Page::Watch)
    } else {
        path.strip_prefix('/').filter(|p| p.starts_with("assets/")).and_then(nx_web::asset)?
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Some(Err(Problem::method("pages are read with GET or HEAD")));
    }
    Some(Ok(nx_delivery::page(&asset, request.headers())))
}
