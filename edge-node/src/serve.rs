//! The edge's HTTP face: streams, and the page that plays them.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, header};
use nx_delivery::{Answer, Body, Certs, Directory, Handler, Media, Metrics, Problem, Request, Response};
use nx_live_plane::Browsers;
use nx_media::StreamKey;
use nx_web::Page;

use crate::cache::Cache;
use crate::config::Config;

/// Where a page learns how to connect by WebTransport.
const MOQ: &str = "/moq.json";

/// Serves viewers.
pub(crate) struct Face {
    media: Media,
    cache: Option<Arc<Cache>>,
    certs: Arc<Certs>,
    browsers: Option<Arc<Browsers>>,
}

impl Face {
    /// An edge that serves what `directory` finds, and else what is in the `cache`.
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        cache: Option<Arc<Cache>>,
        config: &Config,
        certs: Arc<Certs>,
        browsers: Option<Arc<Browsers>>,
    ) -> Self {
        Self { media: Media::new(directory, "edge", config.http.held_max), cache, certs, browsers }
    }

    /// Pages, their parts and what they ask for; `None` when the path is not one of theirs.
    fn page(&self, request: &Request) -> Option<Result<Response, Problem>> {
        let browsers = self.browsers.as_ref();
        if request.uri().path() == MOQ {
            return Some(Ok(told(browsers.map(|browsers| browsers.told()))));
        }
        let mut page = page(request)?;
        if let (Ok(response), Some(browsers)) = (&mut page, browsers) {
            allow(response, browsers.address().port());
        }
        Some(page)
    }

    /// Live windows first: what is not in them, such as a stream's past, may be behind an upstream.
    async fn answer(&self, request: Request, peer: SocketAddr) -> Result<Response, Problem> {
        let task = self.cache.as_ref().and_then(|cache| Some((cache, cache.takes(&request)?)));
        let Some((cache, task)) = task else { return self.media.answer(&request, peer).await };
        let path = request.uri().path();
        let here = self.media.finds(path);
        if here || (Media::owns(path) && !cache.has(&task, &request)) {
            let live = self.media.answer(&request, peer).await;
            let not_live = |problem: &Problem| {
                !here || matches!(problem.status, StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED)
            };
            if !live.as_ref().is_err_and(not_live) {
                return live;
            }
        }
        cache.answer(&task, request).await
    }
}

impl Handler for Face {
    fn handle(&self, request: Request, peer: SocketAddr) -> Answer<'_> {
        Box::pin(async move {
            match self.page(&request) {
                Some(answer) => answer,
                None => self.answer(request, peer).await,
            }
        })
    }

    fn ready(&self) -> Result<serde_json::Value, serde_json::Value> {
        let cache = self.cache.as_ref().map(|cache| cache.health());
        let plane = self.media.health();
        Ok(serde_json::json!({"status": "ok", "role": "edge", "cache": cache, "plane": plane}))
    }

    fn metrics(&self, out: &mut Metrics) {
        self.media.metrics(out);
        self.cache.iter().for_each(|cache| cache.metrics(out));
        self.certs.metrics(out);
        self.browsers.iter().for_each(|browsers| browsers.metrics(out));
    }
}

/// What a page must know to connect by WebTransport, another after each start; `null` where it cannot.
fn told(browsers: Option<serde_json::Value>) -> Response {
    let mut response = Response::new(Body::from(serde_json::json!(browsers).to_string()));
    for (name, value) in [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Lets a page connect there: another port is another origin.
fn allow(response: &mut Response, port: u16) {
    if let Some(policy) = response.headers_mut().get_mut(header::CONTENT_SECURITY_POLICY)
        && let Ok(text) = policy.to_str()
        && let Ok(wider) =
            text.replacen("connect-src 'self'", &format!("connect-src 'self' https://*:{port}"), 1).parse()
    {
        *policy = wider;
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
