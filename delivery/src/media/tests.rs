//! Answers to requests for the outputs of streams in several codecs.

use bytes::Bytes;
use http::StatusCode;
use nx_hls::{Config, Packager, Start, TrackSpec, Window};
use nx_media::{Params, Sample, StreamKey, TrackId, VideoCodec, VideoParams};

use super::reply;
use crate::holds::Holds;
use crate::live::LiveStream;
use crate::route::Resource;

/// Five seconds of a picture in this codec.
fn stream(codec: VideoCodec) -> LiveStream {
    let params = Params::Video(VideoParams {
        codec,
        config: Bytes::from_static(&[1, 100, 0, 31, 0xff, 0xe0, 0]),
        width: 1280,
        height: 720,
        frame_rate: None,
        range: nx_media::VideoRange::Sdr,
        rfc6381: "of no matter here".into(),
    });
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

#[tokio::test]
async fn an_output_that_cannot_hold_the_codec_says_which_one_does() {
    for resource in [Resource::TsPlaylist, Resource::TsSegment { msn: 7 }] {
        let problem =
            reply(&stream(VideoCodec::Av1), &Holds::new(1), resource, "").await.expect_err("a problem");
        assert_eq!((problem.status, problem.slug), (StatusCode::NOT_FOUND, "output-codec"));
        assert_eq!(problem.detail, "AV1 cannot be carried in MPEG-TS; play index.m3u8");
        assert!(reply(&stream(VideoCodec::Avc), &Holds::new(1), resource, "").await.is_ok(), "{resource:?}");
    }
    assert!(reply(&stream(VideoCodec::Av1), &Holds::new(1), Resource::Multivariant, "").await.is_ok());
}
