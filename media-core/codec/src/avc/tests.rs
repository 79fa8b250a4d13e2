//! Records of real encoders, truncations, NAL lengths.

use super::*;

/// x264 records: 1920x1080 (cropped from 1088) at 30000/1001, 1280x720 at 25, 176x144 4:2:2 at 60.
const FULL_HD: &str = "0142c028ffe100176742c028da01e0089f97011000003e90000ea600f1832a01000468ce0fc8";
const HD: &str = "0142c01fffe100176742c01fda014016ec0440000003004000000c83c60ca801000468ce0fc8";
const HIGH_422: &str =
    concat!("017a000cffe10018677a000cbcb416276022000003000200000300f01e285540", "01000468ce0fc8fef8f800");

fn hex(text: &str) -> Bytes {
    let digit = |c: u8| u8::try_from(char::from(c).to_digit(16).unwrap()).unwrap();
    text.as_bytes().chunks(2).map(|p| digit(p[0]) << 4 | digit(p[1])).collect()
}

/// `record` with one byte changed.
fn with(record: &str, at: usize, value: u8) -> Bytes {
    let mut bytes = hex(record).to_vec();
    bytes[at] = value;
    bytes.into()
}

#[test]
fn reads_records_of_real_encoders() {
    for (name, record, size, rate, codec) in [
        ("cropped, NTSC rate", FULL_HD, (1920, 1080), (60_000, 2_002), "avc1.42c028"),
        ("baseline", HD, (1280, 720), (50, 2), "avc1.42c01f"),
        ("4:2:2 with extension", HIGH_422, (176, 144), (120, 2), "avc1.7a000c"),
    ] {
        let record = hex(record);
        let params = parse_config(&record).unwrap();
        assert_eq!((params.width, params.height), size, "{name}");
        let (num, den) = rate;
        assert_eq!(params.frame_rate, Some(FrameRate { num, den }), "{name}");
        assert_eq!(params.rfc6381, codec, "{name}");
        assert_eq!(params.config.as_ptr(), record.as_ptr(), "{name}: no copy");
        assert_eq!(nal_length_size(&params.config), Ok(4), "{name}");
    }
}

#[test]
fn takes_trailing_zeros_behind_the_sps() {
    let record = hex(FULL_HD);
    let padded = [&record[..7], &[0x19], &record[8..31], &[0, 0], &record[31..]].concat();
    assert_eq!(parse_config(&padded.into()).map(|p| p.height), Ok(1080));
}

/// ffmpeg -color_primaries bt2020 -color_trc arib-std-b67, smpte2084.
#[test]
fn reads_the_dynamic_range() {
    use nx_media::VideoRange::{Hlg, Pq, Sdr};
    for (record, want) in [
        (
            concat!(
                "0164000bffe1001c6764000bacd942c4ec05a848904a000003000200000300641e28532c0100",
                "0668ebe3cb22c0fdf8f800",
            ),
            Hlg,
        ),
        (
            concat!(
                "0164000bffe1001c6764000bacd942c4ec05a848804a000003000200000300641e28532c0100",
                "0668ebe3cb22c0fdf8f800",
            ),
            Pq,
        ),
        (HD, Sdr),
    ] {
        assert_eq!(parse_config(&hex(record)).map(|p| p.range), Ok(want), "{record}");
    }
}

#[test]
fn names_what_is_wrong_with_a_record() {
    let sps_len = |n| [&hex(HD)[..6], &[0, n], &hex(HD)[8..]].concat().into();
    for (name, record, want) in [
        ("version", with(HD, 0, 0), AvcError::Version(0)),
        ("3-byte lengths", with(HD, 4, 0xfe), AvcError::LengthSize(3)),
        ("no SPS", hex("0142c01fffe000"), AvcError::NoSps),
        ("PPS as SPS", with(HD, 8, 0x68), AvcError::NalType { offset: 8, expected: 7, got: 8 }),
        ("SPS as PPS", with(HD, 34, 0x67), AvcError::NalType { offset: 34, expected: 8, got: 7 }),
        ("empty SPS", sps_len(0), AvcError::NalType { offset: 8, expected: 7, got: 0 }),
        ("SPS past the end", sps_len(99), AvcError::Truncated { offset: 8, needed: 99, got: 30 }),
        (
            "too long",
            Bytes::from([&hex(HD)[..], &[0; CONFIG_BYTES_MAX]].concat()),
            AvcError::ConfigTooLong { got: CONFIG_BYTES_MAX + 38, max: CONFIG_BYTES_MAX },
        ),
    ] {
        assert_eq!(parse_config(&record), Err(want), "{name}");
    }
    let garbage = parse_config(&hex("0142c01fffe100046742c01f00"));
    assert!(matches!(garbage, Err(AvcError::Sps(_))), "SPS that ends early: {garbage:?}");
}

#[test]
fn refuses_every_truncation() {
    let record = hex(FULL_HD);
    for len in 0..record.len() {
        let error = parse_config(&record.slice(..len)).unwrap_err();
        assert!(matches!(error, AvcError::Truncated { .. }), "{len}: {error}");
    }
}

