//! One input of a stream: whoever sends it, over whichever protocol.

use std::collections::BTreeMap;
use std::sync::Arc;

use nx_admission::Grant;
use nx_media::{Kind, Params, TrackId};
use nx_timeline::WireClock;

use crate::claims::{Claim, Lost, Role};
use crate::ingest::clip::ClipInput;
use crate::ingest::pace::{Pace, TICK_MS};
use crate::ingest::rtmp_input::RtmpInput;
use crate::ingest::ts_input::TsInput;
use crate::media::{Expect, Media};
use crate::vitals::Vitals;

/// How reading ended for this time.
pub(crate) enum Reading {
    /// Everything that was there.
    Drained,
    /// More is waiting; others first.
    More,
    /// The input is over.
    Closed(End),
}

/// Why an input is over, in words for the log.
pub(crate) enum End {
    /// It left, or was left.
    Left(String),
    /// It sent what cannot be taken: the encoder is told, and the status page.
    Refused(String),
}

impl End {
    pub(crate) fn reason(&self) -> &str {
        let (Self::Left(reason) | Self::Refused(reason)) = self;
        reason
    }
}

/// The protocol's part.
pub(crate) enum Wire {
    Rtmp(Box<RtmpInput>),
    Ts(Box<TsInput>),
    Clip(Box<ClipInput>),
}

/// Who it is.
pub(crate) struct About {
    pub(crate) role: Role,
    pub(crate) protocol: &'static str,
    /// Address and port, or the URL that is pulled.
    pub(crate) peer: String,
    /// What the encoder calls itself.
    pub(crate) client: String,
    /// What it may do.
    pub(crate) grant: Grant,
}

impl About {
    /// Nobody: the stream's last picture.
    pub(crate) fn still() -> Self {
        Self { protocol: "still", ..Self::slate() }
    }

    pub(crate) fn slate() -> Self {
        let grant = Grant {
            input: nx_admission::Input::Primary,
            limits: nx_admission::Limits::default(),
            passphrase_required: false,
            by: "slate",
            key: None,
            expires_at_s: None,
            lease: None,
        };
        Self { role: Role::Slate, protocol: "clip", peer: String::new(), client: String::new(), grant }
    }
}

pub(crate) struct Input {
    pub(crate) token: usize,
    pub(crate) about: About,
    pub(crate) claim: Arc<Claim>,
    pub(crate) connected_wall_ms: i64,
    pub(crate) connected_ms: i64,
    pub(crate) bytes_in: u64,
    /// What it has declared so far, for the moment when the stream turns to it.
    pub(crate) expect: Option<Expect>,
    pub(crate) params: BTreeMap<TrackId, Params>,
    pub(crate) vitals: Vitals,
    wire: Wire,
    pace: Pace,
    again: bool,
    /// What a read gave, kept for its memory.
    media: Vec<Media>,
}

impl Input {
    pub(crate) fn new(token: usize, about: About, claim: Arc<Claim>, wire: Wire, now_ms: i64) -> Self {
        Self {
            token,
            about,
            claim,
            connected_wall_ms: nx_delivery::wall_ms(),
            connected_ms: now_ms,
            bytes_in: 0,
            expect: None,
            params: BTreeMap::new(),
            vitals: Vitals::default(),
            wire,
            pace: Pace::default(),
            again: false,
            media: Vec::new(),
        }
    }

    /// Reads what is there and remembers what it declares.
    pub(crate) fn read(
        &mut self,
        scratch: &mut [u8],
        now_ms: i64,
        sink: &mut dyn FnMut(&Self, Media),
    ) -> Reading {
        let mut media = std::mem::take(&mut self.media);
        let mut bytes = 0;
        let mut took = |n: usize| bytes += n;
        let mut keep = |m| media.push(m);
        let reading = match &mut self.wire {
            Wire::Rtmp(rtmp) => rtmp.read(scratch, &mut took, &mut keep),
            Wire::Ts(ts) => ts.read(&mut took, &mut keep),
            Wire::Clip(clip) => clip.read(now_ms, &mut took, &mut keep),
        };
        if bytes > 0 {
            self.claim.heard(now_ms);
            self.bytes_in += bytes as u64;
            self.pace.took(bytes, now_ms);
        }
        self.again = matches!(reading, Reading::More);
        self.hand_out(media, now_ms, sink);
        reading
    }

