//! One stream in its shard: its inputs, its pipeline, its RTMP players.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use nx_media::{StreamKey, TrackId};
use nx_rtmp::server::PlayStatus;

use crate::claims::{Claim, Lost, Role};
use crate::hub::{Entry, Hub, lock};
use crate::ingest::clip::ClipInput;
use crate::ingest::input::{About, End, Input, Reading, Wire};
use crate::ingest::player::{Message, Player};
use crate::ingest::relay;
use crate::ingest::status::Figures;
use crate::ladder::Ring;
use crate::media::Media;
use crate::pipeline::{Pipeline, Relay, Twin};
use crate::slates::Slate;
use crate::switch::{Switch, Verdict};

/// Why a publisher ended whose name somebody else has now.
const TAKEN_OVER: &str = "another publisher took the name over";

/// A stream that is over can be finished by its viewers for this long; milliseconds.
const ENDED_MS: i64 = 30_000;
/// When a slate that is due is not ready, it is looked for again after so long; milliseconds.
const SLATE_AGAIN_MS: i64 = 250;

pub(crate) struct Stream {
    pub(crate) key: StreamKey,
    pub(crate) entry: Arc<Entry>,
    pub(crate) pipeline: Pipeline,
    pub(crate) inputs: [Option<Input>; Role::ALL.len()],
    pub(crate) switch: Switch,
    pub(crate) players: BTreeMap<usize, Player>,
    /// Tokens of players that are over.
    pub(crate) fallen: Vec<usize>,
    metadata: Option<Bytes>,
    /// Tracks that RTMP players get.
    relayed: Vec<TrackId>,
    /// Sound is all there is.
    alone: bool,
    /// Frames are wanted the moment they come.
    pub(crate) eager: bool,
    /// Since when nobody has sent it, or it has been ended.
    idle_since_ms: i64,
    /// When the slate is to be shown, if it is not.
    pub(crate) slate_due_ms: Option<i64>,
    /// When the last picture is to stand still.
    pub(crate) still_due_ms: Option<i64>,
    /// What will be shown then: fits what was last on air.
    pub(crate) slate: Option<Arc<Slate>>,
    /// What the shard's agenda says of its next turn; `i64::MAX` when it is not there.
    pub(crate) planned_ms: i64,
    pub(crate) ended: bool,
    /// Segment that the journal knows of.
    noted_msn: u64,
    pub(crate) figures: Figures,
}

/// What became of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Open,
    /// The input is gone.
    Over,
}

impl Stream {
    /// `ring` has the shard call [`Stream::take_made`].
    pub(crate) fn new(hub: &Hub, key: StreamKey, entry: Arc<Entry>, ring: Ring, now_ms: i64) -> Self {
        entry.adopted.store(true, Ordering::Relaxed);
        let (config, wall_ms) = (&hub.config.stream, nx_delivery::wall_ms());
        let (keeper, mark) = (hub.keeper(&key), entry.mark.as_ref());
        let mut pipeline = Pipeline::new(entry.live.clone(), config, mark, keeper, now_ms, wall_ms);
        if let Some(keys) = hub.keys.of(&key) {
            pipeline.encrypt(keys);
        }
        if let Some(twins) = hub.twins.get() {
            let cut = nx_hls::Config { segment_ms: config.segment_ms, part_ms: config.part_ms };
            pipeline.pair(Twin::new(twins.link(&entry.live, ring.clone()), cut));
        }
        if let Some(rungs) = hub.ladders.of(&key, hub.keys.rule(&key).is_some(), ring) {
            pipeline.climb(rungs);
        }
        Self {
            key,
            entry,
            pipeline,
            inputs: [None, None, None],
            switch: Switch::default(),
            players: BTreeMap::new(),
            fallen: Vec::new(),
            metadata: None,
            relayed: Vec::new(),
            alone: false,
            eager: true,
            idle_since_ms: now_ms,
            slate_due_ms: None,
            still_due_ms: None,
            slate: None,
            planned_ms: i64::MAX,
            ended: false,
            noted_msn: 0,
            figures: Figures::default(),
        }
    }

    /// An input comes; one that has its place is sent away.
    pub(crate) fn start(&mut self, hub: &Hub, input: Input, now_ms: i64) {
        let role = input.about.role;
        if let Some(old) = self.take_input(role) {
            self.stop(hub, old, &End::Left(TAKEN_OVER.into()), now_ms);
        }
        if role != Role::Slate {
            (self.ended, self.slate_due_ms) = (false, None);
        }
        self.put_input(input);
    }

    /// Events that came with the publish command itself.
    pub(crate) fn drain(&mut self, hub: &Hub, role: Role, now_ms: i64) {
        let Some(mut input) = self.take_input(role) else { return };
        let result = input.drain(now_ms, &mut |input, media| self.take(hub, input, media, now_ms));
        self.flush_players(now_ms);
        match result {
            Ok(()) => self.put_input(input),
            Err(end) => self.stop(hub, input, &end, now_ms),
        }
    }

