//! A file that grows past the page cache: copying into the kernel's pages, finding them and writing them back is most
//! of what a write costs.
//!
//! Such writes are whole blocks, so the last one is kept in memory and is written again with what comes next, zeros
//! behind it. Where a file system takes none of them, the same writes go through the page cache.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use bytes::Bytes;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::source::Source;

/// Places, lengths and addresses of direct writes are multiples of it; disks ask for 512 or 4096.
const BLOCK: usize = 4096;
/// Bytes written at a time.
const BUFFER: usize = 1 << 20;
/// Bytes laid out at a time: they are still in the processor's cache when their checksum is taken.
const STEP: usize = 16 << 10;

/// Where bytes are laid out before they are written. One is enough for all files of a thread.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// Where its first whole block begins.
    begin: usize,
}

impl Default for Buffer {
    fn default() -> Self {
        let bytes = vec![0; BUFFER + BLOCK];
        let begin = bytes.as_ptr().align_offset(BLOCK).min(BLOCK);
        Self { bytes, begin }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Growing {
    file: File,
    len: u64,
    /// What of it is in the last block, if that is not full.
    tail: Vec<u8>,
}

impl Growing {
    /// Goes on behind the first `len` bytes of a file; the rest of it is dropped.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when it is not there, or shorter.
    pub(crate) fn open(path: &Path, len: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if file.metadata()?.len() < len {
            return Err(io::ErrorKind::NotFound.into());
        }
        file.set_len(len)?;
        let rest = len % BLOCK as u64;
        let tail = file.read(len - rest, rest)?.into();
        // Where that is refused the page cache will do.
        let _ = set_direct(&file, true);
        Ok(Self { file, len, tail })
    }

    /// Appends, and gives the CRC-32 of what it appended. After an error it is as long as before, with rubbish behind.
    pub(crate) fn append(&mut self, slices: &[Bytes], buffer: &mut Buffer) -> io::Result<u32> {
        let room = buffer.bytes.get_mut(buffer.begin..buffer.begin + BUFFER).unwrap_or_default();
        let (mut at, mut filled) = (self.len - self.tail.len() as u64, self.tail.len());
        let mut crc = crc32fast::Hasher::new();
        room[..filled].copy_from_slice(&self.tail);
        for slice in slices {
            let mut left = &slice[..];
            while !left.is_empty() {
                let (now, later) = left.split_at(left.len().min(STEP).min(BUFFER - filled));
                room[filled..filled + now.len()].copy_from_slice(now);
                crc.update(now);
                (filled, left) = (filled + now.len(), later);
                if filled == BUFFER {
                    self.write_blocks(room, at)?;
                    (at, filled) = (at + BUFFER as u64, 0);
                }
            }
        }
        let whole = filled.next_multiple_of(BLOCK);
        room[filled..whole].fill(0);
        self.write_blocks(&room[..whole], at)?;
        self.len = at + filled as u64;
        self.tail = room[filled - filled % BLOCK..filled].to_vec();
        Ok(crc.finalize())
    }

    fn write_blocks(&self, blocks: &[u8], at: u64) -> io::Result<()> {
        match self.file.write_all_at(blocks, at) {
            // Blocks of this size are not to the liking of the file system.
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => {
                set_direct(&self.file, false)?;
                self.file.write_all_at(blocks, at)
            }
            written => written,
        }
    }

    /// Leaves the first `len` bytes, and nothing behind them: the file is grown no further.
    pub(crate) fn cut(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    /// Returns when the disk has everything.
    pub(crate) fn confirm(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Whether this is the file that is found there.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        let id = |of: Metadata| (of.dev(), of.ino());
        let (own, there) = (self.file.metadata().map(id), path.metadata().map(id));
        own.ok().zip(there.ok()).is_some_and(|(own, there)| own == there)
    }
}

fn set_direct(file: &File, direct: bool) -> io::Result<()> {
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, direct);
    Ok(fcntl_setfl(file, flags)?)
}

#[cfg(test)]
mod tests;
