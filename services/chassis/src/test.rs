//! What tests of services stand on: the services of a test, on a clock that it moves, doing nothing by themselves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, header};
use serde::Serialize;
use serde_json::Value;

pub use nx_peers::{Postgres, Rabbit, Redis};

use crate::caller::Caller;
use crate::ctx::Ctx;
use crate::http::limited;
use crate::problem::Problem;
use crate::ring::{JOBS_MAX, Ring, Run};
use crate::service::Service;
use crate::{Clock, Config, Secret, events, jobs};

/// When tests begin: 2026-01-01T00:00:00Z.
pub const START_MS: i64 = 1_767_225_600_000;

/// Services under test. Dropped, their folder is removed.
pub struct TestApp {
    ring: Ring,
    clock: Clock,
    folder: Folder,
}

/// A folder of its own for one test.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("nexus-test-{}", nx_mesh::trace::random::<8>()));
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl TestApp {
    /// The services on SQLite.
    pub async fn new(services: Vec<Service>) -> Self {
        Self::with(Config::default(), services).await
    }

    /// The services on a database of PostgreSQL that is theirs alone.
    pub async fn on(postgres: &Postgres, services: Vec<Service>) -> Self {
        let url = postgres.database();
        Self::with(Config { database: Some(Secret::new(&url)), ..Config::default() }, services).await
    }

    async fn with(config: Config, services: Vec<Service>) -> Self {
        let (folder, clock) = (Folder::new(), Clock::manual(START_MS));
        let ring = Ring::open(&config, &folder.0, services, Run::All, clock.clone(), false)
            .await
            .expect("it starts");
        Self { ring, clock, folder }
    }

    /// Has something that is no service answer under a name.
    pub fn join<A>(
        &self,
        id: &'static str,
        answer: impl Fn(Request<Body>) -> A + Clone + Send + Sync + 'static,
    ) where
        A: Future<Output = http::Response<Body>> + Send + 'static,
    {
        self.ring.join(id, answer);
    }

    /// Where the stores are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// What a service gets.
    ///
    /// # Panics
    /// When there is none of the name.
    #[must_use]
    pub fn cx(&self, service: &str) -> Ctx {
        self.ring.cx(service).expect("a service of the test")
    }

    /// All services' description.
    #[must_use]
    pub fn openapi(&self) -> Value {
        self.ring.openapi()
    }

    /// Hands on events, hears them and does jobs that are due, until there is nothing left.
    pub async fn settle(&self) {
        self.ring.settle().await.expect("the stores work");
    }

    /// Has every service forget answers, events and jobs that are old, as it does by itself each hour.
    ///
    /// # Panics
    /// When a store does not work.
    pub async fn forget(&self) {
        for running in self.ring.services.values() {
            running.cx.forget().await.expect("the stores work");
        }
    }

    /// Moves the clock on, then settles.
    pub async fn pass(&self, span: Duration) {
        self.clock.advance(span);
        self.settle().await;
    }

    /// A GET as the operator; `path` is `/SERVICE/v1/…`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], &()).await
    }

    /// A POST as the operator.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Answer {
        self.send(Method::POST, path, &[], body).await
    }

    /// A request as the operator, with these headers.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &impl Serialize,
    ) -> Answer {
        self.send_as(Some(Caller::operator()), method, path, headers, body).await
    }

    /// A request of anybody.
    ///
    /// # Panics
    /// When the path names no service.
    pub async fn send_as(
        &self,
        caller: Option<Caller>,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &impl Serialize,
    ) -> Answer {
        let body = serde_json::to_vec(body).expect("JSON");
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.send_bytes(caller, method, path, &headers, body).await
    }

    /// The same with a body of any kind.
    ///
    /// # Panics
    /// When the path names no service.
    pub async fn send_bytes(
        &self,
        caller: Option<Caller>,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let (service, rest) = path[1..].split_once('/').expect("/SERVICE/…");
        let request = Request::builder().method(method).uri(format!("/{rest}"));
        let mut request = request.body(Body::from(body)).expect("a request");
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            request.headers_mut().insert(name, value.parse().expect("a value"));
        }
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        let (head, body) = self.ring.answer(service, request).await.expect("the service").into_parts();
        let bytes = limited(body, 16 << 20).await.expect("the answer");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer { status: head.status, headers: head.headers, body }
    }
}

impl Ring {
    pub(crate) fn cx(&self, service: &str) -> Option<Ctx> {
        self.services.get(service).map(|running| running.cx.clone())
    }

    /// Does what there is to do, until there is nothing.
    pub(crate) async fn settle(&self) -> Result<(), Problem> {
        loop {
            let mut busy = false;
            for running in self.services.values() {
                busy |= step(&running.cx).await?;
            }
            if !busy {
                return Ok(());
            }
        }
    }
}

/// One round of everything that a service does by itself; whether there was something.
async fn step(cx: &Ctx) -> Result<bool, Problem> {
    jobs::plan(cx).await?;
    let mut busy = events::relay(cx).await? | events::hear(cx).await?;
    for job in jobs::take(cx, JOBS_MAX).await? {
        busy = true;
        jobs::work(cx, job).await;
    }
    Ok(busy)
}

/// What a service answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its JSON; a string when it was none.
    pub body: Value,
}

impl Answer {
    /// The body, when the status is this one.
    ///
    /// # Panics
    /// With the whole answer, when it is not.
    #[track_caller]
    #[must_use]
    pub fn is(&self, status: u16) -> &Value {
        assert_eq!(self.status.as_u16(), status, "{self:#?}");
        &self.body
    }

    /// The end of the `type` of a problem.
    #[must_use]
    pub fn slug(&self) -> &str {
        self.body["type"].as_str().and_then(|t| t.rsplit(':').next()).unwrap_or_default()
    }

    /// The entity tag.
    #[must_use]
    pub fn etag(&self) -> &str {
        self.headers.get(header::ETAG).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }
}
