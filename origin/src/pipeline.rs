//! One stream from frames to events: gate, timeline, packager, window.
//!
//! Outlives its publishers: a stream that is taken up again goes on with the same window and numbers.

mod lost;
mod made;
mod twin;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use nx_container::fmp4;
use nx_container::scte35::Splice;
use nx_contract::desired::Fault;
use nx_delivery::LiveStream;
use nx_hls::{DateRange, Event, Packager, TextCue, TrackSpec};
use nx_media::{AudioCodec, Kind, Params, Sample, TrackId, rescale};
use nx_timeline::{Arrival, Output, RepairKind, Timeline, WireClock};

use crate::announce;
use crate::captions::TextTrack;
use crate::config::StreamConfig;
use crate::cues;
use crate::gate::Gate;
use crate::ingest::clip::Clip;
use crate::journal::Mark;
use crate::keep::Keeper;
use crate::keys::StreamKeys;
use crate::ladder::Rungs;
use crate::media::Media;
use crate::still::Still;
use made::Waiting;
pub(crate) use twin::Twin;

/// The picture that stands still begins so much behind the last frame: for its length, and what it was sent out of order.
/// Milliseconds.
const STILL_AFTER_MS: i64 = 100;

/// What a consumer of frames gets, beside the window: RTMP players.
pub(crate) enum Relay<'a> {
    /// Decoder parameters changed.
    Params(&'a [TrackSpec]),
    /// A frame on trusted time.
    Frame(TrackId, &'a Sample, &'a Params),
}

/// Bytes and frames of a track since the last look.
pub(crate) type Traffic = BTreeMap<TrackId, (u64, u64)>;

/// When something came: on the origin's clock and on the world's, milliseconds.
#[derive(Debug, Clone, Copy)]
struct Now {
    ms: i64,
    wall_ms: i64,
}

pub(crate) struct Pipeline {
    live: Arc<LiveStream>,
    keeper: Option<Keeper>,
    timeline: Timeline,
    packager: Packager,
    /// Tracks declared by the present publisher; the ones in use are the packager's.
    declared: BTreeMap<TrackId, Params>,
    /// Declared tracks differ from those in use.
    dirty: bool,
    gate: Option<Gate>,
    text: TextTrack,
    still: Still,
    /// Nobody sends; the picture stands still.
    stands: bool,
    segment_ms: u32,
    /// When an earlier process carried it last, until somebody sends again or it ends.
    lost_ms: Option<i64>,
    /// Who is back later has not been waited for; milliseconds.
    patience_ms: i64,
    /// Of the session.
    clock: WireClock,
    /// What is made of it.
    rungs: Option<Rungs>,
    /// What waits until it is known what is made of it.
    waiting: Option<Waiting>,
    /// Of an encrypted stream: nothing of it is relayed in the clear.
    keys: Option<StreamKeys>,
    /// Why it shows nothing, if so.
    hindrance: Option<String>,
    /// Another origin has it too.
    twin: Option<Twin>,
    pub(crate) traffic: Traffic,
}

impl Pipeline {
    /// A stream that starts, or goes on after `mark` if an earlier process carried it.
    pub(crate) fn new(
        live: Arc<LiveStream>,
        config: &StreamConfig,
        mark: Option<&Mark>,
        keeper: Option<Keeper>,
        now_ms: i64,
        wall_ms: i64,
    ) -> Self {
        let cut = nx_hls::Config { segment_ms: config.segment_ms, part_ms: config.part_ms };
        let mut timeline = Timeline::new(nx_timeline::Config::default());
        // Numbered by the clock, so that a stream which starts anew never repeats a name that caches hold.
        let by_clock = u64::try_from(wall_ms).unwrap_or(0) / u64::from(config.segment_ms.max(1));
        let mut start = nx_hls::Start { msn: by_clock, ..Default::default() };
        if let Some(mark) = mark {
            start = mark.start();
            live.resume(mark.remains());
            timeline.resume(mark.reached_ms, now_ms, wall_ms - mark.wall_ms);
        }
        let lost_ms = timeline.heard_ms().filter(|_| mark.is_some_and(|mark| mark.live));
        // What is stored under a run's number stays its own, even when the journal was lost.
        start.run = start.run.max(keeper.as_ref().map_or(0, Keeper::next_run));
        Self {
            live,
            keeper,
            timeline,
            packager: Packager::new(cut, start),
            declared: BTreeMap::new(),
            dirty: false,
            gate: Some(Gate::default()),
            text: TextTrack::new(&config.captions),
            still: Still::default(),
            stands: false,
            segment_ms: config.segment_ms,
            lost_ms,
            patience_ms: i64::from(config.reconnect_s) * 1000,
            clock: WireClock::RTMP,
            rungs: None,
            waiting: None,
            keys: None,
            hindrance: None,
            twin: None,
            traffic: Traffic::default(),
        }
    }

