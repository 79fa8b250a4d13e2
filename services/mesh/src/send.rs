//! Requests to services of other processes, over HTTP/1.1 on connections that are kept; one that asks for a WebSocket has its
//! connection to itself from then on (RFC 6455 §4).

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Notify;

use crate::balance::{Balance, Choice};
use crate::clock::Clock;
use crate::registry::{Instance, Listed, Registry, RegistryError};
use crate::seal::Seal;
use crate::vault::Vault;

/// Who asks, sealed. What bears it from outside is taken off or refused.
pub const CALLER: HeaderName = HeaderName::from_static("x-nexus-caller");
/// Time for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// Connections to an instance that are kept while nobody uses them, and for how long.
const IDLE_MAX: usize = 256;
const IDLE_TIME: Duration = Duration::from_secs(30);
/// Headers that are for one connection (RFC 9110 §7.6.1).
const HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// No instance may be asked.
    #[error("no instance of {0} is known that can work")]
    Nobody(String),
    /// The one that was asked did not answer.
    #[error("{instance} at {address} did not answer: {why}")]
    Silent {
        /// Its id.
        instance: String,
        /// Where it should be.
        address: String,
        /// What happened.
        why: String,
    },
    /// The request cannot be sent at all.
    #[error("the request cannot be sent: {0}")]
    Request(String),
}

/// What we know of an instance by asking it.
#[derive(Debug, Default)]
struct Seen {
    running: u32,
    failed: bool,
}

/// The other processes of the ring.
#[derive(Debug)]
pub struct Mesh {
    clock: Clock,
    seal: Seal,
    balance: Balance,
    registry: RwLock<Registry>,
    news: Notify,
    seen: Arc<Mutex<HashMap<String, Seen>>>,
    pub(crate) client: Client<HttpConnector, Body>,
    turn: AtomicUsize,
}

impl Mesh {
    /// What only the services of this name can read, in whichever process of the ring.
    #[must_use]
    pub fn vault(&self, service: &str) -> Vault {
        Vault::new(&self.seal, service)
    }

