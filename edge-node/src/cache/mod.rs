//! The stored plane: what viewers ask for that is not in a live window, fetched once and kept.
//!
//! A request is routed to an [`Upstream`], which with path and query is the name of what is wanted ([`Key`]). What is
//! there and fresh is served from memory; else the first who asks starts a fetch (`fetch.rs`), which goes on by itself,
//! and all who ask meanwhile read along ([`Fill`]). Origins never see a viewer's cookies, credentials or address, so
//! what is kept is what a stranger gets.

mod answer;
mod config;
mod disk;
mod fetch;
mod figures;
mod purge;
mod ram;
mod upstream;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use nx_access::Gate;
use nx_cache::{Bounds, Budget, Coding, Failure, Fill, Key, Object, Reader, Standing, Terms};
use nx_cdn_config::Network;
use nx_delivery::{Problem, Request, Response, wall_ms};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

pub(crate) use config::validate;
pub use config::{CacheConfig, Prefetch, Secret, UpstreamConfig};
use disk::Disk;
use fetch::Fetch;
use figures::Counters;
pub(crate) use purge::{Order, admit, body, json};
use ram::Ram;
pub(crate) use upstream::{Rules, Upstream, client};

/// What is held of an object that is passed on, bytes.
const WINDOW: u64 = 1 << 20;
/// Fetches ahead of viewers at a time.
const AHEAD_MAX: usize = 16;
/// Names that are known to be for one asker each.
const ALONE_MAX: usize = 4096;
/// How long that is believed, milliseconds.
const ALONE_MS: i64 = 10_000;
/// Which nodes a request has come through (RFC 8586).
const CDN_LOOP: &str = "cdn-loop";

/// See the module.
pub(crate) struct Cache {
    upstreams: RwLock<Arc<Vec<Arc<Upstream>>>>,
    client: reqwest::Client,
    terms: Terms,
    bounds: Bounds,
    budget: Arc<Budget>,
    ram: Ram,
    disk: Option<Arc<Disk>>,
    /// What is being fetched and may be read by others. Locked for what must not come between two fetches of one name.
    fills: Mutex<HashMap<Key, Arc<Fill>>>,
    /// When it was learnt that an object is not for sharing.
    alone: quick_cache::sync::Cache<Key, i64>,
    fetches: Arc<Semaphore>,
    /// Fetches for one viewer each, which last as long as he reads.
    passing: Arc<Semaphore>,
    ahead: Arc<Semaphore>,
    counters: Counters,
    purge_key: Option<Secret>,
    /// What nodes of ours are shown.
    node_token: Option<HeaderValue>,
    /// This node in [`CDN_LOOP`].
    node: String,
}

/// What a request is about.
struct Wanted {
    upstream: Arc<Upstream>,
    key: Key,
    /// Nodes that the request has come through.
    loops: Option<String>,
}

impl Cache {
    /// A cache of these upstreams. Health checks end when `stop` turns true.
    ///
    /// # Errors
    /// In words, with what to do.
    pub(crate) fn open(
        config: &CacheConfig,
        upstreams: &[UpstreamConfig],
        (gate, node_token): (&Arc<Gate>, Option<&HeaderValue>),
        stop: &watch::Receiver<bool>,
    ) -> Result<Arc<Self>, String> {
        let ms = |s: u64| i64::try_from(s.saturating_mul(1000)).unwrap_or(i64::MAX);
        let client = client()?;
        let places = |n: usize| Arc::new(Semaphore::new(n.min(Semaphore::MAX_PERMITS)));
        let upstreams = Upstream::all(upstreams, (gate, node_token));
        let checks = upstreams.iter().filter_map(|u| u.clone().watch(client.clone(), stop.clone()));
        checks.for_each(|check| drop(tokio::spawn(check)));
        let cache = Self {
            upstreams: RwLock::new(Arc::new(upstreams)),
            terms: Terms {
                error_ms_max: ms(config.error_s_max),
                rescue_ms: ms(config.stale_if_error_s),
                ..Terms::default()
            },
            bounds: Bounds { kept_max: config.object_bytes_max, window: WINDOW },
            budget: Arc::new(Budget::new(config.ram_bytes_max)),
            ram: Ram::new(config.ram_bytes_max, config.object_bytes_max)?,
            disk: config.disk.as_ref().map(|f| Disk::open(f, config.disk_bytes_max)).transpose()?,
            fills: Mutex::default(),
            alone: quick_cache::sync::Cache::new(ALONE_MAX),
            fetches: places(config.fetches_max),
            passing: places(config.fetches_max),
            ahead: places(AHEAD_MAX),
            counters: Counters::default(),
            purge_key: config.purge_key.clone(),
            node_token: node_token.cloned(),
            node: format!("nexus-{}", nx_delivery::random_id()),
            client,
        };
        Ok(Arc::new(cache))
    }

