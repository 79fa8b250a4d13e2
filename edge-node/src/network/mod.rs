//! The description of the network in force at this node.
//!
//! ```text
//! file, SIGHUP ──┐
//! PUT …/network ─┼─► checked ─► a version on disk ─► Control::apply ─► routes, rules, steering, origins of streams
//! roll-back ─────┘                                                     (each swapped whole: who is served goes on)
//! other edges ◄──► heartbeats, purges
//! ```
//!
//! | what | where |
//! | --- | --- |
//! | what is said to whoever controls the node | `api` |
//! | the file, and when it is read | `watch` |
//! | what the edges tell each other | `peers`, `purge`, `log` |
//! | what players are told | `steering` |
//! | what is sent, counted; who watches by a token | `meter`, `seats` |

mod api;
mod config;
mod log;
mod meter;
mod peers;
mod purge;
mod seats;
mod steering;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use http::StatusCode;
use nx_access::Gate;
use nx_cdn_config::{
    Buckets, Countries, Fault, History, HistoryError, Kind, Name, Network, Route, Seats, Tls, difference,
};
use nx_delivery::{Certs, Media, Metrics, Problem, Request};
use nx_live_plane::Edge;
use nx_media::StreamKey;

use crate::cache::{Cache, Rules, Secret};
pub use config::NetworkConfig;
use log::Log;
pub(crate) use meter::Meter;
use meter::stream_of;
use peers::Peer;
pub(crate) use watch::Opened;

/// What a network decides about at this node.
pub(crate) struct Parts {
    pub(crate) cache: Arc<Cache>,
    pub(crate) media: Arc<Media>,
    /// Fetches live streams, if this node does.
    pub(crate) plane: Option<Arc<Edge>>,
    pub(crate) certs: Arc<Certs>,
    pub(crate) gate: Arc<Gate>,
}

/// A version.
#[derive(Debug)]
struct Held {
    number: u64,
    network: Network,
}

/// See the module.
pub(crate) struct Control {
    node: Name,
    /// Live streams can be fetched, or are here.
    has_plane: bool,
    file: PathBuf,
    countries_file: Option<PathBuf>,
    key: Option<Secret>,
    parts: Parts,
    /// Locked while a version is put in force, so that they come one after the other.
    history: Mutex<History>,
    held: RwLock<Arc<Held>>,
    countries: RwLock<Arc<Countries>>,
    buckets: Mutex<Buckets>,
    seats: Mutex<Seats>,
    /// How often another edge did not tell its seats.
    seats_unheard: AtomicU64,
    peers: Mutex<HashMap<Name, Peer>>,
    log: Mutex<Log>,
    draining: AtomicBool,
    /// Who watches here, as it was found last.
    viewers: AtomicU32,
    client: reqwest::Client,
    refused: Refused,
}

/// Requests that were turned away.
#[derive(Debug, Default)]
struct Refused {
    route: AtomicU64,
    access: AtomicU64,
    limit: AtomicU64,
    seats: AtomicU64,
}

/// Why a version is not in force.
#[derive(Debug)]
enum Trouble {
    Faults(Vec<Fault>),
    History(HistoryError),
}

impl From<HistoryError> for Trouble {
    fn from(error: HistoryError) -> Self {
        Self::History(error)
    }
}

impl Control {
    /// Puts what was read in force.
    ///
    /// # Errors
    /// In words, with what to do.
    pub(crate) fn start(opened: Opened, parts: Parts) -> Result<Arc<Self>, String> {
        let Opened { config, node, has_plane, file, history, log, countries, number, network } = opened;
        let control = Self {
            node,
            has_plane,
            file,
            countries_file: config.countries,
            key: config.key,
            parts,
            history: Mutex::new(history),
            held: RwLock::new(Arc::new(Held { number, network: Network::default() })),
            countries: RwLock::new(Arc::new(countries)),
            buckets: Mutex::default(),
            seats: Mutex::default(),
            seats_unheard: AtomicU64::new(0),
            peers: Mutex::default(),
            log: Mutex::new(log),
            draining: AtomicBool::new(false),
            viewers: AtomicU32::new(0),
            client: crate::cache::client()?,
            refused: Refused::default(),
        };
        let control = Arc::new(control);
        control.apply(number, network);
        Ok(control)
    }

