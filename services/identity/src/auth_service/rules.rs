//! What a password must be, and how long a guesser waits.

use std::net::IpAddr;

/// Characters of a password.
const PASSWORD: std::ops::RangeInclusive<usize> = 10..=256;
/// Different ones among them, at least.
const DIFFERENT_MIN: usize = 5;
/// Those that guessers begin with, as far as they are long enough.
const COMMON: [&str; 16] = [
    "password12",
    "password123",
    "password1234",
    "passw0rd123",
    "qwertyuiop",
    "qwerty12345",
    "qwerty123456",
    "1q2w3e4r5t",
    "1q2w3e4r5t6y",
    "1qaz2wsx3edc",
    "abcdefghij",
    "abc1234567",
    "iloveyou123",
    "administrator",
    "letmein1234",
    "welcome1234",
];
/// Failures are forgotten when there was none for so long.
const FORGOTTEN_MS: i64 = 3_600_000;

/// Whether this will do as a password.
///
/// # Errors
/// In words, with what to do.
pub(crate) fn password(password: &str, handle: &str) -> Result<(), String> {
    let length = password.chars().count();
    if !PASSWORD.contains(&length) {
        return Err(format!("has {length} characters: take {} to {}", PASSWORD.start(), PASSWORD.end()));
    }
    let mut all: Vec<char> = password.chars().collect();
    all.sort_unstable();
    all.dedup();
    if all.len() < DIFFERENT_MIN {
        return Err("repeats itself: take some more different characters".into());
    }
    if password.chars().all(|c| c.is_ascii_digit()) || COMMON.contains(&&*password.to_lowercase()) {
        return Err(
            "is one that is tried first: take a few words that have nothing to do with each other".into()
        );
    }
    if password.to_lowercase().contains(handle) {
        return Err("has your handle in it: take something that nobody guesses".into());
    }
    Ok(())
}

/// How failures of one kind are held against somebody: so many are free, then each wait is twice the last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    free: i64,
    longest_ms: i64,
}

/// Of one account from one network: what guesses look like.
pub(super) const GUESSES: Patience = Patience { free: 5, longest_ms: 900_000 };
/// Of one account from anywhere: short, or anybody could shut its owner out.
pub(super) const ACCOUNT: Patience = Patience { free: 50, longest_ms: 10_000 };
/// Of one network, at any account: whole schools sign in from one.
pub(super) const NETWORK: Patience = Patience { free: 300, longest_ms: 60_000 };
/// Of mail to one address, or asked for by one person: nobody's box is to be filled.
pub(super) const MAIL: Patience = Patience { free: 3, longest_ms: 900_000 };
/// Of the second step of one account: who gets here knows the password.
pub(super) const SECOND: Patience = Patience { free: 10, longest_ms: 900_000 };

/// What is known of failures under one name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Attempts {
    pub(super) count: i64,
    /// Not before, Unix milliseconds.
    pub(super) next_ms: i64,
    pub(super) last_ms: i64,
}

impl Attempts {
    /// One more, which counts as a failure until it turns out to be none.
    ///
    /// # Errors
    /// How long to wait, milliseconds.
    pub(super) fn another(self, patience: Patience, now_ms: i64) -> Result<Self, i64> {
        let fresh = now_ms - self.last_ms >= FORGOTTEN_MS;
        if !fresh && self.next_ms > now_ms {
            return Err(self.next_ms - now_ms);
        }
        let count = if fresh { 1 } else { self.count.saturating_add(1) };
        // Twice as long each time, up to a number that cannot be doubled too often.
        let over = u32::try_from((count - patience.free).clamp(0, 20)).unwrap_or_default();
        let wait_ms = if over == 0 { 0 } else { (500_i64 << over).min(patience.longest_ms) };
        Ok(Self { count, next_ms: now_ms + wait_ms, last_ms: now_ms })
    }
}

/// The part of an address that says where it is: what one customer of a provider has.
pub(super) fn network(address: Option<IpAddr>) -> String {
    match address.map(|a| a.to_canonical()) {
        None => "unknown".into(),
        Some(IpAddr::V4(v4)) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        Some(IpAddr::V6(v6)) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_and_not_the_obvious_one() {
        for (given, good) in [
            ("correct horse", true),
            ("пароль-пароль", true),
            ("short", false),
            ("1234567890", false),
            ("Password123", false),
            ("aaaaaaaaaaaa", false),
            ("hello-Ada-hello", false),
        ] {
            assert_eq!(password(given, "ada").is_ok(), good, "{given}");
        }
        assert!(
            password(&"abcde".repeat(51), "ada").is_ok() && password(&"abcde".repeat(52), "ada").is_err()
        );
    }

    #[test]
    fn guesses_get_slower_and_are_forgotten() {
        let (mut attempts, mut now_ms, mut waits) = (Attempts::default(), 10_000_000, Vec::new());
        for _ in 0..9 {
            attempts = match attempts.another(GUESSES, now_ms) {
                Ok(attempts) => attempts,
                Err(wait_ms) => {
                    waits.push(wait_ms);
                    now_ms += wait_ms;
                    attempts.another(GUESSES, now_ms).expect("it has waited")
                }
            };
        }
        assert_eq!(waits, [1000, 2000, 4000], "after five that were free");
        assert_eq!(attempts.count, 9);
        let later = attempts.another(GUESSES, now_ms + FORGOTTEN_MS).expect("nobody waits so long");
        assert_eq!(later.count, 1);
        let many = Attempts { count: i64::MAX, ..attempts };
        let most = many.another(GUESSES, now_ms + 900_000).expect("the longest wait is over");
        assert_eq!(most.next_ms - most.last_ms, 900_000);
    }

    #[test]
    fn who_is_in_one_network() {
        for (address, want) in [
            ("192.0.2.77", "192.0.2.0/24"),
            ("::ffff:192.0.2.77", "192.0.2.0/24"),
            ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(network(address.parse().ok()), want);
        }
        assert_eq!(network(None), "unknown");
    }
}
