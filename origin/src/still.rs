//! A picture that its publisher no longer sends stands still.
//!
//! Players cannot lose a track: Shaka refuses a DASH Period without the pictures of the one before, and everybody
//! waits for a picture that is a gap, sound or not. So when a publisher comes back with sound alone, the last key
//! frame is shown again and again, once a part, until there are pictures.
//!
//! While nobody sends at all it stands still with silence, as long as the stream waits: a pause that no segment covers puts
//! players behind that place media by the lengths of segments and the live edge by the clock (Shaka with HLS).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use nx_hls::TrackSpec;
use nx_media::{AudioParams, Kind, Params, Sample, TrackId, VIDEO_TIMESCALE, rescale};
use nx_timeline::Arrival;

use crate::ingest::clip::{Clip, Round};

/// The first picture: the one that players show.
pub(crate) const PICTURE: TrackId = TrackId { kind: Kind::Video, nth: 0 };
/// A larger key frame is not kept; bytes.
const FRAME_MAX: usize = 4 << 20;
/// What stands still weighs no more: each viewer fetches it, and it is held as long as the programme. As a stream of 12 Mbit/s,
/// with the usual parts a key frame of 500 KB; bytes a segment.
const SEGMENT_MAX: usize = 3 << 20;

/// What is put in for the time before, at most: as much as a list has. Milliseconds.
pub(crate) const BACK_MAX_MS: i64 = 15_000;

/// The last key frame of a stream's picture.
#[derive(Debug, Default)]
pub(crate) struct Still {
    last: Option<(Params, Bytes)>,
    /// Where the newest picture ends, in its ticks.
    end: i64,
    /// It is shown, and this is when next, in the picture's ticks; `None` until the sound has told.
    next: Option<Option<i64>>,
}

impl Still {
    /// A sample of a stream's track goes out.
    pub(crate) fn see(&mut self, id: TrackId, sample: &Sample, params: &Params) {
        if id != PICTURE {
            return;
        }
        self.end = sample.dts.saturating_add(i64::from(sample.duration.unwrap_or(1)));
        if sample.key {
            self.keep(params, &sample.payload);
        }
    }

    /// The last key frame is this one.
    pub(crate) fn keep(&mut self, params: &Params, key: &Bytes) {
        if key.len() <= FRAME_MAX {
            self.last = Some((params.clone(), key.clone()));
        }
    }

    /// The tracks of a publisher change; gives the picture that stands still from now on.
    pub(crate) fn stand(&mut self, tracks: &[TrackSpec]) -> Option<TrackSpec> {
        self.next = None;
        let sound_only = !tracks.is_empty() && tracks.iter().all(|t| t.id.kind == Kind::Audio);
        let (params, _) = self.last.as_ref().filter(|_| sound_only)?;
        self.next = Some(None);
        Some(TrackSpec { id: PICTURE, params: params.clone() })
    }

    /// Whether this track can stand still.
    pub(crate) fn holds(&self, id: TrackId) -> bool {
        id == PICTURE && self.last.is_some()
    }

    /// Whether it is shown.
    pub(crate) fn stands(&self) -> bool {
        self.next.is_some()
    }

    /// What stands still for a publisher of these tracks; `part_us` is the length of a part. `None` where there was no picture
    /// yet, or a heavy one, or no silence is known for a codec.
    pub(crate) fn clip(
        &self,
        tracks: &BTreeMap<TrackId, Params>,
        segment_ms: u32,
        part_us: u32,
    ) -> Option<Arc<Clip>> {
        let (mut params, mut rounds) = (Vec::new(), Vec::new());
        for (id, of) in tracks {
            let (of, round) = match of {
                Params::Audio(sound) => (of, silence(*id, sound)?),
                Params::Video(_) if *id == PICTURE => self.picture(segment_ms, part_us)?,
                Params::Video(_) => continue,
            };
            params.push((*id, of.clone()));
            rounds.push(round);
        }
        (!rounds.is_empty()).then(|| Arc::new(Clip::new(params, rounds)))
    }

    /// The key frame, as often as parts fit into a segment.
    fn picture(&self, segment_ms: u32, part_us: u32) -> Option<(&Params, Round)> {
        let (params, payload) = self.last.as_ref()?;
        let parts = segment_ms.saturating_mul(1000).div_ceil(part_us.max(1)).max(1);
        if payload.len().saturating_mul(usize::try_from(parts).ok()?) > SEGMENT_MAX {
            return None;
        }
        let hz = parts.saturating_mul(1000);
        let ticks = u64::from(segment_ms) * u64::from(VIDEO_TIMESCALE) / u64::from(hz);
        let frame = frame(PICTURE, u32::try_from(ticks).ok(), payload.clone());
        Some((params, Round { frames: vec![frame], length: segment_ms.into(), hz }))
    }

