//! Tag bodies by table, truncations, and the golden file.

use nx_media::{AudioCodec, VideoCodec};

use super::*;

const TINY: &[u8] = include_bytes!("../../../../tests/data/tiny.flv");

fn video(body: &[u8]) -> Result<VideoTag, FlvError> {
    parse_video(&Bytes::copy_from_slice(body))
}

fn audio(body: &[u8]) -> Result<AudioTag, FlvError> {
    parse_audio(&Bytes::copy_from_slice(body))
}

fn frame(key: bool, cts_ms: i32, payload: &'static [u8]) -> VideoTag {
    VideoTag::Frame { key, cts_ms, payload: Bytes::from_static(payload) }
}

#[test]
fn reads_video() {
    for (name, body, want) in [
        ("config", &b"\x17\0\0\0\0rec"[..], VideoTag::Config(Bytes::from_static(b"rec"))),
        ("key", b"\x17\x01\0\0\x28xyz", frame(true, 40, b"xyz")),
        ("delta before its time", b"\x27\x01\xff\xff\xd8x", frame(false, -40, b"x")),
        ("disposable", b"\x37\x01\0\0\0x", frame(false, 0, b"x")),
        ("made key", b"\x47\x01\0\0\0x", frame(true, 0, b"x")),
        ("no payload", b"\x27\x01\0\0\0", frame(false, 0, b"")),
        ("end", b"\x17\x02\0\0\0", VideoTag::EndOfSequence),
        ("command", b"\x57\0", VideoTag::Ignored),
        ("command of another codec", b"\x52\0", VideoTag::Ignored),
        ("enhanced config", b"\x90avc1rec", VideoTag::Config(Bytes::from_static(b"rec"))),
        ("enhanced key", b"\x91avc1\0\0\x28xyz", frame(true, 40, b"xyz")),
        ("enhanced delta", b"\xa1avc1\xff\xff\xd8x", frame(false, -40, b"x")),
        ("enhanced without offset", b"\xa3avc1x", frame(false, 0, b"x")),
        ("enhanced end", b"\x92avc1", VideoTag::EndOfSequence),
        ("enhanced metadata", b"\x94avc1\x02\0\x09colorInfo", VideoTag::Ignored),
        ("enhanced command", b"\xd1\0", VideoTag::Ignored),
        ("modifier", b"\x97\x02abc\x01avc1\0\0\0x", frame(true, 0, b"x")),
        ("long modifier", b"\x97\xff\0\x01ab\x03avc1x", frame(true, 0, b"x")),
    ] {
        assert_eq!(video(body), Ok(want), "{name}");
    }
}

#[test]
fn reads_audio() {
    for (name, body, want) in [
        ("config", &b"\xaf\0\x12\x10"[..], AudioTag::Config(Bytes::from_static(&[0x12, 0x10]))),
        ("frame", b"\xaf\x01raw", AudioTag::Frame(Bytes::from_static(b"raw"))),
        ("no payload", b"\xae\x01", AudioTag::Frame(Bytes::new())),
        ("enhanced config", b"\x90mp4a\x12\x10", AudioTag::Config(Bytes::from_static(&[0x12, 0x10]))),
        ("enhanced frame", b"\x91mp4araw", AudioTag::Frame(Bytes::from_static(b"raw"))),
        ("enhanced end", b"\x92mp4a", AudioTag::Ignored),
        ("enhanced channel layout", b"\x94mp4a\x01\x02", AudioTag::Ignored),
        ("modifier", b"\x97\0x\x01mp4araw", AudioTag::Frame(Bytes::from_static(b"raw"))),
    ] {
        assert_eq!(audio(body), Ok(want), "{name}");
    }
}

#[test]
fn names_the_codec_it_refuses() {
    let video_name = |body: &[u8]| match video(body) {
        Err(FlvError::Codec { kind: Kind::Video, name }) => name,
        other => panic!("{other:?}"),
    };
    let audio_name = |body: &[u8]| match audio(body) {
        Err(FlvError::Codec { kind: Kind::Audio, name }) => name,
        other => panic!("{other:?}"),
    };
    for (body, want) in [
        (&b"\x12x"[..], "Sorenson H.263"),
        (b"\x14x", "On2 VP6"),
        (b"\x1c\0\0\0\0", "HEVC (H.265)"),
        (b"\x1f", "FLV video codec id 15"),
        (b"\x90hvc1rec", "hvc1, HEVC (H.265)"),
        (b"\x90av01rec", "av01, AV1"),
        (b"\x90vp09rec", "vp09, VP9"),
        (b"\x90zzzzrec", "zzzz"),
        (b"\x90\0\x01\x02\xffrec", "0x000102ff"),
    ] {
        assert_eq!(video_name(body), want);
    }
    for (body, want) in [
        (&b"\x2fx"[..], "MP3"),
        (b"\x6fx", "Nellymoser"),
        (b"\x7fx", "G.711 A-law"),
        (b"\x8fx", "G.711 mu-law"),
        (b"\xb2x", "Speex"),
        (b"\xcf", "FLV sound format 12"),
        (b"\x90Opus", "Opus"),
    ] {
        assert_eq!(audio_name(body), want);
    }
    let text = video(b"\x1c\0\0\0\0").unwrap_err().to_string();
    assert_eq!(text, "unsupported video codec: HEVC (H.265); send H.264 video and AAC audio");
}

