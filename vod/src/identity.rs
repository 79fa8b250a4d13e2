//! Which bytes a file has, as far as that can be told without reading them.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

/// Size and time of change of a file. What is made of it bears names that follow from these, so that a file that was
/// changed has other names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Bytes.
    pub bytes: u64,
    /// Unix time, nanoseconds.
    pub changed_ns: i128,
}

impl Identity {
    /// Of a file.
    #[must_use]
    pub fn of(file: &Metadata) -> Self {
        let changed_ns = i128::from(file.mtime()) * 1_000_000_000 + i128::from(file.mtime_nsec());
        Self { bytes: file.len(), changed_ns }
    }

    /// Number of the run that the file is. Two versions of a title have the same once in four thousand million.
    #[must_use]
    pub fn run(self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.bytes.to_be_bytes());
        crc.update(&self.changed_ns.to_be_bytes());
        crc.finalize()
    }
}
