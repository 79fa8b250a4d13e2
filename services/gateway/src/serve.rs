//! Routes of the gateway.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use nx_chassis::Ring;
use nx_contract::announce::Announce;
use nx_contract::assets::Assets;
use nx_contract::desired::Desired;
use nx_contract::mixes::Mixes;
use nx_contract::playback::Playback;
use nx_contract::recordings::Recordings;
use nx_contract::streams::{State, Streams};
use nx_contract::titles::{Titles, Work};
use nx_delivery::{Answer, Body, Directory, Handler, Media, Metrics, Problem, Request, Response, Upload};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::api::{self, Paging};
use crate::config::Config;
use crate::desired::{self, Asked};
use crate::identity::{Identity, Who};
use crate::limits::{Asker, Limits, Standing};
use crate::services::{self, Services};
use crate::{
    announce, assets, core, cors, guard, mixes, playback, recordings, registry, titles, uploads, vault, work,
};

/// What belongs to the streaming core.
pub(crate) const CORE: &str = "/api/streamcore/v1";
pub(crate) const STREAMS: &str = "/api/streamcore/v1/streams";
const RECORDINGS: &str = "/api/streamcore/v1/recordings";
const MIXES: &str = "/api/streamcore/v1/mixes";
const TITLES: &str = "/api/streamcore/v1/titles";
pub(crate) const UPLOADS: &str = "/api/streamcore/v1/uploads";
pub(crate) const WORK: &str = "/api/streamcore/v1/work";
/// How often a status page hears.
const NEWS: Duration = Duration::from_secs(1);

/// What a gateway stands in front of.
pub struct Core {
    /// What is on.
    pub streams: Arc<dyn Streams>,
    /// What was.
    pub recordings: Arc<dyn Recordings>,
    /// Files, and uploads of them.
    pub titles: Arc<dyn Titles>,
    /// What is to be made of files.
    pub work: Arc<dyn Work>,
    /// Posters for the status page, which may load nothing from elsewhere.
    pub posters: Arc<dyn Directory>,
    /// What of it outlives the rest.
    pub assets: Arc<dyn Assets>,
    /// Relays and keys.
    pub desired: Arc<dyn Desired>,
    /// Texts and marks that go into streams.
    pub announce: Arc<dyn Announce>,
    /// Programmes.
    pub mixes: Arc<dyn Mixes>,
    /// Who may watch.
    pub playback: Arc<dyn Playback>,
}

impl Core {
    /// A hub that is all of them, and what goes in and out of it.
    pub fn new<H, O>(hub: &Arc<H>, out: &Arc<O>) -> Self
    where
        H: Streams + Recordings + Assets + Titles + Work + Directory + Playback,
        O: Desired + Announce + Mixes,
    {
        let (streams, recordings, assets) = (hub.clone(), hub.clone(), hub.clone());
        let (titles, work, posters, playback) = (hub.clone(), hub.clone(), hub.clone(), hub.clone());
        let (desired, announce, mixes) = (out.clone(), out.clone(), out.clone());
        Self { streams, recordings, assets, titles, work, posters, desired, announce, mixes, playback }
    }
}

/// The core, when it runs in this process.
struct Behind {
    core: Core,
    media: Media,
}

/// Serves the gateway's port.
pub struct Face {
    core: Option<Behind>,
    ring: Arc<Ring>,
    services: Services,
    identity: Arc<Identity>,
    limits: Limits,
    edge: SocketAddr,
    stop: watch::Receiver<bool>,
}

