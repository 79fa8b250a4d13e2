//! The streams of this origin by name: who publishes, what can be watched, who was turned away.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nx_contract::streams::{Ingest, Refusal, Server, State, Stream, Streams};
use nx_delivery::{Directory, LiveStream, Metrics};
use nx_hls::{Rfc3339, Window};
use nx_media::StreamKey;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::claims::Claim;
use crate::clock::Clock;
use crate::config::Config;
use crate::ingest::{listener, shard};

/// Refusals remembered for the status page.
const REFUSALS_MAX: usize = 32;

/// Everything that the parts of an origin share.
#[derive(Debug)]
pub struct Hub {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    started_wall_ms: i64,
    streams: Mutex<HashMap<StreamKey, Arc<Entry>>>,
    refusals: Mutex<VecDeque<Refusal>>,
    rtmp: Mutex<Option<SocketAddr>>,
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
    pub(crate) claim: Mutex<Option<Arc<Claim>>>,
    pub(crate) status: Mutex<Stream>,
}

/// A name that cannot be had.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Somebody publishes under it.
    By(Arc<Claim>),
    /// The origin carries as many streams as it may.
    Full(usize),
}

/// The RTMP listener at work.
#[derive(Debug)]
pub struct RtmpListening {
    /// Where it listens.
    pub address: SocketAddr,
    pub(crate) accepting: tokio::task::JoinHandle<()>,
    pub(crate) shards: shard::Shards,
}

impl RtmpListening {
    /// Waits until the listener is closed and every publisher and player has been told goodbye.
    pub async fn drained(self) {
        let _ = self.accepting.await;
        let shards = self.shards;
        let _ = tokio::task::spawn_blocking(move || shards.stop()).await;
    }
}

impl Hub {
    /// A hub without streams.
    #[must_use]
    pub fn new(config: Config) -> Arc<Self> {
        Arc::new(Self {
            config,
            clock: Clock::start(),
            started_wall_ms: nx_delivery::wall_ms(),
            streams: Mutex::default(),
            refusals: Mutex::default(),
            rtmp: Mutex::default(),
            totals: Mutex::default(),
        })
    }

    /// Takes publishers and players on `listener` until `stop` turns true.
    ///
    /// # Errors
    /// When the listener has no address or the threads that carry media cannot be started.
    pub fn serve_rtmp(
        self: &Arc<Self>,
        listener: TcpListener,
        stop: watch::Receiver<bool>,
    ) -> std::io::Result<RtmpListening> {
        let address = listener.local_addr()?;
        *lock(&self.rtmp) = Some(address);
        let shards = shard::Shards::start(self)?;
        let accepting = tokio::spawn(listener::accept_loop(self.clone(), listener, shards.clone(), stop));
        Ok(RtmpListening { address, accepting, shards })
    }

    /// Takes a name for a publisher; a stream that waits for one is taken up again.
    pub(crate) fn claim(&self, key: &StreamKey, claim: &Arc<Claim>) -> Result<Arc<Entry>, Taken> {
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
        let mut holder = lock(&entry.claim);
        match &*holder {
            Some(other) if !other.is_lost() => Err(Taken::By(other.clone())),
            _ => {
                *holder = Some(claim.clone());
                drop(holder);
                lock(&self.totals).publishes += 1;
                Ok(entry)
            }
        }
    }

    /// The stream of a name.
    pub(crate) fn entry(&self, key: &StreamKey) -> Option<Arc<Entry>> {
        lock(&self.streams).get(key).cloned()
    }

    /// Forgets a stream that is over, unless somebody has just taken its name again.
    pub(crate) fn remove(&self, key: &StreamKey) -> bool {
        let mut streams = lock(&self.streams);
        let held = |entry: &Arc<Entry>| lock(&entry.claim).as_ref().is_some_and(|claim| !claim.is_lost());
        let over = streams.get(key).is_none_or(|entry| !held(entry));
        if over {
            streams.remove(key);
        }
        over
    }

    /// Answers everybody who waits for a part with what there is: the node stops.
    pub fn release_viewers(&self) {
        lock(&self.streams).values().for_each(|entry| entry.live.release());
    }

    /// Remembers and logs why a connection was turned away.
    pub(crate) fn refuse(&self, peer: SocketAddr, key: &str, reason: &str) {
        let key: String = key.chars().take(100).flat_map(char::escape_default).collect();
        tracing::warn!(%peer, stream = key, reason, "refused");
        let at = Rfc3339(nx_delivery::wall_ms()).to_string();
        let refusal = Refusal { at, peer: peer.to_string(), key, reason: reason.to_owned() };
        lock(&self.totals).refusals += 1;
        let mut refusals = lock(&self.refusals);
        if refusals.len() == REFUSALS_MAX {
            refusals.pop_front();
        }
        refusals.push_back(refusal);
    }