#[test]
fn refuses_what_it_cannot_tell() {
    let kind = Kind::Video;
    for (name, body, want) in [
        ("empty", &b""[..], FlvError::Truncated { offset: 0, needed: 1, got: 0 }),
        ("no packet type", b"\x17", FlvError::Truncated { offset: 1, needed: 1, got: 0 }),
        ("cut offset", b"\x17\x01\0\0", FlvError::Truncated { offset: 2, needed: 3, got: 2 }),
        ("packet type", b"\x17\x03\0\0\0", FlvError::PacketType { kind, got: 3 }),
        ("cut FourCC", b"\x91avc", FlvError::Truncated { offset: 1, needed: 4, got: 3 }),
        ("several tracks", b"\x96\x01avc1", FlvError::PacketType { kind, got: 6 }),
        ("MPEG-2 TS start", b"\x95avc1", FlvError::PacketType { kind, got: 5 }),
        ("cut modifier", b"\x97\x05ab", FlvError::Truncated { offset: 2, needed: 6, got: 2 }),
    ] {
        assert_eq!(video(body), Err(want), "{name}");
    }
    let modifiers = [&b"\x97"[..], &b"\0x\x07".repeat(9)].concat();
    assert_eq!(video(&modifiers), Err(FlvError::PacketType { kind, got: 7 }), "endless modifiers");
    assert_eq!(audio(b"\xaf"), Err(FlvError::Truncated { offset: 1, needed: 1, got: 0 }));
    assert_eq!(audio(b"\xaf\x02"), Err(FlvError::PacketType { kind: Kind::Audio, got: 2 }));
    assert_eq!(audio(b"\x95\x01mp4a"), Err(FlvError::PacketType { kind: Kind::Audio, got: 5 }));
}

#[test]
fn reads_what_it_writes() {
    let params = VideoParams {
        codec: VideoCodec::Avc,
        config: Bytes::from_static(b"\x01\x64\0\x1e\xfd\xe0\0"),
        width: 1,
        height: 1,
        frame_rate: None,
        rfc6381: String::new(),
    };
    let four = Bytes::from_static(b"\x01\x64\0\x1e\xff\xe0\0");
    assert_eq!(parse_video(&video_config_body(&params)), Ok(VideoTag::Config(four)));
    for (key, cts, want) in [(true, 0, 0), (false, -33, -33), (false, 80, 80), (true, i32::MAX, 0x7f_ffff)] {
        let body = [&video_frame_header(key, cts)[..], b"x"].concat();
        assert_eq!(video(&body), Ok(frame(key, want, b"x")), "{cts}");
    }
    let params = AudioParams {
        codec: AudioCodec::Aac,
        config: Bytes::from_static(&[0x12, 0x10]),
        sample_rate: 44_100,
        channels: 2,
        frame_samples: 1024,
        rfc6381: String::new(),
    };
    assert_eq!(parse_audio(&audio_config_body(&params)), Ok(AudioTag::Config(params.config.clone())));
    let body = [&audio_frame_header(&params)[..], b"x"].concat();
    assert_eq!(audio(&body), Ok(AudioTag::Frame(Bytes::from_static(b"x"))));
}

#[test]
fn frames_share_the_memory_of_the_body() {
    let body = Bytes::from_static(b"\x17\x01\0\0\0xyz");
    let Ok(VideoTag::Frame { payload, .. }) = parse_video(&body) else { panic!("a frame") };
    assert_eq!(payload.as_ptr(), body[5..].as_ptr());
}

#[test]
fn lists_the_tags_of_a_file_and_ends_where_it_is_cut() {
    let all: Vec<_> = tags(TINY).collect();
    let count = |kind| all.iter().filter(|(k, _, _)| *k == kind).count();
    assert_eq!((count(TAG_VIDEO), count(TAG_AUDIO), count(TAG_SCRIPT)), (12, 49, 1));
    for (kind, _, body) in &all {
        match *kind {
            TAG_VIDEO => assert!(video(body).is_ok()),
            TAG_AUDIO => assert!(audio(body).is_ok()),
            _ => (),
        }
    }
    for len in 0..TINY.len() {
        let cut: Vec<_> = tags(&TINY[..len]).collect();
        assert!(all.starts_with(&cut), "{len}");
    }
    assert_eq!(tags(b"MP4 is not FLV, is it? Not at all.").count(), 0);
    assert_eq!(tags(&[0x7f; 64]).count(), 0);
}

#[test]
fn survives_every_flipped_bit() {
    for (_, _, body) in tags(TINY) {
        let mut body = body[..body.len().min(24)].to_vec();
        for bit in 0..body.len() * 8 {
            body[bit / 8] ^= 1 << (bit % 8);
            crate::fuzz::flv_tag(&body);
            body[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
