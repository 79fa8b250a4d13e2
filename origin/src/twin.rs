//! A second origin that the same encoder feeds. Of each stream one of the two packages it and the other follows, so that
//! both have the same bytes under the same names; when the one falls silent the other goes on.
//!
//! The two are nodes of a live plane of their own, on which each offers the streams that it packages just now and no
//! others. Who does what is decided in `pipeline/twin.rs`; here is how they hear of each other.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nx_delivery::{Directory, LiveStream};
use nx_hls::{Event, Window};
use nx_live_plane::Edge;
use nx_media::StreamKey;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::hub::lock;
use crate::ladder::Ring;

/// Words that wait for the shard; beyond, the twin is followed anew.
const WORDS_MAX: usize = 512;
/// What the twin has for its answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// Between two questions.
const PAUSE: Duration = Duration::from_secs(1);
/// After the twin was declined: longer than what it sends is kept for.
const DECLINED: Duration = Duration::from_secs(4);
const LINGER_S: u32 = 2;
/// How often it is looked whether the shard still wants to hear.
const LOOK: Duration = Duration::from_millis(100);

/// Section `origin.twin`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TwinConfig {
    /// Where the other origin asks this one, UDP; without it there is no other.
    pub listen: Option<SocketAddr>,
    /// The other one's `listen`, as `HOST:PORT`.
    pub peer: Option<String>,
    /// Of two that could, this one packages. The other one must say the contrary.
    pub leads: bool,
    /// Silence after which the one that follows goes on by itself. Milliseconds.
    pub takeover_ms: u32,
}

impl Default for TwinConfig {
    fn default() -> Self {
        Self { listen: None, peer: None, leads: false, takeover_ms: 1_000 }
    }
}

impl TwinConfig {
    /// What is wrong, as key within the section `origin`; `plane` has the certificates.
    pub(crate) fn faults(&self, plane: &nx_live_plane::Config) -> Vec<(String, String)> {
        let fault = |key: &str, text: &str| (key.to_owned(), text.to_owned());
        if !(200..=5_000).contains(&self.takeover_ms) {
            return vec![fault("twin.takeover_ms", "must be 200 to 5000")];
        }
        match (self.listen.is_some(), self.peer.is_some()) {
            (true, false) => {
                vec![fault("twin.peer", "is needed beside listen: the other origin's HOST:PORT")]
            }
            (false, true) => vec![fault("twin.listen", "is needed beside peer: where the other origin asks")],
            _ => {
                let told = |(key, text): (String, String)| match key.as_str() {
                    "origins.0" => (String::from("twin.peer"), text),
                    _ => (format!("plane.{key}"), text),
                };
                self.plane(plane).validate().into_iter().map(told).collect()
            }
        }
    }

    /// The plane of the two, with the certificates of the one for edges.
    fn plane(&self, of: &nx_live_plane::Config) -> nx_live_plane::Config {
        let origins = self.peer.iter().cloned().collect();
        nx_live_plane::Config { listen: self.listen, origins, linger_s: LINGER_S, ..of.clone() }
    }
}

/// What is heard of a stream at the other origin.
pub(crate) enum Word {
    /// It packages it, and this is its window, which changed last at a Unix time in milliseconds.
    Window(Box<Window>, i64),
    /// It goes on with this.
    Event(Box<Event>, i64),
    /// It does not package it.
    Nobody,
    /// It cannot be asked.
    Away,
}

/// How it stands with a stream here.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// It is packaged here.
    pub(crate) leads: AtomicBool,
    /// When a publisher's frame came last, Unix milliseconds.
    pub(crate) fed_ms: AtomicI64,
    /// Nothing is to be heard of the other one for a while.
    pub(crate) declined: AtomicBool,
}

/// A stream's line to the other origin.
pub(crate) struct Link {
    pub(crate) words: Receiver<Word>,
    pub(crate) standing: Arc<Standing>,
    /// See [`TwinConfig`].
    pub(crate) config: TwinConfig,
    /// Asks until this is dropped.
    _asker: Option<Asker>,
}

impl Link {
    /// A line on which somebody else speaks.
    #[cfg(test)]
    pub(crate) fn from(words: Receiver<Word>, config: TwinConfig) -> Self {
        Self { words, standing: Arc::default(), config, _asker: None }
    }
}

