//! One stream in its shard: its pipeline, its publisher if there is one, its RTMP players.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use nx_container::flv;
use nx_contract::streams::{Note, Publisher as PublisherStatus, RepairCount, State, Track};
use nx_hls::Rfc3339;
use nx_media::{Kind, Params, Sample, StreamKey, rescale};
use nx_rtmp::server::{Config, Event, Output, PlayStatus};
use nx_rtmp::{MediaKind, Metadata, media_message};

use crate::hub::{Entry, Hub, lock};
use crate::ingest::player::{Message, Player};
use crate::ingest::publisher::{Publisher, Reading};
use crate::pipeline::{Pipeline, Relay, Traffic};

/// A stream that is over can be finished by its viewers for this long; milliseconds.
const ENDED_MS: i64 = 30_000;
/// Damaged frames in a row after which a publisher is turned away.
const DAMAGED_MAX: u32 = 300;

pub(crate) struct Stream {
    pub(crate) key: StreamKey,
    pub(crate) entry: Arc<Entry>,
    pipeline: Pipeline,
    pub(crate) publisher: Option<(usize, Publisher)>,
    pub(crate) players: BTreeMap<usize, Player>,
    /// Tokens of players that are over.
    pub(crate) fallen: Vec<usize>,
    metadata: Option<Bytes>,
    damaged: u32,
    /// Since when it has been without a publisher, or ended.
    idle_since_ms: i64,
    ended: bool,
    looked_ms: i64,
    bytes_before: u64,
    rates: Rates,
}

/// Bits and frames per second by kind, smoothed over a few looks.
#[derive(Debug, Default, Clone, Copy)]
struct Rates {
    bits: [f64; 2],
    frames: [f64; 2],
}

impl Rates {
    fn take(&mut self, traffic: Traffic, passed_ms: i64) {
        let seconds = passed_ms as f64 / 1000.0;
        let smooth = |old: &mut f64, new: f64| *old = if *old == 0.0 { new } else { *old * 0.7 + new * 0.3 };
        self.bits.iter_mut().zip(traffic.bytes).for_each(|(old, n)| smooth(old, n as f64 * 8.0 / seconds));
        self.frames.iter_mut().zip(traffic.frames).for_each(|(old, n)| smooth(old, n as f64 / seconds));
    }
}

/// What became of a read.
pub(crate) enum Outcome {
    Open,
    /// More is waiting.
    Again,
    /// The publisher is gone.
    Over,
}

impl Stream {
    pub(crate) fn new(hub: &Hub, key: StreamKey, entry: Arc<Entry>, now_ms: i64) -> Self {
        let pipeline = Pipeline::new(entry.live.clone(), &hub.config.stream, nx_delivery::wall_ms());
        Self {
            key,
            entry,
            pipeline,
            publisher: None,
            players: BTreeMap::new(),
            fallen: Vec::new(),
            metadata: None,
            damaged: 0,
            idle_since_ms: now_ms,
            ended: false,
            looked_ms: now_ms,
            bytes_before: 0,
            rates: Rates::default(),
        }
    }

    pub(crate) fn start(&mut self, token: usize, publisher: Publisher) {
        self.pipeline.start_session();
        self.publisher = Some((token, publisher));
        (self.ended, self.damaged, self.bytes_before, self.rates) = (false, 0, 0, Rates::default());
        self.tell_players(PlayStatus::PublishNotify);
    }

    /// A publisher that is still here gives way to the one that took its name.
    pub(crate) fn replace(&mut self, hub: &Hub, now_ms: i64) {
        if let Some((_, old)) = self.publisher.take() {
            self.stop(hub, old, "another publisher took the name over", now_ms);
        }
    }

    /// The node stops: players are told, the stream may go on elsewhere.
    pub(crate) fn say_goodbye(&mut self) {
        self.tell_players(PlayStatus::Stop);
        self.players.values_mut().for_each(|player| {
            let _ = player.flush(0);
        });
    }

    /// Reads the publisher and carries what came to window and players.
    pub(crate) fn read(&mut self, hub: &Hub, scratch: &mut [u8], now_ms: i64) -> Outcome {
        let Some((token, mut publisher)) = self.publisher.take() else { return Outcome::Over };
        let mut refusal = None;
        let reading = publisher.read(scratch, now_ms, &mut |output| {
            if let Output::Event(event) = output {
                refusal = refusal.take().or(self.event(hub, event, now_ms));
            }
        });
        self.flush_players(now_ms);
        let reading = match (refusal, publisher.claim.is_lost()) {
            (Some(reason), _) => Reading::Closed(reason),
            (None, true) => Reading::Closed("another publisher took the name over".into()),
            (None, false) => reading,
        };
        match reading {
            Reading::Closed(reason) => {
                self.stop(hub, publisher, &reason, now_ms);
                Outcome::Over
            }
            reading => {
                let due = self.pipeline.packager().part_due_ms();
                publisher.pace().schedule(due, now_ms);
                if let Some(time_ms) = self.pipeline.reached_ms() {
                    publisher.pace().saw(time_ms, now_ms);
                }
                self.publisher = Some((token, publisher));
                if matches!(reading, Reading::More) { Outcome::Again } else { Outcome::Open }
            }
        }
    }

