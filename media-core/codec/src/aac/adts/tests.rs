//! Headers of ffmpeg 5.1 and of this crate's writer.

use super::*;
use crate::aac;
use crate::fuzz_audio;
use crate::testing::{broken, hex};

#[test]
fn reads_headers() {
    let frame = parse(&hex("fff16040017ffc01182007")).unwrap();
    let want = AdtsFrame { config: hex("1408").into(), sample_rate: 16_000, header_len: 7, frame_len: 11 };
    assert_eq!(frame, want, "as ffmpeg states it in StreamMuxConfig");
    assert_eq!(parse(&hex("fff06040017ffc0000")).map(|f| f.header_len), Ok(9), "with CRC");
    assert_eq!(parse(&hex("fff96040017ffc")).map(|f| f.config), Ok(hex("1408").into()), "MPEG-2");
}

#[test]
fn reads_what_the_writer_writes() {
    for asc in ["0a10", "1188", "1210", "11b0", "11b8", "1c08"] {
        let params = aac::parse_config(&hex(asc).into()).unwrap();
        for len in [0, 1, 300, aac::ADTS_BYTES_MAX - 7] {
            let frame = parse(&aac::adts_header(&params, len).unwrap()).unwrap();
            assert_eq!(
                (frame.config, frame.sample_rate),
                (params.config.clone(), params.sample_rate),
                "{asc}"
            );
            assert_eq!((frame.frame_len, frame.header_len), (len + 7, 7), "{asc}");
        }
    }
}

#[test]
fn names_what_is_wrong() {
    for (name, digits, want) in [
        ("short", "fff16040017f", AdtsError::Truncated { got: 6 }),
        ("sync word", "ffe16040017ffc", AdtsError::NoSync),
        ("layer, as in MP3", "fffb9040017ffc", AdtsError::NoSync),
        ("rate", "fff17440017ffc", AdtsError::SampleRate(13)),
        ("channels", "fff16000017ffc", AdtsError::Channels),
        ("blocks", "fff16040017ffe", AdtsError::RawBlocks(3)),
        ("length", "fff1604000dffc", AdtsError::FrameLength { frame_len: 6, header_len: 7 }),
        ("length with CRC", "fff06040011ffc", AdtsError::FrameLength { frame_len: 8, header_len: 9 }),
    ] {
        assert_eq!(parse(&hex(digits)), Err(want), "{name}");
    }
    broken(&hex("fff16040017ffc01182007"), fuzz_audio::latm);
}
