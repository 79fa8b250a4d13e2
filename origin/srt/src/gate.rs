//! Who may connect: asked once per connection, answered from anywhere.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};

use mio::Waker;

use crate::config::{KeyLength, Passphrase};
use crate::driver::Command;
use crate::link::Link;
use crate::reject::Reject;

/// Decides about callers. Both functions run on the listener's thread and must not block.
pub trait Gate: Send + Sync + 'static {
    /// Somebody wants to connect. The answer may be given later and from any thread, within five seconds.
    fn admit(&self, request: Request);

    /// Somebody was refused for a reason of the protocol's, such as a wrong passphrase.
    fn refused(&self, peer: SocketAddr, stream_id: &str, reason: &str) {
        let _ = (peer, stream_id, reason);
    }
}

/// What a caller asks for.
#[derive(Debug)]
pub struct Request {
    /// Address of the caller.
    pub peer: SocketAddr,
    /// Its stream id, at most 512 bytes; empty if it gave none.
    pub stream_id: String,
    /// The length of its key, if it encrypts.
    pub key: Option<KeyLength>,
    /// Delay that it asks for; milliseconds.
    pub latency_ms: u32,
    /// Its version: major, minor, patch.
    pub version: [u8; 3],
    /// Where the answer goes.
    pub answer: Answer,
}

/// Called on the listener's thread with the link of an accepted caller; must not block.
pub type Accept = Box<dyn FnOnce(Link) + Send>;

pub(crate) enum Verdict {
    Accept(Option<Passphrase>, Accept),
    Reject(Reject),
}

/// The way to a driver's thread.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) waker: Arc<Waker>,
}

impl Door {
    /// A driver that is gone needs no command.
    pub(crate) fn tell(&self, command: Command) {
        if self.commands.send(command).is_ok() {
            let _ = self.waker.wake();
        }
    }
}

/// One-shot answer to a [`Request`]. Dropped without an answer, it refuses.
#[derive(Debug)]
pub struct Answer {
    id: u32,
    door: Option<Door>,
}

impl Answer {
    pub(crate) fn new(id: u32, door: Door) -> Self {
        Self { id, door: Some(door) }
    }

    /// Lets the caller in. With a passphrase the caller must encrypt with the same; without, it must not encrypt:
    /// otherwise it is refused after all, [`Gate::refused`] is told, and `on` is dropped.
    pub fn accept(mut self, passphrase: Option<Passphrase>, on: Accept) {
        self.give(Verdict::Accept(passphrase, on));
    }

    /// Refuses.
    pub fn reject(mut self, reason: Reject) {
        self.give(Verdict::Reject(reason));
    }

    fn give(&mut self, verdict: Verdict) {
        if let Some(door) = self.door.take() {
            door.tell(Command::Answer(self.id, verdict));
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.give(Verdict::Reject(Reject::Peer));
    }
}
