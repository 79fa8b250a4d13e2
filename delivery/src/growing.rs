//! A segment that is sent while it is made (chunked transfer; DASH low latency).
//!
//! It holds the number of the next part and nothing else: parts are taken out of the window when the reader has
//! room for them, so a slow reader costs no memory. One that is so slow that the segment has left the window sees
//! its answer break off, as does everybody when the rest does not come: an answer that ends cleanly is whole.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use nx_hls::{Lookup, Window};

use crate::holds::{self, Holds};
use crate::live::LiveStream;
use crate::media::not_in_time;
use crate::problem::Problem;

/// What follows the parts that were sent.
enum Step {
    Part(Bytes),
    /// The segment has ended.
    End,
    /// The rest will not come, or is gone.
    Broken,
}

type Next = Pin<Box<dyn Future<Output = Step> + Send>>;

/// The body of such an answer.
pub struct Growing {
    of: Of,
    /// Part that is sent next.
    index: u32,
    /// Waits for it.
    next: Option<Next>,
}

/// Which segment.
#[derive(Clone)]
struct Of {
    stream: Arc<LiveStream>,
    track: Arc<str>,
    msn: u64,
}

impl Growing {
    /// The answer to a request for a segment that is being made, or is the very next: when its first part is
    /// there. `None` when it is none of both, is cut off, or never begins.
    ///
    /// # Errors
    /// When too many wait, or it does not begin in time.
    pub(crate) async fn open(
        stream: &Arc<LiveStream>,
        holds: &Holds,
        track: &str,
        msn: u64,
        cut_off: &impl Fn(&Window) -> bool,
    ) -> Result<Option<Self>, Problem> {
        let of = Of { stream: stream.clone(), track: track.into(), msn };
        let promised = |w: &Window| {
            let next = w.track_index(track).and_then(|index| w.next(index));
            !w.is_ended() && !cut_off(w) && next.is_some_and(|next| next.msn == msn || next.msn + 1 == msn)
        };
        if !stream.read(promised) {
            return Ok(None);
        }
        let begins = |w: &Window| if cut_off(w) { Some(Step::Broken) } else { look(w, track, msn, 0) };
        let held = holds.until(stream, of.bell(), begins).await?;
        match held.found {
            Some(Step::Part(_)) => Ok(Some(Self { of, index: 0, next: None })),
            Some(Step::End | Step::Broken) => Ok(None),
            None => Err(not_in_time(stream.key())),
        }
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = self.next.get_or_insert_with(|| Box::pin(self.of.clone().step(self.index)));
        let step = ready!(next.as_mut().poll(cx));
        self.next = None;
        Poll::Ready(match step {
            Step::Part(bytes) => {
                self.index += 1;
                Some(Ok(Frame::data(bytes)))
            }
            Step::End => None,
            Step::Broken => Some(Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("segment {} of {} will not be whole", self.of.msn, self.of.stream.key()),
            ))),
        })
    }
}

impl Of {
    /// The track whose progress it depends on.
    fn bell(&self) -> usize {
        self.stream.read(|w| w.track_index(&self.track)).unwrap_or(0)
    }

    async fn step(self, index: u32) -> Step {
        let limit = holds::limit(self.stream.read(Window::target_s));
        let look = |w: &Window| look(w, &self.track, self.msn, index);
        self.stream.wait(self.bell(), limit, look).await.unwrap_or(Step::Broken)
    }
}

/// `None` while only time can tell.
fn look(window: &Window, track: &str, msn: u64, index: u32) -> Option<Step> {
    let Some(track) = window.track_index(track) else { return Some(Step::Broken) };
    if let Lookup::Found(bytes) = window.part(track, msn, index) {
        return Some(Step::Part(bytes));
    }
    let behind = window.next(track).is_some_and(|next| next.msn > msn);
    match window.segment(track, msn) {
        Lookup::Found(_) => Some(Step::End),
        Lookup::Soon => None,
        Lookup::Missing => (behind || window.is_ended()).then_some(Step::Broken),
    }
}

impl std::fmt::Debug for Growing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Growing({}/{} from part {})", self.of.track, self.of.msn, self.index)
    }
}

#[cfg(test)]
mod tests;
