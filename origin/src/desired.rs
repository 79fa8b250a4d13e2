//! What operators want beyond the configuration: targets, sources, publish keys and mixes, kept in the data folder.
//!
//! One JSON file, written beside and renamed on each change before the change is acknowledged: what was
//! acknowledged is there after a crash, and the file is whole at any time. Only its owner can read it, since URLs and
//! keys are secrets.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use nx_contract::desired::Fault;
use nx_contract::keys::KeyLimits;
use nx_contract::sources::InputRole;
use nx_scene::Scene;
use serde::{Deserialize, Serialize};

use crate::hub::lock;

const FILE: &str = "restream.json";
/// Of the file's form.
const VERSION: u32 = 2;
/// Before, no key was known by its hash alone.
const VERSION_MIN: u32 = 1;
/// Deleted publish keys remembered.
const GONE_MAX: usize = 10_000;
/// Idempotency keys remembered.
const ANSWERED_MAX: usize = 1_000;

/// Everything in the file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Content {
    version: u32,
    pub(crate) feeds: Vec<Feed>,
    pub(crate) keys: Vec<Key>,
    /// What is mixed, by the name of the programme; in place of what the configuration says of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) mixes: BTreeMap<String, Scene>,
    /// Publish keys that were deleted, oldest first: whoever puts them again is late.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    gone: VecDeque<String>,
    /// What idempotency keys have made, oldest first.
    answered: VecDeque<Answered>,
}

/// A target or a source.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Feed {
    pub(crate) id: String,
    pub(crate) stream: String,
    pub(crate) url: String,
    pub(crate) enabled: bool,
    pub(crate) created_ms: i64,
    pub(crate) way: Way,
}

/// Which way a stream goes, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Way {
    /// Out of here.
    Target {
        tls_insecure: bool,
        #[serde(default)]
        public_only: bool,
    },
    /// In here.
    Source { input: InputRole },
}

impl Way {
    /// Whether both go out, or both come in.
    pub(crate) fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// A publish key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) stream: String,
    #[serde(flatten)]
    pub(crate) lock: Lock,
    pub(crate) input: InputRole,
    pub(crate) limits: KeyLimits,
    pub(crate) created_ms: i64,
}

/// What a publish key must fit.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Lock {
    /// A key that was made here.
    Key(String),
    /// SHA-256, hexadecimal, of one that was made elsewhere.
    Sha256(String),
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answered {
    once: String,
    id: String,
}

impl Content {
    fn new() -> Self {
        let (feeds, keys, mixes, gone) = Default::default();
        Self { version: VERSION, feeds, keys, mixes, gone, answered: VecDeque::new() }
    }

    /// Whether a publish key was deleted.
    pub(crate) fn is_gone(&self, key: &str) -> bool {
        self.gone.iter().any(|gone| gone == key)
    }

    /// Remembers that it was.
    pub(crate) fn bury(&mut self, key: &str) {
        if self.is_gone(key) {
            return;
        }
        if self.gone.len() >= GONE_MAX {
            self.gone.pop_front();
        }
        self.gone.push_back(key.to_owned());
    }

    /// Identifier of what an idempotency key has made.
    pub(crate) fn made_by(&self, once: Option<&str>) -> Option<&str> {
        self.answered.iter().find(|a| Some(a.once.as_str()) == once).map(|a| a.id.as_str())
    }

    /// Remembers what an idempotency key has made.
    pub(crate) fn answer(&mut self, once: Option<&str>, id: &str) {
        let Some(once) = once else { return };
        if self.answered.len() >= ANSWERED_MAX {
            self.answered.pop_front();
        }
        self.answered.push_back(Answered { once: once.to_owned(), id: id.to_owned() });
    }
}

/// The file and what is in it.
pub(crate) struct Book {
    path: PathBuf,
    content: Mutex<Arc<Content>>,
    /// Held by whoever writes.
    turn: Mutex<()>,
}

impl Book {
    /// Reads the folder's file; without one there is nothing in it.
    ///
    /// # Errors
    /// In words, with what to do.
    pub(crate) fn open(folder: &Path) -> Result<Self, String> {
        let path = folder.join(FILE);
        let name = path.display();
        let content = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice::<Content>(&bytes).map_err(|e| {
                // The message may quote a secret: its place is enough.
                format!(
                    "{name} is damaged at line {} column {}: mend it, or move it away to begin anew",
                    e.line(),
                    e.column()
                )
            })?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Content::new(),
            Err(e) => return Err(format!("{name} cannot be read: {e}; check its rights")),
        };
        if !(VERSION_MIN..=VERSION).contains(&content.version) {
            let version = content.version;
            return Err(format!(
                "{name} has version {version}, this server knows {VERSION}: use the newer server"
            ));
        }
        let content = Content { version: VERSION, ..content };
        Ok(Self { path, content: Mutex::new(Arc::new(content)), turn: Mutex::default() })
    }

    /// What is in it.
    pub(crate) fn read(&self) -> Arc<Content> {
        lock(&self.content).clone()
    }

    /// Changes it; when this returns well, the change is on the disk. `then` sees what `change` gave, before anybody
    /// else may change something.
    ///
    /// # Errors
    /// What `change` says, and [`Fault::Storage`]; then nothing has changed.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut Content) -> Result<T, Fault>,
        then: impl FnOnce(&T),
    ) -> Result<T, Fault> {
        let _turn = lock(&self.turn);
        let mut content = Content::clone(&self.read());
        let made = change(&mut content)?;
        self.write(&content).map_err(|error| {
            let path = self.path.display();
            tracing::error!(%error, "{path} cannot be written: nothing was changed; check space and rights");
            Fault::Storage(error.to_string())
        })?;
        *lock(&self.content) = Arc::new(content);
        then(&made);
        Ok(made)
    }

    fn write(&self, content: &Content) -> io::Result<()> {
        place(&self.path, &serde_json::to_vec_pretty(content)?)
    }
}

/// Puts a file there whole or not at all, so that it stays and only its owner reads it.
pub(crate) fn place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = stage(path, bytes)?;
    std::fs::rename(&fresh, path)?;
    // The new name must be on the disk as well.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Writes beside the file, to be renamed.
fn stage(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let fresh = path.with_extension("new");
    // What a crash left may have other rights.
    match std::fs::remove_file(&fresh) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(fresh)
}

/// A `UUIDv7`: the time, then randomness.
///
/// Spec: RFC 9562 §5.7.
pub(crate) fn uuid(wall_ms: i64, random: [u8; 10]) -> String {
    let [a, b, c, d, e, f, g, h, i, j] = random.map(u64::from);
    let high = u64::try_from(wall_ms).unwrap_or(0) << 16 | 0x7000 | (a & 0xf) << 8 | b;
    let low = (c & 0x3f | 0x80) << 56 | d << 48 | e << 40 | f << 32 | g << 24 | h << 16 | i << 8 | j;
    let (time, middle) = (high >> 32, high >> 16 & 0xffff);
    format!("{time:08x}-{middle:04x}-{:04x}-{:04x}-{:012x}", high & 0xffff, low >> 48, low & 0xffff_ffff_ffff)
}

/// Random bytes; the system gives them or nothing here is safe, so that zeros are never an answer.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(Fault::Storage(format!("the system gives no randomness: {error}"))),
    }
}

/// A key that nobody guesses.
pub(crate) fn secret() -> Result<String, Fault> {
    Ok(random::<20>()?.iter().map(|b| format!("{b:02x}")).collect())
}

#[cfg(test)]
mod tests;
