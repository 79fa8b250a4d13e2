//! A live stream in memory: one writes, many read, those who are early wait.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use nx_hls::{Ask, Event, Remains, Skip, Unstored, Window};
use nx_media::{StreamKey, TrackId};
use tokio::sync::{Notify, broadcast};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::audience::Audience;
use crate::images::Pictures;
use crate::past::{Archive, Past};
use crate::qoe::Quality;
use crate::rendered::Rendered;
use crate::ts::{self, Share};

/// Tracks that have a bell of their own; further ones share.
const BELLS: usize = 8;
/// Rendered TS segments kept: the newest, which live players ask for; an older one is muxed again.
const TS_KEPT: usize = 1;
/// Steps that followers may be behind: some ten seconds. Who is further behind begins anew.
const STEPS_MAX: usize = 128;

/// An event, and when it took place (Unix milliseconds).
pub type Step = (Event, i64);

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

/// The keys of an encrypted stream.
pub trait Keys: fmt::Debug + Send + Sync {
    /// The key of a name, to encrypt views of the stream with: not for viewers.
    fn secret(&self, id: &[u8; 16]) -> Option<Zeroizing<[u8; 16]>>;

    /// The key of a name, where anybody may have it.
    fn key(&self, id: &[u8; 16]) -> Option<Zeroizing<[u8; 16]>>;

    /// All that there are now, with their names, where anybody may have them.
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
    /// For players that are steered, or not.
    Multivariant(bool),
    /// Of DASH; the same.
    Manifest(bool),
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
    /// Of a view of the past: the change of the live stream that it was joined with.
    joined: u64,
    /// The newest run that is shown only, and kept nowhere.
    unkept: Option<u32>,
    /// Those who follow it step by step, once somebody did.
    followers: Option<broadcast::Sender<Step>>,
}

impl Inner {
    fn change(&mut self, event: Event, at_ms: i64) -> Option<usize> {
        if let Some(followers) = self.followers.as_ref().filter(|f| f.receiver_count() > 0) {
            // Fails when the last one has just gone.
            let _ = followers.send((event.clone(), at_ms));
        }
        // Text is in the segments to come, and in no list.
        if matches!(event, Event::Text { .. }) {
            return self.window.apply(event);
        }
        let own = matches!(event, Event::Part { .. } | Event::SegmentEnd { .. });
        let track = self.window.apply(event);
        self.newest = Version { number: self.newest.number + 1, at_ms };
        match track.filter(|_| own) {
            Some(track) => {
                for track in self.window.passed_by(track).chain([track]) {
                    if self.tracks.len() <= track {
                        self.tracks.resize(track + 1, Version::default());
                    }
                    if let Some(version) = self.tracks.get_mut(track) {
                        *version = self.newest;
                    }
                }
            }
            None => self.everyone = self.newest,
        }
        track
    }

    /// Every text is stale.
    fn renew(&mut self, at_ms: i64) {
        self.newest = Version { number: self.newest.number + 1, at_ms };
        self.everyone = self.newest;
    }

    /// The window changed in a way that is in no event: who follows it begins anew.
    fn change_unheard(&mut self) {
        self.followers = None;
        self.renew(crate::wall_ms());
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
        if own.number > self.everyone.number { own } else { self.everyone }
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
            joined: 0,
            unkept: None,
            followers: None,
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

    /// It is encrypted with these. The first word counts.
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
        let mut inner = self.lock();
        if inner.window.offer(tracks) {
            inner.change_unheard();
        }
    }

    /// These tracks are announced nowhere: see [`Window::hide`].
    pub fn hide(&self, tracks: Vec<TrackId>) {
        let mut inner = self.lock();
        if inner.window.hide(tracks) {
            inner.change_unheard();
        }
    }

    /// When a track was asked for last, Unix milliseconds, if it is made on demand. Those who follow the stream, such as
    /// edges, ask for all: what their viewers ask for is not known here.
    pub fn asked_ms(&self, track: TrackId) -> Option<i64> {
        let asked = self.demand.lock().iter().find(|(of, _)| *of == track).map(|(_, at)| *at)?;
        Some(if self.followers() > 0 { crate::wall_ms() } else { asked })
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
        self.apply_at(event, crate::wall_ms());
    }

