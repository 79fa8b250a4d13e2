//! Times as callers tell them.

use nx_contract::assets::Moment;
use nx_hls::Rfc3339;

/// The latest time that is taken, Unix seconds: the year 9999.
const SECONDS_MAX: f64 = 253_402_300_799.0;

/// Unix milliseconds; `None` when it is no time.
pub(crate) fn read(moment: &Moment, now_ms: i64) -> Option<i64> {
    let seconds = match moment {
        Moment::Seconds(seconds) => *seconds,
        Moment::Text(text) => {
            let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-'));
            match text.parse() {
                Ok(seconds) if plain => seconds,
                _ => return Rfc3339::parse(text).filter(|ms| *ms >= 0),
            }
        }
    };
    if !(-SECONDS_MAX..=SECONDS_MAX).contains(&seconds) {
        return None;
    }
    // In range, so nothing is lost but what is finer than a millisecond.
    let ms = format!("{:.0}", seconds * 1000.0).parse::<i64>().ok()?;
    Some(if seconds > 0.0 { ms } else { (now_ms + ms).max(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_seconds_dates_and_what_counts_from_now() {
        let now_ms = 1_763_700_000_500;
        let seconds = |s| read(&Moment::Seconds(s), now_ms);
        let text = |t: &str| read(&Moment::Text(t.into()), now_ms);
        assert_eq!(seconds(1_763_690_000.25), Some(1_763_690_000_250));
        assert_eq!(
            (seconds(-10.5), seconds(0.0), seconds(-9e10)),
            (Some(1_763_699_990_000), Some(now_ms), Some(0))
        );
        assert_eq!((seconds(f64::NAN), seconds(f64::INFINITY), seconds(1e300)), (None, None, None));
        assert_eq!(text("2025-11-21T04:00:00.5Z"), Some(1_763_697_600_500));
        assert_eq!(
            (text("1763690000.25"), text("-10.5")),
            (Some(1_763_690_000_250), Some(1_763_699_990_000))
        );
        for wrong in ["", "soon", "inf", "1e3", "0x10", "+5", "--5", "1.2.3", "1969-01-01T00:00:00Z"] {
            assert_eq!(text(wrong), None, "{wrong}");
        }
    }
}
