//! Clips that repeat for ever: the slate of a stream that has lost its publishers.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use nx_container::flv::{self, TAG_AUDIO, TAG_VIDEO};
use nx_media::{Kind, Params, TrackId, VIDEO_TIMESCALE};
use nx_timeline::{Arrival, WireClock};

use crate::ingest::flv_reader::FlvReader;
use crate::ingest::input::Reading;
use crate::ingest::ts_reader::TsReader;
use crate::media::{Expect, Media};

/// Largest file that is taken as a slate; it is held in memory. Bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 64 << 20;

/// Tracks, and what they repeat.
#[derive(Debug)]
pub(crate) struct Clip {
    params: Vec<(TrackId, Params)>,
    rounds: Vec<Round>,
}

/// Frames in decode order, with times that begin at 0; 90 kHz ticks.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    pub(crate) frames: Vec<Arrival>,
    /// After which they begin again, in units of which there are `hz` in a second: rounds of sound and picture have no
    /// common measure.
    pub(crate) length: u64,
    pub(crate) hz: u32,
}

impl Clip {
    /// Reads an FLV file or a transport stream.
    ///
    /// # Errors
    /// In words, with what to do.
    pub(crate) fn load(path: &Path) -> Result<Arc<Self>, String> {
        let name = path.display();
        let size = std::fs::metadata(path).map_err(|e| format!("{name} cannot be read: {e}"))?.len();
        if size > FILE_BYTES_MAX {
            return Err(format!(
                "{name} has {size} bytes; a slate is at most {FILE_BYTES_MAX}: use a shorter clip"
            ));
        }
        let file = Bytes::from(std::fs::read(path).map_err(|e| format!("{name} cannot be read: {e}"))?);
        let mut media = Vec::new();
        if file.starts_with(b"FLV") {
            read_flv(&file, &mut |m| media.push(m));
        } else {
            let mut reader = TsReader::new();
            reader.push(&file, &mut |m| media.push(m));
            reader.finish(&mut |m| media.push(m));
        }
        let clip =
            Self::collect(media, if file.starts_with(b"FLV") { WireClock::RTMP } else { WireClock::MPEG_TS });
        clip.map(Arc::new).ok_or_else(|| {
            format!(
                "{name} holds no key frame with its parameters; a slate is a PNG or JPEG picture, or an MPEG-TS or FLV \
                 clip, for instance from `ffmpeg -i IN -t 10 -c:v libx264 -g 60 -c:a aac slate.ts`"
            )
        })
    }

    fn collect(media: Vec<Media>, clock: WireClock) -> Option<Self> {
        let (mut params, mut frames) = (Vec::<(TrackId, Params)>::new(), Vec::new());
        for item in media {
            match item {
                Media::Params(id, _) if params.iter().any(|(other, _)| *other == id) => {}
                Media::Params(id, of) => params.push((id, of)),
                Media::Frame(mut arrival) => {
                    arrival.stamp = arrival.stamp * 90_000 / u64::from(clock.hz);
                    frames.push(arrival);
                }
                _ => {}
            }
        }
        let first = |kind| frames.iter().find(|f: &&Arrival| f.track.kind == kind && f.key).map(|f| f.stamp);
        let start = first(Kind::Video).or(first(Kind::Audio))?;
        frames.retain(|f| f.stamp >= start);
        frames.iter_mut().for_each(|f| f.stamp -= start);
        frames.sort_by_key(|f| f.stamp);
        let lead = frames.first()?.track;
        let stamps: Vec<u64> = frames.iter().filter(|f| f.track == lead).map(|f| f.stamp).collect();
        let (last, count) = (*stamps.last()?, stamps.len() as u64);
        let length = last + (last / (count.max(2) - 1)).max(1);
        frames.retain(|f| f.stamp < length);
        Some(Self::new(params, vec![Round { frames, length, hz: VIDEO_TIMESCALE }]))
    }

    pub(crate) fn new(params: Vec<(TrackId, Params)>, rounds: Vec<Round>) -> Self {
        Self { params, rounds }
    }

    /// Its first track of a kind.
    pub(crate) fn first(&self, kind: Kind) -> Option<(TrackId, &Params)> {
        self.params.iter().map(|(id, params)| (*id, params)).find(|(id, _)| id.kind == kind)
    }

    /// What of its tracks repeats.
    pub(crate) fn rounds(&self) -> &[Round] {
        &self.rounds
    }