    /// From now on requests take the routes of this network; those that run go on as they began.
    pub(crate) fn take(&self, network: &Network, gate: &Arc<Gate>) {
        // Keys are read: nobody shall wait for that.
        let upstreams = Upstream::of_network(network, &self.upstreams(), (gate, self.node_token.as_ref()));
        *self.upstreams.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(upstreams);
    }

    /// Reads the keys of tokens again that have changed.
    pub(crate) fn refresh_keys(&self) {
        let upstreams = self.upstreams();
        let gates = upstreams.iter().filter_map(|upstream| upstream.rules.token.as_ref());
        gates.for_each(|gate| nx_delivery::refresh_keys(gate));
    }

    fn upstreams(&self) -> Arc<Vec<Arc<Upstream>>> {
        self.upstreams.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the disk tier knows what it has; before, nothing can be purged.
    pub(crate) fn is_ready(&self) -> bool {
        self.disk.as_ref().is_none_or(|disk| disk.is_ready())
    }

    /// Bounds of an object of an upstream.
    fn bounds(&self, upstream: &Upstream) -> Bounds {
        let kept_max = upstream.kept_max().unwrap_or(u64::MAX).min(self.bounds.kept_max);
        Bounds { kept_max, ..self.bounds }
    }

    /// Where what is asked for comes from.
    pub(crate) fn route(&self, request: &Request) -> Option<Arc<Upstream>> {
        let (host, path) = (host(request), request.uri().path());
        self.upstreams().iter().find(|upstream| upstream.takes(&host, path)).cloned()
    }

    /// Whether it needs no look at live streams that are not here: its upstream is for these paths or hosts in
    /// particular, or it is there and fresh.
    pub(crate) fn has(&self, upstream: &Upstream, request: &Request) -> bool {
        !upstream.is_behind_live()
            || self.ram.find(&key(upstream, request)).is_some_and(|object| is_fresh(&object))
    }

    fn wanted(&self, upstream: &Arc<Upstream>, request: &Request) -> Result<Wanted, Problem> {
        if !nx_cache::is_plain(request.uri().path()) {
            let detail = "the path holds . or .. or what hides them; write where it leads";
            return Err(Problem::bad_request(detail));
        }
        let nodes = request.headers().get_all(CDN_LOOP).iter().filter_map(|v| v.to_str().ok());
        let nodes: Vec<&str> = nodes.collect();
        let loops = (!nodes.is_empty()).then(|| nodes.join(", "));
        if loops.as_ref().is_some_and(|nodes| nodes.split(',').any(|node| node.trim() == self.node)) {
            let detail = "an upstream of this edge leads back to it; look at where its routes lead";
            return Err(Problem::new(StatusCode::LOOP_DETECTED, "loop", "Loop", detail));
        }
        Ok(Wanted { upstream: upstream.clone(), key: key(upstream, request), loops })
    }

    /// Answers a GET or HEAD for what an upstream has.
    ///
    /// # Errors
    /// A [`Problem`] for the client.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        upstream: &Arc<Upstream>,
        request: Request,
    ) -> Result<Response, Problem> {
        let wanted = self.wanted(upstream, &request)?;
        let answer = self.find(&wanted, &request).await;
        match &answer {
            Ok(response) => self.look_ahead(&wanted, &request, response.status()),
            Err(_) => self.counters.failed.add(1),
        }
        answer
    }

