//! The streams of this origin by name: who publishes, what can be watched, who was turned away.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use nx_access::Gate;
use nx_admission::{Admission, Secret};
use nx_contract::streams::{Ingest, Refusal, Server, State, Stream, Streams};
use nx_delivery::{Directory, LiveStream, Painter};
use nx_hls::{Rfc3339, Window};
use nx_media::StreamKey;
use tokio::sync::Notify;

use crate::claims::{Claim, Lost, Role};
use crate::clock::Clock;
use crate::config::Config;
use crate::desired::{Book, secret};
use crate::figures;
use crate::images::Studio;
use crate::ingest::login::Logins;
use crate::journal::{Journal, Mark};
use crate::keep::Kept;
use crate::keys::Keys;
use crate::ladder::Ladders;
use crate::outbound::{self, Outbound};
use crate::slates::Slates;
use crate::titles::Titles;
use crate::twin::Twins;

/// How often a name's owner is looked at while another publisher waits for it.
const CLAIM_LOOK: Duration = Duration::from_millis(50);
/// Refusals remembered for the status page.
const REFUSALS_MAX: usize = 32;

/// Everything that the parts of an origin share.
pub struct Hub {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) admission: Admission,
    /// Which streams ask players for a token.
    pub(crate) gate: Arc<Gate>,
    pub(crate) logins: Logins,
    /// What operators want beyond the configuration.
    pub(crate) book: Book,
    /// What opens every stream to our own mixers.
    pub(crate) pass: Secret,
    journal: Journal,
    /// Where streams of an earlier process were.
    marks: Mutex<HashMap<StreamKey, Mark>>,
    pub(crate) slates: Slates,
    /// Keys of encrypted streams.
    pub(crate) keys: Arc<Keys>,
    /// What is kept on disk; shared with those who write it.
    pub(crate) kept: Option<Arc<Kept>>,
    /// Files.
    pub(crate) titles: Titles,
    pub(crate) images: Studio,
    /// What edges fetch.
    pub(crate) plane: Arc<nx_live_plane::Figures>,
    /// The other origin of the same encoders, once it is known.
    pub(crate) twins: OnceLock<Arc<Twins>>,
    /// What is made of streams.
    pub(crate) ladders: Arc<Ladders>,
    /// What goes out, comes in and is mixed, once that has begun.
    pub(crate) outbound: OnceLock<Weak<Outbound>>,
    started_wall_ms: i64,
    streams: Mutex<HashMap<StreamKey, Arc<Entry>>>,
    /// Rings when somebody takes a name.
    pub(crate) came: Notify,
    refusals: Mutex<VecDeque<Refusal>>,
    pub(crate) ingest: Mutex<Ingest>,
    /// Counts what happened, for metrics.
    pub(crate) totals: Mutex<Totals>,
}

/// Counters since the start.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Totals {
    pub(crate) publishes: u64,
    pub(crate) plays: u64,
    pub(crate) refusals: u64,
    pub(crate) bytes_in: u64,
}

/// One name.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) live: Arc<LiveStream>,
    /// Who holds each input.
    pub(crate) claims: Mutex<[Option<Arc<Claim>>; Role::ALL.len()]>,
    pub(crate) status: Mutex<Stream>,
    /// Where an earlier process left it.
    pub(crate) mark: Option<Mark>,
    /// A shard has it, and will forget it in time.
    pub(crate) adopted: AtomicBool,
}

/// A name that cannot be had.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Somebody publishes under it.
    By(Arc<Claim>),
    /// The origin carries as many streams as it may.
    Full(usize),
}

