//! What the status page and the metrics show of a stream.

use std::collections::BTreeMap;

use nx_admission::Measured;
use nx_contract::streams::{Input as InputStatus, Note, Publisher, RepairCount, State, Track, Transport};
use nx_hls::{Rfc3339, TrackSpec};
use nx_media::{AudioCodec, Kind, Params, TrackId, VideoCodec};

use crate::claims::Role;
use crate::hub::{Hub, lock};
use crate::ingest::input::Input;
use crate::ingest::stream::Stream;
use crate::pipeline::Traffic;

/// Of a stream whose source is to be hidden.
const BARE: &str =
    "the source is announced although hide_source is set: none of its renditions can be watched";

/// Measured since the stream began, smoothed over a few looks.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    looked_ms: i64,
    /// Bits and frames per second.
    rates: BTreeMap<TrackId, (f64, f64)>,
    /// Bytes of each input that are in the totals already.
    counted: [u64; Role::ALL.len()],
    bits_per_s: f64,
}

impl Figures {
    fn take(&mut self, traffic: Traffic, passed_ms: i64) {
        let seconds = passed_ms as f64 / 1000.0;
        let smooth = |old: f64, new: f64| if old == 0.0 { new } else { old * 0.7 + new * 0.3 };
        self.rates.retain(|id, _| traffic.contains_key(id));
        for (id, (bytes, frames)) in traffic {
            let (bits_old, frames_old) = self.rates.get(&id).copied().unwrap_or_default();
            let rates =
                (smooth(bits_old, bytes as f64 * 8.0 / seconds), smooth(frames_old, frames as f64 / seconds));
            self.rates.insert(id, rates);
        }
        self.bits_per_s = self.rates.values().map(|r| r.0).sum();
    }

    /// Adds what an input brought since the last look.
    fn count(&mut self, hub: &Hub, input: &Input) {
        if input.is_still() {
            return;
        }
        if let Some(counted) = self.counted.get_mut(input.about.role as usize) {
            let before = std::mem::replace(counted, input.bytes_in);
            lock(&hub.totals).bytes_in += input.bytes_in.saturating_sub(before);
        }
    }

    /// An input is over: its successor counts from 0.
    pub(crate) fn left(&mut self, hub: &Hub, input: &Input) {
        self.count(hub, input);
        if let Some(counted) = self.counted.get_mut(input.about.role as usize) {
            *counted = 0;
        }
    }

    /// What an input's limits are held against.
    pub(crate) fn measured(&self, input: &Input, now_ms: i64) -> Measured {
        let sides = |p: &Params| if let Params::Video(v) = p { Some((v.width, v.height)) } else { None };
        let (width, height) = input.params.values().filter_map(sides).max().unwrap_or_default();
        let seconds = (now_ms - input.connected_ms).max(0).unsigned_abs() / 1000;
        let mean = input.bytes_in.saturating_mul(8) / seconds.max(1);
        // A burst at the start is no breach.
        let bitrate_bps = if seconds >= 5 { mean } else { 0 };
        Measured { bitrate_bps, width, height, duration_s: seconds }
    }
}

impl Stream {
    pub(crate) fn update_status(&mut self, hub: &Hub, now_ms: i64) {
        let passed_ms = (now_ms - self.figures.looked_ms).max(1);
        if passed_ms >= 500 {
            self.figures.looked_ms = now_ms;
            self.figures.take(std::mem::take(&mut self.pipeline.traffic), passed_ms);
        }
        for repair in self.pipeline.timeline().repairs_mut().take_fresh() {
            tracing::warn!(stream = %self.key, kind = repair.kind.name(), "{}", repair.text);
        }
        self.inputs.iter().flatten().for_each(|input| self.figures.count(hub, input));
        let tracks: Vec<Track> = self.pipeline.tracks().iter().map(|t| self.track(t)).collect();
        let inputs: Vec<InputStatus> = self.senders().map(|i| self.input(hub, i, now_ms)).collect();
        let wall_of = |at_ms: i64| Rfc3339(nx_delivery::wall_ms() - (now_ms - at_ms)).to_string();
        let repairs = self.pipeline.timeline().repairs();
        let kinds = repairs.counts().map(|(k, count)| RepairCount { kind: k.name().into(), count }).collect();
        let recent = repairs.recent().map(|r| Note { at: wall_of(r.at_ms), text: r.text.clone() }).collect();
        let total = repairs.total();
        let on_air = self.switch.active();
        let publisher =
            inputs.iter().find(|i| on_air.is_some_and(|r| r.name() == i.role && r != Role::Slate));
        let since = self.senders().find(|i| Some(i.about.role) == on_air).map(|i| i.connected_ms);
        let mut ladder = self.pipeline.rungs().map(|rungs| rungs.told());
        let hides = self.pipeline.hides();
        if let Some(ladder) = &mut ladder {
            ladder.source = hides.map(|hides| if hides { "hidden" } else { "announced" }.into());
        }
        let made = self.pipeline.made();
        let sent: Vec<TrackSpec> =
            self.pipeline.tracks().into_iter().filter(|t| !made.contains(&t.id)).collect();
        let stands = self.stands();
        let mut status = lock(&self.entry.status);
        status.state = match (on_air, self.ended) {
            (_, true) => State::Ended,
            (Some(Role::Slate), _) if stands => State::Reconnecting,
            (Some(Role::Slate), _) => State::Slate,
            (Some(_), _) => State::Live,
            (None, _) if self.publishers().next().is_some() => State::Live,
            (None, _) => State::Reconnecting,
        };
        status.publisher = publisher.map(|i| i.publisher.clone());
        status.inputs = inputs;
        status.switches = self.switch.count;
        status.uptime_ms = since.map_or(0, |since| ms(now_ms - since));
        let is_sent = |t: &&Track| sent.iter().any(|spec| spec.id.to_string() == t.name);
        status.bitrate_bps = tracks.iter().filter(is_sent).map(|t| t.bitrate_bps).sum();
        status.viewers.rtmp = self.players.len() as u64;
        status.repairs.total = total;
        (status.repairs.kinds, status.repairs.recent) = (kinds, recent);
        status.discontinuities = self.entry.live.read(nx_hls::Window::discontinuities);
        status.hints = hints(&tracks, &sent, hub.config.stream.segment_ms);
        let slate = self.slate.as_ref().and_then(|slate| slate.fault());
        let bare = (hides == Some(false)).then(|| BARE.to_owned());
        let faults = [self.pipeline.hindrance().map(str::to_owned), slate, bare];
        status.hints.splice(0..0, faults.into_iter().flatten());
        status.tracks = tracks;
        status.ladder = ladder;
    }

