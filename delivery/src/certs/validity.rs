//! When a certificate runs out.
//!
//! Spec: RFC 5280 §4.1: `Certificate { tbsCertificate { [0] version, serial, algorithm, issuer, validity … } … }`.

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// End of the validity of a certificate in DER, Unix time in seconds; `None` when it cannot be read.
pub(super) fn not_after(der: &[u8]) -> Option<i64> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut fields, _) = element(certificate, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields, VERSION)?.1;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        fields = element(fields, *fields.first()?)?.1;
    }
    let (validity, _) = element(fields, SEQUENCE)?;
    let (_, rest) = element(validity, *validity.first()?)?;
    let (text, _) = element(rest, *rest.first()?)?;
    time(*rest.first()?, text)
}

/// Contents of the element at the beginning, and what follows it.
fn element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, input) = input.split_first()?;
    let (&first, input) = input.split_first()?;
    let (len, input) = match first {
        0..=0x7f => (usize::from(first), input),
        0x81..=0x84 => {
            let (len, rest) = input.split_at_checked(usize::from(first & 0x7f))?;
            (len.iter().fold(0, |len, &byte| len << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    (found == tag).then_some(())?;
    input.split_at_checked(len)
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280 §4.1.2.5).
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i64 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let two = |at: usize| -> Option<i64> { rest.get(at..at + 2)?.parse().ok() };
    let (month, day, hour, minute, second) = (two(0)?, two(2)?, two(4)?, two(6)?, two(8)?);
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some(())?;
    Some(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days since 1970-01-01 of a date of the Gregorian calendar; years begin in March, so that the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::{GENERALIZED_TIME, UTC_TIME, not_after, time};

    /// Unix times by `date -u -d … +%s`.
    #[test]
    fn times_are_those_of_the_calendar() {
        for (tag, text, unix) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (UTC_TIME, "500101000000Z", Some(-631_152_000)),
            (UTC_TIME, "240229120000Z", Some(1_709_208_000)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "40960101000000Z", Some(67_090_118_400)),
            (UTC_TIME, "241329120000Z", None),
            (UTC_TIME, "2402291200Z", None),
            (UTC_TIME, "240229120000+0100", None),
            (4, "240229120000Z", None),
        ] {
            assert_eq!(time(tag, text.as_bytes()), unix, "{text}");
        }
    }

    #[test]
    fn reads_a_made_certificate_and_survives_every_truncation() {
        let mut params = rcgen::CertificateParams::new(vec!["a.example".into()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2031, 3, 1);
        let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let der = made.der().as_ref();
        assert_eq!(not_after(der), Some(1_930_089_600));
        for len in 0..der.len() {
            assert_eq!(not_after(&der[..len]), None, "{len}");
        }
        for at in 0..der.len() {
            let mut broken = der.to_vec();
            broken[at] ^= 0x85;
            let _ = not_after(&broken);
        }
    }
}