    /// What is shown until the sound has come as far as this; `part_us` is the length of a part.
    pub(crate) fn until(&mut self, sound: &Sample, params: &Params, part_us: u32) -> Option<Sample> {
        let (_, payload) = self.last.as_ref()?;
        let at = self.next.as_mut()?;
        let reached = rescale(sound.dts, params.timescale(), VIDEO_TIMESCALE);
        let dts = *at.get_or_insert(reached.max(self.end));
        let ticks = rescale(i64::from(part_us), 1_000_000, VIDEO_TIMESCALE).max(1);
        // A sound that leaps takes the picture along.
        let dts = if reached - dts > ticks * 4 { reached } else { dts };
        if dts > reached {
            return None;
        }
        *at = Some(dts + ticks);
        Some(Sample {
            dts,
            pts: dts,
            duration: u32::try_from(ticks).ok(),
            key: true,
            payload: payload.clone(),
        })
    }
}

fn silence(id: TrackId, params: &AudioParams) -> Option<Round> {
    let frames = vec![frame(id, None, nx_timeline::silence(params)?)];
    Some(Round { frames, length: params.frame_samples.into(), hz: params.sample_rate })
}

fn frame(track: TrackId, samples: Option<u32>, payload: Bytes) -> Arrival {
    Arrival { track, stamp: 0, fine: 0, cts: 0, key: true, samples, payload }
}

#[cfg(test)]
mod tests {
    use nx_media::{VideoCodec, VideoParams, VideoRange};

    use super::*;

    fn picture() -> Params {
        Params::Video(VideoParams {
            codec: VideoCodec::Avc,
            config: Bytes::new(),
            width: 320,
            height: 180,
            frame_rate: None,
            range: VideoRange::Sdr,
            rfc6381: "avc1.42c014".into(),
        })
    }

    fn sound() -> Params {
        Params::Audio(nx_codec::opus::params(2, None))
    }

    fn sample(dts: i64, key: bool, payload: &'static [u8]) -> Sample {
        Sample { dts, pts: dts, duration: Some(3000), key, payload: Bytes::from_static(payload) }
    }

    fn specs(ids: &[TrackId]) -> Vec<TrackSpec> {
        let params = |id: &TrackId| if id.kind == Kind::Video { picture() } else { sound() };
        ids.iter().map(|id| TrackSpec { id: *id, params: params(id) }).collect()
    }

    #[test]
    fn a_heavy_picture_does_not_stand_while_nobody_sends() {
        let tracks = BTreeMap::from([(TrackId::VIDEO, picture()), (TrackId::AUDIO, sound())]);
        // Six parts a segment.
        for (bytes, stands) in [(SEGMENT_MAX / 6, true), (SEGMENT_MAX / 6 + 1, false)] {
            let mut still = Still::default();
            still.keep(&picture(), &vec![0; bytes].into());
            assert_eq!(still.clip(&tracks, 2_000, 334_000).is_some(), stands, "{bytes}");
        }
    }

    #[test]
    fn the_last_key_frame_is_shown_once_a_part_from_the_last_picture_on() {
        let mut still = Still::default();
        assert_eq!(still.stand(&specs(&[TrackId::AUDIO])), None, "there was no picture");
        still.see(TrackId::VIDEO, &sample(90_000, true, b"key"), &picture());
        still.see(TrackId::VIDEO, &sample(93_000, false, b"delta"), &picture());
        still.see(TrackId::video(1), &sample(93_000, true, b"small"), &picture());
        assert!(still.holds(TrackId::VIDEO) && !still.holds(TrackId::AUDIO) && !still.stands());
        assert_eq!(still.stand(&specs(&[TrackId::VIDEO, TrackId::AUDIO])), None, "there are pictures");
        let stands = still.stand(&specs(&[TrackId::AUDIO]));
        assert_eq!((stands, still.stands()), (specs(&[TrackId::VIDEO]).pop(), true));
        let mut shown = Vec::new();
        for ms in (1000..2000).step_by(20) {
            while let Some(s) = still.until(&sample(ms * 48, true, b""), &sound(), 333_334) {
                assert_eq!((s.payload.as_ref(), s.key, s.duration), (b"key".as_slice(), true, Some(30_000)));
                shown.push(s.dts);
            }
        }
        assert_eq!(shown, [96_000, 126_000, 156_000]);
        // A leap takes it along; a return of the pictures ends it.
        assert_eq!(still.until(&sample(480_000, true, b""), &sound(), 333_334).map(|s| s.dts), Some(900_000));
        assert_eq!(still.stand(&specs(&[TrackId::VIDEO])), None);
        assert_eq!(still.until(&sample(960_000, true, b""), &sound(), 333_334), None);
    }
}
