//! `xs:duration` and `xs:dateTime` (XML Schema part 2 §3.2.6, §3.2.7).

/// `PT1H2M3.5S` in seconds; years count 365 days and months 30.
pub(crate) fn duration(text: &str) -> Option<f64> {
    let (mut rest, sign) = match text.strip_prefix('-') {
        Some(rest) => (rest, -1.0),
        None => (text, 1.0),
    };
    rest = rest.strip_prefix('P')?;
    let (days, hours) = rest.split_once('T').map_or((rest, None), |(d, h)| (d, Some(h)));
    if hours.is_some_and(str::is_empty) || (days.is_empty() && hours.is_none()) {
        return None;
    }
    let days = fields(days, &[('Y', 31_536_000.0), ('M', 2_592_000.0), ('D', 86_400.0)])?;
    let hours = fields(hours.unwrap_or(""), &[('H', 3600.0), ('M', 60.0), ('S', 1.0)])?;
    Some(sign * (days + hours))
}

/// Numbers with the given letters behind them, in that order.
fn fields(mut text: &str, units: &[(char, f64)]) -> Option<f64> {
    let mut sum = 0.0;
    for (letter, seconds) in units {
        if let Some((number, rest)) = text.split_once(*letter) {
            if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
                return None;
            }
            sum += number.parse::<f64>().ok()? * seconds;
            text = rest;
        }
    }
    text.is_empty().then_some(sum)
}

/// `2026-11-21T10:37:29.5Z` in seconds since 1970; without a zone it is UTC.
pub(crate) fn date_time(text: &str) -> Option<f64> {
    let (date, clock) = text.trim().split_once('T')?;
    let mut date = date.splitn(3, '-').map(|f| f.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, zone) = match clock.find(['Z', '+', '-']) {
        Some(at) => clock.split_at(at),
        None => (clock, "Z"),
    };
    let mut clock = clock.splitn(3, ':');
    let (hour, minute) = (clock.next()?.parse::<u8>().ok()?, clock.next()?.parse::<u8>().ok()?);
    let second: f64 = clock.next()?.parse().ok()?;
    let valid = (1..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !valid || hour > 24 || minute > 59 || !(0.0..61.0).contains(&second) {
        return None;
    }
    // Days from the civil calendar, with years that begin in March.
    let year = if month <= 2 { year - 1 } else { year };
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let of_day = f64::from(hour) * 3600.0 + f64::from(minute) * 60.0 + second;
    Some(days as f64 * 86_400.0 + of_day - offset(zone)?)
}

/// `Z` or `+02:00` in seconds.
fn offset(zone: &str) -> Option<f64> {
    let sign = match zone.as_bytes().first()? {
        b'Z' => return (zone.len() == 1).then_some(0.0),
        b'-' => -1.0,
        _ => 1.0,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    Some(sign * (hours.parse::<f64>().ok()? * 3600.0 + minutes.parse::<f64>().ok()? * 60.0))
}