    /// Events that came with the publish command itself.
    pub(crate) fn drain(&mut self, hub: &Hub, now_ms: i64) -> Outcome {
        let Some((token, mut publisher)) = self.publisher.take() else { return Outcome::Over };
        let mut refusal = None;
        let result = publisher.drain(&mut |output| {
            if let Output::Event(event) = output {
                refusal = refusal.take().or(self.event(hub, event, now_ms));
            }
        });
        self.flush_players(now_ms);
        match refusal.or(result.err()) {
            Some(reason) => {
                self.stop(hub, publisher, &reason, now_ms);
                Outcome::Over
            }
            None => {
                self.publisher = Some((token, publisher));
                Outcome::Open
            }
        }
    }

    /// Whether frames are wanted the moment they come: somebody plays over RTMP, or nothing can be shown yet.
    pub(crate) fn wants_every_packet(&self) -> bool {
        !self.players.is_empty() || self.pipeline.packager().part_due_ms().is_none()
    }

    /// Takes a player in: parameters, then everything from the newest key frame on.
    pub(crate) fn join(&mut self, token: usize, mut player: Player, now_ms: i64) {
        let burst = self.pipeline.burst();
        let start_ms = burst.first().map_or(0, |(kind, s)| self.time_ms(*kind, s.dts));
        let mut messages = self.preamble(&self.pipeline.params(), start_ms);
        messages.extend(burst.iter().filter_map(|(kind, sample)| self.frame_message(*kind, sample)));
        let _ = player.answer();
        // The first burst is one piece: a limit that is too small for it would skip for ever.
        messages.into_iter().for_each(|m| player.push(m.bytes));
        match player.flush(now_ms) {
            Ok(()) => {
                self.players.insert(token, player);
            }
            Err(closed) => {
                tracing::info!(stream = %self.key, peer = %player.peer, reason = closed.0, "player left")
            }
        }
    }

    fn event(&mut self, hub: &Hub, event: Event, now_ms: i64) -> Option<String> {
        let result = match event {
            Event::Metadata(metadata) => {
                self.metadata(metadata);
                return None;
            }
            Event::Video { timestamp_ms, body } => self.media(hub, Kind::Video, now_ms, timestamp_ms, &body),
            Event::Audio { timestamp_ms, body } => self.media(hub, Kind::Audio, now_ms, timestamp_ms, &body),
            Event::Unpublish => return Some("unpublished".into()),
            _ => return None,
        };
        match result {
            Ok(()) => {
                self.damaged = 0;
                None
            }
            Err(error) if error.is_final() => Some(error.to_string()),
            Err(error) => {
                self.damaged += 1;
                if self.damaged == 1 {
                    tracing::warn!(stream = %self.key, %error, "damaged frame left out");
                }
                (self.damaged >= DAMAGED_MAX)
                    .then(|| format!("{DAMAGED_MAX} damaged frames in a row: {error}"))
            }
        }
    }

