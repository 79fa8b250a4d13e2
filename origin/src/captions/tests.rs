//! Captions of pictures that are not sent in the order in which they are shown.

use bytes::Bytes;
use nx_hls::{Config, Event, Start, TrackSpec};
use nx_media::{TrackId, VideoCodec, VideoParams, VideoRange};

use super::*;

fn params() -> Params {
    Params::Video(VideoParams {
        codec: VideoCodec::Avc,
        config: Bytes::from_static(&[1, 100, 0, 31, 0xff, 0xe0, 0]),
        width: 1280,
        height: 720,
        frame_rate: None,
        range: VideoRange::Sdr,
        rfc6381: "avc1.64001f".into(),
    })
}

/// A picture shown as the `nth` of 25 a second, with a pair of CEA-608.
fn picture(dts: i64, nth: i64, key: bool, pair: [u8; 2]) -> Sample {
    let [a, b] = pair.map(|b| if b.count_ones().is_multiple_of(2) { b | 0x80 } else { b });
    let sei = [6, 4, 14, 0xb5, 0, 0x31, b'G', b'A', b'9', b'4', 3, 0x41, 0xff, 0xfc, a, b, 0xff, 0x80];
    let payload = [&[0, 0, 0, 18][..], &sei, &[0, 0, 0, 1, 0x65]].concat().into();
    Sample { dts: dts * 3600, pts: nth * 3600, duration: Some(3600), key, payload }
}

/// Everything that a packager said of text after these pictures.
fn said(pictures: &[Sample]) -> (Vec<Captions>, Vec<TextCue>) {
    let mut packager = Packager::new(Config::default(), Start::default());
    packager.set_tracks(&[TrackSpec { id: TrackId::VIDEO, params: params() }]);
    let languages = [("CC1".to_owned(), "en".to_owned())].into();
    let mut text = TextTrack::new(&CaptionsConfig { languages, ..CaptionsConfig::default() });
    let (mut captions, mut cues) = (Vec::new(), Vec::new());
    for sample in pictures {
        text.see(&params(), sample, &mut packager);
        packager.push(0, sample.clone(), 0);
        while let Some(event) = packager.poll() {
            match event {
                Event::Captions(told) => captions.push(told),
                Event::Text { cue, .. } => cues.push(cue),
                _ => {}
            }
        }
    }
    (captions, cues)
}

/// Row 15: `ABCD`, shown with the ninth pair; erased with the eleventh.
const PAIRS: [[u8; 2]; 12] = [
    [0, 0],
    [0x14, 0x20],
    [0x14, 0x2e],
    [0x14, 0x60],
    [b'A', b'B'],
    [b'C', b'D'],
    [0, 0],
    [0, 0],
    [0x14, 0x2f],
    [0, 0],
    [0x14, 0x2c],
    [0, 0],
];

#[test]
fn pairs_are_taken_in_the_order_of_presentation() {
    let in_order: Vec<Sample> = (0..12).map(|n| picture(n, n, n == 0, PAIRS[n as usize])).collect();
    // I, then P before the two B in front of it: 0 3 1 2 6 4 5 9 7 8, and a key frame.
    let order = [0i64, 3, 1, 2, 6, 4, 5, 9, 7, 8, 11, 10];
    let sent = (0i64..).zip(order);
    let reordered: Vec<Sample> =
        sent.map(|(dts, nth)| picture(dts - 2, nth, dts == 0, PAIRS[nth as usize])).collect();
    for (name, mut pictures, last) in [("in order", in_order, 12), ("with B-frames", reordered, 12)] {
        pictures.push(picture(last, last, true, [0, 0]));
        let (captions, cues) = said(&pictures);
        assert_eq!(captions.last().unwrap().embedded[0].instream_id, "CC1", "{name}");
        assert_eq!(captions.last().unwrap().renditions[0].language, "en", "{name}");
        let got: Vec<(i64, &str)> = cues.iter().map(|c| (c.start_us, c.text.as_str())).collect();
        assert_eq!(got, [(320_000, "ABCD"), (400_000, "")], "{name}");
        assert_eq!(cues[0].settings, "line:84% position:10% align:start");
    }
}

#[test]
fn pictures_without_captions_say_nothing() {
    let plain = |n: i64| Sample {
        payload: Bytes::from_static(&[0, 0, 0, 2, 0x65, 1]),
        ..picture(n, n, n == 0, [0, 0])
    };
    let pictures: Vec<Sample> = (0..50).map(plain).collect();
    assert_eq!(said(&pictures), (vec![], vec![]));
}

#[test]
fn languages_have_the_form_of_tags() {
    for good in ["en", "und", "pt-BR", "zh-Hant-TW"] {
        assert!(is_tag(good), "{good}");
    }
    for bad in ["", "1a", "en-", "-en", "en_US", "toolonglanguage", "en\"", "en-waytoolongpart"] {
        assert!(!is_tag(bad), "{bad}");
    }
    let config = |service: &str| CaptionsConfig {
        languages: [(service.to_owned(), "en".to_owned())].into(),
        ..CaptionsConfig::default()
    };
    assert!(config("SERVICE2").is_valid() && !config("CC9").is_valid());
}
