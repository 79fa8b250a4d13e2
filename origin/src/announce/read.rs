//! Dates and bytes as people write them.

use bytes::Bytes;

/// Unix milliseconds of `2026-11-21T04:00:00.5Z` or `…+01:00`. Digits behind the third of a second are cut off.
///
/// Spec: RFC 3339 §5.6.
pub(super) fn date_ms(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't'])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (clock, zone_min) = zone(time)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let digits = fraction.bytes().all(|b| b.is_ascii_digit()) && !fraction.is_empty();
    let ms: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let sane = digits && (1..=days).contains(&day) && hour < 24 && minute < 60 && second < 61;
    // Days since 1970, with years that begin in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, yoe) = (y.div_euclid(400), y.rem_euclid(400));
    let day = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + (153 * m + 2) / 5 + day - 1 - 719_468;
    sane.then(|| ((day * 24 + hour) * 60 + minute - zone_min) * 60_000 + second * 1000 + ms)
}

/// The clock, and how many minutes its zone is ahead.
fn zone(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let at = time.rfind(['+', '-'])?;
    let (clock, zone) = time.split_at_checked(at)?;
    let [hours, minutes] = numbers(zone.get(1..)?, ':', [2, 2])?;
    let ahead = hours * 60 + minutes;
    (hours < 24 && minutes < 60).then_some((clock, if zone.starts_with('-') { -ahead } else { ahead }))
}

/// Numbers with exactly so many digits each.
fn numbers<const N: usize>(text: &str, between: char, lengths: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut all = [0; N];
    for (number, length) in all.iter_mut().zip(lengths) {
        let part = parts.next().filter(|p| p.len() == length && p.bytes().all(|b| b.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(all)
}

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
