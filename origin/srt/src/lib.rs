//! SRT (draft-sharabayko-srt) in live mode: [`Listener`] takes callers in, [`connect`] calls out, both give a
//! [`Link`] that carries messages in order, in time, encrypted if asked.
//!
//! One thread owns a UDP socket with all its connections and wakes every 10 ms, which is SRT's own period of
//! acknowledgement, instead of once per packet: system calls and wake-ups are what receiving costs. Packets, keys and
//! the sending side are those of `srt-protocol`; handshake and receiving are ours, because the library panics on
//! what a stranger may send and drops good packets behind each hole.

mod caller;
mod clock;
mod config;
mod driver;
#[doc(hidden)]
pub mod fuzz;
mod gate;
mod handshake;
mod link;
mod listener;
mod peer;
mod receiver;
mod reject;
mod seq;
mod socket;
mod stats;
mod stream_id;
mod table;
mod wire;

pub use caller::{CallerConfig, RefusedByListener, connect};
pub use config::{KeyLength, ListenerConfig, Passphrase, PassphraseError};
pub use gate::{Accept, Answer, Gate, Request};
pub use link::{Link, SendError};
pub use listener::Listener;
pub use reject::Reject;
pub use stats::Stats;
pub use stream_id::{Mode, StreamId, StreamIdError};
