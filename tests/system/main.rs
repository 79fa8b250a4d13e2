//! The system as a user meets it: the real binary, real encoders, real players, a real browser.
#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "a test waits on the real clock and fails by panic"
)]

#[path = "../support/mod.rs"]
mod support;

mod abuse;
mod access;
mod admission;
mod api;
mod apps;
mod assets;
mod authority;
mod bad_network;
mod broadcasts;
mod browser;
mod cache;
mod captions;
mod cloud;
mod crypt;
mod dash;
mod disk;
mod durable;
mod encoder;
mod enhanced;
mod files;
mod glitch;
mod h2_abuse;
mod https;
mod identity;
mod images;
mod inputs;
mod keys;
mod kills;
mod ladder;
mod live;
mod low_latency;
mod manifest;
mod mixer;
mod network;
mod orgs;
mod plane;
mod players;
mod reconnect;
mod ring;
mod scim;
mod smuggling;
mod spine;
mod srt;
mod store;
mod stories;
mod strict;
mod transcoder;
mod transport;
mod twins;
mod up;
mod upgrade;
mod views;
mod vod;
mod websockets;