impl Hub {
    /// A hub that goes on with what its data folder knows.
    ///
    /// # Errors
    /// In words, with what to do: the journal cannot be read, what was wanted, a slate or the admission
    /// rules cannot be used.
    pub fn new(config: Config, gate: Arc<Gate>, data: &Path) -> Result<Arc<Self>, String> {
        let wall_ms = nx_delivery::wall_ms();
        let (journal, marks) = Journal::open(data, wall_ms).map_err(|e| {
            format!(
                "the journal of streams in {} cannot be used: {e}; check the folder's rights",
                data.display()
            )
        })?;
        let faults = |faults: Vec<(String, String)>| {
            let text = |(key, text): (String, String)| format!("origin.admission.{key} {text}");
            faults.into_iter().map(text).collect::<Vec<_>>().join("; ")
        };
        let store = (config.store.keep_s > 0).then(|| config.store.folder(data));
        let keys = Keys::open(&config.encryption)?;
        let hub = Arc::new(Self {
            images: Studio::new(&config.images, store.as_deref()),
            ladders: Ladders::open(&config.ladder, &config.transcoder, &config.images)?,
            book: Book::open(data)?,
            // An empty one opens nothing.
            pass: Secret::new(secret().unwrap_or_default()),
            admission: Admission::new(config.admission.clone()).map_err(faults)?,
            gate,
            slates: Slates::load(&config)?,
            kept: Kept::open(&config.store, data, config.stream.reconnect_s)?.map(Arc::new),
            titles: Titles::new(&config, data, &keys),
            keys,
            logins: Logins::default(),
            plane: Arc::default(),
            twins: OnceLock::new(),
            outbound: OnceLock::new(),
            config,
            clock: Clock::start(),
            journal,
            marks: Mutex::new(marks),
            started_wall_ms: wall_ms,
            streams: Mutex::default(),
            came: Notify::new(),
            refusals: Mutex::default(),
            ingest: Mutex::default(),
            totals: Mutex::default(),
        });
        hub.book.read().keys.iter().for_each(|key| outbound::desired::admit(&hub, key));
        crate::assets::tend(&hub)?;
        Ok(hub)
    }

    /// Whether a stream asks viewers for a token, for other nodes.
    pub(crate) fn guards(&self) -> nx_live_plane::Guards {
        let gate = self.gate.clone();
        Arc::new(move |key| gate.guards(key))
    }

    /// Streams that an earlier process carried and that may still be taken up: they wait for their publishers.
    pub(crate) fn resume(&self) -> Vec<(StreamKey, Arc<Entry>)> {
        let patience_ms = i64::from(self.config.stream.reconnect_s) * 1000;
        let now_ms = nx_delivery::wall_ms();
        let waits = |m: &Mark| m.live && now_ms - m.wall_ms < patience_ms;
        let keys: Vec<StreamKey> =
            lock(&self.marks).iter().filter(|(_, m)| waits(m)).map(|(k, _)| k.clone()).collect();
        let entry = |key: StreamKey| {
            let entry = Arc::new(self.new_entry(&key));
            lock(&entry.status).state = State::Reconnecting;
            lock(&self.streams).insert(key.clone(), entry.clone());
            (key, entry)
        };
        keys.into_iter().map(entry).collect()
    }

    /// Notes where a stream is, for the next process and for a stream that is forgotten and comes again.
    pub(crate) fn note(&self, key: &StreamKey, mark: Mark) {
        lock(&self.marks).insert(key.clone(), mark.clone());
        self.journal.note(key, mark);
    }

    /// Takes a name for a publisher, from one that has fallen silent if need be.
    pub(crate) async fn take_name(
        &self,
        key: &StreamKey,
        role: Role,
        claim: &Arc<Claim>,
    ) -> Result<Arc<Entry>, String> {
        let asked_ms = self.clock.ms();
        let takeover_ms = i64::from(self.config.rtmp.takeover_ms);
        loop {
            let holder = match self.claim(key, role, claim) {
                Ok(entry) => return Ok(entry),
                Err(Taken::Full(max)) => {
                    return Err(format!(
                        "the server carries {max} streams already; raise origin.stream.streams_max"
                    ));
                }
                Err(Taken::By(holder)) => holder,
            };
            let now_ms = self.clock.ms();
            if now_ms - holder.heard_ms() >= takeover_ms {
                tracing::warn!(stream = %key, old = holder.session, new = claim.session, "silent publisher replaced");
                holder.lose(Lost::Over);
                continue;
            }
            if holder.heard_ms() > asked_ms {
                return Err(format!(
                    "{key} is being published by somebody else; stop that one, use another name, or send it as ?input=backup"
                ));
            }
            tokio::time::sleep(CLAIM_LOOK).await;
        }
    }

