//! A live stream in memory: one writes, many read, those who are early wait.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use nx_container::{fmp4, ts};
use nx_hls::{Ask, Event, Lookup, RunTrack, Window};
use nx_media::{Params, Sample, StreamKey};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Tracks that have a bell of their own; further ones share.
const BELLS: usize = 4;
/// Rendered TS segments kept: the newest, which live players ask for; an older one is muxed again.
const TS_KEPT: usize = 1;
/// Viewers remembered per stream; beyond, the count stays at this.
const AUDIENCE_MAX: usize = 20_000;

/// A stream that can be watched.
#[derive(Debug)]
pub struct LiveStream {
    key: StreamKey,
    inner: Mutex<Inner>,
    bells: [Notify; BELLS],
    ts_turn: tokio::sync::Mutex<()>,
    audience: Audience,
    held: AtomicU64,
    released: AtomicBool,
}

#[derive(Debug)]
struct Inner {
    window: Window,
    /// Counts changes; what was rendered under an older number is stale.
    version: u64,
    multivariant: Option<(u64, Bytes)>,
    manifest: Option<(u64, Bytes)>,
    playlists: Vec<(Ask, u64, Bytes)>,
    ts: VecDeque<(u64, Bytes)>,
}

impl LiveStream {
    /// A stream whose window is still empty.
    #[must_use]
    pub fn new(key: StreamKey, window: Window) -> Self {
        let inner = Inner {
            window,
            version: 0,
            multivariant: None,
            manifest: None,
            playlists: Vec::new(),
            ts: VecDeque::new(),
        };
        Self {
            key,
            inner: Mutex::new(inner),
            bells: Default::default(),
            ts_turn: tokio::sync::Mutex::default(),
            audience: Audience::default(),
            held: AtomicU64::new(0),
            released: AtomicBool::new(false),
        }
    }

    /// Its name.
    #[must_use]
    pub fn key(&self) -> &StreamKey {
        &self.key
    }

    /// Who watches over HTTP.
    #[must_use]
    pub fn audience(&self) -> &Audience {
        &self.audience
    }

    /// Requests that wait for something to be made.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Takes one step of the packager and wakes those who waited for it. Callable from any thread; never waits
    /// for a reader longer than it takes to copy a playlist.
    pub fn apply(&self, event: Event) {
        let news = matches!(event, Event::Run(_) | Event::End);
        let (track, everyone) = {
            let mut inner = self.lock();
            inner.version += 1;
            let idle = !inner.window.is_playable();
            let track = inner.window.apply(event);
            (track, news || (idle && inner.window.is_playable()))
        };
        for (nth, bell) in self.bells.iter().enumerate() {
            if everyone || track.is_some_and(|t| t % BELLS == nth) {
                bell.notify_waiters();
            }
        }
    }

    /// From now on nobody waits: the node is about to stop.
    pub fn release(&self) {
        self.released.store(true, Ordering::Relaxed);
        self.bells.iter().for_each(Notify::notify_waiters);
    }

    /// A stream that goes on after a restart of the process had this many discontinuities.
    pub fn resume(&self, discontinuities: u64) {
        self.lock().window.resume(discontinuities);
    }

    /// Reads the window.
    pub fn read<T>(&self, look: impl FnOnce(&Window) -> T) -> T {
        look(&self.lock().window)
    }

    /// Waits until `ready` gives something, for at most `limit`. `track` says whose progress it depends on.
    pub async fn wait<T>(
        &self,
        track: usize,
        limit: Duration,
        mut ready: impl FnMut(&Window) -> Option<T>,
    ) -> Option<T> {
        if let Some(now) = self.read(&mut ready) {
            return Some(now);
        }
        let deadline = Instant::now() + limit;
        let bell = self.bells.get(track % BELLS)?;
        let _held = Held::new(&self.held);
        loop {
            let mut rung = std::pin::pin!(bell.notified());
            rung.as_mut().enable();
            if let Some(now) = self.read(&mut ready) {
                return Some(now);
            }
            let released = self.released.load(Ordering::Relaxed);
            if released || tokio::time::timeout_at(deadline, rung).await.is_err() {
                return None;
            }
        }
    }

    /// The multivariant playlist, rendered once per version.
    pub(crate) fn multivariant(&self) -> Option<Bytes> {
        let mut inner = self.lock();
        let version = inner.version;
        if let Some((of, text)) = &inner.multivariant
            && *of == version
        {
            return Some(text.clone());
        }
        let text = Bytes::from(inner.window.multivariant()?);
        inner.multivariant = Some((version, text.clone()));
        Some(text)
    }