    fn media(
        &mut self,
        hub: &Hub,
        kind: Kind,
        now_ms: i64,
        stamp_ms: u32,
        body: &Bytes,
    ) -> Result<(), crate::pipeline::FrameError> {
        let limit = hub.config.rtmp.player_bytes_max;
        let mut out: Vec<Message> = Vec::new();
        let (listeners, has_video) = (!self.players.is_empty(), self.has_video());
        let metadata = self.metadata.clone();
        let mut relay = |relay: Relay<'_>| {
            if listeners {
                match relay {
                    Relay::Params(params) => out.extend(preamble(metadata.as_ref(), params, stamp_ms)),
                    Relay::Frame(kind, sample, params) => {
                        out.extend(frame_message(kind, sample, params, has_video))
                    }
                }
            }
        };
        let result = match kind {
            Kind::Video => self.pipeline.video(now_ms, stamp_ms, body, &mut relay),
            Kind::Audio => self.pipeline.audio(now_ms, stamp_ms, body, &mut relay),
        };
        for player in self.players.values_mut() {
            out.iter().for_each(|message| player.deliver(message, limit));
        }
        result
    }

    fn metadata(&mut self, metadata: Metadata) {
        let has = |names: [&str; 2]| names.iter().any(|n| metadata.field(n).is_some());
        self.pipeline.expect(has(["videocodecid", "width"]), has(["audiocodecid", "audiosamplerate"]));
        self.metadata = Some(metadata.body);
    }

    fn stop(&mut self, hub: &Hub, mut publisher: Publisher, reason: &str, now_ms: i64) {
        let seconds = (now_ms - publisher.connected_ms) / 1000;
        tracing::info!(
            stream = %self.key, stream_id = self.entry.id, session = publisher.claim.session, reason, seconds,
            bytes = publisher.bytes_in, "publisher left"
        );
        if self.damaged > 0 || reason.starts_with("unsupported") {
            hub.refuse(publisher.peer, self.key.as_str(), reason);
            publisher.session.refuse_publish(nx_rtmp::server::PublishRefusal::Denied, reason);
        }
        let _ = publisher.drain(&mut |_| {});
        publisher.claim.lose();
        self.idle_since_ms = now_ms;
        self.tell_players(PlayStatus::UnpublishNotify);
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

    fn has_video(&self) -> bool {
        self.pipeline.packager().run_tracks().iter().any(|t| t.params.kind() == Kind::Video)
    }

    fn time_ms(&self, kind: Kind, dts: i64) -> u32 {
        self.params_of(kind).map_or(0, |p| stamp(dts, &p))
    }

    fn params_of(&self, kind: Kind) -> Option<Params> {
        self.pipeline.params().into_iter().find(|p| p.kind() == kind)
    }

    fn preamble(&self, params: &[Params], at_ms: u32) -> Vec<Message> {
        preamble(self.metadata.as_ref(), params, at_ms)
    }

    fn frame_message(&self, kind: Kind, sample: &Sample) -> Option<Message> {
        frame_message(kind, sample, &self.params_of(kind)?, self.has_video())
    }

    /// Once a second: figures for the status page, silence, the end of waiting. False when it can be forgotten.
    pub(crate) fn look(&mut self, hub: &Hub, now_ms: i64) -> bool {
        let silence_ms = i64::from(hub.config.rtmp.silence_s) * 1000;
        let silent = |(_, p): &mut (usize, Publisher)| now_ms - p.claim.heard_ms() > silence_ms;
        if let Some((_, publisher)) = self.publisher.take_if(silent) {
            self.stop(hub, publisher, &format!("sent nothing for {} s", silence_ms / 1000), now_ms);
        }
        let idle_ms = now_ms - self.idle_since_ms;
        if self.publisher.is_none()
            && !self.ended
            && idle_ms > i64::from(hub.config.stream.reconnect_s) * 1000
        {
            tracing::info!(stream = %self.key, stream_id = self.entry.id, "ended: nobody took it up again");
            self.pipeline.finish();
            self.tell_players(PlayStatus::Stop);
            self.fallen.extend(self.players.keys());
            (self.ended, self.idle_since_ms) = (true, now_ms);
        }
        self.update_status(hub, now_ms);
        let forgotten = self.ended && self.publisher.is_none() && now_ms - self.idle_since_ms > ENDED_MS;
        // A publisher that has the name but has not arrived here keeps it alive.
        !forgotten || lock(&self.entry.claim).as_ref().is_some_and(|c| !c.is_lost())
    }

    fn update_status(&mut self, hub: &Hub, now_ms: i64) {
        let passed_ms = (now_ms - self.looked_ms).max(1);
        if passed_ms >= 500 {
            self.looked_ms = now_ms;
            self.rates.take(std::mem::take(&mut self.pipeline.traffic), passed_ms);
        }
        for repair in self.pipeline.timeline().repairs_mut().take_fresh() {
            tracing::warn!(stream = %self.key, kind = repair.kind.name(), "{}", repair.text);
        }
        let tracks: Vec<Track> = self.pipeline.params().iter().map(|p| self.track(p)).collect();
        let wall_of = |at_ms: i64| Rfc3339(nx_delivery::wall_ms() - (now_ms - at_ms)).to_string();
        let repairs = self.pipeline.timeline().repairs();
        let kinds = repairs.counts().map(|(k, count)| RepairCount { kind: k.name().into(), count }).collect();
        let recent = repairs.recent().map(|r| Note { at: wall_of(r.at_ms), text: r.text.clone() }).collect();
        let total = repairs.total();
        let bytes_in = self.publisher.as_ref().map_or(self.bytes_before, |(_, p)| p.bytes_in);
        lock(&hub.totals).bytes_in += bytes_in - std::mem::replace(&mut self.bytes_before, bytes_in);
        let mut status = lock(&self.entry.status);
        status.state = match (&self.publisher, self.ended) {
            (Some(_), _) => State::Live,
            (None, false) => State::Reconnecting,
            (None, true) => State::Ended,
        };
        status.publisher = self.publisher.as_ref().map(|(_, p)| PublisherStatus {
            protocol: "rtmp".into(),
            peer: p.peer.to_string(),
            client: p.client.clone(),
            connected_at: Rfc3339(p.connected_wall_ms).to_string(),
        });
        status.uptime_ms = self.publisher.as_ref().map_or(0, |(_, p)| ms(now_ms - p.connected_ms));
        status.bitrate_bps = tracks.iter().map(|t| t.bitrate_bps).sum();
        status.viewers.rtmp = self.players.len() as u64;
        status.repairs.total = total;
        (status.repairs.kinds, status.repairs.recent) = (kinds, recent);
        status.discontinuities = self.entry.live.read(nx_hls::Window::discontinuities);
        status.hints = hints(&tracks, hub.config.stream.segment_ms);
        status.tracks = tracks;
    }

    fn track(&self, params: &Params) -> Track {
        let kind = params.kind() as usize;
        let bits = self.rates.bits.get(kind).copied().unwrap_or(0.0);
        let frames = self.rates.frames.get(kind).copied().unwrap_or(0.0);
        let track =
            Track { codec: params.rfc6381().into(), bitrate_bps: bits.round() as u64, ..Track::default() };
        match params {
            Params::Video(v) => Track {
                kind: "video".into(),
                width: Some(v.width),
                height: Some(v.height),
                fps: Some((frames * 10.0).round() / 10.0),
                key_interval_ms: Some(ms(self.pipeline.packager().key_interval_ms())),
                ..track
            },
            Params::Audio(a) => Track {
                kind: "audio".into(),
                sample_rate: Some(a.sample_rate),
                channels: Some(a.channels),
                ..track
            },
        }
    }
}

