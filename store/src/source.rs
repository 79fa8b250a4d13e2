//! Bytes that are read by place: of a file, of memory, of a volume wherever it is.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

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
}

impl Source for Media {
    fn read(&self, at: u64, len: u64) -> io::Result<Bytes> {
        match (File::open(&self.path), &self.away) {
            (Err(e), Some((cloud, name))) if e.kind() == io::ErrorKind::NotFound => {
                cloud.blocks(name, self.bytes, at, len)
            }
            (file, _) => file?.read(at, len),
        }
    }
}