    /// The same for a step that took place at `at_ms` (Unix milliseconds), on another node.
    pub fn apply_at(&self, event: Event, at_ms: i64) {
        let news = matches!(event, Event::Run(_) | Event::End);
        let (track, everyone) = {
            let mut inner = self.lock();
            // Lists of vanished tracks go on with the leader's.
            let news = news || inner.window.vanished().next().is_some();
            let idle = !inner.window.is_playable();
            let track = inner.change(event, at_ms);
            (track, news || (idle && inner.window.is_playable()))
        };
        for (nth, bell) in self.bells.iter().enumerate() {
            if everyone || track.is_some_and(|t| t % BELLS == nth) {
                bell.ring();
            }
        }
    }

    /// Of a view of the past: takes what was read, and shows the edge of the live stream behind it if that is one. `grows`:
    /// see [`Window::grow`].
    pub(crate) fn refill(&self, events: Vec<Event>, grows: bool, live: Option<&Self>) {
        {
            let mut inner = self.lock();
            let edge = live.map(Self::lock);
            if events.is_empty() && edge.as_ref().is_none_or(|live| live.newest.number == inner.joined) {
                return;
            }
            let at_ms = crate::wall_ms();
            inner.window.unjoin();
            if grows {
                inner.window.grow();
            }
            for event in events {
                inner.change(event, at_ms);
            }
            if let Some(live) = edge {
                inner.window.join(&live.window);
                inner.joined = live.newest.number;
            }
            inner.renew(at_ms);
        }
        self.bells.iter().for_each(Bell::ring);
    }

    /// From now on nobody waits: the node is about to stop.
    pub fn release(&self) {
        self.released.store(true, Ordering::Relaxed);
        self.bells.iter().for_each(Bell::ring);
    }

    /// A stream that goes on after a restart of the process listed this.
    pub fn resume(&self, remains: Remains) {
        let mut inner = self.lock();
        inner.window.resume(remains);
        inner.followers = None;
    }

    /// Puts another node's window, which changed last at `at_ms` (Unix milliseconds), in the place of this one; those
    /// who wait look again, those who follow begin anew.
    pub fn replace(&self, window: Window, at_ms: i64) {
        {
            let mut inner = self.lock();
            inner.window = window;
            inner.renew(at_ms);
            inner.ts.clear();
            inner.followers = None;
        }
        self.bells.iter().for_each(Bell::ring);
    }

    /// What `look` sees of the window and when that changed last, and every step from there on. A receiver that has
    /// missed steps, or is closed, has to follow anew.
    pub fn follow<T>(&self, look: impl FnOnce(i64, &Window) -> T) -> (T, broadcast::Receiver<Step>) {
        let mut inner = self.lock();
        let seen = look(inner.newest.at_ms, &inner.window);
        (seen, inner.followers.get_or_insert_with(|| broadcast::Sender::new(STEPS_MAX)).subscribe())
    }

    /// How many follow it.
    #[must_use]
    pub fn followers(&self) -> usize {
        self.lock().followers.as_ref().map_or(0, broadcast::Sender::receiver_count)
    }

    /// The run of this number, which is about to begin, is shown only, and kept nowhere: nobody sends.
    pub fn set_unkept(&self, run: u32) {
        self.lock().unkept = Some(run);
    }

    /// See [`Window::held_before`]; nothing of a run that is not to be kept.
    #[must_use]
    pub fn held_before(&self, to_ms: i64) -> Vec<Unstored> {
        let inner = self.lock();
        let run = inner.window.run().map(|run| run.number);
        if run.is_some() && run == inner.unkept { Vec::new() } else { inner.window.held_before(to_ms) }
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
            Text::Multivariant(false) => inner.window.multivariant()?,
            Text::Multivariant(true) => inner.window.multivariant_steered()?,
            Text::Manifest(false) => nx_dash::manifest(&inner.window)?,
            Text::Manifest(true) => nx_dash::manifest_steered(&inner.window)?,
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
        let share = |s: &nx_hls::Segment| Share {
            track: s.track.clone(),
            parts: s.parts.iter().map(|p| p.bytes.clone()).collect(),
        };
        let shares: Vec<Share> = self.read(|w| Some(w.ts_segment(msn)?.into_iter().map(share).collect()))?;
        let bytes = ts::segment(&shares, msn, self.keys().map(|keys| &**keys))?;
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