    /// Reads an input and carries what is on air to window and players.
    pub(crate) fn read(&mut self, hub: &Hub, role: Role, scratch: &mut [u8], now_ms: i64) -> Outcome {
        let Some(mut input) = self.take_input(role) else { return Outcome::Over };
        let reading = input.read(scratch, now_ms, &mut |input, media| self.take(hub, input, media, now_ms));
        self.flush_players(now_ms);
        self.note(hub);
        let end = match reading {
            Reading::Closed(end) => Some(end),
            _ => input.claim.lost().map(|why| match why {
                Lost::Over => End::Left(TAKEN_OVER.into()),
                Lost::Key => End::Refused("the key that it was published with was deleted".into()),
            }),
        };
        if let Some(end) = end {
            self.stop(hub, input, &end, now_ms);
            return Outcome::Over;
        }
        let on_air = self.switch.active() == Some(role);
        let due = self.pipeline.part_due_ms();
        // The moment they come: somebody plays over RTMP, or nothing can be shown yet.
        self.eager = !self.players.is_empty() || due.is_none();
        let reached = self.pipeline.reached_ms().filter(|_| on_air);
        input.schedule(due.filter(|_| on_air), reached, now_ms, self.eager);
        self.put_input(input);
        Outcome::Open
    }

    pub(super) fn take_input(&mut self, role: Role) -> Option<Input> {
        self.inputs.get_mut(role as usize)?.take()
    }

    pub(super) fn put_input(&mut self, input: Input) {
        if let Some(slot) = self.inputs.get_mut(input.about.role as usize) {
            *slot = Some(input);
        }
    }

    pub(crate) fn input_of(&self, role: Role) -> Option<&Input> {
        self.inputs.get(role as usize)?.as_ref()
    }

    /// When it wants to be read, or to show its slate; `i64::MAX` when it waits for nothing.
    pub(crate) fn due_ms(&self) -> i64 {
        let inputs = self.inputs.iter().flatten().filter_map(Input::due_ms);
        inputs.chain(self.slate_due_ms).chain(self.still_due_ms).min().unwrap_or(i64::MAX)
    }

    /// The input of a socket.
    pub(crate) fn role_of(&self, token: usize) -> Option<Role> {
        self.inputs.iter().flatten().find(|i| i.token == token).map(|i| i.about.role)
    }

    /// Takes a player in: parameters, then everything from the newest key frame on.
    pub(crate) fn join(&mut self, token: usize, mut player: Player, now_ms: i64) {
        let tracks = self.pipeline.tracks();
        let params_of = |id| tracks.iter().find(|t| t.id == id).map(|t| &t.params);
        let burst = self.pipeline.burst();
        let first = burst.first().and_then(|(id, s)| Some(relay::stamp(s.dts, params_of(*id)?)));
        let alone = relay::is_alone(&tracks);
        let mut messages = relay::preamble(self.metadata.as_ref(), &tracks, first.unwrap_or(0));
        let relayed = burst.iter().filter(|(id, _)| relay::is_relayed(*id, &tracks));
        messages.extend(relayed.filter_map(|(id, sample)| relay::frame(sample, params_of(*id)?, alone)));
        for track in tracks.iter().filter(|t| !player.takes(relay::fourcc(&t.params))) {
            let codec = track.params.rfc6381();
            tracing::info!(stream = %self.key, peer = %player.peer, codec, "the player did not announce this codec: it goes without the track");
        }
        let _ = player.answer();
        // The first burst is one piece: a limit that is too small for it would skip for ever.
        messages.retain(|m| player.takes(m.needs));
        messages.into_iter().for_each(|m| player.push(m.bytes));
        match player.flush(now_ms) {
            Ok(()) => {
                self.players.insert(token, player);
                self.eager = true;
            }
            Err(closed) => {
                tracing::info!(stream = %self.key, peer = %player.peer, reason = closed.0, "player left")
            }
        }
    }

    /// Judges what an input gave; what is on air goes on.
    fn take(&mut self, hub: &Hub, input: &Input, media: Media, now_ms: i64) {
        let role = input.about.role;
        if let Media::Frame(arrival) = &media {
            let entry = input.is_entry(arrival.track, arrival.key);
            let config = &hub.config.stream;
            let (rules, patience) = (config.switch_rules(), config.patience());
            let poor = input.vitals.fault(now_ms, patience).is_some();
            match self.switch.frame(rules, role, now_ms, entry, poor) {
                Verdict::Leave => return,
                Verdict::Take => {}
                Verdict::Switch => self.turn_to(hub, input, now_ms),
            }
            if role != Role::Slate {
                self.pipeline.fed(now_ms);
            }
        } else if self.switch.active() != Some(role) {
            return;
        }
        let late_ms = input.late_ms(&media, now_ms);
        self.carry(hub, media, now_ms, late_ms);
    }

