//! An object while it is fetched: one writer appends, many read what is there and wait for the rest.
//!
//! A fill is *filling*, *complete* or *failed*, and readers learn which: a body that ends early is an error, never
//! an end. What may be kept is held from its first byte, so that whoever comes late gets all of it at once. What may
//! not, or is larger than may be kept, *passes*: only a window of it is held, the writer waits for the fastest
//! reader, and one that falls out of the window is broken off. Nobody is woken but by what he waits for.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};

use crate::object::{Head, Object};

/// Short pieces are joined to blocks of this length, so that an object is sent in few. Bytes.
const BLOCK: usize = 1 << 20;

/// Limits of one fill, bytes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Largest body that is kept.
    pub kept_max: u64,
    /// What is held of one that passes.
    pub window: u64,
}

/// Memory that all fills together may hold of what is to be kept.
#[derive(Debug)]
pub struct Budget {
    max: u64,
    held: AtomicU64,
}

impl Budget {
    /// At most that many bytes.
    #[must_use]
    pub fn new(max: u64) -> Self {
        Self { max, held: AtomicU64::new(0) }
    }

    /// Bytes held.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
        let fits = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= self.max);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    fn give(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Why there is no object, or no more of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Whoever wants it has to ask for himself.
    #[error("the answer is for one asker only")]
    Alone,
    /// No origin is up, or none could be reached.
    #[error("no origin answers: {0}")]
    Down(Arc<str>),
    /// An origin was reached and took too long.
    #[error("the origin took too long: {0}")]
    Late(Arc<str>),
    /// It broke off, or said what cannot be true.
    #[error("the origin's answer cannot be used: {0}")]
    Bad(Arc<str>),
    /// Too much is being fetched.
    #[error("too many fetches at a time")]
    Busy,
    /// This reader was too slow for something that is not kept.
    #[error("read too slowly for what is not kept")]
    Slow,
}

/// What the writer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Append.
    Open,
    /// Stop: nobody reads what nobody keeps.
    Deserted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Filling,
    Complete,
    Failed(Failure),
}