    fn held(&self) -> Arc<Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn countries(&self) -> Arc<Countries> {
        self.countries.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        lock(&self.buckets)
    }

    /// Keeps a network as the next version and puts it in force. Waits for the disk.
    fn enforce(&self, network: Network) -> Result<u64, Trouble> {
        self.fits(&network)?;
        let history = lock(&self.history);
        let number = history.put(&network)?;
        self.apply(number, network);
        Ok(number)
    }

    /// Puts an old version in force again. Waits for the disk.
    fn roll_back(&self, to: u64) -> Result<u64, Trouble> {
        let network = lock(&self.history).read(to)?;
        self.enforce(network)
    }

    fn fits(&self, network: &Network) -> Result<(), Trouble> {
        let faults = unfit(network, &self.node, self.has_plane);
        if faults.is_empty() { Ok(()) } else { Err(Trouble::Faults(faults)) }
    }

    /// What comes from now on follows this version; what runs goes on.
    fn apply(&self, number: u64, network: Network) {
        let Parts { cache, media, plane, certs, gate } = &self.parts;
        cache.take(&network, gate);
        media.steer(network.steering.is_some());
        certs.require_tls13(network.tls.as_ref().is_some_and(|tls| tls.min == "1.3"));
        let named = |tls: &Tls| tls.hosts.iter().map(ToString::to_string).collect();
        let hosts: Vec<String> = network.tls.as_ref().map(named).unwrap_or_default();
        for host in hosts.iter().filter(|host| !certs.has(host)) {
            tracing::warn!(host, "the network names a host that no certificate is for; see tls.more");
        }
        let before = self.held();
        let held = Arc::new(Held { number, network });
        if let Some(plane) = plane {
            let chosen = held.clone();
            let choose = Arc::new(move |key: &StreamKey| sources(&chosen.network, key));
            plane.ask(&planes(&held.network), Some(choose));
            let (gate, chosen) = (gate.clone(), held.clone());
            plane.guard(Arc::new(move |key| gate.guards(key) || all_guard(&chosen.network, key)));
        }
        let edges = &held.network.edges;
        lock(&self.peers).retain(|name, _| edges.iter().any(|edge| edge.name == *name));
        let changes = difference(&before.network, &held.network).len();
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = held;
        tracing::info!(version = number, changes, "the network is in force");
    }

    /// Whether a viewer may ask for what these rules are about; then, how its answer is counted.
    ///
    /// # Errors
    /// A [`Problem`] for the viewer.
    pub(crate) fn admit(
        &self,
        rules: &Rules,
        address: IpAddr,
        request: &Request,
    ) -> Result<Option<Meter>, Problem> {
        let address = address.to_canonical();
        if let Some(access) = &rules.access
            && access.admit(address, self.countries().of(address)).is_err()
        {
            self.refused.access.fetch_add(1, Ordering::Relaxed);
            let detail = "this cannot be watched from your address";
            return Err(Problem::new(StatusCode::FORBIDDEN, "not-from-here", "Not from here", detail));
        }
        if let Some(limit) = &rules.limit {
            let (now_ms, stream) = (nx_delivery::wall_ms(), stream_of(request.uri().path()));
            if let Err(throttled) = self.buckets().ask(limit, address, stream, now_ms) {
                self.refused.limit.fetch_add(1, Ordering::Relaxed);
                let detail = format!("{} of this network is exceeded; ask again later", throttled.key);
                let status = StatusCode::TOO_MANY_REQUESTS;
                let problem = Problem::new(status, "too-many-requests", "Too many requests", detail);
                return Err(problem.retry_after(throttled.retry_s));
            }
        }
        Ok(Meter::new(rules.limit.as_ref(), address, request))
    }

    /// What is said of a path that no route is for.
    pub(crate) fn no_route(&self) -> Problem {
        self.refused.route.fetch_add(1, Ordering::Relaxed);
        Problem::not_found("the network serves nothing at this path under this name").kept(1)
    }

    /// Whether viewers are to go elsewhere.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// For `/health`.
    pub(crate) fn health(&self) -> serde_json::Value {
        let held = self.held();
        serde_json::json!({"node": self.node, "version": held.number, "draining": self.is_draining()})
    }

