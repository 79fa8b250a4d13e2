//! The reader, by bytes that follow the tables of the specification.

use proptest::prelude::*;

use super::*;
use AudioCodec::{Aac, Ac3, Eac3, Flac, Mpa, Opus};
use VideoCodec::{Av1, Avc, Hevc, Vp9};

const VPCC: &[u8] = b"\0\x1f\x82\x02\x02\x02\0\0";
#[test]
fn reads_video() {
    for (name, body, want) in [
        ("config", &b"\x17\0\0\0\0rec"[..], record(Avc, b"rec")),
        ("key", b"\x17\x01\0\0\x28xyz", frame(Avc, true, 40, b"xyz")),
        ("delta before its time", b"\x27\x01\xff\xff\xd8x", frame(Avc, false, -40, b"x")),
        ("disposable", b"\x37\x01\0\0\0x", frame(Avc, false, 0, b"x")),
        ("made key", b"\x47\x01\0\0\0x", frame(Avc, true, 0, b"x")),
        ("no payload", b"\x27\x01\0\0\0", frame(Avc, false, 0, b"")),
        ("end", b"\x17\x02\0\0\0", VideoTag::EndOfSequence),
        ("command", b"\x57\0", VideoTag::Ignored),
        ("command of another codec", b"\x52\0", VideoTag::Ignored),
        ("legacy HEVC config", b"\x1c\0\0\0\0rec", record(Hevc, b"rec")),
        ("legacy HEVC", b"\x2c\x01\0\0\x28x", frame(Hevc, false, 40, b"x")),
        ("legacy AV1", b"\x1d\x01\0\0\0x", frame(Av1, true, 0, b"x")),
        ("enhanced config", b"\x90avc1rec", record(Avc, b"rec")),
        ("enhanced key", b"\x91avc1\0\0\x28xyz", frame(Avc, true, 40, b"xyz")),
        ("enhanced delta", b"\xa1avc1\xff\xff\xd8x", frame(Avc, false, -40, b"x")),
        ("enhanced without offset", b"\xa3avc1x", frame(Avc, false, 0, b"x")),
        ("enhanced end", b"\x92avc1", VideoTag::EndOfSequence),
        ("enhanced metadata", b"\x94avc1\x02\0\x09colorInfo", VideoTag::Ignored),
        ("metadata in a command frame", b"\xd4avc1\x02\0\x09colorInfo", VideoTag::Ignored),
        ("enhanced command", b"\xd1\0", VideoTag::Ignored),
        ("HEVC config", b"\x90hvc1rec", record(Hevc, b"rec")),
        ("HEVC with offset", b"\x91hvc1\x80\0\0x", frame(Hevc, true, -0x80_0000, b"x")),
        ("HEVC without offset", b"\xa3hvc1x", frame(Hevc, false, 0, b"x")),
        ("AV1 config", b"\x90av01\x81\0\x0c\0", record(Av1, b"\x81\0\x0c\0")),
        ("AV1 has no offset", b"\x91av01\x12\0\x0a\x01", frame(Av1, true, 0, b"\x12\0\x0a\x01")),
        ("VP9 config", b"\x90vp09\0\x1f\x82\x02\x02\x02\0\0", record(Vp9, VPCC)),
        ("VP9 config, boxed", b"\x90vp09\x01\0\0\0\0\x1f\x82\x02\x02\x02\0\0", record(Vp9, VPCC)),
        ("VP9 profile 1", b"\x90vp09\x01\0\0\0\x02\x02\0\0", record(Vp9, b"\x01\0\0\0\x02\x02\0\0")),
        ("VP9 has no offset", b"\xa1vp09\x86\0\x40\x92", frame(Vp9, false, 0, b"\x86\0\x40\x92")),
        ("unknown modifier", b"\x97\x02abc\x11avc1\0\0\0x", frame(Avc, true, 0, b"x")),
        ("long modifier", b"\x97\xff\0\x01ab\x03avc1x", frame(Avc, true, 0, b"x")),
    ] {
        assert_eq!(video(body), Ok(want), "{name}");
    }
}

