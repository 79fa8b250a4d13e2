//! A directory that fetches from other nodes what its viewers ask for.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use http::StatusCode;
use nx_delivery::{Directory, LiveStream, Metrics, Problem, Seeking};
use nx_media::StreamKey;
use quinn::Endpoint;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::Config;
use crate::endpoint::Identity;
use crate::figures::Figures;
use crate::follow::{Followed, State};
use crate::origin::Origin;

/// What a first viewer waits for a stream to be fetched.
const FETCH_MAX: Duration = Duration::from_secs(6);
/// Names that no origin knew: remembered so long, so many. The oldest goes first.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);
const UNKNOWN_MAX: usize = 1_024;

/// The addresses of the nodes that may have a stream, in the order in which they are asked.
pub type Choose = Arc<dyn Fn(&StreamKey) -> Vec<String> + Send + Sync>;

/// Whether this node asks viewers of a stream for a token.
pub type Guards = Arc<dyn Fn(&StreamKey) -> bool + Send + Sync>;

/// What the track of a node that asks viewers for a token begins with: a stream that must have that goes to no other.
pub(crate) const GUARDED: &str = "guarded-";

/// Whom an edge asks.
#[derive(Default)]
struct Sources {
    origins: Vec<Arc<Origin>>,
    /// Without it, any may have any.
    choose: Option<Choose>,
}

/// Streams of other nodes, fetched as long as somebody watches.
pub struct Edge {
    sources: RwLock<Arc<Sources>>,
    endpoint: Endpoint,
    stop: watch::Receiver<bool>,
    pub(crate) linger: Duration,
    streams_max: usize,
    guards: RwLock<Option<Guards>>,
    streams: Mutex<HashMap<StreamKey, Arc<Followed>>>,
    unknown: Mutex<VecDeque<(StreamKey, Instant)>>,
    figures: Arc<Figures>,
    /// For the tasks of its streams.
    me: Weak<Self>,
}

impl Edge {
    /// Connects to `config.origins`, and stays connected until `stop` turns true; then nobody waits any more.
    ///
    /// # Errors
    /// In words, with what to do: the files cannot be used.
    pub fn start(config: &Config, stop: &watch::Receiver<bool>) -> Result<Arc<Self>, String> {
        let endpoint = Identity::read(config)?.dial()?;
        let edge = Arc::new_cyclic(|me| Self {
            sources: RwLock::default(),
            endpoint,
            stop: stop.clone(),
            linger: Duration::from_secs(config.linger_s.into()),
            streams_max: config.streams_max,
            guards: RwLock::default(),
            streams: Mutex::default(),
            unknown: Mutex::default(),
            figures: Arc::default(),
            me: me.clone(),
        });
        edge.ask(&config.origins, None);
        let (released, mut stop) = (edge.clone(), stop.clone());
        tokio::spawn(async move {
            nx_delivery::stopped(&mut stop).await;
            released.streams().values().for_each(|followed| followed.live.release());
        });
        Ok(edge)
    }

    /// From now on these nodes are asked, `HOST:PORT`. Connections to those that stay go on; a stream that comes from one
    /// that does not goes on until it breaks off.
    pub fn ask(&self, addresses: &[String], choose: Option<Choose>) {
        let mut sources = self.sources.write().unwrap_or_else(PoisonError::into_inner);
        let known = |address: &str| sources.origins.iter().find(|o| o.address == *address).cloned();
        let origin = |address: &String| known(address).unwrap_or_else(|| self.connect(address));
        let origins: Vec<Arc<Origin>> = addresses.iter().map(origin).collect();
        let gone = |origin: &&Arc<Origin>| !addresses.contains(&origin.address);
        sources.origins.iter().filter(gone).for_each(|origin| origin.give_up());
        *sources = Arc::new(Sources { origins, choose });
    }

    /// From now on origins are told so of streams that this node asks viewers of for a token.
    pub fn guard(&self, guards: Guards) {
        *self.guards.write().unwrap_or_else(PoisonError::into_inner) = Some(guards);
    }

    /// Whether this node asks viewers of a stream for a token.
    #[must_use]
    pub fn guards(&self, key: &StreamKey) -> bool {
        let guards = self.guards.read().unwrap_or_else(PoisonError::into_inner);
        guards.as_ref().is_some_and(|guards| guards(key))
    }

    /// What this node calls its share of a stream. It is its own: nobody else begins where it does.
    pub(crate) fn track(&self, key: &StreamKey) -> String {
        format!("{}{}", if self.guards(key) { GUARDED } else { "" }, nx_delivery::random_id())
    }

    fn connect(&self, address: &str) -> Arc<Origin> {
        let origin = Arc::new(Origin::new(address));
        let (kept, endpoint) = (origin.clone(), self.endpoint.clone());
        let (figures, stop) = (self.figures.clone(), self.stop.clone());
        tokio::spawn(async move { kept.keep_up(endpoint, &figures, stop).await });
        origin
    }

