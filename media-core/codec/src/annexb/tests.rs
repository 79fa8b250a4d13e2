//! Start codes of both lengths, zeros, and a slow search to compare with.

use super::*;

#[test]
fn finds_nal_units() {
    let none: &[&[u8]] = &[];
    for (name, stream, want) in [
        ("empty", &[][..], none),
        ("no start code", &[0, 0, 2, 1, 0, 0], none),
        ("only a start code", &[0, 0, 1], none),
        ("3 bytes", &[0, 0, 1, 9, 0xf0], &[&[9, 0xf0]]),
        ("4 bytes and trailing zeros", &[0, 0, 0, 1, 9, 0, 0, 0, 0, 1, 8, 0, 0], &[&[9], &[8]]),
        ("leading bytes", &[7, 1, 0, 0, 1, 5], &[&[5]]),
        ("empty unit", &[0, 0, 1, 0, 0, 1, 5], &[&[5]]),
        ("many zeros", &[0, 0, 0, 0, 0, 0, 1, 5, 0, 1], &[&[5, 0, 1]]),
        ("cut start code", &[0, 0, 1, 5, 0, 0], &[&[5]]),
        ("emulation prevention stays", &[0, 0, 1, 5, 0, 0, 3, 1], &[&[5, 0, 0, 3, 1]]),
    ] {
        assert_eq!(nals(stream).collect::<Vec<_>>(), want, "{name}");
    }
}

#[test]
fn skips_no_start_code() {
    // All strings of eight bytes that matter to the search.
    for number in 0..3usize.pow(8) {
        let bytes: Vec<_> = (0..8).map(|at| [0, 1, 7][number / 3usize.pow(at) % 3]).collect();
        let slow = bytes.windows(3).position(|window| window == [0, 0, 1]);
        assert_eq!(start_code(&bytes, 0), slow, "{bytes:?}");
    }
}
