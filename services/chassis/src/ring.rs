//! The services of a process: each with its store and threads of its own, so that one that hangs holds up itself alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use http::{HeaderMap, Method, Request, Response};
use nx_bus::{Bus, Inbox, Rabbit, Topic};
use nx_mesh::beat::{HOLDER, Member};
use nx_mesh::{Balance, Clock, Config, Links, Mesh, Seal, Threads};
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::caller::Caller;
use crate::ctx::{Ctx, REQUESTS_MAX, Shared};
use crate::http::router;
use crate::mesh::{Peer, told, went};
use crate::problem::Problem;
use crate::service::Service;
use crate::{events, jobs};
use nx_db::Db;

/// The chassis' own tables.
const OWN: [&str; 2] = [include_str!("0001_chassis.sql"), include_str!("0002_subjects.sql")];
/// Jobs of one service that run at the same time.
pub(crate) const JOBS_MAX: usize = 4;
/// How long requests that run may go on when the process stops.
const GRACE: Duration = Duration::from_secs(5);
/// Pause after a failure of the store.
const PAUSE: Duration = Duration::from_secs(1);
/// How often old answers, events and jobs are forgotten.
const FORGET: Duration = Duration::from_secs(3600);

/// Which services a process runs.
#[derive(Debug, Clone, Copy)]
pub enum Run<'a> {
    /// All there are; others need no other process.
    All,
    /// These, as one process of several: others are found through the gateway's table.
    Apart(&'a [String]),
    /// None: it stands in front of others, and holds their table.
    None,
}

/// Services at work; by default none, and nobody knows it.
pub struct Ring {
    pub(crate) services: BTreeMap<&'static str, Running>,
    /// Every service there is, wherever it runs.
    all: Vec<Service>,
    shared: Arc<Shared>,
    /// Ways of requests from outside.
    links: Links,
    /// Where this process is known, if it is one of several.
    pub(crate) member: Option<Member>,
    stop: watch::Sender<bool>,
}

pub(crate) struct Running {
    pub(crate) cx: Ctx,
    peer: Peer,
    /// Where the bus of the process brings its events.
    inbox: Arc<dyn Inbox>,
    _threads: Threads,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its router has the service, and the service knows all routers.
        if let Ok(mut peers) = self.cx.shared().peers.write() {
            peers.remove(self.cx.service().id);
        }
    }
}

impl Default for Ring {
    fn default() -> Self {
        let clock = Clock::default();
        let mesh = Mesh::new(clock.clone(), Seal::new(crate::new_id(0).as_bytes()), Balance::default());
        let shared = Arc::new(Shared { clock, peers: RwLock::default(), mesh, bus: Bus::default() });
        let (services, links, stop) = (BTreeMap::new(), Links::default(), watch::Sender::new(false));
        Self { services, all: Vec::new(), shared, links, member: None, stop }
    }
}

impl Ring {
    /// Opens the stores below `data` and starts those of `all` that are to run, each on a thread of its own.
    ///
    /// # Errors
    /// In words: a thread cannot be had, a store cannot be opened, a migration fails.
    pub async fn start(
        config: &Config,
        data: &Path,
        all: Vec<Service>,
        run: Run<'_>,
    ) -> Result<Self, String> {
        let mut ring = Self::open(config, data, all, run, Clock::default(), true).await?;
        ring.services.values_mut().for_each(|running| running.work(&ring.stop.subscribe()));
        if let Run::Apart(_) = run {
            let process = Caller::service("process");
            let claims = serde_json::to_vec(&Some(process)).map_err(|e| e.to_string())?;
            let member = ring.member.insert(Member { holder: config.registry.clone(), claims });
            let (member, shared, mut stop) = (member.clone(), ring.shared.clone(), ring.stop.subscribe());
            tokio::spawn(async move {
                tokio::select! { _ = stop.wait_for(|&stop| stop) => {}, () = member.watch(&shared.mesh) => {} }
            });
        }
        Ok(ring)
    }

