//! One MP4 of a stretch of a stream: its front in memory, its media in files that are read as they are sent.

use std::collections::VecDeque;
use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use tokio::task::JoinHandle;

/// Bytes that are read at a time.
const READ: u64 = 256 << 10;

/// A range of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Which file.
    pub path: PathBuf,
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

    /// The bytes `first..=last` of it.
    pub(crate) fn cut(mut self, first: u64, last: u64) -> Self {
        let whole = self.len();
        let end = last.saturating_add(1).min(whole);
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
            let Some(piece) = self.pieces.front() else {
                return Poll::Ready(self.rest.pop_front().map(|bytes| Ok(Frame::data(bytes))));
            };
            let (path, at, len) = (piece.path.clone(), piece.offset, piece.bytes.min(READ));
            self.reading = Some(tokio::task::spawn_blocking(move || read(&path, at, len)));
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
        }
        Poll::Ready(Some(read.map(Frame::data)))
    }
}

fn read(path: &PathBuf, at: u64, len: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    File::open(path)?.read_exact_at(&mut bytes, at)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(mut film: Film) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| film.poll_frame(cx)).await {
            bytes.extend_from_slice(frame?.data_ref().expect("data"));
        }
        Ok(bytes)
    }

    #[tokio::test]
    async fn any_range_is_the_same_bytes_as_of_the_whole() {
        let path = std::env::temp_dir().join(format!("nx-film-{}", std::process::id()));
        let media: Vec<u8> = (0..600_000_u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &media).expect("writes");
        let film = || {
            let piece = |offset, bytes| Piece { path: path.clone(), offset, bytes };
            let rest = vec![Bytes::from_static(b"of it"), Bytes::from_static(b"all")];
            Film::new(Bytes::from_static(b"front"), [piece(10, 400_000), piece(500_000, 3)], rest)
        };
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
            let cut = film().cut(first, last);
            assert_eq!(cut.len(), last - first + 1);
            let body = all(cut).await.expect("reads");
            assert!(body == whole[first as usize..=last as usize], "{first} to {last}");
        }
        std::fs::remove_file(&path).expect("removes");
        assert!(all(film()).await.is_err(), "what cannot be read ends the answer early");
    }
}
