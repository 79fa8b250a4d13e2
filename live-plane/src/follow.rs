//! A stream that is fetched, from one origin or the next, as long as somebody watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use nx_delivery::LiveStream;
use nx_hls::Window;
use nx_media::StreamKey;
use nx_plane::{Reader, Told};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::edge::Edge;
use crate::figures::add;
use crate::moq::{Frames, Link, Over};

/// How often it is looked whether anybody still watches.
const LOOK: Duration = Duration::from_secs(1);
/// What an origin has for its answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// After a round in which no origin gave the stream.
const PAUSE: Duration = Duration::from_millis(300);
/// A window until the first has come: nothing is listed in it.
const NOTHING: (usize, u64, usize) = (3, 2, 0);

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The origins are being asked.
    Asking,
    /// There is a window.
    On,
    /// All origins were asked, and none knows it.
    Unknown,
    /// None gave it, and not all could be asked.
    Unreachable,
}

/// How a time with one origin ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Over(Over),
    /// Nobody watches any more.
    Left,
}

/// One stream.
pub(crate) struct Followed {
    pub(crate) live: Arc<LiveStream>,
    state: watch::Sender<State>,
    /// When somebody asked last, Unix milliseconds.
    asked_ms: AtomicI64,
}

impl Followed {
    pub(crate) fn new(key: &StreamKey) -> Self {
        let (listed, target_s, bytes_max) = NOTHING;
        Self {
            live: Arc::new(LiveStream::new(key.clone(), Window::new(listed, target_s, bytes_max))),
            state: watch::Sender::new(State::Asking),
            asked_ms: AtomicI64::new(nx_delivery::wall_ms()),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        *self.state.borrow() == State::On
    }

    /// Somebody asks.
    pub(crate) fn touch(&self) {
        self.asked_ms.store(nx_delivery::wall_ms(), Ordering::Relaxed);
    }

    /// What became of asking, or that it takes longer than `limit`.
    pub(crate) async fn settled(&self, limit: Duration) -> State {
        let mut state = self.state.subscribe();
        let known = tokio::time::timeout(limit, state.wait_for(|s| *s != State::Asking)).await;
        if let Ok(Ok(known)) = known { *known } else { State::Asking }
    }

    /// Nobody has asked for so long, and nobody waits.
    pub(crate) fn is_left(&self, linger: Duration) -> bool {
        let since_ms = nx_delivery::wall_ms().saturating_sub(self.asked_ms.load(Ordering::Relaxed));
        let linger_ms = i64::try_from(linger.as_millis()).unwrap_or(i64::MAX);
        since_ms > linger_ms && self.live.held() == 0
    }

    /// Fetches it until nobody watches, or nobody has it.
    pub(crate) async fn run(&self, edge: &Edge) {
        let mut first = 0;
        loop {
            let begun = Instant::now();
            match self.round(edge, &mut first).await {
                Ended::Left => return,
                Ended::Over(Over::Unknown) => {
                    // What it had is over: who asks again is told so.
                    edge.note_unknown(self.live.key());
                    self.state.send_replace(State::Unknown);
                    return;
                }
                Ended::Over(Over::Lost | Over::Hole) if !self.is_on() => {
                    self.state.send_replace(State::Unreachable);
                    return;
                }
                // What it has stays while origins are looked for.
                Ended::Over(Over::Lost | Over::Hole) => {}
            }
            if self.is_left(edge.linger) {
                return;
            }
            tokio::time::sleep_until(begun + PAUSE).await;
        }
    }

    /// Asks every origin until one gives it, and stays with that one: first the one that gave it last, those without a
    /// connection at the end.
    async fn round(&self, edge: &Edge, first: &mut usize) -> Ended {
        let mut origins: Vec<_> = edge.origins_of(self.live.key()).into_iter().enumerate().collect();
        let last = (*first).min(origins.len());
        origins.rotate_left(last);
        origins.sort_by_key(|(_, origin)| !origin.is_up());
        let mut all_know_nothing = true;
        for (nth, origin) in origins {
            let asked = async {
                let link: Arc<Link> = origin.link().await.ok_or(Over::Lost)?;
                link.ask(self.live.key(), &edge.track(self.live.key())).await
            };
            let answer = tokio::time::timeout(ANSWER_MAX, asked).await.unwrap_or(Err(Over::Lost));
            let frames = match answer {
                Ok(frames) => frames,
                Err(why) => {
                    all_know_nothing &= why == Over::Unknown;
                    continue;
                }
            };
            *first = nth;
            return self.take(edge, frames).await;
        }
        Ended::Over(if all_know_nothing { Over::Unknown } else { Over::Lost })
    }

    /// Takes over what comes.
    async fn take(&self, edge: &Edge, mut frames: Frames) -> Ended {
        let mut reader = Reader::default();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let frame = tokio::select! {
                frame = frames.next() => frame,
                _ = look.tick() => {
                    if self.is_left(edge.linger) {
                        return Ended::Left;
                    }
                    continue;
                }
            };
            let frame = match frame {
                Ok(frame) => frame,
                Err(why) => {
                    edge.figures().dropped.fetch_add(u64::from(why == Over::Hole), Ordering::Relaxed);
                    return Ended::Over(why);
                }
            };
            add(&edge.figures().received_bytes, frame.len());
            match reader.take(frame) {
                Ok(None) => {}
                Ok(Some((at_ms, Told::Event(event)))) => self.live.apply_at(*event, at_ms),
                Ok(Some((at_ms, Told::Window(window)))) => {
                    self.live.replace(*window, at_ms);
                    edge.figures().catch_ups.fetch_add(1, Ordering::Relaxed);
                    self.state.send_replace(State::On);
                }
                Err(error) => {
                    tracing::warn!(stream = %self.live.key(), %error, "what came cannot be used");
                    edge.figures().dropped.fetch_add(1, Ordering::Relaxed);
                    return Ended::Over(Over::Lost);
                }
            }
        }
    }
}
