//! Assets: stretches of streams that are kept when the rest goes. They are written down, not copied.
//!
//! One file of lines, `FOLDER/assets`: a checksum and a line of JSON that tells all about one asset; the last line about
//! it counts. A change is acknowledged when the disk has its line. What a killed process leaves is cut off at the last
//! whole line; a line that went bad is left out and the others stay. With twice as many lines as there is to tell, the
//! file is written anew beside itself and renamed.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Assets at a time, deleted ones included.
pub const ASSETS_MAX: usize = 100_000;
/// Lines beyond twice what there is to tell, before the file is written anew.
const SPARE_LINES: usize = 1_000;

/// How an asset came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// All of a time that a stream was on.
    Recording,
    /// Cut out by somebody.
    Clip,
}

/// How far an asset is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Its end is still to come.
    Waiting,
    /// It is all there.
    Ready,
    /// Its end came, and nothing of it was kept.
    Failed,
}

/// A stretch of a stream that is kept. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asset {
    /// `UUIDv7`.
    pub id: String,
    /// How it came to be.
    pub kind: Kind,
    /// `APP/STREAM`.
    pub stream: String,
    /// What it is called.
    pub title: String,
    /// Where it begins.
    pub start_ms: i64,
    /// Where it ends.
    pub end_ms: i64,
    /// When it was made.
    pub created_ms: i64,
    /// When it goes by itself.
    pub keep_until_ms: Option<i64>,
    /// When it was put into the trash.
    pub deleted_ms: Option<i64>,
    /// What its media weigh on disk.
    pub bytes: u64,
    /// How long it plays: pauses of the stream left out. Milliseconds.
    pub duration_ms: u64,
    /// How far it is.
    pub stage: Stage,
    /// Idempotency key of whoever asked for it.
    pub once: Option<String>,
}

/// What a line tells.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Asset(Asset),
    /// The asset of this id is no more.
    Gone(String),
    /// Up to when all of a stream has been made into recordings, whether they are still there or not.
    Recorded(String, i64),
}

/// See the module.
#[derive(Debug)]
pub struct Assets {
    path: PathBuf,
    file: File,
    /// Length of what is whole, and its lines.
    bytes: u64,
    lines: usize,
    /// By beginning and id.
    all: BTreeMap<(i64, String), Asset>,
    begins: HashMap<String, i64>,
    recorded: HashMap<String, i64>,
}

impl Assets {
    /// Reads the folder's file, made if need be.
    ///
    /// # Errors
    /// It cannot be read or made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join("assets");
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        let text = fs::read(&path)?;
        let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        if whole < text.len() {
            file.set_len(whole as u64)?;
        }
        file.sync_all()?;
        File::open(folder)?.sync_all()?;
        let (all, begins, recorded) = Default::default();
        let mut assets = Self { path, file, bytes: whole as u64, lines: 0, all, begins, recorded };
        for line in text.get(..whole).unwrap_or_default().split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            assets.lines += 1;
            match parse(line) {
                Some(line) => assets.apply(line),
                None => {
                    let (path, nth) = (assets.path.display(), assets.lines);
                    tracing::warn!("line {nth} of {path} is damaged and left out");
                }
            }
        }
        Ok(assets)
    }

    /// How many there are, deleted ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All, the latest beginning first.
    pub fn iter(&self) -> impl Iterator<Item = &Asset> {
        self.all.values().rev()
    }

    /// Those that stand behind one that begins at a time and has an id, in the order of [`Self::iter`].
    pub fn behind(&self, start_ms: i64, id: &str) -> impl Iterator<Item = &Asset> {
        self.all.range(..(start_ms, id.to_owned())).rev().map(|(_, asset)| asset)
    }

    /// The asset of an id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Asset> {
        self.all.get(&(*self.begins.get(id)?, id.to_owned()))
    }

    /// Up to when all of a stream has been made into recordings; Unix milliseconds.
    #[must_use]
    pub fn recorded_until(&self, stream: &str) -> i64 {
        self.recorded.get(stream).copied().unwrap_or(0)
    }

    /// Writes an asset down, a new one or what has changed of it.
    ///
    /// # Errors
    /// It could not be written down; then nothing has changed. [`io::ErrorKind::QuotaExceeded`] when there are as many
    /// as there may be.
    pub fn put(&mut self, asset: Asset) -> io::Result<()> {
        if self.all.len() >= ASSETS_MAX && !self.begins.contains_key(&asset.id) {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.write(Line::Asset(asset))
    }

    /// Forgets an asset; what it held may go.
    ///
    /// # Errors
    /// It could not be written down; then nothing has changed.
    pub fn forget(&mut self, id: &str) -> io::Result<()> {
        self.write(Line::Gone(id.to_owned()))
    }

    fn apply(&mut self, line: Line) {
        match line {
            Line::Asset(asset) => {
                if let Some(before) = self.begins.insert(asset.id.clone(), asset.start_ms) {
                    self.all.remove(&(before, asset.id.clone()));
                }
                if asset.kind == Kind::Recording {
                    self.note(&asset.stream, asset.end_ms);
                }
                self.all.insert((asset.start_ms, asset.id.clone()), asset);
            }
            Line::Gone(id) => {
                if let Some(begins) = self.begins.remove(&id) {
                    self.all.remove(&(begins, id));
                }
            }
            Line::Recorded(stream, until_ms) => self.note(&stream, until_ms),
        }
    }

    fn note(&mut self, stream: &str, until_ms: i64) {
        let until = self.recorded.entry(stream.to_owned()).or_insert(until_ms);
        *until = until_ms.max(*until);
    }

    fn write(&mut self, line: Line) -> io::Result<()> {
        let text = format(&line)?;
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // What is half there would spoil the next line.
            self.file.set_len(self.bytes)?;
            return Err(error);
        }
        self.bytes += text.len() as u64;
        self.lines += 1;
        self.apply(line);
        if self.lines > 2 * (self.all.len() + self.recorded.len()) + SPARE_LINES
            && let Err(error) = self.rewrite()
        {
            tracing::warn!(%error, "{} cannot be written anew; it goes on growing", self.path.display());
        }
        Ok(())
    }

    /// Leaves out what does not count any more.
    fn rewrite(&mut self) -> io::Result<()> {
        let marks = self.recorded.iter().map(|(stream, until_ms)| Line::Recorded(stream.clone(), *until_ms));
        let lines: Vec<Line> = marks.chain(self.all.values().cloned().map(Line::Asset)).collect();
        let text = lines.iter().map(format).collect::<io::Result<Vec<_>>>()?.concat();
        let draft = self.path.with_extension("draft");
        // Both are opened before it is renamed: once it is, nothing may keep the next line from going into it.
        let folder = self.path.parent().map(File::open).transpose()?;
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&draft)?;
        // What another process left of one.
        file.set_len(0)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&draft, &self.path)?;
        self.file = file;
        (self.bytes, self.lines) = (text.len() as u64, lines.len());
        folder.map_or(Ok(()), |folder| folder.sync_all())
    }
}

/// `CHECKSUM JSON`, and a line's end.
fn format(line: &Line) -> io::Result<Vec<u8>> {
    let json = serde_json::to_string(line)?;
    Ok(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes())
}

fn parse(line: &[u8]) -> Option<Line> {
    let (sum, rest) = line.split_first_chunk::<8>()?;
    let json = rest.strip_prefix(b" ")?;
    let right = *sum == *format!("{:08x}", crc32fast::hash(json)).as_bytes();
    right.then(|| serde_json::from_slice(json).ok()).flatten()
}

#[cfg(test)]
mod tests;