    /// Adds the origin's figures to a page of metrics.
    pub fn metrics(&self, out: &mut Metrics) {
        let totals = *lock(&self.totals);
        for (name, help, value) in [
            ("nexus_rtmp_publishes_total", "Publishers accepted.", totals.publishes),
            ("nexus_rtmp_plays_total", "RTMP players accepted.", totals.plays),
            ("nexus_rtmp_refusals_total", "Connections turned away with a reason.", totals.refusals),
            ("nexus_ingest_bytes_total", "Bytes read from publishers.", totals.bytes_in),
        ] {
            out.single(name, "counter", help, value);
        }
        let streams = self.list();
        out.single("nexus_streams", "gauge", "Streams known.", streams.len());
        type Gauge = (&'static str, &'static str, &'static str, fn(&Stream) -> u64);
        let gauges: [Gauge; 6] = [
            ("nexus_stream_up", "gauge", "1 while a publisher is sending.", |s| {
                u64::from(s.state == State::Live)
            }),
            ("nexus_stream_bitrate_bps", "gauge", "Bits per second coming in.", |s| s.bitrate_bps),
            ("nexus_stream_window_bytes", "gauge", "Media held in memory.", |s| s.window_bytes),
            ("nexus_stream_viewers_http", "gauge", "Viewers over HTTP.", |s| s.viewers.hls),
            ("nexus_stream_viewers_rtmp", "gauge", "Viewers over RTMP.", |s| s.viewers.rtmp),
            ("nexus_stream_discontinuities_total", "counter", "Seams seen by viewers.", |s| {
                s.discontinuities
            }),
        ];
        for (name, kind, help, of) in gauges {
            out.family(name, kind, help);
            streams.iter().for_each(|s| out.value(name, &[("stream", &s.key)], of(s)));
        }
        out.family("nexus_stream_repairs_total", "counter", "Repairs made by the timeline.");
        for stream in &streams {
            for repair in &stream.repairs.kinds {
                let labels = [("stream", stream.key.as_str()), ("kind", repair.kind.as_str())];
                out.value("nexus_stream_repairs_total", &labels, repair.count);
            }
        }
    }

    fn new_entry(&self, key: &StreamKey) -> Entry {
        let stream = &self.config.stream;
        let target_s = u64::from(stream.segment_ms / 1000);
        let window = Window::new(stream.window_segments, target_s, stream.window_bytes_max);
        let id = nx_delivery::random_id();
        let status = Stream {
            id: id.clone(),
            key: key.to_string(),
            state: State::Live,
            publisher: None,
            started_at: Rfc3339(nx_delivery::wall_ms()).to_string(),
            uptime_ms: 0,
            tracks: Vec::new(),
            bitrate_bps: 0,
            viewers: nx_contract::streams::Viewers::default(),
            window_bytes: 0,
            repairs: nx_contract::streams::Repairs::default(),
            discontinuities: 0,
            hints: Vec::new(),
        };
        let live = Arc::new(LiveStream::new(key.clone(), window));
        Entry { id, live, claim: Mutex::default(), status: Mutex::new(status) }
    }
}

impl Directory for Hub {
    fn find(&self, key: &StreamKey) -> Option<Arc<LiveStream>> {
        self.entry(key).map(|entry| entry.live.clone())
    }
}

impl Streams for Hub {
    fn list(&self) -> Vec<Stream> {
        let entries: Vec<Arc<Entry>> = lock(&self.streams).values().cloned().collect();
        let now = nx_delivery::wall_ms();
        let status = |entry: Arc<Entry>| {
            let mut status = lock(&entry.status).clone();
            status.viewers.hls = entry.live.audience().count(now) as u64;
            status.window_bytes = entry.live.read(Window::bytes) as u64;
            status
        };
        let mut list: Vec<Stream> = entries.into_iter().map(status).collect();
        list.sort_by(|a, b| a.key.cmp(&b.key));
        list
    }

    fn server(&self) -> Server {
        let rtmp = lock(&self.rtmp).map(|a| format!("rtmp://{a}")).unwrap_or_default();
        Server {
            version: env!("CARGO_PKG_VERSION").into(),
            uptime_ms: u64::try_from(nx_delivery::wall_ms() - self.started_wall_ms).unwrap_or(0),
            ingest: Ingest { rtmp },
            refusals: lock(&self.refusals).iter().cloned().collect(),
        }
    }
}

/// Locks, whoever panicked before: every value under a lock here is whole at any time.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
