//! Which instances of which services there are: a table on a clock that comes in as an argument.
//!
//! An instance says every [`BEAT`] that it is there. After two beats that did not come it is out, and asked no more; after
//! a minute it is forgotten. The index grows when somebody comes, goes, or changes whether it can be asked.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often an instance says that it is there.
pub const BEAT: Duration = Duration::from_secs(2);
/// Silence after which an instance is out: two beats, and half a one for the way.
const OUT_MS: i64 = 5_000;
/// Silence after which it is forgotten.
const FORGOTTEN_MS: i64 = 60_000;
/// Instances that are known at most; further ones are refused.
const INSTANCES_MAX: usize = 1024;
/// Longest text of an instance, bytes.
const TEXT_BYTES_MAX: usize = 200;
/// Circuits that an instance tells of at most.
const CIRCUITS_MAX: usize = 64;

/// A service in a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Its id, new with every start.
    pub id: String,
    /// The service that it is.
    pub service: String,
    /// `HOST:PORT`, where it speaks HTTP/1.1.
    pub address: String,
    /// Whether it can work.
    pub ready: bool,
    /// Requests that it is answering.
    #[serde(default)]
    pub running: u32,
    /// Its ways to other services: `up`, `degraded` or `down`.
    #[serde(default)]
    pub circuits: BTreeMap<String, String>,
}

/// An instance as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// What it says of itself.
    pub instance: Instance,
    /// Whether it is asked: it is ready, and was heard of in time.
    pub passing: bool,
}

/// Why an instance is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// There are too many.
    #[error("there are {INSTANCES_MAX} instances already: stop some")]
    Full,
    /// It says something that cannot be.
    #[error("{0} is empty, too long, or has other characters than it may")]
    Invalid(&'static str),
}

#[derive(Debug)]
struct Row {
    listed: Listed,
    heard_ms: i64,
}

/// The table.
#[derive(Debug, Default)]
pub struct Registry {
    rows: BTreeMap<String, Row>,
    index: u64,
}

impl Registry {
    /// An instance is there.
    ///
    /// # Errors
    /// When it is not taken.
    pub fn beat(&mut self, instance: Instance, now_ms: i64) -> Result<(), RegistryError> {
        check(&instance)?;
        self.expire(now_ms);
        let before = self.rows.get(&instance.id);
        if before.is_none() && self.rows.len() >= INSTANCES_MAX {
            return Err(RegistryError::Full);
        }
        let passing = instance.ready;
        let same = before.is_some_and(|row| {
            row.listed.passing == passing && row.listed.instance.address == instance.address
        });
        self.index += u64::from(!same);
        let id = instance.id.clone();
        self.rows.insert(id, Row { listed: Listed { instance, passing }, heard_ms: now_ms });
        Ok(())
    }

    /// An instance says that it goes; whether it was there.
    pub fn leave(&mut self, id: &str) -> bool {
        let was = self.rows.remove(id).is_some();
        self.index += u64::from(was);
        was
    }

    /// Those that were not heard of in time are out, then forgotten.
    pub fn expire(&mut self, now_ms: i64) {
        let before = self.rows.len();
        self.rows.retain(|_, row| now_ms - row.heard_ms < FORGOTTEN_MS);
        let mut changed = self.rows.len() != before;
        for row in self.rows.values_mut() {
            if row.listed.passing && now_ms - row.heard_ms >= OUT_MS {
                row.listed.passing = false;
                changed = true;
            }
        }
        self.index += u64::from(changed);
    }

    /// When somebody will be out or forgotten, if nothing is heard until then.
    #[must_use]
    pub fn next_ms(&self) -> Option<i64> {
        let at = |row: &Row| row.heard_ms + if row.listed.passing { OUT_MS } else { FORGOTTEN_MS };
        self.rows.values().map(at).min()
    }

    /// Takes over what the process that holds the table has said. It stays as it is until it says something else: what was
    /// known last is better than nothing while it is away.
    pub fn replace(&mut self, all: Vec<Listed>) {
        let row = |listed: Listed| (listed.instance.id.clone(), Row { listed, heard_ms: i64::MAX });
        self.rows = all.into_iter().take(INSTANCES_MAX).map(row).collect();
    }

    /// Grows with every change.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Every instance, in the order of their ids.
    pub fn list(&self) -> impl Iterator<Item = &Listed> {
        self.rows.values().map(|row| &row.listed)
    }

    /// Those of a service that may be asked.
    #[must_use]
    pub fn passing(&self, service: &str) -> Vec<&Instance> {
        let of = |listed: &&Listed| listed.passing && listed.instance.service == service;
        self.list().filter(of).map(|listed| &listed.instance).collect()
    }
}

fn check(instance: &Instance) -> Result<(), RegistryError> {
    let plain = |text: &str| {
        let sane = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':' | b'[' | b']' | b'_');
        (1..=TEXT_BYTES_MAX).contains(&text.len()) && text.bytes().all(sane)
    };
    let fields = [
        ("id", plain(&instance.id)),
        ("service", plain(&instance.service)),
        ("address", plain(&instance.address) && instance.address.contains(':')),
        ("circuits", {
            let sane = |(to, state): (&String, &String)| plain(to) && plain(state);
            instance.circuits.len() <= CIRCUITS_MAX && instance.circuits.iter().all(sane)
        }),
    ];
    fields.iter().find(|(_, good)| !good).map_or(Ok(()), |(name, _)| Err(RegistryError::Invalid(name)))
}

#[cfg(test)]
mod tests;