    /// Opens everything and starts nothing by itself; on the caller's threads without `threads`.
    pub(crate) async fn open(
        config: &Config,
        data: &Path,
        all: Vec<Service>,
        run: Run<'_>,
        clock: Clock,
        threads: bool,
    ) -> Result<Self, String> {
        let mesh = Mesh::new(clock.clone(), config.seal(data)?, config.balance);
        let topic = |s: &Service| Topic { service: s.id, kinds: s.reactions.kinds().collect() };
        let bus = config.bus.as_ref().map_or_else(Bus::default, |url| {
            Bus::Rabbit(Rabbit::new(url.reveal().to_owned(), all.iter().map(topic).collect()))
        });
        let shared = Arc::new(Shared { clock, peers: RwLock::default(), mesh, bus });
        let runs = |service: &&Service| match run {
            Run::All => true,
            Run::Apart(names) => names.iter().any(|name| name == service.id),
            Run::None => false,
        };
        let services: Vec<Service> = all.iter().filter(runs).cloned().collect();
        let mut opened = JoinSet::new();
        for service in services {
            let threads = if threads { Threads::start(service.id, (1, 2))? } else { Threads::default() };
            let handle = threads.handle();
            let (config, data, shared) = (config.clone(), data.to_owned(), shared.clone());
            opened.spawn(async move {
                let id = service.id;
                let opened = handle.spawn(open_one(config, data, service, shared)).await;
                let opened = opened.map_err(|e| e.to_string()).flatten();
                let cx = opened.map_err(|e| format!("service {id}: {e}"))?;
                let peer = Peer { router: router(&cx), runtime: handle };
                let inbox = Arc::new(cx.clone());
                Ok::<_, String>(Running { cx, peer, inbox, _threads: threads })
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
        let (links, stop) = (Links::default(), watch::Sender::new(false));
        let ring = Self { services, all, shared, links, member: None, stop };
        ring.introduce();
        Ok(ring)
    }

    /// Tells each service of the others, before any of them works.
    fn introduce(&self) {
        for (id, running) in &self.services {
            if let Ok(mut peers) = self.shared.peers.write() {
                peers.insert(id, running.peer.clone());
            }
            self.shared.bus.join(running.cx.service().reactions.kinds(), &running.inbox);
        }
    }

    /// Has something that is no service of the chassis answer under a name of its own here: the streaming core.
    pub fn join<A>(
        &self,
        id: &'static str,
        answer: impl Fn(Request<Body>) -> A + Clone + Send + Sync + 'static,
    ) where
        A: Future<Output = Response<Body>> + Send + 'static,
    {
        let peer = Peer { router: Router::new().fallback(answer), runtime: Handle::current() };
        let _ = self.shared.peers.write().map(|mut peers| peers.insert(id, peer));
    }

    /// Where this process is known, if it is one of several.
    pub fn member(&self) -> Option<&Member> {
        self.member.as_ref()
    }

    /// Answers a request to a service that runs here. Its path begins with `/v1/`, or is one that every service has.
    ///
    /// # Errors
    /// When there is no such service, or its threads are gone.
    pub async fn answer(&self, service: &str, request: Request<Body>) -> Result<Response<Body>, Problem> {
        let running = self.services.get(service);
        let running = running.ok_or_else(|| Problem::not_found("no service of this name runs here"))?;
        running.peer.answer(request).await
    }

    /// The same wherever it runs, through a breaker that opens when there is no answer. What has no body and changes nothing
    /// is tried twice.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn ask(&self, service: &str, request: Request<Body>) -> Result<Response<Body>, Problem> {
        let (head, body) = request.into_parts();
        let repeatable = body.is_end_stream() && matches!(head.method, Method::GET | Method::HEAD);
        let (body, tried) = (Mutex::new(body), Mutex::default());
        let once = async |_| {
            let body = body.lock().map(|mut body| std::mem::take(&mut *body)).unwrap_or_default();
            self.shared.ask(service, Request::from_parts(head.clone(), body), &tried).await
        };
        let tries = if repeatable { 2 } else { 1 };
        let answer = self.links.to(service).ask(&self.shared.clock, tries, once, went).await;
        told(service, answer)
    }

    /// Who asks, if another process of the ring says so, and takes off what the request says of it; `None` when it says
    /// nothing, `Some(None)` when nobody has shown who asks.
    ///
    /// # Errors
    /// When what it says was not sealed for `service` by this ring.
    pub fn sealed(&self, service: &str, headers: &mut HeaderMap) -> Result<Option<Option<Caller>>, Problem> {
        let refused = || Problem::unauthorized("x-nexus-caller was not written by a process of this ring");
        let claims = self.shared.mesh.unseal(service, headers).map_err(|()| refused())?;
        claims.map(|claims| serde_json::from_slice(&claims).map_err(|_| refused())).transpose()
    }

    /// Whether this service runs here, or may run in another process.
    pub fn has(&self, service: &str) -> bool {
        self.all.iter().any(|s| s.id == service) || self.mesh().knows(service)
    }

    /// The services that run here.
    pub fn here(&self) -> impl Iterator<Item = &'static str> {
        self.services.keys().copied()
    }

    /// The other processes.
    pub fn mesh(&self) -> &Mesh {
        &self.shared.mesh
    }

    /// The state of each way that this process knows of: from where, to where, `up`, `degraded` or `down`.
    pub fn circuits(&self) -> Vec<(String, String, String)> {
        let mut all = Vec::new();
        let mut add = |from: &str, states: BTreeMap<String, &'static str>| {
            all.extend(states.into_iter().map(|(to, state)| (from.to_owned(), to, state.to_owned())));
        };
        add(HOLDER, self.links.states(&self.shared.clock));
        self.services.iter().for_each(|(id, running)| add(id, running.cx.circuits()));
        for listed in self.shared.mesh.list().0 {
            let from = listed.instance.service;
            all.extend(listed.instance.circuits.into_iter().map(|(to, state)| (from.clone(), to, state)));
        }
        all
    }

    /// The OpenAPI documents of all services in one.
    pub fn openapi(&self) -> Value {
        let (mut paths, mut schemas) = (Map::new(), Map::new());
        for service in &self.all {
            let id = service.id;
            let mut document = service.api.document(id, &format!("/api/{id}"));
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
            let places = &running.cx.inner().places;
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
    db.migrate(&[("chassis", &OWN), (id, &service.migrations)]).await.map_err(|e| e.to_string())?;
    let listed = nx_catalog::find(id).into_iter().flat_map(|entry| entry.needs.keys().cloned());
    let needs = listed.chain(service.needs.iter().map(|&n| n.to_owned())).collect();
    Ok(Ctx::new(service, needs, db, shared))
}

impl Running {
    /// Starts what the service does by itself.
    fn work(&mut self, stop: &watch::Receiver<bool>) {
        let spawn = |work: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
            let mut stop = stop.clone();
            self.peer.runtime.spawn(async move {
                tokio::select! { biased; _ = stop.wait_for(|&stop| stop) => {}, () = work => {} }
            });
        };
        spawn(Box::pin(relays(self.cx.clone())));
        spawn(Box::pin(fetches(self.cx.clone())));
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

async fn fetches(cx: Ctx) {
    loop {
        if let Err(error) = cx.shared().bus.fetch(cx.service().id, &cx).await {
            failed(&cx, error).await;
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
