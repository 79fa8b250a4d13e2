//! Identification headers of libopus, layouts, packet lengths.

use super::*;
use crate::fuzz_audio;
use crate::testing::{broken, hex};

/// As ffmpeg 5.1 with libopus writes them for 3 to 8 channels, and for 2.
const HEADS: [(u8, &str); 7] = [
    (2, "4f70757348656164 01 02 3801 80bb0000 0000 00"),
    (3, "4f70757348656164 01 03 3801 80bb0000 0000 01 02 01 000201"),
    (4, "4f70757348656164 01 04 3801 80bb0000 0000 01 02 02 00010203"),
    (5, "4f70757348656164 01 05 3801 80bb0000 0000 01 03 02 0004010203"),
    (6, "4f70757348656164 01 06 3801 80bb0000 0000 01 04 02 000401020305"),
    (7, "4f70757348656164 01 07 3801 80bb0000 0000 01 04 03 00040102030506"),
    (8, "4f70757348656164 01 08 3801 80bb0000 0000 01 05 03 0006010203040507"),
];

fn head(digits: &str) -> Bytes {
    hex(digits).into()
}

#[test]
fn turns_a_head_into_a_box() {
    let params = parse_head(&head(HEADS[0].1)).unwrap();
    assert_eq!(params.config, hex("00 02 0138 0000bb80 0000 00"), "as ffmpeg writes dOps");
    assert_eq!((params.sample_rate, params.channels, params.frame_samples), (48_000, 2, 960));
    assert_eq!(params.rfc6381, "opus");
    let params =
        parse_head(&head("4f70757348656164 01 06 3801 44ac0000 00ff 01 04 02 000401020305")).unwrap();
    assert_eq!(params.config, hex("00 06 0138 0000ac44 ff00 01 04 02 000401020305"));
    assert_eq!(params.sample_rate, 48_000, "the rate in it is that of the source");
    let quiet = parse_head(&head("4f70757348656164 01 02 3801 80bb0000 0000 ff 02 00 00ff")).unwrap();
    assert_eq!(quiet.config.get(10..), Some(&hex("ff 02 00 00ff")[..]), "a silent channel");
}

#[test]
fn knows_the_layouts_that_encoders_use() {
    let english = Language::new(b"eng");
    for (channels, digits) in HEADS {
        let params = params(channels, english);
        let told = parse_head(&head(digits)).unwrap();
        assert_eq!(params.config.get(10..), told.config.get(10..), "{channels}");
        assert_eq!((params.channels, params.language), (channels, english));
    }
    assert_eq!(params(1, None).config, hex("00 01 0000 0000bb80 0000 00"));
    assert_eq!(params(0, None).channels, 1);
    assert_eq!(params(9, None).channels, 8);
}

#[test]
fn names_what_is_wrong() {
    for (name, digits, want) in [
        ("magic", "4f70757354616773 01 02 3801 80bb0000 0000 00", OpusError::Magic),
        ("version", "4f70757348656164 11 02 3801 80bb0000 0000 00", OpusError::Version(0x11)),
        (
            "no channels",
            "4f70757348656164 01 00 3801 80bb0000 0000 00",
            OpusError::Channels { family: 0, channels: 0 },
        ),
        (
            "three in family 0",
            "4f70757348656164 01 03 3801 80bb0000 0000 00",
            OpusError::Channels { family: 0, channels: 3 },
        ),
        (
            "nine in family 1",
            "4f70757348656164 01 09 3801 80bb0000 0000 01",
            OpusError::Channels { family: 1, channels: 9 },
        ),
        ("family", "4f70757348656164 01 04 3801 80bb0000 0000 03 00", OpusError::Family(3)),
        (
            "no table",
            "4f70757348656164 01 02 3801 80bb0000 0000 01 01 01 00",
            OpusError::Truncated { got: 22, want: 23 },
        ),
        (
            "no streams",
            "4f70757348656164 01 02 3801 80bb0000 0000 01 00 00 ffff",
            OpusError::Mapping { streams: 0, coupled: 0 },
        ),
        (
            "more pairs than streams",
            "4f70757348656164 01 02 3801 80bb0000 0000 01 01 02 0001",
            OpusError::Mapping { streams: 1, coupled: 2 },
        ),
        (
            "a stream that is not there",
            "4f70757348656164 01 02 3801 80bb0000 0000 01 01 01 0002",
            OpusError::Mapping { streams: 1, coupled: 1 },
        ),
    ] {
        assert_eq!(parse_head(&head(digits)), Err(want), "{name}");
    }
}

#[test]
fn measures_packets() {
    for (name, digits, want) in [
        ("2.5 ms", "a0fffe", Some(120)),
        ("5 ms", "88fffe", Some(240)),
        ("10 ms SILK", "00", Some(480)),
        ("20 ms", "08 0b", Some(960)),
        ("20 ms CELT", "f8", Some(960)),
        ("40 ms SILK", "10", Some(1_920)),
        ("60 ms", "1802f98e", Some(2_880)),
        ("10 ms hybrid", "60", Some(480)),
        ("20 ms hybrid", "78", Some(960)),
        ("two of equal size", "19022b2c", Some(5_760)),
        ("two of 60 ms", "1a0e02f9", Some(5_760)),
        ("three of 20 ms", "fb03", Some(2_880)),
        ("48 of 2.5 ms", "e3b0", Some(5_760)),
        ("49 of 2.5 ms", "e331", None),
        ("three of 60 ms", "1b03", None),
        ("none", "fb00", None),
        ("no count", "fb", None),
        ("empty", "", None),
    ] {
        assert_eq!(packet_samples(&hex(digits)), want, "{name}");
    }
}

#[test]
fn survives_broken_heads() {
    let golden = hex(HEADS[4].1);
    for len in 0..golden.len() {
        let error = parse_head(&Bytes::copy_from_slice(&golden[..len])).unwrap_err();
        let magic_missing = len < 8 && error == OpusError::Truncated { got: len, want: 19 };
        assert!(magic_missing || matches!(error, OpusError::Truncated { .. }), "{len}: {error}");
    }
    broken(&golden, fuzz_audio::opus_head);
}
