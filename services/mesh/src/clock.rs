//! Time as services see it: a clock that tests can move, and what is made of it.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// The wall clock, or one that stands still until a test moves it.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<watch::Sender<i64>>>);

impl Clock {
    /// A clock that shows `unix_ms` until it is moved.
    pub fn manual(unix_ms: i64) -> Self {
        Self(Some(Arc::new(watch::Sender::new(unix_ms))))
    }

    /// Unix time, milliseconds.
    pub fn now_ms(&self) -> i64 {
        if let Some(manual) = &self.0 {
            return *manual.borrow();
        }
        #[expect(clippy::disallowed_methods, reason = "the ring's one reading of the wall clock")]
        let now = std::time::SystemTime::now();
        now.duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
    }

    /// Milliseconds since some moment, which never go back: for what lasts, not for what is written down.
    pub fn mono_ms(&self) -> i64 {
        static START: OnceLock<Instant> = OnceLock::new();
        if self.0.is_some() {
            return self.now_ms();
        }
        #[expect(clippy::disallowed_methods, reason = "the ring's one reading of the monotonic clock")]
        let now = Instant::now();
        i64::try_from(now.duration_since(*START.get_or_init(|| now)).as_millis()).unwrap_or(i64::MAX)
    }

    /// Moves a manual clock on and wakes who waits for it; the wall clock stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Some(manual) = &self.0 {
            manual.send_modify(|now| {
                *now = now.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
            });
        }
    }

    /// Returns when `span` has passed.
    pub async fn sleep(&self, span: Duration) {
        let Some(manual) = &self.0 else { return tokio::time::sleep(span).await };
        let until = self.now_ms().saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX));
        let _ = manual.subscribe().wait_for(|now| *now >= until).await;
    }
}

/// A new identifier: UUID version 7 (RFC 9562 §5.7), so that those made later sort behind.
pub fn new_id(unix_ms: i64) -> String {
    let mut bytes = [0_u8; 16];
    // Without randomness two ids of a millisecond may be equal; the database refuses the second.
    let _ = getrandom::fill(&mut bytes[6..]);
    bytes[..6].copy_from_slice(&unix_ms.to_be_bytes()[2..]);
    bytes[6] = bytes[6] & 0x0f | 0x70;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