impl Face {
    /// A gateway in front of `core`, if that runs in this process, and `ring`, whose services find it there; viewers are sent to
    /// `edge`. Long answers end
    /// when `stop` turns true.
    ///
    /// # Errors
    /// In words, with what to do: the token cannot be read, Redis has no address.
    pub fn new(
        core: Option<Core>,
        config: &Config,
        edge: SocketAddr,
        ring: &Arc<Ring>,
        stop: watch::Receiver<bool>,
    ) -> Result<Arc<Self>, String> {
        let behind = |core: Core| Behind { media: Media::new(core.posters.clone(), "gateway", 0), core };
        let identity = Arc::new(Identity::new(ring.clone(), config.token()?, config.identity.url.clone()));
        let services = Services::new(ring.clone(), identity.clone(), config.settings.clone(), stop.clone());
        let limits = Limits::new(config.limits.clone())?;
        let here = core.is_some();
        let face =
            Self { core: core.map(behind), ring: ring.clone(), services, identity, limits, edge, stop };
        let face = Arc::new(face);
        if here {
            core::join(&face, ring);
        }
        Ok(face)
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Answers any request within what its sender may ask; `B` is its body.
    pub(crate) async fn respond<B>(
        &self,
        request: http::Request<B>,
        peer: SocketAddr,
    ) -> Result<Response, Problem>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        if let Some(answer) = cors::preflight(&head) {
            return Ok(answer);
        }
        // Pages are everybody's, and other processes of the ring have said who they are.
        if let Some(page) = page(head.uri.path()) {
            return guard::takes(&head.method, "GET, HEAD").map(|()| nx_delivery::page(&page, &head.headers));
        }
        if self.services.is_ours(&head.headers) {
            return self.within_limits(head, body, peer, &Who::unasked()).await;
        }
        let who = self.identity.find_out(&head, peer, "").await;
        let counts = head.uri.path().starts_with("/api/") && head.method != Method::OPTIONS;
        if !counts || !self.limits.any() {
            return self.within_limits(head, body, peer, &who).await;
        }
        let user = who.caller().ok().map(|user| user.subject.as_str());
        let asker = Asker { peer, headers: &head.headers, user };
        let standing = self.limits.count(asker, nx_delivery::wall_ms()).await;
        if let Some(refusal) = standing.as_ref().and_then(Standing::refusal) {
            return Ok(refusal);
        }
        let mut answer = self.within_limits(head, body, peer, &who).await;
        if let (Ok(response), Some(standing)) = (&mut answer, standing) {
            standing.write(response.headers_mut());
        }
        answer
    }

