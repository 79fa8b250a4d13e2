//! A stream that a second origin has too: which of the two packages it, and how the other one takes over.
//!
//! Who follows holds back what its publisher sends, and forgets it after some seconds. When the other origin falls
//! silent, timeline and packager go on where its window ends, with what was held back: the same parts under the same
//! names. Where that cannot be (other tracks, encryption, a ladder), a new run begins with the next numbers.
//!
//! When both package, because they could not hear each other, the one that is behind follows from then on; of two that
//! are at the same segment, the one that does not lead.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;

use nx_hls::{Event, Packager, Run, Start, TrackSpec, Window};
use nx_media::{Params, Sample, TrackId, rescale};
use nx_timeline::{Arrival, Placed, Timeline, WireClock};

use super::{Now, Pipeline, Relay};
use crate::gate::Gate;
use crate::media::{Expect, Media};
use crate::twin::{Link, Word};

/// What is held back at most: frames, bytes, and for how long, milliseconds.
const HELD_MAX: usize = 4_096;
const HELD_BYTES_MAX: usize = 64 << 20;
const HELD_MS: i64 = 8_000;
/// How long a stream that begins waits for word of the other origin, milliseconds.
const PATIENCE_MS: i64 = 1_500;
/// Silence of so many parts is none: they are long. But never longer than what is held back reaches, milliseconds.
const SILENT_PARTS: i64 = 3;
const SILENCE_MS_MAX: i64 = 6_000;

/// What this origin does with the stream.
enum Role {
    /// It has not heard yet what the other one does; but perhaps that this does not package it, or cannot be asked.
    Asks { nobody: bool, away: bool },
    /// It shows what the other one makes, which it heard last at this time.
    Follows { heard_ms: i64 },
    /// It packages. The other one may do so too.
    Leads { rival: Option<Box<Window>> },
}

/// The other origin's side of a stream.
pub(crate) struct Twin {
    link: Link,
    cut: nx_hls::Config,
    role: Role,
    clock: Option<WireClock>,
    fed_ms: i64,
    held: Held,
}

/// What the publisher sent and is not packaged here.
#[derive(Default)]
struct Held {
    expect: Option<Expect>,
    params: BTreeMap<TrackId, Params>,
    frames: VecDeque<(Now, Arrival)>,
    bytes: usize,
}

impl Held {
    fn keep(&mut self, now: Now, media: Media) {
        match media {
            Media::Expect(expect) => self.expect = Some(expect),
            Media::Params(id, params) => {
                // Frames before do not belong to it.
                if self.params.insert(id, params.clone()).is_some_and(|old| old != params) {
                    (self.frames, self.bytes) = (VecDeque::new(), 0);
                }
            }
            Media::Frame(arrival) => {
                self.bytes += arrival.payload.len();
                self.frames.push_back((now, arrival));
                while self.frames.len() > HELD_MAX || self.bytes > HELD_BYTES_MAX || self.is_old(now) {
                    let Some((_, old)) = self.frames.pop_front() else { break };
                    self.bytes -= old.payload.len();
                }
            }
            Media::Metadata(_) | Media::Cue(_) => {}
        }
    }

    fn is_old(&self, now: Now) -> bool {
        self.frames.front().is_some_and(|(at, _)| now.ms - at.ms > HELD_MS)
    }

    fn specs(&self) -> Vec<TrackSpec> {
        self.params.iter().map(|(id, params)| TrackSpec { id: *id, params: params.clone() }).collect()
    }
}

impl Twin {
    pub(crate) fn new(link: Link, cut: nx_hls::Config) -> Self {
        let role = Role::Asks { nobody: false, away: false };
        Self { link, cut, role, clock: None, fed_ms: i64::MIN, held: Held::default() }
    }

    fn leads(&self) -> bool {
        matches!(self.role, Role::Leads { .. })
    }

    /// Silence that means something, milliseconds.
    fn silence_ms(&self) -> i64 {
        i64::from(self.link.config.takeover_ms)
            .max(SILENT_PARTS * i64::from(self.cut.part_ms))
            .min(SILENCE_MS_MAX)
    }

    /// Whether it is time to package what is held back.
    fn is_due(&self, now_ms: i64) -> bool {
        match &self.role {
            Role::Asks { nobody, away } => {
                let waited_ms = self.held.frames.front().map_or(0, |(at, _)| now_ms - at.ms);
                *away || (*nobody && self.link.config.leads) || waited_ms >= PATIENCE_MS
            }
            // It is silent if the publisher is not: from the first frame here that it has said nothing after.
            Role::Follows { heard_ms } => {
                let since = self.held.frames.partition_point(|(at, _)| at.ms <= *heard_ms);
                self.held.frames.get(since).is_some_and(|(at, _)| now_ms - at.ms >= self.silence_ms())
            }
            Role::Leads { .. } => false,
        }
    }

