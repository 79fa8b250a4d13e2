//! A live stream in memory: one writes, many read, those who are early wait.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use nx_container::{fmp4, ts};
use nx_hls::{Ask, Event, Lookup, Remains, RunTrack, Skip, Window};
use nx_media::{Params, Sample, StreamKey, TrackId};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::audience::Audience;
use crate::images::Pictures;
use crate::past::{Archive, Past};
use crate::qoe::Quality;
use crate::rendered::Rendered;

/// Tracks that have a bell of their own; further ones share.
const BELLS: usize = 8;
/// Rendered TS segments kept: the newest, which live players ask for; an older one is muxed again.
const TS_KEPT: usize = 1;

/// A stream that can be watched.
#[derive(Debug)]
pub struct LiveStream {
    key: StreamKey,
    inner: Mutex<Inner>,
    bells: [Bell; BELLS],
    ts_turn: tokio::sync::Mutex<()>,
    audience: Audience,
    quality: Quality,
    held: AtomicU64,
    rendered: AtomicU64,
    released: AtomicBool,
    past: OnceLock<Past>,
    keys: OnceLock<Arc<dyn Keys>>,
    pictures: Pictures,
    demand: Demand,
}

/// Tracks that are made while somebody asks for them, and when each was asked for last, Unix milliseconds.
#[derive(Debug, Default)]
struct Demand {
    any: AtomicBool,
    tracks: Mutex<Vec<(TrackId, i64)>>,
}

impl Demand {
    fn lock(&self) -> MutexGuard<'_, Vec<(TrackId, i64)>> {
        self.tracks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys of a stream, where anybody may have them.
pub trait Keys: fmt::Debug + Send + Sync {
    /// The key of a name.
    fn key(&self, id: &[u8; 16]) -> Option<Zeroizing<[u8; 16]>>;

    /// All that there are now, with their names.
    fn all(&self) -> Vec<([u8; 16], Zeroizing<[u8; 16]>)>;
}

/// Wakes those who wait for a track. A publisher's thread pays for one wake-up however many watch: it wakes the
/// ringer, a task that wakes the others.
#[derive(Debug, Default)]
struct Bell {
    waiters: Arc<Notify>,
    pulled: Arc<Notify>,
    ringer: OnceLock<AbortHandle>,
}

impl Bell {
    fn ring(&self) {
        self.pulled.notify_one();
    }

    /// Somebody waits: from now on there is a ringer.
    fn heard(&self) -> &Notify {
        self.ringer.get_or_init(|| {
            let (waiters, pulled) = (self.waiters.clone(), self.pulled.clone());
            let ringing = async move {
                loop {
                    pulled.notified().await;
                    waiters.notify_waiters();
                }
            };
            tokio::spawn(ringing).abort_handle()
        });
        &self.waiters
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        if let Some(ringer) = self.ringer.get() {
            ringer.abort();
        }
    }
}

/// A text that players ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    Multivariant,
    /// Of DASH.
    Manifest,
    Media(Ask, Skip),
}

/// The change that a text was rendered after: its number, and when, Unix milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Version {
    number: u64,
    at_ms: i64,
}

#[derive(Debug)]
struct Inner {
    window: Window,
    /// The newest change; the newest that concerned every playlist; the newest of each track.
    newest: Version,
    everyone: Version,
    tracks: Vec<Version>,
    /// What was rendered under an older number is stale. As many as there are playlists.
    texts: Vec<(Text, u64, Arc<Rendered>)>,
    ts: VecDeque<(u64, Bytes)>,
}

impl Inner {
    fn change(&mut self, event: Event, at_ms: i64) -> Option<usize> {
        // Text is in the segments to come, and in no list.
        if matches!(event, Event::Text { .. }) {
            return self.window.apply(event);
        }
        let own = matches!(event, Event::Part { .. } | Event::SegmentEnd { .. });
        let track = self.window.apply(event);
        self.newest = Version { number: self.newest.number + 1, at_ms };
        match track.filter(|_| own) {
            Some(track) => {
                if self.tracks.len() <= track {
                    self.tracks.resize(track + 1, Version::default());
                }
                if let Some(version) = self.tracks.get_mut(track) {
                    *version = self.newest;
                }
            }
            None => self.everyone = self.newest,
        }
        track
    }

    /// A track's playlist is rendered anew when the track goes on, or was passed by the others. What it reports of them
    /// is then at most one part old, and a crowd that waits for one part is answered with one text.
    fn version_of(&self, text: Text) -> Version {
        let of = |track: usize| self.tracks.get(track).copied().unwrap_or_default();
        let own = match text {
            Text::Media(Ask::Track(track), _) if track < self.window.tracks().count() => of(track),
            Text::Media(Ask::Text(_), _) => of(self.window.leader()),
            _ => self.newest,
        };
        let known = if own.number > self.everyone.number { own } else { self.everyone };
        let part_ms = i64::from(self.window.part_target_us() / 1000);
        if self.newest.at_ms.saturating_sub(known.at_ms) > part_ms { self.newest } else { known }
    }
}

impl LiveStream {
    /// A stream whose window is still empty.
    #[must_use]
    pub fn new(key: StreamKey, window: Window) -> Self {
        let inner = Inner {
            window,
            newest: Version::default(),
            everyone: Version::default(),
            tracks: Vec::new(),
            texts: Vec::new(),
            ts: VecDeque::new(),
        };
        Self {
            key,
            inner: Mutex::new(inner),
            bells: Default::default(),
            ts_turn: tokio::sync::Mutex::default(),
            audience: Audience::default(),
            quality: Quality::default(),
            held: AtomicU64::new(0),
            rendered: AtomicU64::new(0),
            released: AtomicBool::new(false),
            past: OnceLock::new(),
            keys: OnceLock::new(),
            pictures: Pictures::default(),
            demand: Demand::default(),
        }
    }