    async fn find(self: &Arc<Self>, wanted: &Wanted, request: &Request) -> Result<Response, Problem> {
        let now = wall_ms();
        let held = self.ram.find(&wanted.key);
        if let Some(object) = &held {
            let standing = object.head.life.standing(now);
            if standing == Standing::Spare {
                self.start(wanted, None);
            }
            if standing != Standing::Stale {
                self.counters.hits.add(1);
                return Ok(self.whole(object, request, &answer::hit(&object.head.life, now)));
            }
        }
        if self.alone.get(&wanted.key).is_some_and(|since| now.saturating_sub(since) < ALONE_MS) {
            return self.alone(wanted, request).await;
        }
        let (mut reader, joined) = match self.join(wanted) {
            Ok(joined) => joined,
            Err(busy) => {
                let spare = held.filter(|object| object.head.life.may_rescue(now)).ok_or(busy)?;
                return Ok(self.whole(&spare, request, &answer::hit(&spare.head.life, now)));
            }
        };
        let head = match answer::head(&mut reader).await {
            Ok(head) if !(reader.passes() && request.headers().contains_key(header::RANGE)) => head,
            Err(failure) if failure != Failure::Alone => return Err(problem(&failure)),
            // It is for one alone, or larger than is kept: then a part of it is asked for as such.
            _ => {
                drop(reader);
                return self.alone(wanted, request).await;
            }
        };
        let counter = if joined { &self.counters.coalesced } else { &self.counters.misses };
        counter.add(1);
        self.flowing(reader, &head, joined, request).await
    }

    /// Fetches for one asker.
    async fn alone(self: &Arc<Self>, wanted: &Wanted, request: &Request) -> Result<Response, Problem> {
        self.counters.passed.add(1);
        let permit = permit(&self.passing)?;
        let fill = Fill::new(self.bounds(&wanted.upstream), self.budget.clone());
        let mut reader = fill.join().ok_or_else(|| problem(&Failure::Busy))?;
        self.spawn(wanted, fill, None, permit, Some(request.headers()));
        let head = answer::head(&mut reader).await.map_err(|failure| problem(&failure))?;
        Ok(self.passing(reader, &head))
    }

    /// A reader of the fetch of an object, and whether that was there already.
    fn join(self: &Arc<Self>, wanted: &Wanted) -> Result<(Reader, bool), Problem> {
        let mut fills = self.fills();
        if let Some(reader) = fills.get(&wanted.key).and_then(Fill::join) {
            return Ok((reader, true));
        }
        let fill = Fill::new(self.bounds(&wanted.upstream), self.budget.clone());
        let reader = fill.join().ok_or_else(|| problem(&Failure::Busy))?;
        let old = self.ram.find(&wanted.key);
        // It may have come between the look and the lock.
        if let Some(object) = old.as_ref().filter(|object| is_fresh(object)) {
            fill.complete_with(object);
            return Ok((reader, true));
        }
        let permit = permit(&self.fetches)?;
        fills.insert(wanted.key.clone(), fill.clone());
        self.spawn(wanted, fill, old, permit, None);
        Ok((reader, false))
    }

    /// Starts to fetch what nobody waits for, if it is not being fetched and there is room. `ahead`: the place of what
    /// is fetched although nobody has asked for it.
    fn start(self: &Arc<Self>, wanted: &Wanted, ahead: Option<OwnedSemaphorePermit>) {
        let Ok(permit) = permit(&self.fetches) else { return };
        let mut fills = self.fills();
        let old = self.ram.find(&wanted.key);
        if fills.contains_key(&wanted.key) || old.as_ref().is_some_and(|object| is_fresh(object)) {
            return;
        }
        let fill = Fill::new(self.bounds(&wanted.upstream), self.budget.clone());
        fills.insert(wanted.key.clone(), fill.clone());
        let fetch = self.spawn(wanted, fill, old, permit, None);
        drop(fills);
        if ahead.is_some() {
            self.counters.ahead.add(1);
            tokio::spawn(async move {
                let _ahead = ahead;
                let _ = fetch.await;
            });
        }
    }

    fn spawn(
        self: &Arc<Self>,
        wanted: &Wanted,
        fill: Arc<Fill>,
        old: Option<Arc<Object>>,
        permit: OwnedSemaphorePermit,
        asker: Option<&HeaderMap>,
    ) -> tokio::task::JoinHandle<()> {
        let fetch = Fetch {
            cache: self.clone(),
            upstream: wanted.upstream.clone(),
            key: wanted.key.clone(),
            headers: fetch::headers(wanted.key.coding(), &self.loops(wanted), asker),
            shared: asker.is_none(),
            fill,
            old,
        };
        tokio::spawn(async move {
            let _permit = permit;
            fetch.run().await;
        })
    }