    fn sources(&self) -> Arc<Sources> {
        self.sources.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whom to ask for a stream.
    pub(crate) fn origins_of(&self, key: &StreamKey) -> Vec<Arc<Origin>> {
        let sources = self.sources();
        let Some(choose) = &sources.choose else { return sources.origins.clone() };
        let named = |address: String| sources.origins.iter().find(|o| o.address == address).cloned();
        choose(key).into_iter().filter_map(named).collect()
    }

    /// What it counts.
    #[must_use]
    pub fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    /// The stream of a name, fetched from now on if it was not; `None` when there are too many.
    fn followed(&self, key: &StreamKey) -> Option<Arc<Followed>> {
        let mut streams = self.streams();
        if let Some(followed) = streams.get(key) {
            followed.touch();
            return Some(followed.clone());
        }
        if streams.len() >= self.streams_max {
            return None;
        }
        let edge = self.me.upgrade()?;
        let followed = Arc::new(Followed::new(key));
        streams.insert(key.clone(), followed.clone());
        let task = followed.clone();
        tokio::spawn(async move {
            loop {
                task.run(&edge).await;
                // Somebody may have come in the last moment: not after this.
                let mut streams = edge.streams();
                if !task.is_on() || task.is_left(edge.linger) {
                    streams.remove(task.live.key());
                    return;
                }
            }
        });
        Some(followed)
    }

    pub(crate) fn note_unknown(&self, key: &StreamKey) {
        let mut unknown = lock(&self.unknown);
        if unknown.len() >= UNKNOWN_MAX {
            unknown.pop_front();
        }
        unknown.push_back((key.clone(), Instant::now() + UNKNOWN_FOR));
    }

    fn is_unknown(&self, key: &StreamKey) -> bool {
        let (now, mut unknown) = (Instant::now(), lock(&self.unknown));
        while unknown.pop_front_if(|(_, until)| *until <= now).is_some() {}
        unknown.iter().any(|(name, _)| name == key)
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<StreamKey, Arc<Followed>>> {
        lock(&self.streams)
    }
}

impl Directory for Edge {
    fn find(&self, key: &StreamKey) -> Option<Arc<LiveStream>> {
        let streams = self.streams();
        let followed = streams.get(key).filter(|f| f.is_on())?;
        followed.touch();
        Some(followed.live.clone())
    }

    fn seek<'a>(&'a self, key: &'a StreamKey) -> Seeking<'a> {
        Box::pin(async move {
            if self.is_unknown(key) {
                return Ok(None);
            }
            let followed = self.followed(key).ok_or_else(|| {
                let detail = "this edge fetches as many streams as it may; ask again shortly";
                let busy = StatusCode::SERVICE_UNAVAILABLE;
                Problem::new(busy, "overloaded", "Too many streams", detail).retry_after(1)
            })?;
            match followed.settled(FETCH_MAX).await {
                State::On => Ok(Some(followed.live.clone())),
                State::Unknown => Ok(None),
                State::Asking | State::Unreachable => Err(unreachable(key)),
            }
        })
    }

    fn has_stored(&self) -> bool {
        false
    }

    fn viewers(&self) -> usize {
        let now_ms = nx_delivery::wall_ms();
        let on: Vec<_> = self.streams().values().map(|followed| followed.live.clone()).collect();
        on.iter().map(|live| live.audience().count(now_ms)).sum()
    }

    fn health(&self) -> Option<serde_json::Value> {
        let sources = self.sources();
        let origins =
            sources.origins.iter().map(|o| serde_json::json!({"address": o.address, "up": o.is_up()}));
        let streams = self.streams();
        let mut on: Vec<&str> = streams.iter().filter(|(_, f)| f.is_on()).map(|(k, _)| k.as_str()).collect();
        on.sort_unstable();
        Some(serde_json::json!({"origins": origins.collect::<Vec<_>>(), "subscriptions": on}))
    }

    fn metrics(&self, out: &mut Metrics) {
        self.figures.metrics(out);
        let on = self.streams().values().filter(|f| f.is_on()).count();
        out.single("nexus_plane_subscriptions", "gauge", "Streams fetched from origins.", on);
        out.family("nexus_plane_origin_up", "gauge", "1 while an origin is connected.");
        for origin in &self.sources().origins {
            out.value("nexus_plane_origin_up", &[("origin", &origin.address)], u64::from(origin.is_up()));
        }
    }
}

fn unreachable(key: &StreamKey) -> Problem {
    let detail = format!("no origin that may have {key} can be reached; ask again shortly");
    let title = "No origin reachable";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "origin-unreachable", title, detail).retry_after(1)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