#[test]
fn reads_audio() {
    let asc = &[0x12, 0x10];
    for (name, body, want) in [
        ("config", &b"\xaf\0\x12\x10"[..], header(Aac, asc)),
        ("frame", b"\xaf\x01raw", sound(Aac, b"raw")),
        ("no payload", b"\xae\x01", sound(Aac, b"")),
        ("legacy MP3", b"\x2f\xff\xfb\x90", sound(Mpa, b"\xff\xfb\x90")),
        ("enhanced config", b"\x90mp4a\x12\x10", header(Aac, asc)),
        ("enhanced frame", b"\x91mp4araw", sound(Aac, b"raw")),
        ("enhanced end", b"\x92mp4a", AudioTag::Ignored),
        ("enhanced channel layout", b"\x94mp4a\x01\x02", AudioTag::Ignored),
        ("Opus config", b"\x90OpusOpusHead\x01", header(Opus, b"OpusHead\x01")),
        ("Opus without config", b"\x90Opus", header(Opus, b"")),
        ("Opus", b"\x91Opus\xfc", sound(Opus, b"\xfc")),
        ("FLAC config", b"\x90fLaCfLaC\x80\0\0\x22", header(Flac, b"fLaC\x80\0\0\x22")),
        ("FLAC", b"\x91fLaC\xff\xf8", sound(Flac, b"\xff\xf8")),
        ("AC-3", b"\x91ac-3\x0b\x77", sound(Ac3, b"\x0b\x77")),
        ("AC-3 start", b"\x90ac-3", AudioTag::Ignored),
        ("E-AC-3", b"\x91ec-3\x0b\x77", sound(Eac3, b"\x0b\x77")),
        ("MP3", b"\x91.mp3\xff\xfb", sound(Mpa, b"\xff\xfb")),
        ("modifier", b"\x97\0x\x01mp4araw", sound(Aac, b"raw")),
    ] {
        assert_eq!(audio(body), Ok(want), "{name}");
    }
}

#[test]
fn modifiers_add_nanoseconds() {
    for (name, body, want) in [
        ("half a millisecond", &b"\x97\x02\x07\xa1\x20\x01av01x"[..], 500_000),
        ("the largest", b"\x97\x02\x0f\x42\x3f\x01av01x", 999_999),
        ("too large", b"\x97\x02\xff\xff\xff\x01av01x", 999_999),
        ("longer than it must be", b"\x97\x03\0\0\x05\xff\x01av01x", 5),
        ("too short", b"\x97\x01\x01\x01\x01av01x", 0),
        ("of an unknown type in front", b"\x97\0x\x17\x02\0\0\x07\x01av01x", 7),
        ("of an unknown type behind", b"\x97\x02\0\0\x07\x07\x02\0\0\x09\x31av01x", 7),
    ] {
        let Ok(VideoTag::Frame { nanos, payload, .. }) = video(body) else { panic!("{name}") };
        assert_eq!((nanos, &payload[..]), (want, &b"x"[..]), "{name}");
        let same = [body[..body.len() - 5].to_vec(), b"Opusx".to_vec()].concat();
        let Ok(AudioTag::Frame { nanos, .. }) = audio(&same) else { panic!("{name}") };
        assert_eq!(nanos, want, "{name}");
    }
}

type Tracks<T> = Vec<(u8, T)>;

fn video_tracks() -> [(&'static str, &'static [u8], Tracks<VideoTag>); 5] {
    [
        ("one", b"\x96\x01avc1\x02\0\0\x28xyz", vec![(2, frame(Avc, true, 40, b"xyz"))]),
        ("one, no offset", b"\xa6\x03hvc1\x01xyz", vec![(1, frame(Hevc, false, 0, b"xyz"))]),
        (
            "many",
            b"\x96\x11hvc1\0\0\0\x04\xff\xff\xd8x\x05\0\0\x03\0\0\0",
            vec![(0, frame(Hevc, true, -40, b"x")), (5, frame(Hevc, true, 0, b""))],
        ),
        (
            "many, own codecs",
            b"\x96\x21avc1\0\0\0\x04\0\0\0xav01\x01\0\0\x02OB",
            vec![(0, frame(Avc, true, 0, b"x")), (1, frame(Av1, true, 0, b"OB"))],
        ),
        (
            "many configs",
            b"\x96\x10av01\0\0\0\x01a\x01\0\0\x02bb",
            vec![(0, record(Av1, b"a")), (1, record(Av1, b"bb"))],
        ),
    ]
}

