//! Records of real encoders, key frames, delimiters.

use super::*;

/// SVT-AV1 96x64; libaom 640x360, 10 bits.
const SVT: &str = "81000c000a0a000000032dffc02f8004";
const AOM_10: &str = "81014c000a0b0000000cc4ff6736be5010";

fn hex(text: &str) -> Bytes {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn reads_records_of_real_encoders() {
    for (name, record, size, codec) in [
        ("SVT-AV1", SVT, (96, 64), "av01.0.00M.08"),
        ("libaom", AOM_10, (640, 360), "av01.0.01M.10"),
        ("high tier", "81088c000a0a000000032dffc02f8004", (96, 64), "av01.0.08H.08"),
        ("12 bits", "81416c000a0a000000032dffc02f8004", (96, 64), "av01.2.01M.12"),
    ] {
        let record = hex(record);
        let params = parse_config(&record).unwrap();
        assert_eq!((params.width, params.height), size, "{name}");
        assert_eq!(params.rfc6381, codec, "{name}");
        assert_eq!(params.config.as_ptr(), record.as_ptr(), "{name}: no copy");
        assert_eq!(params.frame_rate, None, "{name}");
    }
}

#[test]
fn makes_the_records_that_encoders_make() {
    for (name, record) in [("SVT-AV1", SVT), ("libaom", AOM_10)] {
        let record = hex(record);
        // A temporal delimiter goes in front, a frame follows.
        let key = [&[0x12, 0][..], &record[4..], &[0x32, 1, 0x10]].concat();
        assert_eq!(config_from_key(&key), Some(record), "{name}");
    }
    assert_eq!(config_from_key(&[0x12, 0, 0x32, 1, 0x10]), None);
}

/// A sequence header of all optional fields, by hand.
#[test]
fn reads_timing_and_operating_points() {
    let fields = [
        // Profile 0, not still, not reduced; timing: 1001 / 60 000, equal, one tick per picture.
        ("000 0 0 1", 0),
        ("", 1001),
        ("", 60_000),
        // Then the decoder model: delays of 2 bits, a tick, 1 and 1.
        ("1 1 1 00001", 0),
        ("", 7),
        ("00000 00000", 0),
        // Display delays; two operating points: level 8 with a tier and all options, level 0 with none.
        ("1 00001 000000000000 01000 1 1 10 01 1 1 1010 000000000000 00000 0 0", 0),
        // 12 bits of width, 11 of height: 1920x1080.
        ("1011 1010 011101111111 10000110111 00000", 0),
    ];
    let mut bits = String::new();
    for (text, number) in fields {
        bits += &text.replace(' ', "");
        if text.is_empty() {
            bits += &format!("{number:032b}");
        }
    }
    let bytes: Vec<_> =
        bits.as_bytes().chunks(8).map(|c| format!("{:0<8}", std::str::from_utf8(c).unwrap())).collect();
    let payload: Vec<_> = bytes.iter().map(|b| u8::from_str_radix(b, 2).unwrap()).collect();
    let head = [0x81, 0x08, 0x8c, 0, 0x0a, u8::try_from(payload.len()).unwrap()];
    let params = parse_config(&[&head[..], &payload].concat().into()).unwrap();
    assert_eq!((params.width, params.height), (1920, 1080));
    assert_eq!(params.frame_rate, Some(nx_media::FrameRate { num: 60_000, den: 1001 }));
}

/// ffmpeg -color_primaries bt2020 -color_trc arib-std-b67, smpte2084.
#[test]
fn reads_the_dynamic_range() {
    use nx_media::VideoRange::{Hlg, Pq, Sdr};
    for (record, want) in [
        ("81004c000a0e00000003bd7c79b5f2a122412080", Hlg),
        ("81004c000a0e00000003bd7c7805f0a122412080", Hlg),
        ("81004c000a0e00000003bd7c79b5f2a122012080", Pq),
        ("81004c000a0e00000003bd7c7805f0a122012080", Pq),
        (SVT, Sdr),
        (AOM_10, Sdr),
    ] {
        assert_eq!(parse_config(&hex(record)).map(|p| p.range), Ok(want), "{record}");
    }
}

#[test]
fn names_what_is_wrong_with_a_record() {
    for (name, record, want) in [
        ("empty", Bytes::new(), Av1Error::Truncated { needed: 4, got: 0 }),
        ("version", hex("82000c00"), Av1Error::Version(0x82)),
        ("no OBU", hex("81000c00"), Av1Error::NoSequenceHeader),
        ("cut OBU", hex("81000c000a0a0000"), Av1Error::NoSequenceHeader),
        ("short header", hex("81000c000a020000"), Av1Error::SequenceHeader { bit: 12 }),
        (
            "too long",
            vec![0x81; CONFIG_BYTES_MAX + 1].into(),
            Av1Error::ConfigTooLong { got: CONFIG_BYTES_MAX + 1, max: CONFIG_BYTES_MAX },
        ),
    ] {
        assert_eq!(parse_config(&record), Err(want), "{name}");
    }
}

#[test]
fn survives_truncations_and_flipped_bits() {
    for record in [SVT, AOM_10].map(hex) {
        for len in 0..record.len() {
            assert!(parse_config(&record.slice(..len)).is_err(), "{len}");
        }
        for bit in 0..record.len() * 8 {
            let mut bytes = record.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            crate::fuzz::av1_config(&bytes);
            crate::fuzz::av1_config(&bytes[4..]);
        }
    }
}

#[test]
fn knows_key_frames() {
    for (name, payload, key) in [
        ("SVT-AV1 key frame", "0a0a000000032dffcfbf900432021400", true),
        ("SVT-AV1 other frame", "32123201040492491546000000800000008e9dc0", false),
        ("sequence header with another frame", "0a0a000000032dffcfbf900432023201", false),
        ("behind a delimiter", "12000a0a000000032dffcfbf900432021400", true),
        ("key frame that is not shown", "32020400", false),
        ("shown again", "1a0180", false),
        ("without a size", "3014", true),
        ("still picture", "0a021800", true),
        ("nothing", "", false),
        ("cut", "32051400", false),
    ] {
        assert_eq!(is_key(&hex(payload)), key, "{name}");
    }
}

#[test]
fn strips_temporal_delimiters() {
    for (name, payload, want, copies) in [
        ("none", "32021400", "32021400", false),
        ("in front", "120032021400", "32021400", false),
        ("with extension", "16080032021400", "32021400", false),
        ("in between", "32021400120032023201", "3202140032023201", true),
        ("in front and in between", "120032021400120032023201", "3202140032023201", true),
        ("damaged rest stays", "1200320214001200ffff", "32021400ffff", true),
        ("only", "1200", "", false),
    ] {
        let payload = hex(payload);
        let stripped = strip_temporal_delimiters(&payload);
        assert_eq!(stripped, hex(want), "{name}");
        let inside = payload.as_ptr_range().contains(&stripped.as_ptr());
        assert!(stripped.is_empty() || inside != copies, "{name}");
    }
}