#[derive(Debug)]
struct Place {
    at: u64,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct State {
    head: Option<Arc<Head>>,
    /// Each with where it begins.
    blocks: VecDeque<(u64, Bytes)>,
    /// Bytes that have been appended.
    published: u64,
    phase: Phase,
    passes: bool,
    /// It passed from the beginning: for the first reader only.
    alone: bool,
    /// Taken of the budget.
    taken: u64,
    readers: BTreeMap<u64, Place>,
    next_reader: u64,
    writer: Option<Waker>,
}

/// See the module.
#[derive(Debug)]
pub struct Fill {
    bounds: Bounds,
    budget: Arc<Budget>,
    state: Mutex<State>,
}

impl Fill {
    /// An object of which nothing is known yet.
    #[must_use]
    pub fn new(bounds: Bounds, budget: Arc<Budget>) -> Arc<Self> {
        let state = State {
            head: None,
            blocks: VecDeque::new(),
            published: 0,
            phase: Phase::Filling,
            passes: false,
            alone: false,
            taken: 0,
            readers: BTreeMap::new(),
            next_reader: 0,
            writer: None,
        };
        Arc::new(Self { bounds, budget, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader from the first byte on; `None` when that is gone, or the fill has failed. The first who joins has the
    /// answer even if it is for one alone.
    #[must_use]
    pub fn join(self: &Arc<Self>) -> Option<Reader> {
        let mut state = self.state();
        let gone = state.passes || matches!(state.phase, Phase::Failed(_));
        if gone && state.next_reader > 0 {
            return None;
        }
        let id = state.next_reader;
        state.next_reader += 1;
        state.readers.insert(id, Place { at: 0, waker: None });
        Some(Reader { fill: self.clone(), id })
    }

    /// Nobody reads.
    #[must_use]
    pub fn is_deserted(&self) -> bool {
        self.state().readers.is_empty()
    }

    /// Whether it is held whole, so that others may join.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        !self.state().passes
    }

    /// Status and fields are there. For one alone, or too long to be kept, it passes.
    pub fn open(&self, head: Head) {
        let mut state = self.state();
        state.passes = head.alone || head.length.is_some_and(|l| l > self.bounds.kept_max);
        state.alone = state.passes;
        state.head = Some(Arc::new(head));
        wake(state);
    }

    /// The next bytes of the body.
    ///
    /// # Errors
    /// More came than the head promised: the fill has failed.
    pub fn append(&self, bytes: Bytes) -> Result<(), Failure> {
        let mut state = self.state();
        let promised = state.head.as_ref().and_then(|h| h.length);
        let len = bytes.len() as u64;
        if promised.is_some_and(|promised| state.published + len > promised) {
            drop(state);
            let failure = Failure::Bad("its body is longer than it said".into());
            self.fail(failure.clone());
            return Err(failure);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let at = state.published;
        state.published += len;
        state.blocks.push_back((at, bytes));
        if !state.passes {
            if state.published > self.bounds.kept_max || !self.budget.take(len) {
                state.passes = true;
                self.budget.give(mem::take(&mut state.taken));
            } else {
                state.taken += len;
                state.join_blocks(BLOCK);
            }
        }
        if state.passes {
            state.forget(self.bounds.window);
        }
        wake(state);
        Ok(())
    }

    /// Whether the writer may go on; waits while a passing fill's fastest reader is a window behind.
    pub fn poll_room(&self, cx: &Context<'_>) -> Poll<Room> {
        let mut state = self.state();
        if !state.passes {
            return Poll::Ready(Room::Open);
        }
        let Some(fastest) = state.readers.values().map(|place| place.at).max() else {
            return Poll::Ready(Room::Deserted);
        };
        if state.published.saturating_sub(fastest) < self.bounds.window {
            return Poll::Ready(Room::Open);
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The body has ended, and nothing says that it is short. What is to be kept of it, if it is.
    ///
    /// # Errors
    /// Less came than the head promised: the fill has failed.
    pub fn complete(&self) -> Result<Option<Arc<Object>>, Failure> {
        let mut state = self.state();
        let Some(head) = state.head.clone() else {
            drop(state);
            let failure = Failure::Bad("it has no head".into());
            self.fail(failure.clone());
            return Err(failure);
        };
        if head.length.is_some_and(|promised| promised != state.published) {
            drop(state);
            let failure = Failure::Bad("its body is shorter than it said".into());
            self.fail(failure.clone());
            return Err(failure);
        }
        state.join_blocks(0);
        let object = (!state.passes).then(|| state.object(&head));
        state.phase = Phase::Complete;
        self.budget.give(mem::take(&mut state.taken));
        wake(state);
        Ok(object)
    }

    /// Gives readers something that is whole already.
    pub fn complete_with(&self, object: &Object) {
        let mut state = self.state();
        state.head = Some(Arc::new(object.head.clone()));
        for bytes in &object.body {
            let at = state.published;
            state.published += bytes.len() as u64;
            state.blocks.push_back((at, bytes.clone()));
        }
        state.phase = Phase::Complete;
        wake(state);
    }

    /// It will not become whole: all who read it learn that.
    pub fn fail(&self, failure: Failure) {
        let mut state = self.state();
        if state.phase == Phase::Filling {
            state.phase = Phase::Failed(failure);
            state.blocks.clear();
            self.budget.give(mem::take(&mut state.taken));
            wake(state);
        }
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.budget.give(state.taken);
    }
}

/// Calls all who wait, without the lock.
fn wake(mut state: MutexGuard<'_, State>) {
    let wakers: Vec<Waker> = state.readers.values_mut().filter_map(|place| place.waker.take()).collect();
    drop(state);
    wakers.into_iter().for_each(Waker::wake);
}

impl State {
    /// Joins the short pieces at the end once they make up a block of `len` bytes; readers keep their places.
    fn join_blocks(&mut self, len: usize) {
        let short = |(_, bytes): &&(u64, Bytes)| bytes.len() < BLOCK;
        let run = self.blocks.iter().rev().take_while(short).count();
        let from = self.blocks.len() - run;
        let bytes: usize = self.blocks.iter().skip(from).map(|(_, b)| b.len()).sum();
        if run < 2 || bytes < len {
            return;
        }
        let pieces = self.blocks.split_off(from);
        let at = pieces.front().map_or(0, |(at, _)| *at);
        let mut joined = BytesMut::with_capacity(bytes);
        pieces.iter().for_each(|(_, piece)| joined.extend_from_slice(piece));
        self.blocks.push_back((at, joined.freeze()));
    }

    /// Drops what no reader needs, and what only slow ones do beyond the window.
    fn forget(&mut self, window: u64) {
        let slowest = self.readers.values().map(|p| p.at).min().unwrap_or(self.published);
        let fastest = self.readers.values().map(|p| p.at).max().unwrap_or(self.published);
        while let Some((at, bytes)) = self.blocks.front() {
            let end = at + bytes.len() as u64;
            let held = self.published - at;
            if end <= slowest || (held > window && end <= fastest) {
                self.blocks.pop_front();
            } else {
                break;
            }
        }
    }

    fn object(&self, head: &Head) -> Arc<Object> {
        let head = Head { length: Some(self.published), ..head.clone() };
        Arc::new(Object { head, body: self.blocks.iter().map(|(_, bytes)| bytes.clone()).collect() })
    }
}

/// One who reads a fill. Dropping it disturbs nobody.
#[derive(Debug)]
pub struct Reader {
    fill: Arc<Fill>,
    id: u64,
}

impl Reader {
    /// Status and fields.
    ///
    /// # Errors
    /// Why there are none for this reader.
    pub fn poll_head(&mut self, cx: &Context<'_>) -> Poll<Result<Arc<Head>, Failure>> {
        let mut state = self.fill.state();
        match (&state.head, &state.phase) {
            (Some(head), Phase::Filling | Phase::Complete) => {
                let refused = state.alone && self.id > 0;
                Poll::Ready(if refused { Err(Failure::Alone) } else { Ok(head.clone()) })
            }
            (_, Phase::Failed(failure)) => Poll::Ready(Err(failure.clone())),
            (None, _) => {
                state.sleep(self.id, cx);
                Poll::Pending
            }
        }
    }

    /// Whether it passes: no byte of it can be had twice.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.fill.state().passes
    }

    /// The object, when it is whole.
    #[must_use]
    pub fn whole(&self) -> Option<Arc<Object>> {
        let state = self.fill.state();
        let head = state.head.as_ref().filter(|_| state.phase == Phase::Complete && !state.passes)?;
        Some(state.object(head))
    }

    /// Waits until the bytes up to `end` are there, or all there will be; how many there are then.
    ///
    /// # Errors
    /// They will not come, or pass by and cannot be waited for.
    pub fn poll_until(&mut self, cx: &Context<'_>, end: u64) -> Poll<Result<u64, Failure>> {
        let mut state = self.fill.state();
        match &state.phase {
            Phase::Failed(failure) => Poll::Ready(Err(failure.clone())),
            _ if state.passes => Poll::Ready(Err(Failure::Alone)),
            Phase::Filling if state.published < end => {
                state.sleep(self.id, cx);
                Poll::Pending
            }
            _ => Poll::Ready(Ok(state.published)),
        }
    }

    /// Goes to a byte; not backwards.
    pub fn skip_to(&mut self, at: u64) {
        self.advance(self.fill.state(), at);
    }

    /// The next bytes, at most up to `end`; `None` at `end` or where the body ends.
    ///
    /// # Errors
    /// The body will not be whole.
    pub fn poll_bytes(&mut self, cx: &Context<'_>, end: u64) -> Poll<Option<Result<Bytes, Failure>>> {
        let mut state = self.fill.state();
        let Some(at) = state.readers.get(&self.id).map(|place| place.at) else { return Poll::Ready(None) };
        if at >= end {
            return Poll::Ready(None);
        }
        if let Phase::Failed(failure) = &state.phase {
            return Poll::Ready(Some(Err(failure.clone())));
        }
        if at >= state.published {
            if state.phase == Phase::Complete {
                return Poll::Ready(None);
            }
            state.sleep(self.id, cx);
            return Poll::Pending;
        }
        let next = state.blocks.partition_point(|(begins, _)| *begins <= at);
        let block = next.checked_sub(1).and_then(|found| state.blocks.get(found));
        let Some((begins, block)) = block else { return Poll::Ready(Some(Err(Failure::Slow))) };
        let place =
            |n: u64| usize::try_from(n.saturating_sub(*begins)).unwrap_or(usize::MAX).min(block.len());
        let bytes = block.slice(place(at)..place(end));
        let reached = at + bytes.len() as u64;
        self.advance(state, reached);
        Poll::Ready(Some(Ok(bytes)))
    }

    /// Moves the reader, and lets the writer go on if it waits for that.
    fn advance(&self, mut state: MutexGuard<'_, State>, at: u64) {
        if let Some(place) = state.readers.get_mut(&self.id) {
            place.at = place.at.max(at);
        }
        if state.passes {
            state.forget(self.fill.bounds.window);
        }
        let writer = state.writer.take();
        drop(state);
        writer.into_iter().for_each(Waker::wake);
    }
}

impl State {
    fn sleep(&mut self, reader: u64, cx: &Context<'_>) {
        if let Some(place) = self.readers.get_mut(&reader) {
            place.waker = Some(cx.waker().clone());
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.fill.state();
        state.readers.remove(&self.id);
        if state.passes {
            state.forget(self.fill.bounds.window);
        }
        let writer = state.writer.take();
        drop(state);
        writer.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests;