    pub(crate) async fn within_limits<B>(
        &self,
        head: Parts,
        body: B,
        peer: SocketAddr,
        who: &Who,
    ) -> Result<Response, Problem>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if let Some(path) = services::path(head.uri.path()) {
            return self.services.answer(path, &head, body, peer, who).await;
        }
        let Some(Behind { core, media }) = &self.core else {
            return match services::path_of(core::CORE, head.uri.path()) {
                Some(rest) => self.services.core(rest.to_owned(), head, body, peer, who).await,
                None => self.without_core(&http::Request::from_parts(head, ())),
            };
        };
        // What is of one stream: its relays and keys, texts, its picture.
        let stream = head.uri.path().strip_prefix(STREAMS).and_then(|rest| rest.strip_prefix('/'));
        if stream.is_some_and(|stream| core.playback.asks_for_token(&format!("/{stream}"))) {
            who.operator()?;
        }
        if let Some(route) = head.uri.path().strip_prefix(STREAMS).and_then(desired::route) {
            let asked = Asked { method: &head.method, uri: &head.uri, headers: &head.headers, peer, who };
            return desired::answer(&core.desired, route, asked, body).await;
        }
        if let Some(route) = head.uri.path().strip_prefix(STREAMS).and_then(announce::route) {
            let asked = Asked { method: &head.method, uri: &head.uri, headers: &head.headers, peer, who };
            return announce::answer(&core.announce, route, asked, body).await;
        }
        let below = |place| {
            head.uri.path().strip_prefix(place).filter(|rest: &&str| rest.is_empty() || rest.starts_with('/'))
        };
        let asked = || Asked { method: &head.method, uri: &head.uri, headers: &head.headers, peer, who };
        if let Some(rest) = below(TITLES) {
            let edge = edge_url(&head.headers, self.edge);
            return titles::answer(&core.titles, rest, asked(), edge).await;
        }
        if let Some(rest) = below(MIXES) {
            return mixes::answer(&core.mixes, rest, asked(), body).await;
        }
        if let Some(rest) = below(UPLOADS) {
            return Ok(uploads::answer(&core.titles, rest, asked(), body).await);
        }
        if let Some(rest) = below(WORK) {
            return work::answer(&core.work, rest, asked(), body).await;
        }
        if let Some(route) = playback::route(head.uri.path()) {
            let edge = edge_url(&head.headers, self.edge);
            return playback::answer(&core.playback, &edge, route, asked(), body).await;
        }
        if head.uri.path().ends_with("/poster.jpg") {
            // Posters have addresses as on an edge too.
            if core.playback.asks_for_token(head.uri.path()) {
                who.operator()?;
            }
            return media.answer(&http::Request::from_parts(head, Upload::None), peer).await;
        }
        if let Some(route) = head.uri.path().strip_prefix(CORE).and_then(assets::route) {
            let asked = Asked { method: &head.method, uri: &head.uri, headers: &head.headers, peer, who };
            let (assets, edge) = (&core.assets, edge_url(&head.headers, self.edge));
            let sees = sight(&core.playback, who);
            return assets::answer(assets, &edge, sees, route, asked, body).await;
        }
        self.answer(core, &http::Request::from_parts(head, ()), who)
    }

    /// What there is when the core runs in another process.
    fn without_core(&self, request: &http::Request<()>) -> Result<Response, Problem> {
        match (request.uri().path(), request.method()) {
            ("/api" | "/api/" | "/openapi.json", &(Method::GET | Method::HEAD)) | ("/graphql", _) => {
                self.about(request.uri().path())
            }
            (path, _) => Err(Problem::not_built(format!(
                "{path:.200} is a page of 'nexus up'; here are the services below /api, /account, /people, /channels, /errors and /server"
            ))),
        }
    }

    /// What is the same with and without a core.
    fn about(&self, path: &str) -> Result<Response, Problem> {
        match path {
            "/openapi.json" => Ok(json(&self.services.openapi())),
            "/graphql" => Err(Problem::not_built(
                "/graphql is not in this version; /openapi.json describes the services",
            )),
            _ => Ok(json(&nx_catalog::text(true))),
        }
    }

    fn answer(&self, core: &Core, request: &http::Request<()>, who: &Who) -> Result<Response, Problem> {
        let path = request.uri().path();
        if !matches!(*request.method(), Method::GET | Method::HEAD) && path != "/graphql" {
            return Err(Problem::method("this resource is only read: GET or HEAD"));
        }
        match path {
            "/" => Ok(nx_delivery::page(&nx_web::page(nx_web::Page::Status), request.headers())),
            "/recordings" => Ok(assets::page(request.headers(), &edge_url(request.headers(), self.edge))),
            STREAMS => {
                let paging = Paging::parse(request.uri().query().unwrap_or_default())?;
                Ok(json(&self.page(core, &paging, request.headers(), who)))
            }
            RECORDINGS => {
                let query = request.uri().query().unwrap_or_default();
                let edge = edge_url(request.headers(), self.edge);
                let page = recordings::page(&*core.recordings, query, &edge, sight(&core.playback, who))?;
                Ok(json(&serde_json::to_string(&page).unwrap_or_default()))
            }
            "/api" | "/api/" | "/openapi.json" | "/graphql" => self.about(path),
            _ => self.other(core, path, request, who),
        }
    }

    fn other(
        &self,
        core: &Core,
        path: &str,
        request: &http::Request<()>,
        who: &Who,
    ) -> Result<Response, Problem> {
        if path.strip_prefix(STREAMS) == Some("/events") {
            return Ok(self.events(core, request.headers(), who));
        }
        if path.starts_with("/api/") {
            return Err(Problem::not_built(format!(
                "{path:.200} is not served by this version; {STREAMS}, {RECORDINGS}, {MIXES}, {CORE}/assets, {TITLES}, \
                 {UPLOADS} and {WORK} are"
            )));
        }
        Err(Problem::not_found(format!("nothing is served at {path:.200}; the status page is at /")))
    }

    fn page(&self, core: &Core, paging: &Paging, headers: &HeaderMap, who: &Who) -> String {
        let (edge, sees) = (edge_url(headers, self.edge), sight(&core.playback, who));
        let knows = who.operator().is_ok();
        let page = api::page(&*core.streams, &*core.desired, paging, &edge, sees, knows);
        serde_json::to_string(&page).unwrap_or_default()
    }

    /// Server-sent events: the list again every second, until the client leaves or the node stops.
    fn events(&self, core: &Core, headers: &HeaderMap, who: &Who) -> Response {
        let ((sender, receiver), sees) = (mpsc::channel(4), sight(&core.playback, who));
        let (streams, desired) = (core.streams.clone(), core.desired.clone());
        let (edge, mut stop) = (edge_url(headers, self.edge), self.stop.clone());
        let knows = who.operator().is_ok();
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(NEWS);
            tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                tokio::select! {
                    () = nx_delivery::stopped(&mut stop) => return,
                    () = sender.closed() => return,
                    _ = tick.tick() => {}
                }
                let page = api::page(&*streams, &*desired, &Paging::first(), &edge, &sees, knows);
                let data = serde_json::to_string(&page).unwrap_or_default();
                let event = Bytes::from(format!("event: streams\ndata: {data}\n\n"));
                // A reader that is four events behind gets the next ones when it has caught up.
                if let Err(mpsc::error::TrySendError::Closed(_)) = sender.try_send(event) {
                    return;
                }
            }
        });
        let mut response = Response::new(Body::Channel(receiver));
        no_store(response.headers_mut(), "text/event-stream");
        response
    }
}

