//! The writer: its bytes by table, and what the reader makes of them.

use super::*;

const DOPS: &[u8] = b"\0\x02\x01\x38\0\0\xbb\x80\xff\xf6\0";
/// Pre-skip 312, 48 kHz, gain -10/256 dB, in the other byte order.
const OPUS_HEAD: &[u8] = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\xf6\xff\0";
const STREAMINFO: &[u8] = b"\x80\0\0\x22\x12\0\x12\0";

fn video_params(codec: VideoCodec, config: &'static [u8]) -> VideoParams {
    VideoParams {
        codec,
        config: Bytes::from_static(config),
        width: 1,
        height: 1,
        frame_rate: None,
        range: nx_media::VideoRange::Sdr,
        rfc6381: String::new(),
    }
}

fn audio_params(codec: AudioCodec, config: &'static [u8]) -> AudioParams {
    AudioParams {
        codec,
        config: Bytes::from_static(config),
        sample_rate: 48_000,
        channels: 2,
        frame_samples: 1024,
        rfc6381: String::new(),
        language: None,
    }
}

#[test]
fn writes_video_configurations() {
    let four = b"\x01\x64\0\x1e\xff\xe0\0";
    for (codec, config, want, back) in [
        (
            VideoCodec::Avc,
            &b"\x01\x64\0\x1e\xfd\xe0\0"[..],
            &b"\x17\0\0\0\0\x01\x64\0\x1e\xff\xe0\0"[..],
            &four[..],
        ),
        (VideoCodec::Hevc, b"\x01hvcC", b"\x90hvc1\x01hvcC", b"\x01hvcC"),
        (VideoCodec::Av1, b"\x81\0\x0c\0", b"\x90av01\x81\0\x0c\0", b"\x81\0\x0c\0"),
        (
            VideoCodec::Vp9,
            b"\0\x1f\x82\x02\x02\x02\0\0",
            b"\x90vp09\0\x1f\x82\x02\x02\x02\0\0",
            b"\0\x1f\x82\x02\x02\x02\0\0",
        ),
    ] {
        let body = video_config_body(&video_params(codec, config));
        assert_eq!(body, want);
        assert_eq!(video(&body), Ok(record(codec, back)));
        let track = multitrack_one(Kind::Video, 3, &body).unwrap();
        assert_eq!(videos(&track), Ok(vec![(3, record(codec, back))]));
    }
}

#[test]
fn writes_video_frames() {
    use VideoCodec::{Av1, Avc, Hevc, Vp9};
    for (codec, key, cts, want, back) in [
        (Avc, true, 0, &b"\x17\x01\0\0\0"[..], 0),
        (Avc, false, -33, b"\x27\x01\xff\xff\xdf", -33),
        (Avc, true, i32::MAX, b"\x17\x01\x7f\xff\xff", 0x7f_ffff),
        (Hevc, true, 0, b"\x93hvc1", 0),
        (Hevc, false, 80, b"\xa1hvc1\0\0\x50", 80),
        (Hevc, false, i32::MIN, b"\xa1hvc1\x80\0\0", -0x80_0000),
        (Av1, true, 0, b"\x91av01", 0),
        (Av1, false, 40, b"\xa1av01", 0),
        (Vp9, false, 0, b"\xa1vp09", 0),
    ] {
        let head = video_frame_header(codec, key, cts);
        assert_eq!(&head[..], want, "{codec:?}");
        let body = [&head[..], b"x"].concat();
        assert_eq!(video(&body), Ok(frame(codec, key, back, b"x")), "{codec:?} {cts}");
        let track = multitrack_one(Kind::Video, 255, &body).unwrap();
        assert_eq!(videos(&track), Ok(vec![(255, frame(codec, key, back, b"x"))]), "{codec:?} {cts}");
    }
}

