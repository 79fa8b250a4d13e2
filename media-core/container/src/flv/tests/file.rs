//! Files of other writers, and of our own bodies.

use nx_media::Params;

use crate::index::tests::{agrees, index, payload, sound, survives};
use crate::index::{Index, Kind as FileKind};

use super::*;

const BFRAMES: &[u8] = include_bytes!("../../index/golden/bframes.flv");
const BFRAMES_PACKETS: &str = include_str!("../../index/golden/bframes.flv.packets");

#[test]
fn agrees_with_ffprobe() {
    let (index, cost) = index(FileKind::Flv, BFRAMES).unwrap();
    agrees("bframes.flv", BFRAMES, &index, BFRAMES_PACKETS, 1000);
    assert_eq!(index.left_out, Vec::<String>::new());
    assert!(cost.bytes <= 2 * BFRAMES.len(), "{cost:?}");
    let want = crate::testing::media(BFRAMES);
    assert_eq!(index.tracks[0].params, Params::Video(want.video));
    assert_eq!(index.tracks[1].params, Params::Audio(want.audio));
}

#[test]
fn survives_truncation_and_change() {
    survives(FileKind::Flv, BFRAMES, 7);
}

/// A file of these tags: kind, milliseconds, body.
fn file(tags: &[(u8, u32, Vec<u8>)]) -> Vec<u8> {
    let mut out = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
    for (kind, ms, body) in tags {
        let [t0, t1, t2, t3] = ms.to_be_bytes();
        let [_, s0, s1, s2] = u32::try_from(body.len()).unwrap().to_be_bytes();
        out.extend([*kind, s0, s1, s2, t1, t2, t3, t0, 0, 0, 0]);
        out.extend(body);
        out.extend(u32::try_from(body.len() + 11).unwrap().to_be_bytes());
    }
    out
}

fn of(tags: &[(u8, u32, Vec<u8>)]) -> (Vec<u8>, Index) {
    let file = file(tags);
    let index = index(FileKind::Flv, &file).unwrap().0;
    sound(&file, &index);
    (file, index)
}

/// The video of the golden file as tags, from `ms` on: its configuration, then so many frames.
fn video_tags(ms: u32, frames: usize) -> Vec<(u8, u32, Vec<u8>)> {
    let all = tags(BFRAMES).filter(|(kind, ..)| *kind == TAG_VIDEO);
    all.take(frames + 1).map(|(kind, at, body)| (kind, at + ms, body.to_vec())).collect()
}

#[test]
fn a_clock_that_begins_anew_goes_on() {
    let all = [video_tags(1_000_000, 10), video_tags(0, 10)].concat();
    let (_, index) = of(&all);
    let samples = &index.tracks[0].samples;
    assert_eq!(samples.len(), 20);
    assert!(samples.iter().all(|s| s.duration == 3_600), "{samples:?}");
}

#[test]
fn what_follows_another_configuration_is_left_out() {
    let mut other = video_tags(2_000, 3);
    // Another level.
    other[0].2[8] += 1;
    let (_, index) = of(&[video_tags(0, 5), other].concat());
    assert_eq!(index.tracks[0].samples.len(), 5);
    assert_eq!(index.left_out, ["Video track 0 behind 5 samples: its configuration changes"]);
}

#[test]
fn enhanced_tags_and_several_tracks() {
    let media = crate::testing::media(BFRAMES);
    let mut all = Vec::new();
    let mut put = |kind, nth, body: &[u8]| {
        let tag = if kind == Kind::Video { TAG_VIDEO } else { TAG_AUDIO };
        all.push((tag, 0, multitrack_one(kind, nth, body).unwrap().to_vec()));
    };
    put(Kind::Video, 0, &video_config_body(&media.video));
    put(Kind::Audio, 1, &audio_config_body(&media.audio).unwrap());
    for sample in &media.video_samples {
        let ms = u32::try_from(sample.dts / 90).unwrap();
        let cts = i32::try_from((sample.pts - sample.dts) / 90).unwrap();
        let body = [&video_frame_header(VideoCodec::Avc, sample.key, cts)[..], &sample.payload].concat();
        all.push((TAG_VIDEO, ms, multitrack_one(Kind::Video, 0, &body).unwrap().to_vec()));
    }
    for (nth, sample) in (0..).zip(&media.audio_samples) {
        let body = [&audio_frame_header(AudioCodec::Aac)[..], &sample.payload].concat();
        all.push((TAG_AUDIO, nth * 1024 / 48, multitrack_one(Kind::Audio, 1, &body).unwrap().to_vec()));
    }
    // Of no codec that is carried.
    all.push((TAG_VIDEO, 5_000, vec![0x12, 1, 2, 3]));
    let (file, index) = of(&all);
    for (track, samples) in index.tracks.iter().zip([&media.video_samples, &media.audio_samples]) {
        assert_eq!(track.samples.len(), samples.len());
        for (place, sample) in track.samples.iter().zip(samples) {
            assert_eq!(
                (payload(&file, track, place).unwrap(), place.key),
                (sample.payload.clone(), sample.key)
            );
        }
    }
    assert_eq!(index.left_out.len(), 1, "{:?}", index.left_out);
}
