//! Pictures that were made: a few in memory, sheets on disk. Both forget what was asked for longest ago.

use std::collections::VecDeque;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;

use crate::hub::lock;

/// In memory.
#[derive(Debug)]
pub(crate) struct Memory {
    bytes_max: usize,
    bytes: usize,
    /// The one asked for last is last.
    pictures: VecDeque<(String, Bytes)>,
}

impl Memory {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, pictures: VecDeque::new() }
    }

    pub(crate) fn get(&mut self, name: &str) -> Option<Bytes> {
        let at = self.pictures.iter().position(|(of, _)| of == name)?;
        let found = self.pictures.remove(at)?;
        let jpeg = found.1.clone();
        self.pictures.push_back(found);
        Some(jpeg)
    }

    pub(crate) fn put(&mut self, name: String, jpeg: Bytes) {
        if jpeg.len() > self.bytes_max || self.get(&name).is_some() {
            return;
        }
        self.bytes += jpeg.len();
        self.pictures.push_back((name, jpeg));
        while self.bytes > self.bytes_max {
            let Some((_, gone)) = self.pictures.pop_front() else { return };
            self.bytes -= gone.len();
        }
    }
}

/// In a folder of its own: one file each, named by a hash.
#[derive(Debug, Clone)]
pub(crate) struct Shelf(Arc<Folder>);

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    bytes_max: u64,
    /// File name and size; the one asked for last is last.
    files: Mutex<VecDeque<(String, u64)>>,
}

impl Shelf {
    /// Takes over what an earlier process left. A folder that cannot be read is an empty one.
    pub(crate) fn open(path: PathBuf, bytes_max: u64) -> Self {
        let mut files: Vec<(SystemTime, String, u64)> = Vec::new();
        for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
            let (Ok(name), Ok(meta)) = (entry.file_name().into_string(), entry.metadata()) else { continue };
            files.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), name, meta.len()));
        }
        files.sort();
        let files = files.into_iter().map(|(_, name, len)| (name, len)).collect();
        let folder = Folder { path, bytes_max, files: Mutex::new(files) };
        folder.tidy();
        Self(Arc::new(folder))
    }

    pub(crate) async fn get(&self, name: &str) -> Option<Bytes> {
        let (folder, file) = (self.0.clone(), file_name(name));
        tokio::task::spawn_blocking(move || folder.get(&file)).await.ok()?
    }

    /// Keeps a picture as far as the disk lets it.
    pub(crate) async fn put(&self, name: &str, jpeg: Bytes) {
        let (folder, file) = (self.0.clone(), file_name(name));
        let kept = tokio::task::spawn_blocking(move || folder.put(file, &jpeg)).await;
        if let Ok(Err(error)) = kept {
            tracing::debug!(%error, "a sheet of pictures is not kept");
        }
    }
}

impl Folder {
    fn get(&self, file: &str) -> Option<Bytes> {
        let jpeg = fs::read(self.path.join(file)).ok()?;
        let mut files = lock(&self.files);
        if let Some(at) = files.iter().position(|(of, _)| of == file)
            && let Some(found) = files.remove(at)
        {
            files.push_back(found);
        }
        Some(jpeg.into())
    }

    fn put(&self, file: String, jpeg: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.path)?;
        write_whole(&self.path.join(&file), jpeg)?;
        lock(&self.files).push_back((file, jpeg.len() as u64));
        self.tidy();
        Ok(())
    }

    fn tidy(&self) {
        let mut files = lock(&self.files);
        let mut bytes: u64 = files.iter().map(|(_, len)| len).sum();
        while bytes > self.bytes_max {
            let Some((gone, len)) = files.pop_front() else { return };
            let _ = fs::remove_file(self.path.join(gone));
            bytes -= len;
        }
    }
}

/// A reader sees all of it or nothing.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("draft");
    fs::write(&draft, bytes)?;
    fs::rename(draft, path)
}

fn file_name(name: &str) -> String {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    format!("{:016x}.jpg", hasher.finish())
}
