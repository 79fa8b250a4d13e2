//! Uploads that are not whole: a file that grows and a note beside it, in a hidden folder among the titles.
//!
//! ```text
//! FOLDER/.uploads/ID.part         what has come
//! FOLDER/.uploads/ID.json         what it is to be
//! ```
//!
//! An upload that is whole is looked into, and becomes a title by a link: whole or not at all, and never over another.
//! Where that was cut short, it is done when somebody asks how far the upload has come.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::identity::Identity;
use crate::library::{Found, Library, stem};
use crate::open::TitleError;
use crate::title::Title;

/// Uploads at a time, those that became titles and are still remembered included.
const UPLOADS_MAX: usize = 256;
/// How long an upload is kept after something came, milliseconds.
const PATIENCE_MS: i64 = 24 * 3_600_000;
/// What the disk has not confirmed, bytes.
const UNSAFE_BYTES: u64 = 16 << 20;

/// What an upload is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// Path of the title's file below the folder.
    file: String,
    bytes: u64,
    /// When something came last, Unix milliseconds.
    heard_ms: i64,
    /// The title that it has become.
    title: Option<String>,
}

/// How far an upload has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are on the disk.
    pub offset: u64,
    /// Bytes that it will have.
    pub bytes: u64,
    /// When it is forgotten if nothing more comes, Unix milliseconds.
    pub expires_ms: i64,
    /// The title that it has become.
    pub title: Option<String>,
}

/// Why an upload does not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// There is none of that id.
    #[error("there is no such upload (any more)")]
    Unknown,
    /// Somebody sends to it.
    #[error("somebody else sends to this upload now")]
    Locked,
    /// It has come this far.
    #[error("the upload has come to {0}")]
    Offset(u64),
    /// More than may be.
    #[error("more than {0} bytes")]
    TooLarge(u64),
    /// The name is none.
    #[error("{0}")]
    Name(String),
    /// The name is somebody's.
    #[error("{0}")]
    Taken(String),
    /// As many uploads as may be, or as many bytes.
    #[error("{0}")]
    Full(String),
    /// The file is no title; it is gone.
    #[error("{0}")]
    Refused(TitleError),
    /// The disk.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// See the module.
#[derive(Debug)]
pub struct Uploads {
    library: Arc<Library>,
    folder: PathBuf,
    bytes_max: u64,
    state: Mutex<HashMap<String, Upload>>,
}

#[derive(Debug, Clone)]
struct Upload {
    note: Note,
    /// Bytes that the disk has confirmed.
    safe: u64,
    busy: bool,
}

