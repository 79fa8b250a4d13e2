//! Frames of ffmpeg 5.1 with the boxes that its MP4 writer made of them; dependent substreams by hand.

use super::*;
use crate::fuzz_audio;
use crate::testing::{bits, broken, hex};

/// Header, then length, rate, channels, and the payload of `dac3` or `dec3`.
type Golden = (&'static str, &'static str, (usize, u32, u8), &'static str);

const FRAMES: [Golden; 16] = [
    ("mono", "0b7767a800402f8429024d13", (128, 48_000, 1), "100800"),
    ("stereo", "0b77c1db554043e106f575f0", (836, 44_100, 2), "501140"),
    ("5.1 at 32 kHz", "0b7702509e40ebf8403e955f", (2_688, 32_000, 6), "903de0"),
    ("5.1", "0b77064e2440ebf8403e955e", (2_560, 48_000, 6), "103e40"),
    ("quad", "0b7795a71840cbe101efea21", (1_024, 48_000, 4), "103180"),
    ("3.0", "0b7784b551406be103be42fe", (558, 44_100, 3), "501900"),
    ("5.0", "0b7784451840eaf8403efeca", (1_024, 48_000, 5), "103980"),
    ("2.1", "0b77b88b0c4047e106f0010c", (384, 48_000, 3), "1014c0"),
    ("E mono", "0b77003f3287c00000060c01", (128, 48_000, 1), "0100200200"),
    ("E stereo", "0b7701a17487c00020000000", (836, 44_100, 2), "0600600400"),
    ("E 5.1 at 32 kHz", "0b77053fbf87c00000000000", (2_688, 32_000, 6), "0e00a00f00"),
    ("E 5.1", "0b7704ff3f87c00000000000", (2_560, 48_000, 6), "1400200f00"),
    ("E quad", "0b7701ff3c87c00020f80000", (1_024, 48_000, 4), "0800200c00"),
    ("E 3.0", "0b7701167687c00020100000", (558, 44_100, 3), "0400600600"),
    ("E 5.0", "0b7701ff3e87c00020200000", (1_024, 48_000, 5), "0800200e00"),
    ("E 2.1", "0b7700bf3587c00020f80100", (384, 48_000, 3), "0300200500"),
];

#[test]
fn reads_frames_and_makes_boxes() {
    for (name, digits, want, config) in FRAMES {
        let frame = hex(digits);
        let header = parse_frame(&frame).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((header.frame_len, header.sample_rate, header.channels), want, "{name}");
        assert_eq!((header.samples, header.substream), (1_536, Substream::Independent(0)), "{name}");
        let params = params(&frame).unwrap();
        assert_eq!(params.config, hex(config), "{name}");
        let enhanced = name.starts_with('E');
        assert_eq!(params.rfc6381, if enhanced { "ec-3" } else { "ac-3" }, "{name}");
        assert_eq!((params.codec == AudioCodec::Eac3, params.channels), (enhanced, want.2), "{name}");
    }
}

/// An E-AC-3 frame of 64 bytes: stream type, number, rate and block codes, `acmod`, LFE, channel map.
pub(crate) fn eac3_frame(
    kind: u32,
    id: u32,
    rate_blocks: u32,
    acmod: u32,
    lfe: u32,
    chanmap: Option<u32>,
) -> Vec<u8> {
    let mut fields =
        vec![(0x0b77, 16), (kind, 2), (id, 3), (31, 11), (rate_blocks, 4), (acmod, 3), (lfe, 1), (16, 5)];
    // Dialogue level, no compression; twice for dual mono.
    fields.extend(vec![(31 << 1, 6); if acmod == 0 { 2 } else { 1 }]);
    if kind == 1 {
        fields.extend([(u32::from(chanmap.is_some()), 1), (chanmap.unwrap_or(0), 16)]);
    }
    let mut frame = bits(&fields);
    frame.resize(64, 0xaa);
    frame
}

#[test]
fn reads_rates_blocks_and_stream_types() {
    let facts = |frame: &[u8]| parse_frame(frame).map(|h| (h.sample_rate, h.samples, h.substream));
    let independent = Substream::Independent;
    assert_eq!(facts(&eac3_frame(0, 0, 0b0000, 7, 1, None)), Ok((48_000, 256, independent(0))));
    assert_eq!(facts(&eac3_frame(0, 3, 0b0110, 7, 1, None)), Ok((44_100, 768, independent(3))));
    assert_eq!(facts(&eac3_frame(2, 0, 0b1011, 0, 0, None)), Ok((32_000, 1_536, independent(0))));
    assert_eq!(facts(&eac3_frame(1, 0, 0b1101, 7, 1, None)), Ok((22_050, 1_536, Substream::Dependent(0))));
    for (name, frame, field, value) in [
        ("stream type", eac3_frame(3, 0, 3, 7, 1, None), "strmtyp", 3),
        ("half rate", eac3_frame(0, 0, 0b1111, 7, 1, None), "fscod2", 3),
        ("version", hex("0b7700003088c0"), "bsid", 17),
        ("size", hex("0b7700013f87c00000"), "frmsiz", 1),
        ("AC-3 rate", hex("0b770000c0402f8429"), "fscod", 3),
        ("AC-3 size", hex("0b77000026402f8429"), "frmsizecod", 38),
    ] {
        assert_eq!(facts(&frame), Err(Ac3Error::Reserved { field, value }), "{name}");
    }
    assert_eq!(facts(&hex("0b78")), Err(Ac3Error::NoSync));
    assert_eq!(facts(&hex("0b")), Err(Ac3Error::Truncated { got: 1 }));
    let half = parse_frame(&hex("0b7767a800482f8429")).unwrap();
    assert_eq!((half.sample_rate, half.frame_len), (24_000, 128), "bsid 9");
}

#[test]
fn adds_dependent_substreams() {
    let main = eac3_frame(0, 0, 3, 7, 1, None);
    // Ls, Rs again and Lrs/Rrs: 7.1.
    let rear = eac3_frame(1, 0, 3, 6, 0, Some(0x1a00));
    // Cvh, LFE2.
    let height = eac3_frame(1, 1, 3, 1, 1, Some(0x000a));
    let both = [&main[..], &rear, &height].concat();
    let params = params(&both).unwrap();
    assert_eq!((params.channels, params.frame_samples), (10, 1_536));
    // 192 bytes in 32 ms: 48 kbit/s; two dependents; locations Lrs/Rrs (bit 1), Cvh (7), LFE2 (8).
    let fixed = [(48, 13), (0, 3), (0, 2), (16, 5), (0, 2), (0, 3), (7, 3), (1, 1), (0, 3), (2, 4)];
    assert_eq!(params.config, bits(&[&fixed[..], &[(0x182, 9)]].concat()));
    assert_eq!(super::params(&rear), Err(Ac3Error::Dependent(0)));

    let unit = AccessUnit::parse(&both).unwrap();
    assert_eq!((unit.len, unit.dependents, unit.bounded), (192, 2, false));
    let unit = AccessUnit::parse(&[&both[..], &main].concat()).unwrap();
    assert_eq!((unit.len, unit.dependents, unit.bounded), (192, 2, true));
    let unit = AccessUnit::parse(&both[..100]).unwrap();
    assert_eq!((unit.len, unit.dependents, unit.bounded), (128, 1, false));
    let mut core = hex(FRAMES[0].1);
    core.resize(128, 0);
    let unit = AccessUnit::parse(&[&core[..], &rear].concat()).unwrap();
    assert_eq!((unit.len, unit.dependents), (128, 0), "AC-3 stays alone");
}

#[test]
fn survives_broken_frames() {
    for (name, digits, ..) in FRAMES {
        let golden = hex(digits);
        for len in 0..6 {
            assert_eq!(parse_frame(&golden[..len]), Err(Ac3Error::Truncated { got: len }), "{name}");
        }
        broken(&golden, fuzz_audio::ac3);
    }
    broken(&eac3_frame(1, 0, 3, 0, 0, Some(0x1a00))[..14], fuzz_audio::ac3);
}