#[test]
fn writes_audio_configurations() {
    let flac = &[b"fLaC", STREAMINFO].concat();
    for (codec, config, want) in [
        (AudioCodec::Aac, &[0x12, 0x10][..], Some((&b"\xaf\0"[..], &[0x12, 0x10][..]))),
        (AudioCodec::Opus, DOPS, Some((b"\x90Opus", OPUS_HEAD))),
        (AudioCodec::Opus, &DOPS[..10], None),
        (AudioCodec::Flac, STREAMINFO, Some((b"\x90fLaC", flac))),
        (AudioCodec::Ac3, b"\x10\x11\xe0", None),
        (AudioCodec::Eac3, b"\x07\xc0\x20\x0f\0", None),
        (AudioCodec::Mpa, b"", None),
    ] {
        let body = audio_config_body(&audio_params(codec, config));
        assert_eq!(body, want.map(|(head, rest)| [head, rest].concat().into()), "{codec:?}");
        let (Some(body), Some((_, sent))) = (body, want) else { continue };
        let back = AudioTag::Config { codec, header: Bytes::copy_from_slice(sent) };
        assert_eq!(audio(&body), Ok(back.clone()), "{codec:?}");
        let track = multitrack_one(Kind::Audio, 1, &body).unwrap();
        assert_eq!(audios(&track), Ok(vec![(1, back)]), "{codec:?}");
    }
    let surround = [DOPS.split_last().unwrap().1, b"\x01\x04\x02\0\x04\x01\x02\x03\x05"].concat();
    let params = AudioParams { config: surround.into(), ..audio_params(AudioCodec::Opus, b"") };
    let body = audio_config_body(&params).unwrap();
    assert!(body.ends_with(b"\xf6\xff\x01\x04\x02\0\x04\x01\x02\x03\x05"), "the channel mapping follows");
}

#[test]
fn writes_audio_frames() {
    use AudioCodec::{Aac, Ac3, Eac3, Flac, Mpa, Opus};
    for (codec, want) in [
        (Aac, &b"\xaf\x01"[..]),
        (Mpa, b"\x2f"),
        (Opus, b"\x91Opus"),
        (Flac, b"\x91fLaC"),
        (Ac3, b"\x91ac-3"),
        (Eac3, b"\x91ec-3"),
    ] {
        let head = audio_frame_header(codec);
        assert_eq!(&head[..], want, "{codec:?}");
        let body = [&head[..], b"x"].concat();
        assert_eq!(audio(&body), Ok(sound(codec, b"x")), "{codec:?}");
        let track = multitrack_one(Kind::Audio, 9, &body).unwrap();
        assert_eq!(audios(&track), Ok(vec![(9, sound(codec, b"x"))]), "{codec:?}");
    }
}

#[test]
fn wraps_only_single_tracks() {
    for (kind, body, want) in [
        (Kind::Video, &b"\x93hvc1x"[..], Some(&b"\x96\x03hvc1\x02x"[..])),
        (Kind::Video, b"\x27\x01\0\0\x28x", Some(b"\xa6\x01avc1\x02\0\0\x28x")),
        (Kind::Video, b"\x17\x02\0\0\0", Some(b"\x96\x02avc1\x02")),
        (Kind::Video, b"\x17\x02\0\0", None),
        (Kind::Video, b"\x12x", None),
        (Kind::Video, b"\x96\x01avc1\x02x", None),
        (Kind::Video, b"\x97\x02\0\0\x05\x01av01x", None),
        (Kind::Video, b"\x91av0", None),
        (Kind::Video, b"", None),
        (Kind::Audio, b"\x94Opus\x01\x02", Some(b"\x95\x04Opus\x02\x01\x02")),
        (Kind::Audio, b"\xaf\x01raw", Some(b"\x95\x01mp4a\x02raw")),
        (Kind::Audio, b"\x2f\xff", Some(b"\x95\x01.mp3\x02\xff")),
        (Kind::Audio, b"\x95\x01Opus\x02x", None),
        (Kind::Audio, b"\x6fx", None),
        (Kind::Audio, b"\xaf", None),
    ] {
        assert_eq!(multitrack_one(kind, 2, body).as_deref(), want, "{body:?}");
    }
}

#[test]
fn every_short_opus_configuration_is_refused() {
    for len in 0..DOPS.len() {
        assert_eq!(audio_config_body(&audio_params(AudioCodec::Opus, &DOPS[..len])), None, "{len}");
    }
}
