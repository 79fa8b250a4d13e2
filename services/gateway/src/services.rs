//! `/api/SERVICE/…`: who asks is found out here, once; then the service answers.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use nx_catalog::Entry;
use nx_chassis::{CLIENT, Caller, REACHED, RawBody, Ring};
use nx_contract::identity::PROVEN;
use nx_delivery::{Body, Problem, Response, Stream};
use nx_mesh::CALLER;
use nx_mesh::beat::HOLDER;
use tokio::sync::watch;

use crate::core::CORE;
use crate::guard;
use crate::identity::{Identity, Who};
use crate::settings::Settings;
use crate::{registry, vault};

/// Longest answer that is sent in one piece, bytes.
const WHOLE_BYTES_MAX: u64 = 1 << 20;

/// Headers by which others say who asks. Services are told in another way; no request shall seem to be somebody's to whoever
/// reads them all the same.
const IDENTITY: [&str; 8] = [
    "x-user",
    "x-user-id",
    "x-user-roles",
    "x-authenticated-user",
    "x-auth-request-user",
    "x-forwarded-user",
    "x-remote-user",
    "remote-user",
];

/// By which scheme who asks has reached us; a proxy may say so.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The services of the ring.
pub(crate) struct Services {
    ring: Arc<Ring>,
    identity: Arc<Identity>,
    settings: Settings,
    stop: watch::Receiver<bool>,
}

/// What follows `/api/`, if it is a service's and not the core's.
pub(crate) fn path(path: &str) -> Option<&str> {
    let path = path.strip_prefix("/api/").filter(|path| !path.is_empty())?;
    (path.split('/').next() != Some(CORE)).then_some(path)
}

/// What follows `/api/SERVICE/`.
pub(crate) fn path_of<'a>(service: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix("/api/")?.strip_prefix(service)?.strip_prefix('/')
}

impl Services {
    pub(crate) fn new(
        ring: Arc<Ring>,
        identity: Arc<Identity>,
        settings: Settings,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self { ring, identity, settings, stop }
    }

    /// All services' description as JSON.
    pub(crate) fn openapi(&self) -> String {
        self.ring.openapi().to_string()
    }

    /// Whether a request comes from another process of the ring.
    pub(crate) fn is_ours(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(CALLER) && self.ring.sealed(HOLDER, &mut headers.clone()).is_ok()
    }

    /// Answers for `path`, which follows `/api/`.
    pub(crate) async fn answer<B>(
        &self,
        path: &str,
        head: &Parts,
        body: B,
        peer: SocketAddr,
        who: &Who,
    ) -> Result<Response, Problem>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (name, rest) = path.split_once('/').unwrap_or((path, ""));
        let unknown = || Problem::not_found(format!("no service is called {name:.60}; /api lists them"));
        let service = nx_catalog::find(name).ok_or_else(unknown)?;
        let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        if service.id == CORE {
            return moved(&format!("/api/{CORE}/{rest}{query}"));
        }
        let mut headers = head.headers.clone();
        if service.id == HOLDER {
            if self.ring.sealed(HOLDER, &mut headers).map_err(told)?.is_none() {
                who.operator()?;
                not_an_app(who)?;
            }
            return registry::answer(&self.ring, &self.settings, rest, head, body, self.stop.clone()).await;
        }
        if !self.ring.has(&service.id) {
            return Err(not_built(service));
        }
        let caller = allowed(service, &head.method, rest, who)?;
        let to = (service.id.as_str(), format!("/{rest}{query}"));
        self.pass_on(to, (&head.method, headers), body, peer, (caller, who.proven())).await
    }

    /// Has the core of another process answer, which decides itself who may what.
    pub(crate) async fn core<B>(
        &self,
        rest: String,
        head: Parts,
        body: B,
        peer: SocketAddr,
        who: &Who,
    ) -> Result<Response, Problem>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if !self.ring.has(CORE) {
            return Err(Problem::not_built(
                "no process is the streaming core of this gateway: run nexus up, or nexus origin with gateway.ring.core",
            ));
        }
        let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let caller = match head.method {
            Method::GET | Method::HEAD | Method::OPTIONS => who.caller().ok().cloned(),
            // Why it is nobody is known here alone.
            _ => Some(who.caller()?.clone()),
        };
        let to = (CORE, format!("/{rest}{query}"));
        self.pass_on(to, (&head.method, head.headers), body, peer, (caller, None)).await
    }

    /// Sends a request on to a service at a path, in the name of a caller, with what is known of the proof that came along.
    async fn pass_on<B>(
        &self,
        (service, path): (&str, String),
        (method, mut headers): (&Method, HeaderMap),
        body: B,
        peer: SocketAddr,
        (caller, proven): (Option<Caller>, Option<&str>),
    ) -> Result<Response, Problem>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        headers.remove(CALLER);
        told_by_us(&mut headers, peer, self.identity.url(), proven);
        IDENTITY.iter().for_each(|name| drop(headers.remove(*name)));
        keep_back(service, &mut headers);
        let request = request(method, &path, headers, body, caller)?;
        reply(self.ring.ask(service, request).await).await
    }

    /// Answers a request that came to the port of a service of this process: from another process of the ring, which says
    /// who asks, or from somebody who has to show it.
    pub(crate) async fn answer_here<B>(
        &self,
        service: &Entry,
        head: &Parts,
        body: B,
        peer: SocketAddr,
    ) -> Result<Response, Problem>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut headers = head.headers.clone();
        let caller = match self.ring.sealed(&service.id, &mut headers).map_err(told)? {
            Some(caller) => caller,
            None => {
                let who = self.identity.find_out(head, peer, &format!("/api/{}", service.id)).await;
                told_by_us(&mut headers, peer, self.identity.url(), who.proven());
                allowed(service, &head.method, head.uri.path().trim_start_matches('/'), &who)?
            }
        };
        keep_back(&service.id, &mut headers);
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let request = request(&head.method, path, headers, body, caller)?;
        reply(self.ring.answer(&service.id, request).await).await
    }
}

