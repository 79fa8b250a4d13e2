//! Configurations, truncations, ADTS headers.

use super::*;

/// Writes bit fields, for configurations that no encoder here makes.
fn bits(fields: &[(u32, u32)]) -> Bytes {
    let all: Vec<u8> = fields
        .iter()
        .flat_map(|&(value, n)| (0..n).rev().map(move |i| u8::from((value >> i) & 1 == 1)))
        .collect();
    all.chunks(8).map(|c| c.iter().enumerate().fold(0, |byte, (i, bit)| byte | bit << (7 - i))).collect()
}

/// Sample rate, channels, samples per frame, codec string.
type Facts = (u32, u8, u32, &'static str);

#[track_caller]
fn check(name: &str, asc: &Bytes, want: Facts) {
    let params = parse_config(asc).unwrap_or_else(|e| panic!("{name}: {e}"));
    let got = (params.sample_rate, params.channels, params.frame_samples, params.rfc6381.as_str());
    assert_eq!(got, want, "{name}");
    assert_eq!(params.config, asc, "{name}");
}

#[test]
fn reads_configurations() {
    let asc = Bytes::from_static;
    check("LC 44.1 kHz stereo", &asc(&[0x12, 0x10]), (44_100, 2, 1024, "mp4a.40.2"));
    check("LC 48 kHz mono", &asc(&[0x11, 0x88]), (48_000, 1, 1024, "mp4a.40.2"));
    check("LC with SBR behind", &asc(&[0x11, 0x90, 0x56, 0xe5, 0]), (48_000, 2, 1024, "mp4a.40.2"));
    check("Main", &asc(&[0x0a, 0x10]), (44_100, 2, 1024, "mp4a.40.1"));
    check("960", &asc(&[0x11, 0x94]), (48_000, 2, 960, "mp4a.40.2"));
    check("HE-AAC 24 to 48", &asc(&[0x2b, 0x11, 0x88, 0]), (24_000, 2, 1024, "mp4a.40.5"));
    check("HE-AACv2", &asc(&[0xeb, 0x09, 0x88, 0]), (24_000, 2, 1024, "mp4a.40.29"));
    check("5.1", &asc(&[0x11, 0xb0]), (48_000, 6, 1024, "mp4a.40.2"));
    check("7.1", &asc(&[0x11, 0xb8]), (48_000, 8, 1024, "mp4a.40.2"));
    let spelled = bits(&[(2, 5), (15, 4), (50_000, 24), (2, 4), (0, 3)]);
    check("rate spelled out", &spelled, (50_000, 2, 1024, "mp4a.40.2"));
    let core_delay = [(2, 5), (3, 4), (0, 4), (0, 1), (1, 1), (99, 14), (0, 1)];
    let program = [(0, 10), (0, 12), (1, 2), (0, 7), (0, 3)];
    let behind = bits(&[&core_delay[..], &program].concat());
    check("program behind a core coder delay: one LFE", &behind, (48_000, 1, 1024, "mp4a.40.2"));
}

#[test]
fn counts_channels_of_a_program() {
    // Tag, object type, rate; lists of 2 front, 0 side, 1 back; 1 LFE; no data, no coupling; mono mixdown.
    let head = [(2, 5), (3, 4), (0, 4), (0, 3), (0, 4), (1, 2), (3, 4), (2, 4), (0, 4), (1, 4), (1, 2)];
    let tail =
        [(0, 7), (1, 1), (5, 4), (0, 1), (0, 1), (0, 1), (0, 4), (1, 1), (1, 4), (1, 1), (2, 4), (0, 16)];
    let asc = bits(&[&head[..], &tail[..]].concat());
    check("centre, pair, back pair, LFE", &asc, (48_000, 6, 1024, "mp4a.40.2"));
    let params = parse_config(&asc).unwrap();
    assert!(matches!(adts_header(&params, 1), Err(AacError::NotAdts(_))));
    assert_eq!(silent_frame(&params), None);
}

#[test]
fn names_what_is_wrong() {
    for (name, asc, want) in [
        ("USAC", bits(&[(31, 5), (10, 6), (3, 4), (2, 4), (0, 8)]), AacError::ObjectType(42)),
        ("null", bits(&[(0, 5), (3, 4), (2, 4), (0, 3)]), AacError::ObjectType(0)),
        ("ER LC", bits(&[(17, 5), (3, 4), (2, 4), (0, 3)]), AacError::ObjectType(17)),
        ("SBR in SBR", bits(&[(5, 5), (6, 4), (2, 4), (3, 4), (5, 5), (0, 3)]), AacError::ObjectType(5)),
        (
            "reserved rate",
            bits(&[(2, 5), (13, 4), (2, 4), (0, 3)]),
            AacError::SampleRate { index: 13, hz: 0 },
        ),
        (
            "rate of 1 Hz",
            bits(&[(2, 5), (15, 4), (1, 24), (2, 4), (0, 3)]),
            AacError::SampleRate { index: 15, hz: 1 },
        ),
        ("reserved channels", bits(&[(2, 5), (3, 4), (9, 4), (0, 3)]), AacError::Channels(9)),
        ("program without channels", Bytes::from(vec![0x11, 0x80, 0, 0, 0, 0, 0, 0]), AacError::Channels(0)),
        (
            "too long",
            Bytes::from(vec![0x12; CONFIG_BYTES_MAX + 1]),
            AacError::ConfigTooLong { got: CONFIG_BYTES_MAX + 1, max: CONFIG_BYTES_MAX },
        ),
    ] {
        assert_eq!(parse_config(&asc), Err(want), "{name}");
    }
}

#[test]
fn refuses_every_truncation_and_survives_every_flipped_bit() {
    let asc = Bytes::from_static(&[0xeb, 0x09, 0x88, 0]);
    for len in 0..3 {
        let error = parse_config(&asc.slice(..len)).unwrap_err();
        assert!(matches!(error, AacError::Truncated { .. }), "{len}: {error}");
    }
    for bit in 0..asc.len() * 8 {
        let mut bytes = asc.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        crate::fuzz::aac_config(&bytes);
    }
}

#[test]
fn writes_adts_headers() {
    let header = |asc: &'static [u8], len| adts_header(&parse_config(&Bytes::from_static(asc)).unwrap(), len);
    // As ffmpeg writes it, buffer fullness 0x7ff.
    assert_eq!(header(&[0x12, 0x10], 9), Ok([0xff, 0xf1, 0x50, 0x80, 0x02, 0x1f, 0xfc]));
    assert_eq!(header(&[0x11, 0x88], 6), Ok([0xff, 0xf1, 0x4c, 0x40, 0x01, 0xbf, 0xfc]));
    assert_eq!(
        header(&[0x2b, 0x11, 0x88, 0], 6),
        Ok([0xff, 0xf1, 0x58, 0x80, 0x01, 0xbf, 0xfc]),
        "SBR: core"
    );
    assert!(header(&[0x12, 0x10], ADTS_BYTES_MAX - 7).is_ok());
    let max = ADTS_BYTES_MAX - 7;
    assert_eq!(header(&[0x12, 0x10], max + 1), Err(AacError::FrameTooLong { got: max + 1, max }));
    assert!(matches!(header(&[0x11, 0x94], 6), Err(AacError::NotAdts(_))), "960");
}

#[test]
fn knows_silence_of_lc_only() {
    let silence = |asc: &'static [u8]| silent_frame(&parse_config(&Bytes::from_static(asc)).unwrap());
    assert_eq!(silence(&[0x11, 0x88]), Some(SILENCE_MONO));
    assert_eq!(silence(&[0x12, 0x10]), Some(SILENCE_STEREO));
    assert_eq!(silence(&[0xeb, 0x09, 0x88, 0]), Some(SILENCE_MONO), "HE-AACv2 has a mono core");
    assert_eq!(silence(&[0x11, 0x94]), None, "960 samples");
    assert_eq!(silence(&[0x0a, 0x10]), None, "Main");
    assert_eq!(silence(&[0x11, 0xb0]), None, "5.1");
}