    fn tell(&self, leads: bool) {
        self.link.standing.leads.store(leads, Ordering::Relaxed);
    }
}

impl Pipeline {
    /// From now on another origin has the stream too.
    pub(crate) fn pair(&mut self, twin: Twin) {
        (self.twin, self.lost_ms) = (Some(twin), None);
    }

    /// Whether the other origin packages it, or may do so.
    pub(crate) fn is_led(&self) -> bool {
        self.twin.as_ref().is_some_and(|twin| !twin.leads())
    }

    /// The stream is to end here: what the other origin has begun and left is ended too.
    pub(crate) fn wind_up(&mut self, now_ms: i64) {
        let Some(twin) = &mut self.twin else { return };
        if matches!(twin.role, Role::Follows { heard_ms } if now_ms - heard_ms >= twin.silence_ms()) {
            twin.role = Role::Leads { rival: None };
            self.live.read(|window| self.packager.adopt(window, false));
        }
    }

    /// A publisher's frame is on air, not a slate's.
    pub(crate) fn fed(&mut self, now_ms: i64) {
        if let Some(twin) = &mut self.twin {
            twin.fed_ms = now_ms;
            twin.link.standing.fed_ms.store(nx_delivery::wall_ms(), Ordering::Relaxed);
        }
    }

    /// A session begins; whether it is held back.
    pub(super) fn hold_session(&mut self, clock: WireClock) -> bool {
        let Some(twin) = &mut self.twin else { return false };
        (twin.clock, twin.held) = (Some(clock), Held::default());
        !twin.leads()
    }

