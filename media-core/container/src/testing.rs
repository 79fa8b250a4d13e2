//! The golden file as tracks, for the tests of the writers.

use bytes::Bytes;
use nx_codec::{aac, avc};
use nx_media::{AudioParams, Sample, VideoParams};

use crate::flv::{self, AudioTag, TAG_AUDIO, TAG_VIDEO, VideoTag};

pub(crate) const TINY: &[u8] = include_bytes!("../../../tests/data/tiny.flv");

pub(crate) struct Media {
    pub(crate) video: VideoParams,
    pub(crate) video_samples: Vec<Sample>,
    pub(crate) audio: AudioParams,
    pub(crate) audio_samples: Vec<Sample>,
}

/// Reads an FLV file with H.264 and AAC; times in the tracks' timescales, each duration known.
pub(crate) fn media(flv: &[u8]) -> Media {
    let (mut video, mut audio) = (None, None);
    let (mut video_samples, mut audio_samples) = (vec![], vec![]);
    for (kind, ms, body) in flv::tags(flv) {
        let body = Bytes::copy_from_slice(body);
        match kind {
            TAG_VIDEO => flv::parse_video(&body, &mut |_, tag| match tag {
                VideoTag::Config { record, .. } => video = Some(avc::parse_config(&record).unwrap()),
                VideoTag::Frame { key, cts_ms, payload, .. } => {
                    avc::check(&payload).unwrap();
                    assert_eq!(key, avc::is_idr(&payload));
                    let dts = i64::from(ms) * 90;
                    let pts = dts + i64::from(cts_ms) * 90;
                    video_samples.push(Sample { dts, pts, duration: None, key, payload });
                }
                VideoTag::EndOfSequence | VideoTag::Ignored => (),
            })
            .unwrap(),
            TAG_AUDIO => flv::parse_audio(&body, &mut |_, tag| match tag {
                AudioTag::Config { header, .. } => audio = Some(aac::parse_config(&header).unwrap()),
                AudioTag::Frame { payload, .. } => {
                    let dts = i64::try_from(audio_samples.len()).unwrap() * 1024;
                    audio_samples.push(Sample { dts, pts: dts, duration: Some(1024), key: true, payload });
                }
                AudioTag::Ignored => (),
            })
            .unwrap(),
            _ => (),
        }
    }
    for i in 0..video_samples.len() {
        let next = video_samples.get(i + 1).map_or(video_samples[i].dts + 3000, |s: &Sample| s.dts);
        video_samples[i].duration = Some(u32::try_from(next - video_samples[i].dts).unwrap());
    }
    Media { video: video.unwrap(), video_samples, audio: audio.unwrap(), audio_samples }
}
