//! Frames of libvpx in each profile.

use super::*;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Record and beginning of the first key frame: 96x64; 322x182 4:4:4; 322x182 10 bits.
const STREAMS: [(&str, &str, (u32, u32), &str); 3] = [
    ("000a820202020000", "824983420005f003f6083824", (96, 64), "vp09.00.10.08"),
    ("010b860202020000", "a2498342000282016ac10704", (322, 182), "vp09.01.11.08"),
    ("020ba20202020000", "92498342000a0805ab031c12", (322, 182), "vp09.02.11.10"),
];

#[test]
fn reads_streams_of_a_real_encoder() {
    for (record, key, size, codec) in STREAMS {
        let record = Bytes::from(hex(record));
        let params = parse_config(&record, &hex(key)).unwrap();
        assert_eq!((params.width, params.height), size, "{codec}");
        assert_eq!(params.rfc6381, codec);
        assert_eq!(params.config.as_ptr(), record.as_ptr(), "no copy");
        assert!(is_key(&hex(key)));
    }
    let open = Bytes::from(hex("0000820202020000"));
    assert_eq!(parse_config(&open, &hex(STREAMS[0].1)).unwrap().rfc6381, "vp09.00.10.08", "level left open");
}

#[test]
fn names_what_is_wrong() {
    let record = Bytes::from(hex(STREAMS[0].0));
    let key = hex(STREAMS[0].1);
    for (name, record, frame, want) in [
        (
            "with version and flags",
            hex("01000000000a820202020000").into(),
            &key,
            Vp9Error::ConfigLen { got: 12 },
        ),
        ("profile", hex("040a820202020000").into(), &key, Vp9Error::Profile(4)),
        ("other frame", record.clone(), &hex("860040929c"), Vp9Error::NotKey),
        ("shown again", record.clone(), &hex("88"), Vp9Error::NotKey),
        ("no VP9", record.clone(), &hex("000000"), Vp9Error::FrameHeader { bit: 2 }),
        ("reserved profile", record.clone(), &hex("b8"), Vp9Error::FrameHeader { bit: 5 }),
        ("sync code", record.clone(), &hex("8249834300"), Vp9Error::FrameHeader { bit: 32 }),
    ] {
        assert_eq!(parse_config(&record, frame), Err(want), "{name}");
    }
    assert!(!is_key(&hex("860040929c")) && !is_key(&[]) && !is_key(&hex("02")));
}

#[test]
fn survives_truncations_and_flipped_bits() {
    for (record, key, ..) in STREAMS {
        let (record, key) = (Bytes::from(hex(record)), hex(key));
        for len in 0..8 {
            assert!(parse_config(&record, &key[..len]).is_err(), "{len}");
        }
        for bit in 0..key.len() * 8 {
            let mut bytes = key.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            crate::fuzz::vp9_header(&bytes);
        }
    }
}
