//! Requests that wait: how many may, for how long, and how it ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use nx_hls::Window;
use tokio::time::Instant;

use crate::live::LiveStream;
use crate::problem::Problem;

/// The waiting requests of a handler.
#[derive(Debug)]
pub(crate) struct Holds {
    count: AtomicU64,
    max: u64,
}

/// How a wait ended.
#[derive(Debug)]
pub(crate) struct Held<T> {
    /// What was waited for; `None` when it did not come in time, or the node stops.
    pub(crate) found: Option<T>,
    /// How long it took; `None` when it was there at once.
    pub(crate) time: Option<Duration>,
}

/// A hold ends after three target durations (RFC 8216bis §6.2.5.2).
pub(crate) fn limit(target_s: u64) -> Duration {
    Duration::from_secs(target_s.saturating_mul(3))
}

impl Holds {
    pub(crate) fn new(max: u64) -> Self {
        Self { count: AtomicU64::new(0), max }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether most places are taken.
    pub(crate) fn near_full(&self) -> bool {
        self.count() > self.max / 4 * 3
    }

    /// Waits until `ready` gives something, for three target durations; `track` says whose progress it depends on.
    pub(crate) async fn until<T>(
        &self,
        stream: &LiveStream,
        track: usize,
        mut ready: impl FnMut(&Window) -> Option<T>,
    ) -> Result<Held<T>, Problem> {
        let (found, target_s) = stream.read(|w| (ready(w), w.target_s()));
        if found.is_some() || stream.is_released() {
            return Ok(Held { found, time: None });
        }
        let _place = self.place()?;
        let since = Instant::now();
        let found = stream.wait(track, limit(target_s), ready).await;
        Ok(Held { found, time: Some(since.elapsed()) })
    }

    fn place(&self) -> Result<Place<'_>, Problem> {
        let place = Place(&self.count);
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.max {
            return Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                "Too many waiting requests",
                "the server holds as many requests as it may; ask again shortly",
            )
            .retry_after(1));
        }
        Ok(place)
    }
}

struct Place<'a>(&'a AtomicU64);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
