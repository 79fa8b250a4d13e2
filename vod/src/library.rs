//! A folder of files, by the names of their titles.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nx_container::index::{Index, IndexError};

use crate::cache::Kept;
use crate::identity::Identity;
use crate::open::{self, TitleError};
use crate::title::Title;
use crate::uploads::UploadError;

mod made;

use made::kept_beside;

/// Endings of files that may be titles; of two files with one name, the first of these counts.
const ENDINGS: [&str; 10] = ["mp4", "m4v", "m4a", "mov", "mkv", "webm", "ts", "m2ts", "mts", "flv"];
/// Between the folders of a title's name.
const FOLDERS: char = '~';
/// Longest name, bytes: as of any stream.
const NAME_MAX: usize = nx_media::NAME_BYTES_MAX;
/// Folders in folders.
const DEPTH_MAX: usize = 8;
/// Entries of the folder that are looked through for a list.
const ENTRIES_MAX: usize = 100_000;
/// Reasons that are remembered why files are no titles.
const REFUSED_MAX: usize = 1_024;
/// What a reason takes in memory, about.
const REFUSED_BYTES: usize = 512;

/// What a library may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Largest file that is looked into, bytes.
    pub file_bytes: u64,
    /// Indexes in memory, bytes.
    pub index_bytes: usize,
    /// Indexes on disk, bytes.
    pub cache_bytes: u64,
}

/// A file that may be a title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name as a title.
    pub name: String,
    /// Where it is, links followed.
    pub path: PathBuf,
    /// Which version of it.
    pub identity: Identity,
    /// Which version of the renditions that were made of that; see [`Library::publish`].
    pub made: Option<Identity>,
}

/// See the module.
#[derive(Debug)]
pub struct Library {
    folder: PathBuf,
    cache: PathBuf,
    made: PathBuf,
    bounds: Bounds,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The one that was asked for last is last.
    open: VecDeque<(Found, Result<Arc<Title>, TitleError>)>,
    /// Those that are being opened.
    opening: HashMap<String, Arc<Mutex<()>>>,
}

impl Library {
    /// The titles in `folder`, which need not be there. Indexes that were dear are kept in `cache`, renditions in `made`.
    #[must_use]
    pub fn new(folder: PathBuf, cache: PathBuf, made: PathBuf, bounds: Bounds) -> Self {
        Self { folder, cache, made, bounds, state: Mutex::default() }
    }

