//! Records of a real encoder, sub-layers, damage, records built of their sets.

use nx_media::FrameRate;

use super::*;

/// x265 records: 1920x1080 10 bits high tier with scaling lists at 30000/1001; 87x51 4:4:4 at 50; 64x64 with
/// two temporal sub-layers at 50; 86x50 at 25.
const HD_10: &str = concat!(
    "01222000000090000000000099f000fcfdfafa00000f03a00001001840010c01ffff222000000300900000030000030099959809",
    "a10001002a420101222000000300900000030000030099a003c08010e4d96566924e5780b40400000fa40001d4c020a200010007",
    "4401c172b46240"
);
const YUV_444: &str = concat!(
    "0104080000009e08000000001ef000fcfff8f800000f03a00001001740010c01ffff0408000003009e0800000300001e959809a1",
    "000100284201010408000003009e0800000300001e90059073a9b2cacd7265780b4040000003004000000c82a2000100084401c1",
    "7318311890"
);
const SUB_LAYERS: &str = concat!(
    "0101600000009000000000001ef000fcfdf8f800001303a00001001c40010c02ffff01600000030090000003000003001e000095",
    "94aca048a10001002d42010201600000030090000003000003001e0000a0208105965652b2c9265780b404000003000400000300",
    "c820a2000100074401c172b42240"
);
const SMALL: &str = concat!(
    "0101600000009000000000001ef000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003001e959009",
    "a10001002a42010101600000030090000003000003001ea02c839d4996564b932bc05a020000030002000003003210a200010006",
    "4401c173d189"
);
const ALL: [&str; 4] = [HD_10, YUV_444, SUB_LAYERS, SMALL];

