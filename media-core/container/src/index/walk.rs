//! Walking over a file: the piece that is looked at, and what asks for the next.

use super::{Index, IndexError, Indexer, READ_MAX, Step};

/// Bytes that are read where a walk lands: the headers of a few blocks, a page of a disk.
const LANDING: usize = 4 << 10;
/// Bytes that are read at a time where a walk does not leap.
const STRETCH: usize = 256 << 10;

/// Why a walk does not go on.
#[derive(Debug)]
pub(crate) enum Halt {
    /// It needs bytes that the window does not have; the window asks for them.
    Read,
    /// It needs bytes behind the end of the file.
    End,
    Bad(IndexError),
}

impl From<IndexError> for Halt {
    fn from(error: IndexError) -> Self {
        Self::Bad(error)
    }
}

/// A reader of files that looks at one piece after the other.
pub(crate) trait Walk: Send {
    /// One step on; `false` at the end. It looks at bytes from one place on only, and changes nothing before it has
    /// seen all that it needs: when bytes are missing it is made again.
    fn step(&mut self, window: &mut Window) -> Result<bool, Halt>;

    /// What was found, after the last step or when the file ended before it.
    fn finish(&mut self) -> Result<Index, IndexError>;
}

/// The piece of the file that is at hand.
#[derive(Debug)]
pub(crate) struct Window {
    file_bytes: u64,
    begin: u64,
    bytes: Vec<u8>,
    want: Option<(u64, usize)>,
    chunk: usize,
}

impl Window {
    fn new(file_bytes: u64) -> Self {
        Self { file_bytes, begin: 0, bytes: Vec::new(), want: None, chunk: LANDING }
    }

    /// Of the file, as far as is known.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Reads long stretches from now on, and the bytes at hand do not stay: for what looks at everything.
    pub(crate) fn stream(&mut self, offset: u64) -> Result<&[u8], Halt> {
        self.chunk = STRETCH;
        if self.file_bytes <= offset {
            return Err(Halt::End);
        }
        let at = offset.checked_sub(self.begin).and_then(|at| usize::try_from(at).ok());
        if at.is_none_or(|at| at >= self.bytes.len()) {
            self.ask(offset, 1);
            return Err(Halt::Read);
        }
        Ok(at.and_then(|at| self.bytes.get(at..)).unwrap_or_default())
    }

    /// The bytes `offset..offset + len`.
    pub(crate) fn get(&mut self, offset: u64, len: usize) -> Result<&[u8], Halt> {
        if offset.checked_add(len as u64).is_none_or(|end| end > self.file_bytes) {
            return Err(Halt::End);
        }
        if len > READ_MAX {
            return Err(IndexError::TooMuch { what: "bytes of one header", max: READ_MAX as u64 }.into());
        }
        let at = offset.checked_sub(self.begin).and_then(|at| usize::try_from(at).ok());
        let range = at.and_then(|at| Some(at..at.checked_add(len)?));
        match range.filter(|range| range.end <= self.bytes.len()) {
            Some(range) => Ok(self.bytes.get(range).unwrap_or_default()),
            None => {
                self.ask(offset, len);
                Err(Halt::Read)
            }
        }
    }

    /// The bytes `offset..offset + len`, or fewer where the file ends.
    pub(crate) fn upto(&mut self, offset: u64, len: usize) -> Result<&[u8], Halt> {
        let left = self.file_bytes.saturating_sub(offset);
        self.get(offset, usize::try_from(left).map_or(len, |left| len.min(left)))
    }

    fn ask(&mut self, offset: u64, len: usize) {
        let end = self.begin.saturating_add(self.bytes.len() as u64);
        let leap = offset < self.begin || offset.saturating_sub(end) > LANDING as u64;
        let chunk = if leap { self.chunk / 2 } else { self.chunk * 2 };
        self.chunk = chunk.clamp(LANDING, STRETCH);
        let left = usize::try_from(self.file_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.want = Some((offset, len.max(self.chunk).min(READ_MAX).min(left)));
    }

    fn take(&mut self, bytes: &[u8]) {
        let Some((offset, len)) = self.want.take() else { return };
        let bytes = bytes.get(..len).unwrap_or(bytes);
        if bytes.len() < len {
            self.file_bytes = offset.saturating_add(bytes.len() as u64);
        }
        self.begin = offset;
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
    }
}

/// Makes an indexer of a walk.
#[derive(Debug)]
pub(crate) struct Walker<W> {
    window: Window,
    walk: W,
}

impl<W> Walker<W> {
    pub(crate) fn new(walk: W, file_bytes: u64) -> Self {
        Self { window: Window::new(file_bytes), walk }
    }
}

impl<W: Walk> Indexer for Walker<W> {
    fn next(&mut self) -> Result<Step, IndexError> {
        loop {
            if let Some((offset, bytes)) = self.window.want {
                return Ok(Step::Read { offset, bytes });
            }
            match self.walk.step(&mut self.window) {
                Ok(true) | Err(Halt::Read) => {}
                Ok(false) | Err(Halt::End) => return self.walk.finish().map(Step::Done),
                Err(Halt::Bad(error)) => return Err(error),
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), IndexError> {
        self.window.take(bytes);
        Ok(())
    }
}
