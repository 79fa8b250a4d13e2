//! Headers that encoders wrote, with the frame sizes and durations that ffprobe 5.1 tells of them.

use super::*;
use crate::fuzz_audio;
use crate::testing::{broken, hex};

#[test]
fn reads_headers() {
    // Layer, length, rate, channels, samples; MPEG-2 or MPEG-2.5.
    for (name, digits, want) in [
        ("layer 2, 192 kbit/s", "fffda404", (2, 576, 48_000, 2, 1_152, false)),
        ("layer 2, padded", "fffd42c4", (2, 209, 44_100, 1, 1_152, false)),
        ("MPEG-2 layer 2", "fff58404", (2, 384, 24_000, 2, 1_152, true)),
        ("MPEG-2 layer 2, 16 kHz", "fff548c4", (2, 288, 16_000, 1, 1_152, true)),
        ("layer 3, padded", "fffb9264", (3, 418, 44_100, 2, 1_152, false)),
        ("layer 3, 320 kbit/s", "fffbe4c4", (3, 960, 48_000, 1, 1_152, false)),
        ("MPEG-2 layer 3", "fff37264", (3, 183, 22_050, 2, 576, true)),
        ("MPEG-2.5, 8 kHz", "ffe318c4", (3, 72, 8_000, 1, 576, true)),
        ("MPEG-2.5, 11 kHz", "ffe38264", (3, 418, 11_025, 2, 576, true)),
        // 12 * 384 000 / 44 100 = 104 slots of 4 bytes, and one of padding.
        ("layer 1", "ffffc200", (1, 420, 44_100, 2, 384, false)),
    ] {
        let got = parse_frame(&hex(digits)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let Header { layer, frame_len, sample_rate, channels, samples, low_rate } = got;
        assert_eq!((layer, frame_len, sample_rate, channels, samples, low_rate), want, "{name}");
        broken(&hex(digits), fuzz_audio::ac3);
    }
}

#[test]
fn names_object_types() {
    let of = |digits| params(&hex(digits)).unwrap();
    let first = of("fffda404");
    assert_eq!((first.rfc6381.as_str(), first.frame_samples, first.config.len()), ("mp4a.6B", 1_152, 0));
    assert_eq!(of("fff37264").rfc6381, "mp4a.69");
    assert_eq!(of("ffe318c4").rfc6381, "mp4a.69");
}

#[test]
fn names_what_is_wrong() {
    for (name, digits, want) in [
        ("short", "fffb92", MpaError::Truncated { got: 3 }),
        ("sync word", "ff7b9264", MpaError::NoHeader { header: 0xff7b_9264 }),
        ("version", "ffeb9264", MpaError::NoHeader { header: 0xffeb_9264 }),
        ("layer, as in ADTS", "fff19264", MpaError::NoHeader { header: 0xfff1_9264 }),
        ("bit rate", "fffbf264", MpaError::NoHeader { header: 0xfffb_f264 }),
        ("sample rate", "fffb9e64", MpaError::NoHeader { header: 0xfffb_9e64 }),
        ("free format", "fffb0264", MpaError::FreeFormat),
    ] {
        assert_eq!(parse_frame(&hex(digits)), Err(want), "{name}");
    }
}
