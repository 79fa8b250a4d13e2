//! Answers to requests for the outputs of streams in several codecs.

use bytes::Bytes;
use http::StatusCode;
use nx_hls::{Config, Packager, Start, TrackSpec, Window};
use nx_media::{AudioCodec, AudioParams, Params, Sample, StreamKey, TrackId, VideoCodec, VideoParams};

use super::reply;
use crate::live::LiveStream;
use crate::route::Resource;

fn params(codec: VideoCodec) -> Params {
    Params::Video(VideoParams {
        codec,
        config: Bytes::from_static(&[1, 100, 0, 31, 0xff, 0xe0, 0]),
        width: 1280,
        height: 720,
        frame_rate: None,
        range: nx_media::VideoRange::Sdr,
        rfc6381: "of no matter here".into(),
    })
}

/// Five seconds of a picture in this codec.
fn stream(codec: VideoCodec) -> LiveStream {
    let params = params(codec);
    let live = LiveStream::new(StreamKey::new("live", "cam1").unwrap(), Window::new(6, 2, 1 << 20));
    let mut packager = Packager::new(Config::default(), Start { msn: 7, ..Start::default() });
    packager.set_tracks(&[TrackSpec { id: TrackId::VIDEO, params }]);
    for n in 0..150 {
        let (dts, key) = (90_000 + n * 3000, n % 60 == 0);
        let payload = Bytes::from_static(&[0, 0, 0, 2, 0x65, 0x88]);
        packager.push(0, Sample { dts, pts: dts, duration: Some(3000), key, payload }, 1_795_000_000_000);
    }
    while let Some(event) = packager.poll() {
        live.apply(event);
    }
    live
}

/// A player of pictures waits for the next part when the publisher returns with sound only.
#[tokio::test]
async fn a_reload_is_answered_when_its_track_has_vanished() {
    let live = LiveStream::new(StreamKey::new("live", "cam1").unwrap(), Window::new(6, 2, 1 << 20));
    let mut packager = Packager::new(Config::default(), Start { msn: 7, ..Start::default() });
    let video = TrackSpec { id: TrackId::VIDEO, params: params(VideoCodec::Avc) };
    let sound = Params::Audio(AudioParams {
        codec: AudioCodec::Aac,
        config: Bytes::from_static(&[0x11, 0x90]),
        sample_rate: 48_000,
        channels: 2,
        frame_samples: 1024,
        rfc6381: "mp4a.40.2".into(),
        language: None,
    });
    let audio = TrackSpec { id: TrackId::AUDIO, params: sound };
    let payload = Bytes::from_static(&[0, 0, 0, 2, 0x65, 0x88]);
    let sample = |dts, duration, key| Sample {
        dts,
        pts: dts,
        duration: Some(duration),
        key,
        payload: payload.clone(),
    };
    let apply = |packager: &mut Packager| {
        while let Some(event) = packager.poll() {
            live.apply(event);
        }
    };
    packager.set_tracks(&[video, audio.clone()]);
    for n in 0..75 {
        packager.push(0, sample(90_000 + n * 3000, 3000, n % 60 == 0), 1_795_000_000_000);
        packager.push(1, sample(48_000 + n * 1600, 1600, true), 1_795_000_000_000);
    }
    apply(&mut packager);
    let playlist = Resource::Playlist { track: "v1" };
    let waiting = reply(&live, playlist, "_HLS_msn=9&_HLS_part=0");
    let returning = async {
        packager.set_tracks(&[audio]);
        for n in 75..200 {
            packager.push(0, sample(48_000 + n * 1600, 1600, true), 1_795_000_003_000);
            apply(&mut packager);
            tokio::task::yield_now().await;
        }
    };
    let (answer, ()) = tokio::join!(waiting, returning);
    let Ok(answer) = answer else { panic!("no playlist") };
    let text = String::from_utf8(answer.bytes.iter().flatten().copied().collect()).unwrap();
    assert!(text.contains("#EXT-X-GAP\n") && text.contains("\n9.m4s\n"), "{text}");
    assert!(text.contains("../a1/index.m3u8") && !text.contains("10.m4s"), "at once: {text}");
    let part = reply(&live, Resource::Part { track: "v1", msn: 9, part: 0 }, "").await;
    assert!(part.is_err(), "a gap has no parts");
    assert!(reply(&live, Resource::Segment { track: "v1", msn: 7 }, "").await.is_ok());
}

#[tokio::test]
async fn an_output_that_cannot_hold_the_codec_says_which_one_does() {
    for resource in [Resource::TsPlaylist, Resource::TsSegment { msn: 7 }] {
        let problem = reply(&stream(VideoCodec::Av1), resource, "").await.err().expect("a problem");
        assert_eq!((problem.status, problem.slug), (StatusCode::NOT_FOUND, "output-codec"));
        assert_eq!(problem.detail, "AV1 cannot be carried in MPEG-TS; play index.m3u8");
        assert!(reply(&stream(VideoCodec::Avc), resource, "").await.is_ok(), "{resource:?}");
    }
    assert!(reply(&stream(VideoCodec::Av1), Resource::Multivariant, "").await.is_ok());
}