    /// From here on another input is on air.
    fn turn_to(&mut self, hub: &Hub, input: &Input, now_ms: i64) {
        tracing::info!(stream = %self.key, input = input.about.role.name(), peer = input.about.peer, "on air");
        self.pipeline.start_session(input.clock());
        if input.is_still() {
            self.pipeline.stand(now_ms);
        } else {
            self.drop_still(hub, now_ms);
            self.tell_players(PlayStatus::PublishNotify);
        }
        if let Some(expect) = input.expect.clone() {
            self.carry(hub, Media::Expect(expect), now_ms, 0);
        }
        for (id, params) in &input.params {
            self.carry(hub, Media::Params(*id, params.clone()), now_ms, 0);
        }
    }

    /// Takes what the stream's worker, or another origin, has made.
    pub(crate) fn take_made(&mut self, hub: &Hub, now_ms: i64) {
        self.pipeline.hear_twin(now_ms);
        self.relay(hub, |pipeline, relay| pipeline.take_rungs(nx_delivery::wall_ms(), relay));
        self.flush_players(now_ms);
        self.note(hub);
    }

    fn carry(&mut self, hub: &Hub, media: Media, now_ms: i64, late_ms: i64) {
        if let Media::Metadata(body) = media {
            self.metadata = Some(body);
            return;
        }
        self.relay(hub, |pipeline, relay| pipeline.take(now_ms, late_ms, media, relay));
    }

