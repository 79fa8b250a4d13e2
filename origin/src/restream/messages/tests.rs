//! Pieces as RTMP messages.

use std::sync::Arc;

use bytes::Bytes;
use nx_hls::RunTrack;

use super::*;

fn track(id: TrackId, params: Params) -> Arc<RunTrack> {
    Arc::new(RunTrack { id, name: id.to_string(), run: 0, params, init: Bytes::new(), key: None })
}

fn video(codec: VideoCodec, width: u32) -> Params {
    Params::Video(VideoParams {
        codec,
        config: Bytes::from_static(&[1, 0x64, 0, 0x1f, 0xff, 0xe0, 0]),
        width,
        height: 360,
        frame_rate: None,
        range: nx_media::VideoRange::Sdr,
        rfc6381: String::new(),
    })
}

fn aac() -> Params {
    Params::Audio(AudioParams {
        codec: AudioCodec::Aac,
        config: Bytes::from_static(&[0x11, 0x90]),
        sample_rate: 48_000,
        channels: 2,
        frame_samples: 1_024,
        rfc6381: String::new(),
        language: None,
    })
}

fn sample(dts: i64, cts: i64, key: bool) -> Sample {
    Sample { dts, pts: dts + cts, duration: Some(1), key, payload: Bytes::from_static(b"x") }
}

/// What is written for the pieces: kind, milliseconds, first two bytes of the body.
fn written(pieces: &[Piece]) -> Vec<(MediaKind, u32, Vec<u8>)> {
    let mut messages = Messages::default();
    let mut out = Vec::new();
    for piece in pieces {
        messages.piece(piece, &mut |kind, at_ms, parts| {
            let body = parts.concat();
            out.push((kind, at_ms, body.into_iter().take(2).collect()));
        });
    }
    out
}

fn piece(number: u64, tracks: Vec<(Arc<RunTrack>, Vec<Sample>)>) -> Piece {
    Piece { number, missed_us: 0, tracks }
}

#[test]
fn begins_at_zero_with_the_configuration_and_goes_by_time() {
    let (v, a) = (track(TrackId::VIDEO, video(VideoCodec::Avc, 640)), track(TrackId::AUDIO, aac()));
    let second = track(TrackId::audio(1), aac());
    // Stream time 10 s; sound at 10.000 and 10.021 s, pictures at 10.000 and 10.040 s; a second sound.
    let sound = vec![sample(480_000, 0, true), sample(481_024, 0, true)];
    let first = piece(
        1,
        vec![
            (v.clone(), vec![sample(900_000, 0, true), sample(903_600, 7_200, false)]),
            (a.clone(), sound.clone()),
            (second.clone(), sound),
        ],
    );
    // Sound that lags behind never makes time go back.
    let then = piece(
        2,
        vec![
            (v, vec![sample(907_200, 0, false)]),
            (second, vec![sample(484_000, 0, true)]),
            (a, vec![sample(481_900, 0, true)]),
        ],
    );
    use MediaKind::{Audio, Data, Video};
    let want = [
        (Data, 0, vec![2, 0]),
        (Video, 0, vec![0x17, 0]),
        (Audio, 0, vec![0xaf, 0]),
        (Video, 0, vec![0x17, 1]),
        (Audio, 0, vec![0xaf, 1]),
        (Audio, 21, vec![0xaf, 1]),
        (Video, 40, vec![0x27, 1]),
        (Audio, 40, vec![0xaf, 1]),
        (Video, 80, vec![0x27, 1]),
    ];
    assert_eq!(written(&[first, then]), want);
}

#[test]
fn new_parameters_are_told_before_their_frames_and_hevc_goes_enhanced() {
    let avc = track(TrackId::VIDEO, video(VideoCodec::Avc, 640));
    let hevc = track(TrackId::VIDEO, video(VideoCodec::Hevc, 1_280));
    let pieces = [
        piece(1, vec![(avc.clone(), vec![sample(0, 0, true)])]),
        piece(2, vec![(avc, vec![sample(90_000, 0, true)])]),
        piece(3, vec![(hevc, vec![sample(180_000, 0, true)])]),
    ];
    let bodies: Vec<_> = written(&pieces).into_iter().skip(1).map(|(_, at, body)| (at, body)).collect();
    let want = [
        (0, vec![0x17, 0]),
        (0, vec![0x17, 1]),
        (1_000, vec![0x17, 1]),
        (2_000, vec![0x90, b'h']),
        (2_000, vec![0x93, b'h']),
    ];
    assert_eq!(bodies, want);
    let mut messages = Messages::default();
    assert_eq!(messages.unusual(), None);
    messages.piece(&pieces[2], &mut |_, _, _| {});
    assert_eq!(messages.unusual(), Some("HEVC"));
}

#[test]
fn the_clock_of_rtmp_wraps_and_goes_on() {
    let mut messages = Messages::default();
    let wrap_us = (1_i64 << 32) * 1000;
    let times = [0, 2_000_000_000_000, 4_000_000_000_000, wrap_us - 1_000, wrap_us + 5_000];
    let stamps = times.map(|us| messages.stamp(us));
    assert_eq!(stamps, [0, 2_000_000_000, 4_000_000_000, u32::MAX, 5]);
}

#[test]
fn sound_alone_is_sent_too() {
    let a = track(TrackId::AUDIO, aac());
    let out = written(&[piece(1, vec![(a, vec![sample(48_000, 0, true)])])]);
    assert_eq!(
        out.iter().map(|(k, at, _)| (*k, *at)).collect::<Vec<_>>(),
        [(MediaKind::Data, 0), (MediaKind::Audio, 0), (MediaKind::Audio, 0)]
    );
}