/// Which streams who asks may know of: what viewers need a token for is shown to operators alone.
fn sight(playback: &Arc<dyn Playback>, who: &Who) -> impl Fn(&str) -> bool + Send + use<> {
    let (playback, all) = (playback.clone(), who.operator().is_ok());
    move |stream| all || !playback.asks_for_token(&format!("/{stream}/"))
}

/// Pages that need no core, and what pages load.
fn page(path: &str) -> Option<nx_web::Asset> {
    let page = match path {
        "/account" | "/device" => nx_web::Page::Account,
        "/people" => nx_web::Page::People,
        "/channels" => nx_web::Page::Channels,
        "/errors" => nx_web::Page::Errors,
        "/server" => nx_web::Page::Server,
        _ => return nx_web::asset(path.strip_prefix('/')?),
    };
    Some(nx_web::page(page))
}

impl Handler for Face {
    fn handle(&self, mut request: Request, peer: SocketAddr) -> Answer<'_> {
        if services::path_of(vault::SERVICE, request.uri().path()).is_some() && vault::translate(&mut request)
        {
            return Box::pin(async move { vault::answer(self.respond(request, peer).await) });
        }
        let open = cors::is_open(request.uri().path());
        Box::pin(async move {
            let mut answer = self.respond(request, peer).await;
            if let (Ok(response), true) = (&mut answer, open) {
                cors::readable(response.headers_mut());
            }
            answer
        })
    }

    fn ready(&self) -> Result<serde_json::Value, serde_json::Value> {
        Ok(serde_json::json!({"status": "ok", "role": "gateway"}))
    }

    fn metrics(&self, out: &mut Metrics) {
        if let Some(Behind { core, .. }) = &self.core {
            let live = core.streams.list().iter().filter(|s| s.state == State::Live).count();
            out.single("nexus_live_streams", "gauge", "Streams with a publisher.", live);
        }
        if let Some(shared) = self.limits.shared() {
            let help = "Whether Redis counts for the limits; else this gateway counts for itself.";
            out.single("nexus_gateway_limits_shared", "gauge", help, u8::from(shared));
        }
        registry::metrics(&self.ring, out);
        let dropped = nx_reporter::dropped();
        let help = "Errors of this process that were not reported.";
        out.single("nexus_reports_dropped_total", "counter", help, dropped);
    }
}

pub(crate) fn json(text: &str) -> Response {
    json_body(Body::from(text.to_owned()))
}

/// It is done, and there is nothing to say of it.
pub(crate) fn no_content() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

pub(crate) fn json_body(body: Body) -> Response {
    let mut response = Response::new(body);
    no_store(response.headers_mut(), "application/json");
    response
}

fn no_store(headers: &mut HeaderMap, content_type: &'static str) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// The edge as the caller reaches it: under the name it used for us, when the edge listens on every address.
fn edge_url(headers: &HeaderMap, edge: SocketAddr) -> String {
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let sane = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    if edge.ip().is_unspecified() && !name.is_empty() && name.bytes().all(sane) {
        format!("http://{name}:{}", edge.port())
    } else {
        format!("http://{edge}")
    }
}
