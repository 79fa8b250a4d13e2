//! The rules and their checkers. Numbers follow the catalogue of assertions; letters tell apart what one assertion
//! says in several ways.

pub(crate) mod alternatives;
pub(crate) mod blocking;
pub(crate) mod cache;
pub(crate) mod changes;
pub mod dash;
mod dash_http;
mod dash_manifest;
mod dash_media;
mod dash_rules;
mod dash_update;
pub(crate) mod delivery;
pub(crate) mod delta;
pub(crate) mod low_latency;
pub mod media;
mod media_codecs;
mod media_parts;
mod media_rules;
mod media_span;
pub(crate) mod multivariant;
pub(crate) mod payload;
pub(crate) mod playlist;
pub(crate) mod renditions;
pub(crate) mod syntax;
pub(crate) mod twins;

use crate::evidence::Fetch;
use crate::report::{Finding, Rule};

/// Every rule there is.
#[must_use]
pub fn all() -> Vec<&'static Rule> {
    let tables = [
        syntax::ALL,
        playlist::ALL,
        low_latency::ALL,
        changes::ALL,
        blocking::ALL,
        delta::ALL,
        renditions::ALL,
        multivariant::ALL,
        alternatives::ALL,
        delivery::ALL,
        cache::ALL,
        payload::ALL,
        twins::ALL,
        media::RULES,
        dash::RULES,
    ];
    let mut all: Vec<&'static Rule> = tables.into_iter().flatten().copied().collect();
    all.sort_by_key(|rule| rule.order());
    all
}

/// A finding about an answer as a whole.
fn about(fetch: &Fetch, what: impl Into<String>) -> Finding {
    Finding { url: fetch.url.to_string(), lines: Vec::new(), what: what.into(), at_us: fetch.done_us }
}
