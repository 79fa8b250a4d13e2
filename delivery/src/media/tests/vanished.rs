//! A track that its publisher no longer sends.

use bytes::Bytes;
use nx_hls::{Config, Packager, Start, TrackSpec};
use nx_media::{AudioCodec, AudioParams, Params, Sample, TrackId, VideoCodec};

use super::{FIRST, Node, picture};

fn sound() -> Params {
    Params::Audio(AudioParams {
        codec: AudioCodec::Aac,
        config: Bytes::from_static(&[0x11, 0x90]),
        sample_rate: 48_000,
        channels: 2,
        frame_samples: 1024,
        rfc6381: "mp4a.40.2".into(),
        language: None,
    })
}

fn sample(dts: i64, duration: u32, key: bool) -> Sample {
    let payload = Bytes::from_static(&[0, 0, 0, 2, 0x65, 0x88]);
    Sample { dts, pts: dts, duration: Some(duration), key, payload }
}

#[tokio::test]
async fn a_player_of_a_track_that_vanished_goes_on_with_gaps() {
    let node = Node::empty();
    let apply = |packager: &mut Packager| {
        while let Some(event) = packager.poll() {
            node.live.apply(event);
        }
    };
    let mut packager = Packager::new(Config::default(), Start { msn: FIRST, ..Start::default() });
    let video = TrackSpec { id: TrackId::VIDEO, params: picture(VideoCodec::Avc) };
    let audio = TrackSpec { id: TrackId::AUDIO, params: sound() };
    packager.set_tracks(&[video, audio.clone()]);
    for n in 0..75 {
        packager.push(0, sample(90_000 + n * 3000, 3000, n % 60 == 0), 1_795_000_000_000);
        packager.push(1, sample(48_000 + n * 1600, 1600, true), 1_795_000_000_000);
    }
    apply(&mut packager);
    let waiting = node.text("v1/index.m3u8?_HLS_msn=9&_HLS_part=0");
    let returning = async {
        packager.set_tracks(&[audio]);
        for n in 75..200 {
            packager.push(0, sample(48_000 + n * 1600, 1600, true), 1_795_000_003_000);
            apply(&mut packager);
            tokio::task::yield_now().await;
        }
    };
    let (text, ()) = tokio::join!(waiting, returning);
    assert!(text.contains("#EXT-X-GAP\n") && text.contains("\n9.m4s\n"), "{text}");
    assert!(text.contains("../a1/index.m3u8") && !text.contains("10.m4s"), "at once: {text}");
    // What was hinted at and what a manifest told of: players never get over a 404.
    for told in ["v1/9.0.m4s", "v1/9-0.m4s", "v1/8.2.m4s", "a1/9.0.m4s"] {
        let nothing = node.get(&format!("/live/cam1/{told}")).await.unwrap();
        assert_eq!(super::bytes(nothing), b"", "{told}");
    }
    assert!(node.get("/live/cam1/v1/8.3.m4s").await.is_err(), "nobody hinted at it");
    assert!(node.get("/live/cam1/v1/7.m4s").await.is_ok());
}
