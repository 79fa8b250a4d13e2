//! What the muxer writes, the demultiplexer reads.

use nx_media::{AudioCodec, AudioParams, Sample, VideoCodec, VideoParams};

use super::*;
use crate::ts::{Tracks, segment};

/// NAL units without zeros, so that none has a start code in it.
fn nal(header: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(1..=255u8, 1..900).prop_map(move |body| [header, &body].concat())
}

fn video_samples(hevc: bool) -> impl Strategy<Value = Vec<Sample>> {
    let header: &[u8] = if hevc { &[2, 1] } else { &[0x41] };
    let one = (prop::collection::vec(nal(header), 1..4), any::<bool>(), 0..9000i64);
    prop::collection::vec(one, 1..12).prop_map(|list| {
        (0..)
            .zip(list)
            .map(|(i, (nals, key, cts))| {
                let framed = |n: Vec<u8>| [&u32::try_from(n.len()).unwrap().to_be_bytes()[..], &n].concat();
                let payload: Vec<u8> = nals.into_iter().flat_map(framed).collect();
                let dts = i * 3600;
                Sample { dts, pts: dts + cts, duration: Some(3600), key, payload: payload.into() }
            })
            .collect()
    })
}

/// Frames of MPEG audio and AC-3 go as they are.
fn audio_samples() -> impl Strategy<Value = Vec<Sample>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 1..1500), 1..30).prop_map(|list| {
        let at = |i: i64| i * 1152;
        let sample = |(i, payload): (i64, Vec<u8>)| Sample {
            dts: at(i),
            pts: at(i),
            duration: Some(1152),
            key: true,
            payload: payload.into(),
        };
        (0..).zip(list).map(sample).collect()
    })
}

fn video_params(hevc: bool) -> VideoParams {
    let avcc = b"\x01\x64\x00\x1f\xff\xe1\x00\x04\x67\x64\x00\x1f\x01\x00\x02\x68\xee".to_vec();
    let hvcc = [&[1; 22][..], b"\x01\xa0\x00\x01\x00\x03\x40\x01\x0c"].concat();
    VideoParams {
        codec: if hevc { VideoCodec::Hevc } else { VideoCodec::Avc },
        config: if hevc { hvcc } else { avcc }.into(),
        width: 16,
        height: 16,
        frame_rate: None,
        range: nx_media::VideoRange::Sdr,
        rfc6381: String::new(),
    }
}

fn audio_params(codec: AudioCodec, language: Option<Language>) -> AudioParams {
    let (config, rfc6381) = (Bytes::new(), String::new());
    AudioParams { codec, config, sample_rate: 48_000, channels: 2, frame_samples: 1152, rfc6381, language }
}

/// The NAL units of a sample in byte stream form.
fn byte_stream(sample: &Sample, hevc: bool) -> Vec<u8> {
    let sets: &[u8] =
        if hevc { b"\0\0\0\x01\x40\x01\x0c" } else { b"\0\0\0\x01\x67\x64\x00\x1f\0\0\0\x01\x68\xee" };
    let mut out = if hevc { b"\0\0\0\x01\x46\x01\x50".to_vec() } else { b"\0\0\0\x01\x09\xf0".to_vec() };
    out.extend(if sample.key { sets } else { &[] });
    for nal in nx_codec::avc::nals(&sample.payload) {
        out.extend([0, 0, 0, 1]);
        out.extend(nal);
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn gives_back_what_was_muxed(
        (hevc, video) in any::<bool>().prop_flat_map(|hevc| (Just(hevc), video_samples(hevc))),
        (first, second) in (audio_samples(), audio_samples()),
        number in any::<u64>(),
    ) {
        let (vp, eng) = (video_params(hevc), Language::new(b"eng"));
        let (a1, a2) = (audio_params(AudioCodec::Mpa, eng), audio_params(AudioCodec::Ac3, None));
        let audio = [(&a1, &first[..]), (&a2, &second[..])];
        let bytes = segment(&Tracks { video: Some((&vp, &video)), audio: &audio }, number).unwrap();
        // Two segments with numbers that follow each other are one stream.
        let next = segment(&Tracks { video: Some((&vp, &video)), audio: &audio }, number.wrapping_add(1));
        let bytes = [bytes, next.unwrap()].concat();
        let (found, stats) = events_of(Config::default(), &bytes, 1316);
        prop_assert_eq!(stats, Stats { packets: stats.packets, ..Stats::default() });
        prop_assert_eq!(programs(&found).len(), 1);
        let streams: Vec<_> = programs(&found)[0].streams.iter().map(|s| (s.pid, s.format, s.language)).collect();
        let video_format = if hevc { StreamFormat::Hevc } else { StreamFormat::Avc };
        prop_assert_eq!(streams, [
            (0x100, video_format, None),
            (0x101, StreamFormat::Mpa, eng),
            (0x102, StreamFormat::Ac3, None),
        ]);
        let list = units(&found);
        let seen: Vec<_> =
            list[&0x100].iter().map(|u| (u.pts, u.dts.or(u.pts), u.payload.to_vec())).collect();
        let want = |s: &Sample| (Some(s.pts + 90_000), Some(s.dts + 90_000), byte_stream(s, hevc));
        let want: Vec<_> = video.iter().chain(&video).map(want).collect();
        prop_assert_eq!(seen, want);
        for (pid, samples) in [(0x101, &first), (0x102, &second)] {
            let seen: Vec<u8> = list[&pid].iter().flat_map(|u| u.payload.to_vec()).collect();
            prop_assert_eq!(seen, samples.iter().chain(samples).flat_map(|s| s.payload.to_vec()).collect::<Vec<_>>());
            prop_assert_eq!(list[&pid][0].pts, Some(90_000));
        }
    }
}
