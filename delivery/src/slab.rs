//! Bodies that are asked for again and again over plain HTTP, in files that the kernel sends by itself.
//!
//! A slice of a body that is asked for the second time is put into a sheet, a file in memory; from then on it
//! goes out by `sendfile`, without being copied. A sheet is filled from front to back and goes away with the last of
//! its pieces. What is sent is found by where it lies in memory: the slab holds the slice too, so nothing else can
//! come to lie there.
//!
//! Pieces that lie one behind the other go out in one call. Each call ends with a packet that is not full: six for a
//! segment cost half as much again as one.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

/// Shorter slices are copied, with the head in one system call: cheaper, as what is asked for again lies in the
/// processor's cache.
pub(crate) const SLICE_MIN: usize = 64 << 10;
/// Four huge pages.
const SHEET_LEN: usize = 8 << 20;
/// Slices known; beyond, new ones are sent by copying.
const KNOWN_MAX: usize = 16_384;
/// A slice that nobody asked for during this time is forgotten.
const FORGET_S: u32 = 15;

/// A file of [`SHEET_LEN`] bytes that nobody else can open.
#[derive(Debug)]
pub(crate) struct Sheet {
    file: OwnedFd,
    /// Sheets that exist.
    count: Arc<AtomicUsize>,
}

impl Drop for Sheet {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes in a sheet.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) sheet: Arc<Sheet>,
    pub(crate) at: u64,
    pub(crate) len: usize,
}

impl Piece {
    /// The file.
    pub(crate) fn file(&self) -> &OwnedFd {
        &self.sheet.file
    }

    fn is_followed_by(&self, next: &Self) -> bool {
        Arc::ptr_eq(&self.sheet, &next.sheet) && self.at + self.len as u64 == next.at
    }

    /// These bytes have gone out.
    pub(crate) fn advance(&mut self, len: usize) {
        let len = len.min(self.len);
        self.at += len as u64;
        self.len -= len;
    }
}

/// A stretch of a body.
#[derive(Debug)]
pub(crate) enum Chunk {
    /// To be copied to the socket.
    Memory(Bytes),
    /// To be sent from its file.
    Piece(Piece),
}

impl Chunk {
    /// Bytes that lie in memory.
    pub(crate) fn memory(&self) -> Option<&[u8]> {
        match self {
            Self::Memory(bytes) => Some(bytes),
            Self::Piece(_) => None,
        }
    }
}

#[derive(Debug)]
struct Known {
    /// Keeps its place in memory from being used for other bytes.
    bytes: Bytes,
    piece: Option<Piece>,
    asked_s: u32,
}

/// The sheet that is being filled.
#[derive(Debug, Default)]
struct Pen {
    sheet: Option<Arc<Sheet>>,
    used: usize,
}

/// The slices a listener has sent lately, and their pieces.
#[derive(Debug)]
pub(crate) struct Slab {
    folder: Option<PathBuf>,
    /// A private tmpfs with huge pages, where the process may have one.
    mount: Option<OwnedFd>,
    sheets_max: usize,
    count: Arc<AtomicUsize>,
    known: Mutex<BTreeMap<usize, Known>>,
    pen: Mutex<Pen>,
}

impl Slab {
    /// Holds at most `bytes_max` bytes, in a file of `folder` or, without one, in memory of its own.
    pub(crate) fn new(folder: Option<PathBuf>, bytes_max: usize) -> Self {
        let mount = if folder.is_none() && bytes_max >= SHEET_LEN { huge_tmpfs().ok() } else { None };
        tracing::debug!(huge_pages = mount.is_some(), bytes_max, "slab");
        Self {
            folder,
            mount,
            sheets_max: bytes_max / SHEET_LEN,
            count: Arc::default(),
            known: Mutex::default(),
            pen: Mutex::default(),
        }
    }

    /// The body as it is best sent now; `None` when that is as it is.
    pub(crate) fn chunks(&self, slices: &VecDeque<Bytes>, now_s: u32) -> Option<VecDeque<Chunk>> {
        if self.sheets_max == 0 || !slices.iter().any(|s| s.len() >= SLICE_MIN) {
            return None;
        }
        let mut any = false;
        // The head goes in front.
        let mut chunks = VecDeque::with_capacity(slices.len() + 1);
        for slice in slices {
            let Some(piece) = self.piece(slice, now_s) else {
                chunks.push_back(Chunk::Memory(slice.clone()));
                continue;
            };
            any = true;
            match chunks.back_mut() {
                // Stored one behind the other, as the parts of a segment mostly are: one system call.
                Some(Chunk::Piece(before)) if before.is_followed_by(&piece) => before.len += piece.len,
                _ => chunks.push_back(Chunk::Piece(piece)),
            }
        }
        any.then_some(chunks)
    }

