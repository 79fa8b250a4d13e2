//! Requests under way.

use std::collections::VecDeque;

use bytes::Bytes;
use http::Request;

use crate::patience::Patience;

/// A window at the beginning (RFC 9113 §6.9.2): of the peer's, and of ours. No body is longer.
pub(super) const WINDOW: i64 = 65_535;
/// The largest that a window can be (§6.9.1).
pub(super) const WINDOW_MAX: i64 = 0x7fff_ffff;
/// Room for streams that is kept while there are none.
const KEPT: usize = 4;

/// One of them.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    /// What the peer lets us send.
    pub(super) window: i64,
    /// The request while its body comes.
    pub(super) request: Option<Box<Upload>>,
    /// Of the answer: what is to be sent, and whether more will come.
    pub(super) queue: VecDeque<Bytes>,
    pub(super) more: bool,
    /// Whether its head was sent.
    pub(super) begun: bool,
    pub(super) patience: Patience,
}

impl Stream {
    /// Whether a frame can be made once the windows allow it.
    pub(super) fn has_frame(&self) -> bool {
        self.begun && (!self.queue.is_empty() || !self.more)
    }
}

/// A request whose body is not whole.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) request: Request<()>,
    /// How long the body has to be in the end, when that was told.
    pub(super) length: Option<u64>,
    pub(super) body: Vec<u8>,
    /// What it has taken of the connection's window.
    pub(super) held: usize,
}

impl Upload {
    /// Whether the body may be as long as it is; `last` when nothing follows.
    pub(super) fn fits(&self, last: bool) -> bool {
        let len = self.body.len() as u64;
        self.length.is_none_or(|length| if last { len == length } else { len <= length })
    }
}

/// All of a connection: so few that they are looked through.
#[derive(Debug, Default)]
pub(super) struct Streams(Vec<Stream>);

impl Streams {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn push(&mut self, stream: Stream) {
        self.0.push(stream);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.0.iter_mut()
    }

    pub(super) fn find(&mut self, id: u32) -> Option<&mut Stream> {
        self.0.iter_mut().find(|s| s.id == id)
    }

    pub(super) fn at(&mut self, place: usize) -> Option<&mut Stream> {
        self.0.get_mut(place)
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Stream> {
        let place = self.0.iter().position(|s| s.id == id)?;
        let gone = self.0.remove(place);
        if self.0.is_empty() && self.0.capacity() > KEPT {
            self.0.shrink_to(KEPT);
        }
        Some(gone)
    }
}