    /// Adds to `/metrics`.
    pub(crate) fn metrics(&self, out: &mut Metrics) {
        let held = self.held();
        out.single("nexus_network_version", "gauge", "The version of the network in force.", held.number);
        out.single(
            "nexus_network_draining",
            "gauge",
            "1 while viewers are to go elsewhere.",
            u64::from(self.is_draining()),
        );
        out.family("nexus_network_refused_total", "counter", "Requests turned away, by what.");
        let Refused { route, access, limit, seats } = &self.refused;
        for (why, count) in [("route", route), ("access", access), ("limit", limit), ("seats", seats)] {
            out.value("nexus_network_refused_total", &[("by", why)], count.load(Ordering::Relaxed));
        }
        let taken = lock(&self.seats).count();
        out.single("nexus_network_seats", "gauge", "Devices that watch by tokens with so many seats.", taken);
        let unheard = self.seats_unheard.load(Ordering::Relaxed);
        let help = "Times that another edge of the region did not tell who watches there.";
        out.single("nexus_network_seats_unheard_total", "counter", help, unheard);
        out.family("nexus_network_edge_up", "gauge", "1 while another edge answers.");
        for edge in held.network.edges.iter().filter(|edge| edge.name != self.node) {
            let up = u64::from(self.load(&edge.name).healthy);
            out.value("nexus_network_edge_up", &[("edge", edge.name.as_str())], up);
        }
    }
}

/// Addresses of the live planes of all routes, each once.
fn planes(network: &Network) -> Vec<String> {
    let mut all = Vec::new();
    let of_routes = network.ranked().into_iter().flat_map(|route| planes_of(network, route));
    of_routes.for_each(|plane| {
        if !all.contains(&plane) {
            all.push(plane);
        }
    });
    all
}

fn planes_of(network: &Network, route: &Route) -> Vec<String> {
    network.origins_of(route).filter_map(|origin| origin.plane.clone()).collect()
}

/// Whom to ask for a live stream: those of its route, under whichever host; see [`unfit`].
fn sources(network: &Network, key: &StreamKey) -> Vec<String> {
    let path = format!("/{key}/index.m3u8");
    let routes = network.ranked().into_iter().filter(|route| route.path.takes(&path));
    routes.map(|route| planes_of(network, route)).find(|planes| !planes.is_empty()).unwrap_or_default()
}

/// Whether every route to something of a stream asks for a token.
fn all_guard(network: &Network, key: &StreamKey) -> bool {
    let folder = format!("/{key}/");
    let leads = |route: &&Route| {
        let begins = route.path.prefix().unwrap_or(route.path.as_str());
        begins.starts_with(&folder) || (route.path.prefix().is_some() && folder.starts_with(begins))
    };
    let mut routes = network.routes.iter().filter(leads).peekable();
    routes.peek().is_some() && routes.all(|route| route.token.is_some())
}

/// Why a network, good in itself, cannot be in force at this node.
fn unfit(network: &Network, node: &Name, has_plane: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !network.edges.iter().any(|edge| edge.name == *node) {
        let text = format!("no edge is called \"{node}\", as this node is");
        faults.push(Fault::new(
            Kind::Reference,
            "edge",
            text,
            "add it, or take the node out of service first",
        ));
    }
    for (nth, _) in network.origins.iter().enumerate().filter(|(_, o)| !has_plane && o.plane.is_some()) {
        let text = "this node has no certificate for the live plane";
        let remedy = "set edge.plane.ca, cert and key there";
        faults.push(Fault::new(Kind::Conflict, format!("origin[{nth}].plane"), text, remedy));
    }
    let overlap = |a: &Route, b: &Route| {
        let begins =
            |one: &Route, other: &Route| one.path.takes(other.path.prefix().unwrap_or(other.path.as_str()));
        begins(a, b) || begins(b, a)
    };
    for (nth, route) in network.routes.iter().enumerate() {
        let own = planes_of(network, route);
        let clashes = |other: &&Route| {
            let theirs = planes_of(network, other);
            other.host != route.host
                && !own.is_empty()
                && !theirs.is_empty()
                && own != theirs
                && overlap(route, other)
        };
        if let Some(other) = network.routes.iter().take(nth).find(clashes) {
            let text = format!("the same paths lead elsewhere under {}", other.title());
            let remedy = "give hosts paths of their own: live streams are known by path alone";
            faults.push(Fault::new(Kind::Conflict, format!("route[{nth}].origins"), text, remedy));
        }
    }
    faults
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
