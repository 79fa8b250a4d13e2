//! What was taken back at one node, in order; what says no more than a later one goes.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::{LOOKED_THROUGH_MIN, Page, REVOCATIONS_MAX, Revocation, What, is_over, later};

/// A list, as its node has it or another one knows it.
#[derive(Debug, Default)]
pub struct List {
    /// Its name: one that began anew has another.
    pub(super) log: String,
    newest: u64,
    by_place: BTreeMap<u64, Revocation>,
    places: HashMap<What, u64>,
    /// Looked through when there is so much.
    full: usize,
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

    /// Forgets what is over, now and then.
    pub(super) fn look_through(&mut self, now_s: i64) {
        let full = self.full.clamp(LOOKED_THROUGH_MIN, REVOCATIONS_MAX);
        if self.by_place.len() >= full {
            self.by_place.retain(|_, item| !is_over(item.until_s, now_s));
            let by_place = &self.by_place;
            self.places.retain(|_, place| by_place.contains_key(place));
            self.full = self.by_place.len() * 2;
        }
    }

    /// Adds one at its end.
    pub(super) fn put(&mut self, mut item: Revocation) {
        // It was made at that time.
        self.look_through(item.before_s);
        if let Some(old) = self.places.get(&item.what).and_then(|place| self.by_place.get(place)) {
            item.until_s = later(item.until_s, old.until_s);
        }
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
