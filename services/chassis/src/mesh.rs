//! Calls to other services, as a tower service: in process through their routers, else over HTTP to an instance that is known.
//!
//! A call has a deadline, which it passes on; a breaker stands before each way; what may be repeated is tried once more
//! within a budget, with another instance where there is one.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Handle;
use tower::{Service, ServiceExt};

use nx_mesh::{Asked, Link, SendError, trace};

use crate::caller::Caller;
use crate::ctx::{Ctx, Shared};
use crate::http::{DEADLINE_MS, TRACEPARENT, limited};
use crate::problem::Problem;

/// Time that a call has, its retry included.
const CALL_MAX: Duration = Duration::from_secs(5);
/// Time that another process has to begin its answer: a little more than its requests have there.
const ANSWER_MAX: Duration = Duration::from_secs(35);
/// The same where a long body goes with the request: as long as that may take to send.
const UPLOAD_MAX: Duration = Duration::from_secs(6 * 3600);
/// What is a long one, bytes.
const LONG_BYTES: u64 = 1 << 20;
/// Largest answer that is read, bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// A service that runs in this process.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) router: Router,
    pub(crate) runtime: Handle,
}

impl Peer {
    /// Runs a request on the service's own threads.
    pub(crate) async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, Problem> {
        let answered = self.runtime.spawn(self.router.clone().oneshot(request)).await;
        let Ok(response) = answered.map_err(Problem::internal)?;
        Ok(response)
    }
}

impl Shared {
    /// Has a service answer, here or in another process. `tried` are the instances that were asked for this before.
    pub(crate) async fn ask(
        &self,
        service: &str,
        request: Request<Body>,
        tried: &Mutex<Vec<String>>,
    ) -> Tried<Body> {
        let peer = self.peers.read().ok().and_then(|peers| peers.get(service).cloned());
        if let Some(peer) = peer {
            return peer.answer(request).await.map_err(bad);
        }
        let caller = request.extensions().get::<Caller>().cloned();
        let claims = serde_json::to_vec(&caller).map_err(Problem::internal).map_err(bad)?;
        let who = caller.map(|caller| caller.subject).unwrap_or_default();
        let long = request.body().size_hint().upper().is_none_or(|bytes| bytes > LONG_BYTES);
        let answer = self.mesh.send(service, &claims, &who, tried, request);
        match tokio::time::timeout(if long { UPLOAD_MAX } else { ANSWER_MAX }, answer).await {
            Ok(answer) => answer.map_err(|error| {
                let away = Problem { cause: Some(error.to_string()), ..away(service) };
                match error {
                    SendError::Request(why) => (Asked::Nobody, Problem::bad_request(why)),
                    SendError::Nobody(_) => (Asked::Nobody, away),
                    _ => (Asked::Bad, away),
                }
            }),
            Err(_) => Err((Asked::Late, late(service))),
        }
    }
}

/// Calls one service.
#[derive(Clone)]
pub struct Call {
    cx: Ctx,
    service: String,
    link: Arc<Link>,
}

impl Call {
    pub(crate) fn new(cx: Ctx, service: String, link: Arc<Link>) -> Self {
        Self { cx, service, link }
    }

    /// Reads a resource, such as `/v1/notes/7`.
    ///
    /// # Errors
    /// What the service says, or why it cannot be asked.
    pub async fn get<T: DeserializeOwned>(self, path: &str) -> Result<T, Problem> {
        let request = Request::get(path).body(Bytes::new()).map_err(Problem::internal)?;
        self.json(request).await
    }

    /// Posts to a resource; `once` is the idempotency key under which it may be repeated.
    ///
    /// # Errors
    /// As [`Call::get`].
    pub async fn post<T: DeserializeOwned>(
        self,
        path: &str,
        once: &str,
        body: &impl Serialize,
    ) -> Result<T, Problem> {
        let mut request = with(Method::POST, path, body)?;
        request.headers_mut().insert("idempotency-key", once.parse().map_err(Problem::internal)?);
        self.json(request).await
    }

    /// Puts a resource.
    ///
    /// # Errors
    /// As [`Call::get`].
    pub async fn put<T: DeserializeOwned>(self, path: &str, body: &impl Serialize) -> Result<T, Problem> {
        self.json(with(Method::PUT, path, body)?).await
    }

    /// Deletes a resource; what is not there is deleted.
    ///
    /// # Errors
    /// As [`Call::get`].
    pub async fn delete(self, path: &str) -> Result<(), Problem> {
        let request = Request::delete(path).body(Bytes::new()).map_err(Problem::internal)?;
        let (service, answer) = (self.service.clone(), self.oneshot(request).await?);
        match answer.status() {
            status if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            status => Err(no(&service, status, answer.body())),
        }
    }

