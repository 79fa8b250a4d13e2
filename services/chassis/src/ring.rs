//! The services of a process: each with its store and threads of its own, so that one that hangs holds up itself alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use serde_json::{Map, Value, json};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::config::Config;
use crate::ctx::{Ctx, REQUESTS_MAX, Shared};
use crate::http::router;
use crate::mesh::Peer;
use crate::problem::Problem;
use crate::service::Service;
use crate::{events, jobs};
use nx_db::Db;

/// The chassis' own tables.
const OWN: &str = include_str!("0001_chassis.sql");
/// Jobs of one service that run at the same time.
pub(crate) const JOBS_MAX: usize = 4;
/// How long requests that run may go on when the process stops.
const GRACE: Duration = Duration::from_secs(5);
/// Pause after a failure of the store.
const PAUSE: Duration = Duration::from_secs(1);
/// How often old answers, events and jobs are forgotten.
const FORGET: Duration = Duration::from_secs(3600);

/// Services at work; by default none.
#[derive(Default)]
pub struct Ring {
    pub(crate) services: BTreeMap<&'static str, Running>,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
}

pub(crate) struct Running {
    pub(crate) cx: Ctx,
    peer: Peer,
    /// Its own threads; none in tests.
    runtime: Option<Runtime>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its router has the service, and the service knows all routers.
        if let Ok(mut peers) = self.cx.shared().peers.write() {
            peers.remove(self.cx.service().id);
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Ring {
    /// Opens the stores below `data` and starts `services`, each on a thread of its own.
    ///
    /// # Errors
    /// In words: a thread cannot be had, a store cannot be opened, a migration fails.
    pub async fn start(config: &Config, data: &Path, services: Vec<Service>) -> Result<Self, String> {
        let mut ring = Self::open(config, data, services, Clock::default(), true).await?;
        ring.services.values_mut().for_each(|running| running.work(&ring.stop.subscribe()));
        Ok(ring)
    }

    /// Opens everything and starts nothing by itself; on the caller's threads without `threads`.
    pub(crate) async fn open(
        config: &Config,
        data: &Path,
        services: Vec<Service>,
        clock: Clock,
        threads: bool,
    ) -> Result<Self, String> {
        let shared = Arc::new(Shared { clock, ..Shared::default() });
        let mut opened = JoinSet::new();
        for service in services {
            let runtime = threads.then(|| thread(service.id)).transpose()?;
            let handle = runtime.as_ref().map_or_else(Handle::current, |r| r.handle().clone());
            let (config, data, shared) = (config.clone(), data.to_owned(), shared.clone());
            opened.spawn(async move {
                let id = service.id;
                let opened = handle.spawn(open_one(config, data, service, shared)).await;
                let cx =
                    opened.map_err(|e| e.to_string()).flatten().map_err(|e| format!("service {id}: {e}"))?;
                let peer = Peer { router: router(&cx), runtime: handle };
                Ok::<_, String>(Running { cx, peer, runtime })
            });
        }
        let (mut services, mut faults) = (BTreeMap::new(), Vec::new());
        while let Some(opened) = opened.join_next().await {
            match opened.map_err(|e| e.to_string()).flatten() {
                Ok(running) => {
                    services.insert(running.cx.service().id, running);
                }
                Err(fault) => faults.push(fault),
            }
        }
        if !faults.is_empty() {
            return Err(faults.join("; "));
        }
        let ring = Self { services, shared, stop: watch::Sender::new(false) };
        ring.introduce();
        Ok(ring)
    }

    /// Tells each service of the others, before any of them works.
    fn introduce(&self) {
        for (id, running) in &self.services {
            if let Ok(mut peers) = self.shared.peers.write() {
                peers.insert(id, running.peer.clone());
            }
            if let Ok(mut topics) = self.shared.topics.write() {
                for kind in running.cx.service().reactions.kinds() {
                    topics.entry(kind).or_default().push(running.cx.downgrade());
                }
            }
        }
    }

    /// Answers a request to a service, whose path begins with `/v1/` or is one that every service has.
    ///
    /// # Errors
    /// When there is no such service, or its threads are gone.
    pub async fn answer(&self, service: &str, request: Request<Body>) -> Result<Response<Body>, Problem> {
        let running = self.services.get(service);
        let running = running.ok_or_else(|| Problem::not_found("no service of this name runs here"))?;
        running.peer.answer(request).await
    }

    /// Whether this service runs here.
    pub fn has(&self, service: &str) -> bool {
        self.services.contains_key(service)
    }

    /// The OpenAPI documents of all services in one.
    pub fn openapi(&self) -> Value {
        let (mut paths, mut schemas) = (Map::new(), Map::new());
        for (id, running) in &self.services {
            let mut document = running.cx.service().api.document(id, &format!("/api/{id}"));
            let mut take = |place: &str, into: &mut Map<String, Value>| {
                if let Some(Value::Object(part)) = document.pointer_mut(place).map(Value::take) {
                    into.extend(part);
                }
            };
            take("/paths", &mut paths);
            take("/components/schemas", &mut schemas);
        }
        json!({
            "openapi": "3.1.0",
            "info": {"title": "Nexus COS", "version": "1", "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
            "paths": paths,
            "components": {"schemas": schemas},
        })
    }

    /// Lets what runs come to its end, then closes the stores.
    pub async fn stop(&self) {
        let _ = self.stop.send(true);
        for running in self.services.values() {
            let places = running.cx.inner().places.clone();
            let _ = tokio::time::timeout(GRACE, places.acquire_many(REQUESTS_MAX)).await;
            running.cx.db().close().await;
        }
    }
}

async fn open_one(
    config: Config,
    data: std::path::PathBuf,
    service: Service,
    shared: Arc<Shared>,
) -> Result<Ctx, String> {
    let id = service.id;
    let db = match &config.database {
        Some(url) => Db::postgres(url.reveal(), id).await,
        None => {
            let folder = data.join("services");
            std::fs::create_dir_all(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
            Db::lite(&folder.join(format!("{id}.db"))).await
        }
    };
    let db = db.map_err(|e| e.to_string())?;
    db.migrate(&[("chassis", &[OWN]), (id, &service.migrations)]).await.map_err(|e| e.to_string())?;
    let listed = nx_catalog::find(id).into_iter().flat_map(|entry| entry.needs.keys().cloned());
    let needs = listed.chain(service.needs.iter().map(|&n| n.to_owned())).collect();
    Ok(Ctx::new(service, needs, db, shared))
}

/// One thread for one service.
fn thread(id: &str) -> Result<Runtime, String> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).max_blocking_threads(2).thread_name(id).enable_all();
    builder.build().map_err(|e| format!("cannot start a thread for {id}: {e}"))
}

impl Running {
    /// Starts what the service does by itself.
    fn work(&mut self, stop: &watch::Receiver<bool>) {
        let until = |mut stop: watch::Receiver<bool>| async move {
            let _ = stop.wait_for(|&stop| stop).await;
        };
        let spawn = |work: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
            let stop = until(stop.clone());
            self.peer.runtime.spawn(async move {
                tokio::select! { biased; () = stop => {}, () = work => {} }
            });
        };
        spawn(Box::pin(relays(self.cx.clone())));
        spawn(Box::pin(hears(self.cx.clone())));
        spawn(Box::pin(works(self.cx.clone())));
        spawn(Box::pin(forgets(self.cx.clone())));
    }
}

/// After a failure of the store: says so, and waits.
async fn failed(cx: &Ctx, problem: impl Into<Problem>) {
    let problem = problem.into();
    tracing::warn!(service = cx.service().id, %problem, "will be tried again");
    cx.clock().sleep(PAUSE).await;
}

async fn relays(cx: Ctx) {
    loop {
        match events::relay(&cx).await {
            Ok(true) => {}
            Ok(false) => cx.rest(&cx.inner().outbox, "SELECT MIN(place) AS n FROM chassis_outbox").await,
            Err(error) => failed(&cx, error).await,
        }
    }
}

async fn hears(cx: Ctx) {
    loop {
        match events::hear(&cx).await {
            Ok(true) => {}
            Ok(false) => {
                cx.rest(&cx.inner().inbox, "SELECT MIN(due_ms) AS n FROM chassis_inbox WHERE state = 0").await
            }
            Err(error) => failed(&cx, error).await,
        }
    }
}

async fn works(cx: Ctx) {
    let mut running = JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        let planned = jobs::plan(&cx).await;
        let taken = match planned {
            Ok(()) => jobs::take(&cx, JOBS_MAX - running.len()).await.map_err(Problem::from),
            Err(problem) => Err(problem),
        };
        let rest = cx.rest(&cx.inner().jobs, "SELECT MIN(due_ms) AS n FROM chassis_job WHERE state = 0");
        match taken {
            Ok(jobs) => {
                for job in jobs {
                    let cx = cx.clone();
                    running.spawn(async move { jobs::work(&cx, job).await });
                }
                if running.len() >= JOBS_MAX {
                    running.join_next().await;
                } else {
                    rest.await;
                }
            }
            Err(problem) => failed(&cx, problem).await,
        }
    }
}

async fn forgets(cx: Ctx) {
    loop {
        if let Err(error) = cx.forget().await {
            failed(&cx, error).await;
        }
        cx.clock().sleep(FORGET).await;
    }
}