    /// Takes a name for a publisher; a stream that waits for one is taken up again.
    fn claim(&self, key: &StreamKey, role: Role, claim: &Arc<Claim>) -> Result<Arc<Entry>, Taken> {
        let mut streams = lock(&self.streams);
        let full = streams.len() >= self.config.stream.streams_max;
        let entry = match streams.get(key) {
            Some(entry) => entry.clone(),
            None if full => return Err(Taken::Full(self.config.stream.streams_max)),
            None => {
                let entry = Arc::new(self.new_entry(key));
                streams.insert(key.clone(), entry.clone());
                entry
            }
        };
        let mut claims = lock(&entry.claims);
        match claims.get_mut(role as usize) {
            Some(Some(other)) if !other.is_lost() => Err(Taken::By(other.clone())),
            Some(holder) => {
                *holder = Some(claim.clone());
                drop(claims);
                // Deleted since it was judged: whoever deletes it either sees this claim or is seen here.
                if claim.key.as_ref().is_some_and(|key| !self.admission.has_key(key)) {
                    claim.lose(Lost::Key);
                }
                lock(&self.totals).publishes += 1;
                self.came.notify_waiters();
                Ok(entry)
            }
            None => Err(Taken::Full(0)),
        }
    }

    /// The stream of a name.
    pub(crate) fn entry(&self, key: &StreamKey) -> Option<Arc<Entry>> {
        lock(&self.streams).get(key).cloned()
    }

    /// Forgets a stream that is over, unless somebody has just taken its name again.
    pub(crate) fn remove(&self, key: &StreamKey) -> bool {
        let mut streams = lock(&self.streams);
        let held = |entry: &Arc<Entry>| lock(&entry.claims).iter().flatten().any(|claim| !claim.is_lost());
        let over = streams.get(key).is_none_or(|entry| !held(entry));
        if over {
            streams.remove(key);
        }
        over
    }

    /// Sends away who publishes by a run-time key, which was deleted.
    pub(crate) fn shut(&self, key: &str) {
        for entry in lock(&self.streams).values() {
            let claims = lock(&entry.claims);
            let by = claims.iter().flatten().filter(|claim| claim.key.as_deref() == Some(key));
            by.for_each(|claim| claim.lose(Lost::Key));
        }
    }

    /// Forgets a name that was taken by somebody who never arrived, so that nobody can fill the server with names.
    pub(crate) fn let_go(&self, key: &StreamKey, claim: &Claim) {
        claim.lose(Lost::Over);
        let mut streams = lock(&self.streams);
        let held = |entry: &Entry| lock(&entry.claims).iter().flatten().any(|claim| !claim.is_lost());
        if streams.get(key).is_some_and(|e| !e.adopted.load(Ordering::Relaxed) && !held(e)) {
            streams.remove(key);
        }
    }

    /// Answers everybody who waits for a part with what there is: the node stops.
    pub fn release_viewers(&self) {
        lock(&self.streams).values().for_each(|entry| entry.live.release());
    }

