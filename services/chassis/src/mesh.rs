//! Calls to other services: in process, through their routers, as a tower service.
//!
//! A call has a deadline, which it passes on; a breaker stands before each way; what may be repeated is tried once more
//! within a budget. A service of another process is not reached yet.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tower::{Service, ServiceExt};

use crate::breaker::Breaker;
use crate::caller::Caller;
use crate::ctx::Ctx;
use crate::http::{DEADLINE_MS, TRACEPARENT, limited, trace};
use crate::problem::Problem;

/// Time that a call has, its retry included.
const CALL_MAX: Duration = Duration::from_secs(5);
/// Largest answer that is read, bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Tenths of a retry that each call earns, and how many are saved up at most.
const RETRY_MAX_TENTHS: u32 = 100;

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

/// The way from one service to another.
#[derive(Debug, Default)]
pub(crate) struct Link {
    breaker: Breaker,
    retries: Retries,
}

impl Link {
    pub(crate) fn state(&self, now_ms: i64) -> &'static str {
        self.breaker.name(now_ms)
    }
}

/// What may be tried again: a tenth of the calls, in the long run.
#[derive(Debug)]
struct Retries(Mutex<u32>);

impl Default for Retries {
    fn default() -> Self {
        Self(Mutex::new(RETRY_MAX_TENTHS))
    }
}

impl Retries {
    fn earn(&self) {
        if let Ok(mut tenths) = self.0.lock() {
            *tenths = (*tenths + 1).min(RETRY_MAX_TENTHS);
        }
    }

    fn spend(&self) -> bool {
        self.0.lock().is_ok_and(|mut tenths| {
            let rest = tenths.checked_sub(10);
            *tenths = rest.unwrap_or(*tenths);
            rest.is_some()
        })
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
        let bytes = serde_json::to_vec(body).map_err(Problem::internal)?;
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", once)
            .body(bytes.into())
            .map_err(Problem::internal)?;
        self.json(request).await
    }

    async fn json<T: DeserializeOwned>(self, request: Request<Bytes>) -> Result<T, Problem> {
        let service = self.service.clone();
        let response = self.oneshot(request).await?;
        let status = response.status();
        if !status.is_success() {
            let no = || Problem::conflict("refused", format!("{service} refused it: {status}"));
            let problem = if status.is_client_error() { no() } else { away(&service) };
            return Err(Problem { cause: Some(format!("{service} answered {status}")), ..problem });
        }
        // An answer without a body is `null`.
        let text: &[u8] = if response.body().is_empty() { b"null" } else { response.body() };
        serde_json::from_slice(text)
            .map_err(|e| Problem::internal(format!("{service} answered in another shape: {e}")))
    }

    async fn try_once(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, Problem> {
        let peer = self.cx.shared().peers.read().ok().and_then(|p| p.get(self.service.as_str()).cloned());
        let peer = peer.ok_or_else(|| away(&self.service))?;
        let mut copy = Request::new(Body::from(request.body().clone()));
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        copy.extensions_mut().insert(Caller::service(self.cx.service().id));
        if let Ok(value) = HeaderValue::from_str(&trace::child()) {
            copy.headers_mut().insert(TRACEPARENT, value);
        }
        let response = peer.answer(copy).await?;
        let (head, body) = response.into_parts();
        Ok(Response::from_parts(head, limited(body, ANSWER_BYTES_MAX).await?))
    }

    async fn run(self, mut request: Request<Bytes>) -> Result<Response<Bytes>, Problem> {
        let clock = self.cx.clock().clone();
        let time = trace::left(clock.mono_ms()).map_or(CALL_MAX, |left| left.min(CALL_MAX));
        request.headers_mut().insert(DEADLINE_MS, HeaderValue::from(time.as_millis() as u64));
        self.link.retries.earn();
        let mut tries = if repeatable(&request) { 2 } else { 1 };
        let end = clock.sleep(time);
        tokio::pin!(end);
        loop {
            tries -= 1;
            let permit = self.link.breaker.permit(clock.mono_ms());
            let permit = permit.map_err(|wait_ms| {
                let seconds = u32::try_from(wait_ms / 1000 + 1).unwrap_or(1);
                Problem { retry_after_s: Some(seconds), ..away(&self.service) }
            })?;
            let answer = tokio::select! {
                answer = self.try_once(&request) => answer,
                () = &mut end => Err(late(&self.service)),
            };
            let good = answer.as_ref().is_ok_and(|r| !r.status().is_server_error());
            permit.end(good, clock.mono_ms());
            let is_late = answer.as_ref().is_err_and(|p| p.status == StatusCode::GATEWAY_TIMEOUT);
            if good || is_late || tries == 0 || !self.link.retries.spend() {
                return answer;
            }
        }
    }
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

/// Whether doing it twice is doing it once.
fn repeatable<B>(request: &Request<B>) -> bool {
    let safe = [Method::GET, Method::HEAD, Method::PUT, Method::DELETE].contains(request.method());
    safe || request.headers().contains_key("idempotency-key")
}

fn late(service: &str) -> Problem {
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "deadline", format!("{service} did not answer in time"))
}

fn away(service: &str) -> Problem {
    Problem::unavailable("dependency", format!("{service} is away"), 5)
}
