//! How many may watch by one token at a time, over a region: seats.
//!
//! A seat is a device that asks for something with a token. Edges tell each other theirs; between two tellings more may sit
//! down than there are seats, and then those who came first stay: a seat has the time at which it was taken, by the clock of
//! the edge where that was, so that all edges compare the same. Who asks for nothing for [`IDLE_MS`] has left.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::names::Name;

/// A token or a device, by a hash that is the same on every edge.
pub type Mark = (u64, u64);

/// Who asks for nothing for so long has left; players with a full buffer ask again within it. Milliseconds.
pub(crate) const IDLE_MS: i64 = 30_000;
/// Seats of one edge: more than it has viewers. When all are taken, new devices find none.
const SEATS_MAX: usize = 131_072;
/// Seats of one token; looking for a place takes as long.
pub(crate) const TOKEN_SEATS_MAX: u32 = 1_000;

/// A seat as edges tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Told", into = "Told")]
pub struct Seat {
    /// By which token.
    pub token: Mark,
    /// Who.
    pub device: Mark,
    /// When it was taken; Unix milliseconds where that was.
    pub since_ms: i64,
    /// Milliseconds since it was last used: clocks may differ.
    pub idle_ms: i64,
}

/// The same in few bytes: there are thousands, every second.
type Told = (Mark, Mark, i64, i64);

impl From<Told> for Seat {
    fn from((token, device, since_ms, idle_ms): Told) -> Self {
        Self { token, device, since_ms, idle_ms }
    }
}

impl From<Seat> for Told {
    fn from(Seat { token, device, since_ms, idle_ms }: Seat) -> Self {
        (token, device, since_ms, idle_ms)
    }
}

/// All seats are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

#[derive(Debug, Clone, Copy)]
struct Held {
    device: Mark,
    since_ms: i64,
    seen_ms: i64,
}

impl Held {
    /// A clock that is set back vacates seats rather than keeping them for as long.
    fn sits(&self, now_ms: i64) -> bool {
        now_ms.abs_diff(self.seen_ms) < IDLE_MS.unsigned_abs()
    }
}

type Table = HashMap<Mark, Vec<Held>>;

/// The seats at an edge, and what it knows of the others'.
#[derive(Debug, Clone, Default)]
pub struct Seats {
    own: Table,
    count: usize,
    theirs: BTreeMap<Name, Table>,
}

impl Seats {
    /// A device asks for something by a token of which `max` devices may make use at `now_ms` (Unix milliseconds).
    ///
    /// # Errors
    /// [`Full`]: others have all its seats, at this edge or at another.
    pub fn ask(&mut self, token: Mark, device: Mark, max: u32, now_ms: i64) -> Result<(), Full> {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let mut all: BTreeMap<Mark, i64> = BTreeMap::new();
        let tables = std::iter::once(&self.own).chain(self.theirs.values());
        for held in tables.filter_map(|table| table.get(&token)).flatten().filter(|held| held.sits(now_ms)) {
            let since_ms = all.entry(held.device).or_insert(held.since_ms);
            *since_ms = held.since_ms.min(*since_ms);
        }
        let since_ms = all.get(&device).copied();
        let place = since_ms.map_or(all.len(), |since_ms| {
            all.iter().filter(|(other, since)| (**since, **other) < (since_ms, device)).count()
        });
        if place >= max {
            self.leave(token, device);
            return Err(Full);
        }
        self.sit(token, Held { device, since_ms: since_ms.unwrap_or(now_ms), seen_ms: now_ms })
    }

    fn sit(&mut self, token: Mark, seat: Held) -> Result<(), Full> {
        if let Some(held) =
            self.own.get_mut(&token).and_then(|all| all.iter_mut().find(|h| h.device == seat.device))
        {
            *held = seat;
            return Ok(());
        }
        if self.count >= SEATS_MAX {
            return Err(Full);
        }
        self.own.entry(token).or_default().push(seat);
        self.count += 1;
        Ok(())
    }

    fn leave(&mut self, token: Mark, device: Mark) {
        if let Some(all) = self.own.get_mut(&token) {
            let before = all.len();
            all.retain(|held| held.device != device);
            self.count -= before - all.len();
        }
    }

    /// Forgets who has left, and edges that are not among `edges`.
    pub fn tidy(&mut self, now_ms: i64, edges: impl Fn(&Name) -> bool) {
        let tidy = |table: &mut Table| {
            table.retain(|_, all| {
                all.retain(|held| held.sits(now_ms));
                !all.is_empty()
            });
        };
        tidy(&mut self.own);
        self.count = self.own.values().map(Vec::len).sum();
        self.theirs.retain(|edge, _| edges(edge));
        self.theirs.values_mut().for_each(tidy);
    }

    /// Seats taken at this edge.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether anything is known of an edge's.
    #[must_use]
    pub fn knows(&self, edge: &Name) -> bool {
        self.theirs.contains_key(edge)
    }

    /// What the other edges are told.
    #[must_use]
    pub fn told(&self, now_ms: i64) -> Vec<Seat> {
        let seat = |token: Mark, held: &Held| {
            let idle_ms = now_ms.saturating_sub(held.seen_ms).max(0);
            Seat { token, device: held.device, since_ms: held.since_ms, idle_ms }
        };
        let sitting = self.own.iter().flat_map(|(token, all)| all.iter().map(move |held| (*token, held)));
        sitting.filter(|(_, held)| held.sits(now_ms)).map(|(token, held)| seat(token, held)).collect()
    }

    /// What another edge tells of all its seats.
    pub fn hear(&mut self, edge: &Name, seats: &[Seat], now_ms: i64) {
        let mut table = Table::new();
        for &Seat { token, device, since_ms, idle_ms } in seats.iter().take(SEATS_MAX) {
            let seen_ms = now_ms.saturating_sub(idle_ms.max(0));
            table.entry(token).or_default().push(Held { device, since_ms, seen_ms });
        }
        if table.is_empty() {
            self.theirs.remove(edge);
        } else {
            self.theirs.insert(edge.clone(), table);
        }
    }
}