    fn piece(&self, slice: &Bytes, now_s: u32) -> Option<Piece> {
        if slice.len() < SLICE_MIN {
            return None;
        }
        let start = slice.as_ptr() as usize;
        let whole = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            // A range of a slice lies within it.
            let around = known.range_mut(..=start).next_back();
            match around.filter(|(at, k)| start + slice.len() <= *at + k.bytes.len()) {
                Some((at, found)) => {
                    found.asked_s = now_s;
                    if let Some(piece) = &found.piece {
                        let from = (start - at) as u64;
                        return Some(Piece {
                            sheet: piece.sheet.clone(),
                            at: piece.at + from,
                            len: slice.len(),
                        });
                    }
                    found.bytes.clone()
                }
                None => {
                    if known.len() < KNOWN_MAX {
                        known.insert(start, Known { bytes: slice.clone(), piece: None, asked_s: now_s });
                    }
                    return None;
                }
            }
        };
        let piece = self.store(&whole)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get_mut(&(whole.as_ptr() as usize)) {
            found.piece = Some(piece);
        }
        // Sent from there the next time.
        None
    }

    /// Writes bytes into a sheet. Nobody waits for it: whoever comes meanwhile copies.
    fn store(&self, bytes: &Bytes) -> Option<Piece> {
        if bytes.len() > SHEET_LEN {
            return None;
        }
        let mut pen = self.pen.try_lock().ok()?;
        if pen.sheet.is_none() || pen.used + bytes.len() > SHEET_LEN {
            if self.count.load(Ordering::Relaxed) >= self.sheets_max {
                return None;
            }
            pen.sheet = self.sheet().inspect_err(|error| tracing::warn!(%error, "no room for a slab")).ok();
            pen.used = 0;
        }
        let sheet = pen.sheet.clone()?;
        let at = pen.used as u64;
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            done += rustix::io::pwrite(&sheet.file, rest, at + done as u64).ok().filter(|n| *n > 0)?;
        }
        pen.used += bytes.len();
        Some(Piece { sheet, at, len: bytes.len() })
    }

    fn sheet(&self) -> Result<Arc<Sheet>, Errno> {
        let unnamed = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = match (&self.folder, &self.mount) {
            (Some(folder), _) => rustix::fs::openat(CWD, folder, unnamed, mode)?,
            (None, Some(mount)) => rustix::fs::openat(mount, ".", unnamed, mode)?,
            (None, None) => rustix::fs::memfd_create("nexus-slab", MemfdFlags::CLOEXEC)?,
        };
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(Sheet { file, count: self.count.clone() }))
    }

    /// Forgets what has left its stream, and what nobody asks for.
    pub(crate) fn sweep(&self, now_s: u32) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, k| !k.bytes.is_unique() && now_s.saturating_sub(k.asked_s) < FORGET_S);
        let empty = known.is_empty();
        drop(known);
        if empty && let Ok(mut pen) = self.pen.try_lock() {
            *pen = Pen::default();
        }
    }
}

/// A tmpfs of huge pages that is attached nowhere: a third less work per byte sent. Needs the right to mount.
fn huge_tmpfs() -> Result<OwnedFd, Errno> {
    let fs = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&fs, "huge", "always")?;
    rustix::mount::fsconfig_set_string(&fs, "mode", "0700")?;
    rustix::mount::fsconfig_create(&fs)?;
    let quiet = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    rustix::mount::fsmount(fs, FsMountFlags::FSMOUNT_CLOEXEC, quiet)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks as often as it takes until all of it that can be is in the slab.
    fn settled(slab: &Slab, slices: &VecDeque<Bytes>) -> VecDeque<Chunk> {
        let asked = (0..3).map(|_| slab.chunks(slices, 0)).collect::<Vec<_>>();
        assert!(asked[..2].iter().all(Option::is_none), "copied the first two times");
        asked.into_iter().flatten().next().expect("then out of the slab")
    }

    /// Where each chunk is: bytes of a piece, or of memory.
    fn shape(chunks: &VecDeque<Chunk>) -> Vec<(bool, Vec<u8>)> {
        let read = |chunk: &Chunk| match chunk {
            Chunk::Memory(bytes) => (false, bytes.to_vec()),
            Chunk::Piece(piece) => {
                let mut bytes = vec![0; piece.len];
                assert_eq!(rustix::io::pread(piece.file(), &mut bytes, piece.at), Ok(piece.len));
                (true, bytes)
            }
        };
        chunks.iter().map(read).collect()
    }

    #[test]
    fn what_lies_one_behind_the_other_is_one_piece() {
        let slab = Slab::new(None, 2 * SHEET_LEN);
        // Lengths that are no pages.
        let [a, b, c, d] = [1u8, 2, 3, 4].map(|n| Bytes::from(vec![n; SLICE_MIN + usize::from(n)]));
        let short = Bytes::from(vec![5; SLICE_MIN - 1]);
        let answer: VecDeque<_> = [a.clone(), b.clone(), c.clone()].into();
        assert_eq!(shape(&settled(&slab, &answer)), [(true, [&a[..], &b, &c].concat())]);
        assert_eq!(shape(&settled(&slab, &[d.clone()].into())), [(true, d.to_vec())]);
        // Other orders and gaps, parts of slices, and what is too short.
        for (slices, want) in [
            (vec![b.clone(), a.clone()], vec![(true, b.to_vec()), (true, a.to_vec())]),
            (vec![a.clone(), c.clone()], vec![(true, a.to_vec()), (true, c.to_vec())]),
            (vec![c.clone(), d.clone()], vec![(true, [&c[..], &d].concat())]),
            (vec![b.slice(1..), c.clone()], vec![(true, [&b[1..], &c].concat())]),
            (vec![a.slice(..a.len() - 1), b.clone()], vec![(true, a[1..].to_vec()), (true, b.to_vec())]),
            (
                vec![a.clone(), short.clone(), b.clone()],
                vec![(true, a.to_vec()), (false, short.to_vec()), (true, b.to_vec())],
            ),
        ] {
            assert_eq!(shape(&slab.chunks(&slices.into(), 0).unwrap()), want);
        }
    }
}