impl Uploads {
    /// Those of a library, with what earlier processes left; together they may be announced with so many bytes.
    #[must_use]
    pub fn open(library: Arc<Library>, bytes_max: u64) -> Arc<Self> {
        let folder = library.folder().join(".uploads");
        let mut state = HashMap::new();
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let id = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default().to_owned();
            let note = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Note>(&text).ok());
            let is_note = path.extension().is_some_and(|e| e == "json");
            if let Some(mut note) = note.filter(|_| is_note) {
                // The note says when it began: what came since is told by the file alone.
                note.heard_ms = note.heard_ms.max(changed_ms(&part(&folder, &id)).unwrap_or(i64::MIN));
                let safe = match &note.title {
                    Some(_) => note.bytes,
                    None => confirmed(&part(&folder, &id)).unwrap_or(0).min(note.bytes),
                };
                state.insert(id, Upload { note, safe, busy: false });
            }
        }
        Arc::new(Self { library, folder, bytes_max, state: Mutex::new(state) })
    }

    /// Begins an upload under a new id.
    ///
    /// # Errors
    /// [`UploadError`].
    pub fn begin(&self, id: &str, filename: &str, bytes: u64, now_ms: i64) -> Result<Progress, UploadError> {
        let max = self.library.file_bytes_max();
        if bytes > max {
            return Err(UploadError::TooLarge(max));
        }
        let file = self.library.file_for(filename)?;
        self.sweep(now_ms);
        let mut state = self.lock();
        let open = state.values().filter(|u| u.note.title.is_none());
        let announced: u64 = open.clone().map(|u| u.note.bytes).sum();
        // Files that differ in their endings would be one title.
        if let Some(other) = open.clone().find(|u| stem(&u.note.file) == stem(&file)) {
            let text = format!(
                "{} is being uploaded already: delete that, or give the file another name",
                other.note.file
            );
            return Err(UploadError::Taken(text));
        }
        if announced.saturating_add(bytes) > self.bytes_max || state.len() >= UPLOADS_MAX {
            let most = self.bytes_max;
            let text =
                format!("{UPLOADS_MAX} uploads, or {most} bytes of them, are open; finish or delete one");
            return Err(UploadError::Full(text));
        }
        let note = Note { file, bytes, heard_ms: now_ms, title: None };
        fs::create_dir_all(&self.folder)?;
        File::create_new(part(&self.folder, id))?.sync_all()?;
        self.write(id, &note)?;
        let upload = Upload { note, safe: 0, busy: false };
        let progress = upload.progress();
        state.insert(id.to_owned(), upload);
        Ok(progress)
    }

    /// How far an upload has come. One that is whole is never told without its title: when it was stopped before it
    /// became one, it does now.
    ///
    /// # Errors
    /// [`UploadError`]; [`UploadError::Locked`] while it becomes a title elsewhere.
    pub fn progress(&self, id: &str, now_ms: i64) -> Result<Progress, UploadError> {
        self.sweep(now_ms);
        let _turn = {
            let mut state = self.lock();
            let upload = state.get_mut(id).ok_or(UploadError::Unknown)?;
            if upload.safe < upload.note.bytes || upload.note.title.is_some() {
                return Ok(upload.progress());
            }
            if upload.busy {
                return Err(UploadError::Locked);
            }
            upload.busy = true;
            Turn { uploads: self, id }
        };
        self.finish(id)
    }

    /// Goes on at an offset. Nobody else may until what is given back is dropped.
    ///
    /// # Errors
    /// [`UploadError`].
    pub fn append(self: &Arc<Self>, id: &str, offset: u64) -> Result<Appending, UploadError> {
        let mut state = self.lock();
        let upload = state.get_mut(id).ok_or(UploadError::Unknown)?;
        if upload.busy {
            return Err(UploadError::Locked);
        }
        if upload.safe != offset {
            return Err(UploadError::Offset(upload.safe));
        }
        let left = upload.note.bytes - offset;
        let file = match upload.note.title {
            Some(_) => None,
            None => Some(OpenOptions::new().append(true).open(part(&self.folder, id))?),
        };
        // What came after the last confirmation is not counted on.
        if let Some(file) = &file {
            file.set_len(offset)?;
        }
        upload.busy = true;
        let (uploads, id) = (self.clone(), id.to_owned());
        Ok(Appending { uploads, id, file, from: offset, at: offset, safe: offset, left })
    }

    /// Forgets an upload.
    ///
    /// # Errors
    /// [`UploadError`].
    pub fn abandon(&self, id: &str) -> Result<(), UploadError> {
        let mut state = self.lock();
        match state.get(id) {
            None => return Err(UploadError::Unknown),
            Some(upload) if upload.busy => return Err(UploadError::Locked),
            Some(_) => state.remove(id),
        };
        self.erase(id);
        Ok(())
    }

    /// Forgets those to which nothing came for long.
    fn sweep(&self, now_ms: i64) {
        let mut state = self.lock();
        let old = |u: &Upload| !u.busy && u.progress().expires_ms < now_ms;
        let gone: Vec<String> = state.iter().filter(|(_, u)| old(u)).map(|(id, _)| id.clone()).collect();
        for id in gone {
            state.remove(&id);
            self.erase(&id);
        }
    }

    fn erase(&self, id: &str) {
        for path in [part(&self.folder, id), note(&self.folder, id)] {
            let _ = fs::remove_file(path);
        }
    }

    fn write(&self, id: &str, of: &Note) -> io::Result<()> {
        let (whole, draft) = (note(&self.folder, id), self.folder.join(format!("{id}.draft")));
        let mut file = File::create(&draft)?;
        file.write_all(&serde_json::to_vec(of)?)?;
        file.sync_all()?;
        fs::rename(draft, whole)?;
        File::open(&self.folder)?.sync_all()
    }

    /// The file is whole: it becomes a title, or is gone, or can be tried again. Who calls has it busy, and ends that.
    fn finish(&self, id: &str) -> Result<Progress, UploadError> {
        let mut upload = self.lock().get(id).cloned().ok_or(UploadError::Unknown)?;
        let part = part(&self.folder, id);
        let identity = Identity::of(&fs::metadata(&part)?);
        let name = stem(&upload.note.file).to_owned();
        let found = Found { name, path: part.clone(), identity, made: None };
        match self.library.index(&found).and_then(|index| Title::new(&found, index, None)) {
            // What cannot be played may still be made into something that can.
            Ok(_) | Err(TitleError::Foreign(_)) => {}
            Err(TitleError::Io(why)) => return Err(UploadError::Io(io::Error::other(why))),
            Err(error) => {
                self.lock().remove(id);
                self.erase(id);
                return Err(UploadError::Refused(error));
            }
        }
        upload.note.title = Some(self.library.adopt(&part, &upload.note.file)?);
        // It is a title whether or not that can be remembered here.
        let _ = self.write(id, &upload.note).and_then(|()| fs::remove_file(&part));
        let progress = upload.progress();
        self.lock().insert(id.to_owned(), upload);
        Ok(progress)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Upload>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    fn progress(&self) -> Progress {
        Progress {
            offset: self.safe,
            bytes: self.note.bytes,
            expires_ms: self.note.heard_ms.saturating_add(PATIENCE_MS),
            title: self.note.title.clone(),
        }
    }
}

