//! What was taken back at one node, in order; what says no more than a later one goes.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::{Page, Revocation, What};

/// A list, as its node has it or another one knows it.
#[derive(Debug, Default)]
pub struct List {
    /// Its name: one that began anew has another.
    pub(super) log: String,
    newest: u64,
    by_place: BTreeMap<u64, Revocation>,
    places: HashMap<What, u64>,
}

impl List {
    /// Its name; nothing before anything is known of it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.log
    }

    pub(super) fn has(&self, what: &What) -> bool {
        self.places.contains_key(what)
    }

    /// The last place that is taken.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    pub(super) fn len(&self) -> usize {
        self.by_place.len()
    }

    pub(super) fn items(&self) -> impl Iterator<Item = &Revocation> {
        self.by_place.values()
    }

    /// Adds one at its end.
    pub(super) fn put(&mut self, item: Revocation) {
        if item.what == What::Everything {
            self.by_place.retain(|_, old| old.before_s > item.before_s);
            let by_place = &self.by_place;
            self.places.retain(|_, place| by_place.contains_key(place));
        }
        if let Some(place) = self.places.insert(item.what.clone(), item.seq)
            && self
                .by_place
                .get(&place)
                .is_some_and(|old| old.what == item.what && old.before_s <= item.before_s)
        {
            self.by_place.remove(&place);
        }
        self.newest = self.newest.max(item.seq);
        self.by_place.insert(item.seq, item);
    }

    /// What follows a place of the list with this name, `limit` of it; of another list everything does.
    #[must_use]
    pub fn since(&self, log: &str, place: u64, limit: usize) -> Page {
        let from = if self.log == log && place <= self.newest { place } else { 0 };
        let behind = self.by_place.range((Bound::Excluded(from), Bound::Unbounded));
        let items = behind.take(limit).map(|(_, item)| item.clone()).collect();
        Page { log: self.log.clone(), newest: self.newest, items }
    }

    /// Goes on with what the node said; a list that began anew, or that an older state was put back of, is read anew.
    pub fn follow(&mut self, page: Page) {
        if page.log != self.log || page.newest < self.newest {
            *self = Self { log: page.log, ..Self::default() };
        }
        page.items.into_iter().for_each(|item| self.put(item));
        self.newest = page.newest;
    }
}