    /// From now on nothing leaves but encrypted: what is relayed in the clear gets nothing.
    pub(crate) fn encrypt(&mut self, keys: StreamKeys) {
        self.packager.encrypt();
        self.keys = Some(keys);
        self.turn_key(nx_delivery::wall_ms());
    }

    /// Looks for the key that is to be used now.
    pub(crate) fn turn_key(&mut self, wall_ms: i64) {
        let Some(keys) = &self.keys else { return };
        if let Some(key) = keys.now(wall_ms) {
            self.packager.set_key(key);
        }
        let reason = self.packager.hindrance().map(|why| why.to_string());
        if reason != self.hindrance {
            if let Some(reason) = &reason {
                tracing::warn!(stream = %self.live.key(), reason, "nothing is shown of an encrypted stream");
            }
            self.hindrance = reason;
        }
    }

    /// Why nothing is shown of it, although it comes.
    pub(crate) fn hindrance(&self) -> Option<&str> {
        self.hindrance.as_deref()
    }

    /// A publisher came, or another input of the stream is taken.
    pub(crate) fn start_session(&mut self, clock: WireClock) {
        if !self.hold_session(clock) {
            self.begin_session(clock);
        }
    }

    fn begin_session(&mut self, clock: WireClock) {
        self.settle(&mut |_| ());
        self.declared.clear();
        self.dirty = false;
        // What can stand still, or is made here, need not be waited for.
        let made = self.made();
        let tracks = self.packager.run_tracks().iter().map(|t| t.id);
        let known = tracks.filter(|id| !self.still.holds(*id) && !made.contains(id));
        self.gate = Some(Gate::again(known.collect()).pictured(self.lost_ms.is_some()));
        self.clock = clock;
        self.turn_session(clock);
    }

    /// What comes next has other time stamps than what came.
    fn turn_session(&mut self, clock: WireClock) {
        self.timeline.start_session(clock);
        while self.timeline.poll().is_some() {
            self.packager.break_run();
            self.text.break_run();
        }
        self.publish();
        self.stands = false;
    }

    /// What stands still while nobody sends, and since when: the last frame has come by then, and is over. Of two origins the
    /// other one may have a publisher.
    pub(crate) fn still(&self, now_ms: i64, wall_ms: i64) -> Option<(Arc<Clip>, i64)> {
        let part_us = self.packager.part_target_us().filter(|_| self.twin.is_none())?;
        let clip = self.still.clip(&self.declared, self.segment_ms, part_us)?;
        let time_ms = self.packager.time_at_ms(wall_ms)? / 1000;
        let over_ms = now_ms.saturating_add(self.reached_ms()?.saturating_sub(time_ms));
        Some((clip, self.timeline.heard_ms()?.max(over_ms) + STILL_AFTER_MS))
    }

    /// The session that has begun is that clip.
    pub(crate) fn stand(&mut self, now_ms: i64) {
        self.stands = true;
        let text = || "nobody sent, the last picture stood still".into();
        self.timeline.repairs_mut().note(now_ms, RepairKind::Still, text);
    }

    /// The stream is over. Where another origin packages it, that one says so.
    pub(crate) fn finish(&mut self) {
        self.lost_ms = None;
        if self.is_led() {
            return;
        }
        self.settle(&mut |_| ());
        self.rungs.iter_mut().for_each(Rungs::end);
        self.packager.finish();
        self.publish();
    }

    pub(crate) fn timeline(&mut self) -> &mut Timeline {
        &mut self.timeline
    }