/// Who asks for something below a service, if they may. Where anybody may, nobody need be somebody.
fn allowed(service: &Entry, method: &Method, rest: &str, who: &Who) -> Result<Option<Caller>, Problem> {
    if service.open.iter().any(|open| rest.starts_with(open)) {
        return Ok(who.caller().ok().cloned());
    }
    let caller = who.caller()?;
    if let Some(scopes) = &caller.scope
        && !service.lets_app(scopes, method.as_str(), rest)
    {
        return Err(guard::forbidden(
            "no scope of this app's token allows that: ask for one that does, if there is one",
        ));
    }
    if !service.people || !rest.starts_with("v1/") {
        who.operator()?;
    }
    Ok(Some(caller.clone()))
}

/// Which services there are, and where, is no app's to say.
fn not_an_app(who: &Who) -> Result<(), Problem> {
    match who.caller()?.scope {
        Some(_) => Err(guard::forbidden("no app may do that")),
        None => Ok(()),
    }
}

/// What who asks has shown us is nothing that key-service should see.
fn keep_back(service: &str, headers: &mut HeaderMap) {
    if service == vault::SERVICE {
        headers.remove(header::AUTHORIZATION);
    }
}

/// Under which name we were reached, whatever the request says itself.
pub(crate) fn reached_here(headers: &mut HeaderMap) {
    headers.remove(REACHED);
    headers.get(header::HOST).cloned().into_iter().for_each(|host| drop(headers.insert(REACHED, host)));
}

/// Where a request comes from, what its proof shows, and that it has its whole time, whatever it says itself.
fn told_by_us(headers: &mut HeaderMap, peer: SocketAddr, url: Option<&str>, proven: Option<&str>) {
    headers.remove(PROVEN);
    let proven = proven.and_then(|proven| HeaderValue::from_str(proven).ok());
    proven.into_iter().for_each(|proven| drop(headers.insert(PROVEN, proven)));
    headers.remove(CLIENT);
    headers.remove("x-deadline-ms");
    reached_here(headers);
    // Where people reach the pages is known better than by what a request says.
    if let Some((scheme, host)) = url.and_then(|url| url.split_once("://")) {
        for (name, value) in [(REACHED, host), (FORWARDED_PROTO, scheme)] {
            HeaderValue::from_str(value).into_iter().for_each(|value| drop(headers.insert(&name, value)));
        }
    }
    let peer = HeaderValue::from_str(&peer.ip().to_string());
    peer.into_iter().for_each(|peer| drop(headers.insert(CLIENT, peer)));
}

/// A request as services get it.
fn request<B>(
    method: &Method,
    path: &str,
    headers: HeaderMap,
    body: B,
    caller: Option<Caller>,
) -> Result<http::Request<RawBody>, Problem>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut request = http::Request::new(RawBody::new(body));
    *request.method_mut() = method.clone();
    *request.uri_mut() = path.parse::<Uri>().map_err(|e| Problem::bad_request(e.to_string()))?;
    *request.headers_mut() = headers;
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    Ok(request)
}

/// What a service answered, as we send it.
async fn reply(answer: Result<http::Response<RawBody>, nx_chassis::Problem>) -> Result<Response, Problem> {
    let (head, body) = answer.map_err(told)?.into_parts();
    Ok(Response::from_parts(head, carried(body).await?))
}

/// What the ring refused or could not do, as we say it.
pub(crate) fn told(problem: nx_chassis::Problem) -> Problem {
    if let Some(cause) = &problem.cause {
        tracing::warn!(cause, "no answer of a service");
    }
    let told = Problem::new(problem.status, problem.slug, "Not answered", problem.detail);
    Problem { retry_after_s: problem.retry_after_s, ..told }
}

fn not_built(service: &Entry) -> Problem {
    let Entry { id, purpose, wave, .. } = service;
    Problem::not_built(match service.built {
        true => format!("{id} has no resources of its own in this version; /api lists the services"),
        false => {
            format!("{id} ({purpose}) is planned for wave {wave} and not built yet; /api lists the services")
        }
    })
}

/// The resource under its service's own name.
fn moved(to: &str) -> Result<Response, Problem> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    let to =
        HeaderValue::from_str(to).map_err(|_| Problem::bad_request("the path has characters of no path"))?;
    response.headers_mut().insert(header::LOCATION, to);
    Ok(response)
}

/// A body as we send it: at once with its length when it is short, else piece by piece; what comes faster than it is
/// taken then waits with the service, and what breaks off is cut off.
async fn carried(body: RawBody) -> Result<Body, Problem> {
    if body.size_hint().exact().is_some_and(|len| len <= WHOLE_BYTES_MAX) {
        let whole = body.collect().await.map_err(|error| {
            tracing::warn!(%error, "the answer of a service broke off");
            let detail = "the service broke off its answer; ask again";
            Problem::new(StatusCode::BAD_GATEWAY, "no-answer", "Not answered", detail)
        })?;
        return Ok(whole.to_bytes().into());
    }
    Ok(Body::Stream(Stream::new(body.map_err(std::io::Error::other))))
}