    /// Remembers and logs why a connection was turned away.
    pub(crate) fn refuse(&self, peer: &str, key: &str, reason: &str) {
        let key: String = key.chars().take(100).flat_map(char::escape_default).collect();
        tracing::warn!(peer, stream = key, reason, "refused");
        let at = Rfc3339(nx_delivery::wall_ms()).to_string();
        let refusal = Refusal { at, peer: peer.to_string(), key, reason: reason.to_owned() };
        lock(&self.totals).refusals += 1;
        let mut refusals = lock(&self.refusals);
        if refusals.len() == REFUSALS_MAX {
            refusals.pop_front();
        }
        refusals.push_back(refusal);
    }

    fn new_entry(&self, key: &StreamKey) -> Entry {
        let stream = &self.config.stream;
        let target_s = u64::from(stream.segment_ms / 1000);
        let window = Window::new(stream.window_segments, target_s, stream.window_bytes_max);
        let mark = lock(&self.marks).get(key).cloned();
        let id = mark.as_ref().map_or_else(nx_delivery::random_id, |m| m.id.clone());
        let status = Stream {
            id: id.clone(),
            key: key.to_string(),
            state: State::Live,
            publisher: None,
            inputs: Vec::new(),
            switches: 0,
            started_at: Rfc3339(nx_delivery::wall_ms()).to_string(),
            uptime_ms: 0,
            tracks: Vec::new(),
            bitrate_bps: 0,
            viewers: nx_contract::streams::Viewers::default(),
            qoe: nx_contract::streams::Qoe::default(),
            window_bytes: 0,
            edges: 0,
            playlists_rendered: 0,
            repairs: nx_contract::streams::Repairs::default(),
            discontinuities: 0,
            hints: Vec::new(),
            ladder: None,
        };
        let live = Arc::new(LiveStream::new(key.clone(), window));
        self.remember(key, &live);
        self.keys.give(key, &live);
        Entry {
            id,
            live,
            claims: Mutex::default(),
            status: Mutex::new(status),
            mark,
            adopted: AtomicBool::new(false),
        }
    }
}

impl Directory for Hub {
    fn find(&self, key: &StreamKey) -> Option<Arc<LiveStream>> {
        let on = self.entry(key).map(|entry| entry.live.clone());
        let title = || self.titles.find(key, self.keys.of(key));
        on.or_else(title).or_else(|| self.off(key))
    }

    fn live(&self, key: &StreamKey) -> Option<Arc<LiveStream>> {
        self.entry(key).map(|entry| entry.live.clone())
    }

    fn viewers(&self) -> usize {
        let now_ms = nx_delivery::wall_ms();
        let entries: Vec<Arc<Entry>> = lock(&self.streams).values().cloned().collect();
        entries.iter().map(|entry| entry.live.audience().count(now_ms)).sum()
    }

    fn painter(&self) -> Option<Arc<dyn Painter>> {
        Some(Arc::new(self.images.clone()))
    }
}

impl Streams for Hub {
    fn list(&self) -> Vec<Stream> {
        let entries: Vec<Arc<Entry>> = lock(&self.streams).values().cloned().collect();
        let now = nx_delivery::wall_ms();
        let status = |entry: Arc<Entry>| {
            let mut status = lock(&entry.status).clone();
            status.viewers.hls = entry.live.audience().count(now) as u64;
            status.edges = entry.live.followers() as u64;
            status.qoe = figures::qoe(&entry.live, now);
            status.playlists_rendered = entry.live.rendered();
            status.window_bytes = entry.live.read(Window::bytes) as u64;
            status
        };
        let mut list: Vec<Stream> = entries.into_iter().map(status).collect();
        list.sort_by(|a, b| a.key.cmp(&b.key));
        list
    }

    fn server(&self) -> Server {
        Server {
            version: env!("CARGO_PKG_VERSION").into(),
            uptime_ms: u64::try_from(nx_delivery::wall_ms() - self.started_wall_ms).unwrap_or(0),
            ingest: lock(&self.ingest).clone(),
            refusals: lock(&self.refusals).iter().cloned().collect(),
        }
    }
}

/// Locks, whoever panicked before: every value under a lock here is whole at any time.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
