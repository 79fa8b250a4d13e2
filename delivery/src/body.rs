//! Response bodies: shared slices, never copied.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::film::Film;
use crate::growing::Growing;

/// What a handler sends back.
#[derive(Debug, Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// Slices one after the other; their total is the content length.
    Slices(VecDeque<Bytes>),
    /// Bytes as they come, without a length.
    Channel(mpsc::Receiver<Bytes>),
    /// A segment while it is made.
    Growing(Box<Growing>),
    /// An MP4, read as it is sent.
    Film(Box<Film>),
    /// Whatever knows by itself how to go on. One that fails is cut off, never ended.
    Stream(Stream),
}

/// A body of another room.
pub struct Stream(Pin<Box<dyn HttpBody<Data = Bytes, Error = io::Error> + Send>>);

impl Stream {
    /// Sends `body`.
    pub fn new(body: impl HttpBody<Data = Bytes, Error = io::Error> + Send + 'static) -> Self {
        Self(Box::pin(body))
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stream({:?})", self.0.size_hint().exact())
    }
}

impl Body {
    /// Bytes left to send, if they are all there.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Slices(slices) => Some(slices.iter().map(|s| s.len() as u64).sum()),
            Self::Film(film) => Some(film.len()),
            Self::Stream(stream) => stream.0.size_hint().exact(),
            Self::Channel(_) | Self::Growing(_) => None,
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Slices(VecDeque::from([bytes]))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Slices(slices) => Poll::Ready(slices.pop_front().map(|s| Ok(Frame::data(s)))),
            Self::Channel(rx) => rx.poll_recv(cx).map(|s| s.map(|s| Ok(Frame::data(s)))),
            Self::Growing(segment) => segment.poll_frame(cx),
            Self::Film(film) => film.poll_frame(cx),
            Self::Stream(stream) => stream.0.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Slices(slices) => slices.is_empty(),
            Self::Film(film) => film.is_empty(),
            Self::Stream(stream) => stream.0.is_end_stream(),
            Self::Channel(_) | Self::Growing(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.size().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