fn audio_tracks() -> [(&'static str, &'static [u8], Tracks<AudioTag>); 4] {
    let late = AudioTag::Frame { codec: Ac3, nanos: 100_000, payload: Bytes::from_static(b"ac") };
    [
        ("one", b"\x95\x01mp4a\x03raw", vec![(3, sound(Aac, b"raw"))]),
        (
            "many",
            b"\x95\x11Opus\0\0\0\x02aa\x01\0\0\x01b\x02\0\0\0",
            vec![(0, sound(Opus, b"aa")), (1, sound(Opus, b"b")), (2, sound(Opus, b""))],
        ),
        (
            "many, own codecs",
            b"\x95\x20mp4a\x00\0\0\x02\x12\x10fLaC\x07\0\0\x04fLaC",
            vec![(0, header(Aac, &[0x12, 0x10])), (7, header(Flac, b"fLaC"))],
        ),
        ("behind a modifier", b"\x97\x02\x01\x86\xa0\x05\x01ac-3\x04ac", vec![(4, late)]),
    ]
}

#[test]
fn reads_every_form_of_multitrack() {
    for (name, body, want) in video_tracks() {
        assert_eq!(videos(body), Ok(want), "{name}");
    }
    for (name, body, want) in audio_tracks() {
        assert_eq!(audios(body), Ok(want), "{name}");
    }
}

#[test]
fn a_refused_track_does_not_hide_the_others() {
    let mut seen = vec![];
    let body = Bytes::from_static(b"\x96\x21vvc1\0\0\0\x01vavc1\x01\0\0\x04\0\0\0xvp08\x02\0\0\0");
    let result = parse_video(&body, &mut |track, tag| seen.push((track, tag)));
    assert_eq!(seen, [(1, frame(Avc, true, 0, b"x"))]);
    assert_eq!(result, Err(FlvError::Codec { kind: Kind::Video, name: "vvc1, VVC (H.266)".into() }));
}

#[test]
fn names_the_codec_it_refuses() {
    for (body, want) in [
        (&b"\x12x"[..], "Sorenson H.263"),
        (b"\x14x", "On2 VP6"),
        (b"\x1f", "FLV video codec id 15"),
        (b"\x90vvc1rec", "vvc1, VVC (H.266)"),
        (b"\x90vp08rec", "vp08, VP8"),
        (b"\x90zzzzrec", "zzzz"),
        (b"\x90\0\x01\x02\xffrec", "0x000102ff"),
    ] {
        assert_eq!(video(body), Err(FlvError::Codec { kind: Kind::Video, name: want.into() }));
    }
    for (body, want) in [
        (&b"\x6fx"[..], "Nellymoser"),
        (b"\x7fx", "G.711 A-law"),
        (b"\x8fx", "G.711 mu-law"),
        (b"\xb2x", "Speex"),
        (b"\xe2x", "MP3 8 kHz"),
        (b"\xcf", "FLV sound format 12"),
        (b"\x91ac-4", "ac-4"),
    ] {
        assert_eq!(audio(body), Err(FlvError::Codec { kind: Kind::Audio, name: want.into() }));
    }
    let text = video(b"\x12").unwrap_err().to_string();
    assert_eq!(text, "unsupported video codec: Sorenson H.263; send H.264, HEVC, AV1 or VP9");
    let text = audio(b"\xb2").unwrap_err().to_string();
    assert_eq!(text, "unsupported audio codec: Speex; send AAC, Opus, FLAC, AC-3, E-AC-3 or MP3");
}

