//! Admission: who may publish a stream, and who may play it over RTMP and SRT.
//!
//! ```text
//! Ask ─► addresses ─► key ─► token ─► hook ─► open or closed ─► quota ─► Grant, or Refusal that says what to do
//! ```
//!
//! * An address outside a list is turned away first. Lists speak of publishers, and of sources that are pulled.
//! * A key must be one of the stream's; a wrong one is refused, whatever else would let it in. Where the stream has
//!   no keys, the hook may judge it.
//! * A token must be signed, and be for this stream, action and address.
//! * The hook is asked about everybody else. Without hook, streams with keys or a passphrase stay shut, and the
//!   policy decides about the others.
//!
//! A source that is pulled needs no credential, since the operator named it; the hook may still veto it.
//! `rules.rs` decides, without I/O or clock; only `hook.rs` does I/O.

mod admission;
mod answer;
mod ask;
mod cache;
mod config;
mod hook;
mod limits;
mod network;
mod rules;
mod secret;
mod token;
mod validate;

#[cfg(test)]
mod tests;

pub use admission::{Admission, KeyInfo};
pub use answer::{Grant, Refusal, RefusalKind};
pub use ask::{Action, Ask, Input, Protocol, percent_decoded};
pub use config::{Config, HookConfig, KeyConfig, OnFailure, Policy, StreamRule, TokenConfig};
pub use limits::{Lease, Limits, Measured};
pub use network::Network;
pub use secret::{Lock, Secret};