    /// See [`Timeline::deviation_ms`].
    pub(crate) fn deviation_ms(&self, id: TrackId) -> Option<i64> {
        self.timeline.deviation_ms(id)
    }

    /// Stream time of the newest frame, milliseconds.
    pub(crate) fn reached_ms(&self) -> Option<i64> {
        self.timeline.reached_ms()
    }

    pub(crate) fn packager(&self) -> &Packager {
        &self.packager
    }

    /// Tracks in use.
    pub(crate) fn tracks(&self) -> Vec<TrackSpec> {
        let spec = |t: &Arc<nx_hls::RunTrack>| TrackSpec { id: t.id, params: t.params.clone() };
        self.packager.run_tracks().iter().map(spec).collect()
    }

    /// What has to be known to go on after a restart of the process.
    pub(crate) fn mark(&self, id: &str, live: bool) -> Mark {
        let listed = self.live.read(|w| w.remains(self.packager.next_msn()));
        Mark {
            id: id.to_owned(),
            live,
            msn: self.packager.next_msn(),
            run: self.packager.runs(),
            part_target_us: self.packager.part_target_us(),
            discontinuities: listed.discontinuities,
            reached_ms: self.reached_ms().or_else(|| self.live.read(twin::reached_ms)).unwrap_or(0),
            wall_ms: nx_delivery::wall_ms(),
            run_start_ms: listed.start_ms,
            wall_at_zero_ms: listed.wall_at_zero_ms,
            first_msn: listed.first_msn,
            begins_ms: listed.begins_ms,
        }
    }

