//! What is kept in memory: bounded in bytes, and not emptied by whoever reads everything once.
//!
//! `quick_cache` (a clock with a queue for newcomers, after S3-FIFO and Clock-PRO): of those measured it had the best hit
//! ratio and the cheapest hit, and it is one small dependency.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nx_cache::{Key, Object};
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

/// About how large an object is, bytes: for the first size of the table only.
const USUAL: u64 = 256 << 10;
/// Parts that are locked by themselves, at most.
const SHARDS_MAX: u64 = 16;

#[derive(Debug, Clone)]
struct Weigh;

impl Weighter<Key, Arc<Object>> for Weigh {
    fn weight(&self, key: &Key, object: &Arc<Object>) -> u64 {
        object.weight() + key.text().len() as u64
    }
}

#[derive(Debug, Clone, Default)]
struct Count(Arc<AtomicU64>);

impl Lifecycle<Key, Arc<Object>> for Count {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: Key, _: Arc<Object>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ram {
    cache: Cache<Key, Arc<Object>, Weigh, DefaultHashBuilder, Count>,
    evicted: Count,
}

impl Ram {
    /// At most `bytes_max`, of objects of at most `object_max`.
    pub(super) fn new(bytes_max: u64, object_max: u64) -> Result<Self, String> {
        // Each part has to hold the largest with room to spare.
        let shards = (bytes_max / object_max.saturating_mul(4).max(1)).clamp(1, SHARDS_MAX);
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .shards(count(shards))
            .estimated_items_capacity(count((bytes_max / USUAL).max(16)))
            .weight_capacity(bytes_max)
            .build()
            .map_err(|e| format!("edge.cache.ram_bytes_max does not do: {e}"))?;
        let evicted = Count::default();
        let cache = Cache::with_options(options, Weigh, DefaultHashBuilder::default(), evicted.clone());
        Ok(Self { cache, evicted })
    }

    pub(super) fn find(&self, key: &Key) -> Option<Arc<Object>> {
        self.cache.get(key)
    }

    /// Keeps it, in place of what had the name before.
    pub(super) fn keep(&self, key: Key, object: Arc<Object>) {
        self.cache.insert(key, object);
    }

    /// Drops what `is` finds; how many that were.
    pub(super) fn purge(&self, is: impl Fn(&Key, &Object) -> bool) -> usize {
        let dropped = Cell::new(0);
        self.cache.retain(|key, object| {
            let keep = !is(key, object);
            dropped.set(dropped.get() + usize::from(!keep));
            keep
        });
        dropped.get()
    }

    /// Objects, their bytes, and how many had to make room.
    pub(super) fn figures(&self) -> [u64; 3] {
        [self.cache.len() as u64, self.cache.weight(), self.evicted.0.load(Ordering::Relaxed)]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};
    use nx_cache::{Coding, Head, Life, Source};

    use super::*;

    fn object(len: usize) -> Arc<Object> {
        let (status, headers, life) = (StatusCode::OK, HeaderMap::new(), Life::default());
        let head =
            Head { status, headers, length: Some(len as u64), life, alone: false, from: Source::Origin };
        Arc::new(Object { head, body: VecDeque::from([Bytes::from(vec![0; len])]) })
    }

    fn key(n: usize) -> Key {
        Key::new("test", Coding::Identity, &format!("/{n}"))
    }

    #[test]
    fn it_is_bounded_and_a_scan_does_not_empty_it() {
        let ram = Ram::new(1 << 20, 64 << 10).expect("sound bounds");
        // Those that are asked for again and again.
        for n in 0..50 {
            ram.keep(key(n), object(8 << 10));
        }
        for _ in 0..3 {
            (0..50).for_each(|n| drop(ram.find(&key(n))));
        }
        // Ten times as much as fits, each once.
        for n in 1_000..2_300 {
            ram.keep(key(n), object(8 << 10));
            let [_, bytes, _] = ram.figures();
            assert!(bytes <= 1 << 20, "{bytes}");
        }
        let left = (0..50).filter(|n| ram.find(&key(*n)).is_some()).count();
        assert!(left >= 45, "{left} of 50 are left");
        assert!(ram.figures()[2] > 1_000, "the rest had to go");
        assert_eq!(ram.purge(|k, _| k.target().len() == 2), (0..10).filter(|n| left > *n).count());
        assert!(ram.find(&key(1)).is_none());
    }

    #[test]
    fn the_largest_object_fits() {
        for bytes_max in [2 << 20, 8 << 20, 256 << 20] {
            let ram = Ram::new(bytes_max, 1 << 20).expect("sound bounds");
            ram.keep(key(1), object(1 << 20));
            assert!(ram.find(&key(1)).is_some(), "{bytes_max}");
        }
    }
}
