//! Exp-Golomb numbers of the standard's table, ends, emulation prevention.

use super::*;

#[test]
fn reads_exp_golomb_numbers() {
    // ISO/IEC 14496-10 table 9-2: 0 to 9, then padding.
    let data = [0b1010_0110, 0b0100_0010, 0b1001_1000, 0b1110_0010, 0b0000_0100, 0b1000_1010, 0b1111_1111];
    let mut bits = Bits::new(&data);
    let got: Vec<_> = (0..10).map(|_| bits.ue().unwrap()).collect();
    assert_eq!(got, (0..10).collect::<Vec<_>>());
    assert_eq!(Bits::new(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]).ue(), Some(u32::MAX - 1));
    assert_eq!(Bits::new(&[0, 0, 0, 0, 0x80, 0, 0, 0, 0]).ue(), None, "too large");
    assert_eq!(Bits::new(&[0, 0]).ue(), None, "no end");
    assert_eq!(Bits::new(&[0x10]).ue(), Some(7), "ends with the data");
    assert_eq!(Bits::new(&[0x08]).ue(), None, "ends early");
}

#[test]
fn skips_within_the_data_only() {
    let mut bits = Bits::new(&[0, 1]);
    assert_eq!(bits.skip(15), Some(()));
    assert_eq!((bits.skip(2), bits.skip(usize::MAX), bits.position()), (None, None, 15));
    assert_eq!((bits.flag(), bits.skip(0)), (Some(true), Some(())));
}

#[test]
fn removes_emulation_prevention() {
    for (nal, want) in [
        (&[0, 0, 3, 1][..], &[0, 0, 1][..]),
        (&[0, 0, 3, 0, 0, 3], &[0, 0, 0, 0]),
        (&[0, 3, 0, 0, 2, 3], &[0, 3, 0, 0, 2, 3]),
        (&[0, 0, 0, 3, 3], &[0, 0, 0, 3]),
    ] {
        assert_eq!(rbsp(nal), want);
    }
}
