//! Watches a live HLS, LL-HLS or DASH address, anybody's, and says which rules it breaks.
//!
//! [`evidence`] is what was seen on the wire, a judge applies the rules to it without sockets or clocks, and
//! [`report`] says what it found: the rule, the lines, the remedy.

mod dash_watch;
pub mod evidence;
pub mod mpd;
pub mod probe;
pub mod report;
pub(crate) mod rules;

pub use dash_watch::{ClientError, dash_watch};
pub use rules::{dash, media};