    /// Nobody is known yet.
    #[must_use]
    pub fn new(clock: Clock, seal: Seal, balance: Balance) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_MAX));
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_max_idle_per_host(IDLE_MAX).pool_idle_timeout(IDLE_TIME).pool_timer(TokioTimer::new());
        Self {
            clock,
            seal,
            balance,
            registry: RwLock::default(),
            news: Notify::new(),
            seen: Arc::default(),
            client: client.build(connector),
            turn: AtomicUsize::new(0),
        }
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether an instance of this service is known.
    pub fn knows(&self, service: &str) -> bool {
        self.registry.read().is_ok_and(|r| r.list().any(|l| l.instance.service == service))
    }

    /// Every instance that is known, and the index of the table.
    pub fn list(&self) -> (Vec<Listed>, u64) {
        let Ok(mut registry) = self.registry.write() else { return (Vec::new(), 0) };
        registry.expire(self.clock.mono_ms());
        (registry.list().cloned().collect(), registry.index())
    }

    /// The same once the index is another than `index`, or after `limit`.
    pub async fn watch(&self, index: u64, limit: Duration) -> (Vec<Listed>, u64) {
        let end = self.clock.sleep(limit);
        tokio::pin!(end);
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            let list = self.list();
            if list.1 != index {
                return list;
            }
            // Who falls silent rings no bell.
            let next = self.registry.read().ok().and_then(|r| r.next_ms());
            let wait_ms = next.map_or(i64::MAX, |at| (at - self.clock.mono_ms()).max(1)).min(60_000);
            tokio::select! {
                () = news => {}
                () = self.clock.sleep(Duration::from_millis(wait_ms.unsigned_abs())) => {}
                () = &mut end => return self.list(),
            }
        }
    }

    /// An instance says that it is there.
    ///
    /// # Errors
    /// When it is not taken.
    pub fn beat(&self, instance: Instance) -> Result<(), RegistryError> {
        if let Ok(mut seen) = self.seen.lock()
            && let Some(seen) = seen.get_mut(&instance.id)
        {
            seen.failed = false;
        }
        let Ok(mut registry) = self.registry.write() else { return Ok(()) };
        let before = registry.index();
        registry.beat(instance, self.clock.mono_ms())?;
        if registry.index() != before {
            self.tidy(&registry);
            self.news.notify_waiters();
        }
        Ok(())
    }

    /// Forgets what was seen of those who are gone.
    fn tidy(&self, registry: &Registry) {
        if let Ok(mut seen) = self.seen.lock() {
            seen.retain(|id, seen| seen.running > 0 || registry.list().any(|l| l.instance.id == *id));
        }
    }

    /// An instance goes; whether it was there.
    pub fn leave(&self, id: &str) -> bool {
        let was = self.registry.write().is_ok_and(|mut registry| registry.leave(id));
        self.news.notify_waiters();
        was
    }

    /// Takes over the table of the process that holds it.
    pub fn replace(&self, all: Vec<Listed>) {
        let Ok(mut registry) = self.registry.write() else { return };
        registry.replace(all);
        self.tidy(&registry);
        // Who is out will be asked by nobody; who is not is worth another try.
        if let Ok(mut seen) = self.seen.lock() {
            seen.values_mut().for_each(|seen| seen.failed = false);
        }
    }

    /// Seals who asks.
    #[must_use]
    pub fn seal(&self, service: &str, claims: &[u8]) -> String {
        self.seal.seal(service, claims, self.clock.now_ms())
    }

    /// Takes off what a request says of who asks: nothing, or what another process of the ring has sealed for `service`.
    ///
    /// # Errors
    /// When it was not sealed for us, or not now.
    #[expect(clippy::result_unit_err, reason = "there is nothing to say of a forgery")]
    pub fn unseal(&self, service: &str, headers: &mut HeaderMap) -> Result<Option<Vec<u8>>, ()> {
        let Some(sealed) = headers.remove(CALLER) else { return Ok(None) };
        let sealed = sealed.to_str().map_err(drop)?;
        self.seal.open(service, sealed, self.clock.now_ms()).map(Some).ok_or(())
    }

    /// Sends a request to an instance of `service` that is not in `tried`, and notes it there. `claims` say who asks, `who`
    /// is the same text for all requests that shall go to one instance.
    ///
    /// # Errors
    /// When nobody could be asked, or who was did not answer.
    pub async fn send(
        &self,
        service: &str,
        claims: &[u8],
        who: &str,
        tried: &Mutex<Vec<String>>,
        request: Request<Body>,
    ) -> Result<Response<Body>, SendError> {
        let chosen = self.choose(service, who, tried);
        let (instance, address) = chosen.ok_or_else(|| SendError::Nobody(service.to_owned()))?;
        let request = self.addressed((service, &address), claims, request)?;
        let upgrades = request.headers().contains_key(header::UPGRADE);
        let busy = Busy::new(&self.seen, &instance);
        match self.client.request(request).await {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS && !upgrades => {
                busy.failed();
                Err(SendError::Silent { instance, address, why: "it went over to another protocol".into() })
            }
            Ok(response) => {
                let mut response = response.map(Body::new);
                HOP.iter().for_each(|name| drop(response.headers_mut().remove(name)));
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    upgrade(response.headers_mut());
                }
                Ok(response)
            }
            Err(error) => {
                let cause = std::error::Error::source(&error);
                // Who asked broke off: no fault of the instance.
                if cause.and_then(|e| e.downcast_ref::<hyper::Error>()).is_some_and(hyper::Error::is_user) {
                    return Err(SendError::Request("its body did not come whole".into()));
                }
                busy.failed();
                let why = cause.map_or_else(|| error.to_string(), ToString::to_string);
                Err(SendError::Silent { instance, address, why })
            }
        }
    }

    /// Id and address of the instance to ask.
    fn choose(&self, service: &str, who: &str, tried: &Mutex<Vec<String>>) -> Option<(String, String)> {
        let mut registry = self.registry.write().ok()?;
        registry.expire(self.clock.mono_ms());
        let mut open = registry.passing(service);
        let mut tried = tried.lock().ok()?;
        if open.iter().any(|i| !tried.contains(&i.id)) {
            open.retain(|i| !tried.contains(&i.id));
        }
        let seen = self.seen.lock().ok()?;
        let mut choices = Vec::with_capacity(open.len());
        for Instance { id, running, .. } in &open {
            let (ours, failed) = seen.get(id).map_or((0, false), |s| (s.running, s.failed));
            choices.push(Choice { id, load: ours.saturating_add(*running), failed });
        }
        let chosen = self.balance.choose(&choices, self.turn.fetch_add(1, Ordering::Relaxed), who)?;
        let Instance { id, address, .. } = open.get(chosen)?;
        tried.push(id.clone());
        Some((id.clone(), address.clone()))
    }

    /// The request as it goes to an instance.
    fn addressed(
        &self,
        (service, address): (&str, &str),
        claims: &[u8],
        mut request: Request<Body>,
    ) -> Result<Request<Body>, SendError> {
        let wrong = |e: http::Error| SendError::Request(e.to_string());
        let path = request.uri().path_and_query().map_or("/", |p| p.as_str()).to_owned();
        let uri = Uri::builder().scheme("http").authority(address).path_and_query(path);
        *request.uri_mut() = uri.build().map_err(wrong)?;
        *request.version_mut() = http::Version::HTTP_11;
        let upgrades = asks_for_websocket(&request);
        HOP.iter()
            .chain([&header::HOST, &header::EXPECT])
            .for_each(|name| drop(request.headers_mut().remove(name)));
        let sealed = HeaderValue::from_str(&self.seal(service, claims));
        request.headers_mut().insert(CALLER, sealed.map_err(|e| wrong(e.into()))?);
        if upgrades {
            upgrade(request.headers_mut());
        }
        Ok(request)
    }
}

/// Whether a request wants its connection to be a WebSocket; no other protocol is let through.
fn asks_for_websocket(request: &Request<Body>) -> bool {
    let all = |name, word: &str| {
        let texts = request.headers().get_all(name).into_iter().filter_map(|v| v.to_str().ok());
        texts
            .flat_map(|text| text.split(','))
            .map(|w| w.trim().eq_ignore_ascii_case(word))
            .collect::<Vec<_>>()
    };
    request.method() == Method::GET
        && all(header::UPGRADE, "websocket") == [true]
        && all(header::CONNECTION, "upgrade").contains(&true)
}

fn upgrade(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// A request that an instance has of ours.
struct Busy {
    seen: Arc<Mutex<HashMap<String, Seen>>>,
    id: String,
}

impl Busy {
    fn new(seen: &Arc<Mutex<HashMap<String, Seen>>>, id: &str) -> Self {
        let busy = Self { seen: seen.clone(), id: id.to_owned() };
        busy.note(|seen| seen.running += 1);
        busy
    }

    fn failed(&self) {
        self.note(|seen| seen.failed = true);
    }

    fn note(&self, change: impl Fn(&mut Seen)) {
        if let Ok(mut seen) = self.seen.lock() {
            change(seen.entry(self.id.clone()).or_default());
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.note(|seen| seen.running = seen.running.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests;
