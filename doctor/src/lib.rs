//! Watches a live HLS, LL-HLS or DASH address, anybody's, and says which rules it breaks.
//!
//! [`evidence`] is what was seen on the wire, a [`Judge`] applies the rules to it without sockets or clocks, and
//! [`report`] says what it found: the rule, the lines, the remedy. [`watch`] asks as a player would, and as nobody
//! else does; [`cli`] is the command.

pub mod cli;
mod dash_watch;
pub mod evidence;
mod judge;
mod m3u8;
pub mod mpd;
pub mod probe;
pub mod report;
mod rules;
pub mod watch;

pub use dash_watch::{ClientError, dash_watch};
pub use judge::Judge;
pub use rules::{all as all_rules, dash, media};