    /// The DASH manifest, rendered once per version.
    pub(crate) fn manifest(&self) -> Option<Bytes> {
        let mut inner = self.lock();
        let version = inner.version;
        if let Some((of, text)) = &inner.manifest
            && *of == version
        {
            return Some(text.clone());
        }
        let text = Bytes::from(nx_dash::manifest(&inner.window)?);
        inner.manifest = Some((version, text.clone()));
        Some(text)
    }

    /// A media playlist, rendered once per version.
    pub(crate) fn playlist(&self, ask: Ask) -> Option<Bytes> {
        let mut inner = self.lock();
        let version = inner.version;
        if let Some((_, _, text)) = inner.playlists.iter().find(|(a, v, _)| *a == ask && *v == version) {
            return Some(text.clone());
        }
        let text = Bytes::from(inner.window.media_playlist(ask)?);
        inner.playlists.retain(|(a, _, _)| *a != ask);
        inner.playlists.push((ask, version, text.clone()));
        Some(text)
    }

    /// A segment in MPEG-TS: made from the CMAF parts when first asked for, kept while it is new.
    pub(crate) async fn ts_segment(&self, msn: u64) -> Option<Bytes> {
        if let Some(kept) = self.kept_ts(msn) {
            return Some(kept);
        }
        let _turn = self.ts_turn.lock().await;
        if let Some(kept) = self.kept_ts(msn) {
            return Some(kept);
        }
        let sources = self.read(|window| ts_sources(window, msn))?;
        let bytes = mux_ts(&sources, msn)?;
        let mut inner = self.lock();
        inner.ts.push_back((msn, bytes.clone()));
        if inner.ts.len() > TS_KEPT {
            inner.ts.pop_front();
        }
        Some(bytes)
    }

    fn kept_ts(&self, msn: u64) -> Option<Bytes> {
        self.lock().ts.iter().find(|(m, _)| *m == msn).map(|(_, b)| b.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A reader's panic leaves nothing half-done here: the stream goes on.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Held<'a>(&'a AtomicU64);

impl<'a> Held<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One track's share of a TS segment.
type TsSource = (Arc<RunTrack>, Vec<Bytes>);

fn ts_sources(window: &Window, msn: u64) -> Option<Vec<TsSource>> {
    if msn >= window.ts_next_msn() {
        return None;
    }
    let of = |track: usize| match window.segment(track, msn) {
        Lookup::Found(s) => Some((s.track.clone(), s.parts.iter().map(|p| p.bytes.clone()).collect())),
        _ => None,
    };
    let sources: Vec<TsSource> = window.ts_tracks().ok()?.into_iter().filter_map(of).collect();
    (!sources.is_empty()).then_some(sources)
}

fn mux_ts(sources: &[TsSource], msn: u64) -> Option<Bytes> {
    let samples = |parts: &[Bytes]| -> Option<Vec<Sample>> {
        let read: Result<Vec<_>, _> = parts.iter().map(fmp4::samples).collect();
        Some(read.ok()?.into_iter().flatten().collect())
    };
    let video = sources.iter().find_map(|(track, parts)| match &track.params {
        Params::Video(v) => Some((v, samples(parts)?)),
        Params::Audio(_) => None,
    });
    let audio = sources.iter().filter_map(|(track, parts)| match &track.params {
        Params::Audio(a) => Some((a, samples(parts)?)),
        Params::Video(_) => None,
    });
    let audio: Vec<_> = audio.collect();
    let audio: Vec<_> = audio.iter().map(|(a, s)| (*a, s.as_slice())).collect();
    let video = video.as_ref().map(|(v, s)| (*v, s.as_slice()));
    ts::segment(&ts::Tracks { video, audio: &audio }, msn).ok()
}

/// Viewers over HTTP: whoever asked for a media playlist lately.
///
/// Without tokens a viewer is an address and a player together, so two tabs of one browser are one viewer.
#[derive(Debug, Default)]
pub struct Audience {
    seen: Mutex<HashMap<(IpAddr, u64), i64>>,
}

/// A viewer that asked for nothing for this long has left.
const GONE_MS: i64 = 10_000;

impl Audience {
    pub(crate) fn note(&self, viewer: (IpAddr, u64), now_ms: i64) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= AUDIENCE_MAX {
            seen.retain(|_, at| now_ms - *at < GONE_MS);
        }
        if seen.len() < AUDIENCE_MAX {
            seen.insert(viewer, now_ms);
        }
    }

    /// How many are watching at `now_ms` (Unix time).
    #[must_use]
    pub fn count(&self, now_ms: i64) -> usize {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, at| now_ms - *at < GONE_MS);
        seen.len()
    }
}
