//! What several tests need: hex vectors and broken copies of them.

/// Bytes of hexadecimal digits; white space is skipped.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u32> = digits.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
}

/// Bytes of `(value, bits)` fields, filled up with zeros.
pub(crate) fn bits(fields: &[(u32, u32)]) -> Vec<u8> {
    let all: Vec<u8> = fields
        .iter()
        .flat_map(|&(v, n)| (0..n).rev().map(move |i| u8::from(u64::from(v) >> i & 1 == 1)))
        .collect();
    all.chunks(8).map(|c| c.iter().enumerate().fold(0, |byte, (i, bit)| byte | bit << (7 - i))).collect()
}

/// Gives every truncation, every flipped bit and a few thousand copies with several random bytes.
pub(crate) fn broken(golden: &[u8], mut check: impl FnMut(&[u8])) {
    for len in 0..golden.len() {
        check(&golden[..len]);
    }
    for bit in 0..golden.len() * 8 {
        let mut bytes = golden.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        check(&bytes);
    }
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap()
    };
    for _ in 0..2_000 {
        let mut bytes = golden.to_vec();
        for _ in 0..=random() % 6 {
            let at = random() % bytes.len();
            bytes[at] = u8::try_from(random() % 256).unwrap();
        }
        check(&bytes);
    }
}