    /// Where its files are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of a name. Asks the disk for it, and reads nothing.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Found> {
        let stem = self.folder.join(below(name)?);
        let stem = stem.as_os_str();
        let with = |ending: &str| {
            let mut path = stem.to_owned();
            path.push(".");
            path.push(ending);
            PathBuf::from(path)
        };
        let found = ENDINGS.iter().find_map(|ending| {
            let paths = [with(ending), with(&ending.to_ascii_uppercase())];
            paths.into_iter().find(|path| fs::symlink_metadata(path).is_ok())
        })?;
        // A link may lead elsewhere in the folder, not out of it.
        let path = fs::canonicalize(found).ok()?;
        if !path.starts_with(fs::canonicalize(&self.folder).ok()?) {
            return None;
        }
        let of = identity(&path)?;
        let made = identity(&self.media(name, of));
        Some(Found { name: name.to_owned(), identity: of, made, path })
    }

    /// Opens a title. Reads the file when nothing is known of it; of many who ask, one reads.
    ///
    /// # Errors
    /// It is none; [`TitleError::Unknown`] when there is no such file.
    pub fn open(&self, name: &str) -> Result<Arc<Title>, TitleError> {
        let found = self.find(name).ok_or(TitleError::Unknown)?;
        if let Some(known) = self.known(&found) {
            return known;
        }
        let opening = self.lock().opening.entry(name.to_owned()).or_default().clone();
        let turn = opening.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.known(&found);
        let opened = known.unwrap_or_else(|| self.open_file(&found).map(Arc::new));
        let mut state = self.lock();
        state.opening.remove(name);
        drop(turn);
        // What may go better next time is not remembered.
        if !matches!(opened, Err(TitleError::Io(_) | TitleError::Changed | TitleError::Unknown)) {
            state.open.retain(|(known, _)| known.name != name);
            state.open.push_back((found, opened.clone()));
            self.shrink(&mut state);
        }
        opened
    }

    fn open_file(&self, found: &Found) -> Result<Title, TitleError> {
        let index = self.index(found)?;
        let made = found.made.and_then(|made| {
            let path = self.media(&found.name, found.identity);
            let index = kept_beside(&path).read(made);
            if index.is_none() {
                tracing::warn!(path = %path.display(), "renditions without a good index are passed over");
            }
            Some((path, made, index?))
        });
        Title::new(found, index, made)
    }

    /// What is in the file of a title, whether or not it can be played.
    ///
    /// # Errors
    /// It is not understood.
    pub fn index(&self, found: &Found) -> Result<Index, TitleError> {
        if found.identity.bytes > self.bounds.file_bytes {
            let max = self.bounds.file_bytes;
            return Err(IndexError::TooMuch { what: "bytes in a file", max }.into());
        }
        open::read(&found.path, found.identity, Some(self.kept(&found.name)))
    }

    fn known(&self, found: &Found) -> Option<Result<Arc<Title>, TitleError>> {
        let mut state = self.lock();
        let at = state.open.iter().position(|(known, _)| known == found)?;
        let entry = state.open.remove(at)?;
        let known = entry.1.clone();
        state.open.push_back(entry);
        Some(known)
    }

    /// Forgets what was asked for longest ago, as long as there is too much; never the newest.
    fn shrink(&self, state: &mut State) {
        let weight = |opened: &Result<Arc<Title>, TitleError>| {
            opened.as_ref().map_or(REFUSED_BYTES, |title| title.weight())
        };
        let mut all: usize = state.open.iter().map(|(_, opened)| weight(opened)).sum();
        while state.open.len() > 1 && (all > self.bounds.index_bytes || state.open.len() > REFUSED_MAX) {
            let Some((_, gone)) = state.open.pop_front() else { break };
            all = all.saturating_sub(weight(&gone));
        }
    }

    /// Every file that may be a title, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Found> {
        let mut names = Vec::new();
        let mut left = ENTRIES_MAX;
        walk(&self.folder, "", DEPTH_MAX, &mut left, &mut names);
        names.sort_unstable();
        names.dedup();
        names.iter().filter_map(|name| self.find(name)).collect()
    }

    /// Takes a title away for good; whether there was one.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn remove(&self, name: &str) -> io::Result<bool> {
        let Some(found) = self.find(name) else { return Ok(false) };
        fs::remove_file(&found.path)?;
        let _ = fs::remove_file(self.kept(name).path);
        let _ = self.unmake(name);
        self.lock().open.retain(|(known, _)| known.name != name);
        Ok(true)
    }

    /// Largest file, bytes.
    #[must_use]
    pub fn file_bytes_max(&self) -> u64 {
        self.bounds.file_bytes
    }

    /// What the file of an upload is to be called, which calls itself so.
    pub(crate) fn file_for(&self, filename: &str) -> Result<String, UploadError> {
        let file = filename.rsplit(['/', '\\']).next().unwrap_or_default();
        let (stem, ending) = file.rsplit_once('.').unwrap_or((file, ""));
        let ending = ending.to_ascii_lowercase();
        if !ENDINGS.contains(&ending.as_str()) {
            let text =
                format!("the file is called {file:.100}; it has to end in one of: {}", ENDINGS.join(", "));
            return Err(UploadError::Name(text));
        }
        let fit = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
        let stem: String = stem.trim_start_matches('.').chars().map(fit).take(NAME_MAX).collect();
        if !sane(&stem) {
            let text = "the upload needs the name of its file, as filename in Upload-Metadata";
            return Err(UploadError::Name(text.into()));
        }
        if self.find(&stem).is_some() {
            let text = format!("there is a title {stem} already: delete it, or give the file another name");
            return Err(UploadError::Taken(text));
        }
        Ok(format!("{stem}.{ending}"))
    }

    /// Makes a file a title, never in place of another, nor beside one that has the name with another ending; gives its
    /// name. It may be that title already: who linked it may have been killed before that was noted.
    pub(crate) fn adopt(&self, path: &Path, file: &str) -> Result<String, UploadError> {
        let (name, link) = (stem(file), self.folder.join(file));
        let taken = || {
            let text = format!("there is a title {name} already: delete it, and ask for this upload again");
            Err(UploadError::Taken(text))
        };
        if let Some(found) = self.find(name)
            && !same(path, &found.path)?
        {
            return taken();
        }
        match fs::hard_link(path, &link) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !same(path, &link)? {
                    return taken();
                }
            }
            linked => linked?,
        }
        fs::File::open(&self.folder)?.sync_all()?;
        Ok(name.to_owned())
    }

    /// Where the index of a title is if it was dear.
    pub(crate) fn kept(&self, name: &str) -> Kept {
        Kept { path: self.cache.join(format!("{name}.index")), bytes_max: self.bounds.cache_bytes }
    }

    /// What its indexes take in memory.
    #[cfg(test)]
    pub(crate) fn weight(&self) -> usize {
        self.lock().open.iter().filter_map(|(_, opened)| opened.as_ref().ok()).map(|t| t.weight()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn identity(path: &Path) -> Option<Identity> {
    let file = fs::metadata(path).ok()?;
    file.is_file().then(|| Identity::of(&file))
}

/// The name of a file without its ending.
pub(crate) fn stem(file: &str) -> &str {
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}

/// Whether two paths are one file; a link by name is none of what it leads to.
fn same(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (fs::symlink_metadata(one)?, fs::symlink_metadata(other)?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Whether it can be the name of a file or folder in a title's name: nothing hidden, nothing that leaves its place.
fn sane(part: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !part.is_empty() && !part.starts_with('.') && part.bytes().all(good)
}

/// The path of a name below the folder, without its ending.
fn below(name: &str) -> Option<PathBuf> {
    let parts: Vec<&str> = name.split(FOLDERS).collect();
    let good = name.len() <= NAME_MAX && parts.len() <= DEPTH_MAX && parts.iter().all(|p| sane(p));
    good.then(|| parts.iter().collect())
}

fn walk(folder: &Path, before: &str, depth: usize, left: &mut usize, names: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Some(rest) = left.checked_sub(1) else { return };
        *left = rest;
        let file = entry.file_name();
        let Some(file) = file.to_str().filter(|file| sane(file)) else { continue };
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            if depth > 1 {
                walk(&entry.path(), &format!("{before}{file}{FOLDERS}"), depth - 1, left, names);
            }
            continue;
        }
        let Some((stem, ending)) = file.rsplit_once('.') else { continue };
        if ENDINGS.contains(&ending.to_ascii_lowercase().as_str()) {
            names.push(format!("{before}{stem}"));
        }
    }
}
