//! Bytes as people write them.

use bytes::Bytes;

/// Bytes in hexadecimal digits, `0x` in front or not, else in base64 (RFC 4648 §4, §5).
pub(super) fn bytes(text: &str) -> Option<Bytes> {
    let digits = text.strip_prefix("0x").or(text.strip_prefix("0X")).unwrap_or(text);
    if digits.len().is_multiple_of(2) && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        return digits.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>().map(Bytes::from);
    }
    // Base64 that happens to begin like a number is none: a section begins with 0xfc, which is `/`.
    (digits == text).then(|| base64(text.trim_end_matches('=')))?
}

fn base64(text: &str) -> Option<Bytes> {
    if text.is_empty() || text.len() % 4 == 1 {
        return None;
    }
    let (mut out, mut held, mut bits) = (Vec::with_capacity(text.len()), 0u32, 0);
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        (held, bits) = (held << 6 | u32::from(value), bits + 6);
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits & 0xff) as u8);
        }
    }
    Some(out.into())
}
