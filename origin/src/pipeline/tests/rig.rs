//! A simulated publisher with a clock: carries a script through a pipeline while a player watches.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use nx_delivery::LiveStream;
use nx_hls::Window;
use nx_media::{Kind, StreamKey, TrackId};
use nx_timeline::{Arrival, RepairKind, WireClock};

use super::player::Player;
use super::script::{Act, Frame, Script};
use crate::config::StreamConfig;
use crate::media::Media;
use crate::pipeline::{Now, Pipeline};

/// How often the player looks.
pub(super) const LOOK_MS: i64 = 200;
/// Unix time of the start.
pub(super) const WALL_MS: i64 = 1_795_000_000_000;
/// Between two frames of a track: longer is silence.
const SILENCE_MS: i64 = 300;

/// When a track, or any, was heard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    /// Last.
    pub(super) at_ms: i64,
    /// Without a silence.
    pub(super) since_ms: i64,
    /// Silences so far, together.
    pub(super) silent_ms: i64,
}

impl Heard {
    fn new(now_ms: i64) -> Self {
        Self { at_ms: now_ms, since_ms: now_ms, silent_ms: 0 }
    }

    fn hear(&mut self, now_ms: i64) {
        let wait = now_ms - self.at_ms;
        if wait > SILENCE_MS {
            self.silent_ms += wait;
            self.since_ms = now_ms;
        }
        self.at_ms = now_ms;
    }

    /// Silences up to now.
    pub(super) fn silent_ms(&self, now_ms: i64) -> i64 {
        let wait = now_ms - self.at_ms;
        self.silent_ms + if wait > SILENCE_MS { wait } else { 0 }
    }
}

/// What became of a script.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) seams: u64,
    pub(super) repairs: Vec<(RepairKind, u64)>,
    pub(super) player: Player,
    /// Frames sent by track.
    pub(super) sent: BTreeMap<TrackId, u64>,
}

/// Plays a script to its end, looking every `look_ms`.
pub(super) fn play(name: &str, mut script: Script, look_ms: i64) -> Outcome {
    script.sort();
    let config = StreamConfig::default();
    let window =
        Window::new(config.window_segments, u64::from(config.segment_ms / 1000), config.window_bytes_max);
    let live = Arc::new(LiveStream::new(StreamKey::new("live", "corpus").unwrap(), window));
    let mut pipeline = Pipeline::new(live.clone(), &config, None, None, 0, WALL_MS);
    let mut player = Player::new(name);
    let (mut heard, mut any, mut sent) = (BTreeMap::new(), Heard::new(0), BTreeMap::new());
    let mut look_at_ms = look_ms;
    for (at_ms, act) in script.steps {
        while look_at_ms <= at_ms {
            player.look(&live, look_at_ms, &any, &heard);
            look_at_ms += look_ms;
        }
        let media = match act {
            Act::Session(clock) => {
                heard.clear();
                pipeline.start_session(clock);
                continue;
            }
            Act::Media(media) => media,
            Act::Frame(frame) => {
                any.hear(at_ms);
                heard.entry(frame.id).or_insert_with(|| Heard::new(at_ms)).hear(at_ms);
                *sent.entry(frame.id).or_insert(0) += 1;
                Media::Frame(arrival(script.clock, &frame))
            }
        };
        pipeline.take_at(Now { ms: at_ms, wall_ms: WALL_MS + at_ms }, media, &mut |_| {});
    }
    player.look(&live, look_at_ms, &any, &heard);
    pipeline.finish();
    player.look(&live, look_at_ms, &any, &heard);
    let repairs = pipeline.timeline().repairs().counts().collect();
    Outcome { seams: live.read(Window::discontinuities), repairs, player, sent }
}

/// The frame on the wire. Its true time is its payload.
pub(super) fn arrival(clock: WireClock, frame: &Frame) -> Arrival {
    let ticks = (i128::from(frame.stamp_us) * i128::from(clock.hz) + 500_000).div_euclid(1_000_000);
    let stamp = ticks.rem_euclid(1 << clock.bits) as u64;
    // RTMP carries offsets in milliseconds.
    let unit = 1_000_000 / i64::from(clock.hz).min(90_000);
    let cts =
        if clock.hz == 1000 { (frame.cts_us + 500).div_euclid(unit) * 90 } else { frame.cts_us * 9 / 100 };
    let nal: &[u8] = match (frame.id.kind, frame.key) {
        (Kind::Video, true) => &[0, 0, 0, 9, 0x65],
        (Kind::Video, false) => &[0, 0, 0, 9, 0x41],
        (Kind::Audio, _) => MARK,
    };
    let payload = Bytes::from([nal, &frame.true_us.to_be_bytes()].concat());
    Arrival { track: frame.id, stamp, fine: 0, cts, key: frame.key, samples: None, payload }
}

/// Begins sound that was sent, as opposed to silence that was put in.
const MARK: &[u8] = b"SOUND";

/// True time of a frame out of its payload, microseconds.
pub(super) fn true_us(kind: Kind, payload: &[u8]) -> Option<i64> {
    let (head, time) = payload.split_at_checked(5)?;
    if kind == Kind::Audio && head != MARK {
        return None;
    }
    time.try_into().ok().map(i64::from_be_bytes)
}