struct Asker {
    task: AbortHandle,
    twins: Arc<Twins>,
    key: StreamKey,
    standing: Arc<Standing>,
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.task.abort();
        let mut streams = lock(&self.twins.streams);
        if streams.get(&self.key).is_some_and(|(_, of)| Arc::ptr_eq(of, &self.standing)) {
            streams.remove(&self.key);
        }
    }
}

/// A stream here, and how it stands with it.
type Known = (Arc<LiveStream>, Arc<Standing>);

/// The other origin.
pub(crate) struct Twins {
    config: TwinConfig,
    pub(crate) plane: nx_live_plane::Config,
    pub(crate) edge: Arc<Edge>,
    runtime: Handle,
    streams: Mutex<HashMap<StreamKey, Known>>,
}

impl Twins {
    /// Connects to the other origin, if there is one. Must be called within the runtime.
    pub(crate) fn open(
        config: &crate::Config,
        stop: &watch::Receiver<bool>,
    ) -> Result<Option<Arc<Self>>, String> {
        if config.twin.listen.is_none() {
            return Ok(None);
        }
        let plane = config.twin.plane(&config.plane);
        Ok(Some(Arc::new(Self {
            config: config.twin.clone(),
            edge: Edge::start(&plane, stop)?,
            plane,
            runtime: Handle::current(),
            streams: Mutex::default(),
        })))
    }

    /// A stream's line to the other origin; `ring` is called when something was said.
    pub(crate) fn link(self: &Arc<Self>, live: &Arc<LiveStream>, ring: Ring) -> Link {
        let (said, words) = sync_channel(WORDS_MAX);
        let (key, standing) = (live.key().clone(), Arc::new(Standing::default()));
        lock(&self.streams).insert(key.clone(), (live.clone(), standing.clone()));
        let ear = Ear { edge: self.edge.clone(), key: key.clone(), standing: standing.clone(), said, ring };
        let task = self.runtime.spawn(ear.run()).abort_handle();
        let asker = Asker { task, twins: self.clone(), key, standing: standing.clone() };
        Link { words, standing, config: self.config.clone(), _asker: Some(asker) }
    }
}

/// What is packaged here, of a publisher that is there.
impl Directory for Twins {
    fn find(&self, key: &StreamKey) -> Option<Arc<LiveStream>> {
        let streams = lock(&self.streams);
        let (live, standing) = streams.get(key)?;
        let fed_ms = nx_delivery::wall_ms().saturating_sub(standing.fed_ms.load(Ordering::Relaxed));
        let fed = fed_ms < i64::from(self.config.takeover_ms);
        (fed && standing.leads.load(Ordering::Relaxed)).then(|| live.clone())
    }
}

/// Asks the other origin for one stream, again and again.
struct Ear {
    pub(crate) edge: Arc<Edge>,
    key: StreamKey,
    standing: Arc<Standing>,
    said: SyncSender<Word>,
    ring: Ring,
}

impl Ear {
    async fn run(self) {
        loop {
            match tokio::time::timeout(ANSWER_MAX, self.edge.seek(&self.key)).await {
                Ok(Ok(Some(live))) => self.follow(&live).await,
                Ok(Ok(None)) => drop(self.say(Word::Nobody)),
                Ok(Err(_)) | Err(_) => drop(self.say(Word::Away)),
            }
            let declined = self.standing.declined.swap(false, Ordering::Relaxed);
            tokio::time::sleep(if declined { DECLINED } else { PAUSE }).await;
        }
    }

    /// Hands on what comes until it ends, or nobody wants it.
    async fn follow(&self, live: &Arc<LiveStream>) {
        let ((at_ms, window), mut steps) = live.follow(|at_ms, window| (at_ms, Box::new(window.clone())));
        let mut goes_on = self.say(Word::Window(window, at_ms));
        let mut look = tokio::time::interval(LOOK);
        while goes_on && !self.standing.declined.load(Ordering::Relaxed) {
            goes_on = tokio::select! {
                step = steps.recv() => match step {
                    Ok((event, at_ms)) => self.say(Word::Event(Box::new(event), at_ms)),
                    Err(_) => false,
                },
                _ = look.tick() => self.edge.find(&self.key).is_some_and(|now| Arc::ptr_eq(&now, live)),
            };
        }
    }

    /// Whether it could be said.
    fn say(&self, word: Word) -> bool {
        let said = self.said.try_send(word).is_ok();
        (self.ring)();
        said
    }
}