    /// Holds back what is not packaged here; gives it back when it is.
    pub(super) fn hold(&mut self, now: Now, media: Media, relay: &mut dyn FnMut(Relay<'_>)) -> Option<Media> {
        let Some(twin) = self.twin.as_mut().filter(|twin| !twin.leads()) else { return Some(media) };
        let frame = matches!(media, Media::Frame(_));
        twin.held.keep(now, media);
        if frame && twin.is_due(now.ms) {
            self.take_over(now, relay);
        }
        None
    }

    /// Takes what was heard of the other origin.
    pub(crate) fn hear_twin(&mut self, now_ms: i64) {
        while let Some(twin) = &mut self.twin {
            let Ok(word) = twin.link.words.try_recv() else { return };
            match (word, &mut twin.role) {
                (Word::Window(window, _), Role::Leads { rival }) => *rival = Some(window),
                (Word::Window(window, at_ms), _) => self.follow(*window, at_ms, now_ms),
                (Word::Event(event, at_ms), Role::Follows { heard_ms }) => {
                    *heard_ms = now_ms;
                    self.take_event(*event, at_ms);
                }
                (Word::Event(event, at_ms), Role::Leads { rival: Some(rival) }) => {
                    rival.apply(*event);
                    self.meet_rival(at_ms, now_ms);
                }
                (Word::Nobody, Role::Asks { nobody, .. }) => *nobody = true,
                (Word::Away, Role::Asks { away, .. }) => *away = true,
                (Word::Nobody | Word::Away, Role::Leads { rival }) => *rival = None,
                (Word::Event(..) | Word::Nobody | Word::Away, _) => {}
            }
        }
    }

    /// The other origin packages it too, and goes on.
    fn meet_rival(&mut self, at_ms: i64, now_ms: i64) {
        let Some(twin) = &mut self.twin else { return };
        let silence_ms = twin.silence_ms();
        let Role::Leads { rival } = &mut twin.role else { return };
        let Some(rival) = rival.take() else { return };
        let (mine, theirs) = (self.live.read(newest), newest(&rival));
        let unfed = now_ms.saturating_sub(twin.fed_ms) > silence_ms;
        if unfed || theirs > mine || (theirs == mine && !twin.link.config.leads) {
            self.follow(*rival, at_ms, now_ms);
        } else {
            twin.link.standing.declined.store(true, Ordering::Relaxed);
        }
    }

    /// From now on it is shown as the other origin packages it.
    fn follow(&mut self, window: Window, at_ms: i64, now_ms: i64) {
        let Some(twin) = &mut self.twin else { return };
        tracing::info!(stream = %self.live.key(), "the other origin packages this stream: followed");
        if twin.leads() {
            twin.held = Held { params: std::mem::take(&mut self.declared), ..Held::default() };
            self.rungs.iter_mut().for_each(|rungs| rungs.end());
            (self.timeline, self.waiting) = (Timeline::new(nx_timeline::Config::default()), None);
            let runs = self.packager.runs();
            self.packager = Packager::new(twin.cut, Start { run: runs, ..Start::default() });
            if self.keys.is_some() {
                self.packager.encrypt();
            }
        }
        twin.role = Role::Follows { heard_ms: now_ms };
        twin.tell(false);
        self.packager.keep_up(&window);
        if let (Some(keeper), Some(run)) = (&mut self.keeper, window.run()) {
            keeper.follow(run, self.live.key());
        }
        self.live.replace(window, at_ms);
    }

    fn take_event(&mut self, event: Event, at_ms: i64) {
        self.live.apply_at(event.clone(), at_ms);
        if matches!(event, Event::Part { .. }) {
            return;
        }
        self.live.read(|window| self.packager.keep_up(window));
        match (&mut self.keeper, &event) {
            (Some(keeper), Event::Run(run)) => keeper.follow(run, self.live.key()),
            (Some(keeper), _) => keeper.note(&event, &self.live),
            (None, _) => {}
        }
    }

    /// Packages the stream from here on.
    fn take_over(&mut self, now: Now, relay: &mut dyn FnMut(Relay<'_>)) {
        let Some(twin) = &mut self.twin else { return };
        let before = std::mem::replace(&mut twin.role, Role::Leads { rival: None });
        twin.tell(true);
        let followed = matches!(before, Role::Follows { .. });
        twin.link.standing.declined.store(followed, Ordering::Relaxed);
        let (Some(clock), mut held) = (twin.clock, std::mem::take(&mut twin.held)) else { return };
        let went_on = if let Role::Follows { heard_ms } = before {
            let went_on = self.go_on(clock, heard_ms, &held, relay);
            if !went_on {
                held.frames.retain(|(at, _)| at.ms >= heard_ms);
                let reached_ms = self.live.read(reached_ms).unwrap_or(0);
                self.timeline.resume(reached_ms, now.ms, now.ms - heard_ms);
            }
            went_on
        } else {
            false
        };
        tracing::info!(stream = %self.live.key(), went_on, "this stream is packaged here");
        if !went_on {
            self.begin_session(clock);
            let params = held.params.into_iter().map(|(id, params)| Media::Params(id, params));
            let told = held.expect.into_iter().map(Media::Expect).chain(params);
            told.for_each(|media| self.carry(now, media, relay));
        }
        for (at, arrival) in held.frames {
            self.carry(at, Media::Frame(arrival), relay);
        }
    }

    /// Goes on in the middle of what the other origin was packaging; else what that has begun is ready to be ended.
    fn go_on(
        &mut self,
        clock: WireClock,
        heard_ms: i64,
        held: &Held,
        relay: &mut dyn FnMut(Relay<'_>),
    ) -> bool {
        let specs = held.specs();
        let fits = |run: &Run| {
            let tracks = run.tracks.iter().map(|t| (&t.id, &t.params));
            run.keys.is_empty() && tracks.eq(specs.iter().map(|spec| (&spec.id, &spec.params)))
        };
        let own = self.keys.is_none() && self.rungs.is_none();
        let placed = self.live.read(|w| w.run().filter(|run| own && fits(run)).map(|run| placed(w, run)));
        let mut timeline = Timeline::new(nx_timeline::Config::default());
        specs.iter().for_each(|spec| timeline.set_params(spec.id, &spec.params));
        let arrivals: Vec<(i64, Arrival)> = held.frames.iter().map(|(at, a)| (at.ms, a.clone())).collect();
        let joined = placed.is_some_and(|placed| timeline.join(clock, &placed, heard_ms, &arrivals));
        if !self.live.read(|window| self.packager.adopt(window, joined)) || !joined {
            return false;
        }
        (self.timeline, self.declared, self.dirty) = (timeline, held.params.clone(), false);
        self.gate = None::<Gate>;
        relay(Relay::Params(&specs));
        true
    }
}

/// Number of the segment that the window's leader is at.
fn newest(window: &Window) -> u64 {
    let next = window.run().and_then(|run| window.next(run.leader()));
    next.map_or(0, |next| next.msn)
}

/// Stream time that a window's leader has reached, milliseconds.
pub(super) fn reached_ms(window: &Window) -> Option<i64> {
    let (leader, scale) = window.run().and_then(|run| {
        let leader = run.leader();
        Some((leader, run.tracks.get(leader)?.params.timescale()))
    })?;
    let last = window.parts_from(leader, newest(window).saturating_sub(1)).last()?;
    Some(rescale(last.dts.saturating_add(i64::try_from(last.duration).unwrap_or(0)), scale, 1000))
}

/// The newest samples of each track of a run, the leader's first: those of the segment before, and of the open one.
fn placed(window: &Window, run: &Run) -> Vec<Placed> {
    let leader = run.leader();
    let from = newest(window).saturating_sub(1).max(run.first_msn);
    let of = |index: usize| -> Option<Placed> {
        let parts = window.parts_from(index, from);
        let samples: Vec<Sample> =
            parts.filter_map(|part| nx_container::fmp4::samples(&part.bytes).ok()).flatten().collect();
        Some((run.tracks.get(index)?.id, samples))
    };
    let others = (0..run.tracks.len()).filter(|index| *index != leader);
    [leader].into_iter().chain(others).filter_map(of).collect()
}