    /// Media that came with the publish command itself.
    pub(crate) fn drain(&mut self, now_ms: i64, sink: &mut dyn FnMut(&Self, Media)) -> Result<(), End> {
        let Wire::Rtmp(rtmp) = &mut self.wire else { return Ok(()) };
        let mut media = Vec::new();
        let result = rtmp.drain(&mut |m| media.push(m));
        self.hand_out(media, now_ms, sink);
        result
    }

    fn hand_out(&mut self, mut media: Vec<Media>, now_ms: i64, sink: &mut dyn FnMut(&Self, Media)) {
        for media in media.drain(..) {
            match &media {
                Media::Expect(expect) => {
                    if expect.exact {
                        self.params.retain(|id, _| expect.tracks.contains(id));
                    }
                    self.expect = Some(expect.clone());
                }
                Media::Params(id, params) => {
                    self.params.insert(*id, params.clone());
                }
                Media::Frame(arrival) => self.vitals.see(now_ms, arrival, self.params.get(&arrival.track)),
                _ => {}
            }
            sink(self, media);
        }
        self.media = media;
    }

    /// Whether a switch to this input may happen at this frame.
    pub(crate) fn is_entry(&self, track: TrackId, key: bool) -> bool {
        let has_video = self.params.keys().any(|id| id.kind == Kind::Video);
        key && (track.kind == Kind::Video || !has_video)
    }

    /// How its protocol counts time.
    pub(crate) fn clock(&self) -> WireClock {
        match &self.wire {
            Wire::Rtmp(_) => WireClock::RTMP,
            Wire::Ts(_) => WireClock::MPEG_TS,
            Wire::Clip(_) => ClipInput::CLOCK,
        }
    }

    /// How long ago a frame came that is handed out now: a clip says itself when its frames came.
    pub(crate) fn late_ms(&self, media: &Media, now_ms: i64) -> i64 {
        match (&self.wire, media) {
            (Wire::Clip(clip), Media::Frame(arrival)) => (now_ms - clip.came_ms(arrival.stamp)).max(0),
            _ => 0,
        }
    }

    /// It is the picture that stands still while nobody sends.
    pub(crate) fn is_still(&self) -> bool {
        self.about.protocol == "still"
    }

    /// The transport stream's part, if it is one.
    pub(crate) fn ts(&self) -> Option<&TsInput> {
        match &self.wire {
            Wire::Ts(ts) => Some(ts),
            _ => None,
        }
    }

    /// Tells the encoder why it is sent away, where the protocol can, and lets go of the name.
    pub(crate) fn close(&mut self, end: &End) {
        match (&mut self.wire, end) {
            (Wire::Rtmp(rtmp), End::Refused(reason)) => rtmp.refuse(reason),
            (Wire::Ts(ts), _) => ts.close(),
            _ => {}
        }
        self.claim.lose(Lost::Over);
    }

    /// Asks an encoder that can to come back.
    pub(crate) fn ask_to_reconnect(&mut self) {
        if let Wire::Rtmp(rtmp) = &mut self.wire {
            rtmp.ask_to_reconnect();
        }
    }

    /// When the clock says to read; `None` while the socket's readiness is waited for.
    pub(crate) fn due_ms(&self) -> Option<i64> {
        match &self.wire {
            Wire::Rtmp(rtmp) if rtmp.is_watched() => None,
            _ if self.again => Some(0),
            Wire::Clip(clip) => Some(clip.due_ms()),
            _ => Some(self.pace.due_ms),
        }
    }

    /// Sets the next read: by the part that comes next, or at the next tick when every packet is wanted.
    pub(crate) fn schedule(
        &mut self,
        part_due_ms: Option<i64>,
        reached_ms: Option<i64>,
        now_ms: i64,
        eager: bool,
    ) {
        self.pace.schedule(part_due_ms, now_ms);
        if let Some(time_ms) = reached_ms {
            self.pace.saw(time_ms, now_ms);
        }
        if eager {
            self.pace.due_ms = self.pace.due_ms.min(now_ms + TICK_MS);
        }
    }

    /// Watches the socket's readiness from now on, or leaves it to the clock.
    pub(crate) fn watch(&mut self, registry: &mio::Registry, wanted: bool) {
        if let Wire::Rtmp(rtmp) = &mut self.wire {
            rtmp.watch(registry, mio::Token(self.token), wanted);
        }
    }
}
