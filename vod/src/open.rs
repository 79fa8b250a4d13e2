//! A file and its index.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nx_container::index::{self, Index, IndexError, SNIFF_BYTES, Step};

use crate::cache::Kept;
use crate::identity::Identity;

/// Reads of one file, whatever it says.
const STEPS_MAX: u64 = 1 << 24;
/// An index that took more reading than this is kept on disk, bytes.
const DEAR_BYTES: u64 = 16 << 20;

/// Why a file is no title.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TitleError {
    /// There is none of the name.
    #[error("there is no such title")]
    Unknown,
    /// It has become another file, or was taken away, while it was read.
    #[error("the file has changed while it was read; ask again")]
    Changed,
    /// No reader knows it.
    #[error("the file is none of MP4, QuickTime, Matroska, WebM, MPEG-TS and FLV, or is empty")]
    Kind,
    /// Its reader does not understand it.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// It is understood and can be decoded, but not served as it is; says why.
    #[error("{0}")]
    Foreign(String),
    /// The disk does not give it.
    #[error("the file cannot be read: {0}")]
    Io(String),
}

impl From<io::Error> for TitleError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Unknown,
            io::ErrorKind::UnexpectedEof => Self::Changed,
            _ => Self::Io(error.to_string()),
        }
    }
}

/// A file that is what it was when it was first looked at.
#[derive(Debug)]
pub(crate) struct Same {
    file: File,
    identity: Identity,
}

impl Same {
    pub(crate) fn open(path: &Path, identity: Identity) -> Result<Self, TitleError> {
        let same = Self { file: File::open(path)?, identity };
        same.check()?;
        Ok(same)
    }

    pub(crate) fn check(&self) -> Result<(), TitleError> {
        let now = Identity::of(&self.file.metadata()?);
        if now == self.identity { Ok(()) } else { Err(TitleError::Changed) }
    }

    /// The bytes from a place on, all of them.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, TitleError> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// The same, fewer at the end of the file.
    fn read_some(&self, offset: u64, len: usize) -> Result<Vec<u8>, TitleError> {
        let left = usize::try_from(self.identity.bytes.saturating_sub(offset)).unwrap_or(len);
        self.read(offset, len.min(left))
    }
}

/// Reads the index of a file. `kept` is where it may be, and is put if finding it out was dear.
pub(crate) fn read(path: &Path, identity: Identity, kept: Option<Kept>) -> Result<Index, TitleError> {
    if let Some(index) = kept.as_ref().and_then(|kept| kept.read(identity)) {
        return Ok(index);
    }
    let file = Same::open(path, identity)?;
    let kind = index::sniff(&file.read_some(0, SNIFF_BYTES)?).ok_or(TitleError::Kind)?;
    let mut indexer = index::indexer(kind, identity.bytes);
    let mut read = 0;
    for _ in 0..STEPS_MAX {
        match indexer.next()? {
            Step::Read { offset, bytes } => {
                let bytes = file.read_some(offset, bytes)?;
                read += bytes.len() as u64;
                indexer.take(&bytes)?;
            }
            Step::Done(index) => {
                file.check()?;
                if let Some(kept) = kept.filter(|_| read > DEAR_BYTES)
                    && let Err(error) = kept.write(identity, &index)
                {
                    tracing::warn!(path = %kept.path.display(), %error, "the index of a title cannot be kept");
                }
                return Ok(index);
            }
        }
    }
    Err(IndexError::TooMuch { what: "reads of a file", max: STEPS_MAX }.into())
}
