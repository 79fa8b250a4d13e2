//! Dates as playlists and people write them.

use std::fmt;

/// Unix milliseconds as `2026-11-21T04:00:00.000Z`.
pub struct Rfc3339(pub i64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        // Civil date of a day number, proleptic Gregorian, with years that begin in March.
        let z = days + 719_468;
        let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + i64::from(month <= 2);
        let (s, ms) = (ms / 1000, ms % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{ms:03}Z", s / 3600, s / 60 % 60, s % 60)
    }
}

impl Rfc3339 {
    /// Unix milliseconds of `2026-11-21T04:00:00.5Z` or `…+01:00`. Digits behind the third of a second are cut off.
    ///
    /// Spec: RFC 3339 §5.6.
    #[must_use]
    pub fn parse(text: &str) -> Option<i64> {
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
