//! Bytes on their way from a source's task to the shard that reads them: bounded, in order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::hub::lock;
use crate::ingest::ts_input::TsSource;

/// What may wait for the shard; bytes.
const BYTES_MAX: usize = 8 << 20;

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    /// Why nothing more comes.
    over: Option<String>,
    /// The shard wants no more.
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Rings when the shard has taken something, or has closed.
    taken: Notify,
}

/// The side that is written.
#[derive(Debug)]
pub(crate) struct Writer(Arc<Shared>);

/// The side that the shard reads.
#[derive(Debug)]
pub(crate) struct Reader(Arc<Shared>);

/// The shard has closed the input: another one took its place, or the stream was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed;

pub(crate) fn queue() -> (Writer, Reader) {
    let shared = Arc::new(Shared::default());
    (Writer(shared.clone()), Reader(shared))
}

impl Writer {
    /// Puts bytes in; false when there is no room.
    pub(crate) fn offer(&self, bytes: &Bytes) -> Result<bool, Closed> {
        let mut state = lock(&self.0.state);
        if state.closed {
            return Err(Closed);
        }
        if state.bytes > 0 && state.bytes + bytes.len() > BYTES_MAX {
            return Ok(false);
        }
        state.bytes += bytes.len();
        state.pieces.push_back(bytes.clone());
        Ok(true)
    }

    /// Puts bytes in, and waits for room if need be.
    pub(crate) async fn push(&self, bytes: Bytes) -> Result<(), Closed> {
        loop {
            let mut taken = std::pin::pin!(self.0.taken.notified());
            taken.as_mut().enable();
            if self.offer(&bytes)? {
                return Ok(());
            }
            taken.await;
        }
    }

    /// Nothing more comes; what is in the queue is still read.
    pub(crate) fn finish(&self, reason: &str) {
        lock(&self.0.state).over.get_or_insert_with(|| reason.to_owned());
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.finish("the source is gone");
    }
}

impl TsSource for Reader {
    fn drain(&mut self, out: &mut Vec<Bytes>, max: usize) -> Result<(), String> {
        let mut state = lock(&self.0.state);
        let count = state.pieces.len().min(max.saturating_sub(out.len()));
        if count == 0 && state.pieces.is_empty() {
            return state.over.clone().map_or(Ok(()), Err);
        }
        let before = out.len();
        out.extend(state.pieces.drain(..count));
        let taken: usize = out.iter().skip(before).map(Bytes::len).sum();
        state.bytes -= taken;
        drop(state);
        self.0.taken.notify_waiters();
        Ok(())
    }

    fn close(&mut self) {
        lock(&self.0.state).closed = true;
        self.0.taken.notify_waiters();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_makes_http_wait_and_udp_drop_and_nothing_is_lost_before_the_end() {
        let (writer, mut reader) = queue();
        let half = Bytes::from(vec![7; BYTES_MAX / 2]);
        assert_eq!(
            (writer.offer(&half), writer.offer(&half), writer.offer(&half)),
            (Ok(true), Ok(true), Ok(false))
        );
        let mut waiting = Box::pin(writer.push(Bytes::from_static(b"last")));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending(), "there is no room");
        let mut out = Vec::new();
        reader.drain(&mut out, 1).unwrap();
        assert!(waiting.as_mut().poll(&mut context).is_ready(), "there is room again");
        writer.finish("over");
        reader.drain(&mut out, 100).unwrap();
        assert_eq!((out.len(), out.last().map(|b| &b[..])), (3, Some(&b"last"[..])));
        assert_eq!(reader.drain(&mut out, 100), Err("over".into()));
        reader.close();
        assert_eq!(writer.push(half).await, Err(Closed));
    }

    #[test]
    fn a_piece_that_is_larger_than_the_queue_goes_alone() {
        let (writer, mut reader) = queue();
        let big = Bytes::from(vec![7; BYTES_MAX + 1]);
        assert_eq!((writer.offer(&big), writer.offer(&big)), (Ok(true), Ok(false)));
        reader.drain(&mut Vec::new(), 1).unwrap();
        assert_eq!(writer.offer(&big), Ok(true));
        drop(reader);
        assert_eq!(writer.offer(&big), Err(Closed));
    }
}