    /// Hands RTMP players what comes of a step of the pipeline.
    fn relay(&mut self, hub: &Hub, step: impl FnOnce(&mut Pipeline, &mut dyn FnMut(Relay<'_>))) {
        let mut out: Vec<Message> = Vec::new();
        let listeners = !self.players.is_empty();
        let (metadata, relayed, alone) = (self.metadata.as_ref(), &mut self.relayed, &mut self.alone);
        step(&mut self.pipeline, &mut |piece| match piece {
            Relay::Params(tracks) => {
                *relayed = tracks.iter().map(|t| t.id).filter(|id| relay::is_relayed(*id, tracks)).collect();
                *alone = relay::is_alone(tracks);
                if listeners {
                    out.extend(relay::preamble(metadata, tracks, 0));
                }
            }
            Relay::Frame(id, sample, params) if listeners && relayed.contains(&id) => {
                out.extend(relay::frame(sample, params, *alone));
            }
            Relay::Frame(..) => {}
        });
        let limit = hub.config.rtmp.player_bytes_max;
        for player in self.players.values_mut() {
            out.iter().for_each(|message| player.deliver(message, limit));
        }
    }

    pub(super) fn stop(&mut self, hub: &Hub, mut input: Input, end: &End, now_ms: i64) {
        let (seconds, role) = ((now_ms - input.connected_ms) / 1000, input.about.role);
        tracing::info!(
            stream = %self.key, stream_id = self.entry.id, session = input.claim.session, input = role.name(),
            reason = end.reason(), seconds, bytes = input.bytes_in, "publisher left"
        );
        if let End::Refused(reason) = end {
            hub.refuse(&input.about.peer, self.key.as_str(), reason);
        }
        self.figures.left(hub, &input);
        self.prepare_slate(hub, &input);
        input.close(end);
        self.switch.gone(role);
        if role != Role::Slate && self.publishers().next().is_none() {
            self.idle_since_ms = now_ms;
            let policy = hub.config.stream.policy(&self.key);
            self.slate_due_ms = policy.slate.is_some().then(|| now_ms + i64::from(policy.slate_after_ms));
            self.plan_still(hub, policy.slate.is_none(), now_ms);
            self.tell_players(PlayStatus::UnpublishNotify);
        }
        self.note_now(hub);
    }

    /// Inputs other than the slate.
    pub(super) fn publishers(&self) -> impl Iterator<Item = &Input> {
        self.inputs.iter().flatten().filter(|i| i.about.role != Role::Slate)
    }

    fn tell_players(&mut self, status: PlayStatus) {
        for player in self.players.values_mut() {
            player.session().play_status(status);
            let _ = player.answer();
        }
    }

    /// Sends what one read brought: all its messages in one call per player.
    fn flush_players(&mut self, now_ms: i64) {
        for (&token, player) in &mut self.players {
            if let Err(closed) = player.flush(now_ms) {
                tracing::info!(stream = %self.key, peer = %player.peer, reason = closed.0, "player left");
                self.fallen.push(token);
            }
        }
    }

    /// The node stops: players are told, encoders that can come back elsewhere are asked to.
    pub(crate) fn say_goodbye(&mut self, hub: &Hub) {
        self.inputs.iter_mut().flatten().for_each(Input::ask_to_reconnect);
        self.tell_players(PlayStatus::Stop);
        self.players.values_mut().for_each(|player| {
            let _ = player.flush(0);
        });
        self.note_now(hub);
    }

    /// Journals that a segment has been opened.
    fn note(&mut self, hub: &Hub) {
        if self.pipeline.packager().next_msn() != self.noted_msn {
            self.note_now(hub);
        }
    }

    fn note_now(&mut self, hub: &Hub) {
        self.noted_msn = self.pipeline.packager().next_msn();
        hub.note(&self.key, self.pipeline.mark(&self.entry.id, !self.ended));
    }

    /// Once a second: figures, silence, limits, the end of waiting. False when it can be forgotten.
    pub(crate) fn look(&mut self, hub: &Hub, now_ms: i64) -> bool {
        for role in Role::ALL {
            let Some(input) = self.take_input(role) else { continue };
            match self.fault(hub, &input, now_ms) {
                Some(end) => self.stop(hub, input, &end, now_ms),
                None => self.put_input(input),
            }
        }
        let policy = hub.config.stream.policy(&self.key);
        let idle = self.publishers().next().is_none();
        let idle_ms = if idle { now_ms - self.idle_since_ms } else { 0 };
        let on_slate = idle && self.input_of(Role::Slate).is_some_and(|slate| !slate.is_still());
        let patience_ms =
            i64::from(if on_slate { policy.slate_s } else { hub.config.stream.reconnect_s }) * 1000;
        if idle && !self.ended && idle_ms > patience_ms {
            self.end(hub, now_ms);
        }
        self.pipeline.turn_key(nx_delivery::wall_ms());
        self.pipeline.look();
        for (token, player) in self.players.iter().filter(|(_, player)| !player.may_stay()) {
            tracing::info!(stream = %self.key, peer = %player.peer, reason = "its token has ended", "player left");
            self.fallen.push(*token);
        }
        if let Some(input) = self.switch.active().and_then(|role| self.take_input(role)) {
            self.prepare_slate(hub, &input);
            self.put_input(input);
        }
        self.update_status(hub, now_ms);
        let forgotten = self.ended && idle && now_ms - self.idle_since_ms > ENDED_MS;
        // A publisher that has the name but has not arrived here keeps it alive.
        !forgotten || lock(&self.entry.claims).iter().flatten().any(|c| !c.is_lost())
    }

    /// Why an input cannot stay.
    fn fault(&self, hub: &Hub, input: &Input, now_ms: i64) -> Option<End> {
        let silence_ms = i64::from(hub.config.rtmp.silence_s) * 1000;
        if now_ms - input.claim.heard_ms() > silence_ms {
            return Some(End::Left(format!("sent nothing for {} s", silence_ms / 1000)));
        }
        let measured = self.figures.measured(input, now_ms);
        input.about.grant.limits.check(measured).map(End::Refused)
    }

    /// Has the slate made that fits what an input on air sends.
    fn prepare_slate(&mut self, hub: &Hub, input: &Input) {
        let role = input.about.role;
        if role != Role::Slate
            && self.switch.active() == Some(role)
            && !input.params.is_empty()
            && let Some(file) = &hub.config.stream.policy(&self.key).slate
        {
            self.slate = hub.slates.fit(file, &input.params, self.slate.take());
        }
    }

    /// Puts the slate on when it is due.
    pub(crate) fn show_slate(&mut self, hub: &Hub, now_ms: i64) {
        if self.slate_due_ms.take_if(|due| *due <= now_ms).is_none() || self.ended {
            return;
        }
        let fitted = self.slate.as_ref().and_then(|slate| slate.clip());
        let plain = || hub.slates.plain(hub.config.stream.policy(&self.key).slate.as_ref()?);
        let Some(clip) = fitted.or_else(plain) else {
            self.slate_due_ms = Some(now_ms + SLATE_AGAIN_MS);
            return;
        };
        let about = About::slate();
        let claim = Claim::new(None, now_ms);
        let wire = Wire::Clip(Box::new(ClipInput::new(clip, now_ms)));
        self.put_input(Input::new(usize::MAX - 1, about, claim, wire, now_ms));
    }

    fn end(&mut self, hub: &Hub, now_ms: i64) {
        tracing::info!(stream = %self.key, stream_id = self.entry.id, "ended: nobody took it up again");
        if let Some(slate) = self.take_input(Role::Slate) {
            self.stop(hub, slate, &End::Left("shown for long enough".into()), now_ms);
        }
        self.pipeline.wind_up(now_ms);
        self.pipeline.finish();
        self.tell_players(PlayStatus::Stop);
        self.fallen.extend(self.players.keys());
        (self.ended, self.idle_since_ms) = (true, now_ms);
        self.note_now(hub);
    }
}
