//! The edge's HTTP face: streams, and the page that plays them.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, header};
use nx_access::{Gate, Shown};
use nx_delivery::{Answer, Body, Certs, Guest, Handler, Media, Metrics, Problem, Request, Response};
use nx_live_plane::Browsers;
use nx_media::StreamKey;
use nx_web::Page;

use crate::cache::{Cache, Order, Upstream};
use crate::network::Control;

/// Where a page learns how to connect by WebTransport.
const MOQ: &str = "/moq.json";

/// Serves viewers.
pub(crate) struct Face {
    pub(crate) media: Arc<Media>,
    pub(crate) cache: Option<Arc<Cache>>,
    pub(crate) certs: Arc<Certs>,
    /// What a network says, if this node is part of one.
    pub(crate) network: Option<Arc<Control>>,
    pub(crate) browsers: Option<Arc<Browsers>>,
    /// Which streams ask for a token.
    pub(crate) gate: Arc<Gate>,
}

impl Face {
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

    /// `shown` is a token that came in front of the path.
    async fn answer(
        &self,
        mut request: Request,
        shown: Option<Shown>,
        peer: SocketAddr,
    ) -> Result<Response, Problem> {
        let upstream = self.cache.as_ref().and_then(|cache| cache.route(&request));
        let Some(network) = &self.network else {
            if let Some(cache) = self.cache.as_ref().filter(|_| Order::is_in(&request)) {
                return cache.purge(request).await;
            }
            let guest = Guest::enter(&self.gate, &mut request, shown, (peer.ip(), None))?;
            return Ok(nx_delivery::personal(guest, self.serve(upstream, request, peer).await?));
        };
        if Order::is_in(&request) {
            return network.purge(request).await;
        }
        if Control::is_asked(&request) {
            return network.answer(request).await;
        }
        // Pages ask what they may before they do, without anything that tells who.
        if *request.method() == Method::OPTIONS {
            return self.media.answer(&request, peer).await;
        }
        if let Some(manifest) = network.steering(&request, peer) {
            return Ok(manifest);
        }
        let upstream = upstream.ok_or_else(|| network.no_route())?;
        let meter = network.admit(&upstream.rules, peer.ip(), &request)?;
        // Who must have a token is said by the route, else by the stream.
        let gate = upstream.rules.token.clone().unwrap_or_else(|| self.gate.clone());
        let countries = network.countries();
        let country = countries.of(peer.ip()).map(|country| country.as_str());
        let guest = Guest::enter(&gate, &mut request, shown, (peer.ip(), country))?;
        let seat = network.seat(&upstream.rules, guest.as_ref(), peer.ip(), &request)?;
        let response = self.serve(Some(upstream), request, peer).await?;
        let response = network.count(meter, network.sit(seat, response));
        Ok(nx_delivery::personal(guest, response))
    }

    /// Live windows first: what is not in them, such as a stream's past, may be behind an upstream.
    async fn serve(
        &self,
        upstream: Option<Arc<Upstream>>,
        request: Request,
        peer: SocketAddr,
    ) -> Result<Response, Problem> {
        let read = matches!(*request.method(), Method::GET | Method::HEAD);
        let (cache, upstream) = match self.cache.as_ref().zip(upstream) {
            Some((cache, upstream)) if read => (cache, upstream),
            Some((_, upstream)) if upstream.rules.foreign => {
                return Err(Problem::method("this is read with GET or HEAD"));
            }
            _ => return self.media.answer(&request, peer).await,
        };
        let path = request.uri().path();
        let here = !upstream.rules.foreign && self.media.finds(path);
        if !here && (!Media::owns(path) || cache.has(&upstream, &request)) {
            return cache.answer(&upstream, request).await;
        }
        let live = match self.media.answer(&request, peer).await {
            Err(problem) if !here || not_live(problem.status) => problem,
            live => return live,
        };
        let stored = cache.answer(&upstream, request).await;
        // When neither has it, what is known of it live says more, unless that is nothing.
        if live.status == StatusCode::NOT_IMPLEMENTED { stored } else { stored.map_err(|_| live) }
    }
}

/// Whether it may be somewhere, though not in a live window.
fn not_live(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED)
}

impl Handler for Face {
    fn handle(&self, mut request: Request, peer: SocketAddr) -> Answer<'_> {
        Box::pin(async move {
            let shown = nx_access::unfold(&mut request);
            match self.page(&request) {
                Some(answer) => answer,
                None => self.answer(request, shown, peer).await,
            }
        })
    }

    fn ready(&self) -> Result<serde_json::Value, serde_json::Value> {
        let cache = self.cache.as_ref().map(|cache| cache.health());
        let network = self.network.as_ref().map(|network| network.health());
        let draining = self.network.as_ref().is_some_and(|network| network.is_draining());
        let status = if draining { "draining" } else { "ok" };
        let document = serde_json::json!({
            "status": status, "role": "edge", "cache": cache, "plane": self.media.health(), "network": network,
        });
        if draining { Err(document) } else { Ok(document) }
    }

    fn metrics(&self, out: &mut Metrics) {
        self.media.metrics(out);
        self.cache.iter().for_each(|cache| cache.metrics(out));
        self.network.iter().for_each(|network| network.metrics(out));
        self.certs.metrics(out);
        nx_delivery::gate_metrics(&self.gate, out);
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
