//! Answers of the hook, kept for a while, and one question at a time for the same thing.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

/// SHA-256 of a question.
pub(crate) type Id = [u8; 32];

/// An answer and from when until when it holds. Unix seconds, the end excluded.
#[derive(Debug, Clone)]
pub(crate) struct Kept<T> {
    pub(crate) answer: T,
    pub(crate) from_s: u64,
    pub(crate) until_s: u64,
}

/// Filled once, by the first who asks; all others wait for it. When the first goes away, the next takes over.
pub(crate) type Cell<T> = Arc<OnceCell<Kept<T>>>;

/// Bounded; the oldest entry makes room.
pub(crate) struct Cache<T> {
    entries: Mutex<Entries<T>>,
    max: usize,
}

struct Entries<T> {
    cells: HashMap<Id, Cell<T>>,
    /// Each id once, the oldest first.
    order: VecDeque<Id>,
}

impl<T> Cache<T> {
    pub(crate) fn new(max: usize) -> Self {
        Self { entries: Mutex::new(Entries { cells: HashMap::new(), order: VecDeque::new() }), max }
    }

    /// The place of an answer, emptied if the answer in it no longer holds.
    pub(crate) fn cell(&self, id: Id, now_s: u64) -> Cell<T> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let Entries { cells, order } = &mut *entries;
        if let Some(cell) = cells.get_mut(&id) {
            let stale = cell.get().is_some_and(|kept| !(kept.from_s..kept.until_s).contains(&now_s));
            if stale {
                *cell = Arc::default();
            }
            return Arc::clone(cell);
        }
        if order.len() >= self.max
            && let Some(oldest) = order.pop_front()
        {
            cells.remove(&oldest);
        }
        order.push_back(id);
        Arc::clone(cells.entry(id).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(cache: &Cache<u8>, id: u8, from_s: u64, until_s: u64) {
        cache.cell([id; 32], from_s).set(Kept { answer: id, from_s, until_s }).unwrap();
    }

    fn read(cache: &Cache<u8>, id: u8, now_s: u64) -> Option<u8> {
        cache.cell([id; 32], now_s).get().map(|kept| kept.answer)
    }

    #[test]
    fn an_answer_holds_until_its_end_and_not_before_its_beginning() {
        let cache = Cache::new(9);
        fill(&cache, 1, 100, 130);
        assert_eq!(read(&cache, 1, 129), Some(1));
        assert_eq!(read(&cache, 1, 130), None);
        fill(&cache, 1, 130, 160);
        assert_eq!(read(&cache, 1, 99), None, "the clock was set back: nobody knows how old it is");
    }

    #[test]
    fn the_oldest_makes_room() {
        let cache = Cache::new(2);
        for id in 1..=3 {
            fill(&cache, id, 0, 9);
        }
        assert_eq!([3, 2].map(|id| read(&cache, id, 1)), [Some(3), Some(2)]);
        assert_eq!(read(&cache, 1, 1), None);
        for id in 0..=255 {
            read(&cache, id, 20);
            read(&cache, id, 20);
        }
        let entries = cache.entries.lock().unwrap();
        assert_eq!((entries.cells.len(), entries.order.len()), (2, 2));
    }
}