    /// Tells where its older segments are. The first word counts.
    pub fn remember(&self, archive: Arc<dyn Archive>) {
        let _ = self.past.set(Past::new(archive));
    }

    /// From now on anybody may have its keys. The first word counts.
    pub fn give_keys(&self, keys: Arc<dyn Keys>) {
        let _ = self.keys.set(keys);
    }

    pub(crate) fn keys(&self) -> Option<&Arc<dyn Keys>> {
        self.keys.get()
    }

    pub(crate) fn past(&self) -> Option<&Past> {
        self.past.get()
    }

    pub(crate) fn pictures(&self) -> &Pictures {
        &self.pictures
    }

    /// These tracks are made while somebody asks for them; a new one counts as asked for now.
    pub fn offer(&self, tracks: Vec<TrackId>) {
        let now_ms = crate::wall_ms();
        let mut demand = self.demand.lock();
        let asked = |id: &TrackId| demand.iter().find(|(of, _)| of == id).map_or(now_ms, |(_, at)| *at);
        *demand = tracks.iter().map(|id| (*id, asked(id))).collect();
        self.demand.any.store(!tracks.is_empty(), Ordering::Relaxed);
        drop(demand);
        self.lock().window.offer(tracks);
    }

    /// When a track was asked for last, Unix milliseconds, if it is made on demand.
    pub fn asked_ms(&self, track: TrackId) -> Option<i64> {
        self.demand.lock().iter().find(|(of, _)| *of == track).map(|(_, at)| *at)
    }

    /// Somebody asks for a track, by its name.
    pub(crate) fn note_asked(&self, name: &str) {
        if self.demand.any.load(Ordering::Relaxed) {
            let now_ms = crate::wall_ms();
            let mut demand = self.demand.lock();
            demand.iter_mut().filter(|(id, _)| id.to_string() == name).for_each(|(_, at)| *at = now_ms);
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

    /// How it looks at their end, as far as they tell.
    #[must_use]
    pub fn quality(&self) -> &Quality {
        &self.quality
    }

    /// Playlists written so far. Grows with the stream, not with who watches.
    #[must_use]
    pub fn rendered(&self) -> u64 {
        self.rendered.load(Ordering::Relaxed)
    }

    /// Nobody waits any more: the node is about to stop.
    pub(crate) fn is_released(&self) -> bool {
        self.released.load(Ordering::Relaxed)
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
            // Lists of vanished tracks go on with the leader's.
            let news = news || inner.window.vanished().next().is_some();
            let idle = !inner.window.is_playable();
            let track = inner.change(event, crate::wall_ms());
            (track, news || (idle && inner.window.is_playable()))
        };
        for (nth, bell) in self.bells.iter().enumerate() {
            if everyone || track.is_some_and(|t| t % BELLS == nth) {
                bell.ring();
            }
        }
    }

    /// From now on nobody waits: the node is about to stop.
    pub fn release(&self) {
        self.released.store(true, Ordering::Relaxed);
        self.bells.iter().for_each(Bell::ring);
    }

    /// A stream that goes on after a restart of the process listed this.
    pub fn resume(&self, remains: Remains) {
        self.lock().window.resume(remains);
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
        let bell = self.bells.get(track % BELLS)?.heard();
        let _held = Held::new(&self.held);
        loop {
            let mut rung = std::pin::pin!(bell.notified());
            rung.as_mut().enable();
            if let Some(now) = self.read(&mut ready) {
                return Some(now);
            }
            if self.is_released() || tokio::time::timeout_at(deadline, rung).await.is_err() {
                return None;
            }
        }
    }

    /// A playlist, rendered once per version; `None` while there is nothing to list.
    pub(crate) fn text(&self, text: Text) -> Option<Arc<Rendered>> {
        let mut inner = self.lock();
        let Version { number, at_ms } = inner.version_of(text);
        let kept = inner.texts.iter().position(|(t, _, _)| *t == text);
        let before = kept.and_then(|at| inner.texts.get(at)).map(|(_, of, text)| (*of, text.clone()));
        if let Some((_, current)) = before.as_ref().filter(|(of, _)| *of == number) {
            return Some(current.clone());
        }
        let new = match text {
            Text::Multivariant => inner.window.multivariant()?,
            Text::Manifest => nx_dash::manifest(&inner.window)?,
            Text::Media(ask, skip) => inner.window.media_playlist(ask, skip)?,
        };
        self.rendered.fetch_add(1, Ordering::Relaxed);
        let before = before.map(|(_, text)| text);
        // The same words again are the same text: its codings, its tag and its time stay.
        let rendered = match &before {
            Some(same) if same.text == new.as_bytes() => same.clone(),
            _ => Arc::new(Rendered::new(new, at_ms, before.as_deref())),
        };
        match kept.and_then(|at| inner.texts.get_mut(at)) {
            Some(place) => *place = (text, number, rendered.clone()),
            None => inner.texts.push((text, number, rendered.clone())),
        }
        Some(rendered)
    }

    /// What is played in a break; `None` when it is not known, or has fewer than two assets.
    pub(crate) fn asset_list(&self, id: &str) -> Option<Rendered> {
        let inner = self.lock();
        Some(Rendered::new(inner.window.asset_list(id)?, inner.everyone.at_ms, None))
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
