//! What a service gets: its store, the time, the other services.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, RwLock, Weak};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, Notify, Semaphore};

use crate::mesh::{Call, Peer};
use crate::problem::Problem;
use crate::service::Service;
use crate::tx::Tx;
use nx_bus::{Bus, Publisher};
use nx_db::{Db, DbError, Open, Value};
use nx_mesh::{Clock, Links, Mesh, Traffic, Vault};

/// Requests of one service that run at the same time; further ones are told to come again.
pub(crate) const REQUESTS_MAX: u32 = 256;

/// What equal requests wait at, by caller and key.
type InFlight = HashMap<(String, String), Weak<AsyncMutex<()>>>;

/// What a service gets. Cheap to clone.
#[derive(Clone)]
pub struct Ctx(Arc<Inner>);

pub(crate) struct Inner {
    service: Service,
    needs: Vec<String>,
    db: Db,
    shared: Arc<Shared>,
    vault: Vault,
    /// Links to services that this one has called.
    links: Links,
    /// Where its events leave.
    pub(crate) publisher: Publisher,
    /// There may be events to hand on, events to hear, jobs to do.
    pub(crate) outbox: Notify,
    pub(crate) inbox: Notify,
    pub(crate) jobs: Notify,
    /// Requests that run, and those among them that bear an `Idempotency-Key`.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) in_flight: Mutex<InFlight>,
    pub(crate) traffic: Traffic,
}

/// What the services of a process share.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) peers: RwLock<HashMap<&'static str, Peer>>,
    /// Services of other processes.
    pub(crate) mesh: Mesh,
    pub(crate) bus: Bus,
}

impl Ctx {
    pub(crate) fn new(service: Service, needs: Vec<String>, db: Db, shared: Arc<Shared>) -> Self {
        let vault = shared.mesh.vault(service.id);
        Self(Arc::new(Inner {
            vault,
            service,
            needs,
            db,
            shared,
            links: Links::default(),
            publisher: Publisher::default(),
            outbox: Notify::new(),
            inbox: Notify::new(),
            jobs: Notify::new(),
            places: Arc::new(Semaphore::new(REQUESTS_MAX as usize)),
            in_flight: Mutex::default(),
            traffic: Traffic::default(),
        }))
    }

    /// What the service declares.
    pub(crate) fn service(&self) -> &Service {
        &self.0.service
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// The store, for reading; what writes is a [`Tx`].
    pub fn db(&self) -> &Db {
        &self.0.db
    }

    /// Begins a transaction, where none comes with a request or an event.
    pub fn begin(&self) -> Tx {
        Tx::new(self.clone(), None)
    }

    /// Runs one statement in a transaction of its own, and says how many rows it touched.
    ///
    /// # Errors
    /// When it fails or could not be kept.
    pub async fn run(&self, sql: &'static str, args: Vec<Value>) -> Result<u64, DbError> {
        let mut tx = self.begin();
        let touched = tx.run(sql, args).await?;
        tx.commit().await?;
        Ok(touched)
    }

    /// Whether a service of this name runs here, or in a process that we know of.
    pub fn knows(&self, service: &str) -> bool {
        self.shared().peers.read().is_ok_and(|p| p.contains_key(service)) || self.shared().mesh.knows(service)
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.0.shared.clock
    }

    /// Unix time, milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.clock().now_ms()
    }

    /// A new identifier; those made later sort behind.
    pub fn new_id(&self) -> String {
        crate::new_id(self.now_ms())
    }

    /// What encrypts fields of this service's store.
    pub fn vault(&self) -> Vault {
        self.0.vault.clone()
    }

    /// A service that this one needs, as the catalogue says.
    ///
    /// # Errors
    /// When the catalogue does not say so.
    pub fn call(&self, service: &str) -> Result<Call, Problem> {
        if !self.0.needs.iter().any(|n| n == service) {
            let id = self.0.service.id;
            return Err(Problem::internal(format!("{id} does not need {service}: say so in the catalogue")));
        }
        Ok(self.call_back(service))
    }

    /// Any service, where another has asked for it by name: not a need of this one.
    pub fn call_back(&self, service: &str) -> Call {
        let link = self.0.links.to(service);
        Call::new(self.clone(), service.to_owned(), link)
    }

    /// Each need with the state of the way there: `up`, `degraded` or `down`.
    pub(crate) fn needs(&self) -> Vec<(&str, &'static str)> {
        let links = self.circuits();
        let state = |need: &str| match links.get(need) {
            _ if !self.knows(need) => "down",
            state => state.copied().unwrap_or("up"),
        };
        self.0.needs.iter().map(|need| (need.as_str(), state(need))).collect()
    }

    /// The state of the way to each service that this one has called.
    pub(crate) fn circuits(&self) -> BTreeMap<String, &'static str> {
        self.0.links.states(self.clock())
    }

    /// There may be something to do.
    pub(crate) fn wake(&self) {
        self.0.outbox.notify_one();
        self.0.inbox.notify_one();
        self.0.jobs.notify_one();
    }

    /// Ends a transaction of a request.
    pub(crate) async fn commit(&self, open: Open) -> Result<(), DbError> {
        open.commit().await?;
        self.wake();
        Ok(())
    }

    /// Waits until `bell` rings or the time of what comes next, which `sql` finds; at most 15 seconds, since other nodes
    /// ring no bell here.
    pub(crate) async fn rest(&self, bell: &Notify, sql: &'static str) {
        const MOST_MS: i64 = 15_000;
        let next: Option<Due> = self.db().one(sql, Vec::new()).await.ok().flatten();
        let wait_ms = next.and_then(|d| d.n).map_or(MOST_MS, |due| (due - self.now_ms()).clamp(10, MOST_MS));
        tokio::select! {
            () = bell.notified() => {}
            () = self.clock().sleep(Duration::from_millis(wait_ms.unsigned_abs())) => {}
        }
    }
}

struct Due {
    n: Option<i64>,
}
crate::row!(Due { n });
