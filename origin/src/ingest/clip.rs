//! A clip that repeats for ever: the slate of a stream that has lost its publishers.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use nx_container::flv::{self, TAG_AUDIO, TAG_VIDEO};
use nx_media::{Kind, TrackId};
use nx_timeline::{Arrival, WireClock};

use crate::ingest::flv_reader::FlvReader;
use crate::ingest::input::Reading;
use crate::ingest::ts_reader::TsReader;
use crate::media::{Expect, Media};

/// Largest file that is taken as a slate; it is held in memory. Bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Frames of a file in decode order, with times that begin at 0.
#[derive(Debug)]
pub(crate) struct Clip {
    head: Vec<Media>,
    /// 90 kHz ticks.
    frames: Vec<Arrival>,
    /// After which it begins again; 90 kHz ticks.
    length: u64,
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
                "{name} holds no key frame with its parameters; a slate is an MPEG-TS or FLV clip, for instance from \
                 `ffmpeg -i IN -t 10 -c:v libx264 -g 60 -c:a aac slate.ts` (an image must be made a clip first)"
            )
        })
    }

    fn collect(media: Vec<Media>, clock: WireClock) -> Option<Self> {
        let (mut head, mut frames) = (Vec::new(), Vec::new());
        for item in media {
            match item {
                Media::Params(id, _)
                    if head.iter().any(|h| matches!(h, Media::Params(other, _) if *other == id)) => {}
                Media::Params(..) => head.push(item),
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
        let tracks: Vec<TrackId> =
            head.iter().filter_map(|h| if let Media::Params(id, _) = h { Some(*id) } else { None }).collect();
        let expect = Media::Expect(Expect { tracks, video_ms: 0, audio_ms: 0, exact: true });
        head.insert(0, expect);
        Some(Self { head, frames, length })
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
    /// Frames handed out so far, all rounds together.
    next: usize,
    told: bool,
}

impl ClipInput {
    /// Never goes round.
    pub(crate) const CLOCK: WireClock = WireClock { hz: 90_000, bits: 62 };

    pub(crate) fn new(clip: Arc<Clip>, now_ms: i64) -> Self {
        Self { clip, since_ms: now_ms, next: 0, told: false }
    }

    /// When the next frame is due.
    pub(crate) fn due_ms(&self) -> i64 {
        self.since_ms + i64::try_from(self.frame().map_or(0, |(_, at)| at) / 90).unwrap_or(0)
    }

    /// Hands out what is due.
    pub(crate) fn read(
        &mut self,
        now_ms: i64,
        took: &mut dyn FnMut(usize),
        sink: &mut dyn FnMut(Media),
    ) -> Reading {
        if !std::mem::replace(&mut self.told, true) {
            self.clip.head.iter().cloned().for_each(&mut *sink);
        }
        while self.due_ms() <= now_ms {
            let Some((frame, stamp)) = self.frame() else { break };
            let arrival = Arrival { stamp, ..frame.clone() };
            took(arrival.payload.len());
            self.next += 1;
            sink(Media::Frame(arrival));
        }
        Reading::Drained
    }

    fn frame(&self) -> Option<(&Arrival, u64)> {
        let count = self.clip.frames.len().max(1);
        let frame = self.clip.frames.get(self.next % count)?;
        Some((frame, frame.stamp + (self.next / count) as u64 * self.clip.length))
    }
}