#[test]
fn refuses_what_it_cannot_tell() {
    let kind = Kind::Video;
    let truncated = |offset, needed, got| FlvError::Truncated { offset, needed, got };
    for (name, body, want) in [
        ("empty", &b""[..], truncated(0, 1, 0)),
        ("no packet type", b"\x17", truncated(1, 1, 0)),
        ("cut offset", b"\x17\x01\0\0", truncated(2, 3, 2)),
        ("packet type", b"\x17\x03\0\0\0", FlvError::PacketType { kind, got: 3 }),
        ("cut FourCC", b"\x91avc", truncated(1, 4, 3)),
        ("MPEG-2 TS start", b"\x95av01", FlvError::PacketType { kind, got: 5 }),
        ("reserved packet type", b"\x98avc1", FlvError::PacketType { kind, got: 8 }),
        ("cut modifier", b"\x97\x05ab", truncated(2, 6, 2)),
        ("unknown multitrack", b"\x96\x31avc1", FlvError::Multitrack { kind, got: 3 }),
        ("multitrack inside", b"\x96\x06avc1\0", FlvError::PacketType { kind, got: 6 }),
        ("modifier inside", b"\x96\x07avc1\0", FlvError::PacketType { kind, got: 7 }),
        ("no track id", b"\x96\x01avc1", truncated(6, 1, 0)),
        ("no tracks", b"\x96\x21", truncated(2, 4, 0)),
        ("cut track", b"\x96\x11avc1\0\0\0\x05\0\0\0x", truncated(10, 5, 4)),
        ("offset past its track", b"\x96\x11avc1\0\0\0\x02\0\0\x01\0\0\x03\0\0\0", truncated(10, 3, 2)),
    ] {
        assert_eq!(videos(body), Err(want), "{name}");
    }
    let modifiers = [&b"\x97"[..], &b"\0x\x07".repeat(9)].concat();
    assert_eq!(video(&modifiers), Err(FlvError::PacketType { kind, got: 7 }), "endless modifiers");
    assert_eq!(audio(b"\xaf"), Err(truncated(1, 1, 0)));
    for (body, got) in [(&b"\xaf\x02"[..], 2), (b"\x93mp4a", 3), (b"\x95\x05mp4a\0", 5), (b"\x96mp4a", 6)] {
        assert_eq!(audios(body), Err(FlvError::PacketType { kind: Kind::Audio, got }));
    }
    assert_eq!(audios(b"\x95\xf1"), Err(FlvError::Multitrack { kind: Kind::Audio, got: 15 }));
}

#[test]
fn frames_share_the_memory_of_the_body() {
    let body = Bytes::from_static(b"\x96\x11hvc1\0\0\0\x04\0\0\0x\x05\0\0\x04\0\0\0y");
    let mut starts = vec![];
    let mut sink = |_, tag| match tag {
        VideoTag::Frame { payload, .. } => starts.push(payload.as_ptr()),
        other => panic!("{other:?}"),
    };
    parse_video(&body, &mut sink).unwrap();
    assert_eq!(starts, [body[13..].as_ptr(), body[21..].as_ptr()]);
}

/// Bodies of every layout.
fn golden() -> Vec<Vec<u8>> {
    let tiny = tags(TINY).map(|(_, _, body)| body[..body.len().min(24)].to_vec());
    let video = video_tracks().map(|(_, body, _)| body.to_vec());
    let audio = audio_tracks().map(|(_, body, _)| body.to_vec());
    let others = [&b"\x97\xff\0\x01ab\x03avc1x"[..], b"\x90vp09\x01\0\0\0\0\x1f\x82\x02\x02\x02\0\0"];
    tiny.chain(video).chain(audio).chain(others.map(<[u8]>::to_vec)).collect()
}

#[test]
fn survives_every_truncation_and_flipped_bit() {
    for mut body in golden() {
        for len in 0..body.len() {
            crate::fuzz::flv_tag(&body[..len]);
        }
        for bit in 0..body.len() * 8 {
            body[bit / 8] ^= 1 << (bit % 8);
            crate::fuzz::flv_tag(&body);
            body[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn a_truncated_header_is_told_with_its_place() {
    for (body, header) in
        [(&b"\x91hvc1\0\0\x28"[..], 8), (b"\x96\x11Opus", 6), (b"\x97\x02\0\0\x05\x01av01", 10)]
    {
        for len in 0..header {
            let Err(FlvError::Truncated { offset, needed, got }) = videos(&body[..len]) else {
                panic!("{len} of {body:?}")
            };
            assert!(offset + got == len && needed > got, "{len} of {body:?}");
        }
    }
}

proptest! {
    #[test]
    fn any_body_is_harmless(data in proptest::collection::vec(any::<u8>(), 0..64)) {
        crate::fuzz::flv_tag(&data);
        crate::fuzz::flv_tag(&[b"\x96\x21", &data[..]].concat());
        crate::fuzz::flv_tag(&[b"\x95\x11Opus", &data[..]].concat());
    }
}