#[test]
fn survives_every_flipped_bit() {
    for record in [FULL_HD, HD, HIGH_422].map(hex) {
        for bit in 0..record.len() * 8 {
            let mut bytes = record.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            crate::fuzz::avc_config(&bytes);
        }
    }
}

#[test]
fn lists_parameter_sets() {
    let sets = parameter_sets(&hex(HD)).unwrap();
    assert_eq!(sets.sps.iter().map(|s| (s.len(), nal_type(s))).collect::<Vec<_>>(), [(23, NAL_SPS)]);
    assert_eq!(sets.pps, [hex("68ce0fc8")]);
}

#[test]
fn normal_form_has_four_byte_lengths() {
    let four = hex(HD);
    assert_eq!(four_byte_config(&four).as_ptr(), four.as_ptr(), "nothing to do, no copy");
    assert_eq!(four_byte_config(&with(HD, 4, 0xfd)), four);
    assert_eq!(four_byte_config(&Bytes::new()), Bytes::new());
}

#[test]
fn walks_length_prefixed_nals() {
    for (name, payload, types, idr, valid) in [
        ("empty", "", &[][..], false, Err(AvcError::Empty)),
        ("AUD and IDR", "0000000209f0000000026588", &[9, 5], true, Ok(())),
        ("delta", "0000000141", &[1], false, Ok(())),
        ("empty unit", "00000000000000016500000000", &[5], true, Ok(())),
        (
            "length past the end",
            "0000000141000000ff65",
            &[1],
            false,
            Err(AvcError::Truncated { offset: 5, needed: 255, got: 1 }),
        ),
        (
            "cut length",
            "00000001410000",
            &[1],
            false,
            Err(AvcError::Truncated { offset: 5, needed: 4, got: 2 }),
        ),
        (
            "huge length",
            "ffffffff65",
            &[],
            false,
            Err(AvcError::Truncated { offset: 0, needed: 0xffff_ffff, got: 1 }),
        ),
    ] {
        let payload = hex(payload);
        assert_eq!(nals(&payload).map(nal_type).collect::<Vec<_>>(), types, "{name}");
        assert_eq!(is_idr(&payload), idr, "{name}");
        assert_eq!(check(&payload), valid, "{name}");
    }
}

#[test]
fn rewrites_short_lengths() {
    let want = hex("0000000209f0000000026588");
    for (name, payload, size, want) in [
        ("1 byte", "0209f0026588", 1, Ok(want.clone())),
        ("2 bytes", "000209f000026588", 2, Ok(want.clone())),
        ("4 bytes", "0000000209f0000000026588", 4, Ok(want.clone())),
        ("3 bytes", "00000209f0", 3, Err(AvcError::LengthSize(3))),
        ("0 bytes", "09f0", 0, Err(AvcError::LengthSize(0))),
        ("past the end", "0209f00365", 1, Err(AvcError::Truncated { offset: 3, needed: 3, got: 1 })),
        ("empty", "", 2, Err(AvcError::Empty)),
    ] {
        assert_eq!(to_four_byte_lengths(&hex(payload), size), want, "{name}");
    }
    let payload = hex("0000000141");
    assert_eq!(to_four_byte_lengths(&payload, 4).unwrap().as_ptr(), payload.as_ptr(), "no copy");
}

#[test]
fn builds_the_record_of_the_encoder() {
    // x264 with 4:4:4, too.
    let high_444 = concat!(
        "01f4000affe1001967f4000a919b28c4f171f808800000030080000019078912cb01000668ebe3c44844",
        "fff8f800"
    );
    for record in [FULL_HD, HD, HIGH_422, high_444].map(hex) {
        let sets = parameter_sets(&record).unwrap();
        assert_eq!(config_from_sets(&sets.sps, &sets.pps), Ok(record));
    }
    let sets = parameter_sets(&hex(HD)).unwrap();
    let (sps, pps) = (&sets.sps[..], &sets.pps[..]);
    let too_many = |nal_type, got, max| AvcError::TooManySets { nal_type, got, max };
    for (name, sps, pps, want) in [
        ("no SPS", vec![], pps.to_vec(), AvcError::NoSps),
        ("short SPS", vec![hex("6742")], vec![], AvcError::Truncated { offset: 0, needed: 4, got: 2 }),
        ("PPS as SPS", vec![hex("68ce0fc8")], vec![], AvcError::NalType { offset: 6, expected: 7, got: 8 }),
        ("SPS as PPS", sps.to_vec(), sps.to_vec(), AvcError::NalType { offset: 32, expected: 8, got: 7 }),
        ("32 SPS", vec![sps[0].clone(); 32], vec![], too_many(NAL_SPS, 32, 31)),
        ("256 PPS", sps.to_vec(), vec![pps[0].clone(); 256], too_many(NAL_PPS, 256, 255)),
    ] {
        assert_eq!(config_from_sets(&sps, &pps), Err(want), "{name}");
    }
    let long = Bytes::from([&hex("68")[..], &[0xff; CONFIG_BYTES_MAX]].concat());
    assert!(matches!(config_from_sets(sps, &[long]), Err(AvcError::ConfigTooLong { .. })));
}
