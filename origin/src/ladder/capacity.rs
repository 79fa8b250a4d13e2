//! What the machine can carry: how many workers, and how much CPU time they take.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use nx_media::StreamKey;

use crate::hub::lock;

/// Kinds of ladders whose cost is remembered.
const KINDS_MAX: usize = 64;

/// Shared by all ladders of a node.
#[derive(Debug)]
pub(crate) struct Capacity {
    cores: f64,
    workers_max: usize,
    books: Mutex<Books>,
    crashes: AtomicU64,
    refused: AtomicU64,
}

/// For metrics.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) workers: usize,
    pub(crate) cores_used: f64,
    pub(crate) cores: f64,
    pub(crate) crashes: u64,
    pub(crate) refused: u64,
}

#[derive(Debug, Default)]
struct Books {
    workers: usize,
    /// CPU time per time of the stream, of all of them.
    used: f64,
    /// What a ladder of a kind cost when it last ran.
    costs: HashMap<String, f64>,
}

impl Capacity {
    pub(crate) fn new(cores: f64, workers_max: usize) -> Self {
        let (crashes, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { cores, workers_max, books: Mutex::default(), crashes, refused }
    }

    /// A place for a stream's ladder, which costs what its kind was measured to cost, or `guess` cores.
    ///
    /// # Errors
    /// There is none, in words.
    pub(crate) fn admit(
        self: &Arc<Self>,
        stream: &StreamKey,
        kind: String,
        guess: f64,
    ) -> Result<Place, String> {
        let mut books = lock(&self.books);
        let cores = books.costs.get(&kind).copied().unwrap_or(guess);
        let free = (self.cores - books.used).max(0.0);
        let reason = if books.workers >= self.workers_max {
            Some(format!(
                "{} ladders are made here already; see origin.transcoder.workers_max",
                books.workers
            ))
        } else if cores > free {
            Some(format!(
                "it would take {cores:.1} cores, and {free:.1} of {:.1} are free; see origin.transcoder.cores",
                self.cores
            ))
        } else {
            None
        };
        if let Some(reason) = reason {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(reason);
        }
        books.workers += 1;
        books.used += cores;
        Ok(Place { capacity: self.clone(), stream: stream.clone(), kind, cores: Mutex::new(cores) })
    }

    pub(crate) fn told(&self) -> Told {
        let books = lock(&self.books);
        Told {
            workers: books.workers,
            cores_used: (books.used.max(0.0) * 100.0).round() / 100.0,
            cores: self.cores,
            crashes: self.crashes.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

/// One ladder's share; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    capacity: Arc<Capacity>,
    stream: StreamKey,
    kind: String,
    cores: Mutex<f64>,
}

impl Place {
    pub(crate) fn stream(&self) -> &StreamKey {
        &self.stream
    }

    /// What it costs by now, in cores.
    pub(crate) fn measured(&self, cores: f64) {
        let before = std::mem::replace(&mut *lock(&self.cores), cores);
        let mut books = lock(&self.capacity.books);
        books.used += cores - before;
        if books.costs.len() >= KINDS_MAX && !books.costs.contains_key(&self.kind) {
            books.costs.clear();
        }
        books.costs.insert(self.kind.clone(), cores);
    }

    pub(crate) fn crashed(&self) {
        self.capacity.crashes.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let cores = *lock(&self.cores);
        let mut books = lock(&self.capacity.books);
        books.workers = books.workers.saturating_sub(1);
        books.used -= cores;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_what_goes_makes_room() {
        let capacity = Arc::new(Capacity::new(2.0, 3));
        let key = StreamKey::new("live", "x").unwrap();
        let admit = |kind: &str, guess| capacity.admit(&key, kind.into(), guess);
        let big = admit("big", 1.5).unwrap();
        assert!(admit("big", 1.5).unwrap_err().contains("0.5 of 2.0"));
        let small = admit("small", 0.25).unwrap();
        // It was measured: the next of its kind is known.
        big.measured(0.75);
        assert!((capacity.told().cores_used - 1.0).abs() < 1e-9);
        let other = admit("big", 99.0).unwrap();
        assert!(admit("small", 0.1).unwrap_err().contains("workers_max"));
        drop((big, other));
        assert!((capacity.told().cores_used - 0.25).abs() < 1e-9);
        assert!(admit("big", 0.0).is_ok());
        drop(small);
        let told = capacity.told();
        assert_eq!((told.workers, told.cores_used.abs() < 1e-9, told.refused), (0, true, 2));
    }
}