fn hex(text: &str) -> Bytes {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn with(record: &str, at: usize, value: u8) -> Bytes {
    let mut bytes = hex(record).to_vec();
    bytes[at] = value;
    bytes.into()
}

#[test]
fn reads_records_of_a_real_encoder() {
    for (record, size, rate, codec) in [
        (HD_10, (1920, 1080), (30_000, 1_001), "hvc1.2.4.H153.90"),
        (YUV_444, (87, 51), (50, 1), "hvc1.4.10.L30.9E.8"),
        (SUB_LAYERS, (64, 64), (50, 1), "hvc1.1.6.L30.90"),
        (SMALL, (86, 50), (25, 1), "hvc1.1.6.L30.90"),
    ] {
        let record = hex(record);
        let params = parse_config(&record).unwrap();
        assert_eq!((params.width, params.height), size, "{codec}");
        let (num, den) = rate;
        assert_eq!(params.frame_rate, Some(FrameRate { num, den }), "{codec}");
        assert_eq!(params.rfc6381, codec);
        assert_eq!(params.config.as_ptr(), record.as_ptr(), "{codec}: no copy");
        assert_eq!(nal_length_size(&record), Ok(4));
    }
}

#[test]
fn codec_strings_have_all_fields() {
    // The example of ISO/IEC 14496-15 annex E, and one with all fields.
    for (general, want) in [
        ([0x01, 0x60, 0, 0, 0, 0xb0, 0, 0, 0, 0, 0, 93], "hvc1.1.6.L93.B0"),
        ([0xb4, 0x08, 0, 0, 0, 0x90, 0, 5, 0, 0, 0x10, 120], "hvc1.B20.10.H120.90.0.5.0.0.10"),
        ([0x01, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 93], "hvc1.1.6.L93"),
    ] {
        assert_eq!(codec_string(&general), want);
    }
}

#[test]
fn builds_the_record_of_the_encoder() {
    for record in ALL.map(hex) {
        let sets = parameter_sets(&record).unwrap();
        let types: [Vec<_>; 3] =
            [&sets.vps, &sets.sps, &sets.pps].map(|list| list.iter().map(|nal| nal_type(nal)).collect());
        assert_eq!(types, [vec![32], vec![33], vec![34]]);
        assert_eq!(config_from_sets(&sets.vps, &sets.sps, &sets.pps), Ok(record));
    }
    let set = |text| vec![hex(text)];
    for (vps, sps, pps, want) in [
        (set("4001"), vec![], set("4401"), HevcError::NoSps),
        (vec![], set("4401"), vec![], HevcError::NalType { offset: 0, expected: 33, got: 34 }),
        (vec![], set("420101"), vec![], HevcError::Sps { bit: 0 }),
    ] {
        assert_eq!(config_from_sets(&vps, &sps, &pps), Err(want));
    }
    let sps = parameter_sets(&hex(SMALL)).unwrap().sps;
    let long = [[&hex("4401")[..], &[0xff; CONFIG_BYTES_MAX]].concat().into()];
    assert!(matches!(config_from_sets(&[], &sps, &long), Err(HevcError::ConfigTooLong { .. })));
    let bad = config_from_sets(&set("4401"), &sps, &[]);
    assert_eq!(bad, Err(HevcError::NalType { offset: 0, expected: 32, got: 34 }));
}

#[test]
fn takes_other_nal_units_of_a_record() {
    // One more array: a prefix SEI.
    let mut record = with(SMALL, 22, 4).to_vec();
    record.extend_from_slice(&hex("a700010003 4e0105".replace(' ', "").as_str()));
    let (with_sei, plain) =
        (parse_config(&record.clone().into()).unwrap(), parse_config(&hex(SMALL)).unwrap());
    assert_eq!(with_sei.rfc6381, plain.rfc6381);
    assert_eq!(parameter_sets(&record.into()), parameter_sets(&hex(SMALL)));
}

/// ffmpeg -color_primaries bt2020 -color_trc arib-std-b67, smpte2084.
#[test]
fn reads_the_dynamic_range() {
    use nx_media::VideoRange::{Hlg, Pq, Sdr};
    for (record, want) in [
        (
            concat!(
                "0101600000009000000000003cf000fcfdf8f800000f03a00001001840010c01ffff01600000",
                "030090000003000003003c959809a10001002d42010101600000030090000003000003003ca0",
                "162024596566924caf016a12241208000003000800000300c840a2000100074401c172b46240",
            ),
            Hlg,
        ),
        (
            concat!(
                "0101600000009000000000003cf000fcfdf8f800000f03a00001001840010c01ffff01600000",
                "030090000003000003003c959809a10001002d42010101600000030090000003000003003ca0",
                "162024596566924caf016a12201208000003000800000300c840a2000100074401c172b46240",
            ),
            Pq,
        ),
        (HD_10, Sdr),
    ] {
        assert_eq!(parse_config(&hex(record)).map(|p| p.range), Ok(want), "{record}");
    }
}

#[test]
fn names_what_is_wrong_with_a_record() {
    for (name, record, want) in [
        ("empty", Bytes::new(), HevcError::Truncated { offset: 0, needed: 23, got: 0 }),
        ("version", with(SMALL, 0, 0), HevcError::Version(0)),
        ("3-byte lengths", with(SMALL, 21, 0x0e), HevcError::LengthSize(3)),
        ("no array", hex(SMALL).slice(..22).iter().copied().chain([0]).collect(), HevcError::NoSps),
        ("PPS as VPS", with(SMALL, 28, 0x44), HevcError::NalType { offset: 28, expected: 32, got: 34 }),
        (
            "too long",
            Bytes::from([&hex(SMALL)[..], &[0; CONFIG_BYTES_MAX]].concat()),
            HevcError::ConfigTooLong { got: CONFIG_BYTES_MAX + hex(SMALL).len(), max: CONFIG_BYTES_MAX },
        ),
    ] {
        assert_eq!(parse_config(&record), Err(want), "{name}");
    }
}

#[test]
fn survives_truncations_and_flipped_bits() {
    for record in ALL.map(hex) {
        for len in 0..record.len() {
            assert!(parse_config(&record.slice(..len)).is_err(), "{len}");
        }
        for bit in 0..record.len() * 8 {
            let mut bytes = record.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            crate::fuzz::hevc_config(&bytes);
        }
    }
}

#[test]
fn an_sps_of_any_length_is_read_or_refused() {
    for record in ALL.map(hex) {
        let sps = parameter_sets(&record).unwrap().sps.remove(0);
        let whole = Sps::parse(&sps).unwrap();
        for len in 0..sps.len() {
            // Without its end it only lacks the frame rate.
            if let Ok(cut) = Sps::parse(&sps[..len]) {
                assert!(len > 20 && [None, whole.frame_rate].contains(&cut.frame_rate), "{len}");
                assert_eq!(
                    Sps { frame_rate: None, ..cut },
                    Sps { frame_rate: None, ..whole.clone() },
                    "{len}"
                );
            }
        }
    }
}

#[test]
fn knows_random_access_points() {
    for (name, payload, irap) in [
        ("IDR_W_RADL", "0000000326018000000003280180", true),
        ("CRA", "000000032a0180", true),
        ("BLA behind SEI", "000000034e010500000003200180", true),
        ("TRAIL_R", "00000003020180", false),
        ("empty", "", false),
        ("VPS", "000000034001", false),
    ] {
        assert_eq!(is_irap(&hex(payload)), irap, "{name}");
    }
    assert_eq!(nal_type(&[]), 63);
}

#[test]
fn normal_form_has_four_byte_lengths() {
    let four = hex(SMALL);
    assert_eq!(four_byte_config(&four).as_ptr(), four.as_ptr(), "nothing to do, no copy");
    let two = with(SMALL, 21, 0x0d);
    assert_eq!(nal_length_size(&two), Ok(2));
    assert_eq!(four_byte_config(&two), four);
    assert_eq!(four_byte_config(&Bytes::new()), Bytes::new());
}