    /// Everybody who sends it, a slate too.
    fn senders(&self) -> impl Iterator<Item = &Input> {
        self.inputs.iter().flatten().filter(|input| !input.is_still())
    }

    fn input(&self, hub: &Hub, input: &Input, now_ms: i64) -> InputStatus {
        let dead = now_ms - input.claim.heard_ms() >= i64::from(hub.config.stream.input_dead_ms);
        let fault = input.vitals.fault(now_ms, hub.config.stream.patience());
        let state = if dead {
            "silent"
        } else if self.switch.active() == Some(input.about.role) {
            "on_air"
        } else {
            "standby"
        };
        let fault = fault.map(|kind| match kind {
            Kind::Video => "the picture is black",
            Kind::Audio => "there is no sound",
        });
        let transport = input.ts().map(|ts| {
            let stats = ts.reader().stats();
            Transport {
                lost_packets: stats.lost_packets,
                lost_units: stats.lost_units + ts.reader().damaged(),
                sync_losses: stats.sync_losses,
                left_out: ts.reader().unsupported.clone(),
            }
        });
        InputStatus {
            role: input.about.role.name().into(),
            state: state.into(),
            publisher: Publisher {
                protocol: input.about.protocol.into(),
                peer: input.about.peer.clone(),
                client: input.about.client.clone(),
                connected_at: Rfc3339(input.connected_wall_ms).to_string(),
            },
            fault: fault.map(str::to_owned),
            admitted_by: input.about.grant.by.into(),
            bytes: input.bytes_in,
            link: input.ts().and_then(super::ts_input::TsInput::link),
            transport,
        }
    }

    fn track(&self, spec: &TrackSpec) -> Track {
        let (bits, frames) = self.figures.rates.get(&spec.id).copied().unwrap_or_default();
        let track = Track {
            name: spec.id.to_string(),
            codec: spec.params.rfc6381().into(),
            bitrate_bps: bits.round() as u64,
            ..Track::default()
        };
        match &spec.params {
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
                deviation_ms: self.pipeline.deviation_ms(spec.id),
                language: a.language.map(|l| l.as_str().to_owned()),
                ..track
            },
        }
    }
}

fn ms(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// What the broadcaster could do better, and what some viewers will miss.
fn hints(tracks: &[Track], specs: &[TrackSpec], segment_ms: u32) -> Vec<String> {
    let rare = |t: &&Track| t.key_interval_ms.is_some_and(|k| k > u64::from(segment_ms) + 450);
    let hint = |t: &Track| {
        let seconds = t.key_interval_ms.unwrap_or(0) as f64 / 1000.0;
        format!(
            "key frames come every {seconds:.1} s; set the encoder's key-frame interval to {} s for quick starts",
            segment_ms / 1000
        )
    };
    let rare = tracks.iter().find(rare).map(hint);
    rare.into_iter().chain(specs.iter().filter_map(|s| missed(s.id.kind, &s.params))).collect()
}

/// Which outputs do not carry a codec.
fn missed(kind: Kind, params: &Params) -> Option<String> {
    let (codec, outputs) = match params {
        Params::Video(v) => match v.codec {
            VideoCodec::Avc => return None,
            VideoCodec::Hevc => ("HEVC", "RTMP players that do not announce hvc1"),
            VideoCodec::Av1 => ("AV1", "MPEG-TS outputs and RTMP players that do not announce av01"),
            _ => ("VP9", "MPEG-TS outputs and RTMP players that do not announce vp09"),
        },
        Params::Audio(a) => match a.codec {
            AudioCodec::Aac => return None,
            AudioCodec::Mpa => ("MPEG audio", "most browsers"),
            AudioCodec::Opus => ("Opus", "RTMP players that do not announce it"),
            AudioCodec::Flac => ("FLAC", "MPEG-TS outputs and RTMP players that do not announce it"),
            _ => ("Dolby Digital", "browsers without it and RTMP players that do not announce it"),
        },
    };
    let usual = if kind == Kind::Video { "H.264" } else { "AAC" };
    Some(format!("{codec} does not reach {outputs}; {usual} reaches everybody"))
}