/// Who makes an upload a title without bringing anything: it is busy until this is dropped.
struct Turn<'a> {
    uploads: &'a Uploads,
    id: &'a str,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(upload) = self.uploads.lock().get_mut(self.id) {
            upload.busy = false;
        }
    }
}

/// What one request brings.
#[derive(Debug)]
pub struct Appending {
    uploads: Arc<Uploads>,
    id: String,
    file: Option<File>,
    from: u64,
    at: u64,
    safe: u64,
    left: u64,
}

impl Appending {
    /// Takes some bytes. Now and then the disk is asked to confirm.
    ///
    /// # Errors
    /// [`UploadError`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            return Err(UploadError::TooLarge(self.at + self.left));
        };
        if let Some(file) = &mut self.file {
            file.write_all(bytes)?;
        }
        (self.at, self.left) = (self.at + bytes.len() as u64, left);
        if self.at - self.safe >= UNSAFE_BYTES { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<(), UploadError> {
        if let Some(file) = &self.file {
            file.sync_data()?;
        }
        self.safe = self.at;
        Ok(())
    }

    /// Has everything confirmed by the disk; a whole file becomes a title.
    ///
    /// # Errors
    /// [`UploadError`].
    pub fn confirm(mut self, now_ms: i64) -> Result<Progress, UploadError> {
        self.sync()?;
        let progress = {
            let mut state = self.uploads.lock();
            let upload = state.get_mut(&self.id).ok_or(UploadError::Unknown)?;
            (upload.safe, upload.note.heard_ms) = (self.safe, now_ms);
            upload.progress()
        };
        if self.left == 0 && progress.title.is_none() { self.uploads.finish(&self.id) } else { Ok(progress) }
    }

    /// Takes back what this request brought.
    ///
    /// # Errors
    /// [`UploadError::Io`].
    pub fn undo(mut self) -> Result<(), UploadError> {
        if let Some(file) = &self.file {
            file.set_len(self.from)?;
            file.sync_data()?;
        }
        (self.at, self.safe) = (self.from, self.from);
        Ok(())
    }
}

impl Drop for Appending {
    fn drop(&mut self) {
        if let Some(upload) = self.uploads.lock().get_mut(&self.id) {
            upload.busy = false;
            upload.safe = if upload.note.title.is_some() { upload.note.bytes } else { self.safe };
        }
    }
}

/// How much of a file there is, on the disk.
fn confirmed(part: &Path) -> io::Result<u64> {
    let file = File::open(part)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

/// When a file was written to last, Unix milliseconds.
fn changed_ms(path: &Path) -> Option<i64> {
    i64::try_from(Identity::of(&fs::metadata(path).ok()?).changed_ns / 1_000_000).ok()
}

fn part(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.part"))
}

fn note(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.json"))
}
