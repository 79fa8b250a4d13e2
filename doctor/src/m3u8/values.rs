//! Numbers, durations and dates of playlists.

/// A decimal-floating-point number of seconds, in microseconds; digits behind the sixth are dropped.
pub(crate) fn micros(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let mut micros = whole.parse::<u64>().ok()?.checked_mul(1_000_000)?;
    let mut unit = 100_000;
    for digit in fraction.bytes().take(6) {
        micros = micros.checked_add(u64::from(digit - b'0').checked_mul(unit)?)?;
        unit /= 10;
    }
    Some(micros)
}

/// Microseconds for people: `1.5 s`.
pub(crate) fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A date and time of ISO 8601, in microseconds since 1970. Without a zone it counts as UTC.
pub(crate) fn date(text: &str) -> Option<i64> {
    let (day, time) = text.split_once(['T', 't', ' '])?;
    let mut parts = day.split('-').map(|p| p.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let in_range = (0..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !in_range || parts.next().is_some() {
        return None;
    }
    let zone_at = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at_checked(zone_at)?;
    let mut fields = clock.splitn(3, ':');
    let hours: i64 = fields.next()?.parse().ok().filter(|h| (0..=24).contains(h))?;
    let minutes: i64 = fields.next()?.parse().ok().filter(|m| (0..=59).contains(m))?;
    let second = i64::try_from(micros(fields.next().unwrap_or("0"))?).ok().filter(|s| *s < 61_000_000)?;
    let days = days_since_1970(year, month, day);
    Some((days * 24 * 60 + hours * 60 + minutes - zone_minutes(zone)?) * 60_000_000 + second)
}

/// Offset from UTC of `Z`, `+hh:mm`, `+hhmm`, `+hh` or nothing.
fn zone_minutes(zone: &str) -> Option<i64> {
    let sign = match zone.chars().next() {
        None | Some('Z' | 'z') => return Some(0),
        Some('-') => -1,
        Some(_) => 1,
    };
    let digits: String = zone.chars().filter(char::is_ascii_digit).collect();
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = digits.get(2..4).map_or(Some(0), |m| m.parse().ok())?;
    Some(sign * (hours * 60 + minutes))
}

/// Days from 1970-01-01 in the Gregorian calendar; years begin in March, so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}
