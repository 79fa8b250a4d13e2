//! A file that grows past the page cache: copying into the kernel's pages, finding them and writing them back is most
//! of what a write costs.
//!
//! Such writes are whole blocks, so the last one is kept in memory and is written again with what comes next, zeros
//! behind it. Where a file system takes none of them, the same writes go through the page cache.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
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
    /// Goes on behind the first `len` bytes of a file, made if need be; the rest of it is dropped.
    pub(crate) fn open(path: &Path, len: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.set_len(len)?;
        let rest = len % BLOCK as u64;
        let tail = file.read(len - rest, rest)?.into();
        // Where that is refused the page cache will do.
        let _ = set_direct(&file, true);
        Ok(Self { file, len, tail })
    }

    /// Writes what comes next; it belongs to the file when it is [taken](Self::take).
    pub(crate) fn write(&self, slices: &[Bytes], buffer: &mut Buffer) -> io::Result<Grown> {
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
        let (len, tail) = (at + filled as u64, room[filled - filled % BLOCK..filled].to_vec());
        Ok(Grown { len, tail, crc: crc.finalize() })
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

    /// What was written is a part of the file.
    pub(crate) fn take(&mut self, grown: Grown) {
        (self.len, self.tail) = (grown.len, grown.tail);
    }

    /// Cuts off what is no part of the file.
    pub(crate) fn cut(&self) -> io::Result<()> {
        self.file.set_len(self.len)
    }

    /// Returns when the disk has everything.
    pub(crate) fn confirm(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// What a file is to be after a write.
#[derive(Debug)]
pub(crate) struct Grown {
    len: u64,
    tail: Vec<u8>,
    /// CRC-32 of what was written.
    pub(crate) crc: u32,
}

fn set_direct(file: &File, direct: bool) -> io::Result<()> {
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, direct);
    Ok(fcntl_setfl(file, flags)?)
}

#[cfg(test)]
mod tests;
