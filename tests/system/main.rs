//! The system as a user meets it: the real binary, real encoders, real players, a real browser.
#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "a test waits on the real clock and fails by panic"
)]

#[path = "../support/mod.rs"]
mod support;

mod abuse;
mod browser;
mod encoder;
mod live;
mod low_latency;
mod reconnect;
mod up;
