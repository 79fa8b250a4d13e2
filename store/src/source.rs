//! Bytes that are read by place: of a file, of memory, of a volume wherever it is.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::cloud::Cloud;

/// Something with bytes at places. Reading blocks.
pub trait Source: Debug + Send + Sync {
    /// The `len` bytes from `at` on.
    ///
    /// # Errors
    /// They cannot be read, or are not there.
    fn read(&self, at: u64, len: u64) -> io::Result<Bytes>;
}

impl Source for File {
    fn read(&self, at: u64, len: u64) -> io::Result<Bytes> {
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        self.read_exact_at(&mut bytes, at)?;
        Ok(bytes.into())
    }
}

impl Source for Bytes {
    fn read(&self, at: u64, len: u64) -> io::Result<Bytes> {
        let from = usize::try_from(at).ok().filter(|from| *from <= self.len());
        let to = from.zip(usize::try_from(len).ok()).and_then(|(from, len)| from.checked_add(len));
        let (from, to) = from.zip(to.filter(|to| *to <= self.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(self.slice(from..to))
    }
}

/// The media of a volume: on this disk, else in object storage.
#[derive(Debug, Clone)]
pub struct Media {
    pub(crate) path: PathBuf,
    /// Bytes of it.
    pub(crate) bytes: u64,
    /// Where it is when it is not here, and its name there.
    pub(crate) away: Option<(Arc<Cloud>, String)>,
    /// See [`Media::hold`].
    pub(crate) held: Option<Arc<Held>>,
}

/// Files that are held open for who reads them, in all. Beyond, a volume that is dropped breaks a download off.
const HELD_MAX: usize = 512;
static HELD: AtomicUsize = AtomicUsize::new(0);

/// An open file, of which there are not too many.
#[derive(Debug)]
pub(crate) struct Held(File);

impl Held {
    fn open(path: &Path) -> Option<Self> {
        let more = |count: usize| (count < HELD_MAX).then_some(count + 1);
        HELD.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        let file = File::open(path);
        if file.is_err() {
            HELD.fetch_sub(1, Ordering::Relaxed);
        }
        Some(Self(file.ok()?))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Media {
    /// Stays readable when its volume is dropped, or leaves this disk, as long as this lives: for downloads that have begun.
    #[must_use]
    pub(crate) fn hold(self) -> Self {
        Self { held: Held::open(&self.path).map(Arc::new), ..self }
    }
}

impl Source for Media {
    fn read(&self, at: u64, len: u64) -> io::Result<Bytes> {
        if let Some(Held(file)) = self.held.as_deref() {
            return file.read(at, len);
        }
        match (File::open(&self.path), &self.away) {
            (Err(e), Some((cloud, name))) if e.kind() == io::ErrorKind::NotFound => {
                cloud.blocks(name, self.bytes, at, len)
            }
            (file, _) => file?.read(at, len),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_read_after_it_is_gone() {
        let path = std::env::temp_dir().join(format!("nx-held-{}", std::process::id()));
        std::fs::write(&path, "some media").expect("writes");
        let media = || Media { path: path.clone(), bytes: 10, away: None, held: None };
        let (held, not) = (media().hold(), media());
        let copy = held.clone();
        std::fs::remove_file(&path).expect("removes");
        drop(held);
        assert_eq!(copy.read(5, 5).expect("reads"), Bytes::from_static(b"media"));
        assert!(not.read(5, 5).is_err());
        let before = HELD.load(Ordering::Relaxed);
        assert!(media().hold().held.is_none(), "there is nothing to hold");
        assert_eq!(HELD.load(Ordering::Relaxed), before);
        drop(copy);
        assert_eq!(HELD.load(Ordering::Relaxed), before - 1);
    }
}