    /// Fetches what the player is going to ask for, as far as there is room to spare.
    fn look_ahead(self: &Arc<Self>, wanted: &Wanted, request: &Request, status: StatusCode) {
        let (uri, prefetch) = (request.uri(), wanted.upstream.prefetch);
        if prefetch == Prefetch::Off || !status.is_success() {
            return;
        }
        let announced = nx_delivery::next_object(uri.query().unwrap_or_default(), request.headers());
        let target = match announced {
            Some(name) => nx_cache::relative(uri.path(), &name),
            None if prefetch == Prefetch::Number => nx_cache::by_number(uri.path()),
            None => None,
        };
        let Some(target) = target else { return };
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        if !wanted.upstream.takes(&host(request), path) || self.fetches.available_permits() < AHEAD_MAX {
            return;
        }
        let key = Key::new(
            &wanted.upstream.name,
            Coding::of(path, None),
            &wanted.upstream.query.target(path, query),
        );
        let known = self.ram.find(&key).is_some() || self.alone.get(&key).is_some();
        if !known && let Ok(place) = self.ahead.clone().try_acquire_owned() {
            let (upstream, loops) = (wanted.upstream.clone(), wanted.loops.clone());
            self.start(&Wanted { upstream, key, loops }, Some(place));
        }
    }

    /// For the next node: whom the request has come through, and us.
    fn loops(&self, wanted: &Wanted) -> String {
        wanted.loops.as_ref().map_or_else(|| self.node.clone(), |nodes| format!("{nodes}, {}", self.node))
    }

    fn fills(&self) -> MutexGuard<'_, HashMap<Key, Arc<Fill>>> {
        self.fills.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it can work, and what is known of origins and disk.
    pub(crate) fn health(&self) -> serde_json::Value {
        let upstreams: Vec<_> = self
            .upstreams()
            .iter()
            .map(|u| serde_json::json!({"name": u.name, "origins": u.origins(), "up": u.up()}))
            .collect();
        let disk = self.disk.as_ref().map(|d| if d.is_up() { "ok" } else { "failed" });
        serde_json::json!({"upstreams": upstreams, "disk": disk})
    }
}

fn is_fresh(object: &Object) -> bool {
    object.head.life.standing(wall_ms()) == Standing::Fresh
}

fn permit(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
    places.clone().try_acquire_owned().map_err(|_| problem(&Failure::Busy))
}

/// The name of what is asked for.
fn key(upstream: &Upstream, request: &Request) -> Key {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let accept = request.headers().get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok());
    Key::new(&upstream.name, Coding::of(path, accept), &upstream.query.target(path, query))
}

/// The name under which a viewer came, without its port, in lower case.
fn host(request: &Request) -> String {
    let named = request.headers().get(header::HOST).and_then(|h| h.to_str().ok());
    let authority = request.uri().authority().map(http::uri::Authority::as_str).or(named).unwrap_or_default();
    let host = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    host.map_or(authority, |(host, _)| host).to_ascii_lowercase()
}

/// What a client is told of a failure. Why it failed is in the log: origins are nobody's business.
fn problem(failure: &Failure) -> Problem {
    let new = |status, slug, title, detail: &str| Problem::new(status, slug, title, detail).retry_after(1);
    match failure {
        Failure::Busy | Failure::Alone | Failure::Slow => new(
            StatusCode::SERVICE_UNAVAILABLE,
            "cache-busy",
            "Too much at a time",
            "too much is being fetched from origins; ask again shortly",
        ),
        Failure::Late(_) => new(
            StatusCode::GATEWAY_TIMEOUT,
            "origin-late",
            "Origin too slow",
            "the origin did not answer in time; ask again shortly",
        ),
        Failure::Down(_) | Failure::Bad(_) => new(
            StatusCode::BAD_GATEWAY,
            "origin-failed",
            "Origin failed",
            "no origin gave a usable answer; ask again shortly",
        ),
    }
}

#[cfg(test)]
mod tests;
