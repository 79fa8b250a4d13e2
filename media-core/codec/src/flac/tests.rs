//! Headers and frames of ffmpeg 5.1.

use super::*;
use crate::fuzz_audio;
use crate::testing::{broken, hex};

const STEREO: &str = "00000022 1200 1200 000407 00050a 0ac442f000005622 8eb4f38c6d95c20efdc6beee632a277b";

/// What FFmpeg 9 puts behind `fLaC` in FLV.
const FFMPEG_9: &str = "0400 0400 000000 000000 0bb802f000000000 00000000000000000000000000000000";

fn header(digits: &str) -> Bytes {
    hex(digits).into()
}

#[test]
fn reads_every_form() {
    let native = parse_header(&header(&format!("664c6143 {STEREO} 84000002 0000"))).unwrap();
    assert_eq!(native.config, hex(&STEREO.replacen("00", "80", 1)), "marked as the last block");
    assert_eq!((native.sample_rate, native.channels, native.frame_samples), (44_100, 2, 4_608));
    assert_eq!(native.rfc6381, "fLaC");
    assert_eq!(parse_header(&header(STEREO)).as_ref(), Ok(&native));
    assert_eq!(parse_header(&native.config).as_ref(), Ok(&native));
    let alone = parse_header(&header(FFMPEG_9)).unwrap();
    assert_eq!((alone.sample_rate, alone.channels, alone.frame_samples), (48_000, 2, 1_024));
    assert_eq!(alone.config, hex(&format!("80000022 {FFMPEG_9}")));
    let six = "664c6143 00000022 2000 2000 0007b8 0008d7 17700af00000bb80 66244b4eaa306b7bacd085610e9b42b3";
    let six = parse_header(&header(six)).unwrap();
    assert_eq!((six.sample_rate, six.channels, six.frame_samples), (96_000, 6, 8_192));
}

#[test]
fn names_what_is_wrong() {
    let without_rate = STEREO.replace("0ac442", "000002");
    let tiny = STEREO.replace("1200 1200", "0008 0008");
    for (name, digits, want) in [
        ("another block first", "664c6143 84000002 0000", FlacError::NoStreamInfo { kind: 4, len: 2 }),
        ("long", "80000023", FlacError::NoStreamInfo { kind: 0, len: 35 }),
        ("no rate", &without_rate, FlacError::StreamInfo { sample_rate: 0, block_samples: 4_608 }),
        ("tiny blocks", &tiny, FlacError::StreamInfo { sample_rate: 44_100, block_samples: 8 }),
    ] {
        assert_eq!(parse_header(&header(digits)), Err(want), "{name}");
    }
    let golden = hex(STEREO);
    for len in 0..golden.len() {
        let got = parse_header(&Bytes::copy_from_slice(&golden[..len]));
        assert_eq!(got, Err(FlacError::Truncated { got: len }));
    }
    broken(&golden, fuzz_audio::flac_header);
}

#[test]
fn measures_frames() {
    for (name, digits, want) in [
        ("table", "fff85988008a4e00", Some(4_608)),
        ("16 bits", "fff87988040e21ca", Some(3_618)),
        ("small table", "fff8240800ca4e01", Some(576)),
        ("last of 8 kHz", "fff8740806021f9f", Some(544)),
        ("power of two", "fff8db5800ed0000", Some(8_192)),
        ("192", "fff8190800", Some(192)),
        ("8 bits", "fff8690800 0f", Some(16)),
        ("8 bits behind a number of two bytes", "fff86908c280 ff", Some(256)),
        ("sample number of seven bytes", "fff96908fe80808080808040", Some(65)),
        ("reserved", "fff8090800", None),
        ("no sync", "fffb590800", None),
        ("number begins in its middle", "fff8690880ff", None),
        ("size is missing", "fff879080012", None),
        ("empty", "", None),
    ] {
        assert_eq!(frame_samples(&hex(digits)), want, "{name}");
    }
    broken(&hex("fff87988040e21ca"), fuzz_audio::flac_header);
}