fn ms(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// What the broadcaster could do better.
fn hints(tracks: &[Track], segment_ms: u32) -> Vec<String> {
    let rare = |t: &&Track| t.key_interval_ms.is_some_and(|k| k > u64::from(segment_ms) + 450);
    let hint = |t: &Track| {
        let seconds = t.key_interval_ms.unwrap_or(0) as f64 / 1000.0;
        format!(
            "key frames come every {seconds:.1} s; set the encoder's key-frame interval to {} s for quick starts",
            segment_ms / 1000
        )
    };
    tracks.iter().filter(rare).map(hint).collect()
}

/// Stream time as the 32-bit milliseconds of RTMP.
fn stamp(dts: i64, params: &Params) -> u32 {
    let ms = rescale(dts, params.timescale(), 1000).rem_euclid(1 << 32);
    u32::try_from(ms).unwrap_or_default()
}

/// Every player's message stream and chunk size: one message suits them all.
const PLAY_STREAM: u32 = 1;

fn message(kind: MediaKind, at_ms: u32, parts: &[&[u8]], entry: bool, vital: bool) -> Message {
    let chunk = Config::default().chunk_size_out;
    Message { bytes: media_message(kind, at_ms, PLAY_STREAM, chunk, parts), entry, vital }
}

fn preamble(metadata: Option<&Bytes>, params: &[Params], at_ms: u32) -> Vec<Message> {
    let metadata = metadata.map(|body| message(MediaKind::Data, at_ms, &[body], false, true));
    let config = |p: &Params| match p {
        Params::Video(v) => message(MediaKind::Video, at_ms, &[&flv::video_config_body(v)], false, true),
        Params::Audio(a) => message(MediaKind::Audio, at_ms, &[&flv::audio_config_body(a)], false, true),
    };
    metadata.into_iter().chain(params.iter().map(config)).collect()
}

fn frame_message(kind: Kind, sample: &Sample, params: &Params, has_video: bool) -> Option<Message> {
    let at_ms = stamp(sample.dts, params);
    Some(match params {
        Params::Video(_) => {
            let cts = rescale(sample.pts - sample.dts, params.timescale(), 1000);
            let header = flv::video_frame_header(sample.key, i32::try_from(cts).ok()?);
            message(MediaKind::Video, at_ms, &[&header, &sample.payload], sample.key, false)
        }
        Params::Audio(a) => {
            let header = flv::audio_frame_header(a);
            let entry = kind == Kind::Audio && !has_video;
            message(MediaKind::Audio, at_ms, &[&header, &sample.payload], entry, false)
        }
    })
}