    /// What a stream has to know before its frames.
    fn head(&self) -> impl Iterator<Item = Media> {
        let tracks = self.params.iter().map(|(id, _)| *id).collect();
        let expect = Media::Expect(Expect { tracks, video_ms: 0, audio_ms: 0, exact: true });
        let params = self.params.iter().map(|(id, params)| Media::Params(*id, params.clone()));
        std::iter::once(expect).chain(params)
    }
}

impl Round {
    /// The `nth` frame of all rounds together, and when it is due.
    fn frame(&self, nth: usize) -> Option<(&Arrival, u64)> {
        let count = self.frames.len().max(1);
        let frame = self.frames.get(nth % count)?;
        let rounds = (nth / count) as u64;
        let since = rounds.saturating_mul(self.length).saturating_mul(VIDEO_TIMESCALE.into());
        Some((frame, frame.stamp + since / u64::from(self.hz.max(1))))
    }
}

fn read_flv(file: &Bytes, sink: &mut dyn FnMut(Media)) {
    let mut reader = FlvReader::default();
    for (kind, at_ms, body) in flv::tags(file) {
        let body = Bytes::copy_from_slice(body);
        // A damaged tag is left out, as on the wire.
        let _ = match kind {
            TAG_VIDEO => reader.video(at_ms, &body, sink),
            TAG_AUDIO => reader.audio(at_ms, &body, sink),
            _ => Ok(()),
        };
    }
}

/// A clip on air.
pub(crate) struct ClipInput {
    clip: Arc<Clip>,
    since_ms: i64,
    /// Its frames come so much after their time, milliseconds.
    behind_ms: i64,
    /// Of each [`Round`]: frames handed out so far.
    next: Vec<usize>,
    told: bool,
}

impl ClipInput {
    /// Never goes round.
    pub(crate) const CLOCK: WireClock = WireClock { hz: 90_000, bits: 62 };

    pub(crate) fn new(clip: Arc<Clip>, now_ms: i64) -> Self {
        let next = vec![0; clip.rounds.len()];
        Self { clip, since_ms: now_ms, behind_ms: 0, next, told: false }
    }

    /// One that has been on air since a time. Its frames come when they are over, so that whoever follows begins behind
    /// the last one.
    pub(crate) fn since(clip: Arc<Clip>, since_ms: i64) -> Self {
        let length_ms = |round: &Round| {
            let frames = u64::from(round.hz) * round.frames.len() as u64;
            i64::try_from(round.length.saturating_mul(1000).div_ceil(frames.max(1))).unwrap_or(0)
        };
        let behind_ms = clip.rounds.iter().map(length_ms).max().unwrap_or(0);
        Self { behind_ms, ..Self::new(clip, since_ms) }
    }

    /// When a frame is to be taken to have come.
    pub(crate) fn came_ms(&self, stamp: u64) -> i64 {
        self.since_ms + i64::try_from(stamp / 90).unwrap_or(0)
    }

    /// When the next frame is due.
    pub(crate) fn due_ms(&self) -> i64 {
        self.came_ms(self.frame().map_or(0, |(_, _, at)| at)) + self.behind_ms
    }

    /// Hands out what is due.
    pub(crate) fn read(
        &mut self,
        now_ms: i64,
        took: &mut dyn FnMut(usize),
        sink: &mut dyn FnMut(Media),
    ) -> Reading {
        if !std::mem::replace(&mut self.told, true) {
            self.clip.head().for_each(&mut *sink);
        }
        while self.due_ms() <= now_ms {
            let Some((round, frame, stamp)) = self.frame() else { break };
            let arrival = Arrival { stamp, ..frame.clone() };
            took(arrival.payload.len());
            if let Some(next) = self.next.get_mut(round) {
                *next += 1;
            }
            sink(Media::Frame(arrival));
        }
        Reading::Drained
    }

    /// The frame that comes next, of which round, and when it is due.
    fn frame(&self) -> Option<(usize, &Arrival, u64)> {
        let each = self.clip.rounds.iter().zip(&self.next).enumerate();
        let due = each.filter_map(|(nth, (round, next))| {
            let (frame, at) = round.frame(*next)?;
            Some((nth, frame, at))
        });
        due.min_by_key(|(.., at)| *at)
    }
}

#[cfg(test)]
mod tests;
