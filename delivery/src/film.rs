//! One MP4 of a stretch of a stream: its front in memory, its media somewhere else, read as they are sent.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use tokio::task::JoinHandle;

/// Bytes that are read at a time.
const READ: u64 = 256 << 10;

/// Where media lie. Reading blocks: not for an async task.
pub trait Source: Debug + Send + Sync {
    /// The `len` bytes from `at` on.
    ///
    /// # Errors
    /// They cannot be read.
    fn read(&self, at: u64, len: u64) -> io::Result<Bytes>;

    /// Tells it from what was or will be in its place.
    fn version(&self) -> u64 {
        0
    }
}

/// A range of media.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Whose.
    pub source: Arc<dyn Source>,
    /// Where it begins.
    pub offset: u64,
    /// Bytes.
    pub bytes: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Film {
    front: Bytes,
    pieces: VecDeque<Piece>,
    /// What no file has yet.
    rest: VecDeque<Bytes>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Film {
    /// `front`, behind it these pieces, and behind them the rest.
    #[must_use]
    pub fn new(front: Bytes, pieces: impl IntoIterator<Item = Piece>, rest: Vec<Bytes>) -> Self {
        Self { front, pieces: pieces.into_iter().collect(), rest: rest.into(), reading: None }
    }

    /// Its first bytes, which tell it from any other.
    pub(crate) fn front(&self) -> &[u8] {
        &self.front
    }

    /// Which versions its media are.
    pub(crate) fn versions(&self) -> impl Iterator<Item = u64> {
        self.pieces.iter().map(|p| p.source.version())
    }

    /// Bytes left.
    #[must_use]
    pub fn len(&self) -> u64 {
        let rest: usize = self.rest.iter().map(Bytes::len).sum();
        (self.front.len() + rest) as u64 + self.pieces.iter().map(|p| p.bytes).sum::<u64>()
    }

    /// Nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// These bytes of it.
    pub(crate) fn cut(mut self, bytes: std::ops::Range<u64>) -> Self {
        let (first, end) = (bytes.start, bytes.end.min(self.len()));
        let front = self.front.len() as u64;
        let at = |n: u64| usize::try_from(n.min(front)).unwrap_or(0);
        self.front = self.front.slice(at(first)..at(end).max(at(first)));
        let mut begins = front;
        for piece in &mut self.pieces {
            let ends = begins + piece.bytes;
            let (from, to) = (first.clamp(begins, ends), end.clamp(begins, ends));
            (piece.offset, piece.bytes) = (piece.offset + (from - begins), to.saturating_sub(from));
            begins = ends;
        }
        self.pieces.retain(|p| p.bytes > 0);
        for bytes in &mut self.rest {
            let (ends, len) = (begins + bytes.len() as u64, bytes.len());
            let within = |at: u64| usize::try_from(at.clamp(begins, ends) - begins).unwrap_or(len);
            *bytes = bytes.slice(within(first)..within(end).max(within(first)));
            begins = ends;
        }
        self.rest.retain(|bytes| !bytes.is_empty());
        self
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if !self.front.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.front)))));
        }
        if self.reading.is_none() {
            if self.pieces.is_empty() {
                return Poll::Ready(self.rest.pop_front().map(|bytes| Ok(Frame::data(bytes))));
            }
            self.read_on();
        }
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let read = ready!(Pin::new(reading).poll(cx)).unwrap_or_else(|e| Err(io::Error::other(e)));
        self.reading = None;
        if let (Ok(bytes), Some(piece)) = (&read, self.pieces.front_mut()) {
            let len = bytes.len() as u64;
            (piece.offset, piece.bytes) = (piece.offset + len, piece.bytes.saturating_sub(len));
            if piece.bytes == 0 {
                self.pieces.pop_front();
            }
            // The next is under way while this is sent.
            self.read_on();
        }
        Poll::Ready(Some(read.map(Frame::data)))
    }

    fn read_on(&mut self) {
        let Some(piece) = self.pieces.front() else { return };
        let (source, at, len) = (piece.source.clone(), piece.offset, piece.bytes.min(READ));
        self.reading = Some(tokio::task::spawn_blocking(move || source.read(at, len)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that may vanish.
    #[derive(Debug)]
    struct Memory(Bytes);

    impl Source for Memory {
        fn read(&self, at: u64, len: u64) -> io::Result<Bytes> {
            let (at, len) = (at as usize, len as usize);
            if at + len > self.0.len() {
                Err(io::ErrorKind::NotFound.into())
            } else {
                Ok(self.0.slice(at..at + len))
            }
        }
    }

    async fn all(mut film: Film) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| film.poll_frame(cx)).await {
            bytes.extend_from_slice(frame?.data_ref().expect("data"));
        }
        Ok(bytes)
    }

    #[tokio::test]
    async fn any_range_is_the_same_bytes_as_of_the_whole() {
        let media: Bytes = (0..600_000_u32).map(|n| (n % 251) as u8).collect();
        let of = |media: &Bytes| {
            let source = Arc::new(Memory(media.clone()));
            let piece = |offset, bytes| Piece { source: source.clone(), offset, bytes };
            let rest = vec![Bytes::from_static(b"of it"), Bytes::from_static(b"all")];
            Film::new(Bytes::from_static(b"front"), [piece(10, 400_000), piece(500_000, 3)], rest)
        };
        let film = || of(&media);
        let whole = [&b"front"[..], &media[10..400_010], &media[500_000..500_003], b"of itall"].concat();
        assert_eq!(film().len(), whole.len() as u64);
        for (first, last) in [
            (0, 400_015),
            (0, 400_007),
            (0, 4),
            (2, 6),
            (5, 5),
            (300_000, 400_006),
            (400_005, 400_007),
            (400_009, 400_014),
        ] {
            let cut = film().cut(first..last + 1);
            assert_eq!(cut.len(), last - first + 1);
            let body = all(cut).await.expect("reads");
            assert!(body == whole[first as usize..=last as usize], "{first} to {last}");
        }
        assert!(all(of(&media.slice(..500_001))).await.is_err(), "what cannot be read ends the answer early");
    }
}
