//! The description of a whole delivery network, and what follows from it.
//!
//! ```text
//! TOML or JSON ──► Network ──► routes, access, limits, steering (what nodes decide)
//!                     │  ├───► nginx, Varnish, CloudFront, Cloudflare, Kubernetes (for who runs another cache)
//!                     │  └───► difference from the one before, in words
//!                  History: numbered versions on disk
//! ```
//!
//! | what | where it is from |
//! | --- | --- |
//! | steering manifests | HLS Content Steering 1.2b1 (rfc8216bis §7), ETSI TS 103 998 for DASH |
//! | lifetimes | RFC 9111; RFC 5861 for stale content |
//!
//! Reading reports every mistake at once, each with its line, key and remedy. Nothing but [`History`] and [`cli`]
//! touches files. Not here: who applies a network to a running node, and the proof of tokens.
#![warn(clippy::indexing_slicing)]

mod access;
mod check;
pub mod cli;
mod diff;
pub mod generate;
mod history;
mod limits;
mod names;
mod network;
mod notes;
mod read;
mod route;
mod seats;
mod steering;

pub use nx_settings::{Fault, Kind};

pub use access::{Countries, CountryError, Refusal};
pub use diff::{Change, Step, difference};
pub use history::{History, HistoryError};
pub use limits::{Buckets, Throttled, share};
pub use names::{Country, Host, Name, PathPattern, Site};
pub use network::{Access, Cache, Edge, Limit, Network, Origin, Region, Route, Steering, Tls, TokenPolicy};
pub use seats::{Full, Mark, Seat, Seats};
pub use steering::{Asked, BASE, Load, Manifest, PathwayClone, Replacement};

#[cfg(test)]
mod tests;
