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
    let coded = digits == text && !text.is_empty() && !text.contains(char::is_whitespace);
    if coded { nx_crypt::from_base64(text).map(Bytes::from) } else { None }
}
