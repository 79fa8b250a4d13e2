//! The way from one service to another: its breaker, and what may be tried again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::breaker::Breaker;
use crate::clock::Clock;

/// Tenths of a retry that each call earns, and how many are saved up at most.
const RETRY_MAX_TENTHS: u32 = 100;

/// The way from one service to another.
#[derive(Debug, Default)]
pub struct Link {
    breaker: Breaker,
    retries: Retries,
}

/// What may be tried again: a tenth of the calls, in the long run.
#[derive(Debug)]
struct Retries(Mutex<u32>);

impl Default for Retries {
    fn default() -> Self {
        Self(Mutex::new(RETRY_MAX_TENTHS))
    }
}

impl Retries {
    fn earn(&self) {
        if let Ok(mut tenths) = self.0.lock() {
            *tenths = (*tenths + 1).min(RETRY_MAX_TENTHS);
        }
    }

    fn spend(&self) -> bool {
        self.0.lock().is_ok_and(|mut tenths| {
            let rest = tenths.checked_sub(10);
            *tenths = rest.unwrap_or(*tenths);
            rest.is_some()
        })
    }
}

/// How a try went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It was answered.
    Good,
    /// It was not; another try may help.
    Bad,
    /// It was not, and there is no time for another.
    Late,
    /// Nobody was asked, or what was asked was no request: that says nothing of the way.
    Nobody,
}

impl Link {
    /// Asks, at most `tries` times, within what may be tried again. `once` gets the number of the try, from 0.
    ///
    /// # Errors
    /// Nothing was asked, since the breaker is open: milliseconds until it is worth asking again.
    pub async fn ask<T, F: Future<Output = T>>(
        &self,
        clock: &Clock,
        tries: u32,
        mut once: impl FnMut(u32) -> F,
        went: impl Fn(&T) -> Asked,
    ) -> Result<T, i64> {
        self.retries.earn();
        let mut nth = 0;
        loop {
            let permit = self.breaker.permit(clock.mono_ms())?;
            let answer = once(nth).await;
            let went = went(&answer);
            if went == Asked::Nobody {
                return Ok(answer);
            }
            permit.end(went == Asked::Good, clock.mono_ms());
            nth += 1;
            if went != Asked::Bad || nth >= tries || !self.retries.spend() {
                return Ok(answer);
            }
        }
    }

    /// `up`, `degraded` while it tries, `down` while it lets nothing through.
    pub fn state(&self, clock: &Clock) -> &'static str {
        self.breaker.name(clock.mono_ms())
    }
}

/// Ways to the services that were asked, by name: as many as the catalogue has.
#[derive(Debug, Default)]
pub struct Links(Mutex<BTreeMap<String, Arc<Link>>>);

impl Links {
    /// The way to a service.
    pub fn to(&self, service: &str) -> Arc<Link> {
        self.0
            .lock()
            .map_or_else(|_| Arc::default(), |mut l| l.entry(service.to_owned()).or_default().clone())
    }

    /// The state of each.
    pub fn states(&self, clock: &Clock) -> BTreeMap<String, &'static str> {
        let links = self.0.lock().map(|links| links.clone()).unwrap_or_default();
        links.into_iter().map(|(to, link)| (to, link.state(clock))).collect()
    }
}

#[cfg(test)]
mod tests;
