//! Codes by the clock: RFC 6238 with six digits, SHA-1 and steps of 30 seconds, which is what apps understand.
//!
//! Ours, since a code must not work twice: for that we must know which step it belongs to, and libraries answer yes or no.

use aws_lc_rs::hmac;

/// Seconds of a step.
const STEP_S: i64 = 30;
/// Random bytes of a secret (RFC 4226 §4 wants 16, recommends 20).
pub(super) const SECRET_BYTES: usize = 20;
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The step whose code this is: the one of this moment, or one beside it for clocks that are a little off.
pub(super) fn step_of(secret: &[u8], code: &str, now_ms: i64) -> Option<i64> {
    let now = now_ms.div_euclid(1000 * STEP_S);
    let mut found = None;
    // All three every time: which of them it was is nobody's business.
    for step in [now - 1, now, now + 1] {
        if aws_lc_rs::constant_time::verify_slices_are_equal(
            self::code(secret, step).as_bytes(),
            code.as_bytes(),
        )
        .is_ok()
        {
            found = Some(step);
        }
    }
    found
}

/// The code of a step (RFC 4226 §5.3).
fn code(secret: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let from = usize::from(tag.last().copied().unwrap_or_default() & 0xf);
    let part = tag.get(from..from + 4).and_then(|part| part.try_into().ok()).unwrap_or_default();
    format!("{:06}", (u32::from_be_bytes(part) & 0x7fff_ffff) % 1_000_000)
}

/// The secret as apps take it when it is typed (RFC 4648 §6, without padding).
pub(super) fn base32(secret: &[u8]) -> String {
    let mut text = String::new();
    for chunk in secret.chunks(5) {
        let mut five = [0; 5];
        five[..chunk.len()].copy_from_slice(chunk);
        let bits = five.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        let chars = (chunk.len() * 8).div_ceil(5);
        text.extend((0..chars).map(|at| char::from(BASE32[(bits >> (35 - 5 * at) & 31) as usize])));
    }
    text
}

/// The same as a link or picture.
pub(super) fn uri(secret: &[u8], handle: &str) -> String {
    format!("otpauth://totp/Nexus%20COS:{handle}?secret={}&issuer=Nexus%20COS", base32(secret))
}

/// The code that an app shows which was given this secret.
#[cfg(test)]
pub(crate) fn code_of(typed: &str, now_ms: i64) -> String {
    let at = |c: u8| BASE32.iter().position(|b| *b == c).expect("a character of base 32") as u64;
    let eights = typed.as_bytes().chunks(8).map(|eight| eight.iter().fold(0, |bits, c| bits << 5 | at(*c)));
    let secret: Vec<u8> = eights.flat_map(|bits| bits.to_be_bytes()[3..].to_vec()).collect();
    code(&secret, now_ms.div_euclid(1000 * STEP_S))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238 appendix B, the last six of its eight digits.
    #[test]
    fn codes_of_the_specification() {
        let secret = b"12345678901234567890";
        for (at_s, want) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code(secret, at_s / STEP_S), want);
            let step = Some(at_s / STEP_S);
            for off_s in [-29, 0, 29] {
                let near = step_of(secret, want, (at_s + off_s) * 1000);
                assert_eq!(near, step, "{at_s} and {off_s}");
            }
            assert_eq!(step_of(secret, want, (at_s + 90) * 1000), None, "too late");
        }
        assert_eq!(step_of(secret, "", 0), None);
    }

    /// RFC 4648 §10, without padding.
    #[test]
    fn secrets_that_are_typed() {
        for (plain, want) in [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foob", "MZXW6YQ")] {
            assert_eq!(base32(plain.as_bytes()), want);
        }
        assert_eq!(base32(b"fooba"), "MZXW6YTB");
        assert_eq!(base32(b"foobar"), "MZXW6YTBOI");
    }
}
