//! What was taken back: one token, all of one viewer, all for one stream, or all there were.
//!
//! ```text
//! whoever may ─► POST …/revocations ─► on disk here ─► asked for by edges (GET /revocations), which wait for more
//! ```
//!
//! Nothing is ever given back: a list that a node has may only grow, so it can be put together out of several.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use nx_media::StreamKey;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::claims::{Claims, hex};

/// Most that is remembered; then [`What::Everything`] makes room.
pub const REVOCATIONS_MAX: usize = 1 << 16;
/// Longest name in one, bytes.
const NAME_BYTES_MAX: usize = 256;

/// What is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The token with this `cti`, in lower-case hexadecimal digits.
    Token(String),
    /// Whatever has this `sub`.
    Subject(String),
    /// Whatever opens this stream.
    Stream(String),
    /// Whatever there is.
    Everything,
}

impl What {
    /// Why it is none, in words.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        let hex = |text: &str| {
            text.len().is_multiple_of(2) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        match self {
            Self::Token(id) | Self::Subject(id) if id.is_empty() || id.len() > NAME_BYTES_MAX => {
                Some("must have 1 to 256 characters")
            }
            Self::Token(id) if !hex(id) => Some("must be the token's cti in lower-case hexadecimal digits"),
            Self::Stream(name) if StreamKey::parse(name).is_err() => Some("must be APPLICATION/STREAM"),
            _ => None,
        }
    }
}

/// Tokens of `what` that were made before a time, or do not say when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Its place in the list that it came by, from 1.
    pub seq: u64,
    /// What is taken back.
    pub what: What,
    /// Tokens made later hold again; Unix seconds.
    pub before_s: i64,
}

/// The list, from a place on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Which list it is: another one begins anew.
    pub log: String,
    /// The last place that is taken.
    pub newest: u64,
    /// In their order.
    pub items: Vec<Revocation>,
}

/// What was taken back, as far as it is known here.
pub(crate) struct Revoked {
    known: RwLock<HashMap<What, i64>>,
    log: Mutex<Log>,
    newest: watch::Sender<u64>,
}

#[derive(Default)]
struct Log {
    name: String,
    items: Vec<Revocation>,
    file: Option<File>,
}

impl Revoked {
    /// Reads what this node has taken back, in `file`; without one nothing outlives the process.
    pub(crate) fn open(file: Option<&Path>) -> io::Result<Self> {
        let log = file.map(Log::open).transpose()?.unwrap_or_default();
        let this = Self {
            known: RwLock::default(),
            newest: watch::Sender::new(log.newest()),
            log: Mutex::new(Log::default()),
        };
        this.learn(&log.items);
        *this.log() = log;
        Ok(this)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes something back, for good: it is on disk when this returns.
    pub(crate) fn revoke(&self, what: What, now_s: i64) -> Result<Revocation, RevokeError> {
        let mut log = self.log();
        if log.items.len() >= REVOCATIONS_MAX && what != What::Everything {
            return Err(RevokeError::Full);
        }
        let item = Revocation { seq: log.newest() + 1, what, before_s: now_s };
        log.append(&item).map_err(RevokeError::Disk)?;
        let newest = log.newest();
        drop(log);
        self.learn(std::slice::from_ref(&item));
        self.newest.send_replace(newest);
        Ok(item)
    }

    /// Takes over what another node has taken back.
    pub(crate) fn learn(&self, items: &[Revocation]) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for item in items {
            let before = known.entry(item.what.clone()).or_insert(item.before_s);
            *before = (*before).max(item.before_s);
        }
        if let Some(all) = known.get(&What::Everything).copied() {
            known.retain(|what, before| *what == What::Everything || *before > all);
        }
    }

    /// What follows a place of the list with this name.
    pub(crate) fn since(&self, log: &str, seq: u64) -> Page {
        let own = self.log();
        let from = if own.name == log { seq } else { 0 };
        let items = own.items.iter().filter(|item| item.seq > from).cloned().collect();
        Page { log: own.name.clone(), newest: own.newest(), items }
    }

    pub(crate) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Whether a token that opens this stream was taken back.
    pub(crate) fn has(&self, claims: &Claims, stream: Option<&str>) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.is_empty() {
            return false;
        }
        let hit =
            |what: What| known.get(&what).is_some_and(|before| claims.issued_s.is_none_or(|s| s <= *before));
        hit(What::Everything)
            || (!claims.id.is_empty() && hit(What::Token(claims.id_text())))
            || claims.subject.clone().is_some_and(|subject| hit(What::Subject(subject)))
            || stream.is_some_and(|stream| hit(What::Stream(stream.to_owned())))
    }

    pub(crate) fn count(&self) -> usize {
        self.known.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Why something was not taken back.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// No room.
    #[error(
        "{REVOCATIONS_MAX} are taken back already; take back everything made so far, and give out new tokens"
    )]
    Full,
    /// It could not be written down.
    #[error("it could not be written down: {0}")]
    Disk(io::Error),
}

impl Log {
    /// A file of lines: its name, then one revocation each. A line that was cut off was never acknowledged.
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut log = Self::default();
        let (mut whole, mut line) = (0, String::new());
        let mut reader = BufReader::new(&file);
        while reader.read_line(&mut line)? > 0 {
            let Some(text) = line.strip_suffix('\n') else { break };
            if log.name.is_empty() {
                text.clone_into(&mut log.name);
            } else {
                let item: Revocation = serde_json::from_str(text).map_err(|e| {
                    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {e}", path.display()))
                })?;
                log.items.push(item);
            }
            whole += line.len() as u64;
            line.clear();
        }
        file.set_len(whole)?;
        file.seek(SeekFrom::End(0))?;
        if log.name.is_empty() {
            let mut name = [0; 8];
            aws_lc_rs::rand::fill(&mut name).map_err(|_| io::Error::other("no randomness"))?;
            log.name = hex(&name);
            file.write_all(format!("{}\n", log.name).as_bytes())?;
            file.sync_data()?;
        }
        log.file = Some(file);
        Ok(log)
    }

    fn newest(&self) -> u64 {
        self.items.last().map_or(0, |item| item.seq)
    }

    fn append(&mut self, item: &Revocation) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            let before = file.metadata()?.len();
            let line = format!("{}\n", serde_json::to_string(item).map_err(io::Error::other)?);
            // What was written in part must not be read as a line later.
            if let Err(error) = file.write_all(line.as_bytes()).and_then(|()| file.sync_data()) {
                let _ = file.set_len(before);
                return Err(error);
            }
        }
        self.items.push(item.clone());
        Ok(())
    }
}