    /// Takes what the publisher sent, `late_ms` after it came. Metadata are not for the pipeline.
    pub(crate) fn take(&mut self, now_ms: i64, late_ms: i64, media: Media, relay: &mut dyn FnMut(Relay<'_>)) {
        let now = Now { ms: now_ms - late_ms, wall_ms: nx_delivery::wall_ms() - late_ms };
        self.take_at(now, media, relay);
    }

    fn take_at(&mut self, now: Now, media: Media, relay: &mut dyn FnMut(Relay<'_>)) {
        if let Some(media) = self.hold(now, media, relay) {
            self.carry(now, media, relay);
        }
    }

    fn carry(&mut self, now: Now, media: Media, relay: &mut dyn FnMut(Relay<'_>)) {
        if self.keys.is_none() {
            return self.take_up(now, media, relay);
        }
        if !self.packager.has_key() {
            self.turn_key(now.wall_ms);
        }
        self.take_up(now, media, &mut |_| ());
    }

    fn take_up(&mut self, now: Now, media: Media, relay: &mut dyn FnMut(Relay<'_>)) {
        match media {
            Media::Expect(expect) => {
                if expect.exact {
                    let before = self.declared.len();
                    self.declared.retain(|id, _| expect.tracks.contains(id));
                    self.dirty |= self.declared.len() != before;
                }
                if let Some(gate) = &mut self.gate {
                    gate.expect(expect);
                }
            }
            Media::Params(id, params) => self.declare(id, params, relay),
            Media::Frame(arrival) => self.frame(now, arrival, relay),
            Media::Cue(splice) => self.cue(&splice),
            Media::Metadata(_) => {}
        }
    }

    /// Everything a player needs to start now: from the newest key frame on, in decode order.
    pub(crate) fn burst(&self) -> Vec<(TrackId, Sample)> {
        // Of what stands still, players get nothing: it is not the publisher's.
        if self.keys.is_some() || self.stands {
            return Vec::new();
        }
        let leader = self.packager.leader();
        let Some(msn) = self.live.read(|w| w.newest_independent(leader)) else { return Vec::new() };
        let tracks = self.packager.run_tracks();
        let mut from_us = i64::MIN;
        let mut burst = Vec::new();
        let leader_first =
            (0..tracks.len()).filter(|&t| t == leader).chain((0..tracks.len()).filter(|&t| t != leader));
        for track in leader_first {
            let Some((id, params)) = tracks.get(track).map(|t| (t.id, &t.params)) else { continue };
            let us = |dts: i64| rescale(dts, params.timescale(), 1_000_000);
            let parts: Vec<Bytes> = self.live.read(|w| {
                w.parts_from(track, msn.saturating_sub(u64::from(track != leader)))
                    .map(|p| p.bytes.clone())
                    .collect()
            });
            let stored = parts.iter().filter_map(|p| fmp4::samples(p).ok()).flatten();
            let samples = stored.chain(self.packager.open_samples(track).cloned());
            let samples = samples.skip_while(|s| us(s.dts) < from_us);
            burst.extend(samples.map(|s| (us(s.dts), id, s)));
            if track == leader {
                from_us = burst.first().map_or(from_us, |b| b.0);
            }
        }
        burst.sort_by_key(|b| b.0);
        burst.into_iter().map(|(_, id, sample)| (id, sample)).collect()
    }

    fn declare(&mut self, id: TrackId, params: Params, relay: &mut dyn FnMut(Relay<'_>)) {
        if self.declared.get(&id) == Some(&params) {
            return;
        }
        let changed = self.declared.insert(id, params).is_some();
        self.dirty = true;
        // A picture of another kind starts with a key frame, at once; everything else waits for the next one.
        let leads = self.leader() == Some(id);
        if self.gate.is_none() && leads && (changed || id.kind == Kind::Audio) {
            self.apply_tracks(relay);
        }
    }

    /// The declared track that decides where segments are cut.
    fn leader(&self) -> Option<TrackId> {
        self.declared.keys().next().copied()
    }

    fn frame(&mut self, now: Now, arrival: Arrival, relay: &mut dyn FnMut(Relay<'_>)) {
        if !self.stands {
            let (bytes, frames) = self.traffic.entry(arrival.track).or_default();
            *bytes += arrival.payload.len() as u64;
            *frames += 1;
        }
        if arrival.payload.is_empty() {
            return;
        }
        if let Some(gate) = &mut self.gate {
            if let Some(held) = gate.push(now.ms, arrival, &self.declared) {
                self.gate = None;
                self.cover_lost(now, &held, relay);
                self.apply_tracks(relay);
                held.into_iter().for_each(|arrival| self.place(now, arrival, relay));
            }
            return;
        }
        if self.dirty && arrival.key && self.leader() == Some(arrival.track) {
            self.apply_tracks(relay);
        }
        let arrival = if self.dirty { self.as_told(arrival) } else { Some(arrival) };
        if let Some(arrival) = arrival {
            self.place(now, arrival, relay);
        }
    }

    /// A decoder that gets frames of parameters it was not told of may give up: until they are applied it gets
    /// silence in their place, or nothing.
    fn as_told(&self, arrival: Arrival) -> Option<Arrival> {
        let told = self.packager.run_tracks().iter().find(|t| t.id == arrival.track).map(|t| &t.params);
        let declared = self.declared.get(&arrival.track);
        match told.filter(|told| declared.is_some_and(|declared| declared != *told)) {
            None => Some(arrival),
            Some(Params::Audio(told)) if told.codec == AudioCodec::Aac => {
                let payload = Bytes::from_static(nx_codec::aac::silent_frame(told)?);
                Some(Arrival { samples: None, payload, ..arrival })
            }
            Some(_) => None,
        }
    }

    /// The tracks that a publisher declared are those of the stream from now on. What is made of them may have to be
    /// found out first: the worker says it, at best before the first frames are due to anybody.
    fn apply_tracks(&mut self, relay: &mut dyn FnMut(Relay<'_>)) {
        self.settle(relay);
        self.dirty = false;
        let spec = |(id, params): (&TrackId, &Params)| TrackSpec { id: *id, params: params.clone() };
        let tracks: Vec<TrackSpec> = self.declared.iter().map(spec).collect();
        let ids: Vec<TrackId> = self.declared.keys().copied().collect();
        self.timeline.keep_tracks(&ids);
        tracks.iter().for_each(|t| self.timeline.set_params(t.id, &t.params));
        let known = self.rungs.as_mut().is_none_or(|rungs| {
            rungs.turn(&tracks);
            rungs.is_settled()
        });
        if known {
            self.set_tracks(&tracks);
        }
        relay(Relay::Params(&tracks));
        self.waiting = (!known).then(|| Waiting::new(tracks));
    }

    fn place(&mut self, now: Now, arrival: Arrival, relay: &mut dyn FnMut(Relay<'_>)) {
        self.timeline.push(now.ms, arrival);
        while let Some(output) = self.timeline.poll() {
            match output {
                Output::Break => {
                    self.settle(relay);
                    self.packager.break_run();
                    self.text.break_run();
                }
                Output::Sample(id, sample) => {
                    if let Some(rungs) = &mut self.rungs {
                        rungs.see(id, &sample, now.wall_ms);
                    }
                    match &mut self.waiting {
                        Some(waiting) => waiting.push(id, sample, now.wall_ms),
                        None => self.pack(id, sample, now.wall_ms, relay),
                    }
                }
            }
        }
        self.settle_in_time(now.wall_ms, relay);
        self.publish();
    }

    /// Hands a sample on.
    fn pack(&mut self, id: TrackId, sample: Sample, wall_ms: i64, relay: &mut dyn FnMut(Relay<'_>)) {
        self.stand_still(id, &sample, wall_ms);
        let tracks = self.packager.run_tracks();
        let Some(track) = tracks.iter().position(|t| t.id == id) else { return };
        // Who plays what the publisher sends is to see that it is gone: a programme shows something else in its place.
        if !self.stands {
            relay(Relay::Frame(id, &sample, &tracks[track].params));
        }
        self.still.see(id, &sample, &tracks[track].params);
        // A caption is not said again with each time that its picture is shown.
        if track == self.packager.leader() && !self.stands {
            let track = self.packager.run_tracks()[track].clone();
            self.text.see(&track.params, &sample, &mut self.packager);
        }
        self.packager.push(track, sample, wall_ms);
    }

    /// Shows the picture that stands still up to a sample of sound.
    fn stand_still(&mut self, sound: TrackId, sample: &Sample, wall_ms: i64) {
        let Some(Params::Audio(params)) = self.declared.get(&sound) else { return };
        if self.leader() != Some(sound) {
            return;
        }
        let params = Params::Audio(params.clone());
        let part_us = self.packager.part_target_us().unwrap_or(333_000);
        while let Some(shown) = self.still.until(sample, &params, part_us) {
            let picture = self.packager.leader();
            self.packager.push(picture, shown, wall_ms);
        }
    }

    fn cue(&mut self, splice: &Splice) {
        let now_us = self.reached_ms().unwrap_or(0) * 1000;
        let us = |time: i64| rescale(time, nx_media::VIDEO_TIMESCALE, 1_000_000);
        let at = |pts: Option<u64>| pts.and_then(|pts| self.timeline.time_of(pts)).map_or(now_us, us);
        for range in cues::ranges(splice, at) {
            self.packager.cue(range);
        }
        self.publish();
    }

    /// Shows text from the API at a time of the stream; gives its rendition.
    pub(crate) fn caption(&mut self, cue: &announce::Cue, start_us: i64) -> Result<usize, Fault> {
        let rendition = self.text.rendition(&cue.name, &cue.language, false, &mut self.packager);
        let Some(rendition) = rendition else {
            return Err(Fault::Full(format!(
                "a stream has at most {} text renditions",
                nx_hls::RENDITIONS_MAX
            )));
        };
        let (text, duration_us) = (cue.text.clone(), Some(cue.duration_ms.saturating_mul(1000)));
        self.packager.text(rendition, TextCue { start_us, duration_us, text, settings: String::new() });
        self.publish();
        Ok(rendition)
    }

    /// Announces a range of the API.
    pub(crate) fn announce(&mut self, range: DateRange) {
        self.packager.add_cue(range);
        self.publish();
    }

    /// Takes a range back that has not begun.
    pub(crate) fn withdraw(&mut self, id: &str) {
        self.packager.withdraw(id);
        self.publish();
    }

    fn publish(&mut self) {
        while let Some(event) = self.packager.poll() {
            // Nobody sent it: it is shown, and not kept.
            let kept = !self.stands || matches!(event, Event::End);
            if let (false, Event::Run(run)) = (kept, &event) {
                self.live.set_unkept(run.number);
            }
            match self.keeper.as_mut().filter(|_| kept) {
                None => self.live.apply(event),
                Some(keeper) => {
                    self.live.apply(event.clone());
                    keeper.note(&event, &self.live);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
