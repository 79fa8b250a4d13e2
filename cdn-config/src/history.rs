//! Numbered versions in a folder: `1.toml`, `2.toml`, …, `current` with the number that is in force, and `file` with the
//! one that was taken from a file last.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use nx_settings::Fault;

use crate::network::Network;

/// Versions that are kept; the oldest go first, the one in force never.
const VERSIONS_MAX: usize = 1_000;
const CURRENT: &str = "current";
const FILE: &str = "file";

/// A folder of versions. One process writes it at a time.
#[derive(Debug)]
pub struct History {
    folder: PathBuf,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The folder cannot be read or written.
    #[error("{path}: {error}; check the folder and its rights")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// No such version.
    #[error("there is no version {0}; GET the list of versions for those that there are")]
    Unknown(u64),
    /// A stored version is none any more: another version of the program wrote it.
    #[error("version {number} cannot be read: {}", .faults.first().map_or_else(String::new, ToString::to_string))]
    Unreadable {
        /// Which.
        number: u64,
        /// Why.
        faults: Vec<Fault>,
    },
}

impl History {
    /// Opens a folder, or makes it.
    ///
    /// # Errors
    /// [`HistoryError::Io`].
    pub fn open(folder: &Path) -> Result<Self, HistoryError> {
        fs::create_dir_all(folder).map_err(|error| HistoryError::Io { path: folder.to_owned(), error })?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Numbers of the versions, oldest first.
    ///
    /// # Errors
    /// [`HistoryError::Io`].
    pub fn list(&self) -> Result<Vec<u64>, HistoryError> {
        let entries = fs::read_dir(&self.folder).map_err(|e| self.io("", e))?;
        let number = |entry: io::Result<fs::DirEntry>| -> Option<u64> {
            entry.ok()?.file_name().to_str()?.strip_suffix(".toml")?.parse().ok()
        };
        let mut numbers: Vec<u64> = entries.filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The version in force; `None` before the first.
    ///
    /// # Errors
    /// [`HistoryError::Io`].
    pub fn current(&self) -> Result<Option<u64>, HistoryError> {
        self.note(CURRENT)
    }

    /// Reads a version.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn read(&self, number: u64) -> Result<Network, HistoryError> {
        let name = format!("{number}.toml");
        let text = fs::read_to_string(self.folder.join(&name)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => HistoryError::Unknown(number),
            _ => self.io(&name, error),
        })?;
        Network::from_toml(&text).map_err(|faults| HistoryError::Unreadable { number, faults })
    }

    /// Keeps a network as the next version and puts it in force; what returns is on the disk. Gives its number.
    ///
    /// # Errors
    /// [`HistoryError::Io`]; then the version before is still in force.
    pub fn put(&self, network: &Network) -> Result<u64, HistoryError> {
        let numbers = self.list()?;
        let number = numbers.last().map_or(1, |last| last + 1);
        self.write(&format!("{number}.toml"), &network.to_toml())?;
        self.enforce(number)?;
        let many = (numbers.len() + 1).saturating_sub(VERSIONS_MAX);
        let taken = self.note(FILE)?;
        for old in numbers.iter().take(many).filter(|old| taken != Some(**old)) {
            // Another time, then.
            let _ = fs::remove_file(self.folder.join(format!("{old}.toml")));
        }
        Ok(number)
    }

    /// Puts an old version in force again, as a new one, so that numbers only grow. Gives its number.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn roll_back(&self, to: u64) -> Result<u64, HistoryError> {
        self.put(&self.read(to)?)
    }

    /// Takes what a file says: as the next version, whose number this gives, if it says something else than when it was
    /// taken last. What came in another way since then stays in force until the file changes.
    ///
    /// # Errors
    /// [`HistoryError::Io`].
    pub fn take(&self, network: &Network) -> Result<Option<u64>, HistoryError> {
        let taken = self.note(FILE)?.and_then(|number| self.read(number).ok());
        if taken.as_ref() == Some(network) {
            return Ok(None);
        }
        let number = self.put(network)?;
        self.write(FILE, &format!("{number}\n"))?;
        Ok(Some(number))
    }

    /// A number that stands by itself.
    fn note(&self, name: &str) -> Result<Option<u64>, HistoryError> {
        match fs::read_to_string(self.folder.join(name)) {
            Ok(text) => Ok(text.trim().parse().ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.io(name, error)),
        }
    }

    fn enforce(&self, number: u64) -> Result<(), HistoryError> {
        self.write(CURRENT, &format!("{number}\n"))
    }

    /// A file is there whole or not at all.
    fn write(&self, name: &str, text: &str) -> Result<(), HistoryError> {
        let (path, new) = (self.folder.join(name), self.folder.join(format!("{name}.new")));
        let written =
            OpenOptions::new().write(true).create(true).truncate(true).open(&new).and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()?;
                fs::rename(&new, &path)?;
                File::open(&self.folder)?.sync_all()
            });
        written.map_err(|error| self.io(name, error))
    }

    fn io(&self, name: &str, error: io::Error) -> HistoryError {
        HistoryError::Io { path: self.folder.join(name), error }
    }
}