    async fn json<T: DeserializeOwned>(self, request: Request<Bytes>) -> Result<T, Problem> {
        let service = self.service.clone();
        let response = self.oneshot(request).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(no(&service, status, response.body()));
        }
        // An answer without a body is `null`.
        let text: &[u8] = if response.body().is_empty() { b"null" } else { response.body() };
        serde_json::from_slice(text)
            .map_err(|e| Problem::internal(format!("{service} answered in another shape: {e}")))
    }

    async fn try_once(&self, request: &Request<Bytes>, tried: &Mutex<Vec<String>>) -> Tried<Bytes> {
        let mut copy = Request::new(Body::from(request.body().clone()));
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        copy.extensions_mut().insert(Caller::service(self.cx.service().id));
        if let Ok(value) = HeaderValue::from_str(&trace::child()) {
            copy.headers_mut().insert(TRACEPARENT, value);
        }
        let response = self.cx.shared().ask(&self.service, copy, tried).await?;
        let (head, body) = response.into_parts();
        Ok(Response::from_parts(head, limited(body, ANSWER_BYTES_MAX).await.map_err(bad)?))
    }

    async fn run(self, mut request: Request<Bytes>) -> Result<Response<Bytes>, Problem> {
        let clock = self.cx.clock().clone();
        let time = trace::left(clock.mono_ms()).map_or(CALL_MAX, |left| left.min(CALL_MAX));
        request.headers_mut().insert(DEADLINE_MS, HeaderValue::from(time.as_millis() as u64));
        let end_ms = clock.mono_ms() + i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let tried = Mutex::default();
        let once = async |_| {
            let left = Duration::from_millis(u64::try_from(end_ms - clock.mono_ms()).unwrap_or_default());
            tokio::select! {
                answer = self.try_once(&request, &tried) => answer,
                () = clock.sleep(left) => Err((Asked::Late, late(&self.service))),
            }
        };
        let tries = if repeatable(&request) { 2 } else { 1 };
        let went = |answer: &Tried<Bytes>| match answer {
            Ok(response) if response.status().is_server_error() => Asked::Bad,
            answer => went(answer),
        };
        let answer = self.link.ask(&clock, tries, once, went).await;
        told(&self.service, answer)
    }
}

/// An answer, or why there is none and what that says of the way.
pub(crate) type Tried<B> = Result<Response<B>, (Asked, Problem)>;

pub(crate) fn went<B>(tried: &Tried<B>) -> Asked {
    tried.as_ref().map_or_else(|(asked, _)| *asked, |_| Asked::Good)
}

fn bad(problem: Problem) -> (Asked, Problem) {
    let late = problem.status == StatusCode::GATEWAY_TIMEOUT;
    (if late { Asked::Late } else { Asked::Bad }, problem)
}

impl Service<Request<Bytes>> for Call {
    type Response = Response<Bytes>;
    type Error = Problem;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<Bytes>, Problem>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        Box::pin(self.clone().run(request))
    }
}

fn with(method: Method, path: &str, body: &impl Serialize) -> Result<Request<Bytes>, Problem> {
    let bytes = serde_json::to_vec(body).map_err(Problem::internal)?;
    let request =
        Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
    request.body(bytes.into()).map_err(Problem::internal)
}

/// A service has not done what it was asked: in its own words, where it is the caller's to mend.
fn no(service: &str, status: StatusCode, body: &[u8]) -> Problem {
    let why = serde_json::from_slice(body).ok().and_then(|p: Value| p["detail"].as_str().map(str::to_owned));
    let why = why.unwrap_or_else(|| status.to_string());
    let refused = || Problem::conflict("refused", format!("{service} refused it: {why}"));
    let problem = if status.is_client_error() { refused() } else { away(service) };
    Problem { cause: Some(format!("{service} answered {status}")), ..problem }
}

/// Whether doing it twice is doing it once.
fn repeatable<B>(request: &Request<B>) -> bool {
    let safe = [Method::GET, Method::HEAD, Method::PUT, Method::DELETE].contains(request.method());
    safe || request.headers().contains_key("idempotency-key")
}

fn late(service: &str) -> Problem {
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "deadline", format!("{service} did not answer in time"))
}

/// What came of asking, for who wanted it asked.
pub(crate) fn told<B>(service: &str, answer: Result<Tried<B>, i64>) -> Result<Response<B>, Problem> {
    answer.map_err(|wait_ms| closed(service, wait_ms))?.map_err(|(_, why)| why)
}

/// What is said while a breaker is open.
fn closed(service: &str, wait_ms: i64) -> Problem {
    let seconds = u32::try_from(wait_ms / 1000 + 1).unwrap_or(1);
    Problem { retry_after_s: Some(seconds), ..away(service) }
}

fn away(service: &str) -> Problem {
    Problem::unavailable("dependency", format!("{service} is away"), 5)
}
