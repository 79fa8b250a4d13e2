//! Elements of ffmpeg 5.1, and of the shapes that it does not write.

use super::*;
use crate::fuzz_audio;
use crate::testing::{bits, broken, hex};

/// Two LOAS frames: with configuration, and one that refers to it.
const FIRST: &str = "56e01c 200014081fe0aef01002630bb319a9c97199b9718981800011820070";
const SECOND: &str = "56e006 82008c100380";
/// The same access units in ADTS.
const UNITS: [&str; 2] = ["de02004c61766335392e33372e313030000230400e", "01182007"];

fn element(digits: &str) -> Vec<u8> {
    hex(digits).split_off(LOAS_HEADER_LEN)
}

#[test]
fn reads_what_an_encoder_writes() {
    let mut latm = Latm::new();
    assert_eq!(latm.read(&element(SECOND)), Err(LatmError::NoConfig));
    for (digits, unit) in [(FIRST, UNITS[0]), (SECOND, UNITS[1]), (SECOND, UNITS[1])] {
        assert_eq!(loas_frame_len(&hex(digits)), Some(hex(digits).len()));
        assert_eq!(latm.read(&element(digits)), Ok(vec![Bytes::from(hex(unit))]));
    }
    let params = latm.params().unwrap();
    assert_eq!(params.config, hex("1408"));
    assert_eq!((params.sample_rate, params.channels), (16_000, 1));
    assert_eq!(loas_frame_len(&hex("56a006")), None);
    assert_eq!(loas_frame_len(&hex("56e0")), None);
}

/// `StreamMuxConfig` of version 0 before the codec configuration, with `sub` access units.
fn version_0(sub: u32) -> Vec<(u32, u32)> {
    vec![(0, 1), (0, 1), (1, 1), (sub - 1, 6), (0, 4), (0, 3)]
}

/// From frame length type to CRC: none, full buffer, no other data.
const TAIL: [(u32, u32); 4] = [(0, 3), (0xff, 8), (0, 1), (0, 1)];
const LC_STEREO: [(u32, u32); 4] = [(2, 5), (3, 4), (2, 4), (0, 3)];

fn read(fields: &[&[(u32, u32)]]) -> Result<(Vec<Bytes>, AudioParams), LatmError> {
    let mut latm = Latm::new();
    let units = latm.read(&bits(&fields.concat()))?;
    Ok((units, latm.params().unwrap().clone()))
}

#[test]
fn reads_several_units_and_long_ones() {
    let long = [&[(255, 8), (2, 8)][..], &[(0xa5, 8); 257], &[(1, 8), (0x77, 8)]].concat();
    let (units, params) = read(&[&version_0(2), &LC_STEREO, &TAIL, &long]).unwrap();
    assert_eq!(units, vec![Bytes::from(vec![0xa5; 257]), Bytes::from_static(&[0x77])]);
    assert_eq!(params.config, hex("1190"));
    let error = read(&[&version_0(3), &LC_STEREO, &TAIL, &long]).unwrap_err();
    assert!(matches!(error, LatmError::Truncated { .. }), "{error}");
}

#[test]
fn finds_the_end_of_any_configuration() {
    // Explicit SBR; a core coder delay and an extension flag; a program with a comment.
    let sbr = [(5, 5), (6, 4), (2, 4), (3, 4), (2, 5), (0, 3)];
    let delay = [(2, 5), (3, 4), (2, 4), (0, 1), (1, 1), (9, 14), (1, 1), (0, 1)];
    let program = [(2, 5), (3, 4), (0, 4), (0, 3), (0, 10), (1, 4), (0, 8), (1, 2), (1, 3), (1, 4), (0, 3)];
    let lists = [(0b1_0000, 5), (1, 4), (2, 4), (3, 5), (0, 4), (2, 8), (0x4142, 16)];
    let program = [&program[..], &lists].concat();
    for (name, asc, rate, channels) in
        [("SBR", &sbr[..], 24_000, 2), ("delay", &delay, 48_000, 2), ("program", &program, 48_000, 3)]
    {
        let (units, params) = read(&[&version_0(1), asc, &TAIL, &[(2, 8), (0xbeef, 16)]]).unwrap();
        assert_eq!(units, vec![Bytes::from_static(&[0xbe, 0xef])], "{name}");
        assert_eq!(params.config, bits(asc), "{name}");
        assert_eq!((params.sample_rate, params.channels), (rate, channels), "{name}");
    }
}

#[test]
fn reads_version_1_and_other_data() {
    // Buffer fullness in one byte, 32 bits of configuration in one, with SBR signalled behind it.
    let head = [(0, 1), (1, 1), (0, 1), (0, 2), (0xff, 8), (1, 1), (0, 6), (0, 4), (0, 3), (0, 2), (37, 8)];
    let sync_extension = [(0x2b7, 11), (5, 5), (1, 1), (3, 4)];
    let other = [(0, 3), (0xff, 8), (1, 1), (1, 2), (300, 16), (1, 1), (0xcc, 8)];
    let (units, params) = read(&[&head, &LC_STEREO, &sync_extension, &other, &[(1, 8), (7, 8)]]).unwrap();
    assert_eq!(units, vec![Bytes::from_static(&[7])]);
    assert_eq!(params.config, bits(&[&LC_STEREO[..], &sync_extension].concat()));

    let escaped = [(0, 3), (0xff, 8), (1, 1), (1, 1), (1, 8), (0, 1), (0, 8), (0, 1)];
    let (units, _) = read(&[&version_0(1), &LC_STEREO, &escaped, &[(1, 8), (7, 8)]]).unwrap();
    assert_eq!(units, vec![Bytes::from_static(&[7])]);
}

#[test]
fn names_what_is_wrong() {
    let with = |at: usize, value: u32| {
        let mut fields = [&version_0(1)[..], &LC_STEREO, &TAIL].concat();
        fields[at].0 = value;
        read(&[&fields, &[(0, 64)]]).unwrap_err()
    };
    for (at, value, field) in [
        (2, 0, "allStreamsSameTimeFraming"),
        (4, 1, "numProgram"),
        (5, 2, "numLayer"),
        (10, 1, "frameLengthType"),
    ] {
        assert_eq!(with(at, value), LatmError::Unsupported { field, value });
    }
    assert_eq!(with(6, 17), LatmError::Config(AacError::ObjectType(17)));
    let a = read(&[&[(0, 1), (1, 1), (1, 1)]]).unwrap_err();
    assert_eq!(a, LatmError::Unsupported { field: "audioMuxVersionA", value: 1 });
    let head = [(0, 1), (1, 1), (0, 1), (0, 2), (0, 8), (1, 1), (0, 13), (3, 2), (u32::MAX, 32)];
    let error = read(&[&head]).unwrap_err();
    assert!(matches!(error, LatmError::Config(AacError::ConfigTooLong { .. })), "{error}");
}

#[test]
fn waits_for_a_configuration_after_a_bad_one() {
    let mut latm = Latm::new();
    latm.read(&element(FIRST)).unwrap();
    let bad = bits(&[&version_0(1)[..], &[(17, 5), (3, 4), (2, 4)], &[(0, 40)]].concat());
    assert!(latm.read(&bad).is_err());
    assert_eq!(latm.read(&element(SECOND)), Err(LatmError::NoConfig));
}

#[test]
fn survives_broken_elements() {
    let golden = element(FIRST);
    for len in 0..golden.len() - 1 {
        let error = Latm::new().read(&golden[..len]).unwrap_err();
        assert!(matches!(error, LatmError::Truncated { .. }), "{len}: {error}");
    }
    broken(&golden, fuzz_audio::latm);
    broken(&[golden, element(SECOND)].concat(), fuzz_audio::latm);
}
